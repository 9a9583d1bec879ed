//! The documents table and the ledger that keeps its order.

use std::collections::HashMap;

use time::OffsetDateTime;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::change::{Content, Location};
use crate::sequencer::Sequencer;
use shared::database::{ConnectError, Connection, Database, Migrations};
use shared::telemetry::chain;

/// The tables below.
const MIGRATIONS: Migrations = Migrations {
    table: "document_sync_migration",
    lock: 0x0064_6f63_7379_6e63, // the bytes of `docsync`
    scripts: &[include_str!("../migrations/1_documents.sql")],
};

/// What the ledger knows of these objects. The limit makes each a look into the index: left to itself, the planner
/// reads the whole table for a batch that is not very small beside it.
const KNOWN: &str = "
    select asked.object, known.sequencer
    from unnest($1::uuid[]) as asked (object),
        lateral (select sequencer from s3_object where s3_object.object = asked.object limit 1) as known";

/// Enters objects that the ledger does not know. Fails should another instance just have entered one of them.
const MEET: &str = "
    insert into s3_object (object, sequencer, etag, size, version_id, deleted, event_time, uri, changed)
    select *, true from unnest($1::uuid[], $2::bytea[], $3::text[], $4::bigint[], $5::text[], $6::boolean[], $7::timestamptz[], $8::text[])";

/// Enters states of any objects, each unless the ledger knows a later one. Returns what was entered, and whether
/// that changed the object or only confirmed it.
///
/// The rows come sorted by their key, so that transactions with the same objects wait for each other and do not
/// deadlock.
const ENTER: &str = "
    insert into s3_object as known (object, sequencer, etag, size, version_id, deleted, event_time, uri, changed)
    select *, true from unnest($1::uuid[], $2::bytea[], $3::text[], $4::bigint[], $5::text[], $6::boolean[], $7::timestamptz[], $8::text[])
    on conflict (object) do update set
        sequencer = excluded.sequencer,
        etag = excluded.etag,
        size = excluded.size,
        version_id = excluded.version_id,
        deleted = excluded.deleted,
        event_time = excluded.event_time,
        uri = excluded.uri,
        changed = (known.etag, known.size, known.version_id, known.deleted)
            is distinct from (excluded.etag, excluded.size, excluded.version_id, excluded.deleted)
    where known.sequencer < excluded.sequencer
    returning object, changed";

/// Documents gone. This and what follows are statements of their own, after [`MEET`] and [`ENTER`]: their snapshots
/// then include what the transactions waited for there have written. In one statement with those, a deletion would
/// miss a row just inserted by another transaction.
const REMOVE: &str = "
    delete from document using unnest($1::text[]) as gone (uri) where document.uri = gone.uri";

/// New documents, without `on conflict`, which costs a third more. Should one be there after all, from a time before
/// the ledger, the batch is repeated with all of them taken for documents there before.
const INSERT: &str = "
    insert into document (uri, title, size, etag, version_id, last_modified)
    select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::timestamptz[])";

/// Documents that were there before, or should have been. The condition keeps a row that is right already, from a
/// time before the ledger, untouched.
const OVERWRITE: &str = "
    insert into document as known (uri, title, size, etag, version_id, last_modified)
    select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::timestamptz[])
    on conflict (uri) do update set
        title = excluded.title,
        size = excluded.size,
        etag = excluded.etag,
        version_id = excluded.version_id,
        last_modified = excluded.last_modified,
        updated_at = current_timestamp
    where (known.size, known.etag, known.version_id) is distinct from (excluded.size, excluded.etag, excluded.version_id)";

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

impl State {
    /// The name by which the ledger keeps what is in no other table.
    fn tombstone(&self) -> Option<String> {
        self.content.is_none().then(|| self.location.uri())
    }
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
    database: Database,
}

