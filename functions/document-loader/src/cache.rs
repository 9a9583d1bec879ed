//! A bounded number of things that are dear to make.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// Things by key. When there are too many, the one that was not asked for the longest goes.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    capacity: usize,
    entries: Mutex<Entries<K, V>>,
}

#[derive(Debug)]
struct Entries<K, V> {
    by_key: HashMap<K, (V, u64)>,
    /// Counts what is asked for.
    clock: u64,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        let by_key = HashMap::new();
        Self {
            capacity,
            entries: Mutex::new(Entries { by_key, clock: 0 }),
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.clock += 1;
        let now = entries.clock;
        let (value, used) = entries.by_key.get_mut(key)?;
        *used = now;
        Some(value.clone())
    }

    /// What is there, or else what is made now.
    pub(crate) fn get_or_insert(&self, key: &K, make: impl FnOnce() -> V) -> V {
        if let Some(value) = self.get(key) {
            return value;
        }
        let value = make();
        self.insert(key.clone(), value.clone());
        value
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.clock += 1;
        let now = entries.clock;
        if entries.by_key.len() >= self.capacity && !entries.by_key.contains_key(&key) {
            let oldest = entries
                .by_key
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                entries.by_key.remove(&oldest);
            }
        }
        entries.by_key.insert(key, (value, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_the_longest_goes_first() {
        let cache = Cache::new(2);
        cache.insert("a", 1);
        cache.insert("b", 2);
        assert_eq!(cache.get(&"a"), Some(1));
        assert_eq!(cache.get_or_insert(&"c", || 3), 3);
        assert_eq!((cache.get(&"a"), cache.get(&"b")), (Some(1), None));
        cache.insert("a", 4);
        assert_eq!((cache.get(&"a"), cache.get(&"c")), (Some(4), Some(3)));
    }
}
