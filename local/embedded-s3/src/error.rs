//! The two kinds of failure inside the store: an answer that S3 gives, and a storage that broke.

use s3s::{S3Error, S3ErrorCode};

/// The storage below the store failed: the request was not carried out and may be repeated.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// SQLite refused a statement or a commit.
    #[error("the metadata database failed")]
    Database(#[source] rusqlite::Error),
    /// A blob file could not be written, read or made durable.
    #[error("a blob file could not be read or written")]
    Io(#[source] std::io::Error),
    /// A row holds what this program never writes.
    #[error("stored metadata is damaged: {0}")]
    Damaged(&'static str),
    /// The operating system gave no random bytes.
    #[error("the operating system has no random bytes")]
    Random,
    /// The store was closed while the request waited.
    #[error("the store is closed")]
    Closed,
}

/// Why an operation of the store ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// S3 itself answers so (`NoSuchKey`, `PreconditionFailed`, …).
    Answer(S3Error),
    /// The storage broke: `InternalError`, and a log line.
    Storage(StorageError),
}

impl Failure {
    /// An answer of S3 with a message of its own.
    pub(crate) fn answer(
        code: S3ErrorCode,
        message: impl Into<std::borrow::Cow<'static, str>>,
    ) -> Self {
        Self::Answer(S3Error::with_message(code, message))
    }

    /// A 400 with an error code that `s3s` has no variant for.
    pub(crate) fn bad_request(code: &'static str, message: &'static str) -> Self {
        let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        Self::Answer(error)
    }
}

impl From<S3Error> for Failure {
    fn from(error: S3Error) -> Self {
        Self::Answer(error)
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Storage(StorageError::Database(error))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Storage(StorageError::Io(error))
    }
}

impl From<Failure> for S3Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Answer(error) => error,
            Failure::Storage(error) => {
                let cause: &dyn std::error::Error = &error;
                tracing::error!(error = cause, "storage failed");
                Self::with_source(S3ErrorCode::InternalError, Box::new(error))
            }
        }
    }
}

impl From<Failure> for StorageError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Storage(error) => error,
            Failure::Answer(_) => Self::Damaged("an operation without an S3 answer gave one"),
        }
    }
}
