//! PostgreSQL: how it is reached, and one connection kept over invocations.
//!
//! - [`Url`]: where it is, as libpq and its users write it
//! - [`Settings`]: the same, read from the environment; or a secret, or IAM
//! - [`Database`], [`Connection`]: opening, keeping, checking
//! - [`ConnectError`]: why there is none, and what is to be done about it
//! - [`is_passing`], [`is_about_a_row`]: what a failed statement is to be answered with
//! - [`Migrations`], [`TableName`]: a function's own tables, and the user's
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
mod plain;
mod rds;
mod secret;
mod settings;
mod table;
mod target;
mod tls;
mod url;

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use connection::Proof;
use error::advice;
use iam::IamTokens;
use secret::Secret;
use settings::AccessSettings;

pub use connection::Connection;
pub use error::ConnectError;
pub use failure::{is_about_a_row, is_passing};
pub use migrations::Migrations;
pub use secret::SecretError;
pub use settings::Settings;
pub use table::{InvalidTableName, TableName, grant, quoted};
pub use url::{Url, UrlError};

/// A database, and connections to it that wait for their next use: one, unless somebody needs several at a time.
///
/// An instance of a Lambda function works on one invocation at a time, so it needs no pool.
#[derive(Debug)]
pub struct Database {
    access: Access,
    /// Taken out while in use: an invocation that is cut short drops it in whatever state it is.
    idle: Mutex<Vec<Connection>>,
    most_idle: usize,
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
            most_idle: 1,
        }
    }

    /// As many connections may wait for their next use.
    #[must_use]
    pub fn keeping(self, most_idle: usize) -> Self {
        Self { most_idle, ..self }
    }

    /// A connection that was kept, if there is one that still works.
    pub async fn kept(&self) -> Option<Connection> {
        loop {
            let connection = self
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop()?;
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
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The one that was used last is the least likely to have been dropped by the server.
        if idle.len() >= self.most_idle.max(1) {
            idle.remove(0);
        }
        idle.push(connection);
    }
}
