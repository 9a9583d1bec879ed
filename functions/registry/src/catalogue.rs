//! All artifacts, without a database: a listing tells which there are and whether one has changed, and what has not
//! changed since the last look is known already.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use time::{Duration, OffsetDateTime};

use crate::artifact::{Id, Kind};
use crate::key;
use crate::record::{Record, Stored};
use crate::relation::Member;
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
    /// When the last look at all of them began. Whoever looks at all holds it.
    looked: tokio::sync::Mutex<Option<Instant>>,
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
    /// What it says of others, and others may say of it; `None` where only names are known.
    pub(crate) member: Option<Arc<Member>>,
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
            member: None,
        }
    }
}

impl Catalogue {
    /// All artifacts as they were at this moment or later. Of any number that ask at the same time one looks.
    pub(crate) async fn since(
        &self,
        objects: &Objects,
        moment: Instant,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        let mut looked = self.looked.lock().await;
        if looked.is_none_or(|looked| looked < moment) {
            let began = Instant::now();
            let mut after = None;
            loop {
                (_, after) = self.page(objects, after.as_deref()).await?;
                if after.is_none() {
                    break;
                }
            }
            *looked = Some(began);
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(known.values().filter_map(|one| one.entry.clone()).collect())
    }

    /// The next artifacts behind the object of key `after`, in the order of their keys: at most a thousand, and none
    /// where files fill the page; and the key to go on from, `None` after the last.
    pub(crate) async fn page(
        &self,
        objects: &Objects,
        after: Option<&str>,
    ) -> Result<(Vec<Arc<Entry>>, Option<String>), StoreError> {
        let listed = objects.list(key::ARTIFACTS, after, PAGE).await?;
        let next = (listed.len() == PAGE)
            .then(|| listed.last().map(|last| key::behind(&last.key)))
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
            let member = Some(Arc::new(Member::of(&record)));
            Arc::new(Entry {
                member,
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
