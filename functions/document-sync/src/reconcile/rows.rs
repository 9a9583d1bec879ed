//! The table's side: its rows in the order of their URIs, each with what the ledger knows of the object.

use std::collections::VecDeque;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::run::Run;
use crate::change::Content;
use crate::documents::{self, Documents};
use crate::ledger::Parameter;
use crate::table::{Columns, Table};

/// Rows read at a time. In a table without an index in this order each reading looks at all rows, so they are many.
const CHUNK: i64 = 10_000;

/// A row of the documents table.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) uri: String,
    /// The URI without scheme and bucket.
    pub(super) key: String,
    /// What the row says, as far as the table has columns for it.
    pub(super) content: Content,
    /// What the ledger says.
    pub(super) known: Option<Known>,
}

/// An entry of the ledger.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) content: Content,
    pub(super) deleted: bool,
}

/// The rows still to be compared.
pub(super) struct Rows {
    waiting: VecDeque<Document>,
    /// `s3://bucket/`
    base: String,
    start: Start,
    /// Behind every URI that begins with the prefix.
    end: String,
    columns: Columns,
    is_over: bool,
}

/// Where the next reading begins.
#[derive(Debug, Clone)]
enum Start {
    At(String),
    After(String),
}

impl Rows {
    /// Reads what is left of a run.
    pub(super) fn read(run: &Run) -> Self {
        let base = format!("s3://{}/", run.bucket);
        let prefix = format!("{base}{}", run.prefix);
        let start = match &run.position {
            Some(position) => Start::After(format!("{base}{position}")),
            None => Start::At(prefix.clone()),
        };
        Self {
            waiting: VecDeque::new(),
            start,
            end: successor(&prefix),
            base,
            columns: Columns::default(),
            is_over: false,
        }
    }

    /// Reads rows, unless there are some or there will be no more.
    pub(super) async fn fill(&mut self, documents: &Documents) -> Result<(), documents::Error> {
        if !self.waiting.is_empty() || self.is_over {
            return Ok(());
        }
        let (start, end) = (&self.start, &self.end);
        let (rows, columns) = documents
            .run(move |session| async move {
                let table = session.table();
                Ok((
                    read(session.client(), table, start, end).await?,
                    table.columns,
                ))
            })
            .await?;
        self.columns = columns;
        self.is_over = i64::try_from(rows.len()).unwrap_or(i64::MAX) < CHUNK;
        for row in &rows {
            let document = document(row, &self.base).map_err(documents::Error::Failed)?;
            // Without a unique index there may be several of one URI; they are all written together.
            let is_repeated = self
                .waiting
                .back()
                .is_some_and(|last| last.uri == document.uri);
            if !is_repeated {
                self.waiting.push_back(document);
            }
        }
        if let Some(last) = self.waiting.back() {
            self.start = Start::After(last.uri.clone());
        }
        Ok(())
    }

    /// Which columns the table has: what a row can be compared by.
    pub(super) fn columns(&self) -> Columns {
        self.columns
    }

    pub(super) fn first(&self) -> Option<&Document> {
        self.waiting.front()
    }

    pub(super) fn take(&mut self) -> Option<Document> {
        self.waiting.pop_front()
    }

    /// Whether more have to be read before the comparison can go on.
    pub(super) fn is_drained(&self) -> bool {
        self.waiting.is_empty() && !self.is_over
    }

    /// Whether all have been compared.
    pub(super) fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.is_over
    }
}

/// The collation is that of S3's listings: the order of the bytes of UTF-8. The ledger's key is the one that
/// [`Location::digest`](crate::change::Location::digest) describes.
async fn read(
    client: &Client,
    table: &Table,
    start: &Start,
    end: &str,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let (comparison, start) = match start {
        Start::At(uri) => (">=", uri),
        Start::After(uri) => (">", uri),
    };
    let Columns {
        size,
        etag,
        version_id,
        ..
    } = table.columns;
    let column = |is_there: bool, name: &str, otherwise: &str| {
        if is_there {
            format!("{name}::{otherwise} as {name}")
        } else {
            format!("null::{otherwise} as {name}")
        }
    };
    let query = format!(
        "select document.uri, document.size, document.etag, document.version_id,
            known.size, known.etag, known.version_id, known.deleted
        from (
            select uri::text as uri, {}, {}, {}
            from {} where uri::text collate \"C\" {comparison} $1 and uri::text collate \"C\" < $2
            order by uri::text collate \"C\" limit {CHUNK}
        ) as document left join lateral (
            select size, etag, version_id, deleted from s3_object
            where object = encode(substr(sha256(convert_to(substr(document.uri, 6), 'UTF8')), 1, 16), 'hex')::uuid
            limit 1
        ) as known on true
        order by document.uri collate \"C\"",
        column(size, "size", "bigint"),
        column(etag, "etag", "text"),
        column(version_id, "version_id", "text"),
        table.name,
    );
    let parameters: [Parameter<'_>; 2] = [(start, Type::TEXT), (&end, Type::TEXT)];
    client.query_typed(&query, &parameters).await
}

fn document(row: &Row, base: &str) -> Result<Document, tokio_postgres::Error> {
    let uri: String = row.try_get(0)?;
    let key = uri.strip_prefix(base).unwrap_or_default().to_owned();
    let content = |size: Option<i64>, etag: Option<String>, version_id: Option<String>| Content {
        etag,
        size,
        version_id,
    };
    let deleted: Option<bool> = row.try_get(7)?;
    let known = match deleted {
        Some(deleted) => Some(Known {
            content: content(row.try_get(4)?, row.try_get(5)?, row.try_get(6)?),
            deleted,
        }),
        None => None,
    };
    Ok(Document {
        content: content(row.try_get(1)?, row.try_get(2)?, row.try_get(3)?),
        key,
        known,
        uri,
    })
}

/// The least text that is greater than every text that begins with `prefix`, in the order of the bytes of UTF-8, which
/// is that of the characters' numbers.
fn successor(prefix: &str) -> String {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // The numbers of surrogates are no characters.
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            characters.push(next);
            return characters.into_iter().collect();
        }
    }
    // Only for a text of nothing but the greatest character; a URI begins with a letter.
    String::from(char::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_successor_follows_everything_with_the_prefix_and_nothing_else() {
        for (prefix, next) in [
            ("s3://b/", "s3://b0"),
            ("s3://b/a", "s3://b/b"),
            ("s3://b/\u{D7FF}", "s3://b/\u{E000}"),
            ("s3://b/\u{10FFFF}", "s3://b0"),
        ] {
            assert_eq!(successor(prefix), next);
        }
    }
}
