//! Settings from environment variables: read once at start, every mistake in one message.
//!
//! A function describes its settings by implementing [`FromEnv`] and calls [`load`] before its first
//! network call:
//!
//! ```
//! use shared::config::{Env, FromEnv};
//!
//! struct Config {
//!     bucket: String,
//!     max_bytes: u64,
//! }
//!
//! impl FromEnv for Config {
//!     fn from_env(env: &mut Env) -> Option<Self> {
//!         let bucket = env.required("ARTIFACT_BUCKET");
//!         let max_bytes = env.or("MAX_ARTIFACT_BYTES", 5 * 1024 * 1024);
//!         // `?` only here, after every variable was read: that is what collects all mistakes.
//!         Some(Self { bucket: bucket?, max_bytes: max_bytes? })
//!     }
//! }
//!
//! let config = Config::read(Env::new([("ARTIFACT_BUCKET", "models")])).unwrap();
//! assert_eq!((config.bucket.as_str(), config.max_bytes), ("models", 5_242_880));
//! ```

use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Display};
use std::str::FromStr;

/// A set of settings that can be read from the environment.
pub trait FromEnv: Sized {
    /// Reads every variable, then builds the settings; `None` when `env` has noted a problem.
    ///
    /// Read all variables before the first `?`, or mistakes in later ones stay unreported.
    fn from_env(env: &mut Env) -> Option<Self>;

    /// Reads the settings from `env`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] lists every variable that is missing or invalid.
    fn read(mut env: Env) -> Result<Self, ConfigError> {
        let settings = Self::from_env(&mut env);
        match settings {
            Some(settings) if env.problems.is_empty() => Ok(settings),
            _ => Err(ConfigError {
                problems: env.problems,
            }),
        }
    }
}

/// Reads the settings from the environment of this process.
///
/// # Errors
///
/// [`ConfigError`] lists every variable that is missing or invalid.
pub fn load<T: FromEnv>() -> Result<T, ConfigError> {
    T::read(Env::process())
}

/// A snapshot of environment variables and the problems found while reading them.
///
/// Values are never part of a message: a URL may hold a password.
#[derive(Default)]
pub struct Env {
    values: HashMap<String, String>,
    problems: Vec<String>,
    asked: BTreeSet<&'static str>,
}

impl Env {
    /// An environment of the given names and values, for tests and for callers that assemble their own.
    pub fn new<N: Into<String>, V: Into<String>>(values: impl IntoIterator<Item = (N, V)>) -> Self {
        let values = values
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self {
            values,
            ..Self::default()
        }
    }

    /// The environment of this process. Values that are not Unicode keep their readable parts.
    pub fn process() -> Self {
        Self::new(std::env::vars_os().map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        }))
    }

    /// The value of `name`, which must be set and valid. An empty value counts as missing.
    pub fn required<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        if let Some(text) = self.text(name) {
            return self.parse(name, &text);
        }
        self.problems.push(format!("{name} is not set"));
        None
    }

    /// The value of `name`, or `default` when it is missing or empty. A value that is there must be valid.
    pub fn or<T: FromStr<Err: Display>>(&mut self, name: &'static str, default: T) -> Option<T> {
        match self.text(name) {
            Some(text) => self.parse(name, &text),
            None => Some(default),
        }
    }

    /// The value of `name` if it is set; `Some(None)` when it is missing or empty, `None` when it is invalid.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<Option<T>> {
        match self.text(name) {
            Some(text) => self.parse(name, &text).map(Some),
            None => Some(None),
        }
    }

    /// Notes what is wrong with values that are valid alone but not together. Values are no part of it.
    pub fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// The names asked for so far: what a deployment template has to know.
    pub fn asked(&self) -> impl Iterator<Item = &'static str> {
        self.asked.iter().copied()
    }

    fn text(&mut self, name: &'static str) -> Option<String> {
        self.asked.insert(name);
        self.values
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
            .map(ToOwned::to_owned)
    }

    fn parse<T: FromStr<Err: Display>>(&mut self, name: &str, text: &str) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(problem) => {
                // Some parsers repeat what they read, line breaks included.
                let problem = problem.to_string().replace(['\n', '\r'], " ");
                self.problems.push(format!("{name} is invalid: {problem}"));
                None
            }
        }
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Env")
            .field("asked", &self.asked)
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

/// Every mistake in the settings, on one line: `CloudWatch` would show each line as an event of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "invalid configuration: {}",
            self.problems.join("; ")
        )
    }
}

/// The same text as [`Display`], because a `main` that returns an error prints its `Debug`.
impl fmt::Debug for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, formatter)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Settings {
        bucket: String,
        limit: u32,
        label: Option<u8>,
    }

    impl FromEnv for Settings {
        fn from_env(env: &mut Env) -> Option<Self> {
            let bucket = env.required("BUCKET");
            let limit = env.or("LIMIT", 7);
            let label = env.optional("LABEL");
            Some(Self {
                bucket: bucket?,
                limit: limit?,
                label: label?,
            })
        }
    }

    #[test]
    fn defaults_fill_what_is_missing_or_empty() {
        let settings = Settings::read(Env::new([("BUCKET", " b "), ("LIMIT", ""), ("LABEL", " ")]));
        assert_eq!(
            settings,
            Ok(Settings {
                bucket: "b".into(),
                limit: 7,
                label: None
            })
        );
    }

    #[test]
    fn every_mistake_is_reported_at_once_without_the_values() {
        let error = Settings::read(Env::new([("LIMIT", "secret"), ("LABEL", "999")])).unwrap_err();
        insta::assert_snapshot!(
            error,
            @"invalid configuration: BUCKET is not set; LIMIT is invalid: invalid digit found in string; LABEL is invalid: number too large to fit in target type"
        );
        assert_eq!(format!("{error:?}"), error.to_string());
    }

    #[test]
    fn the_names_asked_for_are_known() {
        let mut env = Env::new([("BUCKET", "b")]);
        Settings::from_env(&mut env);
        assert_eq!(
            env.asked().collect::<Vec<_>>(),
            ["BUCKET", "LABEL", "LIMIT"]
        );
    }
}
