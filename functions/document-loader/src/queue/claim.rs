//! Documents handed out to be loaded, fairly over the sources, each under a lease.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Error, Queue, Session};
use crate::source::Source;
use crate::table::{Parameter, Table};

/// Documents that are due, those of each source in the order in which they fell due. Sources take turns, and one that
/// has documents in hand already waits as many turns. However many sources have no work, and however many documents
/// wait, it looks into the index once for each source that has some, and reads as many rows as it may hand out.
///
/// What ended by the death of whoever loaded it is suspected to be the cause, and handed out on request only.
const DUE: &str = "
    with recursive waiting (source) as (
        (select source from document_load where next_attempt_at is not null order by source limit 1)
        union all
        select (
            select source from document_load
            where next_attempt_at is not null and document_load.source > waiting.source order by source limit 1
        ) from waiting where waiting.source is not null
    ), candidate as (
        select due.uri, due.next_attempt_at,
            coalesce(busy.in_hand, 0) + row_number() over (partition by waiting.source order by due.next_attempt_at) as turn
        from waiting
        left join unnest($3::bigint[], $4::integer[]) as busy (source, in_hand) on busy.source = waiting.source,
        lateral (
            select uri, next_attempt_at from document_load
            where document_load.source = waiting.source and next_attempt_at <= current_timestamp
                and (state = 'loading' or crashes > 0) = $7
            order by next_attempt_at limit greatest($2 - coalesce(busy.in_hand, 0), 0)
        ) as due
        where waiting.source is not null
            and waiting.source = any ($5::bigint[]) = $6
            and not exists (
                select from document_source
                where document_source.id = waiting.source and blocked_until > current_timestamp
            )
    ), chosen as (
        select uri from candidate order by turn, next_attempt_at limit $1
    ), claimed as materialized (
        select load.uri, load.source, load.next_attempt_at as due_at
        from document_load as load join chosen on chosen.uri = load.uri
        where load.next_attempt_at <= current_timestamp
        for update of load skip locked
    )";

/// One document, unless somebody is loading it or its source is not loaded.
const ONE: &str = "
    with claimed as materialized (
        select uri, source, current_timestamp as due_at from document_load
        where uri = $1 and (lease is null or next_attempt_at <= current_timestamp) and state <> 'skipped'
        for update skip locked
    )";

/// Prolongs leases that are still ours.
const RENEW: &str = "
    update document_load as load set next_attempt_at = current_timestamp + make_interval(secs => $3)
    from unnest($1::text[], $2::uuid[]) as mine (uri, lease)
    where load.uri = mine.uri and load.lease = mine.lease";

/// How long others keep away from a document whose loader says nothing more.
pub(crate) const LEASE: Duration = Duration::from_secs(90);

/// What to hand out.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// So many documents at most.
    pub limit: usize,
    /// Of which sources, and how many of each at a time.
    pub lane: Lane,
    /// So many of each source at a time, with those that are in hand.
    pub each: usize,
    /// The sources that are in hand, and how many documents of each.
    pub in_hand: &'a [(i64, i32)],
    /// The sources that have proven to answer.
    pub proven: &'a [i64],
}

/// Which documents are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Those of sources that have proven to answer.
    Proven,
    /// Those of the other sources.
    Unproven,
    /// Those at which a loader died, of any source.
    Suspect,
}

/// A document that is ours to load until the lease is over.
#[derive(Debug, Clone)]
pub struct Claim {
    /// `s3://bucket/key`, as the documents table has it.
    pub uri: String,
    /// How it is read.
    pub source: Arc<Source>,
    /// Proof that it is ours.
    pub lease: Uuid,
    /// Which change of the document it is that is loaded.
    pub generation: i64,
    /// Tries of this version, with this one.
    pub attempts: i32,
    /// How many of those before ended with the document being parked.
    pub parked_attempts: i32,
    /// How many of those before were ended by nobody.
    pub crashes: i32,
    /// What the documents table says is to be loaded; `None` when it has no such document any more.
    pub document: Option<Version>,
    /// What its chunks are of.
    pub loaded: Version,
    /// SHA-256 of the bytes that its chunks are of; `None` when there are none, or they are to be made anew.
    pub content_sha256: Option<Vec<u8>>,
    /// SHA-256 of how they were split.
    pub chunking_sha256: Option<Vec<u8>>,
    /// Seconds for which it had been due.
    pub overdue: f64,
}

/// What tells one content of an object from another, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    /// The entity tag without its quotes.
    pub etag: Option<String>,
    /// `None` in a bucket without versions.
    pub version_id: Option<String>,
    /// Bytes.
    pub size: Option<i64>,
}

