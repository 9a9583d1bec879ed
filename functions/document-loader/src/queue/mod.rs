//! The queue of documents to load, in the database: one row per document, `document_load`.
//!
//! - `changes`: what became of documents, from the triggers' notes into the queue; and the `comparison` that finds what
//!   no trigger told of
//! - `claim`: documents handed out, fairly, under a lease
//! - `settle`: what came of them, with their chunks, in one transaction; `write`: its statements
//! - `look`: what is known of one document or source, and of the whole queue
//!
//! Every transaction is short, and none lasts while something is read from S3. Rows of the queue are locked in the order
//! of their URIs, so that transactions wait for each other and do not deadlock.

mod changes;
mod claim;
mod comparison;
mod look;
mod settle;
mod write;

use std::sync::Arc;

use shared::database::{ConnectError, Database, Sessions, Settings, TableName};
use tokio_postgres::error::SqlState;

use crate::schema::{self, Unfit};
use crate::table::{Table, TableError};

pub use changes::Noticed;
pub use claim::{Claim, Lane, Request, Version};
pub use settle::{Content, Outcome, Settled};

/// Why something was not done. All of it can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Box<ConnectError>),
    /// Its owner has to change something first.
    #[error("the database cannot be used")]
    Unfit(#[source] TableError),
    /// The server answered with an error.
    #[error("the database did not do what was asked")]
    Failed(#[source] tokio_postgres::Error),
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Table(error) => Self::Unfit(error),
            Unfit::Failed(error) => Self::Failed(error),
        }
    }
}

/// The queue, behind a connection that is opened when needed and kept while it works.
#[derive(Debug)]
pub struct Queue {
    sessions: Sessions<Table>,
    name: Option<TableName>,
    role_arn: Option<String>,
}

/// A connection in use, and the documents table as it was found there.
pub(crate) type Session = shared::database::Session<Table>;

impl Queue {
    /// The queue of the documents table of this name, or of `document`. `role_arn` is the function's own role, which
    /// customers have to trust. Nothing is connected yet.
    pub fn new(settings: Settings, name: Option<TableName>, role_arn: Option<String>) -> Self {
        Self {
            sessions: Sessions::new(Database::new(settings)),
            name,
            role_arn,
        }
    }

    /// Opens the connection and creates what is missing, so that the first invocation need not.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; the first invocation will try again.
    pub async fn prepare(&self) -> Result<(), Error> {
        let session = self.session().await?;
        self.sessions.keep(session);
        Ok(())
    }

    /// Does something with a connection, and once more on a new one should that have been at fault. What is done must
    /// bear being done twice.
    pub(crate) fn run<T, F>(
        &self,
        work: impl Fn(Arc<Session>) -> F,
    ) -> impl Future<Output = Result<T, Error>>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        self.sessions.run(|| self.session(), work)
    }

    /// The kept connection if it still works, else a new one.
    async fn session(&self) -> Result<Session, Error> {
        if let Some(session) = self.sessions.kept().await {
            return Ok(session);
        }
        let connection = self.sessions.open().await?;
        let name = self.name.as_ref();
        let role_arn = self.role_arn.as_deref();
        let table = match schema::prepare(&connection.client, name, role_arn).await {
            // Another instance was making the tables.
            Err(Unfit::Failed(error)) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {
                schema::prepare(&connection.client, name, role_arn).await
            }
            table => table,
        }?;
        Ok(Session::new(connection, table))
    }
}
