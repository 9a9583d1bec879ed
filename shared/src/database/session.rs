//! Connections in use together with what was found behind them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_postgres::Client;

use super::{ConnectError, Connection, Database, is_worth_another_try};
use crate::telemetry::chain;

/// How often work is tried when the database was away or in each other's way: once more, on a new connection.
/// What that does not heal is for whoever asked to ask again.
const ATTEMPTS: u32 = 2;

/// A connection in use, and the user's table as it was found there.
#[derive(Debug)]
pub struct Session<T> {
    connection: Connection,
    table: Arc<T>,
}

/// A database, and the user's table as its kept connections found it.
#[derive(Debug)]
pub struct Sessions<T> {
    database: Database,
    table: Mutex<Option<Arc<T>>>,
}

impl<T> Session<T> {
    /// A new connection, behind which this was found.
    pub fn new(connection: Connection, table: T) -> Self {
        let table = Arc::new(table);
        Self { connection, table }
    }

    /// What statements are sent by.
    pub fn client(&self) -> &Client {
        &self.connection.client
    }

    /// What was found.
    pub fn table(&self) -> &T {
        &self.table
    }
}

impl<T> Sessions<T> {
    /// Nothing is connected yet.
    pub fn new(database: Database) -> Self {
        Self {
            database,
            table: Mutex::new(None),
        }
    }

    /// A new connection, for whoever looks what is behind it.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: there is none to be had now.
    pub fn open(&self) -> impl Future<Output = Result<Connection, ConnectError>> {
        self.database.open()
    }

    /// The kept connection if it still works.
    pub async fn kept(&self) -> Option<Session<T>> {
        let connection = self.database.kept().await?;
        let table = self.table().clone()?;
        Some(Session { connection, table })
    }

    /// Keeps a connection, outside any transaction, for its next use.
    pub fn keep(&self, session: Session<T>) {
        *self.table() = Some(session.table);
        self.database.keep(session.connection);
    }

    /// Does something with what `open` gives, and once more on a new connection should that have been at fault. What
    /// is done must bear being done twice.
    ///
    /// # Errors
    ///
    /// Those of `open`, and what PostgreSQL says of the work. A transaction that it left open is rolled back.
    pub async fn run<R, E, S, F>(
        &self,
        open: impl Fn() -> S,
        work: impl Fn(Arc<Session<T>>) -> F,
    ) -> Result<R, E>
    where
        S: Future<Output = Result<Session<T>, E>>,
        F: Future<Output = Result<R, tokio_postgres::Error>>,
        E: From<tokio_postgres::Error>,
    {
        let mut attempt = 1;
        loop {
            let session = Arc::new(open().await?);
            match work(Arc::clone(&session)).await {
                Ok(done) => {
                    self.take_back(session);
                    return Ok(done);
                }
                Err(error) if attempt < ATTEMPTS && is_worth_another_try(&error) => {
                    tracing::warn!(error = %chain(&error), "trying again on a new connection");
                    attempt += 1;
                }
                Err(error) => {
                    let rolled_back = session.client().batch_execute("rollback").await;
                    if rolled_back.is_ok() && !is_worth_another_try(&error) {
                        self.take_back(session);
                    }
                    return Err(error.into());
                }
            }
        }
    }

    fn take_back(&self, session: Arc<Session<T>>) {
        // Whoever worked with it has finished, so this is the last holder.
        if let Some(session) = Arc::into_inner(session) {
            self.keep(session);
        }
    }

    fn table(&self) -> MutexGuard<'_, Option<Arc<T>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
