//! Writing: whoever gets the desk writes for all who wait.

use std::mem;
use std::sync::PoisonError;

use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::batch::{Batch, BatchId, microseconds};
use super::entry::Entry;
use super::{AuditError, FOLD_EVERY, Trail, pause, place};
use crate::store::StoreError;

/// Entries in one batch: some 100 KB.
const MAX_ENTRIES: usize = 256;
/// Times that a store is asked that does not answer.
const TRIES: u32 = 3;

/// An entry whose author waits.
#[derive(Debug)]
pub(super) struct Waiting {
    entry: Entry,
    done: oneshot::Sender<Result<(), AuditError>>,
}

/// Where this process writes, one batch after the other.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// The microsecond of the last batch: the next one has a later one, whatever the clock says.
    last: u64,
    /// What is being written. It outlives whoever was writing it: it may be there already.
    sent: Option<Sent>,
    /// Batches since this process has last folded.
    unfolded: u32,
}

#[derive(Debug)]
struct Sent {
    id: BatchId,
    bytes: Vec<u8>,
    waiting: Vec<Waiting>,
}

impl Trail {
    /// Writes `entry` down. When this returns, it is there for good.
    ///
    /// # Errors
    ///
    /// [`AuditError::Unavailable`], [`AuditError::Busy`] or [`AuditError::Unwritable`].
    pub async fn record(&self, entry: Entry) -> Result<(), AuditError> {
        let (done, mut answer) = oneshot::channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Waiting { entry, done });
        let mut desk = tokio::select! {
            biased;
            // Somebody else has written it.
            answer = &mut answer => return answer.unwrap_or(Err(AuditError::Busy)),
            desk = self.desk.lock() => desk,
        };
        loop {
            match answer.try_recv() {
                Ok(answer) => {
                    let is_due = desk.unfolded >= FOLD_EVERY;
                    if is_due {
                        desk.unfolded = 0;
                    }
                    drop(desk);
                    if is_due {
                        self.fold_in_passing().await;
                    }
                    return answer;
                }
                // At first it may be the turn of what others have waited for longer.
                Err(TryRecvError::Empty) => self.write_batch(&mut desk).await,
                Err(TryRecvError::Closed) => return Err(AuditError::Busy),
            }
        }
    }

    /// Writes one batch, and tells those whose entries are in it.
    async fn write_batch(&self, desk: &mut Desk) {
        // Nobody waits for what was interrupted: perhaps long ago, and then better not now.
        let is_forgotten =
            |sent: &Sent| sent.waiting.iter().all(|waiting| waiting.done.is_closed());
        if desk.sent.as_ref().is_some_and(is_forgotten) {
            desk.sent = None;
        }
        if desk.sent.is_none() {
            let waiting = self.take_waiting();
            match self.next_batch(desk, &waiting) {
                Ok((id, bytes)) => desk.sent = Some(Sent { id, bytes, waiting }),
                Err(error) => return tell(waiting, &Err(error)),
            }
        }
        let Some(sent) = &desk.sent else { return };
        let answer = self.send(sent).await;
        desk.unfolded = desk.unfolded.saturating_add(1);
        if let Some(sent) = desk.sent.take() {
            tell(sent.waiting, &answer);
        }
    }

    fn take_waiting(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.len().min(MAX_ENTRIES);
        let later = waiting.split_off(count);
        mem::replace(&mut *waiting, later)
    }

    fn next_batch(
        &self,
        desk: &mut Desk,
        waiting: &[Waiting],
    ) -> Result<(BatchId, Vec<u8>), AuditError> {
        desk.last = microseconds(OffsetDateTime::now_utc()).max(desk.last + 1);
        let id = BatchId::new(desk.last)?;
        let entries = waiting.iter().map(|waiting| waiting.entry.clone());
        let batch = Batch {
            id: id.clone(),
            entries: entries.collect(),
        };
        Ok((id, self.seal_batch(&batch)?))
    }

    /// If it is interrupted, the next call goes on: the same bytes to the same place.
    async fn send(&self, sent: &Sent) -> Result<(), AuditError> {
        let key = place::batch(&sent.id);
        let mut failures = 0;
        loop {
            match self.objects.create(&key, sent.bytes.clone()).await {
                // Nobody else knows the place: what is there has come from here.
                Ok(_) | Err(StoreError::Exists) => return Ok(()),
                Err(error) => {
                    failures += 1;
                    if failures >= TRIES {
                        return Err(error.into());
                    }
                    pause(failures).await?;
                }
            }
        }
    }
}

/// Who does not wait any more need not be told.
fn tell(waiting: Vec<Waiting>, answer: &Result<(), AuditError>) {
    for waiting in waiting {
        let _gone = waiting.done.send(answer.clone());
    }
}
