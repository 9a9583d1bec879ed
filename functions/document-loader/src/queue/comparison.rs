//! The daily comparison of the documents table with the queue: it finds what no trigger told of, such as the documents
//! that were there before the triggers.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::changes::{Noticed, begin, enter, notice};
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
            begin(client).await?;
            let compared = compare(client, session.table()).await?;
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
    let pages = if side == "documents" {
        documents(table)
    } else {
        loads(table)
    };
    let parameters: [Parameter<'_>; 2] = [(&position, Type::TEXT), (&PAGE, Type::INT8)];
    let last: Option<String> = client
        .query_typed_one(&pages.last, &parameters)
        .await?
        .try_get(0)?;
    let Some(last) = last else {
        let is_over = side == "loads";
        let next = if is_over { "documents" } else { "loads" };
        let advance: [Parameter<'_>; 3] = [
            (&next, Type::TEXT),
            (&"", Type::TEXT),
            (&is_over, Type::BOOL),
        ];
        client.execute_typed(ADVANCE, &advance).await?;
        return Ok(Some(Noticed {
            seen: 1,
            ..Noticed::default()
        }));
    };
    let page: [Parameter<'_>; 2] = [(&position, Type::TEXT), (&last, Type::TEXT)];
    let noticed = enter(client, &pages.compare, &page).await?;
    let advance: [Parameter<'_>; 3] = [
        (&side, Type::TEXT),
        (&last, Type::TEXT),
        (&false, Type::BOOL),
    ];
    client.execute_typed(ADVANCE, &advance).await?;
    Ok(Some(noticed))
}

/// Statements for one side: the last URI of the page after a position, and what brings the queue in step with that page.
struct Pages {
    last: String,
    compare: String,
}

/// Documents, in the order of their own index.
fn documents(table: &Table) -> Pages {
    let name = &table.name;
    Pages {
        last: format!(
            "select (select uri::text from (
                select uri from {name} where uri > $1 order by uri limit $2
            ) as page order by page.uri desc limit 1)"
        ),
        compare: notice(
            table,
            &format!(
                "with noted as (
                    select distinct uri::text collate \"C\" as uri from {name} where uri > $1 and uri <= $2
                )"
            ),
            "(select count(*) from noted)",
            false,
        ),
    }
}

/// Loads, of which only those without a document are of interest.
fn loads(table: &Table) -> Pages {
    let Table { name, collate, .. } = table;
    Pages {
        last: "select (select uri from (
                select uri from document_load where uri > $1 order by uri limit $2
            ) as page order by page.uri desc limit 1)"
            .to_owned(),
        compare: notice(
            table,
            &format!(
                "with compared as (
                    select uri from document_load where uri > $1 and uri <= $2
                ), noted as (
                    select uri from compared where not exists (
                        select from {name} as document where document.uri = compared.uri {collate}
                    )
                )"
            ),
            "(select count(*) from compared)",
            false,
        ),
    }
}
