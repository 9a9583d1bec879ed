//! What came of loading documents, written in one transaction for several of them: states, chunks, errors.

use std::collections::HashMap;

use shared::database::is_about_a_row;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::claim::{Claim, Version};
use super::{Error, Queue};
use crate::content::Chunk;
use crate::reason::{Problem, Reason};
use crate::state::{Next, State};
use crate::table::{Parameter, Table};

/// Text that one statement carries at most, in bytes, unless a single chunk is longer.
const TEXT_PER_STATEMENT: usize = 2 * 1024 * 1024;

/// Locks the rows that are still ours. Whoever else changes one waits until the end of this transaction.
const LOCK: &str = "
    select load.uri, load.generation, load.chunks
    from unnest($1::text[], $2::uuid[]) as mine (uri, lease)
    join document_load as load on load.uri = mine.uri and load.lease = mine.lease
    order by load.uri for update of load";

/// Removes chunks that have no equal among the new ones of their document. What is equal stays, with its id.
const REMOVE_CHUNKS: &str = "
    delete from document_chunk as chunk
    where chunk.uri = any ($1::text[]) and not exists (
        select from unnest($2::text[], $3::integer[], $4::bytea[]) as new_chunk (uri, chunk_order, digest)
        where new_chunk.uri = chunk.uri and new_chunk.chunk_order = chunk.chunk_order
            and new_chunk.digest = sha256(convert_to(
                concat_ws(E'\\x01', coalesce(chunk.page, 0), coalesce(chunk.heading, ''), chunk.text), 'UTF8'
            ))
    )";

const INSERT_CHUNKS: &str = "
    insert into document_chunk (uri, chunk_order, text, start_char, end_char, page, heading)
    select * from unnest($1::text[], $2::integer[], $3::text[], $4::integer[], $5::integer[], $6::integer[], $7::text[])";

/// The same where equal ones may have been left, which can be at another place than they were.
const ADD_CHUNKS: &str = "
    insert into document_chunk as known (uri, chunk_order, text, start_char, end_char, page, heading)
    select * from unnest($1::text[], $2::integer[], $3::text[], $4::integer[], $5::integer[], $6::integer[], $7::text[])
    on conflict (uri, chunk_order) do update set start_char = excluded.start_char, end_char = excluded.end_char
    where (known.start_char, known.end_char) <> (excluded.start_char, excluded.end_char)";

const UPDATE: &str = "
    update document_load as load set
        state = next.state,
        reason = case when next.is_released then load.reason else next.reason end,
        last_error = case when next.is_released then load.last_error else next.last_error end,
        next_attempt_at = current_timestamp + make_interval(secs => next.pause),
        lease = null,
        attempts = next.attempts,
        parked_attempts = next.parked_attempts,
        crashes = 0,
        loaded_at = case when next.is_loaded then current_timestamp else load.loaded_at end,
        loaded_etag = case when next.is_loaded then next.etag else load.loaded_etag end,
        loaded_version_id = case when next.is_loaded then next.version_id else load.loaded_version_id end,
        loaded_bytes = case when next.is_loaded then next.bytes else load.loaded_bytes end,
        content_sha256 = case when next.is_loaded then next.content_sha256 else load.content_sha256 end,
        chunking_sha256 = case when next.is_loaded then next.chunking_sha256 else load.chunking_sha256 end,
        chunks = coalesce(next.chunks, load.chunks)
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::integer[], $7::integer[],
        $8::boolean[], $9::text[], $10::text[], $11::bigint[], $12::bytea[], $13::bytea[], $14::integer[], $15::boolean[])
        as next (uri, state, reason, last_error, pause, attempts, parked_attempts,
            is_loaded, etag, version_id, bytes, content_sha256, chunking_sha256, chunks, is_released)
    where load.uri = next.uri";

