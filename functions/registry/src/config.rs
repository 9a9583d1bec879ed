//! What the registry is told by its environment.

use std::path::PathBuf;
use std::str::FromStr;

use shared::config::{Env, FromEnv};
use shared::telemetry::LogLevel;
use shared::{database, s3};

use crate::access;
use crate::http::PublicUrl;
use crate::ingest;
use crate::storage::Chain;

/// The function's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where artifacts are kept: `USE_S3` and what follows it.
    pub storage: Chain,
    /// Who is asked about artifacts, and how good a model must be.
    pub ingest: ingest::Settings,
    /// Who there is at first, and what tokens are signed with.
    pub access: access::given::Given,
    /// `PUBLIC_URL`, where requests do not tell at which address clients reach the function.
    pub public_url: Option<PublicUrl>,
    /// `LOG_LEVEL`, where the deployment names none.
    pub log_level: Option<LogLevel>,
}

/// What keeps the index in step is told less: it lets nobody in, and asks nobody.
#[derive(Debug, Clone)]
pub struct IndexConfig {
    /// Where artifacts are kept: `USE_S3` and what follows it.
    pub storage: Chain,
    /// `LOG_LEVEL`, where the deployment names none.
    pub log_level: Option<LogLevel>,
}

/// What verifies the audit trail asks nobody, and needs the keys that it is sealed with.
#[derive(Debug, Clone)]
pub struct AuditConfig {
    /// Where the trail is kept: `USE_S3` and what follows it.
    pub storage: Chain,
    /// The keys.
    pub access: access::given::Given,
    /// `LOG_LEVEL`, where the deployment names none.
    pub log_level: Option<LogLevel>,
}

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let storage = chain(env);
        let ingest = ingest::Settings::from_env(env);
        let is_production = is_production(env);
        let access = access::given::Given::from_env(env, is_production);
        let public_url = env.optional("PUBLIC_URL");
        let log_level = env.optional("LOG_LEVEL");
        Some(Self {
            storage: storage?,
            ingest: ingest?,
            access: access?,
            public_url: public_url?,
            log_level: log_level?,
        })
    }
}

impl FromEnv for IndexConfig {
    fn from_env(env: &mut Env) -> Option<Self> {
        let storage = chain(env);
        let log_level = env.optional("LOG_LEVEL");
        Some(Self {
            storage: storage?,
            log_level: log_level?,
        })
    }
}

impl FromEnv for AuditConfig {
    fn from_env(env: &mut Env) -> Option<Self> {
        let storage = chain(env);
        let is_production = is_production(env);
        let access = access::given::Given::from_env(env, is_production);
        let log_level = env.optional("LOG_LEVEL");
        Some(Self {
            storage: storage?,
            access: access?,
            log_level: log_level?,
        })
    }
}

fn is_production(env: &mut Env) -> bool {
    let environment = env.or("ENVIRONMENT", "development".to_owned());
    let function = env.optional::<String>("AWS_LAMBDA_FUNCTION_NAME");
    environment.as_deref() == Some("production")
        || function.is_some_and(|function| function.is_some())
}

fn chain(env: &mut Env) -> Option<Chain> {
    let is_production = is_production(env);
    let asks_for_s3 = env.or("USE_S3", Flag(false));
    let bucket = if is_production || matches!(asks_for_s3, Some(Flag(true))) {
        env.required("S3_BUCKET_NAME").map(Some)
    } else {
        env.optional::<String>("S3_BUCKET_NAME").map(|_unused| None)
    };
    let s3 = s3::Settings::from_env(env);
    let use_sqlite = env.or("USE_SQLITE", Flag(true));
    let sqlite = env.or(
        "SQLALCHEMY_DATABASE_URL",
        SqliteUrl(Some("registry.db".into())),
    );
    let index = database::Settings::optional(env);
    let allow_volatile = env.or("ALLOW_VOLATILE_WRITES", Flag(false));
    asks_for_s3?;
    Some(Chain {
        bucket: bucket?,
        s3: s3?,
        sqlite: sqlite?
            .0
            .filter(|_| use_sqlite.is_some_and(|Flag(given)| given)),
        is_production,
        allow_volatile: allow_volatile?.0,
        index: index?,
    })
}

