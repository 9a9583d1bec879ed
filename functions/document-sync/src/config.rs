//! What `document-sync` is told by its environment.

use std::str::FromStr;

use shared::config::{Env, FromEnv};
use shared::{database, queue, s3};

use crate::filter::Filter;
use crate::table::TableName;

/// The function's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the documents table is.
    pub database: database::Settings,
    /// `DOCUMENT_TABLE`: the table that the user had before; `document` is made where none is named.
    pub table: Option<TableName>,
    /// The variables Lambda sets for AWS clients, and `AWS_ENDPOINT_URL_S3` for a store elsewhere.
    pub s3: s3::Settings,
    /// `DOCUMENT_INCLUDE_PREFIXES` and what follows it.
    pub filter: Filter,
    /// `LOADER_QUEUE_URL`: who is told when documents changed; nobody where none is named.
    pub loader: Option<queue::Settings>,
    /// `RECONCILE_MAX_DELETED_SHARE`: the greatest part of the documents, 0 to 1, that a reconcile may remove.
    pub max_deleted_share: f64,
}

/// More than half of all documents gone is taken for a mistake of whoever answers the listing.
const MAX_DELETED_SHARE: f64 = 0.5;

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let database = database::Settings::from_env(env);
        let table = env.optional("DOCUMENT_TABLE");
        let s3 = s3::Settings::from_env(env);
        let filter = Filter::from_env(env);
        let loader = queue::Settings::from_env(env, "LOADER_QUEUE_URL");
        let share = env.or("RECONCILE_MAX_DELETED_SHARE", Share(MAX_DELETED_SHARE));
        Some(Self {
            database: database?,
            table: table?,
            s3: s3?,
            filter: filter?,
            loader: loader?,
            max_deleted_share: share?.0,
        })
    }
}

impl Config {
    /// The settings of a function with this database and S3, and the defaults otherwise.
    pub fn new(database: database::Settings, s3: s3::Settings) -> Self {
        Self {
            database,
            table: None,
            s3,
            filter: Filter::default(),
            loader: None,
            max_deleted_share: MAX_DELETED_SHARE,
        }
    }
}

struct Share(f64);

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self(share)),
            _ => Err("it must be a number between 0 and 1"),
        }
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

    #[test]
    fn a_share_is_a_part_of_one() {
        for text in ["50", "-0.1", "half", "NaN"] {
            let environment = Env::new([
                ("DATABASE_URL", "postgresql://u@127.0.0.1/d"),
                ("RECONCILE_MAX_DELETED_SHARE", text),
            ]);
            let error = Config::read(environment).unwrap_err().to_string();
            assert!(error.contains("between 0 and 1"), "{text}: {error}");
        }
    }
}
