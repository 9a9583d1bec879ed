//! Passwords: how they are kept, and how a login is told right from wrong.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::{self, phc};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task;

/// Memory of one hash in KiB, and passes over it. This pair and (47104, 1), (19456, 2), (9216, 4), (7168, 5) cost an
/// attacker the same, says OWASP's password storage cheat sheet. It takes some 20 ms of a whole core; a function of
/// 256 MB has a seventh of one.
const MEMORY_KIB: u32 = 12 * 1024;
const PASSES: u32 = 3;
/// One: a function has one core, or less.
const LANES: u32 = 1;
/// The most that a stored hash may ask for: it may have been written by somebody else.
const MAX_MEMORY_KIB: u32 = 64 * 1024;
const MAX_PASSES: u32 = 10;
/// Hashes computed at the same time by one process; more wait. It bounds the memory.
const AT_A_TIME: usize = 2;

/// The shortest password of a new user, in bytes.
const MIN_BYTES: usize = 8;
/// The longest password, in bytes of UTF-8. All of them count.
const MAX_BYTES: usize = 1024;

/// What somebody typed. It is never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A password to compare with: not longer than any can be.
    pub(super) fn given(text: impl Into<String>) -> Result<Self, InvalidPassword> {
        let text = text.into();
        if text.len() > MAX_BYTES {
            return Err(InvalidPassword::Long);
        }
        Ok(Self(text))
    }

    /// A password to keep: neither too long nor too short.
    ///
    /// # Errors
    ///
    /// [`InvalidPassword`]
    pub fn chosen(text: impl Into<String>) -> Result<Self, InvalidPassword> {
        let password = Self::given(text)?;
        if password.0.len() < MIN_BYTES {
            return Err(InvalidPassword::Short);
        }
        Ok(password)
    }

    /// As bytes of UTF-8.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(…)")
    }
}

/// Why a text cannot be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    /// Of a new user.
    #[error("a password has at least 8 bytes")]
    Short,
    /// Hashing it would cost too much, and cutting it would make two passwords one.
    #[error("a password has at most 1024 bytes")]
    Long,
}

/// What is kept of a password: a PHC string of Argon2, with its salt and parameters.
///
/// <https://github.com/P-H-C/phc-string-format/blob/master/phc-sf-spec.md>
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PasswordHash(Box<phc::PasswordHash>);

impl std::str::FromStr for PasswordHash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        let hash: phc::PasswordHash = text.parse().map_err(|_no_phc| InvalidHash)?;
        let params = Params::try_from(&hash).map_err(|_no_params| InvalidHash)?;
        let is_argon2 = Algorithm::try_from(hash.algorithm.as_str()).is_ok();
        let is_bounded = params.m_cost() <= MAX_MEMORY_KIB && params.t_cost() <= MAX_PASSES;
        (is_argon2 && is_bounded && hash.salt.is_some() && hash.hash.is_some())
            .then(|| Self(Box::new(hash)))
            .ok_or(InvalidHash)
    }
}

impl TryFrom<String> for PasswordHash {
    type Error = InvalidHash;

    fn try_from(text: String) -> Result<Self, InvalidHash> {
        text.parse()
    }
}

impl From<PasswordHash> for String {
    fn from(hash: PasswordHash) -> Self {
        hash.0.to_string()
    }
}

/// Without the hash: who can read logs need not be able to try passwords.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash(…)")
    }
}

/// A text that is not a hash of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a PHC string of argon2 with at most 64 MiB and 10 passes")]
pub struct InvalidHash;

/// Why a hash could not be computed. Never because a password is wrong.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// No memory, no random bytes for the salt.
    #[error("the password cannot be hashed")]
    Argon2(#[source] password_hash::Error),
    /// The process is about to end.
    #[error("hashing the password was interrupted")]
    Interrupted,
}

/// Hashes passwords, away from the thread that serves requests.
///
/// The memory is kept for the next hash: after 20 hashes in memory of their own, glibc held eight times as much as one needs.
#[derive(Debug, Clone)]
pub struct Hasher {
    places: Arc<Semaphore>,
    memory: Arc<Mutex<Vec<Vec<Block>>>>,
}

