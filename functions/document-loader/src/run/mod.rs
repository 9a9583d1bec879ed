//! One invocation's work: documents claimed, loaded several at a time, and settled, until there are no more or time runs
//! out.
//!
//! - `claims`: what is handed out next, while the rest is loaded
//! - `writers`: what has been loaded, written together

mod claims;
mod writers;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use shared::telemetry::chain;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use self::claims::{Claimed, Claims};
use self::writers::{BATCH, Writers, Written};
use crate::load::{Loaded, Term, load};
use crate::queue::{Claim, Error, Noticed, Outcome, Queue, Settled};
use crate::read::Reader;
use crate::reason::Reason;
use crate::report::Report;
use crate::state::State;

/// How often leases are renewed: three times before they run out.
const RENEWAL: Duration = Duration::from_secs(30);
/// How long nobody looks for changes when there were none.
const QUIET: Duration = Duration::from_secs(1);
/// Between tries to settle, when the database is away or somebody is deleting a document.
const PAUSE: Duration = Duration::from_millis(200);

/// How much at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Documents being loaded.
    pub(crate) documents: usize,
    /// Transactions that settle.
    pub(crate) writers: usize,
}

/// One invocation's work.
pub(crate) struct Run {
    queue: Arc<Queue>,
    reader: Arc<Reader>,
    /// No more is begun after this.
    last_call: Instant,
    /// For what is being loaded; then it is given back.
    term: Term,
    deadline: Instant,
    claims: Claims,
    /// Leased documents, until they are settled.
    in_hand: HashMap<String, Hand>,
    /// Without an outcome if loading panicked.
    loading: JoinSet<(Claim, Option<Loaded>)>,
    writers: Writers,
    report: Report,
    /// Nobody had noted anything.
    is_quiet: bool,
    /// When to look for changes.
    notice_again: Instant,
    is_compared: bool,
    renewed: Instant,
}

/// A document that is ours.
struct Hand {
    claim: Claim,
    /// What waits to be written, or is being written, waits for the database alone: the place of such a document is
    /// taken by another, so that S3 and the database work at the same time. Its memory is bounded by what each document
    /// holds until it is written.
    is_loaded: bool,
}

impl Run {
    pub(crate) fn new(
        queue: Arc<Queue>,
        reader: Arc<Reader>,
        limits: Limits,
        deadline: Instant,
    ) -> Self {
        let now = Instant::now();
        let time = deadline.saturating_duration_since(now);
        Self {
            claims: Claims::new(Arc::clone(&queue), limits.documents),
            writers: Writers::new(
                Arc::clone(&queue),
                limits.writers,
                limits.documents / 2,
                deadline,
            ),
            queue,
            reader,
            last_call: deadline - (time / 8).min(Duration::from_secs(15)),
            term: Term {
                end: deadline - (time / 16).min(Duration::from_secs(5)),
                fair: time / 2,
            },
            deadline,
            in_hand: HashMap::new(),
            loading: JoinSet::new(),
            report: Report::default(),
            is_quiet: false,
            notice_again: now,
            is_compared: false,
            renewed: now,
        }
    }

    /// Works until nothing is due or time runs out.
    ///
    /// # Errors
    ///
    /// The database, before or while documents were handed out. What was in hand is settled as far as possible; the
    /// rest is due again when its lease runs out.
    pub(crate) async fn work(mut self) -> Result<Report, Error> {
        let worked = self.work_until_done().await;
        self.close().await;
        worked?;
        Ok(self.report)
    }

    /// Loads these documents and nothing else.
    pub(crate) async fn load(mut self, claims: Vec<Claim>) -> Report {
        self.begin(claims);
        while !self.in_hand.is_empty() && Instant::now() < self.term.end {
            self.step(self.wake()).await;
        }
        self.close().await;
        self.report.finished = self.in_hand.is_empty();
        self.report
    }

    async fn work_until_done(&mut self) -> Result<(), Error> {
        loop {
            let now = Instant::now();
            if now >= self.term.end {
                return Ok(());
            }
            if now < self.last_call {
                self.find(now).await?;
            }
            if self.in_hand.is_empty() && now >= self.last_call && !self.claims.is_asking() {
                return Ok(());
            }
            let Some(handed_out) = self.step(self.wake()).await else {
                continue;
            };
            let is_dry = handed_out.is_dry();
            self.begin(handed_out.claims?);
            if is_dry && self.is_quiet && self.is_compared {
                self.report.finished = true;
                return Ok(());
            }
            // Somebody else may be entering documents into the queue.
            if is_dry && !self.is_quiet {
                sleep_until(self.notice_again.min(self.term.end)).await;
            }
        }
    }

    /// Looks for work: changes first, then documents to claim.
    async fn find(&mut self, now: Instant) -> Result<(), Error> {
        if now >= self.notice_again {
            let noticed = self.queue.notice().await?;
            self.report.gone += noticed.gone;
            self.is_quiet = !noticed.is_busy && noticed.seen == 0;
            if noticed.is_busy {
                self.notice_again = Instant::now() + PAUSE;
            } else if self.is_quiet {
                self.notice_again = Instant::now() + QUIET;
                self.compare().await?;
            }
        }
        if self.claims.is_asking() || self.writers.waiting() >= BATCH {
            return Ok(());
        }
        let hands = self.in_hand.values();
        if hands.clone().all(|hand| hand.claim.crashes == 0) {
            let loading = hands.filter(|hand| !hand.is_loaded);
            let loading: Vec<&Claim> = loading.map(|hand| &hand.claim).collect();
            self.claims.ask(&loading, self.in_hand.is_empty());
        }
        Ok(())
    }

