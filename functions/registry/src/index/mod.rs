//! All artifacts in PostgreSQL, for queries that cost the same whatever their number. The bucket is the truth.
//!
//! - `schema`: the tables, `connections`: how they are reached, `row`: what they hold of an object
//! - `announcement`: a change of the bucket, told to the index before and after; `healing`: what is done where the
//!   second half is missing; `removal`: all at once
//! - `query`: by name and kind, page by page; `search`: by a pattern, of which `literal` tells what every match has
//!   in it; `members`: how artifacts refer to each other
//! - [`rebuild`]: the bucket and the index compared
//! - `access`: calls of tokens and failed logins, counted over all instances
//! - `trail`: how far the audit trail was verified
//!
//! Two writes to two places cannot be one. So each change of a record is *announced* by a row in the database, made in
//! the bucket, and *settled* by one statement that writes the index and takes the announcement back:
//!
//! | ended after | is left | what becomes of it |
//! |---|---|---|
//! | the announcement | an announcement | queries look at the object, and find what they know |
//! | the change in the bucket | the same | queries look at the object, write what they find, then answer |
//! | the settling | nothing | |
//!
//! Queries do so from two seconds after the announcement on, and until nobody can be at work any more: 15 minutes,
//! longer than any invocation of Lambda. Who cannot announce a change does not make it. Who has made it and cannot
//! settle it answers that it is made, but not before the two seconds are over: so what was acknowledged is found by
//! the next query of any instance.
//!
//! Which of two states of an object is the later one, revisions cannot tell: other writers do not count. So each row has
//! a *stamp* that every change of it counts up. It is read before the object is written or read, and the row is written
//! only if it is still the same; otherwise the object is read again. Rows of deleted artifacts stay for a day, so that
//! there is a stamp to compare with.

mod access;
mod announcement;
mod connections;
mod healing;
mod literal;
mod members;
#[cfg(test)]
mod plans;
mod query;
pub mod rebuild;
mod removal;
mod row;
mod schema;
mod search;
mod trail;

use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::database::Database;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::store::{Objects, StoreError};
use connections::{Connections, Session};
use rebuild::{Order, Progress};
use row::{Parameter, unescaped};

pub(crate) use announcement::Announcement;
pub use connections::DatabaseError;

/// What a question or a change may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// Changes that a query looks after at a time.
const MOST_DUE: i64 = 256;
/// Between two looks whether another instance has made the index.
const PAUSE: Duration = Duration::from_millis(100);

/// First, whose index it is, if it has been made; then the places of changes that nobody has settled.
const STANDING: &str = "
    select name, null from registry_artifact where place = ''
    union all (
        select null, place from registry_unsettled
        where due_at <= current_timestamp and place <> all ($1::text[]) order by due_at limit $2
    )";

/// The index of the artifacts in one store.
#[derive(Debug)]
pub struct Index {
    connections: Connections,
    store: String,
    /// The last moment of which it is known that all changes before it are settled.
    settled: Mutex<Option<std::time::Instant>>,
}

/// Why the index did not do something: one variant per decision a caller can take.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The database does not do its part. Artifacts can be read by their ids, and neither found nor changed.
    #[error("the index does not answer")]
    Unavailable(#[from] DatabaseError),
    /// The index is being made.
    #[error("the index is being made from the store")]
    Incomplete,
    /// More changes were interrupted than there is time to look after.
    #[error("the index has to catch up with changes that were interrupted")]
    Behind,
    /// The database holds the index of another store.
    #[error(
        "the database holds the index of {0}: give this registry another one, or truncate registry_artifact and registry_relation there"
    )]
    Foreign(String),
    /// A search would take too long, or find too much.
    #[error(
        "the regular expression finds too much, or has to be looked for everywhere: be more specific, with three letters or digits in a row that must occur"
    )]
    TooBroad,
    /// More artifacts than one answer holds.
    #[error("too many artifacts for one answer")]
    TooMany,
    /// The bucket does not tell what became of an interrupted change.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no random bytes.
    #[error("the system has no random bytes")]
    Random(#[source] getrandom::Error),
}

impl Index {
    /// The index of the store of this name in a database. Nothing is connected yet.
    pub fn new(database: Database, store: impl Into<String>) -> Self {
        Self {
            connections: Connections::new(database),
            store: store.into(),
            settled: Mutex::default(),
        }
    }

