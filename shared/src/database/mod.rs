//! PostgreSQL: how it is reached, and connections kept over invocations.
//!
//! - [`Url`]: where it is, as libpq and its users write it
//! - [`Settings`]: the same, read from the environment; or a secret, or IAM
//! - [`Database`], [`Connection`]: opening, keeping, checking
//! - [`ConnectError`]: why there is none, and what is to be done about it
//! - [`is_worth_another_try`], [`is_about_a_row`]: what a failed statement is to be answered with
//! - [`Sessions`]: the same with what was found behind a connection, and work that is tried once more
//! - [`Migrations`], [`OwnTables`], [`TableName`]: a function's own tables, and the user's
//!
//! Behind them:
//!
//! - `target`: one server of a URL
//! - `tls`, `rds`: whose certificates are trusted
//! - `plain`: without TLS, no password in clear text
//! - `secret`, `login`: user and password from Secrets Manager
//! - `iam`: a signed token for a password

mod connection;
mod error;
mod failure;
mod iam;
mod login;
mod migrations;
mod own_tables;
mod plain;
mod rds;
mod secret;
mod session;
mod settings;
mod table;
mod target;
mod tls;
mod url;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use connection::Proof;
use error::advice;
use iam::IamTokens;
use secret::Secret;
use settings::AccessSettings;

pub use connection::Connection;
pub use error::ConnectError;
pub use failure::{is_about_a_row, is_worth_another_try};
pub use migrations::Migrations;
pub use own_tables::{Lacking, OwnTables};
pub use session::{Session, Sessions};
pub use settings::Settings;
pub use table::{InvalidTableName, TableName, grant, quoted};
pub use url::{Url, UrlError};

/// A database, and the connections to it that wait for their next use.
///
/// How many there are is up to the function: it keeps as many as it has used at a time. An instance that works on one
/// invocation at a time needs no more than one.
#[derive(Debug)]
pub struct Database {
    access: Access,
    /// Taken out while in use: an invocation that is cut short drops it in whatever state it is.
    idle: Mutex<Vec<Connection>>,
}

/// Where it is, and what proves who asks, with what is remembered of that.
#[derive(Debug)]
enum Access {
    Url(Url),
    Secret(Box<Secret>),
    IamToken(Url, IamTokens),
}

impl Database {
    /// The database of these settings. Nothing is connected yet.
    pub fn new(settings: Settings) -> Self {
        Self::with_clock(settings, SystemTime::now)
    }

    fn with_clock(settings: Settings, clock: fn() -> SystemTime) -> Self {
        let access = match settings.access {
            AccessSettings::Url(url) => Access::Url(url),
            AccessSettings::Secret(url, secret) => {
                Access::Secret(Box::new(Secret::new(secret, url, clock)))
            }
            AccessSettings::IamToken(url, signer) => {
                Access::IamToken(url, IamTokens::new(signer, clock))
            }
        };
        Self {
            access,
            idle: Mutex::default(),
        }
    }

    /// The connection kept last of those that still work, if there is one.
    pub async fn kept(&self) -> Option<Connection> {
        loop {
            let connection = self.idle().pop()?;
            if connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// A new connection.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: there is none to be had now.
    pub async fn open(&self) -> Result<Connection, ConnectError> {
        match &self.access {
            Access::Url(url) => Connection::open(url, Proof::Password(advice::URL)).await,
            Access::Secret(secret) => secret.open().await,
            Access::IamToken(url, tokens) => {
                let connected = Connection::open(url, Proof::Token(tokens)).await;
                if connected
                    .as_ref()
                    .is_err_and(ConnectError::is_about_credentials)
                {
                    tokens.forget();
                }
                connected
            }
        }
    }

    /// Keeps a connection, outside any transaction, for its next use.
    pub fn keep(&self, mut connection: Connection) {
        connection.touch();
        self.idle().push(connection);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