    /// Compares a page of documents, if a comparison is due.
    async fn compare(&mut self) -> Result<(), Error> {
        if self.is_compared {
            return Ok(());
        }
        match self.queue.compare().await? {
            None => self.is_compared = true,
            Some(Noticed { gone, is_busy, .. }) => {
                self.report.gone += gone;
                self.is_quiet = false;
                self.notice_again = Instant::now() + if is_busy { PAUSE } else { Duration::ZERO };
            }
        }
        Ok(())
    }

    fn begin(&mut self, claims: Vec<Claim>) {
        for claim in claims {
            // A lease that ran out while the database was away may have come back to us.
            let hand = Hand {
                claim: claim.clone(),
                is_loaded: false,
            };
            if self.in_hand.insert(claim.uri.clone(), hand).is_some() {
                continue;
            }
            let (reader, term) = (Arc::clone(&self.reader), self.term);
            self.loading.spawn(async move {
                let loaded = AssertUnwindSafe(load(&reader, &claim, term)).catch_unwind();
                let loaded = loaded.await.ok();
                (claim, loaded)
            });
        }
    }

    /// Waits for something to happen, but not longer than this, and does what follows. What was handed out is begun by
    /// the caller.
    async fn step(&mut self, until: Instant) -> Option<Claimed> {
        let mut handed_out = None;
        tokio::select! {
            Some(Ok((claim, loaded))) = self.loading.join_next() => self.take(claim, loaded),
            Some(written) = self.writers.next() => self.settled(written),
            Some(claimed) = self.claims.next() => handed_out = Some(claimed),
            () = sleep_until(until) => {}
        }
        while let Some(Ok((claim, loaded))) = self.loading.try_join_next() {
            self.take(claim, loaded);
        }
        self.writers.begin(self.loading.is_empty());
        self.renew().await;
        handed_out
    }

    fn take(&mut self, claim: Claim, loaded: Option<Loaded>) {
        let Some(loaded) = loaded else {
            // Nobody renews or ends its lease: it is suspected when that has run out.
            self.in_hand.remove(&claim.uri);
            return;
        };
        match &loaded.outcome {
            Outcome::Failed(problem) => {
                let is_slow = problem.reason.is_slow();
                self.claims.answered(claim.source.id, is_slow);
            }
            Outcome::Released => {}
            _ => self.claims.answered(claim.source.id, false),
        }
        if let Some(hand) = self.in_hand.get_mut(&claim.uri) {
            hand.is_loaded = true;
        }
        self.writers.add(claim, loaded);
    }

    fn settled(&mut self, Written { outcomes, settled }: Written) {
        let settled = match settled {
            Ok(settled) => settled,
            Err(error) => {
                tracing::error!(error = %chain(&error), documents = outcomes.len(), "documents were loaded in vain");
                Settled::default()
            }
        };
        let states: HashMap<&str, (State, Option<Reason>)> = settled
            .states
            .iter()
            .map(|(uri, state, reason)| (uri.as_str(), (*state, *reason)))
            .collect();
        for (claim, outcome) in &outcomes {
            // The lease may have come back to us meanwhile.
            let is_held = |hand: &Hand| hand.claim.lease == claim.lease;
            if self.in_hand.get(&claim.uri).is_some_and(is_held) {
                self.in_hand.remove(&claim.uri);
            }
            if let Some((state, reason)) = states.get(claim.uri.as_str()) {
                self.report.count(claim, outcome, *state, *reason);
            }
        }
    }

    async fn renew(&mut self) {
        if self.renewed.elapsed() < RENEWAL || self.in_hand.is_empty() {
            return;
        }
        self.renewed = Instant::now();
        let leases: Vec<_> = self
            .in_hand
            .values()
            .map(|Hand { claim, .. }| (claim.uri.clone(), claim.lease))
            .collect();
        if let Err(error) = self.queue.renew(&leases).await {
            tracing::warn!(error = %chain(&error), "leases were not renewed");
        }
    }

    /// Gives back what is in hand, and settles what has been loaded.
    async fn close(&mut self) {
        // After an error of the database there is no time to wait for the rest.
        if Instant::now() < self.term.end {
            self.loading.abort_all();
        }
        while let Some(joined) = self.loading.join_next().await {
            if let Ok((claim, loaded)) = joined {
                self.take(claim, loaded);
            }
        }
        for claim in self.claims.last(self.deadline).await {
            let is_loaded = false;
            let hand = Hand { claim, is_loaded };
            self.in_hand.insert(hand.claim.uri.clone(), hand);
        }
        for hand in self.in_hand.values_mut().filter(|hand| !hand.is_loaded) {
            hand.is_loaded = true;
            self.writers.add(hand.claim.clone(), Loaded::released());
        }
        self.writers.begin(true);
        while !self.writers.are_done() && Instant::now() < self.deadline {
            self.step(self.deadline).await;
        }
    }

    /// When something is to be done even if nothing happens.
    fn wake(&self) -> Instant {
        let now = Instant::now();
        let mut wake = self.term.end.min(self.renewed + RENEWAL);
        if let Some(due) = self.writers.wake() {
            wake = wake.min(due);
        }
        if now < self.last_call {
            wake = wake.min(self.notice_again.min(self.claims.wake()).max(now + PAUSE));
        }
        wake
    }
}
