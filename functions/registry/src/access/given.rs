//! What the environment says of users and tokens, and where the rest is kept.
//!
//! The admin's password and the keys may be variables of the function, where everybody sees them who may read its
//! configuration; or they are in a secret of Secrets Manager, a JSON object such as
//!
//! ```json
//! { "admin_password": "…", "jwt_secret_key": "…", "jwt_secret_key_previous": "…" }
//! ```
//!
//! which is fetched once, when the function starts. A variable comes before what the secret says. `admin_password` may be a
//! list, and each of them a hash, as in the variable.

use std::str::FromStr;

use serde::Deserialize;
use shared::config::Env;
use shared::secret::{self, SecretError};

use super::settings::{Admin, SERVICE, Secret, Settings, public_secrets};
use super::token::{Key, Keys, WeakKey};
use super::user::UserName;

/// What names the secret.
const SECRET: &str = "ACCESS_SECRET_ARN";

/// Settings of users and tokens, as far as the environment has them.
#[derive(Debug, Clone)]
pub struct Given {
    name: UserName,
    secrets: Vec<Secret>,
    key: Option<Key>,
    previous: Option<Key>,
    issuer: String,
    audience: String,
    kept: Option<secret::Settings>,
}

/// The secret.
#[derive(Deserialize)]
struct Kept {
    admin_password: Option<OneOrMany>,
    jwt_secret_key: Option<String>,
    jwt_secret_key_previous: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Given {
    /// Reads the variables. `is_production` is for the caller to know; on Lambda, a key is needed even outside of it,
    /// because every instance would make another.
    pub fn from_env(env: &mut Env, is_production: bool) -> Option<Self> {
        let name = env.or("ADMIN_NAME", UserName::public());
        let password = env.optional::<Secret>("ADMIN_PASSWORD");
        let key = env.optional::<EnvKey>("JWT_SECRET_KEY");
        let previous = env.optional::<EnvKey>("JWT_SECRET_KEY_PREVIOUS");
        let issuer = env.or("JWT_ISSUER", SERVICE.to_owned());
        let audience = env.or("JWT_AUDIENCE", SERVICE.to_owned());
        let kept = secret::Settings::from_env(env, SECRET);
        let is_lambda = env
            .optional::<String>("AWS_LAMBDA_FUNCTION_NAME")
            .flatten()
            .is_some();

        let is_kept = !matches!(kept, Some(None));
        let secrets = match password {
            Some(Some(password)) => Some(vec![password]),
            Some(None) if is_kept => Some(Vec::new()),
            Some(None) if is_production => {
                env.problem(
                    "ADMIN_PASSWORD is not set, which in production it must be, or ACCESS_SECRET_ARN",
                );
                None
            }
            Some(None) => Some(public_secrets()),
            None => None,
        };
        let key = match key {
            Some(Some(EnvKey(key))) => Some(Some(key)),
            Some(None) if is_kept => Some(None),
            Some(None) if is_production || is_lambda => {
                env.problem(
                    "JWT_SECRET_KEY is not set, which in production and on Lambda it must be, or ACCESS_SECRET_ARN: \
                     instances would not believe each other's tokens",
                );
                None
            }
            Some(None) => Key::random()
                .map(Some)
                .map_err(|error| env.problem(format!("no random key: {error}")))
                .ok(),
            None => None,
        };
        Some(Self {
            name: name?,
            secrets: secrets?,
            key: key?,
            previous: previous?.map(|EnvKey(key)| key),
            issuer: issuer?,
            audience: audience?,
            kept: kept?,
        })
    }

    /// All settings, with what the secret says, if there is one.
    ///
    /// # Errors
    ///
    /// [`SecretError`]: it cannot be fetched, or does not say what the environment leaves open.
    pub async fn settings(self) -> Result<Settings, SecretError> {
        let Some(kept) = &self.kept else {
            return self.complete().map_err(|problem| SecretError::Unusable {
                id: SECRET.to_owned(),
                problem: problem.to_owned(),
            });
        };
        let secret = secret::Secret::new(kept.clone());
        let text = secret.fetch().await?;
        let filled = self.filled(&text).and_then(Self::complete);
        filled.map_err(|problem| secret.unusable(problem))
    }

    /// With what the secret says in the place of what is not known.
    fn filled(mut self, text: &str) -> Result<Self, &'static str> {
        // What serde would say has values in it.
        let kept: Kept = serde_json::from_str(text).map_err(|_other| {
            "it is not a JSON object of texts, admin_password and jwt_secret_key among them"
        })?;
        let key = |text: Option<String>| {
            let text = text.filter(|text| !text.is_empty());
            let key = text.map(|text| Key::new(text.as_bytes())).transpose();
            key.map_err(|_weak| "a key in it is too short: it must have at least 32 bytes")
        };
        if self.key.is_none() {
            self.key = key(kept.jwt_secret_key)?;
        }
        if self.previous.is_none() {
            self.previous = key(kept.jwt_secret_key_previous)?;
        }
        if self.secrets.is_empty() {
            let passwords = match kept.admin_password {
                None => Vec::new(),
                Some(OneOrMany::One(password)) => vec![password],
                Some(OneOrMany::Many(passwords)) => passwords,
            };
            let secrets: Result<_, _> = passwords.iter().map(|text| text.parse()).collect();
            self.secrets = secrets.map_err(|_invalid| {
                "an admin_password in it has less than 8 or more than 1024 bytes, or is no hash of argon2"
            })?;
        }
        Ok(self)
    }

