//! What came of loading documents, as statements with columns for many documents each.

use std::collections::HashMap;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::claim::Claim;
use super::settle::Outcome;
use crate::content::Piece;
use crate::reason::{Problem, Reason};
use crate::state::{Next, State};
use crate::table::Parameter;

/// Text that one statement carries at most, in bytes, unless a single chunk is longer.
const TEXT_PER_STATEMENT: usize = 2 * 1024 * 1024;

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

/// What is to be written, as columns.
#[derive(Default)]
pub(super) struct Writes<'a> {
    pub(super) gone: Vec<&'a str>,
    nexts: Vec<(&'a Claim, Next<'a>)>,
    /// Chunks of documents that had none.
    first: Vec<(&'a str, Piece<'a>)>,
    /// Documents that had some, and their new ones.
    again: Vec<&'a str>,
    others: Vec<(&'a str, Piece<'a>)>,
    proven: Vec<i64>,
    regions: HashMap<&'a str, &'a str>,
}

impl<'a> Writes<'a> {
    pub(super) fn add(
        &mut self,
        claim: &'a Claim,
        outcome: &'a Outcome,
        next: Next<'a>,
        had_chunks: bool,
    ) {
        if let (State::Loaded, Outcome::Loaded(_, chunks)) = (next.state, outcome) {
            let chunks = chunks.pieces().map(|piece| (claim.uri.as_str(), piece));
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
    pub(super) async fn write(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
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
    chunks: &[(&str, Piece<'_>)],
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
        let texts: Vec<&str> = now.iter().map(|(_, chunk)| chunk.text).collect();
        let starts: Vec<i32> = now.iter().map(|(_, chunk)| chunk.start).collect();
        let ends: Vec<i32> = now.iter().map(|(_, chunk)| chunk.end).collect();
        let pages: Vec<Option<i32>> = now.iter().map(|(_, chunk)| chunk.page).collect();
        let headings: Vec<Option<String>> = now.iter().map(|(_, chunk)| chunk.heading()).collect();
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
