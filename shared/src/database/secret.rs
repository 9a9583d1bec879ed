//! User and password from AWS Secrets Manager.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::login::Login;
use super::url::Url;
use super::{ConnectError, Connection};
use super::{connection::Proof, error::advice};
use crate::secret::{SecretError, Settings};
use crate::telemetry::chain;

/// How long a secret is taken to be what it was. A refused password ends this at once.
const FRESH: Duration = Duration::from_mins(10);
/// How long a refused password rests, while the secret stays the same: users are locked out by less.
const REST: Duration = Duration::from_mins(1);

/// A secret, and what it said last.
pub(super) struct Secret {
    stored: crate::secret::Secret,
    /// `DATABASE_URL`: where the database is, if the secret does not say.
    base: Option<Url>,
    clock: fn() -> SystemTime,
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
            .field("stored", &self.stored)
            .finish_non_exhaustive()
    }
}

impl Secret {
    pub(super) fn new(settings: Settings, base: Option<Url>, clock: fn() -> SystemTime) -> Self {
        Self {
            stored: crate::secret::Secret::new(settings),
            base,
            clock,
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
                id: self.stored.id().to_owned(),
            });
        }
        Ok(now)
    }

    /// Asks Secrets Manager, and keeps the answer.
    async fn read(&self) -> Result<Known, SecretError> {
        let text = self.stored.fetch().await?;
        let url = text
            .parse::<Login>()
            .and_then(|login| login.over(self.base.as_ref()))
            .map_err(|error| self.stored.unusable(error.to_string()))?;
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::UNIX_EPOCH;

    use testkit::{Postgres, Proxy, SecretsManager};

    use super::*;
    use crate::config::Env;

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
            let mut env = Env::new([
                ("DATABASE_SECRET_ARN", "orders"),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.endpoint()),
                ("AWS_ACCESS_KEY_ID", "id"),
                ("AWS_SECRET_ACCESS_KEY", "key"),
            ]);
            let settings = Settings::from_env(&mut env, "DATABASE_SECRET_ARN");
            let settings = settings.flatten().unwrap();
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
}
