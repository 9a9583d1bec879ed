//! From the triggers' notes into the queue.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::{Error, Queue};
use crate::table::{Parameter, Table};

/// Held by one transaction at a time, whose statements then see all that those before it did: the bytes of `docnote`.
/// The trigger of `document_source` takes it as well.
const LOCK: i64 = 0x0064_6f63_6e6f_7465;
/// How long one waits for another that has it.
const PAUSE: Duration = Duration::from_millis(50);
/// Notes taken at a time, of 500 URIs at most.
const NOTES: i64 = 20;

const TRY_LOCK: &str = "select pg_try_advisory_xact_lock($1)";

const TAKE: &str = "
    delete from document_change where id = any (array(
        select id from document_change order by id limit $1
    )) returning uris";

const SOURCES: &str = "select id, prefix, load, bucket from document_source";

/// What came of looking for changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Noticed {
    /// Notes of changes that were taken, or rows that were compared; 0 when there were none left.
    pub seen: usize,
    /// Somebody else is at it, so that there may be more.
    pub is_busy: bool,
    /// Documents that are to be loaded now, or from the beginning.
    pub entered: i64,
    /// Documents that are gone, with their text.
    pub gone: i64,
}

impl Noticed {
    pub(super) const BUSY: Self = Self {
        seen: 0,
        is_busy: true,
        entered: 0,
        gone: 0,
    };
}

impl Queue {
    /// Enters some of the documents that were noted as changed into the queue, and removes those that are gone.
    ///
    /// # Errors
    ///
    /// [`Error`]; then the notes are still there.
    pub async fn notice(&self) -> Result<Noticed, Error> {
        self.run(move |session| async move {
            let client = session.client();
            let noticed = if begin(client).await? {
                notice(client, session.table()).await?
            } else {
                Noticed::BUSY
            };
            client.batch_execute("commit").await?;
            Ok(noticed)
        })
        .await
    }