/// Keeps the errors, and of each document the last ten.
const KEEP_ERRORS: &str = "
    with kept as (
        insert into document_load_error (uri, reason, message, attempt, etag, version_id)
        select * from unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::text[])
    )
    delete from document_load_error as old using unnest($1::text[]) as failed (uri)
    where old.uri = failed.uri and old.id <= (
        select id from document_load_error as newer where newer.uri = failed.uri order by id desc offset 9 limit 1
    )";

/// Blocks sources whose role could not be assumed, each once for as long as it is blocked. A row that somebody is
/// changing is left to him, who may wait for a row of ours.
const BLOCK: &str = "
    update document_source set
        failures = document_source.failures + 1,
        blocked_until = current_timestamp + make_interval(secs => blocked.pause),
        blocked_reason = blocked.reason,
        blocked_message = blocked.message
    from unnest($1::bigint[], $2::float8[], $3::text[], $4::text[]) as blocked (id, pause, reason, message)
    where document_source.id = blocked.id and document_source.id in (
        select id from document_source
        where id = any ($1::bigint[]) and coalesce(blocked_until <= current_timestamp, true)
        for update skip locked
    )";

const UNBLOCK: &str = "
    update document_source set failures = 0, blocked_until = null, blocked_reason = null, blocked_message = null
    where id in (
        select id from document_source where id = any ($1::bigint[]) and failures > 0 for update skip locked
    )";

/// The regions that buckets were found in.
const NOTE_REGIONS: &str = "
    update document_source set found_region = found.region
    from unnest($1::text[], $2::text[]) as found (bucket, region)
    where document_source.bucket = found.bucket and document_source.id in (
        select id from document_source where bucket = any ($1::text[]) for update skip locked
    ) and found_region is distinct from found.region";

/// Documents that are in no table any more. Their deletion has removed the chunks that were there then.
const REMOVE_GONE: &str = "
    with gone_error as (
        delete from document_load_error where uri = any ($1::text[])
    ), gone_chunk as (
        delete from document_chunk where uri = any ($1::text[])
    )
    delete from document_load where uri = any ($1::text[])";

/// What came of loading one document.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It was read, and this is its text.
    Loaded(Content, Vec<Chunk>),
    /// It is what its chunks are of.
    Unchanged(Content),
    /// It could not be loaded.
    Failed(Problem),
    /// It had no try: time ran out.
    Released,
}

/// The bytes that were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// The entity tag without its quotes.
    pub etag: Option<String>,
    /// `None` in a bucket without versions.
    pub version_id: Option<String>,
    /// How many.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: Vec<u8>,
    /// Where S3 said the bucket is, if it was not where it was looked for.
    pub found_region: Option<(String, String)>,
}

/// What was made of the outcomes. The documents that are in none of the lists were taken over by somebody else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// Each document that is settled, with its state and why.
    pub states: Vec<(String, State, Option<Reason>)>,
    /// Somebody is about to delete these: to be settled later.
    pub busy: Vec<String>,
}

impl Queue {
    /// Writes what came of documents, in one transaction: if the document is still there, and the one that was read,
    /// its chunks take the place of the old ones. What has changed meanwhile is due again.
    ///
    /// Should the database refuse a document's text, the batch is halved until it stands alone and has failed, so that
    /// it does not hold up the others.
    ///
    /// # Errors
    ///
    /// [`Error`] when some of it was not written; it can be written again.
    pub async fn settle(&self, outcomes: &[(Claim, Outcome)]) -> Result<Settled, Error> {
        let mut settled = Settled::default();
        let mut parts = vec![outcomes];
        while let Some(part) = parts.pop() {
            match self.settle_whole(part).await {
                Ok(done) => {
                    settled.states.extend(done.states);
                    settled.busy.extend(done.busy);
                }
                Err(Error::Failed(error)) if is_about_a_row(&error) => match part {
                    [] => {}
                    [(claim, Outcome::Loaded(..))] => {
                        let problem = Problem::new(Reason::Refused, reason(&error));
                        tracing::warn!(
                            uri = claim.uri,
                            error = problem.message,
                            "the database refused a text"
                        );
                        let refused = [(claim.clone(), Outcome::Failed(problem))];
                        let done = self.settle_whole(&refused).await?;
                        settled.states.extend(done.states);
                        settled.busy.extend(done.busy);
                    }
                    [_] => return Err(Error::Failed(error)),
                    several => {
                        let (first, second) = several.split_at(several.len() / 2);
                        parts.extend([second, first]);
                    }
                },
                Err(error) => return Err(error),
            }
        }
        Ok(settled)
    }

