//! From the triggers' notes into the queue.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::{Error, Queue};
use crate::table::{Parameter, Table};

/// Held by one transaction at a time, whose statements then see all that those before it did: the bytes of `docnote`.
pub(super) const LOCK: i64 = 0x0064_6f63_6e6f_7465;
/// Notes taken at a time, of 500 URIs at most.
const NOTES: i64 = 20;

/// What came of looking for changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Noticed {
    /// Notes of changes that were taken, or rows that were compared; 0 when there were none left.
    pub seen: i64,
    /// Documents that are to be loaded now, or from the beginning.
    pub entered: i64,
    /// Documents that are gone, with their text.
    pub gone: i64,
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
            begin(client).await?;
            let statement = notice(
                session.table(),
                "with taken as (
                    delete from document_change where id = any (array(
                        select id from document_change order by id limit $1
                    )) returning uris
                ), noted as (
                    select distinct noted.uri collate \"C\" as uri from taken, unnest(taken.uris) as noted (uri)
                )",
                "(select count(*) from taken)",
                true,
            );
            let noticed = enter(client, &statement, &[(&NOTES, Type::INT8)]).await?;
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
        self.run(move |session| async move {
            let client = session.client();
            begin(client).await?;
            let statement = notice(
                session.table(),
                "with noted as (select $1::text collate \"C\" as uri)",
                "1::bigint",
                false,
            );
            let noticed = enter(client, &statement, &[(&uri, Type::TEXT)]).await?;
            client.batch_execute("commit").await?;
            Ok(noticed)
        })
        .await
    }
}

/// Begins a transaction that no other of its kind runs beside.
pub(super) async fn begin(client: &Client) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(&format!("begin; select pg_advisory_xact_lock({LOCK})"))
        .await
}

pub(super) async fn enter(
    client: &Client,
    statement: &str,
    parameters: &[Parameter<'_>],
) -> Result<Noticed, tokio_postgres::Error> {
    let row = client.query_typed_one(statement, parameters).await?;
    Ok(Noticed {
        seen: row.try_get(0)?,
        entered: row.try_get(1)?,
        gone: row.try_get(2)?,
    })
}

/// The statement that brings the queue in step with the documents of `noted`, a common table expression of URIs with the
/// collation of our own tables, after
/// a transaction has begun by [`begin`]. One row: `seen`, documents entered, documents gone.
///
/// A document counts as changed when the documents table says another etag or version of it than it did, and, if it
/// `was_told` by a trigger, also when that table says neither: then only S3 knows. What is being loaded goes on, and
/// begins again when it ends.
pub(super) fn notice(table: &Table, noted: &str, seen: &str, was_told: bool) -> String {
    let Table {
        name,
        collate,
        etag,
        version_id,
        size,
        ..
    } = table;
    format!(
        "{noted},
        -- First, so that rows are locked in one order whatever becomes of them.
        locked as materialized (
            select load.uri from document_load as load
            where load.uri = any (array(select uri from noted)) order by load.uri for update
        ),
        present as materialized (
            select noted.uri, found.etag, found.version_id, found.size,
                coalesce(source.id, 0) as source, coalesce(source.load, true) as is_loaded
            from noted
            join lateral (
                select {etag} as etag, {version_id} as version_id, {size} as size
                from {name} as document where document.uri = noted.uri {collate} limit 1
            ) as found on true
            left join lateral (
                select id, load from document_source
                where bucket = split_part(noted.uri, '/', 3) and starts_with(noted.uri, prefix)
                order by length(prefix) desc limit 1
            ) as source on true
            where (select count(*) from locked) >= 0
        ),
        absent as materialized (
            select noted.uri from noted where not exists (select from present where present.uri = noted.uri)
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
            from present order by uri
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
                or {was_told} and excluded.etag is null and excluded.version_id is null
            returning 1
        )
        select {seen}, (select count(*) from entered), (select count(*) from gone)"
    )
}