    /// Enters one document into the queue as it is in the documents table now, if it is there, whether it was noted or
    /// not.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn notice_one(&self, uri: &str) -> Result<Noticed, Error> {
        loop {
            let noticed = self.notice_only(uri).await?;
            if !noticed.is_busy {
                return Ok(noticed);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn notice_only(&self, uri: &str) -> Result<Noticed, Error> {
        self.run(move |session| async move {
            let client = session.client();
            let noticed = if begin(client).await? {
                enter(client, session.table(), &[uri.to_owned()], false).await?
            } else {
                Noticed::BUSY
            };
            client.batch_execute("commit").await?;
            Ok(noticed)
        })
        .await
    }
}

/// Begins a transaction. `false` if another of its kind is under way.
pub(super) async fn begin(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let lock: [Parameter<'_>; 1] = [(&LOCK, Type::INT8)];
    let (begun, locked) = tokio::join!(
        client.batch_execute("begin"),
        client.query_typed_one(TRY_LOCK, &lock)
    );
    begun?;
    locked?.try_get(0)
}

async fn notice(client: &Client, table: &Table) -> Result<Noticed, tokio_postgres::Error> {
    let notes = client.query_typed(TAKE, &[(&NOTES, Type::INT8)]).await?;
    let mut uris = BTreeSet::new();
    for note in &notes {
        uris.extend(note.try_get::<_, Vec<String>>(0)?);
    }
    let uris: Vec<String> = uris.into_iter().collect();
    let noticed = enter(client, table, &uris, true).await?;
    Ok(Noticed {
        seen: notes.len(),
        ..noticed
    })
}

/// Brings the queue in step with these documents, in a transaction that has begun by [`begin`].
///
/// A document counts as changed when the documents table says another etag or version of it than it did, and, if that
/// `was_told` by a trigger, also when that table says neither: then only S3 knows. What is being loaded goes on, and
/// begins again when it ends.
pub(super) async fn enter(
    client: &Client,
    table: &Table,
    uris: &[String],
    was_told: bool,
) -> Result<Noticed, tokio_postgres::Error> {
    if uris.is_empty() {
        return Ok(Noticed::default());
    }
    let sources = Sources::read(client).await?;
    let (ids, loads): (Vec<i64>, Vec<bool>) = uris.iter().map(|uri| sources.of(uri)).unzip();
    let parameters: [Parameter<'_>; 4] = [
        (&uris, Type::TEXT_ARRAY),
        (&ids, Type::INT8_ARRAY),
        (&loads, Type::BOOL_ARRAY),
        (&was_told, Type::BOOL),
    ];
    let row = client
        .query_typed_one(&statement(table), &parameters)
        .await?;
    Ok(Noticed {
        seen: uris.len(),
        is_busy: false,
        entered: row.try_get(0)?,
        gone: row.try_get(1)?,
    })
}

/// One row: documents entered, documents gone.
fn statement(table: &Table) -> String {
    let Table {
        name,
        collate,
        etag,
        version_id,
        size,
        ..
    } = table;
    format!(
        "with noted as materialized (
            select * from unnest($1::text[], $2::bigint[], $3::boolean[]) as noted (uri, source, is_loaded)
        ),
        -- First, so that rows are locked in one order whatever becomes of them.
        locked as materialized (
            select uri from document_load where uri = any ($1::text[]) order by uri for update
        ),
        present as materialized (
            select noted.*, found.etag, found.version_id, found.size
            from noted
            join lateral (
                select {etag} as etag, {version_id} as version_id, {size} as size
                from {name} as document where document.uri = noted.uri {collate} limit 1
            ) as found on true
            where (select count(*) from locked) >= 0
        ),
        absent as materialized (
            select uri from noted except all select uri from present
        ),
        gone as (
            delete from document_load where uri = any (array(select uri from absent)) returning 1
        ),
        gone_chunk as (
            delete from document_chunk where uri = any (array(select uri from absent))
        ),
        gone_error as (
            delete from document_load_error where uri = any (array(select uri from absent))
        ),
        entered as (
            insert into document_load as known (uri, source, state, next_attempt_at, etag, version_id, size)
            select uri, source, case when is_loaded then 'pending' else 'skipped' end,
                case when is_loaded then current_timestamp end, etag, version_id, size
            from present order by uri collate \"C\"
            on conflict (uri) do update set
                source = excluded.source,
                etag = excluded.etag,
                version_id = excluded.version_id,
                size = excluded.size,
                generation = known.generation + 1,
                state = case when known.lease is null then excluded.state else known.state end,
                next_attempt_at = case when known.lease is null then excluded.next_attempt_at else known.next_attempt_at end,
                reason = null,
                last_error = null,
                attempts = 0,
                parked_attempts = 0,
                crashes = 0
            where (known.etag, known.version_id) is distinct from (excluded.etag, excluded.version_id)
                or $4 and excluded.etag is null and excluded.version_id is null
            returning 1
        )
        select (select count(*) from entered), (select count(*) from gone)"
    )
}

/// All sources, to find that of a document: a statement would compare each document with each source.
#[derive(Debug, Default)]
struct Sources {
    /// Those of each bucket, the longest prefix first, with the id and whether they are loaded.
    by_bucket: HashMap<String, Vec<(String, i64, bool)>>,
}

impl Sources {
    async fn read(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let mut sources = Self::default();
        for row in client.query_typed(SOURCES, &[]).await? {
            let bucket = sources.by_bucket.entry(row.try_get(3)?).or_default();
            bucket.push((row.try_get(1)?, row.try_get(0)?, row.try_get(2)?));
        }
        for bucket in sources.by_bucket.values_mut() {
            bucket.sort_unstable_by_key(|(prefix, ..)| std::cmp::Reverse(prefix.len()));
        }
        Ok(sources)
    }

    /// The source of a document, 0 if there is none, and whether it is to be loaded.
    fn of(&self, uri: &str) -> (i64, bool) {
        let bucket = uri.split('/').nth(2).unwrap_or_default();
        let mut sources = self.by_bucket.get(bucket).into_iter().flatten();
        sources
            .find(|(prefix, ..)| uri.starts_with(prefix.as_str()))
            .map_or((0, true), |(_, id, is_loaded)| (*id, *is_loaded))
    }
}
