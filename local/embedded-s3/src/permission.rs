//! Which actions of IAM an operation of S3 needs, and what is known of its request.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html>,
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html>.

use std::borrow::Cow;

use embedded_iam::{Context, pairs};
use http::{HeaderMap, Uri};
use s3s::dto::CopySource;

/// Parameters of the query that policies can have conditions on.
const CONDITIONS: [(&str, &str); 4] = [
    ("prefix", "s3:prefix"),
    ("delimiter", "s3:delimiter"),
    ("max-keys", "s3:max-keys"),
    ("versionId", "s3:VersionId"),
];

/// Something to be done to a bucket, or to one of its objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) action: Cow<'static, str>,
    /// `None` where it is done to the bucket.
    pub(crate) key: Option<String>,
}

/// A request of S3, as far as it matters who sent it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// As the API names it.
    pub(crate) operation: &'a str,
    pub(crate) bucket: Option<&'a str>,
    pub(crate) key: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) uri: &'a Uri,
}

impl Asked<'_> {
    /// A parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        pairs(self.uri.query().unwrap_or_default())
            .flatten()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value)
    }

    /// A header, which a presigned request may have in its query instead.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        if let Some(value) = self.headers.get(name) {
            return Some(String::from_utf8_lossy(value.as_bytes()).into_owned());
        }
        pairs(self.uri.query().unwrap_or_default())
            .flatten()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// What conditions may ask for.
    pub(crate) fn context(&self) -> Context {
        let mut context = Context::default();
        for (name, value) in pairs(self.uri.query().unwrap_or_default()).flatten() {
            if let Some((_, key)) = CONDITIONS.iter().find(|(parameter, _)| *parameter == name) {
                context.add(key, value);
            }
        }
        context
    }

    /// The object that a copy reads.
    pub(crate) fn source(&self) -> Option<(String, Need)> {
        if !matches!(self.operation, "CopyObject" | "UploadPartCopy") {
            return None;
        }
        let source = CopySource::parse(&self.header("x-amz-copy-source")?).ok()?;
        let CopySource::Bucket {
            bucket,
            key,
            version_id,
        } = source
        else {
            return None;
        };
        let action = if version_id.is_some() {
            "s3:GetObjectVersion"
        } else {
            "s3:GetObject"
        };
        Some((
            bucket.into(),
            Need {
                action: action.into(),
                key: Some(key.into()),
            },
        ))
    }

    /// What the operation does. Those of a batch and of a form are needed once their keys are known.
    pub(crate) fn needs(&self) -> Vec<Need> {
        let names_version = self.parameter("versionId").is_some();
        let of_version = |plain: &'static str, versioned: &'static str| -> Cow<'static, str> {
            if names_version { versioned } else { plain }.into()
        };
        let mut actions: Vec<Cow<'static, str>> = vec![match self.operation {
            "DeleteObjects" | "PostObject" => return Vec::new(),
            "ListBuckets" => "s3:ListAllMyBuckets".into(),
            "HeadBucket" | "ListObjects" | "ListObjectsV2" => "s3:ListBucket".into(),
            "ListObjectVersions" => "s3:ListBucketVersions".into(),
            "ListMultipartUploads" => "s3:ListBucketMultipartUploads".into(),
            "ListParts" => "s3:ListMultipartUploadParts".into(),
            "GetBucketNotificationConfiguration" => "s3:GetBucketNotification".into(),
            "PutBucketNotificationConfiguration" => "s3:PutBucketNotification".into(),
            "GetObject" | "HeadObject" | "GetObjectAttributes" => {
                of_version("s3:GetObject", "s3:GetObjectVersion")
            }
            "DeleteObject" => of_version("s3:DeleteObject", "s3:DeleteObjectVersion"),
            "GetObjectTagging" => of_version("s3:GetObjectTagging", "s3:GetObjectVersionTagging"),
            "PutObjectTagging" => of_version("s3:PutObjectTagging", "s3:PutObjectVersionTagging"),
            "DeleteObjectTagging" => {
                of_version("s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging")
            }
            "PutObject"
            | "CopyObject"
            | "CreateMultipartUpload"
            | "UploadPart"
            | "UploadPartCopy"
            | "CompleteMultipartUpload" => "s3:PutObject".into(),
            other => format!("s3:{other}").into(),
        }];
        if self.operation == "GetObjectAttributes" {
            actions.push(of_version(
                "s3:GetObjectAttributes",
                "s3:GetObjectVersionAttributes",
            ));
        }
        let tags = matches!(
            self.operation,
            "PutObject" | "CopyObject" | "CreateMultipartUpload"
        );
        if tags && self.headers.contains_key("x-amz-tagging") {
            actions.push("s3:PutObjectTagging".into());
        }
        let need = |action| Need {
            action,
            key: self.key.map(str::to_owned),
        };
        actions.into_iter().map(need).collect()
    }
}
