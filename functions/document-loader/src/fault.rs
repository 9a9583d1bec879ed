//! What S3 said when it did not give an object, sorted by what is to be done about it.

use std::error::Error;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStreamError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use shared::telemetry::chain;

use crate::reason::{Problem, Reason};

/// A request that did not succeed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The bucket is in this region: ask there.
    Region(String),
    /// The credentials are not taken any more: ask with others.
    Credentials(Problem),
    /// S3 refused. Where it does not let the function list objects, it refuses what does not exist as well.
    Denied(Problem),
    /// The range begins behind the end, as every range of an empty object does.
    Empty,
    /// There is no more to it.
    Problem(Problem),
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Fault {
    /// What is left if nothing is done about it.
    pub(crate) fn into_problem(self) -> Problem {
        match self {
            Self::Region(region) => Problem::new(
                Reason::Unavailable,
                format!("S3 sends every request on to another region, now to {region}"),
            ),
            Self::Empty => Problem::new(Reason::Rejected, "S3 has no such range of the object"),
            Self::Credentials(problem) | Self::Denied(problem) | Self::Problem(problem) => problem,
        }
    }
}

/// Sorts the failure of a request.
pub(crate) fn fault<E>(action: &str, error: &SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let response = error.raw_response();
    let status = response.map(|response| response.status().as_u16());
    let region = response
        .and_then(|response| response.headers().get("x-amz-bucket-region"))
        .map(ToOwned::to_owned);
    let code = error.code().unwrap_or_default();
    // A connection that was cut in the middle of an answer leaves half an answer.
    if matches!(error, SdkError::ResponseError(_)) && status.is_none_or(|status| status < 400) {
        return unavailable(action, error).into();
    }
    match (status, code) {
        (Some(301 | 307 | 308), _)
        | (
            _,
            "PermanentRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException",
        ) => match region {
            Some(region) => Fault::Region(region),
            None => problem(
                Reason::Rejected,
                format!(
                    "{action}: the bucket is in another region, and S3 does not say in which: set the region of the source"
                ),
            ),
        },
        (
            _,
            "ExpiredToken"
            | "ExpiredTokenException"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "InvalidAccessKeyId",
        ) => Fault::Credentials(Problem::new(
            Reason::Expired,
            format!("{action}: the credentials came to their end ({code})"),
        )),
        (_, "NoSuchBucket") => problem(
            Reason::BucketMissing,
            format!("{action}: there is no such bucket"),
        ),
        (Some(404 | 405), _)
        | (_, "NoSuchKey" | "NoSuchVersion" | "NotFound" | "MethodNotAllowed") => problem(
            Reason::Missing,
            format!("{action}: there is no such object"),
        ),
        (_, "InvalidObjectState") => problem(
            Reason::Archived,
            format!("{action}: the object is in an archive: restore it, then it is loaded"),
        ),
        (Some(412), _) | (_, "PreconditionFailed") => problem(
            Reason::Superseded,
            format!(
                "{action}: the object is another than the documents table says: its event is on the way, or was lost until the next comparison"
            ),
        ),
        (Some(416), _) => Fault::Empty,
        (Some(503 | 429), _)
        | (
            _,
            "SlowDown"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequests"
            | "RequestLimitExceeded",
        ) => problem(
            Reason::Throttled,
            format!("{action}: S3 asks for fewer requests ({code})"),
        ),
        (Some(401 | 403), "RequestTimeTooSkewed") => problem(
            Reason::Unavailable,
            format!("{action}: the clock of this machine is wrong"),
        ),
        (Some(401 | 403), _) => denied(action, code, error.message().unwrap_or_default()),
        // A key of KMS that is disabled, deleted or of another account.
        (Some(400), code) if code.starts_with("KMS.") => {
            denied(action, code, error.message().unwrap_or_default())
        }
        (Some(400), "RequestTimeout") => unavailable(action, error).into(),
        // A question without a body has no code. Where the bucket is elsewhere, there is a region.
        (Some(400), "") if region.is_some() => Fault::Region(region.unwrap_or_default()),
        (Some(400..=499), _) => problem(
            Reason::Rejected,
            format!(
                "{action}: S3 does not take the request: {code} {}",
                error.message().unwrap_or_default()
            ),
        ),
        _ => unavailable(action, error).into(),
    }
}

fn problem(reason: Reason, message: String) -> Fault {
    Fault::Problem(Problem::new(reason, message))
}

fn denied(action: &str, code: &str, words: &str) -> Fault {
    Fault::Denied(Problem::new(
        Reason::Denied,
        format!("{action}: S3 refuses: {code} {words}")
            .trim_end()
            .to_owned(),
    ))
}

fn unavailable(action: &str, error: &(dyn Error + 'static)) -> Problem {
    Problem::new(Reason::Unavailable, format!("{action}: {}", chain(error)))
}

/// Sorts the failure of a body that had begun to arrive.
pub(crate) fn body_fault(error: &ByteStreamError) -> Problem {
    let text = chain(error).to_string();
    // The kit has no public type for it.
    if text.contains("checksum mismatch") {
        return Problem::new(
            Reason::Damaged,
            format!("the bytes that arrived are not those that S3 has: {text}"),
        );
    }
    Problem::new(
        Reason::Unavailable,
        format!("the object broke off while it was read: {text}"),
    )
}
