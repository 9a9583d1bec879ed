//! The documents table and its ledger, behind a connection that is kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared::database::{ConnectError, Connection, Database, is_about_a_row, is_worth_another_try};
use shared::telemetry::chain;
use time::OffsetDateTime;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::change::{Content, Location};
use crate::ledger;
use crate::quarantine::Quarantined;
use crate::schema::{self, Unfit};
use crate::sequencer::Sequencer;
use crate::table::{Table, TableError, TableName};
use crate::transaction::{Unknown, Work, transact};

/// How often a batch is tried when the database was away or in each other's way: once more, on a new connection.
/// What that does not heal is for the queue to deliver again.
const ATTEMPTS: u32 = 2;

/// What an object was at one point in the order of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The object.
    pub location: Location,
    /// The point.
    pub sequencer: Sequencer,
    /// When it became so.
    pub time: OffsetDateTime,
    /// What is there; `None` when it is gone or not a document.
    pub content: Option<Content>,
}

/// What became of a batch of states. The numbers add up to the batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Documents written or removed.
    pub changed: usize,
    /// Later events that left the object as it was: no row was touched.
    pub confirmed: usize,
    /// Late events.
    pub stale: usize,
    /// Events that came again.
    pub duplicate: usize,
    /// States that the database would not take while it took the others.
    pub refused: Vec<Refused>,
}

/// A state that the database would not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its position in the batch.
    pub state: usize,
    /// What the database said.
    pub reason: String,
}

