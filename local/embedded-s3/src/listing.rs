//! Keys in order, page by page, with common prefixes.

use rusqlite::Connection;

use crate::bucket::Bucket;
use crate::error::Failure;
use crate::version::{COLUMNS, Version};

/// Rows fetched at a time.
const BATCH: i64 = 1001;
/// Greater than any byte of UTF-8: a prefix followed by it is greater than every key it begins.
const BEYOND: u8 = 0xFF;

/// What is listed.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub(crate) prefix: String,
    pub(crate) delimiter: Option<String>,
    pub(crate) start: Start,
    pub(crate) limit: i32,
}

/// Where a page begins.
#[derive(Debug, Clone)]
pub(crate) enum Start {
    /// Behind this key, or behind everything this common prefix begins.
    After(String),
    /// Behind the version with this sequencer of this key.
    Below { key: String, sequencer: i64 },
}

/// A listed version.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) version: Version,
}

/// A page of a list.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) truncated: bool,
    /// The last key or prefix of a page that is not the last one.
    pub(crate) next: Option<String>,
}

/// A place in the order of rows: keys rise, and within a key sequencers fall.
#[derive(Debug, Clone)]
struct Cursor {
    key: Vec<u8>,
    /// Versions of `key` below this sequencer are still to come.
    below: i64,
}

impl Cursor {
    fn at(key: Vec<u8>) -> Self {
        Self {
            key,
            below: i64::MAX,
        }
    }

    fn after_all_of(key: &[u8]) -> Self {
        Self {
            key: key.to_owned(),
            below: i64::MIN,
        }
    }

    fn beyond(prefix: &str) -> Self {
        let mut key = prefix.as_bytes().to_owned();
        key.push(BEYOND);
        Self::at(key)
    }
}

/// The current objects of a bucket.
pub(crate) fn objects(
    connection: &Connection,
    bucket: &Bucket,
    query: &Query,
) -> Result<Page, Failure> {
    let sql = format!(
        "SELECT {COLUMNS} FROM version WHERE bucket = ?1 AND latest = 1 AND delete_marker = 0
         AND (key > ?2 OR (key = ?2 AND sequencer < ?3)) AND key >= ?2 ORDER BY key LIMIT ?4"
    );
    pages(connection, bucket, query, &sql)
}

/// All versions and delete markers of a bucket, newest first within a key.
pub(crate) fn versions(
    connection: &Connection,
    bucket: &Bucket,
    query: &Query,
) -> Result<Page, Failure> {
    let sql = format!(
        "SELECT {COLUMNS} FROM version WHERE bucket = ?1 AND key >= ?2 AND (key > ?2 OR sequencer < ?3)
         ORDER BY key, sequencer DESC LIMIT ?4"
    );
    pages(connection, bucket, query, &sql)
}

fn pages(
    connection: &Connection,
    bucket: &Bucket,
    query: &Query,
    sql: &str,
) -> Result<Page, Failure> {
    let mut page = Page::default();
    let limit = usize::try_from(query.limit).unwrap_or(0);
    if limit == 0 {
        return Ok(page);
    }
    let mut cursor = first(query);
    let mut statement = connection.prepare_cached(sql)?;
    loop {
        let batch = BATCH.min(i64::from(query.limit) + 1);
        let mut rows = statement.query((bucket.id, &cursor.key, cursor.below, batch))?;
        let mut seen = 0;
        let mut skipped = false;
        while let Some(row) = rows.next()? {
            seen += 1;
            let version = Version::from_row(row)?;
            if !version.key.starts_with(&query.prefix) {
                return Ok(page);
            }
            let common = query
                .delimiter
                .as_deref()
                .and_then(|delimiter| common_prefix(&version.key, &query.prefix, delimiter));
            if page.entries.len() + page.prefixes.len() == limit {
                page.truncated = true;
                page.next = last(&page);
                return Ok(page);
            }
            if let Some(prefix) = common {
                cursor = Cursor::beyond(&prefix);
                page.prefixes.push(prefix);
                skipped = true;
                break;
            }
            cursor = Cursor {
                key: version.key.as_bytes().to_owned(),
                below: version.sequencer,
            };
            page.entries.push(Entry { version });
        }
        if !skipped && seen < batch {
            return Ok(page);
        }
    }
}

/// The first place that a query asks for.
fn first(query: &Query) -> Cursor {
    let prefix = query.prefix.as_bytes();
    match &query.start {
        Start::Below { key, sequencer } if key.as_bytes() >= prefix => Cursor {
            key: key.as_bytes().to_owned(),
            below: *sequencer,
        },
        Start::After(key) if key.as_bytes() >= prefix && !key.is_empty() => {
            // A page may have ended with a common prefix: all of it was told.
            let delimiter = query.delimiter.as_deref();
            match delimiter.and_then(|delimiter| common_prefix(key, &query.prefix, delimiter)) {
                Some(common) if common == *key => Cursor::beyond(&common),
                _ => Cursor::after_all_of(key.as_bytes()),
            }
        }
        Start::Below { .. } | Start::After(_) => Cursor::at(prefix.to_owned()),
    }
}

/// The part of `key` up to and including the first delimiter behind the prefix.
fn common_prefix(key: &str, prefix: &str, delimiter: &str) -> Option<String> {
    let rest = key.strip_prefix(prefix)?;
    let end = prefix.len() + rest.find(delimiter)? + delimiter.len();
    key.get(..end).map(str::to_owned)
}

/// The greater of the last key and the last prefix.
fn last(page: &Page) -> Option<String> {
    let key = page.entries.last().map(|entry| entry.version.key.clone());
    key.max(page.prefixes.last().cloned())
}
