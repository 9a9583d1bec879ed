//! Which status each failure has.

use axum::http::StatusCode;
use shared::problem::Problem;

use crate::artifact::InvalidArtifact;
use crate::content::{self, InvalidAspect, InvalidDigest, InvalidPath, InvalidUpload};
use crate::cursor::InvalidCursor;
use crate::registry::Error;
use crate::source::InvalidSource;

/// Seconds after which a busy artifact may be free.
const SOON: u32 = 1;
/// Seconds after which a store may be back.
const LATER: u32 = 5;

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match &error {
            Error::NotFound => Self::new(StatusCode::NOT_FOUND, detail),
            Error::Exists(None) => Self::new(StatusCode::CONFLICT, detail),
            Error::Exists(Some(id)) => {
                Self::new(StatusCode::CONFLICT, detail).extension("id", id.as_str())
            }
            Error::OtherName | Error::Pattern(_) => Self::new(StatusCode::BAD_REQUEST, detail),
            Error::Changed => Self::new(StatusCode::PRECONDITION_FAILED, detail),
            Error::TooMany => Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail),
            Error::Busy => Self::unavailable(&error, detail, SOON),
            Error::Store(_) => Self::unavailable(&error, detail, LATER),
            Error::Unreadable(_) | Error::Random(_) => Self::internal(&error),
        }
    }
}

impl From<content::Error> for Problem {
    fn from(error: content::Error) -> Self {
        use content::Error;
        let detail = error.to_string();
        match &error {
            Error::NoFile | Error::NoSuchAspect(_) | Error::NoUpload => {
                Self::new(StatusCode::NOT_FOUND, detail)
            }
            Error::Upload(
                InvalidUpload::Missing(_)
                | InvalidUpload::OtherPart(_)
                | InvalidUpload::OtherSize { .. }
                | InvalidUpload::SmallPart(_),
            ) => Self::new(StatusCode::CONFLICT, detail),
            Error::Upload(_) => Self::new(StatusCode::BAD_REQUEST, detail),
            Error::Exists => Self::new(StatusCode::PRECONDITION_FAILED, detail),
            Error::TooMuch(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail),
            Error::NoBucket => {
                let detail = format!("{detail}: it needs USE_S3 and S3_BUCKET_NAME");
                Self::new(StatusCode::NOT_IMPLEMENTED, detail)
            }
            Error::NoChecksums => Self::new(StatusCode::NOT_IMPLEMENTED, detail),
            Error::NotYet { done, parts } => Self::unavailable(&error, detail, SOON)
                .extension("parts", *parts)
                .extension("parts_done", *done),
            Error::Changed => Self::unavailable(&error, detail, SOON),
            Error::S3(_) | Error::Store(_) => {
                Self::unavailable(&error, "the store does not answer", LATER)
            }
        }
    }
}

impl From<InvalidPath> for Problem {
    fn from(error: InvalidPath) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<InvalidDigest> for Problem {
    fn from(error: InvalidDigest) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<InvalidAspect> for Problem {
    fn from(error: InvalidAspect) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<InvalidArtifact> for Problem {
    fn from(error: InvalidArtifact) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<InvalidSource> for Problem {
    fn from(error: InvalidSource) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<InvalidCursor> for Problem {
    fn from(error: InvalidCursor) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}
