//! Objects in S3, as far as the functions need them: what there is (here), what is in it (`content`), what is written in
//! parts (`multipart`), and what others may do in the function's name (`presign`).

mod content;
mod multipart;
mod presign;

use std::sync::OnceLock;

use aws_credential_types::Credentials;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::EncodingType;
use percent_encoding::percent_decode_str;

use crate::aws::{self, Caller};
use crate::config::{Env, FromEnv};

/// A moment, as S3 tells it.
pub use aws_smithy_types::DateTime;
pub use content::{Checksum, Content, Description};
pub use multipart::{
    Attributes, LARGEST_PART, MOST_PARTS, Part, PartChecksum, SMALLEST_PART, Upload,
};
pub use presign::{Condition, Presigned};

/// Where S3 is and who asks: the variables that Lambda sets, and those that point elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The AWS region.
    pub region: Option<String>,
    /// An endpoint other than Amazon's, such as `http://127.0.0.1:9001`.
    pub endpoint: Option<String>,
    /// The function's own credentials. Without them requests fail with [`Error::Other`].
    pub credentials: Option<Credentials>,
}

impl FromEnv for Settings {
    fn from_env(env: &mut Env) -> Option<Self> {
        let caller = Caller::from_env(env);
        let endpoint = aws::endpoint(env, "AWS_ENDPOINT_URL_S3");
        let caller = caller?;
        Some(Self {
            region: caller.region,
            endpoint: endpoint?,
            credentials: caller.credentials,
        })
    }
}

/// S3, reached with this function's own credentials. The connection is made by the first request.
#[derive(Debug)]
pub struct S3 {
    settings: Settings,
    client: OnceLock<aws_sdk_s3::Client>,
}

impl S3 {
    /// S3 at the place the settings name. Costs nothing until it is used.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            client: OnceLock::new(),
        }
    }

    /// S3 behind a client that is already there.
    pub fn with_client(client: aws_sdk_s3::Client) -> Self {
        Self {
            settings: Settings::default(),
            client: OnceLock::from(client),
        }
    }

    /// The bucket of this name.
    pub fn bucket(&self, name: impl Into<String>) -> Bucket {
        let client = self.client.get_or_init(|| client(&self.settings)).clone();
        Bucket {
            client,
            name: name.into(),
        }
    }
}

/// One bucket. A cheap handle: no request is made until a method is called.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: aws_sdk_s3::Client,
    name: String,
}

impl Bucket {
    /// What S3 says of the current version of an object.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is none, or the current version is a delete marker.
    pub async fn head(&self, key: &str) -> Result<Head, Error> {
        let head = self
            .client
            .head_object()
            .bucket(&self.name)
            .key(key)
            .send()
            .await
            .map_err(|error| self.classify("HeadObject", key, error))?;
        Ok(Head {
            etag: head.e_tag.map(unquoted),
            size: head.content_length,
            version_id: head.version_id.filter(|version| version != "null"),
            last_modified: head.last_modified,
        })
    }

    /// The next objects, by key in the order of its bytes: up to 1,000 that begin with `prefix` and come after
    /// `after`. A page may be empty and yet not the last.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such bucket.
    pub async fn list(&self, prefix: &str, after: Option<&Marker>) -> Result<Page, Error> {
        let after = after.map(|after| after.key.as_str());
        self.list_some(prefix, after, None).await
    }

    /// As [`list`](Self::list), from behind any key, whether there is such an object or not, and at most `limit`
    /// objects, of which S3 gives no more than 1,000.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such bucket.
    pub async fn list_some(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: Option<u16>,
    ) -> Result<Page, Error> {
        let listed = self
            .client
            .list_objects_v2()
            .bucket(&self.name)
            .prefix(prefix)
            .set_start_after(after.map(ToOwned::to_owned))
            .set_max_keys(limit.map(i32::from))
            // As it is, a key may hold characters that XML cannot.
            .encoding_type(EncodingType::Url)
            .send()
            .await
            .map_err(|error| self.classify("ListObjectsV2", prefix, error))?;
        let is_encoded = listed.encoding_type == Some(EncodingType::Url);
        let objects: Vec<Listed> = listed
            .contents
            .unwrap_or_default()
            .into_iter()
            .filter_map(|object| {
                Some(Listed {
                    key: raw(object.key?, is_encoded)?,
                    etag: object.e_tag.map(unquoted),
                    size: object.size,
                    version_id: None,
                    last_modified: object.last_modified,
                })
            })
            .collect();
        let is_truncated = listed.is_truncated.unwrap_or(false);
        let next = objects.last().filter(|_| is_truncated).map(|last| Marker {
            key: last.key.clone(),
            version_id: None,
        });
        Ok(Page { objects, next })
    }

    /// As [`list`](Self::list), with the version of each object. Old versions take up room on the way: 1,000 of all
    /// versions make a page.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such bucket.
    pub async fn list_versions(&self, prefix: &str, after: Option<&Marker>) -> Result<Page, Error> {
        let listed = self
            .client
            .list_object_versions()
            .bucket(&self.name)
            .prefix(prefix)
            .set_key_marker(after.map(|after| after.key.clone()))
            .set_version_id_marker(after.and_then(|after| after.version_id.clone()))
            .encoding_type(EncodingType::Url)
            .send()
            .await
            .map_err(|error| self.classify("ListObjectVersions", prefix, error))?;
        let is_encoded = listed.encoding_type == Some(EncodingType::Url);
        let objects = listed
            .versions
            .unwrap_or_default()
            .into_iter()
            .filter(|version| version.is_latest == Some(true))
            .filter_map(|version| {
                Some(Listed {
                    key: raw(version.key?, is_encoded)?,
                    etag: version.e_tag.map(unquoted),
                    size: version.size,
                    version_id: version.version_id.filter(|version| version != "null"),
                    last_modified: version.last_modified,
                })
            })
            .collect();
        let next = listed
            .next_key_marker
            .filter(|_| listed.is_truncated == Some(true))
            .and_then(|key| raw(key, is_encoded))
            .map(|key| Marker {
                key,
                version_id: listed.next_version_id_marker,
            });
        Ok(Page { objects, next })
    }

