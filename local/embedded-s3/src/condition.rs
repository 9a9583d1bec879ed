//! Conditional requests: `If-Match` and its relatives.
//!
//! Reads follow RFC 9110, section 13.2.2; writes follow
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html>.

use http::header::{CACHE_CONTROL, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::dto::{ETagCondition, Timestamp, TimestampFormat};
use s3s::{S3Error, S3ErrorCode};
use time::OffsetDateTime;

use crate::clock::{instant, timestamp, whole_seconds};
use crate::error::Failure;
use crate::version::Version;

/// The conditions of a GET, a HEAD, or on the source of a copy.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "the names of the headers")]
pub(crate) struct ReadCondition {
    pub(crate) if_match: Option<ETagCondition>,
    pub(crate) if_none_match: Option<ETagCondition>,
    pub(crate) if_modified_since: Option<Timestamp>,
    pub(crate) if_unmodified_since: Option<Timestamp>,
}

impl ReadCondition {
    /// `PreconditionFailed` or `NotModified`, unless the version may be sent.
    pub(crate) fn check(&self, version: &Version) -> Result<(), Failure> {
        if !self.must_hold(version) {
            return Err(precondition_failed());
        }
        if self.is_unchanged(version) {
            let mut error = S3Error::new(S3ErrorCode::NotModified);
            error.set_headers(validators(version));
            return Err(error.into());
        }
        Ok(())
    }

    /// As [`Self::check`]; a copy answers 412 where a GET answers 304.
    pub(crate) fn check_source(&self, version: &Version) -> Result<(), Failure> {
        if self.must_hold(version) && !self.is_unchanged(version) {
            Ok(())
        } else {
            Err(precondition_failed())
        }
    }

    fn must_hold(&self, version: &Version) -> bool {
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) => matches(condition, &version.etag),
            (None, Some(since)) => modified(version) <= OffsetDateTime::from(since.clone()),
            (None, None) => true,
        }
    }

    fn is_unchanged(&self, version: &Version) -> bool {
        match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) => matches(condition, &version.etag),
            (None, Some(since)) => modified(version) <= OffsetDateTime::from(since.clone()),
            (None, None) => false,
        }
    }
}

/// The conditions of a write.
#[derive(Debug, Default)]
pub(crate) struct WriteCondition {
    if_match: Option<ETagCondition>,
    if_none_match: bool,
}

impl WriteCondition {
    /// Takes the two headers; S3 knows `If-None-Match` on writes only as `*`.
    pub(crate) fn new(
        if_match: Option<ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> Result<Self, Failure> {
        if if_none_match.is_some_and(|condition| !condition.is_any()) {
            let message = "A header you provided implies functionality that is not implemented";
            return Err(Failure::answer(S3ErrorCode::NotImplemented, message));
        }
        Ok(Self {
            if_match,
            if_none_match: if_none_match.is_some(),
        })
    }

    /// Decides against the current version; called inside the write, so nothing can come between.
    pub(crate) fn check(&self, current: Option<&Version>) -> Result<(), Failure> {
        let current = current.filter(|version| !version.delete_marker);
        if self.if_none_match && current.is_some() {
            return Err(precondition_failed());
        }
        match (&self.if_match, current) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(Failure::answer(
                S3ErrorCode::NoSuchKey,
                "The specified key does not exist.",
            )),
            (Some(condition), Some(current)) if matches(condition, &current.etag) => Ok(()),
            (Some(_), Some(_)) => Err(precondition_failed()),
        }
    }
}

/// `PreconditionFailed`, in S3's words.
pub(crate) fn precondition_failed() -> Failure {
    Failure::answer(
        S3ErrorCode::PreconditionFailed,
        "At least one of the pre-conditions you specified did not hold",
    )
}

/// Whether `condition` names `etag` (without quotes). S3 has no weak tags of its own.
pub(crate) fn matches(condition: &ETagCondition, etag: &str) -> bool {
    condition.as_etag().is_none_or(|tag| tag.value() == etag)
}

fn modified(version: &Version) -> OffsetDateTime {
    instant(whole_seconds(version.modified))
}

/// The headers a 304 repeats.
fn validators(version: &Version) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut add = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    add(ETAG, &format!("\"{}\"", version.etag));
    let mut text = Vec::new();
    if timestamp(version.modified)
        .format(TimestampFormat::HttpDate, &mut text)
        .is_ok()
    {
        add(LAST_MODIFIED, &String::from_utf8_lossy(&text));
    }
    if let Some(value) = &version.attributes.cache_control {
        add(CACHE_CONTROL, value);
    }
    headers
}
