//! Wakes those who wait for a message of a queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// One bell for each queue. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bells {
    bells: Arc<Mutex<HashMap<String, watch::Sender<u64>>>>,
}

impl Bells {
    /// Rings for `queue`: every listener wakes.
    pub(crate) fn ring(&self, queue: &str) {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.get(queue) {
            bell.send_modify(|rings| *rings = rings.wrapping_add(1));
        }
    }

    /// Listens from now on: a ring after this call is not missed.
    pub(crate) fn listen(&self, queue: &str) -> watch::Receiver<u64> {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells
            .entry(queue.to_owned())
            .or_insert_with(|| watch::Sender::new(0))
            .subscribe()
    }
}
