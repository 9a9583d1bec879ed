//! PostgreSQL: how it is reached, and one connection kept over invocations.
//!
//! - [`Url`]: where it is, as libpq and its users write it
//! - [`Settings`]: the same, read from the environment
//! - [`Database`], [`Connection`]: opening, keeping, checking
//! - [`Migrations`]: a function's own tables

mod connection;
mod migrations;
mod settings;
mod url;

use std::sync::{Mutex, PoisonError};

pub use connection::{ConnectError, Connection};
pub use migrations::Migrations;
pub use settings::Settings;
pub use url::{Url, UrlError};

/// A database, and at most one connection to it that waits for its next use.
///
/// An instance of a Lambda function works on one invocation at a time, so it needs no pool.
#[derive(Debug)]
pub struct Database {
    settings: Settings,
    /// Taken out while in use: an invocation that is cut short drops it in whatever state it is.
    idle: Mutex<Option<Connection>>,
}

impl Database {
    /// The database of these settings. Nothing is connected yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
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
        Connection::open(&self.settings.url).await
    }

    /// Keeps a connection, outside any transaction, for its next use.
    pub fn keep(&self, mut connection: Connection) {
        connection.touch();
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }
}
