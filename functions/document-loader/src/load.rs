//! One document loaded: read, turned into text, split.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::task::JoinError;
use tokio::time::{Instant, timeout, timeout_at};

use crate::body::{self, Body};
use crate::chunking::Chunking;
use crate::content::Chunks;
use crate::download::Download;
use crate::extract::{Hint, Refusal, Text};
use crate::extraction::problem;
use crate::head::Head;
use crate::location::Location;
use crate::queue::{Claim, Content, Outcome};
use crate::read::{Hold, Opened, Reader, Reading};
use crate::reason::{Problem, Reason};
use crate::spool::Spooled;

/// How long a document may take to arrive and to be read, waiting for its turn not counted.
const LONGEST: Duration = Duration::from_mins(3);
/// A text up to this size is let go by the process's place as soon as it is there, in bytes.
const SHORT: usize = 1024 * 1024;

/// What came of it, and what it takes until it is written.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) outcome: Outcome,
    pub(crate) hold: Hold,
}

impl Loaded {
    /// One that had no try.
    pub(crate) fn released() -> Self {
        Self {
            outcome: Outcome::Released,
            hold: Hold::default(),
        }
    }
}

/// The time that documents have in an invocation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Term {
    /// What is not done then is given back.
    pub(crate) end: Instant,
    /// Whoever had a process's place for so long has had a try: in the next invocation it would not do any better.
    pub(crate) fair: Duration,
}

/// Loads a document. Whatever happens is the document's own outcome.
pub(crate) async fn load(reader: &Reader, claim: &Claim, term: Term) -> Loaded {
    let mut hold = Hold::default();
    let loaded = timeout_at(term.end, try_to_load(reader, claim, &mut hold)).await;
    let outcome = match loaded {
        Ok(outcome) => outcome.unwrap_or_else(Outcome::Failed),
        Err(_elapsed) => {
            let slot = hold.slot.as_ref();
            let is_fair = slot.is_some_and(|slot| slot.since.elapsed() >= term.fair);
            if is_fair {
                Outcome::Failed(Problem::timed_out(term.fair))
            } else {
                Outcome::Released
            }
        }
    };
    Loaded { outcome, hold }
}

async fn try_to_load(reader: &Reader, claim: &Claim, hold: &mut Hold) -> Result<Outcome, Problem> {
    let Some(version) = &claim.document else {
        // It is gone, which whoever writes this will find as well.
        return Ok(Outcome::Released);
    };
    let tries = claim.attempts - claim.parked_attempts;
    if claim.crashes > 0 && tries > claim.source.retries {
        return Err(Problem::new(
            Reason::Crashed,
            format!(
                "the function died {} times while it loaded this",
                claim.crashes
            ),
        ));
    }
    let location: Location =
        claim
            .uri
            .parse()
            .map_err(|error: crate::location::LocationError| {
                Problem::new(Reason::InvalidUri, error.to_string())
            })?;
    let source = &claim.source;
    let is_split_so = claim.chunking_sha256.as_ref() == Some(&source.chunking.sha256());
    let known = claim.content_sha256.as_ref().filter(|_| is_split_so);
    let reading = Reading {
        reader,
        source,
        location: &location,
    };
    let is_told = version.etag.is_some() || version.version_id.is_some();
    if let Some(sha256) = known
        && is_told
        && (&version.etag, &version.version_id) == (&claim.loaded.etag, &claim.loaded.version_id)
    {
        let head = Head {
            etag: version.etag.clone(),
            version_id: version.version_id.clone(),
            size: version
                .size
                .and_then(|size| u64::try_from(size).ok())
                .unwrap_or_default(),
            content_type: None,
        };
        return Ok(Outcome::Unchanged(content(reading, head, sha256.clone())));
    }
    let opened = reading.open(version, known.map(|_| &claim.loaded)).await?;
    let Opened {
        head,
        body,
        hold: taken,
    } = opened;
    *hold = taken;
    let mut hint = Hint::of_key(location.key());
    if let Some(media_type) = &head.content_type {
        hint = hint.with_media_type(media_type);
    }
    let (read, sha256) = match body {
        Body::Same => {
            let sha256 = known.cloned().unwrap_or_default();
            return Ok(Outcome::Unchanged(content(reading, head, sha256)));
        }
        Body::Whole(pieces) => {
            let sha256 = sha256(&pieces);
            if known == Some(&sha256) {
                return Ok(Outcome::Unchanged(content(reading, head, sha256)));
            }
            let read = if let Some(read) = reader.extraction.plain(&pieces, &hint) {
                read
            } else {
                let pieces = stream::iter(pieces.into_iter().map(Ok));
                extract(reading, hold, pieces, &hint, head.size).await?
            };
            (read, sha256)
        }
        Body::Coming(body) => {
            let pieces = body::pieces(body, head.size);
            extract_hashed(reading, hold, pieces, &hint, head.size).await?
        }
        Body::Parts => {
            let read = timeout(LONGEST, extract_large(reading, hold, &head, &hint)).await;
            read.map_err(|_elapsed| Problem::timed_out(LONGEST))??
        }
    };
    let content = content(reading, head, sha256);
    if known == Some(&content.sha256) {
        return Ok(Outcome::Unchanged(content));
    }
    let chunks = split(read, &source.chunking).await?;
    if chunks.bytes() <= SHORT {
        hold.slot = None;
    }
    Ok(Outcome::Loaded(content, chunks))
}

