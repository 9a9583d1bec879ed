//! The documents table and the ledger that keeps its order.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::change::{Content, Location};
use crate::connection::{ConnectError, Connection};
use crate::database_url::DatabaseUrl;
use crate::schema;
use crate::sequencer::Sequencer;
use shared::telemetry::chain;

/// Enters states into the ledger, each unless the ledger knows a later one. Returns what was entered, whether that
/// changed the object or only confirmed it, and whether the ledger met the object for the first time.
///
/// The rows come sorted by their key, so that transactions with the same objects wait for each other and do not
/// deadlock.
const ENTER: &str = "
    insert into s3_object as known
        (object, bucket, key, sequencer, content_sequencer, etag, size, version_id, deleted, event_time)
    select object, bucket, key, sequencer, sequencer, etag, size, version_id, deleted, event_time
    from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::bigint[], $7::text[], $8::boolean[], $9::timestamptz[])
        as state (object, bucket, key, sequencer, etag, size, version_id, deleted, event_time)
    on conflict (object) do update set
        sequencer = excluded.sequencer,
        content_sequencer = case
            when (known.etag, known.size, known.version_id, known.deleted)
                is distinct from (excluded.etag, excluded.size, excluded.version_id, excluded.deleted)
            then excluded.sequencer
            else known.content_sequencer
        end,
        etag = excluded.etag,
        size = excluded.size,
        version_id = excluded.version_id,
        deleted = excluded.deleted,
        event_time = excluded.event_time
    where known.sequencer < excluded.sequencer
    returning object, content_sequencer = sequencer as changed, xmax = 0 as first";

/// Writes what changed: documents gone, documents there before, documents new. A statement of its own, after
/// [`ENTER`]: its snapshot then includes what the transactions waited for there have written. In one statement with
/// it, a deletion would miss a row just inserted by another.
///
/// New documents are inserted without `on conflict`, which costs a third more. Should one be there after all, from
/// a time before the ledger, the batch is repeated with all of them taken for documents there before.
///
/// The condition keeps a row that is right already, from a time before the ledger, untouched.
const WRITE: &str = "
    with gone as (
        delete from document using unnest($1::text[]) as gone (uri) where document.uri = gone.uri
    ), there as (
        insert into document as known (uri, title, size, etag, version_id, last_modified)
        select * from unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::timestamptz[])
        on conflict (uri) do update set
            title = excluded.title,
            size = excluded.size,
            etag = excluded.etag,
            version_id = excluded.version_id,
            last_modified = excluded.last_modified,
            updated_at = current_timestamp
        where (known.size, known.etag, known.version_id) is distinct from (excluded.size, excluded.etag, excluded.version_id)
    )
    insert into document (uri, title, size, etag, version_id, last_modified)
    select * from unnest($8::text[], $9::text[], $10::bigint[], $11::text[], $12::text[], $13::timestamptz[])";

const SEQUENCERS: &str = "select object, sequencer from s3_object where object = any($1::uuid[])";

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
    /// Late or repeated events.
    pub stale: usize,
    /// Positions, in the batch, of states that the database would not take while it took the others.
    pub refused: Vec<usize>,
}

