//! What S3 says of an object before its bytes.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::head_object::{HeadObjectError, HeadObjectOutput};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::amazon::Access;
use crate::fault::{Fault, fault};
use crate::queue::Version;
use crate::read::{Reading, condition};
use crate::reason::{Problem, Reason};

/// What S3 says of an object before its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) etag: Option<String>,
    pub(crate) version_id: Option<String>,
    pub(crate) size: u64,
    pub(crate) content_type: Option<String>,
}

impl Head {
    /// From the words of S3.
    pub(crate) fn new(
        etag: Option<String>,
        version_id: Option<String>,
        size: Option<i64>,
        content_type: Option<String>,
    ) -> Self {
        let size = size.and_then(|size| u64::try_from(size).ok());
        Self {
            etag: etag.map(unquoted),
            version_id: version_id.filter(|version| version != "null"),
            size: size.unwrap_or_default(),
            content_type,
        }
    }

    /// The object's version, for requests that must have no other.
    pub(crate) fn version(&self) -> Version {
        Version {
            etag: self.etag.clone(),
            version_id: self.version_id.clone(),
            size: None,
        }
    }
}

impl Reading<'_> {
    /// What S3 says of the object.
    pub(crate) async fn head(self, version: &Version) -> Result<Head, Problem> {
        let head = self
            .ask(|access| async move {
                let asked = self.request_head(&access, version).await;
                match asked {
                    Ok(head) => Ok(head),
                    // The answer to this question has no body, and so no code.
                    Err(error) if is_mute(&error) => {
                        match self.get(&access, version, Some("bytes=0-0")).await {
                            Ok(_) | Err(Fault::Empty) => Err(fault("HeadObject", &error)),
                            Err(fault) => Err(fault),
                        }
                    }
                    Err(error) => Err(fault("HeadObject", &error)),
                }
            })
            .await?;
        let is_archived = head.archive_status.is_some()
            || head
                .storage_class
                .as_ref()
                .is_some_and(|class| matches!(class.as_str(), "GLACIER" | "DEEP_ARCHIVE"));
        let is_restored = head
            .restore
            .as_deref()
            .is_some_and(|restore| restore.contains("ongoing-request=\"false\""));
        if is_archived && !is_restored {
            return Err(Problem::new(
                Reason::Archived,
                "the object is in an archive: restore it, then it is loaded",
            ));
        }
        let head = Head::new(
            head.e_tag,
            head.version_id,
            head.content_length,
            head.content_type,
        );
        self.check(&head, version)?;
        Ok(head)
    }

    async fn request_head(
        self,
        access: &Access,
        version: &Version,
    ) -> Result<HeadObjectOutput, SdkError<HeadObjectError>> {
        access
            .client
            .head_object()
            .bucket(self.location.bucket())
            .key(self.location.key())
            .set_version_id(version.version_id.clone())
            .set_if_match(condition(version))
            .set_request_payer(self.payer())
            .set_expected_bucket_owner(self.source.expected_bucket_owner.clone())
            .send()
            .await
    }
}

fn is_mute<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    error.code().is_none() && matches!(status, Some(400 | 403))
}

fn unquoted(etag: String) -> String {
    if etag.starts_with('"') {
        etag.trim_matches('"').to_owned()
    } else {
        etag
    }
}