    fn complete(self) -> Result<Settings, &'static str> {
        if self.secrets.is_empty() {
            return Err("it has no admin_password, and ADMIN_PASSWORD is not set");
        }
        let key = self
            .key
            .ok_or("it has no jwt_secret_key, and JWT_SECRET_KEY is not set")?;
        let previous = self.previous.into_iter().collect();
        Ok(Settings {
            admin: Admin::new(self.name, self.secrets),
            keys: Keys::new(key, previous, self.issuer, self.audience),
        })
    }
}

struct EnvKey(Key);

impl FromStr for EnvKey {
    type Err = WeakKey;

    fn from_str(text: &str) -> Result<Self, WeakKey> {
        Key::new(text.as_bytes()).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use shared::config::FromEnv;
    use testkit::SecretsManager;
    use time::OffsetDateTime;

    use super::*;
    use crate::access::password::{Hasher, Password};
    use crate::access::settings::PUBLIC_PASSWORDS;

    const KEY: (&str, &str) = ("JWT_SECRET_KEY", "0123456789abcdef0123456789abcdef");
    struct Outside(Given);
    struct Production(Given);

    impl FromEnv for Outside {
        fn from_env(env: &mut Env) -> Option<Self> {
            Given::from_env(env, false).map(Self)
        }
    }

    impl FromEnv for Production {
        fn from_env(env: &mut Env) -> Option<Self> {
            Given::from_env(env, true).map(Self)
        }
    }

    async fn outside(values: &[(&str, &str)]) -> Result<Settings, String> {
        let read = Outside::read(Env::new(values.iter().copied()));
        let Outside(given) = read.map_err(|error| error.to_string())?;
        given.settings().await.map_err(|error| error.to_string())
    }

    async fn in_production(values: &[(&str, &str)]) -> Result<Settings, String> {
        let read = Production::read(Env::new(values.iter().copied()));
        let Production(given) = read.map_err(|error| error.to_string())?;
        given.settings().await.map_err(|error| error.to_string())
    }

    async fn is_admin(settings: &Settings, password: &str) -> bool {
        let password = Password::given(password).unwrap();
        let hasher = Hasher::default();
        let right = settings
            .admin
            .is_right(&password, &hasher, settings.keys.signing());
        right.await.unwrap()
    }

    #[tokio::test]
    async fn outside_production_both_public_passwords_are_the_admin_s() {
        let settings = outside(&[]).await.unwrap();
        assert_eq!(settings.admin.name().as_str(), "ece30861defaultadminuser");
        for (password, bytes) in PUBLIC_PASSWORDS.iter().zip([63, 62]) {
            assert_eq!(password.len(), bytes);
            assert!(is_admin(&settings, password).await);
        }
        assert!(
            !is_admin(
                &settings,
                "correcthorsebatterystaple123(!__+@**(A;DROP TABLE packages"
            )
            .await
        );
        assert!(!is_admin(&settings, "").await);
    }

    #[tokio::test]
    async fn a_configured_password_is_the_only_one() {
        let password = ("ADMIN_PASSWORD", "a b c d e");
        let values = [KEY, ("ADMIN_NAME", "root"), password];
        let settings = in_production(&values).await.unwrap();
        assert_eq!(settings.admin.name().as_str(), "root");
        assert!(is_admin(&settings, "a b c d e").await);
        for password in PUBLIC_PASSWORDS {
            assert!(!is_admin(&settings, password).await);
        }
    }

    #[tokio::test]
    async fn a_hash_does_in_place_of_the_password() {
        let hasher = Hasher::default();
        let hash = hasher.hash(Password::given("correct horse").unwrap());
        let hash = String::from(hash.await.unwrap());
        let values = [KEY, ("ADMIN_PASSWORD", &*hash)];
        let settings = in_production(&values).await.unwrap();
        assert!(is_admin(&settings, "correct horse").await);
        assert!(!is_admin(&settings, &hash).await);
    }

    #[tokio::test]
    async fn production_needs_a_password_and_a_key_and_says_so_at_once() {
        let error = in_production(&[]).await.unwrap_err();
        insta::assert_snapshot!(error, @"invalid configuration: ADMIN_PASSWORD is not set, which in production it must be, or ACCESS_SECRET_ARN; JWT_SECRET_KEY is not set, which in production and on Lambda it must be, or ACCESS_SECRET_ARN: instances would not believe each other's tokens");
        let error = in_production(&[
            ("JWT_SECRET_KEY", "short"),
            ("ADMIN_PASSWORD", "1234567"),
            ("ADMIN_NAME", "a\u{7}b"),
            ("ACCESS_SECRET_ARN", "no name"),
        ]);
        insta::assert_snapshot!(error.await.unwrap_err(), @"invalid configuration: ADMIN_NAME is invalid: a user name has 1 to 256 bytes and no control characters; ADMIN_PASSWORD is invalid: it must have at least 8 bytes; JWT_SECRET_KEY is invalid: the key must have at least 32 bytes, for example those of `openssl rand -hex 32`; ACCESS_SECRET_ARN is invalid: must be the name of a secret or its ARN, arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME");
        let error = outside(&[
            ("AWS_LAMBDA_FUNCTION_NAME", "registry"),
            (
                "ADMIN_PASSWORD",
                "$argon2id$v=19$m=4000000,t=1,p=1$c2FsdHNhbHQ",
            ),
        ]);
        insta::assert_snapshot!(error.await.unwrap_err(), @"invalid configuration: ADMIN_PASSWORD is invalid: it begins like a hash of argon2, but is none with at most 64 MiB and 10 passes; JWT_SECRET_KEY is not set, which in production and on Lambda it must be, or ACCESS_SECRET_ARN: instances would not believe each other's tokens");
    }

    #[tokio::test]
    async fn a_previous_key_is_still_believed() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let password = ("ADMIN_PASSWORD", "12345678");
        let before = in_production(&[KEY, password]).await.unwrap();
        let token = before.keys.issue("u", "g", now).unwrap();
        let next = ("JWT_SECRET_KEY", "another key of thirty-two bytes!");
        let previous = ("JWT_SECRET_KEY_PREVIOUS", KEY.1);
        let changed = in_production(&[next, password, previous]).await.unwrap();
        assert!(changed.keys.check(token.as_str(), now).is_ok());
        let changed = in_production(&[next, password]).await.unwrap();
        assert!(changed.keys.check(token.as_str(), now).is_err());
    }