/// Why nothing of a batch was applied. All of it can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server answered with an error.
    #[error("the database did not apply the batch")]
    Failed(#[source] tokio_postgres::Error),
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

/// The documents table, behind a connection that is opened when needed and kept while it works.
#[derive(Debug)]
pub struct Documents {
    url: DatabaseUrl,
    /// Taken out while in use: an invocation that is cut short drops it in whatever state it is.
    idle: Mutex<Option<Connection>>,
}

impl Documents {
    /// The table in the database at `url`. Nothing is connected yet.
    pub fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            idle: Mutex::new(None),
        }
    }

    /// Opens the connection and creates missing tables, so that the first batch need not.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Failed`]; the first batch will try again.
    pub async fn prepare(&self) -> Result<(), Error> {
        let connection = self.connection().await?;
        self.keep(connection);
        Ok(())
    }

    /// The sequencers of the last events applied, by the digests of the objects. Unknown objects are missing.
    ///
    /// # Errors
    ///
    /// [`Error`] when the database is away or answers with an error.
    pub async fn sequencers(&self, objects: &[Uuid]) -> Result<HashMap<Uuid, Sequencer>, Error> {
        let mut attempt = 1;
        loop {
            let connection = self.connection().await?;
            match connection
                .client
                .query_typed(SEQUENCERS, &[(&objects, Type::UUID_ARRAY)])
                .await
            {
                Ok(rows) => {
                    self.keep(connection);
                    return rows
                        .iter()
                        .map(known_sequencer)
                        .collect::<Result<_, _>>()
                        .map_err(Error::Failed);
                }
                Err(error) if attempt < ATTEMPTS && is_worth_another_try(&error) => attempt += 1,
                Err(error) => return Err(Error::Failed(error)),
            }
        }
    }

    /// Brings ledger and documents to these states, in one transaction of a constant number of statements.
    ///
    /// At most one state per object. Applying a batch twice is the same as once: a lost
    /// acknowledgement of the commit does no harm.
    ///
    /// Should the database refuse a row (a check or a trigger of the user's own on the documents table), the batch
    /// is halved until the refused rows stand alone, so that they do not hold up the others.
    ///
    /// # Errors
    ///
    /// [`Error`] when nothing was applied.
    pub async fn apply(&self, states: &[State]) -> Result<Applied, Error> {
        let mut total = Applied::default();
        let mut parts = vec![(0, states)];
        while let Some((position, part)) = parts.pop() {
            match self.apply_whole(part).await {
                Ok(applied) => {
                    total.changed += applied.changed;
                    total.confirmed += applied.confirmed;
                    total.stale += applied.stale;
                }
                Err(Error::Failed(error)) if is_about_a_row(&error) => {
                    if part.len() > 1 {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([(position + first.len(), second), (position, first)]);
                    } else {
                        let uri = part.first().map(|state| state.location.uri());
                        tracing::warn!(error = %chain(&error), uri, "the database refused a document");
                        total.refused.push(position);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    async fn apply_whole(&self, states: &[State]) -> Result<Applied, Error> {
        if states.is_empty() {
            return Ok(Applied::default());
        }
        let mut attempt = 1;
        let mut expected = Expected::New;
        loop {
            let connection = self.connection().await?;
            match transact(&connection.client, states, expected).await {
                Ok(applied) => {
                    self.keep(connection);
                    return Ok(applied);
                }
                Err(error)
                    if error.code() == Some(&SqlState::UNIQUE_VIOLATION)
                        && expected == Expected::New =>
                {
                    expected = Expected::There;
                    self.roll_back(connection).await;
                }
                Err(error) if attempt < ATTEMPTS && is_worth_another_try(&error) => {
                    tracing::warn!(error = %chain(&error), "trying the batch again");
                    attempt += 1;
                }
                Err(error) => {
                    self.roll_back(connection).await;
                    return Err(Error::Failed(error));
                }
            }
        }
    }

    /// Keeps the connection of a failed transaction, if it still works.
    async fn roll_back(&self, connection: Connection) {
        if connection.client.batch_execute("rollback").await.is_ok() {
            self.keep(connection);
        }
    }

    /// The kept connection if it still works, else a new one.
    async fn connection(&self) -> Result<Connection, Error> {
        let kept = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(connection) = kept
            && connection.is_usable().await
        {
            return Ok(connection);
        }
        let connection = Connection::open(&self.url).await?;
        schema::migrate(&connection.client)
            .await
            .map_err(Error::Failed)?;
        Ok(connection)
    }

    fn keep(&self, mut connection: Connection) {
        connection.touch();
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }
}

/// Whether objects that the ledger meets for the first time are documents already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    New,
    There,
}

/// Two round trips: what does not depend on an answer is sent along with what comes before it.
async fn transact(
    client: &Client,
    states: &[State],
    expected: Expected,
) -> Result<Applied, tokio_postgres::Error> {
    let mut sorted: Vec<(Uuid, &State)> = states
        .iter()
        .map(|state| (state.location.digest(), state))
        .collect();
    sorted.sort_unstable_by_key(|(object, _)| *object);
    let (begun, entered) = tokio::join!(client.batch_execute("begin"), enter(client, &sorted));
    begun?;
    let entered = entered?;
    let changed = changed(&sorted, &entered, expected)?;
    let total = changed.len();
    if changed.is_empty() {
        client.batch_execute("commit").await?;
    } else {
        // Should writing fail, the commit that follows it is answered with a rollback.
        let (written, committed) =
            tokio::join!(write(client, changed), client.batch_execute("commit"));
        written?;
        committed?;
    }
    Ok(Applied {
        changed: total,
        confirmed: entered.len() - total,
        stale: states.len() - entered.len(),
        refused: Vec::new(),
    })
}

async fn enter(
    client: &Client,
    sorted: &[(Uuid, &State)],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let (objects, states): (Vec<Uuid>, Vec<&State>) = sorted.iter().copied().unzip();
    let buckets: Vec<&str> = states.iter().map(|state| state.location.bucket()).collect();
    let keys: Vec<&str> = states.iter().map(|state| state.location.key()).collect();
    let sequencers: Vec<[u8; 16]> = states
        .iter()
        .map(|state| state.sequencer.to_bytes())
        .collect();
    let sequencers: Vec<&[u8]> = sequencers.iter().map(<[u8; 16]>::as_slice).collect();
    let deleted: Vec<bool> = states.iter().map(|state| state.content.is_none()).collect();
    let times: Vec<OffsetDateTime> = states.iter().map(|state| state.time).collect();
    let contents = Contents::of(&states);
    client
        .query_typed(
            ENTER,
            &[
                (&objects, Type::UUID_ARRAY),
                (&buckets, Type::TEXT_ARRAY),
                (&keys, Type::TEXT_ARRAY),
                (&sequencers, Type::BYTEA_ARRAY),
                (&contents.etags, Type::TEXT_ARRAY),
                (&contents.sizes, Type::INT8_ARRAY),
                (&contents.version_ids, Type::TEXT_ARRAY),
                (&deleted, Type::BOOL_ARRAY),
                (&times, Type::TIMESTAMPTZ_ARRAY),
            ],
        )
        .await
}

/// The states that changed their objects, by what is to be done with the documents. Sorted by location.
#[derive(Default)]
struct Changed<'a> {
    gone: Vec<&'a State>,
    there: Vec<&'a State>,
    new: Vec<&'a State>,
}

impl Changed<'_> {
    fn len(&self) -> usize {
        self.gone.len() + self.there.len() + self.new.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Reads from the answer to [`ENTER`] what changed.
fn changed<'a>(
    sorted: &[(Uuid, &'a State)],
    entered: &[Row],
    expected: Expected,
) -> Result<Changed<'a>, tokio_postgres::Error> {
    let mut changed = Changed::default();
    for row in entered {
        if !row.try_get::<_, bool>(1)? {
            continue;
        }
        let object: Uuid = row.try_get(0)?;
        let Some((_, state)) = sorted
            .binary_search_by_key(&object, |(object, _)| *object)
            .ok()
            .and_then(|at| sorted.get(at))
        else {
            continue;
        };
        if state.content.is_none() {
            changed.gone.push(state);
        } else if expected == Expected::New && row.try_get(2)? {
            changed.new.push(state);
        } else {
            changed.there.push(state);
        }
    }
    // Neighbours in the index over the URIs are written together.
    for states in [&mut changed.gone, &mut changed.there, &mut changed.new] {
        states.sort_unstable_by_key(|state| &state.location);
    }
    Ok(changed)
}

async fn write(client: &Client, changed: Changed<'_>) -> Result<u64, tokio_postgres::Error> {
    let gone: Vec<String> = changed
        .gone
        .iter()
        .map(|state| state.location.uri())
        .collect();
    let there = Rows::of(&changed.there);
    let new = Rows::of(&changed.new);
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![(&gone, Type::TEXT_ARRAY)];
    for rows in [&there, &new] {
        parameters.extend::<[(&(dyn ToSql + Sync), Type); 6]>([
            (&rows.uris, Type::TEXT_ARRAY),
            (&rows.titles, Type::TEXT_ARRAY),
            (&rows.contents.sizes, Type::INT8_ARRAY),
            (&rows.contents.etags, Type::TEXT_ARRAY),
            (&rows.contents.version_ids, Type::TEXT_ARRAY),
            (&rows.times, Type::TIMESTAMPTZ_ARRAY),
        ]);
    }
    client.execute_typed(WRITE, &parameters).await
}

/// Documents as columns.
struct Rows<'a> {
    uris: Vec<String>,
    titles: Vec<&'a str>,
    contents: Contents<'a>,
    times: Vec<OffsetDateTime>,
}

impl<'a> Rows<'a> {
    fn of(states: &[&'a State]) -> Self {
        Self {
            uris: states.iter().map(|state| state.location.uri()).collect(),
            titles: states.iter().map(|state| state.location.title()).collect(),
            contents: Contents::of(states),
            times: states.iter().map(|state| state.time).collect(),
        }
    }
}

/// Contents as columns, a null where there is none.
struct Contents<'a> {
    etags: Vec<Option<&'a str>>,
    sizes: Vec<Option<i64>>,
    version_ids: Vec<Option<&'a str>>,
}

impl<'a> Contents<'a> {
    fn of(states: &[&'a State]) -> Self {
        let mut columns = Self {
            etags: Vec::new(),
            sizes: Vec::new(),
            version_ids: Vec::new(),
        };
        for state in states {
            let content = state.content.as_ref();
            columns
                .etags
                .push(content.and_then(|content| content.etag.as_deref()));
            columns.sizes.push(content.and_then(|content| content.size));
            columns
                .version_ids
                .push(content.and_then(|content| content.version_id.as_deref()));
        }
        columns
    }
}

fn known_sequencer(row: &Row) -> Result<(Uuid, Sequencer), tokio_postgres::Error> {
    let bytes: &[u8] = row.try_get(1)?;
    // The column is only ever written from sixteen bytes; anything else counts as before every event.
    let sequencer = bytes
        .try_into()
        .map_or(Sequencer::ZERO, Sequencer::from_bytes);
    Ok((row.try_get(0)?, sequencer))
}

/// Whether the fault lay in the connection or in the timing, so that a new connection may fare better.
fn is_worth_another_try(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        // No answer from the server: the connection broke.
        None => true,
        Some(code) => {
            matches!(
                *code,
                SqlState::T_R_DEADLOCK_DETECTED
                    | SqlState::T_R_SERIALIZATION_FAILURE
                    | SqlState::ADMIN_SHUTDOWN
                    | SqlState::CRASH_SHUTDOWN
                    | SqlState::CANNOT_CONNECT_NOW
                    | SqlState::READ_ONLY_SQL_TRANSACTION // a failover left this connection on a replica
                    | SqlState::UNDEFINED_TABLE // dropped while connected: a new connection migrates
            ) || code.code().starts_with("08")
        }
    }
}

/// Whether one row of the batch is to blame: its data, a constraint, or an exception of a trigger.
fn is_about_a_row(error: &tokio_postgres::Error) -> bool {
    /// Data exception, integrity constraint, triggered data change, program limit, PL/pgSQL error
    /// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    const CLASSES: [&str; 5] = ["22", "23", "27", "54", "P0"];
    error
        .code()
        .is_some_and(|code| CLASSES.iter().any(|class| code.code().starts_with(class)))
}