/// Why nothing of a batch was applied. All of it can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Box<ConnectError>),
    /// Its owner has to change something first.
    #[error("the database cannot be used")]
    Unfit(#[source] TableError),
    /// The server answered with an error.
    #[error("the database did not apply the batch")]
    Failed(#[source] tokio_postgres::Error),
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        Self::Unavailable(Box::new(error))
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

/// The documents table, behind a connection that is opened when needed and kept while it works.
#[derive(Debug)]
pub struct Documents {
    database: Database,
    name: Option<TableName>,
    /// As the kept connection found it.
    table: Mutex<Option<Arc<Table>>>,
}

/// A connection in use, and the documents table as it was found there.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    table: Arc<Table>,
}

impl Session {
    pub(crate) fn client(&self) -> &Client {
        &self.connection.client
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }
}

impl Documents {
    /// The table of this name, or our own. Nothing is connected yet.
    pub fn new(database: Database, name: Option<TableName>) -> Self {
        Self {
            database,
            name,
            table: Mutex::new(None),
        }
    }

    /// Opens the connection and creates missing tables, so that the first batch need not.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; the first batch will try again.
    pub async fn prepare(&self) -> Result<(), Error> {
        let session = self.session().await?;
        self.keep(Arc::new(session));
        Ok(())
    }

    /// The sequencers of the last events applied, by the digests of the objects. Unknown objects are missing.
    ///
    /// # Errors
    ///
    /// [`Error`] when the database is away or answers with an error.
    pub async fn sequencers(&self, objects: &[Uuid]) -> Result<HashMap<Uuid, Sequencer>, Error> {
        self.run(move |session| async move { ledger::known(session.client(), objects).await })
            .await
    }

    /// Brings ledger and documents to these states, and keeps these messages in quarantine, in one transaction of a
    /// constant number of statements.
    ///
    /// At most one state per object. Applying a batch twice is the same as once: a lost
    /// acknowledgement of the commit does no harm.
    ///
    /// Should the database refuse a row (a check or a trigger of the user's own on the documents table), the batch
    /// is halved until the refused rows stand alone, so that they do not hold up the others.
    ///
    /// # Errors
    ///
    /// [`Error`] when nothing more was applied; what was before can be applied again.
    pub async fn apply(
        &self,
        states: &[State],
        quarantined: &[Quarantined<'_>],
    ) -> Result<Applied, Error> {
        self.write(Work {
            states,
            quarantined,
            repair: false,
            unknown: Unknown::Inserted,
        })
        .await
    }

    /// As [`apply`](Self::apply), for documents that were found to differ from these states: they are written even
    /// where the ledger says that nothing changed.
    pub(crate) async fn repair(
        &self,
        states: &[State],
        unknown: Unknown,
    ) -> Result<Applied, Error> {
        self.write(Work {
            states,
            quarantined: &[],
            repair: true,
            unknown,
        })
        .await
    }

    async fn write(&self, work: Work<'_>) -> Result<Applied, Error> {
        let mut total = Applied::default();
        let mut quarantined = work.quarantined;
        let mut parts = vec![(0, work.states)];
        while let Some((position, part)) = parts.pop() {
            if part.is_empty() && quarantined.is_empty() {
                continue;
            }
            let attempt = Work {
                states: part,
                quarantined,
                ..work
            };
            match self.write_whole(attempt).await {
                Ok(applied) => {
                    quarantined = &[];
                    total.changed += applied.changed;
                    total.confirmed += applied.confirmed;
                    total.stale += applied.stale;
                    total.duplicate += applied.duplicate;
                }
                Err(Error::Failed(error)) if is_about_a_row(&error) && !part.is_empty() => {
                    if let [state] = part {
                        let reason = reason(&error);
                        let uri = state.location.uri();
                        tracing::warn!(error = reason, uri, "the database refused a document");
                        total.refused.push(Refused {
                            state: position,
                            reason,
                        });
                        // The messages that came along with it still have to be kept.
                        parts.push((position, &[]));
                    } else {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([(position + first.len(), second), (position, first)]);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    async fn write_whole(&self, work: Work<'_>) -> Result<Applied, Error> {
        let applied =
            self.run(move |session| async move {
                transact(session.client(), session.table(), work).await
            })
            .await;
        match applied {
            // Another instance was faster, or the document is there from a time before the ledger.
            Err(Error::Failed(error))
                if error.code() == Some(&SqlState::UNIQUE_VIOLATION)
                    && work.unknown == Unknown::Inserted =>
            {
                let work = Work {
                    unknown: Unknown::Upserted,
                    ..work
                };
                self.run(move |session| async move {
                    transact(session.client(), session.table(), work).await
                })
                .await
            }
            applied => applied,
        }
    }

    /// Does something with a connection, and once more on a new one should that have been at fault. What is done must
    /// bear being done twice.
    pub(crate) async fn run<T, F>(&self, work: impl Fn(Arc<Session>) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let mut attempt = 1;
        loop {
            let session = Arc::new(self.session().await?);
            match work(Arc::clone(&session)).await {
                Ok(done) => {
                    self.keep(session);
                    return Ok(done);
                }
                Err(error) if attempt < ATTEMPTS && is_worth_another_try(&error) => {
                    tracing::warn!(error = %chain(&error), "trying again on a new connection");
                    attempt += 1;
                }
                Err(error) => {
                    let rolled_back = session.client().batch_execute("rollback").await;
                    if rolled_back.is_ok() && !is_worth_another_try(&error) {
                        self.keep(session);
                    }
                    return Err(Error::Failed(error));
                }
            }
        }
    }

    /// The kept connection if it still works, else a new one.
    async fn session(&self) -> Result<Session, Error> {
        if let Some(connection) = self.database.kept().await
            && let Some(table) = self
                .table
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        {
            return Ok(Session { connection, table });
        }
        let connection = self.database.open().await?;
        let table = schema::prepare(&connection.client, self.name.as_ref()).await?;
        let table = Arc::new(table);
        Ok(Session { connection, table })
    }

    fn keep(&self, session: Arc<Session>) {
        // Whoever worked with it has finished, so this is the last holder.
        let Some(Session { connection, table }) = Arc::into_inner(session) else {
            return;
        };
        *self.table.lock().unwrap_or_else(PoisonError::into_inner) = Some(table);
        self.database.keep(connection);
    }
}

/// What the database says of a row, without the row.
fn reason(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || chain(error).to_string(),
        |error| format!("{} ({})", error.message(), error.code().code()),
    )
}
