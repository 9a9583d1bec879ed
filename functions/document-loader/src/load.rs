//! One document loaded: read, turned into text, split.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::budget::Share;
use crate::content::{self, Hint};
use crate::location::Location;
use crate::queue::{Claim, Content, Outcome};
use crate::read::{Body, Head, Opened, Reader, Reading};
use crate::reason::{Problem, Reason};

/// How long one document may take in all.
const LONGEST: Duration = Duration::from_mins(2);

/// What came of it, and the memory that it takes until it is written.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) outcome: Outcome,
    pub(crate) share: Option<Share>,
}

impl Loaded {
    /// One that had no try.
    pub(crate) fn released() -> Self {
        Self {
            outcome: Outcome::Released,
            share: None,
        }
    }
}

/// Loads a document. Whatever happens is the document's own outcome.
pub(crate) async fn load(reader: &Reader, claim: &Claim) -> Loaded {
    let mut share = None;
    let outcome = match timeout(LONGEST, try_to_load(reader, claim, &mut share)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(problem)) => Outcome::Failed(problem),
        Err(_elapsed) => Outcome::Failed(Problem::new(
            Reason::TimedOut,
            format!("it took longer than {} seconds", LONGEST.as_secs()),
        )),
    };
    Loaded { outcome, share }
}

async fn try_to_load(
    reader: &Reader,
    claim: &Claim,
    share: &mut Option<Share>,
) -> Result<Outcome, Problem> {
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
        share: taken,
    } = opened;
    *share = Some(taken);
    let hint_type = head.content_type.clone();
    let hint = Hint {
        key: location.key(),
        content_type: hint_type.as_deref(),
    };
    match body {
        Body::Same => {
            let sha256 = known.cloned().unwrap_or_default();
            Ok(Outcome::Unchanged(content(reading, head, sha256)))
        }
        Body::Whole(pieces) => {
            let mut digest = Sha256::new();
            for piece in &pieces {
                digest.update(piece);
            }
            let sha256 = digest.finalize().to_vec();
            if known == Some(&sha256) {
                return Ok(Outcome::Unchanged(content(reading, head, sha256)));
            }
            let input = stream::iter(pieces.into_iter().map(Ok));
            let chunks = content::chunks(input, hint, &source.chunking).await?;
            Ok(Outcome::Loaded(content(reading, head, sha256), chunks))
        }
        Body::Parts => {
            let mut digest = Sha256::new();
            let input = hashed(reading.parts(&head), &mut digest);
            let chunks = content::chunks(input, hint, &source.chunking).await?;
            let sha256 = digest.finalize().to_vec();
            let content = content(reading, head.clone(), sha256);
            if known == Some(&content.sha256) {
                return Ok(Outcome::Unchanged(content));
            }
            Ok(Outcome::Loaded(content, chunks))
        }
    }
}

/// The same bytes, hashed as they pass.
fn hashed<'a>(
    bytes: impl Stream<Item = Result<Bytes, Problem>> + Send + 'a,
    digest: &'a mut Sha256,
) -> impl Stream<Item = Result<Bytes, Problem>> + Send + 'a {
    bytes.map(move |piece| {
        if let Ok(piece) = &piece {
            digest.update(piece);
        }
        piece
    })
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
