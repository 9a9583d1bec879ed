//! What `document-loader` is told by its environment.

use std::path::PathBuf;
use std::str::FromStr;

use shared::config::{Env, FromEnv};
use shared::database::{self, TableName};

use crate::amazon;

/// The function's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the documents table is.
    pub database: database::Settings,
    /// `DOCUMENT_TABLE`: the user's own; `document` where none is named.
    pub table: Option<TableName>,
    /// Where S3 and STS are.
    pub amazon: amazon::Settings,
    /// `LOADER_ROLE_ARN`: the function's own role, which customers' roles have to trust.
    pub role_arn: Option<String>,
    /// `LOADER_MAX_BYTES`: larger objects are not loaded, unless their source says otherwise.
    pub max_bytes: u64,
    /// `LOADER_CONCURRENCY`: documents loaded at a time.
    pub concurrency: usize,
    /// `LOADER_CONNECTIONS`: connections to the database at a time.
    pub connections: usize,
    /// The function's memory, in bytes.
    pub memory: u64,
    /// The program that reads documents, which begins with [`child::run`](crate::extract::child::run); `None`: the one
    /// that is running.
    pub program: Option<PathBuf>,
}

const MAX_BYTES: u64 = 100 * 1024 * 1024;
const CONCURRENCY: Count = Count(160);
const CONNECTIONS: Count = Count(3);
/// Where Lambda does not say how much memory there is, in MB.
const MEMORY: u64 = 1024;
const MEGABYTE: u64 = 1024 * 1024;

impl FromEnv for Config {
    fn from_env(env: &mut Env) -> Option<Self> {
        let database = database::Settings::from_env(env);
        let table = env.optional("DOCUMENT_TABLE");
        let amazon = amazon::Settings::from_env(env);
        let role_arn = env.optional::<RoleArn>("LOADER_ROLE_ARN");
        let max_bytes = env.or("LOADER_MAX_BYTES", MAX_BYTES);
        let concurrency = env.or("LOADER_CONCURRENCY", CONCURRENCY);
        let connections = env.or("LOADER_CONNECTIONS", CONNECTIONS);
        let memory = env.or("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MEMORY);
        Some(Self {
            database: database?,
            table: table?,
            amazon: amazon?,
            role_arn: role_arn?.map(|RoleArn(arn)| arn),
            max_bytes: max_bytes?,
            concurrency: concurrency?.0,
            connections: connections?.0,
            memory: memory?.saturating_mul(MEGABYTE),
            program: None,
        })
    }
}

impl Config {
    /// The settings of a function with this database, S3 and STS, and the defaults otherwise.
    pub fn new(database: database::Settings, amazon: amazon::Settings) -> Self {
        Self {
            database,
            table: None,
            amazon,
            role_arn: None,
            max_bytes: MAX_BYTES,
            concurrency: CONCURRENCY.0,
            connections: CONNECTIONS.0,
            memory: MEMORY * MEGABYTE,
            program: None,
        }
    }
}

struct Count(usize);

impl FromStr for Count {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(count @ 1..=1000) => Ok(Self(count)),
            _ => Err("it must be a number from 1 to 1000"),
        }
    }
}

struct RoleArn(String);

impl FromStr for RoleArn {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        match parts.as_slice() {
            ["arn", partition, "iam", "", account, name]
                if partition.starts_with("aws")
                    && account.len() == 12
                    && account.bytes().all(|byte| byte.is_ascii_digit())
                    && name.starts_with("role/") =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err("it must be arn:aws:iam::ACCOUNT:role/NAME"),
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
    fn every_mistake_is_told_at_once() {
        let environment = Env::new([
            ("DATABASE_URL", "postgresql://u@127.0.0.1/d"),
            ("LOADER_ROLE_ARN", "arn:aws:iam::1:role/x"),
            ("LOADER_MAX_BYTES", "-1"),
            ("LOADER_CONCURRENCY", "0"),
            ("LOADER_CONNECTIONS", "many"),
        ]);
        let error = Config::read(environment).unwrap_err();
        insta::assert_snapshot!(error, @"invalid configuration: LOADER_ROLE_ARN is invalid: it must be arn:aws:iam::ACCOUNT:role/NAME; LOADER_MAX_BYTES is invalid: invalid digit found in string; LOADER_CONCURRENCY is invalid: it must be a number from 1 to 1000; LOADER_CONNECTIONS is invalid: it must be a number from 1 to 1000");
    }
}
