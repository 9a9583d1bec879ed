//! The daily comparison of the documents table with the queue: it finds what no trigger told of, such as the documents
//! that were there before the triggers.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::changes::{Noticed, begin, enter};
use super::{Error, Queue};
use crate::table::{Parameter, Table};

/// Documents compared at a time.
const PAGE: i64 = 5_000;
/// How long after the last comparison the next one is due.
const INTERVAL: Duration = Duration::from_hours(24);

/// Where the comparison is, unless it is not due.
const POSITION: &str = "
    select side, position from document_load_comparison
    where finished_at is null or finished_at < current_timestamp - make_interval(secs => $1) for update";

/// Where it goes on. After the last side it is finished, and the next one begins anew.
const ADVANCE: &str = "
    update document_load_comparison set side = $1, position = $2,
        finished_at = case when $3 then current_timestamp end";

impl Queue {
    /// Compares some documents with the queue if a comparison is due, and notes how far it has come. `None` when it is
    /// not due.
    ///
    /// # Errors
    ///
    /// [`Error`]; then the next call does the same again.
    pub async fn compare(&self) -> Result<Option<Noticed>, Error> {
        self.run(move |session| async move {
            let client = session.client();
            let compared = if begin(client).await? {
                compare(client, session.table()).await?
            } else {
                Some(Noticed::BUSY)
            };
            client.batch_execute("commit").await?;
            Ok(compared)
        })
        .await
    }
}

async fn compare(client: &Client, table: &Table) -> Result<Option<Noticed>, tokio_postgres::Error> {
    let interval = INTERVAL.as_secs_f64();
    let due = client
        .query_typed(POSITION, &[(&interval, Type::FLOAT8)])
        .await?;
    let Some(row) = due.first() else {
        return Ok(None);
    };
    let (side, position): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let is_last_side = side == "loads";
    let page = if is_last_side {
        loads(table)
    } else {
        documents(table)
    };
    let parameters: [Parameter<'_>; 2] = [(&position, Type::TEXT), (&PAGE, Type::INT8)];
    let rows = client.query_typed(&page, &parameters).await?;
    let mut uris: Vec<String> = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.try_get(1)? {
            uris.push(row.try_get(0)?);
        }
    }
    let last: Option<String> = rows.last().map(|row| row.try_get(0)).transpose()?;
    // One document for each, and in the order of the queue.
    uris.sort_unstable();
    uris.dedup();
    let noticed = enter(client, table, &uris, false).await?;
    let next = match (&last, is_last_side) {
        (Some(_), _) => side.as_str(),
        (None, false) => "loads",
        (None, true) => "documents",
    };
    let advance: [Parameter<'_>; 3] = [
        (&next, Type::TEXT),
        (&last.as_deref().unwrap_or_default(), Type::TEXT),
        (&(is_last_side && last.is_none()), Type::BOOL),
    ];
    client.execute_typed(ADVANCE, &advance).await?;
    Ok(Some(Noticed {
        seen: rows.len().max(1),
        ..noticed
    }))
}

/// The next page of documents, in the order of their own index: each is to be compared.
fn documents(table: &Table) -> String {
    let name = &table.name;
    format!("select uri::text, true from {name} where uri > $1 order by uri limit $2")
}

/// The next page of the queue, of which only what is no document is of interest.
fn loads(table: &Table) -> String {
    let Table { name, collate, .. } = table;
    format!(
        "select load.uri, not exists (select from {name} as document where document.uri = load.uri {collate})
        from (select uri from document_load where uri > $1 order by uri limit $2) as load order by load.uri"
    )
}
