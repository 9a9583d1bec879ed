//! What people search names and descriptions for.

use regex::{Regex, RegexBuilder};

/// The longest pattern, in bytes.
const MAX_BYTES: usize = 4096;
/// What a pattern may become in memory, in bytes. Enough for anything a person writes; nested repetitions of tens of
/// thousands are refused within milliseconds.
const MAX_COMPILED: usize = 1 << 20;

/// A regular expression. Searching takes time in proportion to the text, whatever the pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(Regex);

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// There is nothing to search for.
    #[error("the regular expression is empty")]
    Empty,
    /// Too long, or too much once its repetitions are written out.
    #[error("the regular expression is too large")]
    TooLarge,
    /// Not a regular expression, or with what needs time without end: look-around and back-references.
    #[error("the regular expression is not valid: {0}")]
    Syntax(String),
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Result<Self, InvalidPattern> {
        if text.is_empty() {
            return Err(InvalidPattern::Empty);
        }
        if text.len() > MAX_BYTES {
            return Err(InvalidPattern::TooLarge);
        }
        RegexBuilder::new(text)
            .size_limit(MAX_COMPILED)
            .build()
            .map(Self)
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => InvalidPattern::TooLarge,
                error => InvalidPattern::Syntax(last_line(&error.to_string())),
            })
    }

    /// As it was written.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it is found anywhere in the text.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// The reason, without the drawing above it.
fn last_line(text: &str) -> String {
    let line = text.lines().last().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_found_anywhere_unless_they_say_where() {
        for (pattern, text, is_found) in [
            ("ert", "bert-base", true),
            ("^bert", "bert-base", true),
            ("^bert$", "bert-base", false),
            (".*base.*", "a\nbert-base\nb", true),
            ("BERT", "bert-base", false),
            ("(?i)BERT", "bert-base", true),
            ("ü+", "über", true),
        ] {
            assert_eq!(
                Pattern::new(pattern).unwrap().is_in(text),
                is_found,
                "{pattern}"
            );
        }
    }

    #[test]
    fn what_would_take_too_long_is_refused_or_harmless() {
        let harmless = Pattern::new("(a+)+$").unwrap();
        assert!(!harmless.is_in(&("a".repeat(1_000_000) + "b")));
        for (pattern, error) in [
            ("", InvalidPattern::Empty),
            ("(a{1,99999}){1,99999}", InvalidPattern::TooLarge),
            ("((a{0,5000}){0,5000}){0,5000}", InvalidPattern::TooLarge),
            (&"a".repeat(4097), InvalidPattern::TooLarge),
            ("(", InvalidPattern::Syntax("unclosed group".into())),
            (
                "(?=a)",
                InvalidPattern::Syntax(
                    "look-around, including look-ahead and look-behind, is not supported".into(),
                ),
            ),
            (
                r"(a)\1",
                InvalidPattern::Syntax("backreferences are not supported".into()),
            ),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap_err(), error, "{pattern}");
        }
    }
}
