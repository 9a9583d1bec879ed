//! What the registry does, whoever asks: no HTTP here, and no question of who may.

mod change;
mod draft;
mod query;
mod removal;

use std::sync::Arc;

use tokio::time::Instant;

use crate::artifact::{Id, Kind};
use crate::catalogue::Catalogue;
use crate::claim::{self, ClaimError, Held};
use crate::index::rebuild::{Order, Rebuilt, Tended};
use crate::index::{Announcement, Index, IndexError};
use crate::key;
use crate::pattern::InvalidPattern;
use crate::record::{Record, Stored, Unreadable};
use crate::source::Source;
use crate::store::{Etag, Objects, StoreError};

pub use change::Change;
pub use draft::Draft;
pub use query::{MOST_UNPAGED, Page, Span, Wanted};

/// How often a change is tried that others make at the same moment.
const TRIES: usize = 16;

/// All artifacts of one store.
#[derive(Debug)]
pub struct Registry {
    objects: Objects,
    catalogue: Catalogue,
    index: Option<Arc<Index>>,
}

/// Why the registry did not do what was asked: one variant per decision a caller can take.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such artifact, or it is of another kind.
    #[error("there is no such artifact")]
    NotFound,
    /// An artifact of this kind has this URL already. Its id is not known while it is being registered.
    #[error("an artifact of this type with this url {}", match .0 {
        Some(id) => format!("is registered already: {id}"),
        None => "is being registered by another request".to_owned(),
    })]
    Exists(Option<Id>),
    /// An update names another artifact than the one that is there.
    #[error("the name is not the artifact's")]
    OtherName,
    /// The artifact is no longer the one that the caller has seen.
    #[error("the artifact was changed since")]
    Changed,
    /// Others change the same artifact all the time.
    #[error("others are changing this artifact")]
    Busy,
    /// The regular expression cannot be searched for.
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
    /// The whole answer was asked for, and is too large.
    #[error("more than {MOST_UNPAGED} artifacts: ask for pages, without limit=all")]
    TooMany,
    /// What is stored of the artifact cannot be understood.
    #[error("what is stored of this artifact cannot be read")]
    Unreadable(#[source] Unreadable),
    /// The store does not answer; whether a change was made is not known.
    #[error(transparent)]
    Store(StoreError),
    /// The index does not do its part: nothing was changed, or nothing can be found.
    #[error(transparent)]
    Index(IndexError),
    /// The registry finds artifacts without an index.
    #[error("this registry has no index")]
    NoIndex,
    /// The system has no random bytes.
    #[error("the system has no random bytes")]
    Random(#[source] getrandom::Error),
}

impl Registry {
    /// The registry of what is in a store.
    pub fn new(objects: Objects) -> Self {
        Self {
            objects,
            catalogue: Catalogue::default(),
            index: None,
        }
    }

    /// The same, with an index of what is there: every change is told to it, and every query asks it.
    #[must_use]
    pub fn with_index(mut self, index: Option<Arc<Index>>) -> Self {
        self.index = index;
        self
    }

    /// Whether the index can be asked; `None` where there is none.
    pub async fn check_index(&self) -> Option<Result<(), IndexError>> {
        match &self.index {
            Some(index) => Some(index.check().await),
            None => None,
        }
    }

    /// Compares the index with the store and writes what differs, until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// [`Error::NoIndex`], [`Error::Index`], [`Error::Store`]: doing it again goes on from where it ended.
    pub async fn rebuild_index(&self, order: &Order, deadline: Instant) -> Result<Rebuilt, Error> {
        let index = self.index.as_ref().ok_or(Error::NoIndex)?;
        Ok(index.rebuild(&self.objects, order, deadline).await?)
    }

    /// Looks after changes that were interrupted, and forgets what the index no longer needs, until `deadline` at the
    /// latest.
    ///
    /// # Errors
    ///
    /// As [`rebuild_index`](Self::rebuild_index).
    pub async fn tend_index(&self, deadline: Instant) -> Result<Tended, Error> {
        let index = self.index.as_ref().ok_or(Error::NoIndex)?;
        Ok(index.tend(&self.objects, deadline).await?)
    }

    /// Where it is kept.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The artifact.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], also for an artifact of another kind.
    pub async fn read(&self, kind: Kind, id: &Id) -> Result<(Record, Etag), Error> {
        let (record, etag) = self.find(id).await?;
        if record.kind == kind {
            Ok((record, etag))
        } else {
            Err(Error::NotFound)
        }
    }

    /// The artifact, whatever its kind.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    pub async fn find(&self, id: &Id) -> Result<(Record, Etag), Error> {
        let found = self.objects.get(&key::record(id)).await?;
        let (bytes, etag) = found.ok_or(Error::NotFound)?;
        match Stored::parse(id, &bytes).map_err(Error::Unreadable)? {
            Stored::Artifact(record) => Ok((*record, etag)),
            Stored::Withdrawn { .. } => Err(Error::NotFound),
        }
    }

    /// Tells the index, if there is one, that a record is about to be written or deleted. Without that it must not be.
    async fn announce<'a>(&'a self, id: &'a Id) -> Result<Announcement<'a>, Error> {
        match &self.index {
            Some(index) => Ok(index.announce(&self.objects, id).await?),
            None => Ok(Announcement::to_nobody()),
        }
    }

    /// The tag of an object, if it is the one that we tried to write: the answer to an earlier try was lost.
    async fn is_ours(&self, key: &str, bytes: &[u8]) -> Result<Option<Etag>, Error> {
        let found = self.objects.get(key).await?;
        Ok(found.and_then(|(found, etag)| (found == bytes).then_some(etag)))
    }

    async fn claim_of(&self, record: &Record) -> Result<Option<Held>, StoreError> {
        // Other writers may have put what we would not have taken; that has no claim.
        match record.url.parse::<Source>() {
            Ok(source) => claim::of(&self.objects, record.kind, &source, &record.id).await,
            Err(_invalid) => Ok(None),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<IndexError> for Error {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Store(error) => Self::Store(error),
            IndexError::Random(error) => Self::Random(error),
            IndexError::TooMany => Self::TooMany,
            error => Self::Index(error),
        }
    }
}

impl From<ClaimError> for Error {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Taken(id) => Self::Exists(id),
            ClaimError::Store(error) => Self::Store(error),
            ClaimError::Random(error) => Self::Random(error),
        }
    }
}
