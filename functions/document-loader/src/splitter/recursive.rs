//! The recursive character splitter.
//!
//! After the behaviour of `RecursiveCharacterTextSplitter` in `langchain-text-splitters` 1.1 (`keep_separator=True`,
//! `strip_whitespace=True`, `length_function=len`), which the fixtures in `tests/fixtures` record. Nothing is copied and
//! no part is looked at more than once per separator, so time grows with the length of the text.

use crate::extract::characters;
use crate::splitter::merge::Merge;
use crate::splitter::{SEPARATORS, Span};

/// How to split: parts of at most `size` characters, of which at most `overlap` belong to the part before, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recursive {
    size: u64,
    overlap: u64,
    separators: Vec<String>,
}

impl Default for Recursive {
    fn default() -> Self {
        Self::new(800, 400, SEPARATORS.map(str::to_owned).to_vec())
    }
}

impl Recursive {
    pub(super) fn new(size: usize, overlap: usize, separators: Vec<String>) -> Self {
        let number = |number| u64::try_from(number).unwrap_or(u64::MAX);
        Self {
            size: number(size),
            overlap: number(overlap),
            separators,
        }
    }

    /// Calls `take` for each part of a span of the text, in their order.
    pub(super) fn split<E>(
        &self,
        text: &str,
        span: &Span,
        take: &mut impl FnMut(Span) -> Result<(), E>,
    ) -> Result<(), E> {
        self.split_by(&self.separators, text, span, take)
    }

    /// As deep as there are separators.
    fn split_by<E>(
        &self,
        separators: &[String],
        text: &str,
        span: &Span,
        take: &mut impl FnMut(Span) -> Result<(), E>,
    ) -> Result<(), E> {
        let part = text.get(span.bytes.clone()).unwrap_or_default();
        let (separator, weaker) = choose(separators, part);
        let mut merge = Merge::new(text, self.size, self.overlap);
        let mut at = Span {
            bytes: span.bytes.start..span.bytes.start,
            characters: span.characters.start..span.characters.start,
        };
        for piece in pieces(part, separator) {
            let length = characters(piece);
            at = Span {
                bytes: at.bytes.end..at.bytes.end + piece.len(),
                characters: at.characters.end..at.characters.end + length,
            };
            if length < self.size {
                merge.push(at.clone(), take)?;
                continue;
            }
            merge.flush(take)?;
            if weaker.is_empty() {
                take(at.clone())?;
            } else {
                self.split_by(weaker, text, &at, take)?;
            }
        }
        merge.flush(take)
    }
}

/// The first separator that the text contains, and those after it; the last one if it contains none.
fn choose<'s>(separators: &'s [String], text: &str) -> (&'s str, &'s [String]) {
    for (index, separator) in separators.iter().enumerate() {
        if separator.is_empty() {
            return ("", &[]);
        }
        if text.contains(separator.as_str()) {
            let weaker = separators.get(index + 1..).unwrap_or_default();
            return (separator, weaker);
        }
    }
    (separators.last().map_or("", String::as_str), &[])
}

/// The parts of a text, each from one separator to before the next.
fn pieces<'t>(text: &'t str, separator: &str) -> Box<dyn Iterator<Item = &'t str> + 't> {
    if separator.is_empty() {
        return Box::new(text.split_inclusive(|_| true));
    }
    let separator = separator.to_owned();
    let mut rest = text;
    Box::new(std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        // The separator that this part begins with does not end it.
        let own = if rest.starts_with(&separator) {
            separator.len()
        } else {
            0
        };
        let after = rest.get(own..).unwrap_or_default();
        let end = after.find(&separator).map_or(rest.len(), |end| own + end);
        let (piece, others) = rest.split_at_checked(end)?;
        rest = others;
        Some(piece)
    }))
}