/// Yes or no, in the ways in which people write it.
pub(crate) struct Flag(pub(crate) bool);

impl FromStr for Flag {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(Self(true)),
            "0" | "false" | "no" | "off" => Ok(Self(false)),
            _ => Err("it must be true or false"),
        }
    }
}

/// A file in the form that `SQLAlchemy` gives it: `sqlite:///relative.db`, `sqlite:////absolute.db`; `None` for a
/// database in memory.
struct SqliteUrl(Option<PathBuf>);

impl FromStr for SqliteUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sqlite://" | "sqlite:///:memory:" => return Ok(Self(None)),
            _ => {}
        }
        let path = text.strip_prefix("sqlite:///").unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        if path.is_empty() {
            return Err("it must be sqlite:///file.db, or sqlite:// for memory");
        }
        Ok(Self(Some(path.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What access needs in production, which is tested there.
    const ACCESS: [(&str, &str); 2] = [
        ("ADMIN_PASSWORD", "admin password"),
        ("JWT_SECRET_KEY", "0123456789abcdef0123456789abcdef"),
    ];

    fn read(variables: &[(&str, &str)]) -> Result<Chain, String> {
        let variables = variables.iter().copied().chain(ACCESS);
        let config = Config::read(Env::new(variables));
        config
            .map(|config| config.storage)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_environment_is_a_file_of_this_folder() {
        let chain = read(&[]).unwrap();
        assert_eq!((chain.bucket, chain.is_production), (None, false));
        assert_eq!(chain.sqlite, Some("registry.db".into()));
    }

    #[test]
    fn production_and_lambda_demand_a_bucket() {
        for variables in [
            &[("ENVIRONMENT", "production"), ("USE_S3", "0")][..],
            &[("AWS_LAMBDA_FUNCTION_NAME", "registry")],
            &[("USE_S3", "true")],
        ] {
            insta::allow_duplicates! {
                insta::assert_snapshot!(read(variables).unwrap_err(), @"invalid configuration: S3_BUCKET_NAME is not set");
            }
        }
        let chain = read(&[("ENVIRONMENT", "production"), ("S3_BUCKET_NAME", "b")]).unwrap();
        assert_eq!(chain.bucket.as_deref(), Some("b"));
        assert!(chain.is_production && !chain.allow_volatile);
    }

    #[test]
    fn files_are_named_as_sqlalchemy_names_them() {
        for (url, file) in [
            ("sqlite:///a/b.db", Some("a/b.db")),
            ("sqlite:////var/b.db", Some("/var/b.db")),
            ("sqlite:///b.db?timeout=5", Some("b.db")),
            ("sqlite://", None),
            ("sqlite:///:memory:", None),
        ] {
            let chain = read(&[("SQLALCHEMY_DATABASE_URL", url)]).unwrap();
            assert_eq!(chain.sqlite, file.map(Into::into), "{url}");
        }
        let off = read(&[("USE_SQLITE", "0")]).unwrap();
        assert_eq!(off.sqlite, None);
    }

    #[test]
    fn all_mistakes_come_in_one_message_without_the_values() {
        let error = read(&[
            ("USE_S3", "maybe"),
            ("USE_SQLITE", "2"),
            ("SQLALCHEMY_DATABASE_URL", "postgresql://u:geheim@host/db"),
            ("ALLOW_VOLATILE_WRITES", "x"),
            ("PUBLIC_URL", "models.example"),
            ("LOG_LEVEL", "loud"),
        ]);
        insta::assert_snapshot!(error.unwrap_err(), @"invalid configuration: USE_S3 is invalid: it must be true or false; USE_SQLITE is invalid: it must be true or false; SQLALCHEMY_DATABASE_URL is invalid: it must be sqlite:///file.db, or sqlite:// for memory; ALLOW_VOLATILE_WRITES is invalid: it must be true or false; PUBLIC_URL is invalid: it must be an http or https URL without query and fragment; LOG_LEVEL is invalid: it must be trace, debug, info, warning or error");
    }
}
