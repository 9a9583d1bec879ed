//! Which status each failure has.

use axum::http::StatusCode;
use shared::problem::Problem;

use crate::artifact::InvalidArtifact;
use crate::cursor::InvalidCursor;
use crate::index::IndexError;
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
            Error::NotFound | Error::NoIndex => Self::new(StatusCode::NOT_FOUND, detail),
            Error::Exists(None) => Self::new(StatusCode::CONFLICT, detail),
            Error::Exists(Some(id)) => {
                Self::new(StatusCode::CONFLICT, detail).extension("id", id.as_str())
            }
            Error::OtherName | Error::Pattern(_) | Error::Index(IndexError::TooBroad) => {
                Self::new(StatusCode::BAD_REQUEST, detail)
            }
            Error::Changed => Self::new(StatusCode::PRECONDITION_FAILED, detail),
            Error::Unreadable(_) | Error::Random(_) | Error::Index(IndexError::Foreign(_)) => {
                Self::internal(&error)
            }
            Error::Index(_) => Self::unavailable(
                &error,
                "artifacts can be read by their ids, and neither found nor changed at present; try again later",
                SOON,
            ),
            Error::TooMany => Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail),
            Error::Busy => Self::unavailable(&error, detail, SOON),
            Error::Store(_) => Self::unavailable(&error, detail, LATER),
        }
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