impl Queue {
    /// Hands out documents that are due. Each try is counted before it begins, so that one that kills the function is
    /// counted as well.
    ///
    /// # Errors
    ///
    /// [`Error`]. Should documents have been handed out all the same, their leases run out.
    pub async fn claim(&self, request: Request<'_>) -> Result<Vec<Claim>, Error> {
        let limit = i64::try_from(request.limit).unwrap_or(i64::MAX);
        let each = i32::try_from(request.each).unwrap_or(i32::MAX);
        let (busy, in_hand): (Vec<i64>, Vec<i32>) = request.in_hand.iter().copied().unzip();
        let is_suspect = request.lane == Lane::Suspect;
        // Suspects of all sources: all are in the empty list of those that are not to be looked at.
        let (listed, is_listed) = match request.lane {
            Lane::Proven => (request.proven, true),
            Lane::Unproven => (request.proven, false),
            Lane::Suspect => (&[][..], false),
        };
        let (busy, in_hand) = (&busy, &in_hand);
        self.run(move |session| async move {
            let parameters: [Parameter<'_>; 7] = [
                (&limit, Type::INT8),
                (&each, Type::INT4),
                (busy, Type::INT8_ARRAY),
                (in_hand, Type::INT4_ARRAY),
                (&listed, Type::INT8_ARRAY),
                (&is_listed, Type::BOOL),
                (&is_suspect, Type::BOOL),
            ];
            hand_out(&session, DUE, &parameters).await
        })
        .await
    }

    /// Hands out this document, whatever its state, unless somebody is loading it or there is none.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn claim_one(&self, uri: &str) -> Result<Option<Claim>, Error> {
        self.run(move |session| async move {
            let claims = hand_out(&session, ONE, &[(&uri, Type::TEXT)]).await?;
            Ok(claims.into_iter().next())
        })
        .await
    }

    /// Keeps documents for as long again as a lease lasts.
    ///
    /// # Errors
    ///
    /// [`Error`]; then the leases may run out.
    pub async fn renew(&self, leases: &[(String, Uuid)]) -> Result<(), Error> {
        let (uris, leases): (Vec<&str>, Vec<Uuid>) = leases
            .iter()
            .map(|(uri, lease)| (uri.as_str(), *lease))
            .unzip();
        let (uris, leases) = (&uris, &leases);
        self.run(move |session| async move {
            let parameters: [Parameter<'_>; 3] = [
                (uris, Type::TEXT_ARRAY),
                (leases, Type::UUID_ARRAY),
                (&LEASE.as_secs_f64(), Type::FLOAT8),
            ];
            session.client().execute_typed(RENEW, &parameters).await
        })
        .await?;
        Ok(())
    }
}

async fn hand_out(
    session: &Session,
    claimed: &str,
    parameters: &[Parameter<'_>],
) -> Result<Vec<Claim>, tokio_postgres::Error> {
    let statement = take(session.table(), claimed);
    let rows = session.client().query_typed(&statement, parameters).await?;
    let mut sources: Vec<Arc<Source>> = Vec::new();
    rows.iter()
        .map(|row| {
            let id: i64 = row.try_get(SOURCE)?;
            let known = sources.iter().find(|source| source.id == id);
            let source = if let Some(source) = known {
                Arc::clone(source)
            } else {
                let source = Arc::new(Source::from_row(row, SOURCE)?);
                sources.push(Arc::clone(&source));
                source
            };
            claim(row, source)
        })
        .collect()
}

/// The statement that takes what `claimed`, a common table expression, has locked.
fn take(table: &Table, claimed: &str) -> String {
    let Table {
        name,
        collate,
        etag,
        version_id,
        size,
        ..
    } = table;
    let lease = LEASE.as_secs();
    let source = Source::COLUMNS;
    format!(
        "{claimed}
        update document_load as load set
            state = 'loading',
            attempts = load.attempts + 1,
            crashes = load.crashes + (load.state = 'loading')::integer,
            next_attempt_at = current_timestamp + interval '{lease} seconds',
            lease = gen_random_uuid(),
            etag = found.etag,
            version_id = found.version_id,
            size = found.size
        from claimed
        left join lateral (
            select {etag} as etag, {version_id} as version_id, {size} as size, true as is_there
            from {name} as document where document.uri = claimed.uri {collate} limit 1
        ) as found on true
        left join document_source as source on source.id = claimed.source
        where load.uri = claimed.uri
        returning load.uri, load.lease, load.generation, load.attempts, load.parked_attempts, load.crashes,
            coalesce(found.is_there, false), load.etag, load.version_id, load.size,
            load.loaded_etag, load.loaded_version_id, load.content_sha256, load.chunking_sha256,
            extract(epoch from current_timestamp - claimed.due_at)::float8,
            {source}"
    )
}

/// The first of the source's columns.
const SOURCE: usize = 15;

fn claim(row: &Row, source: Arc<Source>) -> Result<Claim, tokio_postgres::Error> {
    let is_there: bool = row.try_get(6)?;
    let document = Version {
        etag: row.try_get(7)?,
        version_id: row.try_get(8)?,
        size: row.try_get(9)?,
    };
    Ok(Claim {
        uri: row.try_get(0)?,
        source,
        lease: row.try_get(1)?,
        generation: row.try_get(2)?,
        attempts: row.try_get(3)?,
        parked_attempts: row.try_get(4)?,
        crashes: row.try_get(5)?,
        document: is_there.then_some(document),
        loaded: Version {
            etag: row.try_get(10)?,
            version_id: row.try_get(11)?,
            size: None,
        },
        content_sha256: row.try_get(12)?,
        chunking_sha256: row.try_get(13)?,
        overdue: row.try_get(14)?,
    })
}
