use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest path, in bytes of UTF-8: with what comes before it, a key may have 1,024.
const MAX_BYTES: usize = 768;

/// What a file is called within its artifact: names with slashes between them. It means the same wherever an archive
/// is unpacked, so it cannot lead out of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

/// Why a text is not the path of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the path of a file has 1 to 768 bytes: names with slashes between them, not \".\" or \"..\", without backslashes and control characters"
)]
pub struct InvalidPath;

impl FilePath {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last of its names.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for FilePath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let is_path = text.len() <= MAX_BYTES
            && !text.contains('\\')
            && !text.contains(char::is_control)
            && text.split('/').all(|name| !matches!(name, "" | "." | ".."));
        is_path.then(|| Self(text.to_owned())).ok_or(InvalidPath)
    }
}

impl TryFrom<String> for FilePath {
    type Error = InvalidPath;

    fn try_from(text: String) -> Result<Self, InvalidPath> {
        text.parse()
    }
}

impl From<FilePath> for String {
    fn from(path: FilePath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_names_with_slashes_between_them() {
        for text in [
            "model.bin",
            "a/b/c.txt",
            "with space.txt",
            " ",
            "...",
            ".hidden",
            "a..b",
            "über/日本語 😀.md",
            "%2F",
            "a:b",
            &"x".repeat(768),
        ] {
            let path: FilePath = text.parse().unwrap();
            assert_eq!(path.as_str(), text);
        }
        let path: FilePath = "a/b.txt".parse().unwrap();
        assert_eq!(path.name(), "b.txt");
    }

    #[test]
    fn what_could_lead_elsewhere_is_no_path() {
        for text in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "../a",
            "a/../b",
            "a/..",
            "./a",
            "a\\b",
            "..\\a",
            "a\0b",
            "a\nb",
            "a\u{7f}",
            "\u{85}",
            &"x".repeat(769),
        ] {
            assert_eq!(text.parse::<FilePath>(), Err(InvalidPath), "{text:?}");
        }
    }
}
