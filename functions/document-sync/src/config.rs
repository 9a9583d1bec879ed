//! What `document-sync` is told by its environment.

use shared::config::{Env, FromEnv};
use shared::{database, s3};

/// The function's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the documents table is.
    pub database: database::Settings,
    /// The variables Lambda sets for AWS clients, and `AWS_ENDPOINT_URL_S3` for a store elsewhere.
    pub s3: s3::Settings,
}

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let database = database::Settings::from_env(env);
        let s3 = s3::Settings::from_env(env);
        Some(Self {
            database: database?,
            s3: s3?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_environment_is_told_what_it_lacks() {
        let error = Config::read(Env::default()).unwrap_err();
        insta::assert_snapshot!(error, @"invalid configuration: DATABASE_URL is not set, and neither is DATABASE_SECRET_ARN");
    }

    #[test]
    fn a_wrong_url_is_refused_without_being_repeated() {
        let environment = Env::new([("DATABASE_URL", "postgresql://user:geheim@host:port/db")]);
        let error = Config::read(environment).unwrap_err().to_string();
        assert!(
            error.starts_with("invalid configuration: DATABASE_URL is invalid: "),
            "{error}"
        );
        assert!(!error.contains("geheim"), "{error}");
    }
}
