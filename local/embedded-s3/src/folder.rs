//! The folder of a store: locked by one process, of a known format, swept of leftovers.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use embedded_iam::{Account, AccountId, Iam};
use rusqlite::{Connection, OptionalExtension as _};

use crate::blobs::Blobs;
use crate::clock::Clock;
use crate::database::Database;
use crate::options::{Durability, Options};
use crate::wake::Bells;

/// The layout of the folder this program writes. Another number is refused, not guessed at.
const FORMAT: i64 = 2;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another store in this one, has the folder open.
    #[error("the folder {0} is in use by another process; stop that one or choose another folder")]
    InUse(PathBuf),
    /// The folder was written by another version of this program.
    #[error(
        "the folder {folder} has format {found}, this program reads format {FORMAT}; use the matching program or another folder"
    )]
    Format {
        /// The store's folder.
        folder: PathBuf,
        /// The number found there.
        found: i64,
    },
    /// The disk is full.
    #[error("no space is left for the folder {0}; free some or choose another folder")]
    NoSpace(PathBuf),
    /// The folder cannot be made, read or written.
    #[error("the folder {folder} cannot be used")]
    Io {
        /// The store's folder.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The metadata database cannot be opened.
    #[error("the metadata database in {folder} cannot be opened")]
    Database {
        /// The store's folder.
        folder: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

/// An opened folder. The lock is held as long as it lives.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) database: Database,
    pub(crate) blobs: Blobs,
    pub(crate) bells: Bells,
    pub(crate) iam: Iam,
    pub(crate) lock: File,
}

impl Folder {
    /// Locks and opens `options.folder`. Blocks; call it off the async threads.
    pub(crate) fn open(options: &Options) -> Result<Self, OpenError> {
        let folder = options.folder.as_path();
        let on_io = |source: io::Error| match source.kind() {
            io::ErrorKind::StorageFull => OpenError::NoSpace(folder.to_owned()),
            _ => OpenError::Io {
                folder: folder.to_owned(),
                source,
            },
        };
        let on_database = |source: rusqlite::Error| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => OpenError::NoSpace(folder.to_owned()),
            _ => OpenError::Database {
                folder: folder.to_owned(),
                source,
            },
        };
        fs::create_dir_all(folder).map_err(on_io)?;
        let lock = lock(folder, on_io)?;
        let durable = options.durability == Durability::Full;
        let blobs = Blobs::open(folder, durable).map_err(on_io)?;
        let path = folder.join("metadata.sqlite");
        let connection = Connection::open(&path).map_err(on_database)?;
        let found = prepare(&connection, durable).map_err(on_database)?;
        if found != FORMAT {
            return Err(OpenError::Format {
                folder: folder.to_owned(),
                found,
            });
        }
        let last = last_sequencer(&connection).map_err(on_database)?;
        let known = blob_names(&connection).map_err(on_database)?;
        let removed = blobs.sweep(&known).map_err(on_io)?;
        if removed > 0 {
            tracing::info!(
                removed,
                "removed blob files of writes that were never committed"
            );
        }
        let own = Account {
            id: AccountId::OWN,
            credentials: options.credentials.clone(),
        };
        let accounts = options.accounts.iter().cloned().chain([own]);
        let iam = Iam::open(&folder.join("iam"), accounts).map_err(on_io)?;
        let bells = Bells::default();
        let database = Database::start(
            &path,
            connection,
            Clock::after(last),
            blobs.clone(),
            bells.clone(),
        )
        .map_err(on_io)?;
        Ok(Self {
            database,
            blobs,
            bells,
            iam,
            lock,
        })
    }
}

fn lock(folder: &Path, on_io: impl Fn(io::Error) -> OpenError) -> Result<File, OpenError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("lock"))
        .map_err(&on_io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(on_io(source)),
    }
}

/// Sets the connection up, creates the schema in an empty database, and brings an older one up to date. Returns the
/// format found.
fn prepare(connection: &Connection, durable: bool) -> Result<i64, rusqlite::Error> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", if durable { "FULL" } else { "OFF" })?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(128);
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if found == 0 && tables == 0 {
        let schema = include_str!("schema.sql");
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {schema} PRAGMA user_version = {FORMAT}; COMMIT;"
        ))?;
        return Ok(FORMAT);
    }
    if found == 1 {
        let changes = include_str!("format_2.sql");
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {changes} PRAGMA user_version = 2; COMMIT;"
        ))?;
        tracing::info!("brought the metadata database from format 1 to 2");
        return Ok(FORMAT);
    }
    Ok(found)
}

fn last_sequencer(connection: &Connection) -> Result<i64, rusqlite::Error> {
    let stored = connection
        .query_row(
            "SELECT value FROM setting WHERE name = 'sequencer'",
            [],
            |row| row.get(0),
        )
        .optional()?;
    Ok(stored.unwrap_or(0))
}

fn blob_names(connection: &Connection) -> Result<HashSet<String>, rusqlite::Error> {
    connection
        .prepare("SELECT name FROM blob WHERE name IS NOT NULL")?
        .query_map([], |row| row.get(0))?
        .collect()
}
