//! From the bytes of a document to the chunks of its text.

use bytes::Bytes;
use futures_util::stream::{Stream, TryStreamExt};
use sha2::{Digest, Sha256};

use crate::chunking::{Chunking, Splitter};
use crate::reason::{Problem, Reason};

/// What is known of a document besides its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hint<'a> {
    /// Its key, whose end may tell the type.
    pub(crate) key: &'a str,
    /// What S3 says it is, which is what somebody said when he put it there.
    pub(crate) content_type: Option<&'a str>,
}

/// A piece of a document's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// From 0.
    pub order: i32,
    /// The text.
    pub text: String,
    /// Where it begins in the document's text, in characters from 0.
    pub start: i32,
    /// Behind its last character.
    pub end: i32,
    /// The page on which it begins, from 1, if there are any.
    pub page: Option<i32>,
    /// The heading under which it begins, if there is one.
    pub heading: Option<String>,
}

impl Chunk {
    /// SHA-256 of all but its place, as the database computes it as well.
    pub(crate) fn digest(&self) -> Vec<u8> {
        let mut digest = Sha256::new();
        digest.update(self.page.unwrap_or_default().to_string());
        digest.update([1]);
        digest.update(self.heading.as_deref().unwrap_or_default());
        digest.update([1]);
        digest.update(&self.text);
        digest.finalize().to_vec()
    }
}

/// Extracts the text of a document and splits it.
///
/// # Errors
///
/// What `input` says, or why there is no text to be had.
pub(crate) async fn chunks(
    input: impl Stream<Item = Result<Bytes, Problem>> + Send,
    hint: Hint<'_>,
    chunking: &Chunking,
) -> Result<Vec<Chunk>, Problem> {
    let bytes = input
        .try_fold(Vec::new(), |mut bytes, piece| async move {
            bytes.extend_from_slice(&piece);
            Ok(bytes)
        })
        .await?;
    let text = String::from_utf8(bytes).map_err(|_invalid| unsupported(hint))?;
    if text.contains('\0') {
        return Err(unsupported(hint));
    }
    Ok(split(text.trim_start_matches('\u{feff}'), chunking))
}

fn unsupported(hint: Hint<'_>) -> Problem {
    let kind = hint.content_type.unwrap_or("of an unknown type");
    let extension = hint.key.rsplit('.').next().unwrap_or_default();
    Problem::new(
        Reason::Unsupported,
        format!("it is {kind} (.{extension}), and only text in UTF-8 is read"),
    )
}

fn split(text: &str, chunking: &Chunking) -> Vec<Chunk> {
    let characters: Vec<char> = text.chars().collect();
    let size = match chunking.splitter {
        Splitter::None => characters.len().max(1),
        Splitter::Recursive | Splitter::Markdown => chunking.chunk_size.max(1),
    };
    let step = size.saturating_sub(chunking.overlap()).max(1);
    let mut chunks = Vec::new();
    let mut start = 0;
    while start < characters.len() {
        let end = (start + size).min(characters.len());
        chunks.push(Chunk {
            order: number(chunks.len()),
            text: characters.iter().skip(start).take(end - start).collect(),
            start: number(start),
            end: number(end),
            page: None,
            heading: None,
        });
        if end == characters.len() {
            break;
        }
        start += step;
    }
    chunks
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
