//! From a text to chunks, which are what is searched and embedded.

mod merge;
mod place;
mod recursive;

use std::ops::Range;
use std::sync::Arc;

use crate::extract::{Mark, Place, Text};
use crate::splitter::place::Places;
use crate::splitter::recursive::Recursive;

/// What separates parts of a text, the strongest first. The empty one separates all characters.
pub const SEPARATORS: [&str; 7] = ["\n\n", "\n", ".", "?", "!", " ", ""];

/// The same for Markdown.
pub const MARKDOWN_SEPARATORS: [&str; 13] = [
    "\n## ", "\n### ", "\n#### ", "\n- ", "\n1. ", "\n\n", "\n", ".", "?", "!", " ", "", "|",
];

/// How many separators there may be. A text is searched for each of them.
const MOST_SEPARATORS: usize = 64;

/// Makes chunks of a text.
///
/// Chunks have at most a number of characters (Unicode scalar values), and neighbours share some. They are exactly those
/// of `RecursiveCharacterTextSplitter` in `LangChain`, with separators kept at the beginning of what follows them, and so
/// exactly those of pgai: a text is split at the first separator that it contains, the parts that are too long at the
/// next one that they contain, and the parts that are short enough are put together again, until a chunk is full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splitter {
    split: Split,
    most_chunks: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Split {
    /// The whole text is one chunk.
    Not,
    /// By characters, wherever headings are.
    Anywhere(Recursive),
    /// Each section by itself.
    AtHeadings(Recursive),
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its number. The first is 0.
    pub order: u32,
    /// Where it is in the text, in bytes.
    pub bytes: Range<usize>,
    /// Where it is in the text, in characters.
    pub characters: Range<u64>,
    /// The page or slide on which it begins. The first is 1.
    pub page: Option<u32>,
    /// The titles of the sections in which it begins, from the outermost to the innermost.
    pub headings: Arc<[String]>,
}

impl Chunk {
    /// Its text, which is a part of this one.
    pub fn text<'t>(&self, text: &'t Text) -> &'t str {
        text.text.get(self.bytes.clone()).unwrap_or_default()
    }
}

/// Why there is no such splitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SplitterError {
    /// A chunk of no characters is none.
    #[error("the size of chunks must be 1 or more")]
    Size,
    /// Chunks would never get on.
    #[error("the overlap of chunks must not be greater than their size")]
    Overlap,
    /// There are none, or too many.
    #[error("there must be between 1 and 64 separators")]
    Separators,
}

/// A text has more chunks than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text has more than {0} chunks")]
pub struct TooManyChunks(pub usize);

impl Default for Splitter {
    /// Chunks of 800 characters, which share 400 with the one before, as in pgai.
    fn default() -> Self {
        Self {
            split: Split::Anywhere(Recursive::default()),
            most_chunks: Self::MOST_CHUNKS,
        }
    }
}

impl Splitter {
    /// How many chunks a text may have, unless told otherwise.
    pub const MOST_CHUNKS: usize = 200_000;

    /// The whole text is one chunk.
    pub fn whole() -> Self {
        Self {
            split: Split::Not,
            most_chunks: Self::MOST_CHUNKS,
        }
    }

    /// Chunks of `size` characters at most, which share at most `overlap` characters with the one before.
    ///
    /// What none of the separators divides stays whole, even if it is longer.
    ///
    /// # Errors
    /// The numbers or the separators make no sense.
    pub fn recursive<S: Into<String>>(
        size: usize,
        overlap: usize,
        separators: impl IntoIterator<Item = S>,
    ) -> Result<Self, SplitterError> {
        let separators: Vec<String> = separators.into_iter().map(Into::into).collect();
        if size == 0 {
            return Err(SplitterError::Size);
        }
        if overlap > size {
            return Err(SplitterError::Overlap);
        }
        if !(1..=MOST_SEPARATORS).contains(&separators.len()) {
            return Err(SplitterError::Separators);
        }
        Ok(Self {
            split: Split::Anywhere(Recursive::new(size, overlap, separators)),
            most_chunks: Self::MOST_CHUNKS,
        })
    }

