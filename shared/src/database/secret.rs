//! User and password from AWS Secrets Manager.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Region};
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;

use super::login::Login;
use super::url::Url;
use super::{ConnectError, Connection};
use super::{connection::Proof, error::advice};
use crate::aws;
use crate::telemetry::chain;

/// How long a secret is taken to be what it was. A refused password ends this at once.
const FRESH: Duration = Duration::from_mins(10);
/// How long a refused password rests, while the secret stays the same: users are locked out by less.
const REST: Duration = Duration::from_mins(1);

/// Name or ARN of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SecretId(String);

/// A text that cannot name a secret.
#[derive(Debug, thiserror::Error)]
#[error(
    "must be the name of a secret or its ARN, arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"
)]
pub(super) struct InvalidSecretId;

impl FromStr for SecretId {
    type Err = InvalidSecretId;

    fn from_str(text: &str) -> Result<Self, InvalidSecretId> {
        let id = Self(text.to_owned());
        let is_name = |name: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-!".contains(&byte);
            !name.is_empty() && name.bytes().all(allowed)
        };
        let is_valid = if text.starts_with("arn:") {
            id.region().is_some_and(|region| !region.is_empty())
                && text.split(':').nth(6).is_some_and(is_name)
        } else {
            is_name(text)
        };
        is_valid.then_some(id).ok_or(InvalidSecretId)
    }
}

impl SecretId {
    /// The region in an ARN.
    pub(super) fn region(&self) -> Option<&str> {
        let mut parts = self.0.strip_prefix("arn:")?.split(':').skip(1);
        (parts.next()? == "secretsmanager").then(|| parts.next())?
    }
}

/// Which secret, and who asks for it.
#[derive(Debug, Clone)]
pub(super) struct SecretSettings {
    pub(super) id: SecretId,
    pub(super) region: String,
    pub(super) endpoint: Option<String>,
    pub(super) credentials: Option<Credentials>,
}

/// Why there is no user and password to be had from the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is none of this name, or it is about to be deleted.
    #[error("there is no secret {id} in {region}: check DATABASE_SECRET_ARN")]
    Missing {
        /// Name or ARN.
        id: String,
        /// Where it was looked for.
        region: String,
        /// What Secrets Manager says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The function may not read it.
    #[error(
        "the function may not read the secret {id}: allow its role secretsmanager:GetSecretValue, and kms:Decrypt if the secret has a key of its own"
    )]
    Denied {
        /// Name or ARN.
        id: String,
        /// What Secrets Manager says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Throttled, or no answer: later may be better.
    #[error(
        "cannot read the secret {id} at present: in a VPC this takes a way to Secrets Manager, by a VPC endpoint or NAT"
    )]
    Unavailable {
        /// Name or ARN.
        id: String,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is there, but is not what it should be.
    #[error("the secret {id} cannot be used: {problem}")]
    Unusable {
        /// Name or ARN.
        id: String,
        /// What it should be; nothing of what it is.
        problem: String,
    },
}

/// A secret, and what it said last.
pub(super) struct Secret {
    settings: SecretSettings,
    /// `DATABASE_URL`: where the database is, if the secret does not say.
    base: Option<Url>,
    clock: fn() -> SystemTime,
    client: OnceLock<Client>,
    known: Mutex<Option<Known>>,
}

#[derive(Clone)]
struct Known {
    text: String,
    url: Url,
    read_at: SystemTime,
    /// When the database last refused this text.
    refused_at: Option<SystemTime>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Secret")
            .field("id", &self.settings.id)
            .finish_non_exhaustive()
    }
}

impl Secret {
    pub(super) fn new(
        settings: SecretSettings,
        base: Option<Url>,
        clock: fn() -> SystemTime,
    ) -> Self {
        Self {
            settings,
            base,
            clock,
            client: OnceLock::new(),
            known: Mutex::default(),
        }
    }

    /// Connects with the user and password known. Should the database refuse them, the secret is read again, and if
    /// it has changed, its new content is tried once.
    pub(super) async fn open(&self) -> Result<Connection, ConnectError> {
        let first = self.current().await?;
        let refused = match self.connect(&first).await {
            Err(error) if error.is_about_credentials() => error,
            connected => return connected,
        };
        let second = self.read().await?;
        if second.text == first.text {
            return Err(refused);
        }
        tracing::info!("the database refused the password; the secret has a new one");
        self.connect(&second).await
    }

