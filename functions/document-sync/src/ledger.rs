//! The ledger `s3_object`: for each object ever seen, the last event applied and the identity of the content.

use std::collections::HashMap;

use time::OffsetDateTime;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::documents::State;
use crate::sequencer::Sequencer;

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

/// Enters states of any objects, each unless the ledger knows a later one. Returns what was entered, whether that
/// changed the object or only confirmed it, and whether the ledger knew the object before: a row that has only just
/// been inserted has no `xmax`.
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
    returning object, changed, xmax <> 0";

/// Forgets deleted objects whose last event is older than `$1`, some of them.
const FORGET: &str = "
    delete from s3_object where object = any (array(
        select object from s3_object where deleted and event_time < $1::timestamptz limit 10000
    ))";

/// A parameter and its type: with the type told, a statement needs no preparation.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// States by the digests of their objects, in the order of the digests.
pub(crate) type Sorted<'a> = Vec<(Uuid, &'a State)>;

/// What became of a state that was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entered<'a> {
    pub(crate) state: &'a State,
    /// Etag, size, version or presence are new.
    pub(crate) changed: bool,
    /// The ledger knew the object before.
    pub(crate) known: bool,
}

/// The sequencers of the last events applied. Unknown objects are missing.
pub(crate) async fn known(
    client: &Client,
    objects: &[Uuid],
) -> Result<HashMap<Uuid, Sequencer>, tokio_postgres::Error> {
    let parameters: [Parameter<'_>; 1] = [(&objects, Type::UUID_ARRAY)];
    let rows = client.query_typed(KNOWN, &parameters).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, sequencer(row, 1)?)))
        .collect()
}

/// Enters objects that the ledger does not know.
pub(crate) async fn meet(
    client: &Client,
    new: &[(Uuid, &State)],
) -> Result<(), tokio_postgres::Error> {
    if !new.is_empty() {
        client
            .execute_typed(MEET, &Entries::of(new).parameters())
            .await?;
    }
    Ok(())
}

/// Enters what is newer than what the ledger knows.
pub(crate) async fn enter<'a>(
    client: &Client,
    newer: &[(Uuid, &'a State)],
) -> Result<Vec<Entered<'a>>, tokio_postgres::Error> {
    if newer.is_empty() {
        return Ok(Vec::new());
    }
    let rows = client
        .query_typed(ENTER, &Entries::of(newer).parameters())
        .await?;
    let mut entered = Vec::with_capacity(rows.len());
    for row in &rows {
        let object: Uuid = row.try_get(0)?;
        let at = newer
            .binary_search_by_key(&object, |(object, _)| *object)
            .ok();
        if let Some((_, state)) = at.and_then(|at| newer.get(at)) {
            entered.push(Entered {
                state,
                changed: row.try_get(1)?,
                known: row.try_get(2)?,
            });
        }
    }
    Ok(entered)
}

/// Forgets deleted objects whose last event is older than this. Gives how many; none when there are no more.
pub(crate) async fn forget(
    client: &Client,
    before: OffsetDateTime,
) -> Result<u64, tokio_postgres::Error> {
    client
        .execute_typed(FORGET, &[(&before, Type::TIMESTAMPTZ)])
        .await
}

/// The sequencer in a column. It is only ever written from sixteen bytes; anything else counts as before every event.
pub(crate) fn sequencer(row: &Row, column: usize) -> Result<Sequencer, tokio_postgres::Error> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    Ok(bytes.map_or(Sequencer::ZERO, Sequencer::from_bytes))
}

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
            tombstones: states.iter().map(|state| tombstone(state)).collect(),
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

/// The name by which the ledger keeps what is in no other table.
fn tombstone(state: &State) -> Option<String> {
    state.content.is_none().then(|| state.location.uri())
}

/// Contents as columns, a null where there is none.
pub(crate) struct Contents<'a> {
    pub(crate) etags: Vec<Option<&'a str>>,
    pub(crate) sizes: Vec<Option<i64>>,
    pub(crate) version_ids: Vec<Option<&'a str>>,
}

impl<'a> Contents<'a> {
    pub(crate) fn of(states: &[&'a State]) -> Self {
        let contents = || states.iter().map(|state| state.content.as_ref());
        Self {
            etags: contents().map(|content| content?.etag.as_deref()).collect(),
            sizes: contents().map(|content| content?.size).collect(),
            version_ids: contents()
                .map(|content| content?.version_id.as_deref())
                .collect(),
        }
    }
}
