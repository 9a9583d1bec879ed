//! The documents table and its ledger, behind a connection that is kept.

use std::collections::HashMap;
use std::sync::Arc;

use shared::database::{ConnectError, Database, Sessions, is_about_a_row};
use shared::telemetry::chain;
use time::OffsetDateTime;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::change::{Content, Location};
use crate::ledger;
use crate::quarantine::Quarantined;
use crate::schema::{self, Unfit};
use crate::sequencer::Sequencer;
use crate::table::{Table, TableError, TableName};
use crate::transaction::{Unknown, Work, transact};

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

/// The documents table, behind a connection that is opened when needed and kept while it works.
#[derive(Debug)]
pub struct Documents {
    sessions: Sessions<Table>,
    name: Option<TableName>,
}

/// A connection in use, and the documents table as it was found there.
pub(crate) type Session = shared::database::Session<Table>;

impl Documents {
    /// The table of this name, or our own. Nothing is connected yet.
    pub fn new(database: Database, name: Option<TableName>) -> Self {
        Self {
            sessions: Sessions::new(database),
            name,
        }
    }

    /// Opens the connection and creates missing tables, so that the first batch need not.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; the first batch will try again.
    pub async fn prepare(&self) -> Result<(), Error> {
        let session = self.session().await?;
        self.sessions.keep(session);
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
        let table = schema::prepare(&connection.client, self.name.as_ref()).await?;
        Ok(Session::new(connection, table))
    }
}

/// What the database says of a row, without the row.
fn reason(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || chain(error).to_string(),
        |error| format!("{} ({})", error.message(), error.code().code()),
    )
}