impl Default for Hasher {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_A_TIME)),
            memory: Arc::default(),
        }
    }
}

impl Hasher {
    /// The hash of `password` with a salt of its own.
    ///
    /// # Errors
    ///
    /// [`HashError`]
    pub async fn hash(&self, password: Password) -> Result<PasswordHash, HashError> {
        self.compute(move |memory| {
            let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
            let salt = phc::Salt::new(&password_hash::try_generate_salt()?)?;
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let hash = output(&argon2, &password, &salt, memory)?;
            Ok(PasswordHash(Box::new(phc::PasswordHash {
                algorithm: Algorithm::Argon2id.ident(),
                version: Some(Version::V0x13.into()),
                params: argon2.params().try_into()?,
                salt: Some(salt),
                hash: Some(hash),
            })))
        })
        .await
    }

    /// Whether `hash` is one of `password`. Without a hash, the answer is no, and takes as long as any.
    ///
    /// # Errors
    ///
    /// [`HashError`]
    pub async fn is_right(
        &self,
        password: Password,
        hash: Option<PasswordHash>,
    ) -> Result<bool, HashError> {
        self.compute(move |memory| {
            let is_known = hash.is_some();
            let hash = match hash {
                Some(PasswordHash(hash)) => *hash,
                None => decoy()?,
            };
            let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else {
                return Ok(false);
            };
            let version = hash.version.map(Version::try_from).transpose()?;
            let argon2 = Argon2::new(
                Algorithm::try_from(hash.algorithm.as_str())?,
                version.unwrap_or_default(),
                Params::try_from(&hash)?,
            );
            // Outputs are compared in constant time.
            let is_equal = output(&argon2, &password, salt, memory)? == *expected;
            Ok(is_equal && is_known)
        })
        .await
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vec<Block>) -> password_hash::Result<T> + Send + 'static,
    ) -> Result<T, HashError> {
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(|_closed| HashError::Interrupted)?;
        let kept = Arc::clone(&self.memory);
        // The place is given back when the work is done, even if nobody waits for it any more.
        task::spawn_blocking(move || {
            let _place = place;
            let kept = || kept.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = kept().pop();
            let mut memory = taken.unwrap_or_default();
            let done = work(&mut memory);
            // Nothing of a password stays there, nor more than a hash of our own needs.
            memory.fill(Block::default());
            if memory.len() <= usize::try_from(MEMORY_KIB).unwrap_or(0) {
                kept().push(memory);
            }
            done
        })
        .await
        .map_err(|_stopped| HashError::Interrupted)?
        .map_err(HashError::Argon2)
    }
}

fn output(
    argon2: &Argon2<'_>,
    password: &Password,
    salt: &phc::Salt,
    memory: &mut Vec<Block>,
) -> password_hash::Result<phc::Output> {
    let length = argon2.params().output_len();
    let mut bytes = vec![0; length.unwrap_or(Params::DEFAULT_OUTPUT_LEN)];
    memory.resize(argon2.params().block_count(), Block::default());
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut bytes, memory)?;
    Ok(phc::Output::new(&bytes)?)
}

