//! Which status each failure has.

use axum::http::{HeaderValue, StatusCode, header};
use serde_json::json;
use shared::problem::Problem;

use crate::access::AccessError;
use crate::access::password::InvalidPassword;
use crate::access::user::InvalidUserName;
use crate::artifact::InvalidArtifact;
use crate::audit::{AuditError, InvalidHead, VerifyError};
use crate::content::{self, InvalidAspect, InvalidDigest, InvalidPath, InvalidUpload};
use crate::cursor::InvalidCursor;
use crate::index::IndexError;
use crate::registry::Error;
use crate::source::InvalidSource;

/// Seconds after which a busy artifact may be free.
const SOON: u32 = 1;
/// Seconds after which a store may be back.
const LATER: u32 = 5;

/// The answer to whoever must log in, or must be somebody else.
pub(super) fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match &error {
            Error::NotFound | Error::NoRepository | Error::NoIndex => {
                Self::new(StatusCode::NOT_FOUND, detail)
            }
            Error::Exists(None) => Self::new(StatusCode::CONFLICT, detail),
            Error::Exists(Some(id)) => {
                Self::new(StatusCode::CONFLICT, detail).extension("id", id.as_str())
            }
            Error::OtherName | Error::Pattern(_) | Error::Index(IndexError::TooBroad) => {
                Self::new(StatusCode::BAD_REQUEST, detail)
            }
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
            Error::Unreadable(_) | Error::Random(_) | Error::Index(IndexError::Foreign(_)) => {
                Self::internal(&error)
            }
            Error::Index(_) => Self::unavailable(
                &error,
                "artifacts can be read by their ids, and neither found nor changed at present; try again later",
                SOON,
            ),
            Error::Audit(error) => error.into(),
        }
    }
}

impl From<&AuditError> for Problem {
    fn from(error: &AuditError) -> Self {
        match error {
            AuditError::Unavailable(_) => Self::unavailable(error, error.to_string(), LATER),
            AuditError::Busy => Self::unavailable(error, error.to_string(), SOON),
            AuditError::Unwritable(_) | AuditError::Broken { .. } => Self::internal(error),
        }
    }
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        let detail = error.to_string();
        match &error {
            // Only a login is answered by 401.
            AccessError::Unauthenticated => {
                let detail = "a valid token in the header X-Authorization is required";
                Self::new(StatusCode::FORBIDDEN, detail)
            }
            AccessError::Forbidden(_) | AccessError::Configured => {
                Self::new(StatusCode::FORBIDDEN, detail)
            }
            AccessError::Exists => Self::new(StatusCode::CONFLICT, detail),
            AccessError::NotFound => Self::new(StatusCode::NOT_FOUND, detail),
            AccessError::Throttled { retry_after } => {
                let seconds = HeaderValue::from(retry_after.whole_seconds() + 1);
                Self::new(StatusCode::TOO_MANY_REQUESTS, detail)
                    .header(header::RETRY_AFTER, seconds)
            }
            AccessError::Unavailable(_) => Self::unavailable(&error, detail, LATER),
            AccessError::Unreadable { .. }
            | AccessError::NoHash(_)
            | AccessError::NoRandomness(_) => Self::internal(&error),
        }
    }
}

impl From<InvalidHead> for Problem {
    fn from(error: InvalidHead) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<InvalidUserName> for Problem {
    fn from(error: InvalidUserName) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<InvalidPassword> for Problem {
    fn from(error: InvalidPassword) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<VerifyError> for Problem {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Unreadable(error) => (&error).into(),
            // The request is good, what it asks about is not.
            VerifyError::Broken { sequence, problem } => {
                tracing::error!(sequence, %problem, "the audit trail is broken");
                Self::new(StatusCode::CONFLICT, error.to_string())
                    .extension("sequence", sequence)
                    .extension("problem", problem.to_string())
            }
            VerifyError::Anchor => {
                tracing::error!("the anchor of the audit trail was changed");
                Self::new(StatusCode::CONFLICT, error.to_string())
            }
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
