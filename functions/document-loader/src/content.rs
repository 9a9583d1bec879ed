//! The text of a document, and the chunks that it is split into.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use crate::chunking::Chunking;
use crate::extract::Text;
use crate::reason::{Problem, Reason};
use crate::splitter::{Chunk, TooManyChunks};

/// Titles of sections, from the outermost to the innermost, are one text with this between them.
const BELOW: &str = " > ";
/// Longer texts are split beside the loop that everything else waits for, in bytes.
const LONG: usize = 256 * 1024;

/// A text and its chunks, which are parts of it: neighbours share a good deal, which is in memory once.
#[derive(Debug, Clone, Default)]
pub struct Chunks {
    text: Arc<str>,
    chunks: Arc<[Chunk]>,
}

/// A chunk as it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'a> {
    /// From 0.
    pub(crate) order: i32,
    pub(crate) text: &'a str,
    /// Where it begins in the document's text, in characters from 0.
    pub(crate) start: i32,
    /// Behind its last character.
    pub(crate) end: i32,
    /// The page on which it begins, from 1, if there are any.
    pub(crate) page: Option<i32>,
    headings: &'a [String],
}

impl Chunks {
    /// These chunks of this text.
    pub fn new(text: impl Into<Arc<str>>, chunks: impl Into<Arc<[Chunk]>>) -> Self {
        Self {
            text: text.into(),
            chunks: chunks.into(),
        }
    }

    /// Splits a text.
    ///
    /// # Errors
    ///
    /// It has more chunks than any document may have.
    pub(crate) async fn of(text: Text, chunking: &Chunking) -> Result<Self, Problem> {
        let splitter = chunking.splitter();
        let is_long = text.text.len() > LONG;
        let split = move || {
            let chunks = splitter.chunks(&text)?;
            Ok(Self::new(text.text, chunks))
        };
        let chunks = if is_long {
            spawn_blocking(split).await.map_err(|panic| {
                Problem::new(
                    Reason::ParseFailure,
                    format!("splitting its text failed: {panic}"),
                )
            })?
        } else {
            split()
        };
        chunks.map_err(|error: TooManyChunks| Problem::new(Reason::TooLarge, error.to_string()))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Bytes of the text.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        self.chunks.iter().map(|chunk| Piece {
            order: number(chunk.order),
            text: self.text.get(chunk.bytes.clone()).unwrap_or_default(),
            start: number(chunk.characters.start),
            end: number(chunk.characters.end),
            page: chunk.page.map(number),
            headings: &chunk.headings,
        })
    }
}

impl Piece<'_> {
    /// The titles of the sections in which it begins.
    pub(crate) fn heading(&self) -> Option<String> {
        (!self.headings.is_empty()).then(|| self.headings.join(BELOW))
    }

    /// SHA-256 of all but its place, as the database computes it as well.
    pub(crate) fn digest(&self) -> Vec<u8> {
        let mut digest = Sha256::new();
        digest.update(self.page.unwrap_or_default().to_string());
        digest.update([1]);
        digest.update(self.heading().unwrap_or_default());
        digest.update([1]);
        digest.update(self.text);
        digest.finalize().to_vec()
    }
}

fn number(count: impl TryInto<i32>) -> i32 {
    count.try_into().unwrap_or(i32::MAX)
}
