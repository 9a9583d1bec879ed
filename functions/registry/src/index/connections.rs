//! Connections to the database: few, each for one request at a time, and none is waited for long.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::database::{ConnectError, Connection, Database, is_worth_another_try};
use shared::telemetry::chain;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Client;

use super::schema::{self, Abilities, Unfit};

/// Connections for what takes milliseconds. An instance on Lambda works on one request, and uses one.
const CONNECTIONS: usize = 4;
/// Connections for searches, which may take seconds and must not hold up the others.
const SEARCHES: usize = 2;
/// How often something is tried: once more, on a new connection.
const ATTEMPTS: u32 = 2;
/// How long a database that could not be reached is left alone, so that not every request waits for it.
const REST: Duration = Duration::from_secs(2);

/// The database, as several requests use it.
#[derive(Debug)]
pub(super) struct Connections {
    database: Database,
    slots: Semaphore,
    searches: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// As the last new connection found them.
    abilities: Option<Abilities>,
    rests_until: Option<Instant>,
    /// It has been said that searches have no index.
    has_warned: bool,
}

/// A connection in use, and what can be done with it.
#[derive(Debug)]
pub(super) struct Session {
    connection: Connection,
    abilities: Abilities,
}

/// Why the database did not do something.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// No connection.
    #[error("the database cannot be reached")]
    Unreachable(#[source] Box<ConnectError>),
    /// No connection a moment ago; it is not tried again yet.
    #[error("the database could not be reached a moment ago")]
    Resting,
    /// No answer, or no free connection.
    #[error("the database takes too long")]
    Late,
    /// Its owner has to change something first.
    #[error("the database cannot be used: {0}")]
    Unfit(String),
    /// It answered with an error.
    #[error("the database did not do what was asked")]
    Failed(#[from] tokio_postgres::Error),
}

impl Session {
    pub(super) fn client(&self) -> &Client {
        &self.connection.client
    }

    pub(super) fn abilities(&self) -> Abilities {
        self.abilities
    }
}

impl Connections {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database,
            slots: Semaphore::new(CONNECTIONS),
            searches: Semaphore::new(SEARCHES),
            state: Mutex::default(),
        }
    }

    /// Does something with a connection, and once more on a new one should that have been at fault. What is done must
    /// bear being done twice.
    pub(super) async fn run<T, F>(
        &self,
        within: Duration,
        work: impl Fn(Arc<Session>) -> F,
    ) -> Result<T, DatabaseError>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let deadline = Instant::now() + within;
        let _slot = permit(&self.slots, deadline).await?;
        let mut attempt = 1;
        loop {
            let session = Arc::new(self.session(attempt == 1, deadline).await?);
            let worked = timeout_at(deadline, work(Arc::clone(&session))).await;
            match worked.map_err(|_elapsed| DatabaseError::Late)? {
                Ok(done) => {
                    self.keep(session);
                    return Ok(done);
                }
                Err(error) if attempt < ATTEMPTS && is_worth_another_try(&error) => {
                    tracing::warn!(error = %chain(&error), "trying again on a new connection");
                    attempt += 1;
                }
                Err(error) => {
                    if !is_worth_another_try(&error) {
                        self.keep(session);
                    }
                    return Err(error.into());
                }
            }
        }
    }

    /// A connection for a search, and the permission to use it. Who does not come to the end of the answer must not
    /// keep it.
    pub(super) async fn search(
        &self,
        deadline: Instant,
    ) -> Result<(Session, SemaphorePermit<'_>), DatabaseError> {
        let permit = permit(&self.searches, deadline).await?;
        let session = self.session(true, deadline).await?;
        Ok((session, permit))
    }

    /// Keeps a connection for its next use.
    pub(super) fn keep(&self, session: impl Into<Arc<Session>>) {
        // Whoever worked with it has finished, so this is the last holder.
        if let Some(session) = Arc::into_inner(session.into()) {
            self.database.keep(session.connection);
        }
    }

    async fn session(
        &self,
        may_be_kept: bool,
        deadline: Instant,
    ) -> Result<Session, DatabaseError> {
        let abilities = self.state().abilities;
        if may_be_kept
            && let Some(abilities) = abilities
            && let Ok(Some(connection)) = timeout_at(deadline, self.database.kept()).await
        {
            return Ok(Session {
                connection,
                abilities,
            });
        }
        let rests_until = self.state().rests_until;
        if rests_until.is_some_and(|until| Instant::now() < until) {
            return Err(DatabaseError::Resting);
        }
        let opened = timeout_at(deadline, self.open()).await;
        let opened = opened.unwrap_or(Err(DatabaseError::Late));
        let mut state = self.state();
        state.rests_until = match &opened {
            Err(DatabaseError::Unreachable(_) | DatabaseError::Late) => Some(Instant::now() + REST),
            _ => None,
        };
        opened
    }

    async fn open(&self) -> Result<Session, DatabaseError> {
        let connection = self.database.open().await;
        let connection = connection.map_err(|error| DatabaseError::Unreachable(Box::new(error)))?;
        let abilities = match schema::prepare(&connection.client).await {
            Ok(abilities) => abilities,
            Err(Unfit::Failed(error)) => return Err(error.into()),
            Err(unfit) => return Err(DatabaseError::Unfit(unfit.to_string())),
        };
        let mut state = self.state();
        state.abilities = Some(abilities);
        if !abilities.has_trigrams && !std::mem::replace(&mut state.has_warned, true) {
            tracing::warn!(
                "searches read every description: the index registry_artifact_text is missing, which needs the extension pg_trgm; see docs/registry-index.md"
            );
        }
        Ok(Session {
            connection,
            abilities,
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Each change is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn permit(
    semaphore: &Semaphore,
    deadline: Instant,
) -> Result<SemaphorePermit<'_>, DatabaseError> {
    // It is never closed.
    match timeout_at(deadline, semaphore.acquire()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(DatabaseError::Late),
    }
}
