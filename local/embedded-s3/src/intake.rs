//! Receiving bytes: hashed and written while they arrive, never held as a whole.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use md5::Digest as _;
use s3s::dto::StreamingBlob;
use s3s::{S3ErrorCode, StdError};
use tokio::sync::mpsc;

use crate::blobs::{Blobs, Staged};
use crate::checksum::{Algorithm, Hasher};
use crate::content::Received;
use crate::error::{Failure, StorageError};

/// Chunks that may wait for the disk before the sender is slowed down.
const BACKLOG: usize = 8;
/// The largest single upload S3 takes, in bytes.
const LARGEST: i64 = 5 * 1024 * 1024 * 1024;

/// What was received.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) received: Received,
    pub(crate) size: i64,
    pub(crate) md5: [u8; 16],
    /// Base64, of the algorithm asked for.
    pub(crate) checksum: String,
}

/// Hashes of one stream.
pub(crate) struct Hashes {
    md5: md5::Md5,
    checksum: Hasher,
    size: i64,
}

impl Hashes {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self {
            md5: md5::Md5::new(),
            checksum: Hasher::new(algorithm),
            size: 0,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.checksum.update(bytes);
        self.size = self
            .size
            .saturating_add(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
    }

    /// Size, MD5 and checksum.
    pub(crate) fn finish(self) -> (i64, [u8; 16], String) {
        (
            self.size,
            self.md5.finalize().into(),
            self.checksum.finish(),
        )
    }
}

enum Portion {
    Bytes(Bytes),
    End,
}

/// Receives `body`. Up to `inline` bytes stay in memory, more go to a blob file.
pub(crate) async fn receive(
    body: Option<StreamingBlob>,
    algorithm: Algorithm,
    blobs: &Blobs,
    inline: usize,
) -> Result<Intake, Failure> {
    let Some(mut body) = body else {
        return Ok(in_memory(Bytes::new(), algorithm));
    };
    let mut head = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(refuse_body)?;
        if head.len() + chunk.len() <= inline {
            head.extend_from_slice(&chunk);
        } else {
            return to_file(head.freeze(), chunk, body, algorithm, blobs).await;
        }
    }
    Ok(in_memory(head.freeze(), algorithm))
}

fn in_memory(bytes: Bytes, algorithm: Algorithm) -> Intake {
    let mut hashes = Hashes::new(algorithm);
    hashes.update(&bytes);
    let (size, md5, checksum) = hashes.finish();
    Intake {
        received: Received::Inline(bytes),
        size,
        md5,
        checksum,
    }
}

async fn to_file(
    head: Bytes,
    chunk: Bytes,
    mut body: StreamingBlob,
    algorithm: Algorithm,
    blobs: &Blobs,
) -> Result<Intake, Failure> {
    // MD5 is the slowest step by far, so it has a thread of its own beside the one that writes.
    let (to_disk, from_body) = mpsc::channel(BACKLOG);
    let (to_md5, for_md5) = mpsc::channel(BACKLOG);
    let blobs = blobs.clone();
    let writing = tokio::task::spawn_blocking(move || write_file(from_body, &blobs, algorithm));
    let hashing = tokio::task::spawn_blocking(move || md5_of(for_md5));
    let mut result = Ok(());
    let mut first = [head, chunk].into_iter();
    loop {
        let bytes = match first.next() {
            Some(bytes) => bytes,
            None => match body.next().await {
                Some(Ok(bytes)) => bytes,
                Some(Err(error)) => {
                    result = Err(refuse_body(error));
                    break;
                }
                None => {
                    drop(to_disk.send(Portion::End).await);
                    break;
                }
            },
        };
        drop(to_md5.send(bytes.clone()).await);
        if to_disk.send(Portion::Bytes(bytes)).await.is_err() {
            break; // the writer failed, and says why below
        }
    }
    drop((to_disk, to_md5));
    let closed = Failure::Storage(StorageError::Closed);
    let written = writing.await.unwrap_or(Err(closed));
    result?;
    let written = written?;
    let md5 = hashing.await.map_err(|_ended| StorageError::Closed)?;
    let (staged, size, checksum) = written;
    Ok(Intake {
        received: Received::File(staged),
        size,
        md5,
        checksum,
    })
}

fn md5_of(mut portions: mpsc::Receiver<Bytes>) -> [u8; 16] {
    let mut digest = md5::Md5::new();
    while let Some(bytes) = portions.blocking_recv() {
        digest.update(&bytes);
    }
    digest.finalize().into()
}

/// Writes portions to a new blob file until the end is announced, and returns the file, its size
/// and its checksum. Without the end the file is dropped.
fn write_file(
    mut portions: mpsc::Receiver<Portion>,
    blobs: &Blobs,
    algorithm: Algorithm,
) -> Result<(Staged, i64, String), Failure> {
    let mut staged = blobs.stage()?;
    let mut hasher = Hasher::new(algorithm);
    let mut size = 0_i64;
    while let Some(portion) = portions.blocking_recv() {
        match portion {
            Portion::Bytes(bytes) => {
                staged.write(&bytes)?;
                hasher.update(&bytes);
                size = size.saturating_add(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
                if size > LARGEST {
                    let message = "Your proposed upload exceeds the maximum allowed size";
                    return Err(Failure::answer(S3ErrorCode::EntityTooLarge, message));
                }
            }
            Portion::End => {
                staged.finish()?;
                return Ok((staged, size, hasher.finish()));
            }
        }
    }
    Err(incomplete())
}

fn incomplete() -> Failure {
    let message =
        "You did not provide the number of bytes specified by the Content-Length HTTP header";
    Failure::answer(S3ErrorCode::IncompleteBody, message)
}

/// Turns an error of the body stream into S3's answer. The stream's own error types are private to
/// `s3s`, so only their text tells what went wrong.
#[expect(clippy::needless_pass_by_value, reason = "used as a map_err function")]
fn refuse_body(error: StdError) -> Failure {
    let text = error.to_string();
    if text.contains("Sha256Mismatch") {
        let message =
            "The provided 'x-amz-content-sha256' header does not match what was computed.";
        Failure::bad_request("XAmzContentSHA256Mismatch", message)
    } else if text.contains("SignatureMismatch") {
        let message =
            "The request signature we calculated does not match the signature you provided.";
        Failure::answer(S3ErrorCode::SignatureDoesNotMatch, message)
    } else {
        incomplete()
    }
}
