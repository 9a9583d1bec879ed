//! How long a request waits for storage: the time during which at least one of its calls is open, however many are open
//! at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The calls of one instance, to S3 and to the database.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    open: usize,
    since: Option<Instant>,
    waited: Duration,
}

/// A call that is open. It ends with the value.
#[derive(Debug)]
pub(super) struct Open(Waiting);

impl Waiting {
    /// A call begins.
    pub(super) fn begin(&self) -> Open {
        let mut state = self.state();
        state.open += 1;
        state.since.get_or_insert_with(Instant::now);
        Open(self.clone())
    }

    /// The time since this was last asked. What is open then counts for nobody.
    pub(super) fn take(&self) -> Duration {
        std::mem::take(&mut self.state().waited)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open -= 1;
        if state.open == 0
            && let Some(since) = state.since.take()
        {
            state.waited += since.elapsed();
        }
    }
}