    /// Opens a connection and makes missing tables, so that the first request need not.
    ///
    /// # Errors
    ///
    /// [`IndexError::Unavailable`]; the first request will try again.
    pub async fn prepare(&self) -> Result<(), IndexError> {
        let connected = self.connections.run(PATIENCE, |_session| ready(Ok(())));
        Ok(connected.await?)
    }

    /// Whether the index can be asked.
    ///
    /// # Errors
    ///
    /// [`IndexError::Unavailable`], [`IndexError::Incomplete`] or [`IndexError::Foreign`].
    pub async fn check(&self) -> Result<(), IndexError> {
        let standing = self.connections.run(PATIENCE, |session| async move {
            standing(session.client(), &[]).await
        });
        match standing.await?.store {
            Some(store) if store == self.store => Ok(()),
            Some(store) => Err(IndexError::Foreign(store)),
            None => Err(IndexError::Incomplete),
        }
    }

    /// The answer to a question, once all changes are settled that were made before it was asked.
    async fn ask<T, F>(
        &self,
        objects: &Objects,
        question: impl Fn(Arc<Session>) -> F,
    ) -> Result<T, IndexError>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        self.ask_since(objects, std::time::Instant::now(), question)
            .await
    }

    /// The answer to a question, once all changes are settled that were made before `moment`: the second question of a
    /// request need not look after them again.
    async fn ask_since<T, F>(
        &self,
        objects: &Objects,
        moment: std::time::Instant,
        question: impl Fn(Arc<Session>) -> F,
    ) -> Result<T, IndexError>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        if self.settled().is_some_and(|settled| settled >= moment) {
            return Ok(self.connections.run(PATIENCE, question).await?);
        }
        let deadline = Instant::now() + PATIENCE;
        let mut looked: Vec<String> = Vec::new();
        loop {
            let (known, question) = (&looked, &question);
            let begun = std::time::Instant::now();
            let asked = self.connections.run(PATIENCE, move |session| {
                let answer = question(Arc::clone(&session));
                // One round trip; but what is due must be known before the answer is made, or what another instance
                // settles in between is in neither.
                async move { try_join_in_order(standing(session.client(), known), answer).await }
            });
            let (standing, answer) = asked.await?;
            match standing.store {
                Some(store) if store == self.store => {}
                Some(store) => return Err(IndexError::Foreign(store)),
                None => {
                    self.complete(objects, deadline).await?;
                    continue;
                }
            }
            if standing.due.is_empty() {
                let mut settled = self.settled();
                *settled = (*settled).max(Some(begun));
                return Ok(answer);
            }
            if Instant::now() >= deadline {
                return Err(IndexError::Behind);
            }
            self.heal(objects, &standing.due).await?;
            looked.extend(standing.due);
        }
    }

    fn settled(&self) -> std::sync::MutexGuard<'_, Option<std::time::Instant>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an index that has never been, or was emptied.
    async fn complete(&self, objects: &Objects, deadline: Instant) -> Result<(), IndexError> {
        if Instant::now() >= deadline {
            return Err(IndexError::Incomplete);
        }
        // On the heap: it is seldom, and larger than everything else here.
        let order = Order::default();
        match Box::pin(self.rebuild(objects, &order, deadline))
            .await?
            .state
        {
            Progress::Unfinished => Err(IndexError::Incomplete),
            Progress::Running => {
                sleep(PAUSE).await;
                Ok(())
            }
            Progress::Finished | Progress::NotDue => Ok(()),
        }
    }
}

/// What has to be known before an answer counts.
struct Standing {
    /// Whose index it is; `None` where it has not been made.
    store: Option<String>,
    /// Places whose changes nobody has settled.
    due: Vec<String>,
}

async fn standing(client: &Client, looked: &[String]) -> Result<Standing, tokio_postgres::Error> {
    let parameters: [Parameter<'_>; 2] = [(&looked, Type::TEXT_ARRAY), (&MOST_DUE, Type::INT8)];
    let rows = client.query_typed(STANDING, &parameters).await?;
    let mut standing = Standing {
        store: None,
        due: Vec::new(),
    };
    for row in &rows {
        let (store, due): (Option<&str>, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
        standing.store = standing.store.or(store.map(unescaped));
        standing.due.extend(due);
    }
    standing.due.sort_unstable();
    standing.due.dedup();
    Ok(standing)
}

/// Both, the first one begun first: what it sends is answered first.
async fn try_join_in_order<T, U, E>(
    first: impl Future<Output = Result<T, E>>,
    second: impl Future<Output = Result<U, E>>,
) -> Result<(T, U), E> {
    futures_util::future::try_join(first, second).await
}
