//! What came of loading documents, written in one transaction for several of them: states, chunks, errors.

use std::collections::HashMap;

use shared::database::is_about_a_row;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::claim::{Claim, Version};
use super::write::Writes;
use super::{Error, Queue};
use crate::content::Chunks;
use crate::reason::{Problem, Reason};
use crate::state::{Next, State};
use crate::table::{Parameter, Table};

/// Locks the rows that are still ours. Whoever else changes one waits until the end of this transaction.
const LOCK: &str = "
    select load.uri, load.generation, load.chunks
    from unnest($1::text[], $2::uuid[]) as mine (uri, lease)
    join document_load as load on load.uri = mine.uri and load.lease = mine.lease
    order by load.uri for update of load";

/// What came of loading one document.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It was read, and this is its text.
    Loaded(Content, Chunks),
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