    /// Whether objects have versions, now or from an earlier time.
    ///
    /// # Errors
    ///
    /// [`Error`], above all when the function may not ask.
    pub async fn is_versioned(&self) -> Result<bool, Error> {
        let versioning = self
            .client
            .get_bucket_versioning()
            .bucket(&self.name)
            .send()
            .await
            .map_err(|error| self.classify("GetBucketVersioning", "", error))?;
        Ok(versioning.status.is_some())
    }

    fn classify<E>(&self, action: &'static str, key: &str, error: SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        // HEAD has no body, so a missing object is "NotFound" where GET says "NoSuchKey".
        match error.code() {
            Some("NotFound" | "NoSuchKey" | "NoSuchBucket" | "NoSuchUpload") => Error::NotFound,
            Some("PreconditionFailed") => Error::Precondition,
            Some("ConditionalRequestConflict") => Error::Conflict,
            _ => Error::Other {
                action,
                bucket: self.name.clone(),
                key: key.to_owned(),
                status: error
                    .raw_response()
                    .map(|response| response.status().as_u16()),
                source: Box::new(error),
            },
        }
    }

    /// What went wrong where S3 did not refuse.
    fn other(
        &self,
        action: &'static str,
        key: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error::Other {
            action,
            bucket: self.name.clone(),
            key: key.to_owned(),
            status: None,
            source: source.into(),
        }
    }
}

/// The current version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The entity tag without its quotes.
    pub etag: Option<String>,
    /// Bytes.
    pub size: Option<i64>,
    /// `None` in a bucket without versions.
    pub version_id: Option<String>,
    /// To the second, as S3 tells it.
    pub last_modified: Option<DateTime>,
}

/// Some of a bucket's objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of their keys, as S3 promises.
    pub objects: Vec<Listed>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Marker>,
}

/// A place in a listing: behind this key, or behind this version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The raw key.
    pub key: String,
    /// Of the key's versions, newest first, the last that was listed.
    pub version_id: Option<String>,
}

/// An object as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The raw key.
    pub key: String,
    /// The entity tag without its quotes.
    pub etag: Option<String>,
    /// Bytes.
    pub size: Option<i64>,
    /// `None` where the listing does not tell, or the bucket has no versions.
    pub version_id: Option<String>,
    /// To the second; for a multipart upload, when it began.
    pub last_modified: Option<DateTime>,
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

fn unquoted(etag: String) -> String {
    if etag.starts_with('"') {
        etag.trim_matches('"').to_owned()
    } else {
        etag
    }
}

/// The key that a listing encodes: form-urlencoded, `+` for a space. `None` for one that is not UTF-8, which S3 does
/// not have.
fn raw(key: String, is_encoded: bool) -> Option<String> {
    if !is_encoded || !key.contains(['+', '%']) {
        return Some(key);
    }
    let spaced = key.replace('+', " ");
    let key = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(key.into_owned())
}

/// Why S3 did not do what was asked: one variant per decision a caller can take.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such object, or no such upload.
    #[error("the object does not exist")]
    NotFound,
    /// The object is not in the state that was the condition.
    #[error("the object is not what it was")]
    Precondition,
    /// Somebody else changed the object at the same moment, so S3 did not decide who was first. Asking again tells.
    #[error("the object is being changed by somebody else")]
    Conflict,
    /// Everything else: throttling, refusal, no connection.
    #[error("{action} of s3://{bucket}/{key} failed{}", status.map(|status| format!(" with status {status}")).unwrap_or_default())]
    Other {
        /// The S3 operation.
        action: &'static str,
        /// The bucket it was meant for.
        bucket: String,
        /// The key it was meant for.
        key: String,
        /// The HTTP status, if there was an answer.
        status: Option<u16>,
        /// What the SDK reported.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Whether asking again is of no use until somebody changes something: a right, or the region that is asked.
    /// What S3 throttles, what it could not do, and what did not reach it may succeed the next time; so may what it
    /// calls a bad request (400), which is how it answers credentials that have expired.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::NotFound | Self::Precondition => true,
            Self::Conflict => false,
            Self::Other { status, .. } => {
                matches!(status, Some(301 | 307 | 308 | 401 | 403 | 405))
            }
        }
    }
}

fn client(settings: &Settings) -> aws_sdk_s3::Client {
    let mut config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(
            settings
                .region
                .clone()
                .unwrap_or_else(|| "us-east-1".to_owned()),
        ))
        .http_client(aws::http_client(settings.endpoint.is_some()))
        .retry_config(RetryConfig::standard())
        .timeout_config(aws::timeouts());
    if let Some(endpoint) = &settings.endpoint {
        // Stores of one's own seldom have a DNS name per bucket.
        config = config.endpoint_url(endpoint).force_path_style(true);
    }
    if let Some(credentials) = &settings.credentials {
        config = config.credentials_provider(credentials.clone());
    }
    aws_sdk_s3::Client::from_conf(config.build())
}