/// The text of a document, by a process that has a place of its own.
async fn extract(
    reading: Reading<'_>,
    hold: &mut Hold,
    pieces: impl Stream<Item = Result<Bytes, Problem>> + Send,
    hint: &Hint,
    size: u64,
) -> Result<Result<Text, Refusal>, Problem> {
    let Reader {
        slots, extraction, ..
    } = reading.reader;
    if hold.slot.is_none() {
        hold.slot = Some(slots.take(reading.source.id).await);
    }
    timeout(LONGEST, extraction.text(pieces, hint, size))
        .await
        .map_err(|_elapsed| Problem::timed_out(LONGEST))?
}

/// The same, and the SHA-256 of the bytes, which is that of all of them if there is a text.
async fn extract_hashed(
    reading: Reading<'_>,
    hold: &mut Hold,
    pieces: impl Stream<Item = Result<Bytes, Problem>> + Send,
    hint: &Hint,
    size: u64,
) -> Result<(Result<Text, Refusal>, Vec<u8>), Problem> {
    let mut digest = Sha256::new();
    let pieces = pieces.inspect(|piece| {
        if let Ok(piece) = piece {
            digest.update(piece);
        }
    });
    let read = extract(reading, hold, pieces, hint, size).await?;
    Ok((read, digest.finalize().to_vec()))
}

/// The same of an object that is read in parts.
async fn extract_large(
    reading: Reading<'_>,
    hold: &mut Hold,
    head: &Head,
    hint: &Hint,
) -> Result<(Result<Text, Refusal>, Vec<u8>), Problem> {
    let extraction = &reading.reader.extraction;
    if let Some(refusal) = extraction.refuse(head.size) {
        return Ok((Err(refusal), Vec::new()));
    }
    match reading.download(head).await? {
        Download::All(Spooled { file, hashing }) => {
            let hashing = async { Ok(hashing.await) };
            let (read, sha256) =
                tokio::try_join!(extraction.file_text(file, hint, head.size), hashing)?;
            Ok((read, hashed(sha256)?))
        }
        Download::Hopeless(beginning) => {
            let beginning = stream::iter([Ok(beginning)]);
            let read = extract(reading, hold, beginning, hint, head.size).await?;
            Ok((read, Vec::new()))
        }
    }
}

/// What was read, as chunks.
async fn split(read: Result<Text, Refusal>, chunking: &Chunking) -> Result<Chunks, Problem> {
    match read {
        Ok(text) => Chunks::of(text, chunking).await,
        Err(refusal) => problem(&refusal).map_or_else(|| Ok(Chunks::default()), Err),
    }
}

fn hashed(sha256: Result<io::Result<Vec<u8>>, JoinError>) -> Result<Vec<u8>, Problem> {
    let sha256 = sha256.unwrap_or_else(|panic| Err(io::Error::other(panic)));
    sha256.map_err(|error| {
        Problem::new(
            Reason::Overloaded,
            format!("what arrived cannot be read again: {error}"),
        )
    })
}

fn sha256(pieces: &[Bytes]) -> Vec<u8> {
    let mut digest = Sha256::new();
    for piece in pieces {
        digest.update(piece);
    }
    digest.finalize().to_vec()
}

fn content(reading: Reading<'_>, head: Head, sha256: Vec<u8>) -> Content {
    let bucket = reading.location.bucket();
    let region = reading.reader.amazon.region_found(bucket);
    let region = region.filter(|region| reading.source.region.as_ref() != Some(region));
    Content {
        etag: head.etag,
        version_id: head.version_id,
        bytes: head.size,
        sha256,
        found_region: region.map(|region| (bucket.to_owned(), region)),
    }
}
