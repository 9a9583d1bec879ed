use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Etag, ListedObject, StoreError};

/// How long a statement waits for another process that is writing the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// A text compares by its UTF-8 bytes here, as keys do in S3.
const SCHEMA: &str = "
    create table if not exists object (
        key text primary key not null,
        bytes blob not null,
        etag text not null
    ) strict;
";

/// Objects in an SQLite file. Several processes may have it open.
#[derive(Debug, Clone)]
pub struct SqliteObjects(Arc<Mutex<Connection>>);

impl SqliteObjects {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`]: it cannot be written, or is something else.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(PATIENCE)?;
            // What was acknowledged is on the disk: a log that is forced there with every change.
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.pragma_update(None, "synchronous", "full")?;
            connection.execute_batch(SCHEMA)?;
            Ok::<_, rusqlite::Error>(connection)
        });
        let connection = opened
            .await
            .map_err(StoreError::unavailable)?
            .map_err(StoreError::unavailable)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, StoreError> {
        let key = key.to_owned();
        self.with(move |connection| {
            connection
                .prepare_cached("select bytes, etag from object where key = ?1")?
                .query_row(params![key], |row| Ok((row.get(0)?, Etag(row.get(1)?))))
                .optional()
        })
        .await
    }

    pub(super) async fn create(&self, key: &str, bytes: Vec<u8>) -> Result<Etag, StoreError> {
        let key = key.to_owned();
        let created = self.with(move |connection| {
            connection
                .prepare_cached(
                    "insert into object (key, bytes, etag) values (?1, ?2, lower(hex(randomblob(16))))
                     on conflict do nothing returning etag",
                )?
                .query_row(params![key, bytes], |row| Ok(Etag(row.get(0)?)))
                .optional()
        });
        created.await?.ok_or(StoreError::Exists)
    }

    pub(super) async fn replace(
        &self,
        key: &str,
        bytes: Vec<u8>,
        etag: &Etag,
    ) -> Result<Etag, StoreError> {
        let (key, etag) = (key.to_owned(), etag.0.clone());
        let replaced = self.with(move |connection| {
            connection
                .prepare_cached(
                    "update object set bytes = ?2, etag = lower(hex(randomblob(16)))
                     where key = ?1 and etag = ?3 returning etag",
                )?
                .query_row(params![key, bytes, etag], |row| Ok(Etag(row.get(0)?)))
                .optional()
        });
        replaced.await?.ok_or(StoreError::Changed)
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.with(move |connection| {
            connection
                .prepare_cached("delete from object where key = ?1")?
                .execute(params![key])
        })
        .await?;
        Ok(())
    }

    pub(super) async fn delete_if(&self, key: &str, etag: &Etag) -> Result<(), StoreError> {
        let (key, etag) = (key.to_owned(), etag.0.clone());
        let deleted = self.with(move |connection| {
            connection
                .prepare_cached("delete from object where key = ?1 and etag = ?2")?
                .execute(params![key, etag])
        });
        match deleted.await? {
            0 => Err(StoreError::Changed),
            _ => Ok(()),
        }
    }

    pub(super) async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedObject>, StoreError> {
        let (prefix, after) = (prefix.to_owned(), after.map(ToOwned::to_owned));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.with(move |connection| {
            // From the prefix on, the keys that begin with it come first.
            let mut statement = connection.prepare_cached(
                "select key, etag, length(bytes) from object
                 where key >= ?1 and (?2 is null or key > ?2) order by key limit ?3",
            )?;
            let rows = statement.query_map(params![prefix, after, limit], |row| {
                Ok(ListedObject {
                    key: row.get(0)?,
                    etag: Etag(row.get(1)?),
                    size: u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default(),
                })
            })?;
            rows.take_while(|row| {
                row.as_ref()
                    .map_or(true, |row| row.key.starts_with(&prefix))
            })
            .collect()
        })
        .await
    }

    /// Works with the connection where waiting for the disk holds nobody up.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || {
            // Each use is one statement, which SQLite finishes or undoes.
            work(&connection.lock().unwrap_or_else(PoisonError::into_inner))
        })
        .await
        .map_err(StoreError::unavailable)?
        .map_err(StoreError::unavailable)
    }
}
