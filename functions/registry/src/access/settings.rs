//! What access is told by the environment.

use std::str::FromStr;

use shared::config::Env;

use super::AccessError;
use super::password::{Hasher, InvalidPassword, Password, PasswordHash};
use super::token::{Key, Keys, WeakKey};
use super::user::UserName;

/// The name that clients of the contract log in with at first.
pub const ADMIN_NAME: &str = "ece30861defaultadminuser";
/// The passwords they use, which are public: both are in circulation (registry.md 1.2). Never taken in production.
pub const ADMIN_PASSWORDS: [&str; 2] = [
    "correcthorsebatterystaple123(!__+@**(A'\"`;DROP TABLE artifacts;",
    "correcthorsebatterystaple123(!__+@**(A'\"`;DROP TABLE packages;",
];
const SERVICE: &str = "registry";

/// Settings of users and tokens.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `ADMIN_NAME` and `ADMIN_PASSWORD`.
    pub admin: Admin,
    /// `JWT_SECRET_KEY`, `JWT_SECRET_KEY_PREVIOUS`, `JWT_ISSUER` and `JWT_AUDIENCE`.
    pub keys: Keys,
}

/// The user who is there without being registered.
///
/// It is configuration and not an object: it is there before the first request, after a reset and while the store does
/// not answer. Its tokens outlive a reset, and end when its name, its password or the key is changed.
#[derive(Debug, Clone)]
pub struct Admin {
    name: UserName,
    secrets: Vec<Secret>,
}

/// One way to be the admin.
#[derive(Debug, Clone)]
pub enum Secret {
    /// The password itself.
    Password(Password),
    /// Its hash: a PHC string of argon2, for who does not want the password in the function's configuration.
    Hash(PasswordHash),
}

impl Settings {
    /// Reads the settings. `is_production` is for the caller to know; on Lambda, a key is needed even outside of it, because
    /// every instance would make another.
    pub fn from_env(env: &mut Env, is_production: bool) -> Option<Self> {
        let name = env.or("ADMIN_NAME", UserName::from_str(ADMIN_NAME).ok()?);
        let secret = env.optional::<Secret>("ADMIN_PASSWORD");
        let key = env.optional::<EnvKey>("JWT_SECRET_KEY");
        let previous = env.optional::<EnvKey>("JWT_SECRET_KEY_PREVIOUS");
        let issuer = env.or("JWT_ISSUER", SERVICE.to_owned());
        let audience = env.or("JWT_AUDIENCE", SERVICE.to_owned());
        let is_lambda = env
            .optional::<String>("AWS_LAMBDA_FUNCTION_NAME")
            .flatten()
            .is_some();

        let secrets = match secret {
            Some(Some(secret)) => Some(vec![secret]),
            Some(None) if is_production => {
                env.problem("ADMIN_PASSWORD is not set, which in production it must be");
                None
            }
            Some(None) => Some(public_secrets()),
            None => None,
        };
        let signing = match key {
            Some(Some(EnvKey(key))) => Some(key),
            Some(None) if is_production || is_lambda => {
                env.problem(
                    "JWT_SECRET_KEY is not set, which in production and on Lambda it must be: \
                     instances would not believe each other's tokens",
                );
                None
            }
            Some(None) => Key::random()
                .map_err(|error| env.problem(format!("no random key: {error}")))
                .ok(),
            None => None,
        };
        let previous = previous?.map(|EnvKey(key)| key).into_iter().collect();
        Some(Self {
            admin: Admin::new(name?, secrets?),
            keys: Keys::new(signing?, previous, issuer?, audience?),
        })
    }
}

/// The passwords that clients of the contract use.
fn public_secrets() -> Vec<Secret> {
    ADMIN_PASSWORDS
        .iter()
        .filter_map(|password| Password::chosen(*password).map(Secret::Password).ok())
        .collect()
}

impl Admin {
    /// An admin who is recognized by any of `secrets`.
    pub fn new(name: UserName, secrets: Vec<Secret>) -> Self {
        Self { name, secrets }
    }

    /// The admin's name.
    pub fn name(&self) -> &UserName {
        &self.name
    }

    /// What [`User::generation`](super::user::User) is for others, the same on all instances. It is bound to a key, as nobody without
    /// it may try passwords against it.
    pub(super) fn generation(&self, key: &Key) -> String {
        let secrets: Vec<String> = self
            .secrets
            .iter()
            .map(|secret| match secret {
                Secret::Password(password) => key.code("password", &[password.as_bytes()]),
                Secret::Hash(hash) => key.code("hash", &[String::from(hash.clone()).as_bytes()]),
            })
            .collect();
        let mut parts = vec![self.name.as_str().as_bytes()];
        parts.extend(secrets.iter().map(String::as_bytes));
        key.code("admin", &parts)
    }

