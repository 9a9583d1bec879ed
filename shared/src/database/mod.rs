//! PostgreSQL: how it is reached, and one connection kept over invocations.
//!
//! - [`Url`]: where it is, as libpq and its users write it
//! - [`Settings`]: the same, read from the environment; or a secret, or IAM
//! - [`Database`], [`Connection`]: opening, keeping, checking
//! - [`ConnectError`]: why there is none, and what is to be done about it
//! - [`Migrations`]: a function's own tables
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
mod iam;
mod login;
mod migrations;
mod plain;
mod rds;
mod secret;
mod settings;
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
pub use migrations::Migrations;
pub use settings::Settings;
pub use url::{Url, UrlError};

/// A database, and at most one connection to it that waits for its next use.
///
/// An instance of a Lambda function works on one invocation at a time, so it needs no pool.
#[derive(Debug)]
pub struct Database {
    access: Access,
    /// Taken out while in use: an invocation that is cut short drops it in whatever state it is.
    idle: Mutex<Option<Connection>>,
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
            idle: Mutex::new(None),
        }
    }

    /// The connection kept, if there is one and it still works.
    pub async fn kept(&self) -> Option<Connection> {
        let connection = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        connection.is_usable().await.then_some(connection)
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
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }
}
