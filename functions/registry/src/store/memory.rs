use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Etag, ListedObject, StoreError};

/// Objects of this process.
#[derive(Clone, Default)]
pub struct MemoryObjects(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, (Vec<u8>, Etag)>,
    writes: u64,
}

impl State {
    fn write(&mut self, key: &str, bytes: Vec<u8>) -> Etag {
        self.writes += 1;
        let etag = Etag(self.writes.to_string());
        self.objects.insert(key.to_owned(), (bytes, etag.clone()));
        etag
    }

    fn is(&self, key: &str, etag: &Etag) -> bool {
        self.objects.get(key).is_some_and(|(_, now)| now == etag)
    }
}

impl MemoryObjects {
    pub(super) fn get(&self, key: &str) -> Option<(Vec<u8>, Etag)> {
        self.with(|state| state.objects.get(key).cloned())
    }

    pub(super) fn create(&self, key: &str, bytes: Vec<u8>) -> Result<Etag, StoreError> {
        self.with(|state| {
            if state.objects.contains_key(key) {
                return Err(StoreError::Exists);
            }
            Ok(state.write(key, bytes))
        })
    }

    pub(super) fn replace(
        &self,
        key: &str,
        bytes: Vec<u8>,
        etag: &Etag,
    ) -> Result<Etag, StoreError> {
        self.with(|state| {
            if !state.is(key, etag) {
                return Err(StoreError::Changed);
            }
            Ok(state.write(key, bytes))
        })
    }

    pub(super) fn delete(&self, key: &str) {
        self.with(|state| state.objects.remove(key));
    }

    pub(super) fn delete_if(&self, key: &str, etag: &Etag) -> Result<(), StoreError> {
        self.with(|state| {
            if !state.is(key, etag) {
                return Err(StoreError::Changed);
            }
            state.objects.remove(key);
            Ok(())
        })
    }

    pub(super) fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<ListedObject> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.with(|state| {
            state
                .objects
                .range::<str, _>((from, Bound::Unbounded))
                .take_while(|(key, _)| key.starts_with(prefix))
                .take(limit)
                .map(|(key, (bytes, etag))| ListedObject {
                    key: key.clone(),
                    etag: etag.clone(),
                    size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                })
                .collect()
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        // Each change is one insertion or removal, so a panic in between leaves nothing half-done.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for MemoryObjects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects = self.with(|state| state.objects.len());
        write!(formatter, "MemoryObjects({objects} objects)")
    }
}