    async fn settle_whole(&self, outcomes: &[(Claim, Outcome)]) -> Result<Settled, Error> {
        self.run(
            move |session| async move { settle(session.client(), session.table(), outcomes).await },
        )
        .await
    }
}

async fn settle(
    client: &Client,
    table: &Table,
    outcomes: &[(Claim, Outcome)],
) -> Result<Settled, tokio_postgres::Error> {
    let uris: Vec<&str> = outcomes
        .iter()
        .map(|(claim, _)| claim.uri.as_str())
        .collect();
    let leases: Vec<Uuid> = outcomes.iter().map(|(claim, _)| claim.lease).collect();
    let mine: [Parameter<'_>; 2] = [(&uris, Type::TEXT_ARRAY), (&leases, Type::UUID_ARRAY)];
    let statement = hold(table);
    let asked: [Parameter<'_>; 1] = [(&uris, Type::TEXT_ARRAY)];
    let (begun, locked, held) = tokio::join!(
        client.batch_execute("begin"),
        client.query_typed(LOCK, &mine),
        client.query_typed(&statement, &asked),
    );
    begun?;
    let mut ours = HashMap::new();
    for row in &locked? {
        let uri: String = row.try_get(0)?;
        ours.insert(uri, (row.try_get::<_, i64>(1)?, row.try_get::<_, i32>(2)?));
    }
    let mut documents = HashMap::new();
    for row in &held? {
        let version = Version {
            etag: row.try_get(2)?,
            version_id: row.try_get(3)?,
            size: None,
        };
        let is_held: bool = row.try_get(1)?;
        documents.insert(row.try_get::<_, String>(0)?, is_held.then_some(version));
    }

    let mut writes = Writes::default();
    let mut settled = Settled::default();
    for (claim, outcome) in outcomes {
        let Some((generation, chunks)) = ours.get(&claim.uri) else {
            continue;
        };
        let is_same = match documents.get(&claim.uri) {
            None => {
                writes.gone.push(&claim.uri);
                continue;
            }
            Some(None) => {
                settled.busy.push(claim.uri.clone());
                continue;
            }
            Some(Some(present)) => {
                *generation == claim.generation
                    && claim.document.as_ref().is_some_and(|read| {
                        (&read.etag, &read.version_id) == (&present.etag, &present.version_id)
                    })
            }
        };
        let next = if is_same {
            Next::of(claim, outcome)
        } else {
            Next::again()
        };
        settled
            .states
            .push((claim.uri.clone(), next.state, next.reason()));
        writes.add(claim, outcome, next, *chunks > 0);
    }
    writes.write(client).await?;
    Ok(settled)
}

/// One row for each document that is there: whether it could be kept from being deleted until the end of the
/// transaction, and what it says of the object. It does not wait for whoever is about to delete it, who may wait for a
/// row of ours.
fn hold(table: &Table) -> String {
    let Table {
        name,
        collate,
        etag,
        version_id,
        ..
    } = table;
    format!(
        "select mine.uri, coalesce(held.is_held, false), held.etag, held.version_id
        from unnest($1::text[]) as mine (uri)
        left join lateral (
            select {etag} as etag, {version_id} as version_id, true as is_held
            from {name} as document where document.uri = mine.uri {collate} limit 1
            for key share skip locked
        ) as held on true
        where held.is_held or exists (
            select from {name} as document where document.uri = mine.uri {collate}
        )"
    )
}

/// What is to be written, as columns.
#[derive(Default)]
struct Writes<'a> {
    gone: Vec<&'a str>,
    nexts: Vec<(&'a Claim, Next<'a>)>,
    /// Chunks of documents that had none.
    first: Vec<(&'a str, &'a Chunk)>,
    /// Documents that had some, and their new ones.
    again: Vec<&'a str>,
    others: Vec<(&'a str, &'a Chunk)>,
    proven: Vec<i64>,
    regions: HashMap<&'a str, &'a str>,
}

impl<'a> Writes<'a> {
    fn add(&mut self, claim: &'a Claim, outcome: &'a Outcome, next: Next<'a>, had_chunks: bool) {
        if let (State::Loaded, Outcome::Loaded(_, chunks)) = (next.state, outcome) {
            let chunks = chunks.iter().map(|chunk| (claim.uri.as_str(), chunk));
            if had_chunks {
                self.again.push(&claim.uri);
                self.others.extend(chunks);
            } else {
                self.first.extend(chunks);
            }
        }
        if let Outcome::Loaded(content, _) | Outcome::Unchanged(content) = outcome {
            if claim.source.failures > 0 {
                self.proven.push(claim.source.id);
            }
            if let Some((bucket, region)) = &content.found_region {
                self.regions.insert(bucket, region);
            }
        }
        self.nexts.push((claim, next));
    }

    /// All of it. The end of the transaction is sent along with what is a single statement each.
    async fn write(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        self.remove_chunks(client).await?;
        insert_chunks(client, INSERT_CHUNKS, &self.first).await?;
        insert_chunks(client, ADD_CHUNKS, &self.others).await?;
        let (updated, kept, blocked, unblocked, noted, removed, committed) = tokio::join!(
            self.update(client),
            self.keep_errors(client),
            self.block(client),
            self.unblock(client),
            self.note_regions(client),
            self.remove_gone(client),
            client.batch_execute("commit"),
        );
        updated
            .and(kept)
            .and(blocked)
            .and(unblocked)
            .and(noted)
            .and(removed)
            .and(committed)
    }

    async fn remove_chunks(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        if self.again.is_empty() {
            return Ok(());
        }
        let uris: Vec<&str> = self.others.iter().map(|(uri, _)| *uri).collect();
        let orders: Vec<i32> = self.others.iter().map(|(_, chunk)| chunk.order).collect();
        let digests: Vec<Vec<u8>> = self
            .others
            .iter()
            .map(|(_, chunk)| chunk.digest())
            .collect();
        let parameters: [Parameter<'_>; 4] = [
            (&self.again, Type::TEXT_ARRAY),
            (&uris, Type::TEXT_ARRAY),
            (&orders, Type::INT4_ARRAY),
            (&digests, Type::BYTEA_ARRAY),
        ];
        client.execute_typed(REMOVE_CHUNKS, &parameters).await?;
        Ok(())
    }

    async fn update(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        if self.nexts.is_empty() {
            return Ok(());
        }
        let nexts = || self.nexts.iter().map(|(_, next)| next);
        let contents = || nexts().map(|next| next.content);
        let uris: Vec<&str> = self
            .nexts
            .iter()
            .map(|(claim, _)| claim.uri.as_str())
            .collect();
        let states: Vec<&str> = nexts().map(|next| next.state.name()).collect();
        let reasons: Vec<Option<&str>> = nexts()
            .map(|next| next.reason().map(Reason::code))
            .collect();
        let errors: Vec<Option<&str>> = nexts().map(Next::message).collect();
        let pauses: Vec<Option<f64>> = nexts().map(|next| next.pause).collect();
        let attempts: Vec<i32> = nexts().map(|next| next.attempts).collect();
        let parked: Vec<i32> = nexts().map(|next| next.parked_attempts).collect();
        let loaded: Vec<bool> = contents().map(|content| content.is_some()).collect();
        let etags: Vec<Option<&str>> = contents().map(|content| content?.etag.as_deref()).collect();
        let versions: Vec<Option<&str>> = contents()
            .map(|content| content?.version_id.as_deref())
            .collect();
        let bytes: Vec<Option<i64>> = contents()
            .map(|content| i64::try_from(content?.bytes).ok())
            .collect();
        let digests: Vec<Option<&[u8]>> = contents()
            .map(|content| Some(content?.sha256.as_slice()))
            .collect();
        let chunkings: Vec<Option<Vec<u8>>> = self
            .nexts
            .iter()
            .map(|(claim, next)| next.content.map(|_| claim.source.chunking.sha256()))
            .collect();
        let chunks: Vec<Option<i32>> = nexts().map(|next| next.chunks).collect();
        let released: Vec<bool> = nexts().map(|next| next.is_released).collect();
        let parameters: [Parameter<'_>; 15] = [
            (&uris, Type::TEXT_ARRAY),
            (&states, Type::TEXT_ARRAY),
            (&reasons, Type::TEXT_ARRAY),
            (&errors, Type::TEXT_ARRAY),
            (&pauses, Type::FLOAT8_ARRAY),
            (&attempts, Type::INT4_ARRAY),
            (&parked, Type::INT4_ARRAY),
            (&loaded, Type::BOOL_ARRAY),
            (&etags, Type::TEXT_ARRAY),
            (&versions, Type::TEXT_ARRAY),
            (&bytes, Type::INT8_ARRAY),
            (&digests, Type::BYTEA_ARRAY),
            (&chunkings, Type::BYTEA_ARRAY),
            (&chunks, Type::INT4_ARRAY),
            (&released, Type::BOOL_ARRAY),
        ];
        client.execute_typed(UPDATE, &parameters).await?;
        Ok(())
    }

    async fn keep_errors(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        let failed = || {
            self.nexts
                .iter()
                .filter_map(|(claim, next)| Some((*claim, next.problem?)))
        };
        let uris: Vec<&str> = failed().map(|(claim, _)| claim.uri.as_str()).collect();
        if uris.is_empty() {
            return Ok(());
        }
        let reasons: Vec<&str> = failed().map(|(_, problem)| problem.reason.code()).collect();
        let messages: Vec<&str> = failed()
            .map(|(_, problem)| problem.message.as_str())
            .collect();
        let attempts: Vec<i32> = failed().map(|(claim, _)| claim.attempts).collect();
        let document = |claim: &'a Claim| claim.document.as_ref();
        let etags: Vec<Option<&str>> = failed()
            .map(|(claim, _)| document(claim)?.etag.as_deref())
            .collect();
        let versions: Vec<Option<&str>> = failed()
            .map(|(claim, _)| document(claim)?.version_id.as_deref())
            .collect();
        let parameters: [Parameter<'_>; 6] = [
            (&uris, Type::TEXT_ARRAY),
            (&reasons, Type::TEXT_ARRAY),
            (&messages, Type::TEXT_ARRAY),
            (&attempts, Type::INT4_ARRAY),
            (&etags, Type::TEXT_ARRAY),
            (&versions, Type::TEXT_ARRAY),
        ];
        client.execute_typed(KEEP_ERRORS, &parameters).await?;
        Ok(())
    }

    async fn block(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        let blocked: HashMap<i64, (f64, &Problem)> = self
            .nexts
            .iter()
            .filter_map(|(claim, next)| Some((claim.source.id, (next.block?, next.problem?))))
            .collect();
        if blocked.is_empty() {
            return Ok(());
        }
        // In one order, as other instances do.
        let mut blocked: Vec<(i64, (f64, &Problem))> = blocked.into_iter().collect();
        blocked.sort_unstable_by_key(|(id, _)| *id);
        let ids: Vec<i64> = blocked.iter().map(|(id, _)| *id).collect();
        let pauses: Vec<f64> = blocked.iter().map(|(_, (pause, _))| *pause).collect();
        let reasons: Vec<&str> = blocked
            .iter()
            .map(|(_, (_, problem))| problem.reason.code())
            .collect();
        let messages: Vec<&str> = blocked
            .iter()
            .map(|(_, (_, problem))| problem.message.as_str())
            .collect();
        let parameters: [Parameter<'_>; 4] = [
            (&ids, Type::INT8_ARRAY),
            (&pauses, Type::FLOAT8_ARRAY),
            (&reasons, Type::TEXT_ARRAY),
            (&messages, Type::TEXT_ARRAY),
        ];
        client.execute_typed(BLOCK, &parameters).await?;
        Ok(())
    }

    async fn unblock(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        if !self.proven.is_empty() {
            let parameters: [Parameter<'_>; 1] = [(&self.proven, Type::INT8_ARRAY)];
            client.execute_typed(UNBLOCK, &parameters).await?;
        }
        Ok(())
    }

    async fn note_regions(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        if !self.regions.is_empty() {
            let (buckets, regions): (Vec<&str>, Vec<&str>) = self.regions.iter().unzip();
            let parameters: [Parameter<'_>; 2] =
                [(&buckets, Type::TEXT_ARRAY), (&regions, Type::TEXT_ARRAY)];
            client.execute_typed(NOTE_REGIONS, &parameters).await?;
        }
        Ok(())
    }

    async fn remove_gone(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        if !self.gone.is_empty() {
            let parameters: [Parameter<'_>; 1] = [(&self.gone, Type::TEXT_ARRAY)];
            client.execute_typed(REMOVE_GONE, &parameters).await?;
        }
        Ok(())
    }
}

/// Inserts chunks by statements of a bearable size.
async fn insert_chunks(
    client: &Client,
    statement: &str,
    chunks: &[(&str, &Chunk)],
) -> Result<(), tokio_postgres::Error> {
    let mut rest = chunks;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest
            .iter()
            .take_while(|(_, chunk)| {
                bytes += chunk.text.len();
                bytes <= TEXT_PER_STATEMENT
            })
            .count();
        let (now, later) = rest.split_at(fitting.max(1));
        rest = later;
        let uris: Vec<&str> = now.iter().map(|(uri, _)| *uri).collect();
        let orders: Vec<i32> = now.iter().map(|(_, chunk)| chunk.order).collect();
        let texts: Vec<&str> = now.iter().map(|(_, chunk)| chunk.text.as_str()).collect();
        let starts: Vec<i32> = now.iter().map(|(_, chunk)| chunk.start).collect();
        let ends: Vec<i32> = now.iter().map(|(_, chunk)| chunk.end).collect();
        let pages: Vec<Option<i32>> = now.iter().map(|(_, chunk)| chunk.page).collect();
        let headings: Vec<Option<&str>> = now
            .iter()
            .map(|(_, chunk)| chunk.heading.as_deref())
            .collect();
        let parameters: [Parameter<'_>; 7] = [
            (&uris, Type::TEXT_ARRAY),
            (&orders, Type::INT4_ARRAY),
            (&texts, Type::TEXT_ARRAY),
            (&starts, Type::INT4_ARRAY),
            (&ends, Type::INT4_ARRAY),
            (&pages, Type::INT4_ARRAY),
            (&headings, Type::TEXT_ARRAY),
        ];
        client.execute_typed(statement, &parameters).await?;
    }
    Ok(())
}

/// What the database says of a row, without the row.
fn reason(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || error.to_string(),
        |error| {
            format!(
                "the database refused the text: {} ({})",
                error.message(),
                error.code().code()
            )
        },
    )
}
