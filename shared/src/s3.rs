//! Objects in S3, as far as the functions need them.

use std::sync::OnceLock;

use aws_credential_types::Credentials;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::head_object::HeadObjectError;
use aws_smithy_types::DateTime;

use crate::aws::{self, Caller};
use crate::config::{Env, FromEnv};

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
            etag: head.e_tag.map(|etag| etag.trim_matches('"').to_owned()),
            size: head.content_length,
            version_id: head.version_id.filter(|version| version != "null"),
            last_modified: head.last_modified,
        })
    }

    fn classify(&self, action: &'static str, key: &str, error: SdkError<HeadObjectError>) -> Error {
        // HEAD has no body, so a missing object is "NotFound" where GET says "NoSuchKey".
        match error.code() {
            Some("NotFound" | "NoSuchKey") => Error::NotFound,
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

/// Why S3 did not do what was asked: one variant per decision a caller can take.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such object.
    #[error("the object does not exist")]
    NotFound,
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
