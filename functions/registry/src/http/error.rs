//! Which status each failure has.

use axum::http::{HeaderValue, StatusCode, header};
use serde_json::json;
use shared::problem::Problem;

use crate::artifact::InvalidArtifact;
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
            Error::NotFound | Error::NoRepository => Self::new(StatusCode::NOT_FOUND, detail),
            Error::Exists(None) => Self::new(StatusCode::CONFLICT, detail),
            Error::Exists(Some(id)) => {
                Self::new(StatusCode::CONFLICT, detail).extension("id", id.as_str())
            }
            Error::OtherName | Error::Pattern(_) => Self::new(StatusCode::BAD_REQUEST, detail),
            Error::Disqualified {
                threshold,
                metrics,
                rating,
            } => Self::new(StatusCode::FAILED_DEPENDENCY, detail)
                .extension("threshold", *threshold)
                .extension("metrics", metrics.clone())
                .extension("rating", json!(rating)),
            Error::NoLicense { retry_after, .. } => {
                tracing::warn!(detail, "a licence could not be found out");
                let problem = Self::new(StatusCode::BAD_GATEWAY, detail);
                match retry_after {
                    Some(seconds) => {
                        problem.header(header::RETRY_AFTER, HeaderValue::from(*seconds))
                    }
                    None => problem,
                }
            }
            Error::Changed => Self::new(StatusCode::PRECONDITION_FAILED, detail),
            Error::TooMany | Error::TooManyRelated => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
            }
            Error::Busy => Self::unavailable(&error, detail, SOON),
            Error::Store(_) => Self::unavailable(&error, detail, LATER),
            Error::Unreadable(_) | Error::Random(_) => Self::internal(&error),
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