/// The hash that a login without a user is compared with: as costly as a real one, and of no known password.
fn decoy() -> password_hash::Result<phc::PasswordHash> {
    let output = "A".repeat(43); // 32 bytes
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$c2FsdCBvZiBhIGRlY295IQ${output}")
        .parse()
        .map_err(password_hash::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Password {
        Password::given(text).unwrap()
    }

    #[tokio::test]
    async fn a_password_is_recognized_by_its_hash_and_no_other_is() {
        let hasher = Hasher::default();
        let long = "x".repeat(MAX_BYTES);
        for (password, other) in [
            ("correct horse", "correct horsf"),
            ("", " "),
            ("ü\0😀", "ü"),
            // bcrypt would cut both to the same 72 bytes.
            (&long, long.split_at(MAX_BYTES - 1).0),
        ] {
            let hash = hasher.hash(given(password)).await.unwrap();
            let text = String::from(hash.clone());
            assert!(
                text.starts_with("$argon2id$v=19$m=12288,t=3,p=1$"),
                "{text}"
            );
            assert_eq!(text.parse::<PasswordHash>().unwrap(), hash);
            let right = hasher.is_right(given(password), Some(hash.clone())).await;
            assert!(right.unwrap(), "{password}");
            let wrong = hasher.is_right(given(other), Some(hash)).await;
            assert!(!wrong.unwrap(), "{password}");
        }
    }

    /// A vector of the reference implementation's own test, of version 19.
    #[tokio::test]
    async fn hashes_of_other_programs_are_understood() {
        let hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let hasher = Hasher::default();
        for (password, expected) in [("password", true), ("passwore", false)] {
            let right = hasher.is_right(given(password), Some(hash.parse().unwrap()));
            assert_eq!(right.await.unwrap(), expected);
        }
        let kept = hasher.memory.lock().unwrap();
        assert!(kept.is_empty(), "memory of this size is not kept");
    }

    #[tokio::test]
    async fn memory_is_used_again_and_holds_nothing_of_a_password() {
        let hasher = Hasher::default();
        for _ in 0..3 {
            hasher.hash(given("password")).await.unwrap();
        }
        let kept = hasher.memory.lock().unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].len(), usize::try_from(MEMORY_KIB).unwrap());
        assert!(
            kept[0]
                .iter()
                .all(|block| block.as_ref().iter().all(|word| *word == 0))
        );
    }

    #[tokio::test]
    async fn the_same_password_has_another_hash_each_time() {
        let hasher = Hasher::default();
        let one = hasher.hash(given("password")).await.unwrap();
        let other = hasher.hash(given("password")).await.unwrap();
        assert_ne!(one, other);
    }

    #[tokio::test]
    async fn without_a_hash_the_work_is_the_same_and_the_answer_no() {
        let decoy = decoy().unwrap();
        let own = Params::try_from(&decoy).unwrap();
        let real = Hasher::default().hash(given("password")).await.unwrap();
        assert_eq!(own, Params::try_from(&*real.0).unwrap());
        let is_right = Hasher::default().is_right(given("password"), None).await;
        assert!(!is_right.unwrap());
    }

    #[test]
    fn lengths_have_limits() {
        assert_eq!(Password::chosen("1234567"), Err(InvalidPassword::Short));
        assert!(Password::chosen("12345678").is_ok());
        assert!(Password::chosen("x".repeat(MAX_BYTES)).is_ok());
        let long = "x".repeat(MAX_BYTES + 1);
        assert_eq!(Password::chosen(&long), Err(InvalidPassword::Long));
        assert_eq!(Password::given(&long), Err(InvalidPassword::Long));
    }

    #[test]
    fn hashes_of_others_that_cost_too_much_are_refused() {
        let hash = |parameters: &str| {
            let output = "A".repeat(43);
            format!("{parameters}$c2FsdCBvZiBhIGRlY295IQ${output}").parse::<PasswordHash>()
        };
        assert!(hash("$argon2id$v=19$m=65536,t=3,p=1").is_ok());
        for parameters in [
            "$argon2id$v=19$m=65537,t=3,p=1",
            "$argon2id$v=19$m=4294967295,t=3,p=1",
            "$argon2id$v=19$m=19456,t=11,p=1",
            "$scrypt$ln=15,r=8,p=1",
            "",
        ] {
            assert_eq!(hash(parameters), Err(InvalidHash), "{parameters}");
        }
        assert_eq!(
            "$argon2id$v=19$m=19456,t=2,p=1".parse::<PasswordHash>(),
            Err(InvalidHash)
        );
    }

    #[tokio::test]
    async fn nothing_shows_a_password_or_its_hash() {
        let password = given("correct horse");
        assert_eq!(format!("{password:?}"), "Password(…)");
        let hash = Hasher::default().hash(password).await.unwrap();
        assert_eq!(format!("{hash:?}"), "PasswordHash(…)");
    }
}
