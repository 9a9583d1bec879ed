//! Places for the documents that are read by a process of their own: so many at a time, and of each source one less.
//!
//! However many documents of one source take all the time they may, the other sources have a place to themselves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// So many places.
#[derive(Debug)]
pub(crate) struct Slots {
    places: Arc<Semaphore>,
    each: usize,
    /// Those of sources that have documents here, or waiting.
    sources: Mutex<HashMap<i64, Weak<Semaphore>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Since when it is taken.
    pub(crate) since: Instant,
    _place: Option<OwnedSemaphorePermit>,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(count.max(1))),
            each: count.saturating_sub(1).max(1),
            sources: Mutex::default(),
        }
    }

    /// Waits for a place for a document of this source.
    pub(crate) async fn take(&self, source: i64) -> Slot {
        // They are never closed.
        let turn = self.of(source).acquire_owned().await.ok();
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        Slot {
            since: Instant::now(),
            _place: place,
            _turn: turn,
        }
    }

    fn of(&self, source: i64) -> Arc<Semaphore> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sources.get(&source).and_then(Weak::upgrade) {
            return known;
        }
        sources.retain(|_, known| known.strong_count() > 0);
        let new = Arc::new(Semaphore::new(self.each));
        sources.insert(source, Arc::downgrade(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_source_leaves_a_place_to_the_others() {
        let slots = Slots::new(3);
        let mut taken = vec![slots.take(1).await, slots.take(1).await];
        assert!(slots.take(1).now_or_never().is_none());
        let other = slots.take(2).now_or_never();
        assert!(other.is_some());
        assert!(slots.take(3).now_or_never().is_none(), "all are taken");
        taken.pop();
        assert!(slots.take(3).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_single_place_is_for_all() {
        let slots = Slots::new(0);
        let one = slots.take(1).await;
        assert!(slots.take(2).now_or_never().is_none());
        drop(one);
        assert!(slots.take(2).now_or_never().is_some());
        assert_eq!(
            slots.sources.lock().unwrap().len(),
            1,
            "the others are forgotten"
        );
    }
}
