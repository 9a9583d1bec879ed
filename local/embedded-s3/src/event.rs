//! The shape of events: classic S3 records, `s3:TestEvent`, and EventBridge.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::bucket::Bucket;
use crate::clock::{Moment, iso_milliseconds, iso_seconds, now_milliseconds, sequencer_text};
use crate::error::{Failure, StorageError};
use crate::random;
use crate::request::Requester;
use crate::version::Version;

const OWNER: &str = "HOLDFASTOWNER";

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Put,
    Post,
    Copy,
    CompleteMultipartUpload,
    Delete,
    DeleteMarkerCreated,
    LifecycleDelete,
    LifecycleDeleteMarkerCreated,
    TaggingPut,
    TaggingDelete,
    RestorePost,
    RestoreCompleted,
}

impl Kind {
    /// The event's name, without `s3:`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Put => "ObjectCreated:Put",
            Self::Post => "ObjectCreated:Post",
            Self::Copy => "ObjectCreated:Copy",
            Self::CompleteMultipartUpload => "ObjectCreated:CompleteMultipartUpload",
            Self::Delete => "ObjectRemoved:Delete",
            Self::DeleteMarkerCreated => "ObjectRemoved:DeleteMarkerCreated",
            Self::LifecycleDelete => "LifecycleExpiration:Delete",
            Self::LifecycleDeleteMarkerCreated => "LifecycleExpiration:DeleteMarkerCreated",
            Self::TaggingPut => "ObjectTagging:Put",
            Self::TaggingDelete => "ObjectTagging:Delete",
            Self::RestorePost => "ObjectRestore:Post",
            Self::RestoreCompleted => "ObjectRestore:Completed",
        }
    }

    fn is_create(self) -> bool {
        matches!(
            self,
            Self::Put | Self::Post | Self::Copy | Self::CompleteMultipartUpload
        )
    }

    /// Whether the bytes stay what they are: such an event has no sequencer.
    fn is_aside(self) -> bool {
        matches!(self, Self::TaggingPut | Self::TaggingDelete) || self.is_restore()
    }

    fn is_restore(self) -> bool {
        matches!(self, Self::RestorePost | Self::RestoreCompleted)
    }
}

/// A change of an object, as events tell it.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    pub(crate) kind: Kind,
    pub(crate) key: String,
    pub(crate) size: i64,
    pub(crate) etag: String,
    pub(crate) version_id: Option<String>,
    pub(crate) moment: Moment,
    pub(crate) requester: &'a Requester,
}

impl<'a> Change<'a> {
    /// The change that made, removed or tagged `version`.
    pub(crate) fn of(
        kind: Kind,
        bucket: &Bucket,
        version: &Version,
        moment: Moment,
        requester: &'a Requester,
    ) -> Self {
        Self {
            kind,
            key: version.key.clone(),
            size: version.size,
            etag: version.etag.clone(),
            version_id: version.id_for(bucket),
            moment,
            requester,
        }
    }
}

/// The message of a classic notification: one record.
pub(crate) fn classic(
    bucket: &Bucket,
    change: &Change<'_>,
    configuration_id: &str,
) -> Result<String, Failure> {
    let mut object = serde_json::Map::new();
    object.insert("key".to_owned(), encode_key(&change.key).into());
    if change.kind.is_create() || change.kind.is_restore() {
        object.insert("size".to_owned(), change.size.into());
    }
    if change.kind.is_create() || change.kind.is_aside() {
        object.insert("eTag".to_owned(), change.etag.as_str().into());
    }
    if let Some(version_id) = &change.version_id {
        object.insert("versionId".to_owned(), version_id.as_str().into());
    }
    if !change.kind.is_aside() {
        object.insert(
            "sequencer".to_owned(),
            sequencer_text(change.moment.sequencer).into(),
        );
    }
    let requester = change.requester;
    print(&json!({ "Records": [{
        "eventVersion": "2.6",
        "eventSource": "aws:s3",
        "awsRegion": bucket.region,
        "eventTime": iso_milliseconds(change.moment.milliseconds),
        "eventName": change.kind.name(),
        "userIdentity": { "principalId": requester.principal },
        "requestParameters": { "sourceIPAddress": requester.address },
        "responseElements": { "x-amz-request-id": requester.request_id, "x-amz-id-2": requester.extended_id() },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": configuration_id,
            "bucket": {
                "name": bucket.name,
                "ownerIdentity": { "principalId": OWNER },
                "arn": format!("arn:aws:s3:::{}", bucket.name),
            },
            "object": object,
        },
    }] }))
}

