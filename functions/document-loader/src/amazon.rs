//! S3 as it is reached for a source: with whose rights, and in which region.

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_s3::config::{BehaviorVersion, IdentityCache, Region};
use aws_smithy_types::timeout::TimeoutConfig;
use shared::aws::{self, Caller};
use shared::config::{Env, FromEnv};

use crate::cache::Cache;
use crate::policy::session_policy;
use crate::reason::Problem;
use crate::role::{Key, Roles, Session, SessionProvider};
use crate::source::Source;

/// Clients kept at most.
const CLIENTS: usize = 2_000;
/// Where a region is not told.
const REGION: &str = "us-east-1";

/// Where S3 and STS are, and who asks: the variables that Lambda sets, and those that point elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Region and credentials of the function itself.
    pub caller: Caller,
    /// S3 elsewhere than at Amazon.
    pub s3_endpoint: Option<String>,
    /// STS elsewhere than at Amazon.
    pub sts_endpoint: Option<String>,
    /// The function's name, for the logs of other accounts.
    pub function: String,
}

impl FromEnv for Settings {
    fn from_env(env: &mut Env) -> Option<Self> {
        let caller = Caller::from_env(env);
        let s3_endpoint = aws::endpoint(env, "AWS_ENDPOINT_URL_S3");
        let sts_endpoint = aws::endpoint(env, "AWS_ENDPOINT_URL_STS");
        let function = env.or("AWS_LAMBDA_FUNCTION_NAME", "document-loader".to_owned());
        Some(Self {
            caller: caller?,
            s3_endpoint: s3_endpoint?,
            sts_endpoint: sts_endpoint?,
            function: function?,
        })
    }
}

/// S3 and STS: one client for each role, external id, policy and region.
#[derive(Debug)]
pub struct Amazon {
    s3: aws_sdk_s3::Config,
    roles: Roles,
    clients: Cache<ClientKey, aws_sdk_s3::Client>,
    /// Buckets that are elsewhere than they were looked for.
    regions: Cache<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ClientKey {
    /// `None`: the function's own rights.
    session: Option<Key>,
    region: Option<String>,
    /// One source's failures do not use up the tries of another's.
    source: i64,
    revision: i64,
}

/// The way to the objects of a source.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) client: aws_sdk_s3::Client,
    session: Option<(Arc<Session>, String)>,
}

impl Amazon {
    /// S3 and STS at the places the settings name.
    pub fn new(settings: &Settings) -> Self {
        let is_elsewhere = settings.s3_endpoint.is_some() || settings.sts_endpoint.is_some();
        let http = aws::http_client(is_elsewhere);
        let region = Region::new(settings.caller.region.clone().unwrap_or(REGION.to_owned()));
        let mut s3 = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region.clone())
            .http_client(http.clone());
        let mut sts = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region)
            .http_client(http);
        if let Some(credentials) = &settings.caller.credentials {
            s3 = s3.credentials_provider(credentials.clone());
            sts = sts.credentials_provider(credentials.clone());
        }
        if let Some(endpoint) = &settings.s3_endpoint {
            // Stores of one's own seldom have a DNS name per bucket.
            s3 = s3.endpoint_url(endpoint).force_path_style(true);
        }
        if let Some(endpoint) = &settings.sts_endpoint {
            sts = sts.endpoint_url(endpoint);
        }
        Self::with_configs(&s3.build(), &sts.build(), settings.function.clone())
    }

    /// S3 and STS behind clients that are set up already; `function` is the name that other accounts' logs have.
    pub fn with_configs(
        s3: &aws_sdk_s3::Config,
        sts: &aws_sdk_sts::Config,
        function: String,
    ) -> Self {
        let s3 = s3
            .to_builder()
            .retry_config(RetryConfig::standard())
            .timeout_config(s3_timeouts())
            .build();
        let sts = sts
            .to_builder()
            .retry_config(RetryConfig::standard())
            .timeout_config(aws::timeouts())
            .build();
        Self {
            s3,
            roles: Roles::new(aws_sdk_sts::Client::from_conf(sts), function),
            clients: Cache::new(CLIENTS),
            regions: Cache::new(CLIENTS),
        }
    }

    /// The way to the objects of a source in a bucket.
    ///
    /// # Errors
    ///
    /// The role cannot be assumed.
    pub(crate) async fn access(&self, source: &Source, bucket: &str) -> Result<Access, Problem> {
        let session = session_key(source, bucket);
        let region = self.region_found(bucket).or_else(|| source.region.clone());
        let key = ClientKey {
            session,
            region,
            source: source.id,
            revision: source.revision,
        };
        let session = match &key.session {
            None => None,
            Some(session) => {
                let session = self.roles.session(session, &source.prefix);
                let credentials = session.credentials(source.revision).await?;
                Some((session, credentials.access_key_id().to_owned()))
            }
        };
        let client = self.clients.get_or_insert(&key, || {
            self.client(&key, session.as_ref().map(|(session, _)| session))
        });
        Ok(Access { client, session })
    }

    fn client(&self, key: &ClientKey, session: Option<&Arc<Session>>) -> aws_sdk_s3::Client {
        let mut config = self
            .s3
            .to_builder()
            .retry_partition(RetryPartition::new(format!("source-{}", key.source)));
        if let Some(region) = &key.region {
            config = config.region(Region::new(region.clone()));
        }
        if let Some(session) = session {
            // The session keeps its credentials itself, and longer before their end.
            config = config
                .identity_cache(IdentityCache::no_cache())
                .credentials_provider(SharedCredentialsProvider::new(SessionProvider {
                    session: Arc::clone(session),
                    revision: key.revision,
                }));
        }
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// Notes where a bucket is.
    pub(crate) fn found(&self, bucket: &str, region: &str) {
        tracing::info!(bucket, region, "the bucket {bucket} is in {region}");
        self.regions.insert(bucket.to_owned(), region.to_owned());
    }

    /// Where a bucket was found, if that was not where it was looked for.
    pub(crate) fn region_found(&self, bucket: &str) -> Option<String> {
        self.regions.get(&bucket.to_owned())
    }

    /// STS, for the one who wants to know what it refuses.
    pub(crate) fn roles(&self) -> &Roles {
        &self.roles
    }

    /// How often STS was asked so far.
    pub fn role_calls(&self) -> usize {
        self.roles.calls()
    }
}

impl Access {
    /// Forgets the credentials, which S3 would not take. `false` if there are no others to be had.
    pub(crate) async fn forget_credentials(&self) -> bool {
        match &self.session {
            None => false,
            Some((session, access_key_id)) => {
                session.forget(access_key_id).await;
                true
            }
        }
    }
}

/// What makes the session of a source with a role.
pub(crate) fn session_key(source: &Source, bucket: &str) -> Option<Key> {
    let role = source.role.clone()?;
    let prefix = source
        .prefix
        .strip_prefix("s3://")
        .and_then(|place| place.strip_prefix(bucket))
        .and_then(|place| place.strip_prefix('/'))
        .unwrap_or_default();
    let policy = session_policy(&role.arn, bucket, prefix);
    Some(Key { role, policy })
}

/// How long S3 may take to begin an answer. How long the rest may take is seen to by who reads it.
fn s3_timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(12))
        .build()
}
