//! All artifacts, without a database: a listing tells which there are and whether one has changed, and what has not
//! changed since the last look is known already.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use time::{Duration, OffsetDateTime};

use crate::artifact::{Id, Kind};
use crate::key;
use crate::record::{Record, Stored};
use crate::store::{Etag, ListedObject, Objects, StoreError};

/// Records that are fetched at a time.
pub const PARALLEL: usize = 64;
/// Objects on one page of a listing, as S3 has it.
const PAGE: usize = 1000;
/// Descriptions that are kept in memory, in bytes. Those of other artifacts are fetched when they are searched.
const DESCRIPTIONS: usize = 64 << 20;
/// How long the place of a registration that was given up stays barred.
const BARRED: Duration = Duration::days(1);

/// What is known of the artifacts of a store since the last look.
#[derive(Debug, Default)]
pub struct Catalogue {
    known: Mutex<BTreeMap<String, Known>>,
    descriptions: AtomicUsize,
}

#[derive(Debug, Clone)]
struct Known {
    etag: Etag,
    /// `None` for what is no artifact.
    entry: Option<Arc<Entry>>,
}

/// An artifact as queries see it.
#[derive(Debug)]
pub struct Entry {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Model, dataset or code.
    pub kind: Kind,
    pub(crate) description: Description,
}

/// The text that describes an artifact to people.
#[derive(Debug)]
pub(crate) enum Description {
    Here(String),
    /// There was no room for it.
    Elsewhere,
}

impl Entry {
    /// An artifact without its description.
    pub(crate) fn named(id: Id, name: String, kind: Kind) -> Self {
        Self {
            id,
            name,
            kind,
            description: Description::Elsewhere,
        }
    }
}

impl Catalogue {
    /// The next artifacts behind the object of key `after`, in the order of their keys: at least one if there is any,
    /// at most a thousand, and the key to go on from; `None` after the last.
    pub(crate) async fn page(
        &self,
        objects: &Objects,
        after: Option<&str>,
    ) -> Result<(Vec<Arc<Entry>>, Option<String>), StoreError> {
        let listed = objects.list(key::ARTIFACTS, after, PAGE).await?;
        let next = (listed.len() == PAGE)
            .then(|| listed.last().map(|last| last.key.clone()))
            .flatten();
        let (mut known, missing) = self.compare(listed, after, next.as_deref());
        let fetched: Vec<Option<(String, Known)>> =
            stream::iter(missing.into_iter().map(|(id, object)| {
                let objects = objects.clone();
                async move { fetch(&objects, id, &object.key).await }
            }))
            .buffer_unordered(PARALLEL)
            .map_ok(|fetched| fetched.map(|fetched| self.keep(fetched)))
            .try_collect()
            .await?;
        known.extend(fetched.into_iter().flatten());
        let entries = known.into_values().filter_map(|known| known.entry);
        Ok((entries.collect(), next))
    }

    /// Forgets what the listing no longer has, and tells what is known of the rest and what is not.
    fn compare(
        &self,
        listed: Vec<ListedObject>,
        after: Option<&str>,
        to: Option<&str>,
    ) -> (BTreeMap<String, Known>, Vec<(Id, ListedObject)>) {
        let records = listed
            .into_iter()
            .filter_map(|object| Some((key::record_id(&object.key)?, object)));
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let to = to.map_or(Bound::Unbounded, Bound::Included);
        let mut before: BTreeMap<String, Known> = all
            .range::<str, _>((from, to))
            .map(|(key, known)| (key.clone(), known.clone()))
            .collect();
        let (mut known, mut missing) = (BTreeMap::new(), Vec::new());
        for (id, object) in records {
            match before.get(&object.key) {
                Some(same) if same.etag == object.etag => {
                    if let Some((key, same)) = before.remove_entry(&object.key) {
                        known.insert(key, same);
                    }
                }
                _ => missing.push((id, object)),
            }
        }
        for (key, gone) in before {
            all.remove(&key);
            self.descriptions
                .fetch_sub(gone.described(), Ordering::Relaxed);
        }
        (known, missing)
    }

    fn keep(&self, (key, record): (String, Fetched)) -> (String, Known) {
        let entry = record.record.map(|record| {
            let text = record.description();
            let bytes = text.len() + self.descriptions.load(Ordering::Relaxed);
            let description = if bytes > DESCRIPTIONS {
                Description::Elsewhere
            } else {
                Description::Here(text)
            };
            Arc::new(Entry {
                id: record.id,
                name: record.name,
                kind: record.kind,
                description,
            })
        });
        let known = Known {
            etag: record.etag,
            entry,
        };
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        self.descriptions
            .fetch_add(known.described(), Ordering::Relaxed);
        if let Some(old) = all.insert(key.clone(), known.clone()) {
            self.descriptions
                .fetch_sub(old.described(), Ordering::Relaxed);
        }
        (key, known)
    }
}

impl Known {
    /// Bytes that its description takes in memory.
    fn described(&self) -> usize {
        match self.entry.as_deref() {
            Some(Entry {
                description: Description::Here(text),
                ..
            }) => text.len(),
            _ => 0,
        }
    }
}

struct Fetched {
    etag: Etag,
    record: Option<Record>,
}

/// Reads a record; `None` if it was deleted since the listing.
async fn fetch(
    objects: &Objects,
    id: Id,
    key: &str,
) -> Result<Option<(String, Fetched)>, StoreError> {
    let Some((bytes, etag)) = objects.get(key).await? else {
        return Ok(None);
    };
    let record = match Stored::parse(&id, &bytes) {
        Ok(Stored::Artifact(record)) => Some(*record),
        Ok(Stored::Withdrawn { at }) => {
            if at.is_none_or(|at| OffsetDateTime::now_utc() - at > BARRED) {
                // Whoever was to be barred has long been ended. If this fails, the next look does it.
                drop(objects.delete_if(key, &etag).await);
            }
            None
        }
        Err(error) => {
            tracing::warn!(key, error = %shared::telemetry::chain(&error), "an artifact cannot be read, so queries leave it out");
            None
        }
    };
    Ok(Some((key.to_owned(), Fetched { etag, record })))
}