    async fn connect(&self, with: &Known) -> Result<Connection, ConnectError> {
        let connected = Connection::open(&with.url, Proof::Password(advice::SECRET)).await;
        let refused_at = match &connected {
            Ok(_) => None,
            Err(error) if error.is_about_credentials() => Some((self.clock)()),
            Err(_) => return connected,
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_mut().filter(|known| known.text == with.text) {
            known.refused_at = refused_at;
        }
        connected
    }

    /// What is known, or what the secret says now.
    async fn current(&self) -> Result<Known, ConnectError> {
        let known = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(known) = known else {
            return Ok(self.read().await?);
        };
        // A clock set back counts as long ago.
        let is_within = |time: SystemTime, limit| {
            (self.clock)()
                .duration_since(time)
                .is_ok_and(|age| age < limit)
        };
        let Some(refused_at) = known.refused_at else {
            if is_within(known.read_at, FRESH) {
                return Ok(known);
            }
            return match self.read().await {
                // What worked before most likely still does: the database will say.
                Err(error @ SecretError::Unavailable { .. }) => {
                    tracing::warn!(error = %chain(&error), "using the password of the secret as read before");
                    Ok(known)
                }
                read => Ok(read?),
            };
        };
        let now = self.read().await?;
        if now.text == known.text && is_within(refused_at, REST) {
            return Err(ConnectError::SecretRefused {
                id: self.settings.id.0.clone(),
            });
        }
        Ok(now)
    }

    /// Asks Secrets Manager, and keeps the answer.
    async fn read(&self) -> Result<Known, SecretError> {
        let SecretId(id) = &self.settings.id;
        let client = self.client.get_or_init(|| client(&self.settings));
        let answer = client.get_secret_value().secret_id(id).send().await;
        let value = answer.map_err(|error| {
            let code = error.code().map(ToOwned::to_owned);
            let (id, source) = (id.clone(), Box::new(error));
            match code.as_deref() {
                Some("ResourceNotFoundException" | "InvalidRequestException") => {
                    SecretError::Missing {
                        id,
                        region: self.settings.region.clone(),
                        source,
                    }
                }
                Some(
                    "AccessDeniedException"
                    | "DecryptionFailure"
                    | "UnrecognizedClientException"
                    | "InvalidSignatureException"
                    | "ExpiredTokenException",
                ) => SecretError::Denied { id, source },
                _ => SecretError::Unavailable { id, source },
            }
        })?;
        let unusable = |problem: String| SecretError::Unusable {
            id: id.clone(),
            problem,
        };
        let text = value
            .secret_string
            .ok_or_else(|| unusable("it is binary".to_owned()))?;
        let url = text
            .parse::<Login>()
            .and_then(|login| login.over(self.base.as_ref()))
            .map_err(|error| unusable(error.to_string()))?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let refused_at = known
            .as_ref()
            .filter(|known| known.text == text)
            .and_then(|known| known.refused_at);
        let now = Known {
            text,
            url,
            read_at: (self.clock)(),
            refused_at,
        };
        *known = Some(now.clone());
        Ok(now)
    }
}

fn client(settings: &SecretSettings) -> Client {
    let mut config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .http_client(aws::http_client(settings.endpoint.is_some()))
        .retry_config(RetryConfig::standard())
        .timeout_config(aws::timeouts());
    if let Some(endpoint) = &settings.endpoint {
        config = config.endpoint_url(endpoint);
    }
    if let Some(credentials) = &settings.credentials {
        config = config.credentials_provider(credentials.clone());
    }
    Client::from_conf(config.build())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::UNIX_EPOCH;

    use testkit::{Postgres, Proxy, SecretsManager};

    use super::*;

    /// A secret for the user `app` of a server, with a clock of its own.
    struct Deployed {
        postgres: Postgres,
        proxy: Proxy,
        secrets: SecretsManager,
        secret: Secret,
    }

    impl Deployed {
        async fn start(clock: fn() -> SystemTime) -> Self {
            let mut postgres = Postgres::start_own().await;
            let create = "create role app login password 'alt'";
            postgres
                .connect()
                .await
                .batch_execute(create)
                .await
                .unwrap();
            postgres
                .allow("host all app 127.0.0.1/32 scram-sha-256")
                .await;
            let proxy = Proxy::start(postgres.address()).await;
            let secrets = SecretsManager::start().await;
            let settings = SecretSettings {
                id: "orders".parse().unwrap(),
                region: "us-east-1".to_owned(),
                endpoint: Some(secrets.endpoint().to_owned()),
                credentials: Some(Credentials::new("id", "key", None, None, "test")),
            };
            let base = format!("postgresql://{}/test", proxy.address())
                .parse()
                .unwrap();
            let deployed = Self {
                postgres,
                proxy,
                secrets,
                secret: Secret::new(settings, Some(base), clock),
            };
            deployed.put("alt");
            deployed
        }

        fn put(&self, password: &str) {
            let text = format!(r#"{{"username":"app","password":"{password}"}}"#);
            self.secrets.put("orders", &text);
        }

        async fn change_password(&self, password: &str) {
            let statement = format!("alter role app password '{password}'");
            self.postgres
                .connect()
                .await
                .batch_execute(&statement)
                .await
                .unwrap();
        }

        /// Questions to Secrets Manager and connections to the database so far.
        fn counts(&self) -> (usize, usize) {
            (self.secrets.calls(), self.proxy.connections())
        }
    }

    #[tokio::test]
    async fn a_secret_is_read_again_after_ten_minutes_and_used_as_it_was_if_it_cannot_be() {
        static SECONDS: AtomicU64 = AtomicU64::new(0);
        let deployed = Deployed::start(|| {
            UNIX_EPOCH + Duration::from_secs(1_000_000 + SECONDS.load(Ordering::Relaxed))
        })
        .await;
        deployed.secret.open().await.unwrap();
        SECONDS.store(599, Ordering::Relaxed);
        deployed.secret.open().await.unwrap();
        assert_eq!(deployed.counts(), (1, 2));
        SECONDS.store(600, Ordering::Relaxed);
        deployed.secret.open().await.unwrap();
        assert_eq!(deployed.counts(), (2, 3));
        SECONDS.store(1_200, Ordering::Relaxed);
        deployed.secrets.refuse(500, "InternalServiceError");
        deployed.secret.open().await.unwrap();
        // Taken back, it is not used any longer.
        deployed.secrets.refuse(400, "AccessDeniedException");
        let error = deployed.secret.open().await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Secret(SecretError::Denied { .. })),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn a_refused_password_is_tried_again_after_a_minute() {
        static SECONDS: AtomicU64 = AtomicU64::new(0);
        let deployed = Deployed::start(|| {
            UNIX_EPOCH + Duration::from_secs(1_000_000 + SECONDS.load(Ordering::Relaxed))
        })
        .await;
        deployed.change_password("neu").await;
        deployed.secret.open().await.unwrap_err();
        assert_eq!(deployed.counts(), (2, 1));
        // What is wrong may be the database: it gets the password that the secret has.
        deployed.change_password("alt").await;
        SECONDS.store(59, Ordering::Relaxed);
        let error = deployed.secret.open().await.unwrap_err();
        assert!(
            matches!(error, ConnectError::SecretRefused { .. }),
            "{error:?}"
        );
        assert_eq!(deployed.counts(), (3, 1));
        SECONDS.store(60, Ordering::Relaxed);
        deployed.secret.open().await.unwrap();
        deployed.secret.open().await.unwrap();
        assert_eq!(deployed.counts(), (4, 3));
    }

    #[test]
    fn a_secret_is_named_by_its_name_or_arn() {
        for (text, region) in [
            ("orders/db", None),
            ("rds!db-0a1b2c3d", None),
            (
                "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-0a-AbCdEf",
                Some("eu-central-1"),
            ),
            (
                "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:a/b",
                Some("us-gov-west-1"),
            ),
        ] {
            let id: SecretId = text.parse().unwrap();
            assert_eq!(id.region(), region, "{text}");
        }
        for text in [
            "",
            "a b",
            "arn:aws:s3:::bucket",
            "arn:aws:secretsmanager::123456789012:secret:a",
            "arn:aws:secretsmanager:eu-central-1:123456789012:secret",
            "{{resolve:secretsmanager:a}}",
            "postgresql://u:p@h/d",
        ] {
            assert!(text.parse::<SecretId>().is_err(), "{text}");
        }
    }
}