    /// No chunk goes on over a heading: what is below another heading is about something else. A heading stays with
    /// what follows it.
    #[must_use]
    pub fn at_headings(mut self) -> Self {
        if let Split::Anywhere(recursive) = self.split {
            self.split = Split::AtHeadings(recursive);
        }
        self
    }

    /// How many chunks a text may have.
    #[must_use]
    pub fn at_most(mut self, chunks: usize) -> Self {
        self.most_chunks = chunks;
        self
    }

    /// The chunks of a text.
    ///
    /// # Errors
    /// There are more than allowed.
    pub fn chunks(&self, text: &Text) -> Result<Vec<Chunk>, TooManyChunks> {
        let mut places = Places::new(&text.marks);
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut take = |span: Span| {
            if chunks.len() >= self.most_chunks {
                return Err(TooManyChunks(self.most_chunks));
            }
            let (page, headings) = places.at(span.characters.start);
            chunks.push(Chunk {
                order: u32::try_from(chunks.len()).unwrap_or(u32::MAX),
                bytes: span.bytes,
                characters: span.characters,
                page,
                headings,
            });
            Ok(())
        };
        let whole = Span::of(&text.text);
        match &self.split {
            Split::Not => take(whole)?,
            Split::Anywhere(recursive) => recursive.split(&text.text, &whole, &mut take)?,
            Split::AtHeadings(recursive) => {
                for section in sections(text, whole) {
                    recursive.split(&text.text, &section, &mut take)?;
                }
            }
        }
        Ok(chunks)
    }
}

/// A part of a text, by bytes and by characters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    bytes: Range<usize>,
    characters: Range<u64>,
}

impl Span {
    fn of(text: &str) -> Self {
        Self {
            bytes: 0..text.len(),
            characters: 0..crate::extract::characters(text),
        }
    }

    /// From the beginning of this part to the end of another.
    fn to(&self, last: &Self) -> Self {
        Self {
            bytes: self.bytes.start..last.bytes.end,
            characters: self.characters.start..last.characters.end,
        }
    }

    /// The two parts before and after this many characters of the text.
    fn divide(&self, text: &str, at: u64) -> (Self, Self) {
        let rest = text.get(self.bytes.clone()).unwrap_or_default();
        let skipped =
            usize::try_from(at.saturating_sub(self.characters.start)).unwrap_or(usize::MAX);
        let bytes = rest
            .char_indices()
            .nth(skipped)
            .map_or(rest.len(), |(byte, _)| byte);
        let middle = self.bytes.start + bytes;
        let at = at.clamp(self.characters.start, self.characters.end);
        (
            Self {
                bytes: self.bytes.start..middle,
                characters: self.characters.start..at,
            },
            Self {
                bytes: middle..self.bytes.end,
                characters: at..self.characters.end,
            },
        )
    }
}

/// The parts of a text between its headings. A heading with nothing below it but another heading is in one part with it.
fn sections(text: &Text, whole: Span) -> Vec<Span> {
    let headings = text.marks.iter().filter_map(|mark| match mark {
        Mark {
            offset,
            place: Place::Heading { .. },
        } => Some(*offset),
        Mark { .. } => None,
    });
    let mut sections = Vec::new();
    let mut rest = whole;
    // Headings without anything below them, which go with what follows.
    let mut open: Option<Span> = None;
    let mut begins_with_heading = false;
    for at in headings {
        let (before, after) = rest.divide(&text.text, at);
        let body = text.text.get(before.bytes.clone()).unwrap_or_default();
        let is_bare = begins_with_heading && body.trim().lines().count() <= 1;
        begins_with_heading = true;
        let part = open
            .take()
            .map_or(before.clone(), |first| first.to(&before));
        if is_bare {
            open = Some(part);
        } else {
            sections.push(part);
        }
        rest = after;
    }
    sections.push(open.map_or(rest.clone(), |first| first.to(&rest)));
    sections
}
