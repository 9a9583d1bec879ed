//! The bytes of an object: all of a small one, or as they come, with an end to silence and to surplus.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use tokio::time::timeout;

use crate::fault::body_fault;
use crate::read::{Head, LARGE, Reading, pinned};
use crate::reason::{Problem, Reason};

/// Bytes of a part, and how many parts are read at a time.
const PART: u64 = LARGE / 2;
const PARTS: usize = 4;
/// A part that breaks off is asked for again, so often in all: the rest of the object would be read in vain.
const PART_TRIES: u32 = 3;
/// How long a body may be silent.
const SILENCE: Duration = Duration::from_secs(15);

/// The bytes of an object.
pub(crate) enum Body {
    /// Those that were loaded before.
    Same,
    /// All of them.
    Whole(Vec<Bytes>),
    /// On their way.
    Coming(ByteStream),
    /// To be read in parts.
    Parts,
}

/// All of a body of this many bytes.
pub(crate) async fn collect(body: ByteStream, size: u64) -> Result<Vec<Bytes>, Problem> {
    pieces(body, size).try_collect().await
}

/// A body of this many bytes, piece by piece, and not one more.
pub(crate) fn pieces(
    body: ByteStream,
    size: u64,
) -> impl Stream<Item = Result<Bytes, Problem>> + Send {
    stream::try_unfold((body, size), async |(mut body, left)| {
        let piece = timeout(SILENCE, body.next()).await.map_err(|_elapsed| {
            Problem::new(
                Reason::Unavailable,
                format!(
                    "the object stopped coming for {} seconds",
                    SILENCE.as_secs()
                ),
            )
        })?;
        let Some(piece) = piece else {
            return if left == 0 {
                Ok(None)
            } else {
                Err(Problem::new(
                    Reason::Unavailable,
                    format!("the object broke off {left} bytes before its end"),
                ))
            };
        };
        let piece = piece.map_err(|error| body_fault(&error))?;
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let left = left.checked_sub(length).ok_or_else(|| {
            Problem::new(Reason::Damaged, "more bytes arrived than S3 said there are")
        })?;
        Ok(Some((piece, (body, left))))
    })
}

impl<'a> Reading<'a> {
    /// The bytes of an object in order, of which a few parts are read ahead.
    pub(crate) fn parts(
        self,
        head: &'a Head,
    ) -> impl Stream<Item = Result<Bytes, Problem>> + Send + 'a {
        let starts = (0..head.size.div_ceil(PART)).map(|number| number * PART);
        stream::iter(starts)
            .map(move |start| self.part(head, start))
            .buffered(PARTS)
            .map_ok(|pieces| stream::iter(pieces.into_iter().map(Ok)))
            .try_flatten()
    }

    async fn part(self, head: &Head, start: u64) -> Result<Vec<Bytes>, Problem> {
        let end = (start + PART).min(head.size);
        let range = format!("bytes={start}-{}", end - 1);
        let version = pinned(head);
        let (range, version) = (range.as_str(), &version);
        let mut tries = 1;
        loop {
            let read = async {
                let object = self
                    .ask(|access| async move { self.get(&access, version, Some(range)).await })
                    .await?;
                collect(object.body, end - start).await
            };
            match read.await {
                Err(problem)
                    if tries < PART_TRIES
                        && matches!(problem.reason, Reason::Unavailable | Reason::Damaged) =>
                {
                    tracing::debug!(error = %problem, range, "asking for a part again");
                    tries += 1;
                }
                part => return part,
            }
        }
    }
}
