//! What the registry does, whoever asks: no HTTP here, and no question of who may.
//!
//! In reading order: `draft`, `change` and `removal` write artifacts; `finding` asks the sources about them and
//! `rating` rates them; `query` finds them; `relative` knows how they refer to each other, which `family` and
//! `compatibility` need; `history` tells what was done.
//!
//! **What is done is written down first.** The entry is in the audit trail before the artifact becomes visible, changes or
//! goes, and before what was asked for is answered. A process that dies in between leaves an entry of something that did not
//! happen, as the artifact shows; in the other order it would leave a change that nobody has made. For the same
//! reason an entry stays when what it tells of fails after all, because the store does, or because somebody else was faster.
//! What is refused before that, such as a URL that is registered already, is in no entry.

mod change;
mod compatibility;
mod draft;
mod family;
mod finding;
mod history;
mod query;
mod rating;
mod relative;
mod removal;

use std::sync::Arc;

use tokio::time::Instant;

use crate::artifact::{Id, Kind};
use crate::audit::{AuditError, Trail};
use crate::catalogue::Catalogue;
use crate::claim::{self, ClaimError, Held};
use crate::evidence::Outcome;
use crate::index::rebuild::{Order, Rebuilt, Tended};
use crate::index::{Announcement, Index, IndexError};
use crate::ingest::Ingest;
use crate::key;
use crate::pattern::InvalidPattern;
use crate::rating::Rating;
use crate::record::{Record, Stored, Unreadable};
use crate::source::Source;
use crate::store::{Etag, Objects, StoreError};

pub use change::Change;
pub use compatibility::Compatibility;
pub use draft::Draft;
pub use query::{MOST_UNPAGED, Page, Span, Wanted};

/// How often a change is tried that others make at the same moment.
const TRIES: usize = 16;

/// All artifacts of one store.
#[derive(Debug)]
pub struct Registry {
    objects: Objects,
    catalogue: Catalogue,
    trail: Trail,
    ingest: Arc<Ingest>,
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
    /// A model is not good enough to be taken.
    #[error("the model scores below {threshold} in {}", metrics.join(", "))]
    Disqualified {
        /// What each score must reach.
        threshold: f64,
        /// Which do not.
        metrics: Vec<&'static str>,
        /// All of them.
        rating: Box<Rating>,
    },
    /// The answer would be too large.
    #[error("too many artifacts are related to this one")]
    TooManyRelated,
    /// There is no such repository on GitHub.
    #[error("there is no such repository on GitHub")]
    NoRepository,
    /// Who knows a licence does not answer.
    #[error("the licence of the {of} could not be found out: {reason}")]
    NoLicense {
        /// Whose licence.
        of: &'static str,
        /// How asking for it ended.
        reason: Outcome,
        /// Seconds after which it may end better.
        retry_after: Option<u64>,
    },
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
    /// The audit trail does not answer. What is not in it is not done.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The system has no random bytes.
    #[error("the system has no random bytes")]
    Random(#[source] getrandom::Error),
}

impl Registry {
    /// The registry of what is in a store, and the trail of what is done to it. It takes any artifact as it is told of,
    /// and asks nobody about it.
    pub fn new(objects: Objects, trail: Trail) -> Self {
        Self {
            objects,
            catalogue: Catalogue::default(),
            trail,
            ingest: Arc::default(),
            index: None,
        }
    }

    /// The same, where artifacts are taken in like this.
    #[must_use]
    pub fn asking(self, ingest: Arc<Ingest>) -> Self {
        Self { ingest, ..self }
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

    /// Writes what was found out about an artifact, in place of what was read of it; `None` if it was changed since.
    async fn rewrite(&self, record: &Record, read: &Etag) -> Result<Option<Etag>, Error> {
        let announced = self.announce(&record.id).await?;
        let (key, bytes) = (key::record(&record.id), record.to_bytes());
        match self.objects.replace(&key, bytes, read).await {
            Ok(etag) => {
                announced.written(record, &etag).await;
                Ok(Some(etag))
            }
            Err(StoreError::Changed) => {
                announced.nothing().await;
                Ok(None)
            }
            Err(error) => {
                announced.unknown().await;
                Err(error.into())
            }
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
