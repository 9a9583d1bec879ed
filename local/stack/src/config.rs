//! What the stack is told by its environment.

use std::{fmt, path::PathBuf, str::FromStr};

use embedded_s3::Credentials;
use registry::ingest;
use shared::config::{Env, FromEnv};
use shared::database::{Url, UrlError};

/// The stack's settings.
#[derive(Debug)]
pub struct Config {
    /// `HOLDFAST_DATA`: everything that survives a restart; `.holdfast` in the working directory by default.
    pub folder: PathBuf,
    /// `HOLDFAST_S3_PORT`: S3, IAM and STS on 127.0.0.1.
    pub s3_port: u16,
    /// `HOLDFAST_LAMBDA_PORT`: the functions, as Lambda's API invokes them, on 127.0.0.1.
    pub lambda_port: u16,
    /// `HOLDFAST_REGISTRY_PORT`: the artifact registry's API on 127.0.0.1.
    pub registry_port: u16,
    /// `INGEST_SECONDS`, `HF_ENDPOINT` and what else the registry is told about artifacts' sources.
    pub ingest: ingest::Settings,
    /// `HOLDFAST_POSTGRES_PORT`: the private PostgreSQL on 127.0.0.1.
    pub postgres_port: u16,
    /// `DATABASE_URL`: a database of the user's instead of the private one.
    pub database: Option<GivenDatabase>,
    /// `HOLDFAST_ACCESS_KEY_ID` and `HOLDFAST_SECRET_ACCESS_KEY`, instead of those of the data folder.
    pub credentials: Option<Credentials>,
}

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let folder = env.or("HOLDFAST_DATA", PathBuf::from(".holdfast"));
        let s3_port = env.or("HOLDFAST_S3_PORT", 9001);
        let lambda_port = env.or("HOLDFAST_LAMBDA_PORT", 9002);
        let registry_port = env.or("HOLDFAST_REGISTRY_PORT", 9010);
        let ingest = ingest::Settings::from_env(env);
        let postgres_port = env.or("HOLDFAST_POSTGRES_PORT", 9005);
        let database = env.optional("DATABASE_URL");
        let access_key_id: Option<Option<String>> = env.optional("HOLDFAST_ACCESS_KEY_ID");
        // One without the other is a mistake: the one that is missing is then required.
        let secret_access_key = match &access_key_id {
            Some(Some(_)) => env.required("HOLDFAST_SECRET_ACCESS_KEY").map(Some),
            _ => env.optional::<String>("HOLDFAST_SECRET_ACCESS_KEY"),
        };
        let access_key_id = match &secret_access_key {
            Some(Some(_)) => env.required("HOLDFAST_ACCESS_KEY_ID").map(Some),
            _ => access_key_id,
        };
        Some(Self {
            folder: folder?,
            s3_port: s3_port?,
            lambda_port: lambda_port?,
            registry_port: registry_port?,
            ingest: ingest?,
            postgres_port: postgres_port?,
            database: database?,
            credentials: access_key_id?.zip(secret_access_key?).map(
                |(access_key_id, secret_access_key)| Credentials {
                    access_key_id,
                    secret_access_key,
                },
            ),
        })
    }
}

/// A database URL, understood, and as the user wrote it.
#[derive(Clone)]
pub struct GivenDatabase {
    pub(crate) text: String,
    pub(crate) url: Url,
}

impl FromStr for GivenDatabase {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Ok(Self {
            text: text.to_owned(),
            url: text.parse()?,
        })
    }
}

impl fmt::Debug for GivenDatabase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("GivenDatabase(..)") // it holds a password
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_empty_environment_is_enough() {
        let config = Config::read(Env::default()).unwrap();
        assert_eq!(config.folder, PathBuf::from(".holdfast"));
        assert_eq!(
            (config.s3_port, config.lambda_port, config.postgres_port),
            (9001, 9002, 9005)
        );
        assert!(config.database.is_none() && config.credentials.is_none());
    }

    #[test]
    fn the_registry_asks_whom_this_environment_names() {
        let variables = [
            ("INGEST_SECONDS", "3"),
            ("HF_ENDPOINT", "http://127.0.0.1:9999/hub"),
            ("GH_TOKEN", "geheim"),
        ];
        let ingest = Config::read(Env::new(variables)).unwrap().ingest;
        assert_eq!(ingest.patience, Duration::from_secs(3));
        assert_eq!(
            ingest.upstream.hugging_face,
            variables[1].1.parse().unwrap()
        );
        assert!(ingest.upstream.github_token.is_some());
        assert!(!format!("{ingest:?}").contains("geheim"));
    }

    #[test]
    fn all_mistakes_come_in_one_message() {
        let variables = [
            ("HOLDFAST_S3_PORT", "http"),
            ("HOLDFAST_LAMBDA_PORT", "-1"),
            ("HOLDFAST_POSTGRES_PORT", "99999"),
            ("DATABASE_URL", "postgresql://user:geheim@host:port/db"),
            ("HOLDFAST_ACCESS_KEY_ID", "key"),
        ];
        let error = Config::read(Env::new(variables)).unwrap_err().to_string();
        insta::assert_snapshot!(error, @"invalid configuration: HOLDFAST_S3_PORT is invalid: invalid digit found in string; HOLDFAST_LAMBDA_PORT is invalid: invalid digit found in string; HOLDFAST_POSTGRES_PORT is invalid: number too large to fit in target type; DATABASE_URL is invalid: not a PostgreSQL connection URL: invalid value for option `port`; HOLDFAST_SECRET_ACCESS_KEY is not set");
        assert!(!error.contains("geheim"));
    }

    #[test]
    fn a_secret_without_its_key_is_a_mistake() {
        let environment = Env::new([("HOLDFAST_SECRET_ACCESS_KEY", "geheim")]);
        let error = Config::read(environment).unwrap_err();
        insta::assert_snapshot!(error, @"invalid configuration: HOLDFAST_ACCESS_KEY_ID is not set");
    }
}
