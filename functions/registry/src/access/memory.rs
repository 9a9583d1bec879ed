//! What one instance remembers for a while, never more than a given number of things.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use time::OffsetDateTime;

/// Values by key, each until a time. When there are too many, the least worth keeping goes first.
#[derive(Debug)]
pub(super) struct Memory<K, V> {
    entries: HashMap<K, Entry<V>>,
    capacity: usize,
    /// What is lost when a value is forgotten early.
    weight: fn(&V) -> u32,
    forgotten: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    until: OffsetDateTime,
}

impl<K: Eq + Hash + Clone, V> Memory<K, V> {
    pub(super) fn new(capacity: usize, weight: fn(&V) -> u32) -> Self {
        Self {
            entries: HashMap::new(),
            capacity,
            weight,
            forgotten: 0,
        }
    }

    /// What is remembered of `key` at this time.
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q, now: OffsetDateTime) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let entry = self.entries.get(key)?;
        (now < entry.until).then_some(&entry.value)
    }

    /// Remembers `value`, in place of what was there.
    pub(super) fn put(&mut self, key: K, value: V, until: OffsetDateTime, now: OffsetDateTime) {
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            self.make_room(now);
        }
        self.entries.insert(key, Entry { value, until });
    }

    pub(super) fn forget<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.forgotten += 1;
        self.entries.remove(key);
    }

    pub(super) fn clear(&mut self) {
        self.forgotten += 1;
        self.entries.clear();
    }

    /// Changes whenever something is forgotten on purpose: what was read before that may not be put any more.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Forgets what has expired, and if that is not enough, an eighth at once, so that a flood does not look through everything
    /// each time.
    fn make_room(&mut self, now: OffsetDateTime) {
        self.entries.retain(|_, entry| now < entry.until);
        if self.entries.len() < self.capacity {
            return;
        }
        let weight = self.weight;
        let mut all: Vec<_> = self
            .entries
            .iter()
            .map(|(key, entry)| (weight(&entry.value), entry.until, key.clone()))
            .collect();
        all.sort_unstable_by_key(|(weight, until, _)| (*weight, *until));
        let surplus = (self.capacity / 8).max(1);
        for (_, _, key) in all.into_iter().take(surplus) {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn the_least_worth_keeping_goes_first_and_the_expired_before_it() {
        let now = datetime!(2026-11-02 09:15 UTC);
        let after = |seconds| now + Duration::seconds(seconds);
        let mut memory = Memory::new(3, |value: &u32| *value);
        memory.put("heavy", 9, after(10), now);
        memory.put("light", 1, after(90), now);
        memory.put("medium", 5, after(90), now);
        assert_eq!(memory.get("heavy", after(9)), Some(&9));
        assert_eq!(memory.get("heavy", after(10)), None);
        memory.put("light", 2, after(90), after(20));
        assert_eq!(memory.entries.len(), 3);
        memory.put("new", 3, after(90), after(20)); // in place of the expired one
        assert_eq!(memory.get("light", after(20)), Some(&2));
        memory.put("newer", 4, after(90), after(20)); // in place of the lightest
        assert_eq!(memory.get("light", after(20)), None);
        assert_eq!(memory.get("medium", after(20)), Some(&5));
        assert_eq!(memory.entries.len(), 3);
    }
}
