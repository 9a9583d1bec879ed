//! Who there is at first, and what tokens are signed with.

use std::str::FromStr;

use super::AccessError;
use super::password::{Hasher, InvalidPassword, Password, PasswordHash};
use super::token::{Key, Keys};
use super::user::UserName;

/// What clients of the contract log in as at first.
pub const PUBLIC_NAME: &str = "ece30861defaultadminuser";
/// What they log in with. Both are in circulation, and everybody knows them: never taken in production.
pub const PUBLIC_PASSWORDS: [&str; 2] = [
    "correcthorsebatterystaple123(!__+@**(A'\"`;DROP TABLE artifacts;",
    "correcthorsebatterystaple123(!__+@**(A'\"`;DROP TABLE packages;",
];
/// Who makes tokens, and for whom, if nobody says otherwise.
pub(super) const SERVICE: &str = "registry";

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
    /// The admin whom clients of the contract know, with passwords that everybody knows: for a machine of one's own.
    pub fn public(key: Key) -> Self {
        Self {
            admin: Admin::new(UserName::public(), public_secrets()),
            keys: Keys::new(key, Vec::new(), SERVICE, SERVICE),
        }
    }
}

/// The passwords that clients of the contract use.
pub(super) fn public_secrets() -> Vec<Secret> {
    PUBLIC_PASSWORDS
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

#[cfg(test)]
mod tests {
    use super::*;

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