    /// Settings of a function in production whose secret has this text.
    async fn with_secret(text: &str, more: &[(&str, &str)]) -> Result<Settings, String> {
        let secrets = SecretsManager::start().await;
        secrets.put("access", text);
        let mut values = vec![
            ("ACCESS_SECRET_ARN", "access"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.endpoint()),
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "key"),
        ];
        values.extend(more);
        let settings = in_production(&values).await;
        assert_eq!(secrets.calls(), 1);
        settings
    }

    #[tokio::test]
    async fn what_is_in_no_variable_is_in_the_secret() {
        let secret = r#"{
            "admin_password": ["first password", "second password"],
            "jwt_secret_key": "another key of thirty-two bytes!",
            "jwt_secret_key_previous": "0123456789abcdef0123456789abcdef",
            "of_somebody_else": 7
        }"#;
        let settings = with_secret(secret, &[]).await.unwrap();
        assert!(is_admin(&settings, "first password").await);
        assert!(is_admin(&settings, "second password").await);
        let now = OffsetDateTime::UNIX_EPOCH;
        let before = in_production(&[KEY, ("ADMIN_PASSWORD", "12345678")]);
        let token = before.await.unwrap().keys.issue("u", "g", now).unwrap();
        assert!(settings.keys.check(token.as_str(), now).is_ok());
        assert_ne!(settings.keys.signing().id(), key_id(KEY.1));

        let password = ("ADMIN_PASSWORD", "a b c d e");
        let settings = with_secret(secret, &[KEY, password]).await.unwrap();
        assert!(is_admin(&settings, "a b c d e").await);
        assert!(!is_admin(&settings, "first password").await);
        assert_eq!(settings.keys.signing().id(), key_id(KEY.1));
    }

    #[tokio::test]
    async fn a_secret_that_does_not_do_is_refused_without_its_content() {
        let mut refusals = Vec::new();
        for secret in [
            "geheim",
            r#"{"admin_password": {"geheim": 1}}"#,
            r#"{"admin_password": "geheim"}"#,
            r#"{"admin_password": "geheimes Wort", "jwt_secret_key": "geheim"}"#,
            r#"{"admin_password": "geheimes Wort"}"#,
            r#"{"jwt_secret_key": "geheim, und länger als 32 Bytes ist es auch"}"#,
            r#"{"admin_password": "", "jwt_secret_key": ""}"#,
        ] {
            refusals.push(with_secret(secret, &[]).await.unwrap_err());
        }
        let refusals = refusals.join("\n");
        assert!(!refusals.contains("geheim"));
        insta::assert_snapshot!(refusals, @r"
        the secret access cannot be used: it is not a JSON object of texts, admin_password and jwt_secret_key among them
        the secret access cannot be used: it is not a JSON object of texts, admin_password and jwt_secret_key among them
        the secret access cannot be used: an admin_password in it has less than 8 or more than 1024 bytes, or is no hash of argon2
        the secret access cannot be used: a key in it is too short: it must have at least 32 bytes
        the secret access cannot be used: it has no jwt_secret_key, and JWT_SECRET_KEY is not set
        the secret access cannot be used: it has no admin_password, and ADMIN_PASSWORD is not set
        the secret access cannot be used: an admin_password in it has less than 8 or more than 1024 bytes, or is no hash of argon2
        ");
    }

    fn key_id(secret: &str) -> String {
        Key::new(secret.as_bytes()).unwrap().id().to_owned()
    }
}