    /// Whether `password` is one of the admin's. It takes as long as with any user.
    pub(super) async fn is_right(
        &self,
        password: &Password,
        hasher: &Hasher,
        key: &Key,
    ) -> Result<bool, AccessError> {
        let mut is_right = false;
        let mut costly = Vec::new();
        for secret in &self.secrets {
            match secret {
                Secret::Password(own) => {
                    let own = key.code("password", &[own.as_bytes()]);
                    is_right |= key.is_code("password", &[password.as_bytes()], &own);
                }
                Secret::Hash(hash) => costly.push(Some(hash.clone())),
            }
        }
        if costly.is_empty() {
            costly.push(None);
        }
        for hash in costly {
            let answer = hasher.is_right(password.clone(), hash).await;
            is_right |= answer.map_err(AccessError::NoHash)?;
        }
        Ok(is_right)
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("$argon2") {
            let hash = text.parse().map(Self::Hash);
            return hash.map_err(|_invalid| {
                "it begins like a hash of argon2, but is none with at most 64 MiB and 10 passes"
            });
        }
        match Password::chosen(text) {
            Ok(password) => Ok(Self::Password(password)),
            Err(InvalidPassword::Short) => Err("it must have at least 8 bytes"),
            Err(InvalidPassword::Long) => Err("it must have at most 1024 bytes"),
        }
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
    use shared::config::{ConfigError, FromEnv};
    use time::OffsetDateTime;

    use super::*;

    const SECRET: (&str, &str) = ("JWT_SECRET_KEY", "0123456789abcdef0123456789abcdef");

    struct Outside(Settings);
    struct Production(Settings);

    impl FromEnv for Outside {
        fn from_env(env: &mut Env) -> Option<Self> {
            Settings::from_env(env, false).map(Self)
        }
    }

    impl FromEnv for Production {
        fn from_env(env: &mut Env) -> Option<Self> {
            Settings::from_env(env, true).map(Self)
        }
    }

    fn outside<const N: usize>(values: [(&str, &str); N]) -> Result<Settings, ConfigError> {
        Outside::read(Env::new(values)).map(|Outside(settings)| settings)
    }

    fn in_production<const N: usize>(values: [(&str, &str); N]) -> Result<Settings, ConfigError> {
        Production::read(Env::new(values)).map(|Production(settings)| settings)
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
        let settings = outside([]).unwrap();
        assert_eq!(settings.admin.name().as_str(), "ece30861defaultadminuser");
        for (password, bytes) in ADMIN_PASSWORDS.iter().zip([63, 62]) {
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
        let settings = in_production([
            SECRET,
            ("ADMIN_NAME", "root"),
            ("ADMIN_PASSWORD", "a b c d e"),
        ]);
        let settings = settings.unwrap();
        assert_eq!(settings.admin.name().as_str(), "root");
        assert!(is_admin(&settings, "a b c d e").await);
        for password in ADMIN_PASSWORDS {
            assert!(!is_admin(&settings, password).await);
        }
    }

    #[tokio::test]
    async fn a_hash_does_in_place_of_the_password() {
        let hasher = Hasher::default();
        let hash = hasher.hash(Password::given("correct horse").unwrap());
        let hash = String::from(hash.await.unwrap());
        let settings = in_production([SECRET, ("ADMIN_PASSWORD", &hash)]).unwrap();
        assert!(is_admin(&settings, "correct horse").await);
        assert!(!is_admin(&settings, &hash).await);
    }

    #[test]
    fn production_needs_a_password_and_a_key_and_says_so_at_once() {
        let error = in_production([]).unwrap_err();
        insta::assert_snapshot!(error, @"invalid configuration: ADMIN_PASSWORD is not set, which in production it must be; JWT_SECRET_KEY is not set, which in production and on Lambda it must be: instances would not believe each other's tokens");
        let error = in_production([
            ("JWT_SECRET_KEY", "short"),
            ("ADMIN_PASSWORD", "1234567"),
            ("ADMIN_NAME", "a\u{7}b"),
        ]);
        insta::assert_snapshot!(error.unwrap_err(), @"invalid configuration: ADMIN_NAME is invalid: a user name has 1 to 256 bytes and no control characters; ADMIN_PASSWORD is invalid: it must have at least 8 bytes; JWT_SECRET_KEY is invalid: the key must have at least 32 bytes, for example those of `openssl rand -hex 32`");
        let error = outside([
            ("AWS_LAMBDA_FUNCTION_NAME", "registry"),
            (
                "ADMIN_PASSWORD",
                "$argon2id$v=19$m=4000000,t=1,p=1$c2FsdHNhbHQ",
            ),
        ]);
        insta::assert_snapshot!(error.unwrap_err(), @"invalid configuration: ADMIN_PASSWORD is invalid: it begins like a hash of argon2, but is none with at most 64 MiB and 10 passes; JWT_SECRET_KEY is not set, which in production and on Lambda it must be: instances would not believe each other's tokens");
    }

    #[test]
    fn a_previous_key_is_still_believed() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let before = in_production([SECRET, ("ADMIN_PASSWORD", "12345678")]).unwrap();
        let token = before.keys.issue("u", "g", now).unwrap();
        let next = ("JWT_SECRET_KEY", "another key of thirty-two bytes!");
        let password = ("ADMIN_PASSWORD", "12345678");
        let changed = in_production([next, password, ("JWT_SECRET_KEY_PREVIOUS", SECRET.1)]);
        assert!(changed.unwrap().keys.check(token.as_str(), now).is_ok());
        let changed = in_production([next, password]).unwrap();
        assert!(changed.keys.check(token.as_str(), now).is_err());
    }

    #[test]
    fn the_admin_s_generation_is_that_of_name_password_and_key() {
        let admin = |name: &str, password: &str| {
            let secret = Secret::Password(Password::given(password).unwrap());
            Admin::new(name.parse().unwrap(), vec![secret])
        };
        let key = Key::new(&[1; 32]).unwrap();
        let generation = admin("a", "password").generation(&key);
        assert_eq!(admin("a", "password").generation(&key), generation);
        assert_ne!(admin("b", "password").generation(&key), generation);
        assert_ne!(admin("a", "passwore").generation(&key), generation);
        let other = Key::new(&[2; 32]).unwrap();
        assert_ne!(admin("a", "password").generation(&other), generation);
    }
}
