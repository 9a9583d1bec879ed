//! The memory that objects in hand may take.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many bytes, given out and taken back.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    permits: Arc<Semaphore>,
    total: u32,
}

/// A part of the budget, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    _permit: Option<OwnedSemaphorePermit>,
}

/// Counted in pieces of this many bytes.
const PIECE: u64 = 1024;

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        let total = pieces(bytes);
        Self {
            permits: Arc::new(Semaphore::new(usize::try_from(total).unwrap_or(usize::MAX))),
            total,
        }
    }

    /// Waits for so many bytes, in the order of asking; for all of it if it is more than there is.
    pub(crate) async fn take(&self, bytes: u64) -> Share {
        let wanted = pieces(bytes).min(self.total);
        // It is never closed.
        let permit = Arc::clone(&self.permits).acquire_many_owned(wanted).await;
        Share {
            _permit: permit.ok(),
        }
    }
}

fn pieces(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE).max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_more_than_all_of_it_takes_all_of_it() {
        let budget = Budget::new(10 * PIECE);
        let all = budget.take(u64::MAX).await;
        assert_eq!(budget.permits.available_permits(), 0);
        drop(all);
        let _some = budget.take(1).await;
        assert_eq!(budget.permits.available_permits(), 9);
    }
}