/// What a queue gets when a configuration names it.
pub(crate) fn test(bucket: &Bucket, request_id: &str) -> Result<String, Failure> {
    print(&json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": iso_milliseconds(now_milliseconds()),
        "Bucket": bucket.name,
        "RequestId": request_id,
        "HostId": random::dotted(&random::bytes::<32>()?),
    }))
}

/// The EventBridge event of a change.
pub(crate) fn event_bridge(
    bucket: &Bucket,
    change: &Change<'_>,
) -> Result<Option<String>, Failure> {
    let (detail_type, reason, deletion_type) = match change.kind {
        Kind::Put => ("Object Created", Some("PutObject"), None),
        Kind::Post => ("Object Created", Some("POST Object"), None),
        Kind::Copy => ("Object Created", Some("CopyObject"), None),
        Kind::CompleteMultipartUpload => ("Object Created", Some("CompleteMultipartUpload"), None),
        Kind::Delete => (
            "Object Deleted",
            Some("DeleteObject"),
            Some("Permanently Deleted"),
        ),
        Kind::DeleteMarkerCreated => (
            "Object Deleted",
            Some("DeleteObject"),
            Some("Delete Marker Created"),
        ),
        Kind::LifecycleDelete => (
            "Object Deleted",
            Some("Lifecycle Expiration"),
            Some("Permanently Deleted"),
        ),
        Kind::LifecycleDeleteMarkerCreated => (
            "Object Deleted",
            Some("Lifecycle Expiration"),
            Some("Delete Marker Created"),
        ),
        Kind::TaggingPut => ("Object Tags Added", None, None),
        Kind::TaggingDelete => ("Object Tags Deleted", None, None),
        Kind::RestorePost => ("Object Restore Initiated", None, None),
        Kind::RestoreCompleted => ("Object Restore Completed", None, None),
    };
    let mut object = serde_json::Map::new();
    object.insert("key".to_owned(), change.key.as_str().into());
    if change.kind.is_create() || change.kind.is_restore() {
        object.insert("size".to_owned(), change.size.into());
    }
    if change.kind.is_create() || change.kind.is_aside() {
        object.insert("etag".to_owned(), change.etag.as_str().into());
    }
    if let Some(version_id) = &change.version_id {
        object.insert("version-id".to_owned(), version_id.as_str().into());
    }
    if !change.kind.is_aside() {
        let sequencer = sequencer_text(change.moment.sequencer).to_ascii_lowercase();
        object.insert(
            "sequencer".to_owned(),
            sequencer.strip_prefix("00").unwrap_or(&sequencer).into(),
        );
    }
    let mut detail = serde_json::Map::new();
    detail.insert("version".to_owned(), "0".into());
    detail.insert("event-version".to_owned(), "1.0".into());
    detail.insert("bucket".to_owned(), json!({ "name": bucket.name }));
    detail.insert("object".to_owned(), Value::Object(object));
    detail.insert(
        "request-id".to_owned(),
        change.requester.request_id.as_str().into(),
    );
    detail.insert(
        "requester".to_owned(),
        change.requester.account.as_str().into(),
    );
    detail.insert(
        "source-ip-address".to_owned(),
        change.requester.address.as_str().into(),
    );
    if let Some(reason) = reason {
        detail.insert("reason".to_owned(), reason.into());
    }
    if let Some(deletion_type) = deletion_type {
        detail.insert("deletion-type".to_owned(), deletion_type.into());
    }
    print(&json!({
        "version": "0",
        "id": random::uuid()?,
        "detail-type": detail_type,
        "source": "aws.s3",
        "account": bucket.account.as_str(),
        "time": iso_seconds(change.moment.milliseconds),
        "region": bucket.region,
        "resources": [format!("arn:aws:s3:::{}", bucket.name)],
        "detail": detail,
    }))
    .map(Some)
}

fn print(value: &Value) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|_source| StorageError::Damaged("event").into())
}

/// A key as classic notifications carry it: form encoding that keeps slashes.
pub(crate) fn encode_key(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => {
                text.push(char::from(byte));
            }
            b' ' => text.push('+'),
            // Writing into a String cannot fail.
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_form_encoded_with_their_slashes() {
        assert_eq!(
            encode_key("a b+c/(1)%ü.pdf"),
            "a+b%2Bc/%281%29%25%C3%BC.pdf"
        );
        assert_eq!(encode_key("/x//"), "/x//");
    }
}
