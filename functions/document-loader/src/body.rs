//! The bytes of an object: all of a small one, or as they come, with an end to silence and to surplus.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures_util::stream::{self, Stream, TryStreamExt as _};
use tokio::time::timeout;

use crate::fault::body_fault;
use crate::reason::{Problem, Reason};

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
