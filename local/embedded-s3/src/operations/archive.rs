//! Archived objects: they are listed like others, and read once they are restored. That takes hours on S3 and no time
//! here.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects.html>.

use s3s::dto::{RestoreObjectInput, RestoreObjectOutput, StorageClass, Timestamp, TimestampFormat};
use s3s::{S3ErrorCode, S3Request};

use super::Store;
use super::reads::existing;
use crate::attributes::Attributes;
use crate::clock::{instant, now_milliseconds};
use crate::error::Failure;
use crate::event::{Change, Kind};
use crate::request::{Reply, Requester};

const DAY: i64 = 24 * 60 * 60 * 1000;
/// The most days that a restored object can be read.
const LONGEST: i32 = 365_000;

impl Store {
    pub(super) async fn restore_object(
        &self,
        requester: &Requester,
        request: S3Request<RestoreObjectInput>,
    ) -> Result<Reply<RestoreObjectOutput>, Failure> {
        let input = request.input;
        let days = input
            .restore_request
            .and_then(|request| request.days)
            .filter(|days| (1..=LONGEST).contains(days))
            .ok_or_else(|| {
                let message = "The XML you provided was not well-formed or did not validate against our published schema";
                Failure::answer(S3ErrorCode::MalformedXML, message)
            })?;
        let (delivery, requester) = (self.delivery.clone(), requester.clone());
        self.database
            .write(move |write| {
                let (bucket, version) = existing(
                    write.connection,
                    &input.bucket,
                    &input.key,
                    input.version_id.as_deref(),
                )?;
                if !is_of_archive(&version.attributes) {
                    return Err(invalid_state(
                        "Restore is not allowed for the object's current storage class",
                    ));
                }
                let restored = Attributes {
                    restored_until: Some(now_milliseconds() + i64::from(days) * DAY),
                    ..version.attributes.clone()
                };
                version.set_attributes(write.connection, &restored)?;
                for kind in [Kind::RestorePost, Kind::RestoreCompleted] {
                    let moment = write.moment();
                    delivery.announce(
                        write,
                        &bucket,
                        &Change::of(kind, &bucket, &version, moment, &requester),
                    )?;
                }
                Ok(())
            })
            .await?;
        Ok(RestoreObjectOutput::default().into())
    }
}

/// `InvalidObjectState`, where the bytes are in an archive and not restored.
pub(super) fn check_readable(attributes: &Attributes) -> Result<(), Failure> {
    let is_restored = attributes
        .restored_until
        .is_some_and(|end| end > now_milliseconds());
    if is_of_archive(attributes) && !is_restored {
        return Err(invalid_state(
            "The operation is not valid for the object's storage class",
        ));
    }
    Ok(())
}

/// The header `x-amz-restore`.
pub(super) fn restore_header(attributes: &Attributes) -> Option<String> {
    let end = attributes.restored_until?;
    let mut text = Vec::new();
    Timestamp::from(instant(end))
        .format(TimestampFormat::HttpDate, &mut text)
        .ok()?;
    let end = String::from_utf8(text).ok()?;
    Some(format!("ongoing-request=\"false\", expiry-date=\"{end}\""))
}

fn is_of_archive(attributes: &Attributes) -> bool {
    attributes
        .storage_class
        .as_deref()
        .is_some_and(|class| matches!(class, StorageClass::GLACIER | StorageClass::DEEP_ARCHIVE))
}

fn invalid_state(message: &'static str) -> Failure {
    Failure::answer(S3ErrorCode::InvalidObjectState, message)
}
