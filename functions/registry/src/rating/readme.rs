//! What can be seen in a README without understanding it.

use std::collections::BTreeSet;

/// How much of a README is looked at, in characters.
const HEAD: usize = 200_000;

/// A README in lower case.
pub(super) struct Readme {
    text: String,
}

/// A fenced block of code.
pub(super) struct Block {
    /// What stands after the fence, such as `python`.
    pub(super) language: String,
    /// The lines inside.
    pub(super) text: String,
}

impl Readme {
    pub(super) fn new(text: Option<&str>) -> Self {
        let text: String = text.unwrap_or_default().chars().take(HEAD).collect();
        Self {
            text: without_metadata(&text).to_lowercase(),
        }
    }

    /// Characters, spaces at the ends not counted.
    pub(super) fn length(&self) -> u64 {
        u64::try_from(self.text.trim().chars().count()).unwrap_or(u64::MAX)
    }

    pub(super) fn mentions(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.text.contains(word))
    }

    /// How many of some words are there, as words of their own.
    pub(super) fn count(&self, words: &[&str]) -> u64 {
        let own: BTreeSet<&str> = self
            .text
            .split(|letter: char| !letter.is_alphanumeric())
            .collect();
        let found = words.iter().filter(|word| own.contains(**word)).count();
        u64::try_from(found).unwrap_or(u64::MAX)
    }

    /// Whether a heading contains one of these words.
    pub(super) fn has_section(&self, words: &[&str]) -> bool {
        self.text
            .lines()
            .filter(|line| {
                line.trim_start().starts_with('#') || line.trim_start().starts_with("**")
            })
            .any(|line| words.iter().any(|word| line.contains(word)))
    }

    /// Whether there is a table with numbers in it.
    pub(super) fn has_table_of_numbers(&self) -> bool {
        let mut rows = self
            .text
            .lines()
            .filter(|line| line.matches('|').count() >= 2);
        rows.any(|line| line.split('|').any(|cell| is_number(cell.trim())))
    }

    pub(super) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for line in self.text.lines() {
            match (line.trim_start().strip_prefix("```"), open.take()) {
                (Some(language), None) => {
                    open = Some(Block {
                        language: language.trim().to_owned(),
                        text: String::new(),
                    });
                }
                (Some(_), Some(block)) => blocks.push(block),
                (None, Some(mut block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                    open = Some(block);
                }
                (None, None) => {}
            }
        }
        blocks.extend(open); // a fence that was forgotten ends with the text
        blocks
    }
}

/// Skips the YAML between two lines of `---` at the head.
fn without_metadata(text: &str) -> &str {
    text.strip_prefix("---")
        .and_then(|rest| rest.split_once("\n---"))
        .map_or(text, |(_, rest)| rest)
}

fn is_number(cell: &str) -> bool {
    let digits = cell.trim_matches(|letter: char| "*_%~± ".contains(letter));
    let number = digits.split(['/', '±', ' ']).next().unwrap_or_default();
    number.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_sections_and_blocks_are_seen() {
        let readme = Readme::new(Some(
            "---\nlicense: mit\n---\n# How to use\n\n```Python\nx = 1\n```\n| a | 84.6/83.4 |\n",
        ));
        assert!(readme.has_section(&["use"]) && !readme.mentions(&["license"]));
        assert!(readme.has_table_of_numbers());
        let blocks = readme.blocks();
        assert_eq!(
            (
                blocks.len(),
                blocks[0].language.as_str(),
                blocks[0].text.as_str()
            ),
            (1, "python", "x = 1\n")
        );
        assert!(!Readme::new(Some("| a | b |")).has_table_of_numbers());
        assert_eq!(Readme::new(None).length(), 0);
    }
}
