//! What the process that reads a document is told, and what it answers.
//!
//! It is told by its arguments: [`COMMAND`], then a [`Request`] in JSON. The document is its standard input: a
//! file that has all of it, or a pipe through which it comes. Its standard output is an [`Answer`] in JSON, which is one
//! line, and behind it the text, which is UTF-8 of the length that the answer says; nothing else, and the exit code 0.
//! Whatever differs from this is a broken answer.

use serde::{Deserialize, Serialize};

use crate::extract::format::{Format, Hint};
use crate::extract::limits::Limits;
use crate::extract::refusal::Refusal;
use crate::extract::text::Mark;

/// The argument that makes a program read a document.
pub(crate) const COMMAND: &str = "extract";

/// What to read, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) hint: Hint,
    pub(crate) limits: Limits,
    /// The process that asked. Without it, there is nobody to answer to.
    pub(crate) parent: u32,
}

/// The first line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// A text follows.
    Text {
        format: Format,
        /// Its length in bytes.
        length: u64,
        marks: Vec<Mark>,
    },
    /// Nothing follows.
    Refused(Refusal),
}

/// How long the first line may be, in bytes. Titles are part of the text, and JSON may double them.
pub(crate) fn longest_answer(limits: &Limits) -> u64 {
    const MARK: u64 = 64;
    let titles = limits.text.saturating_mul(2);
    let marks = limits.marks.saturating_mul(MARK);
    titles.saturating_add(marks).saturating_add(4096)
}
