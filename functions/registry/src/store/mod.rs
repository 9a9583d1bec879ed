//! Small objects by key, as S3 keeps them: in S3, in a file of this machine, or in memory.
//!
//! All three keep the same promises, which one suite of tests holds them to: of any number of writers that create
//! an object one wins, a change is made to what its author has seen or not at all, and a listing has the keys in the
//! order of their UTF-8 bytes.

mod bucket;
mod memory;
mod sqlite;

use std::fmt;

use serde::Serialize;
use shared::telemetry::{self, Metric};

pub use bucket::BucketObjects;
pub use memory::MemoryObjects;
pub use sqlite::SqliteObjects;

/// Objects by key. A cheap handle; clones are the same store.
#[derive(Debug, Clone)]
pub enum Objects {
    /// In a bucket: the place for everything that matters.
    S3(BucketObjects),
    /// In a file of this machine.
    Sqlite(SqliteObjects),
    /// In this process, and gone with it.
    Memory(MemoryObjects),
}

/// Which store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// A bucket.
    S3,
    /// A file of this machine.
    Sqlite,
    /// This process.
    Memory,
}

impl StoreKind {
    /// As headers and health write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Sqlite => "sqlite",
            Self::Memory => "memory",
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What an object is called until it changes. Opaque, without quotes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Etag(String);

impl Etag {
    /// The tag that a client has shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As text, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An object as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// The key.
    pub key: String,
    /// Of the content at the moment of the listing.
    pub etag: Etag,
    /// Bytes.
    pub size: u64,
}

/// Why a store did not do what was asked: one variant per decision a caller can take.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is an object of this key already. It may be the caller's own, from a try whose answer was lost.
    #[error("there is such an object already")]
    Exists,
    /// The object is not, or no longer, what the caller has seen. The change may be the caller's own, as above.
    #[error("the object was changed by somebody else")]
    Changed,
    /// The store cannot be reached, or refuses. Whether a change was made is not known.
    #[error("the store does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    pub(crate) fn unavailable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        telemetry::publish(&[Metric::count("StoreFailures", 1)]);
        Self::Unavailable(cause.into())
    }
}

impl Objects {
    /// Which store this is.
    pub fn kind(&self) -> StoreKind {
        match self {
            Self::S3(_) => StoreKind::S3,
            Self::Sqlite(_) => StoreKind::Sqlite,
            Self::Memory(_) => StoreKind::Memory,
        }
    }

    /// The object's bytes and their tag; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    pub async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, StoreError> {
        match self {
            Self::S3(objects) => objects.get(key).await,
            Self::Sqlite(objects) => objects.get(key).await,
            Self::Memory(objects) => Ok(objects.get(key)),
        }
    }

    /// Writes an object if there is none of this key.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`], or [`StoreError::Unavailable`].
    pub async fn create(&self, key: &str, bytes: Vec<u8>) -> Result<Etag, StoreError> {
        match self {
            Self::S3(objects) => objects.create(key, bytes).await,
            Self::Sqlite(objects) => objects.create(key, bytes).await,
            Self::Memory(objects) => objects.create(key, bytes),
        }
    }

    /// Writes an object if it is still what the caller has seen.
    ///
    /// # Errors
    ///
    /// [`StoreError::Changed`], also when it is gone, or [`StoreError::Unavailable`].
    pub async fn replace(
        &self,
        key: &str,
        bytes: Vec<u8>,
        etag: &Etag,
    ) -> Result<Etag, StoreError> {
        match self {
            Self::S3(objects) => objects.replace(key, bytes, etag).await,
            Self::Sqlite(objects) => objects.replace(key, bytes, etag).await,
            Self::Memory(objects) => objects.replace(key, bytes, etag),
        }
    }

    /// Deletes an object. If there is none, that is what was wanted.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match self {
            Self::S3(objects) => objects.delete(key).await,
            Self::Sqlite(objects) => objects.delete(key).await,
            Self::Memory(objects) => {
                objects.delete(key);
                Ok(())
            }
        }
    }

    /// Deletes an object if it is still what the caller has seen.
    ///
    /// # Errors
    ///
    /// [`StoreError::Changed`], also when it is gone, or [`StoreError::Unavailable`].
    pub async fn delete_if(&self, key: &str, etag: &Etag) -> Result<(), StoreError> {
        match self {
            Self::S3(objects) => objects.delete_if(key, etag).await,
            Self::Sqlite(objects) => objects.delete_if(key, etag).await,
            Self::Memory(objects) => objects.delete_if(key, etag),
        }
    }

    /// The first `limit` objects whose keys begin with `prefix` and come after `after`, in the order of the keys'
    /// UTF-8 bytes. Fewer than `limit` are the last there are.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedObject>, StoreError> {
        match self {
            Self::S3(objects) => objects.list(prefix, after, limit).await,
            Self::Sqlite(objects) => objects.list(prefix, after, limit).await,
            Self::Memory(objects) => Ok(objects.list(prefix, after, limit)),
        }
    }
}
