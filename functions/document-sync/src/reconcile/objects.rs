//! The bucket's side: its objects in the order of their keys, listed ahead of the comparison.

use std::collections::VecDeque;

use shared::s3::{self, Bucket, Listed, Marker, Page};
use shared::telemetry::chain;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Error;
use super::run::Run;
use crate::change::{Content, Location};
use crate::filter::Filter;

/// Pages that may wait for the comparison: 1,000 objects each.
const AHEAD: usize = 8;

/// An object that is a document.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) location: Location,
    /// What the listing tells.
    pub(super) content: Content,
    pub(super) last_modified: Option<OffsetDateTime>,
}

/// The objects still to be compared.
pub(super) struct Objects {
    pages: mpsc::Receiver<Result<Page, s3::Error>>,
    /// Ends with this.
    _lister: JoinSet<()>,
    waiting: VecDeque<Object>,
    filter: Filter,
    bucket: String,
    last: Option<String>,
    /// Listed since the counts were last taken.
    listed: i64,
    is_over: bool,
}

/// What a bucket can be listed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    /// Objects without versions.
    Objects,
    /// Versions, of which the current ones are objects.
    Versions,
    /// Objects that may have versions: this function may not ask, so each has to be looked at by itself.
    Unversioned,
}

impl Listing {
    /// The listing that tells what is in a bucket.
    pub(super) async fn of(bucket: &Bucket) -> Result<Self, Error> {
        match bucket.is_versioned().await {
            Ok(true) => Ok(Self::Versions),
            Ok(false) => Ok(Self::Objects),
            Err(s3::Error::NotFound) => Err(Error::NoBucket),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "S3 does not tell whether the bucket has versions");
                Ok(Self::Unversioned)
            }
        }
    }

    /// Whether it tells all that a document has.
    pub(super) fn is_complete(self) -> bool {
        self != Self::Unversioned
    }
}

impl Objects {
    /// Lists what is left of a run.
    pub(super) fn list(bucket: Bucket, listing: Listing, filter: &Filter, run: &Run) -> Self {
        let (sender, pages) = mpsc::channel(AHEAD);
        let mut lister = JoinSet::new();
        lister.spawn(list(
            bucket,
            listing,
            run.prefix.clone(),
            run.position.clone(),
            sender,
        ));
        Self {
            pages,
            _lister: lister,
            waiting: VecDeque::new(),
            filter: filter.clone(),
            bucket: run.bucket.clone(),
            last: run.position.clone(),
            listed: 0,
            is_over: false,
        }
    }

    /// Waits for objects, unless there are some or there will be no more.
    pub(super) async fn fill(&mut self) -> Result<(), Error> {
        while self.waiting.is_empty() && !self.is_over {
            // The lister always sends a last page or an error before it ends.
            let Some(page) = self.pages.recv().await else {
                self.is_over = true;
                break;
            };
            let page = page.map_err(|error| match error {
                s3::Error::NotFound => Error::NoBucket,
                error => Error::Listing(error),
            })?;
            self.is_over = page.next.is_none();
            for object in page.objects {
                self.add(object)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, listed: Listed) -> Result<(), Error> {
        self.listed += 1;
        let key = listed.key;
        match self.last.take() {
            Some(before) if before > key => {
                return Err(Error::Unordered { before, after: key });
            }
            // Where the last run stopped.
            Some(before) if before == key => {
                self.last = Some(before);
                return Ok(());
            }
            _ => {}
        }
        self.last = Some(key.clone());
        // A key that no document can have, with a NUL in it: events of it go into quarantine, where it is told.
        let Ok(location) = Location::new(self.bucket.clone(), key) else {
            return Ok(());
        };
        if self.filter.admits(&location, listed.size) {
            let modified = listed
                .last_modified
                .map(|at| OffsetDateTime::from_unix_timestamp(at.secs()));
            self.waiting.push_back(Object {
                location,
                content: Content::new(listed.etag, listed.size, listed.version_id),
                last_modified: modified.and_then(Result::ok),
            });
        }
        Ok(())
    }

    pub(super) fn first(&self) -> Option<&Object> {
        self.waiting.front()
    }

    pub(super) fn take(&mut self) -> Option<Object> {
        self.waiting.pop_front()
    }

    /// How many were listed since this was last asked.
    pub(super) fn take_listed(&mut self) -> i64 {
        std::mem::take(&mut self.listed)
    }

    /// Whether more have to be waited for before the comparison can go on.
    pub(super) fn is_drained(&self) -> bool {
        self.waiting.is_empty() && !self.is_over
    }

    /// Whether all have been compared.
    pub(super) fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.is_over
    }
}

async fn list(
    bucket: Bucket,
    listing: Listing,
    prefix: String,
    position: Option<String>,
    pages: mpsc::Sender<Result<Page, s3::Error>>,
) {
    let mut after = position.map(|key| Marker {
        key,
        version_id: None,
    });
    loop {
        let page = match listing {
            Listing::Versions => bucket.list_versions(&prefix, after.as_ref()).await,
            Listing::Objects | Listing::Unversioned => bucket.list(&prefix, after.as_ref()).await,
        };
        after = page.as_ref().ok().and_then(|page| page.next.clone());
        if pages.send(page).await.is_err() || after.is_none() {
            return;
        }
    }
}
