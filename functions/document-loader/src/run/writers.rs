//! Documents that have been loaded, written several at a time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use shared::telemetry::chain;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::PAUSE;
use crate::load::Loaded;
use crate::queue::{Claim, Error, Outcome, Queue, Settled};

/// Documents settled in one transaction at most, and how much text may be in it, in bytes.
pub(super) const BATCH: usize = 100;
const BATCH_TEXT: usize = 4 * 1024 * 1024;
/// How long a document waits for others to be written with, while there are others on their way: a transaction costs
/// much the same for one as for many.
const COMPANY: Duration = Duration::from_millis(50);
/// How often a document is settled again that somebody is deleting, before it is left to the end of its lease.
const BUSY_TRIES: u32 = 10;

/// Transactions that settle, and what waits for one.
pub(super) struct Writers {
    queue: Arc<Queue>,
    /// Transactions at a time.
    limit: usize,
    /// Documents that are company enough.
    enough: usize,
    /// Nothing is tried again after this.
    deadline: Instant,
    waiting: Vec<(Claim, Loaded)>,
    /// Since when the first of them waits.
    since: Option<Instant>,
    writing: JoinSet<Written>,
}

/// What was to be written together, and what came of it.
pub(super) struct Written {
    pub(super) outcomes: Vec<(Claim, Outcome)>,
    pub(super) settled: Result<Settled, Error>,
}

impl Writers {
    pub(super) fn new(queue: Arc<Queue>, limit: usize, enough: usize, deadline: Instant) -> Self {
        Self {
            queue,
            limit,
            enough: enough.clamp(1, BATCH),
            deadline,
            waiting: Vec::new(),
            since: None,
            writing: JoinSet::new(),
        }
    }

    pub(super) fn add(&mut self, claim: Claim, loaded: Loaded) {
        self.since.get_or_insert_with(Instant::now);
        self.waiting.push((claim, loaded));
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn are_done(&self) -> bool {
        self.waiting.is_empty() && self.writing.is_empty()
    }

    /// When those that wait have waited long enough for others, if there is a writer for them.
    pub(super) fn wake(&self) -> Option<Instant> {
        let is_free = self.writing.len() < self.limit;
        self.since.map(|since| since + COMPANY).filter(|_| is_free)
    }

    /// Begins to write what waits, as much as fits into one transaction each, if it is worth one. `is_last`: nothing
    /// else is on its way.
    pub(super) fn begin(&mut self, is_last: bool) {
        while self.writing.len() < self.limit && (is_last || self.is_worth_it()) {
            let batch: Vec<(Claim, Loaded)> = self.waiting.drain(..self.fitting()).collect();
            if batch.is_empty() {
                return;
            }
            self.since = (!self.waiting.is_empty()).then(Instant::now);
            let queue = Arc::clone(&self.queue);
            let deadline = self.deadline;
            self.writing.spawn(async move {
                let (outcomes, holds): (Vec<_>, Vec<_>) = batch
                    .into_iter()
                    .map(|(claim, loaded)| ((claim, loaded.outcome), loaded.hold))
                    .unzip();
                let settled = AssertUnwindSafe(settle(&queue, &outcomes, deadline)).catch_unwind();
                // After a panic their leases run out.
                let settled = settled
                    .await
                    .unwrap_or_else(|_panic| Ok(Settled::default()));
                drop(holds);
                Written { outcomes, settled }
            });
        }
    }

    /// What the next writer that is done has written; `None` if none is at work.
    pub(super) async fn next(&mut self) -> Option<Written> {
        self.writing.join_next().await?.ok()
    }

    fn is_worth_it(&self) -> bool {
        let text = |(_, loaded): &(Claim, Loaded)| length(&loaded.outcome);
        self.waiting.len() >= self.enough
            || self.waiting.iter().map(text).sum::<usize>() >= BATCH_TEXT
            || self.since.is_some_and(|since| since.elapsed() >= COMPANY)
            // Others wait for what it holds.
            || self.waiting.iter().any(|(_, loaded)| loaded.hold.slot.is_some())
    }

    /// How many of those that wait fit into one transaction.
    fn fitting(&self) -> usize {
        let mut text = 0;
        let fitting = self
            .waiting
            .iter()
            .take(BATCH)
            .take_while(|(_, loaded)| {
                text += length(&loaded.outcome);
                text <= BATCH_TEXT
            })
            .count();
        fitting.max(1).min(self.waiting.len())
    }
}

/// Settles a batch, however often it takes until the deadline.
async fn settle(
    queue: &Queue,
    outcomes: &[(Claim, Outcome)],
    deadline: Instant,
) -> Result<Settled, Error> {
    let mut settled = loop {
        match queue.settle(outcomes).await {
            Err(error @ (Error::Unavailable(_) | Error::Failed(_)))
                if Instant::now() + PAUSE < deadline =>
            {
                tracing::warn!(error = %chain(&error), "settling documents again");
                sleep(PAUSE).await;
            }
            settled => break settled?,
        }
    };
    let mut tries = 0;
    while !settled.busy.is_empty() && tries < BUSY_TRIES && Instant::now() + PAUSE < deadline {
        sleep(PAUSE).await;
        tries += 1;
        let busy: Vec<(Claim, Outcome)> = outcomes
            .iter()
            .filter(|(claim, _)| settled.busy.contains(&claim.uri))
            .cloned()
            .collect();
        let again = queue.settle(&busy).await?;
        settled.states.extend(again.states);
        settled.busy = again.busy;
    }
    Ok(settled)
}

fn length(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Loaded(_, chunks) => chunks.bytes(),
        _ => 0,
    }
}
