//! What is to be measured.

use crate::Failure;
use crate::reconcile::KEYS;

const PARTS: [&str; 9] = [
    "sync",
    "reconcile",
    "indexed",
    "alone",
    "downloads",
    "loader",
    "large",
    "lambda",
    "store",
];
/// Artifacts in the index, unless other numbers are given.
const ARTIFACTS: [usize; 2] = [1_000, 20_000];

/// The command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Nothing but these, if there are any.
    parts: Vec<String>,
    /// `--keys`: the objects of the bucket that is reconciled.
    pub(crate) keys: usize,
    /// `--artifacts`: those in the registry's index, one after the other.
    pub(crate) artifacts: Vec<usize>,
}

impl Arguments {
    /// Reads the command line, or says how it should be.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut arguments = Self {
            parts: Vec::new(),
            keys: KEYS,
            artifacts: ARTIFACTS.to_vec(),
        };
        while let Some(word) = words.next() {
            if word == "--keys" {
                let keys = words.next().and_then(|keys| keys.parse().ok());
                // A tenth of them is a bucket too, of which one in a hundred is changed.
                arguments.keys = keys
                    .filter(|keys| *keys >= 10_000 && keys % 2_000 == 0)
                    .ok_or("--keys needs a multiple of 2000 from 10000 on")?;
            } else if word == "--artifacts" {
                let sizes = words.next().unwrap_or_default();
                let sizes = sizes.split(',').map(|size| size.parse().ok());
                // The first thousand are in the bucket as well, and pages are of tenths.
                let sizes =
                    sizes.map(|size| size.filter(|size| *size >= 1_000 && size % 1_000 == 0));
                arguments.artifacts = sizes
                    .collect::<Option<_>>()
                    .ok_or("--artifacts needs multiples of 1000, separated by commas")?;
            } else if PARTS.contains(&word.as_str()) {
                arguments.parts.push(word);
            } else {
                let parts = PARTS.join(" ");
                return Err(format!(
                    "usage: bench [--keys NUMBER] [--artifacts NUMBERS] [{parts}], not {word}"
                )
                .into());
            }
        }
        Ok(arguments)
    }

    /// Whether this is to be measured.
    pub(crate) fn includes(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|asked| asked == part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments, String> {
        let words = line.split_whitespace().map(str::to_owned);
        Arguments::read(words).map_err(|error| error.to_string())
    }

    #[test]
    fn without_arguments_everything_is_measured() {
        let arguments = read("").unwrap();
        assert!(PARTS.iter().all(|part| arguments.includes(part)));
        assert_eq!(arguments.keys, 1_000_000);
        assert_eq!(arguments.artifacts, [1_000, 20_000]);
    }

    #[test]
    fn parts_that_are_named_are_measured_alone() {
        let arguments = read("reconcile --keys 100000 store --artifacts 1000,1000000").unwrap();
        let measured = PARTS.map(|part| arguments.includes(part));
        assert_eq!(
            measured,
            [false, true, false, false, false, false, false, false, true]
        );
        assert_eq!(arguments.keys, 100_000);
        assert_eq!(arguments.artifacts, [1_000, 1_000_000]);
    }

    #[test]
    fn what_is_not_understood_is_told() {
        assert!(read("reconcil").unwrap_err().contains("not reconcil"));
        for line in ["--artifacts", "--artifacts 10", "--artifacts 1000,1500"] {
            assert!(read(line).unwrap_err().starts_with("--artifacts needs"));
        }
        for line in ["--keys", "--keys many", "--keys 10", "--keys 12345"] {
            assert!(read(line).unwrap_err().starts_with("--keys needs"));
        }
    }
}