impl Documents {
    /// The table in this database. Nothing is connected yet.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Opens the connection and creates missing tables, so that the first batch need not.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Failed`]; the first batch will try again.
    pub async fn prepare(&self) -> Result<(), Error> {
        let connection = self.connection().await?;
        self.database.keep(connection);
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
            match known(&connection.client, objects).await {
                Ok(sequencers) => {
                    self.database.keep(connection);
                    return Ok(sequencers);
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
        let mut unknown = Unknown::Inserted;
        loop {
            let connection = self.connection().await?;
            match transact(&connection.client, states, unknown).await {
                Ok(applied) => {
                    self.database.keep(connection);
                    return Ok(applied);
                }
                Err(error)
                    if error.code() == Some(&SqlState::UNIQUE_VIOLATION)
                        && unknown == Unknown::Inserted =>
                {
                    unknown = Unknown::Upserted;
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
            self.database.keep(connection);
        }
    }

    /// The kept connection if it still works, else a new one.
    async fn connection(&self) -> Result<Connection, Error> {
        if let Some(connection) = self.database.kept().await {
            return Ok(connection);
        }
        let connection = self.database.open().await?;
        MIGRATIONS
            .apply(&connection.client)
            .await
            .map_err(Error::Failed)?;
        Ok(connection)
    }
}

/// How objects are written that the ledger did not know a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unknown {
    /// As new in both tables, which is fast, and fails if one of them is there after all.
    Inserted,
    /// Like those it knows.
    Upserted,
}

/// Two round trips if every object is new, three otherwise: what does not depend on an answer is sent along with
/// what comes before it.
async fn transact(
    client: &Client,
    states: &[State],
    unknown: Unknown,
) -> Result<Applied, tokio_postgres::Error> {
    let mut sorted: Vec<(Uuid, &State)> = states
        .iter()
        .map(|state| (state.location.digest(), state))
        .collect();
    sorted.sort_unstable_by_key(|(object, _)| *object);
    let (new, newer) = match unknown {
        Unknown::Inserted => {
            let objects: Vec<Uuid> = sorted.iter().map(|(object, _)| *object).collect();
            let (begun, sequencers) =
                tokio::join!(client.batch_execute("begin"), known(client, &objects));
            begun?;
            compare(&sorted, &sequencers?)
        }
        Unknown::Upserted => {
            client.batch_execute("begin").await?;
            (Vec::new(), sorted)
        }
    };
    let mut changed = Changed::default();
    for (_, state) in &new {
        changed.add(state, Unknown::Inserted);
    }
    let mut entered = new.len();
    if newer.is_empty() {
        let (met, written) = tokio::join!(meet(client, &new), finish(client, &changed));
        met?;
        written?;
    } else {
        let (met, rows) = tokio::join!(meet(client, &new), enter(client, &newer));
        met?;
        let rows = rows?;
        entered += rows.len();
        for row in &rows {
            let object: Uuid = row.try_get(0)?;
            let at = newer
                .binary_search_by_key(&object, |(object, _)| *object)
                .ok();
            if let Some((_, state)) = at.and_then(|at| newer.get(at))
                && row.try_get(1)?
            {
                changed.add(state, Unknown::Upserted);
            }
        }
        finish(client, &changed).await?;
    }
    Ok(Applied {
        changed: changed.len(),
        confirmed: entered - changed.len(),
        stale: states.len() - entered,
        refused: Vec::new(),
    })
}

type Sorted<'a> = Vec<(Uuid, &'a State)>;

/// Splits off what the ledger does not know, and leaves out what it knows to be late. That stays late, so no lock is
/// needed; what is newer is compared again when it is entered.
fn compare<'a>(
    sorted: &[(Uuid, &'a State)],
    sequencers: &HashMap<Uuid, Sequencer>,
) -> (Sorted<'a>, Sorted<'a>) {
    let is_late = |(object, state): &&(Uuid, &State)| {
        sequencers
            .get(object)
            .is_some_and(|known| state.sequencer <= *known)
    };
    sorted
        .iter()
        .filter(|entry| !is_late(entry))
        .partition(|(object, _)| !sequencers.contains_key(object))
}

async fn known(
    client: &Client,
    objects: &[Uuid],
) -> Result<HashMap<Uuid, Sequencer>, tokio_postgres::Error> {
    let parameters: [Parameter<'_>; 1] = [(&objects, Type::UUID_ARRAY)];
    let rows = client.query_typed(KNOWN, &parameters).await?;
    rows.iter().map(known_sequencer).collect()
}

async fn meet(client: &Client, new: &[(Uuid, &State)]) -> Result<(), tokio_postgres::Error> {
    if !new.is_empty() {
        client
            .execute_typed(MEET, &Entries::of(new).parameters())
            .await?;
    }
    Ok(())
}

async fn enter(
    client: &Client,
    newer: &[(Uuid, &State)],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    client
        .query_typed(ENTER, &Entries::of(newer).parameters())
        .await
}

/// Writes the documents that changed, and commits. Should writing fail, the commit sent along with it is answered
/// with a rollback.
async fn finish(client: &Client, changed: &Changed<'_>) -> Result<(), tokio_postgres::Error> {
    let (removed, overwritten, inserted, committed) = tokio::join!(
        remove(client, &changed.gone),
        write(client, OVERWRITE, &changed.there),
        write(client, INSERT, &changed.new),
        client.batch_execute("commit"),
    );
    removed.and(overwritten).and(inserted).and(committed)
}

async fn remove(client: &Client, gone: &[&State]) -> Result<(), tokio_postgres::Error> {
    if !gone.is_empty() {
        let gone: Vec<String> = gone.iter().map(|state| state.location.uri()).collect();
        client
            .execute_typed(REMOVE, &[(&gone, Type::TEXT_ARRAY)])
            .await?;
    }
    Ok(())
}

async fn write(
    client: &Client,
    statement: &str,
    states: &[&State],
) -> Result<(), tokio_postgres::Error> {
    if !states.is_empty() {
        client
            .execute_typed(statement, &Rows::of(states).parameters())
            .await?;
    }
    Ok(())
}

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Ledger entries as columns.
struct Entries<'a> {
    objects: Vec<Uuid>,
    sequencers: Vec<Vec<u8>>,
    contents: Contents<'a>,
    deleted: Vec<bool>,
    times: Vec<OffsetDateTime>,
    tombstones: Vec<Option<String>>,
}

impl<'a> Entries<'a> {
    fn of(sorted: &[(Uuid, &'a State)]) -> Self {
        let (objects, states): (Vec<Uuid>, Vec<&State>) = sorted.iter().copied().unzip();
        Self {
            objects,
            sequencers: states
                .iter()
                .map(|state| state.sequencer.to_bytes().to_vec())
                .collect(),
            contents: Contents::of(&states),
            deleted: states.iter().map(|state| state.content.is_none()).collect(),
            times: states.iter().map(|state| state.time).collect(),
            tombstones: states.iter().map(|state| state.tombstone()).collect(),
        }
    }

    fn parameters(&self) -> [Parameter<'_>; 8] {
        [
            (&self.objects, Type::UUID_ARRAY),
            (&self.sequencers, Type::BYTEA_ARRAY),
            (&self.contents.etags, Type::TEXT_ARRAY),
            (&self.contents.sizes, Type::INT8_ARRAY),
            (&self.contents.version_ids, Type::TEXT_ARRAY),
            (&self.deleted, Type::BOOL_ARRAY),
            (&self.times, Type::TIMESTAMPTZ_ARRAY),
            (&self.tombstones, Type::TEXT_ARRAY),
        ]
    }
}

/// The states that changed their objects, by what is to be done with the documents.
#[derive(Default)]
struct Changed<'a> {
    gone: Vec<&'a State>,
    there: Vec<&'a State>,
    new: Vec<&'a State>,
}

impl<'a> Changed<'a> {
    fn add(&mut self, state: &'a State, unknown: Unknown) {
        match (&state.content, unknown) {
            (None, _) => self.gone.push(state),
            (Some(_), Unknown::Inserted) => self.new.push(state),
            (Some(_), Unknown::Upserted) => self.there.push(state),
        }
    }

    fn len(&self) -> usize {
        self.gone.len() + self.there.len() + self.new.len()
    }
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
        // Neighbours in the index over the URIs are written together.
        let mut states = states.to_vec();
        states.sort_unstable_by_key(|state| (state.location.bucket(), state.location.key()));
        Self {
            uris: states.iter().map(|state| state.location.uri()).collect(),
            titles: states.iter().map(|state| state.location.title()).collect(),
            contents: Contents::of(&states),
            times: states.iter().map(|state| state.time).collect(),
        }
    }

    fn parameters(&self) -> [Parameter<'_>; 6] {
        [
            (&self.uris, Type::TEXT_ARRAY),
            (&self.titles, Type::TEXT_ARRAY),
            (&self.contents.sizes, Type::INT8_ARRAY),
            (&self.contents.etags, Type::TEXT_ARRAY),
            (&self.contents.version_ids, Type::TEXT_ARRAY),
            (&self.times, Type::TIMESTAMPTZ_ARRAY),
        ]
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
