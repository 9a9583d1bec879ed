//! One invocation's work: documents claimed, loaded several at a time, and settled, until there are no more or time runs
//! out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use shared::telemetry::chain;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::load::{Loaded, load};
use crate::queue::{Claim, Error, Lane, Noticed, Outcome, Queue, Request, Settled};
use crate::read::Reader;
use crate::reason::Reason;
use crate::report::Report;
use crate::state::State;

/// Documents settled in one transaction at most, and how much text may be in it, in bytes.
const BATCH: usize = 100;
const BATCH_TEXT: usize = 4 * 1024 * 1024;
/// How often leases are renewed: three times before they run out.
const RENEWAL: Duration = Duration::from_secs(30);
/// How long nobody looks for changes when there were none.
const QUIET: Duration = Duration::from_secs(1);
/// Between tries to settle, when the database is away or somebody is deleting a document.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a document is settled again that somebody is deleting, before it is left to the end of its lease.
const BUSY_TRIES: u32 = 10;

/// How much at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Documents in hand.
    pub(crate) documents: usize,
    /// Transactions that settle.
    pub(crate) writers: usize,
}

/// One invocation's work.
pub(crate) struct Run {
    queue: Arc<Queue>,
    reader: Arc<Reader>,
    limits: Limits,
    /// No more is begun after this.
    last_call: Instant,
    /// What is in hand is given back.
    closing: Instant,
    deadline: Instant,
    /// Leased documents, until they are settled.
    in_hand: HashMap<String, Hand>,
    loading: JoinSet<(Claim, Loaded)>,
    loaded: Vec<(Claim, Loaded)>,
    settling: JoinSet<(Outcomes, Result<Settled, Error>)>,
    /// Sources that have answered, whatever they said.
    proven: HashSet<i64>,
    report: Report,
    /// Nothing was due when nothing was in hand, and nobody had noted anything.
    is_dry: bool,
    is_quiet: bool,
    /// When to look for more that is due, while there is something in hand.
    claim_again: Instant,
    /// How many were being loaded after the last look.
    claimed_to: usize,
    /// When to look for changes.
    notice_again: Instant,
    is_compared: bool,
    renewed: Instant,
}

/// What is settled together.
type Outcomes = Vec<(Claim, Outcome)>;

/// A document that is ours.
struct Hand {
    claim: Claim,
    is_settling: bool,
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
            queue,
            reader,
            limits,
            last_call: deadline - (time / 8).min(Duration::from_secs(15)),
            closing: deadline - (time / 16).min(Duration::from_secs(5)),
            deadline,
            in_hand: HashMap::new(),
            loading: JoinSet::new(),
            loaded: Vec::new(),
            settling: JoinSet::new(),
            proven: HashSet::new(),
            report: Report::default(),
            is_dry: false,
            is_quiet: false,
            claim_again: now,
            claimed_to: 0,
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
        while !self.in_hand.is_empty() && Instant::now() < self.closing {
            self.step(self.closing).await;
        }
        self.close().await;
        self.report.finished = self.in_hand.is_empty();
        self.report
    }

    async fn work_until_done(&mut self) -> Result<(), Error> {
        loop {
            let now = Instant::now();
            if now >= self.closing {
                return Ok(());
            }
            if now < self.last_call {
                self.find(now).await?;
            }
            if self.in_hand.is_empty() {
                if now >= self.last_call {
                    return Ok(());
                }
                if self.is_done() {
                    self.report.finished = true;
                    return Ok(());
                }
                // Somebody else may be entering documents into the queue.
                if !self.is_quiet {
                    sleep_until(self.notice_again.min(self.closing)).await;
                }
                continue;
            }
            self.step(self.wake()).await;
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
        let being_loaded = self.being_loaded().count();
        let free = self.limits.documents.saturating_sub(being_loaded);
        let several = self.limits.documents.div_ceil(4);
        let is_time = now >= self.claim_again || being_loaded + several <= self.claimed_to;
        let is_worth_it = free >= several && is_time;
        let is_alone = self.in_hand.values().any(|hand| hand.claim.crashes > 0);
        if is_alone || !(is_worth_it || self.in_hand.is_empty()) {
            return Ok(());
        }
        self.is_dry = self.claim(free).await? == 0 && self.in_hand.is_empty();
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

    /// Claims documents. Sources that have not answered yet, or not in time, have half of the places at most, and few
    /// each: however many of them never answer, the others go on.
    async fn claim(&mut self, free: usize) -> Result<usize, Error> {
        let mut in_hand: HashMap<i64, i32> = HashMap::new();
        let mut unproven = 0;
        for Hand { claim, .. } in self.being_loaded() {
            *in_hand.entry(claim.source.id).or_default() += 1;
            unproven += usize::from(!self.proven.contains(&claim.source.id));
        }
        let in_hand: Vec<(i64, i32)> = in_hand.into_iter().collect();
        let proven: Vec<i64> = self.proven.iter().copied().collect();
        let all = self.limits.documents;
        let request = |lane, limit, each| Request {
            limit,
            lane,
            each,
            in_hand: &in_hand,
            proven: &proven,
        };
        let mut claims = Vec::new();
        let few = free.min((all / 2).max(1).saturating_sub(unproven));
        if few > 0 {
            let each = (all / 16).max(1);
            claims.extend(self.queue.claim(request(Lane::Unproven, few, each)).await?);
        }
        let left = free - claims.len();
        if left > 0 && !proven.is_empty() {
            let each = (all * 3 / 4).max(1);
            claims.extend(self.queue.claim(request(Lane::Proven, left, each)).await?);
        }
        // What may have killed the function is tried when nothing else could be harmed by it.
        if claims.is_empty() && self.in_hand.is_empty() {
            claims.extend(self.queue.claim(request(Lane::Suspect, 1, 1)).await?);
        }
        let claimed = claims.len();
        self.begin(claims);
        // No more are due, or their sources have as many in hand as they may: then more are to be had when some of those
        // are done, which is not to be waited for any longer.
        if claimed < free {
            self.claim_again = Instant::now() + PAUSE;
        }
        self.claimed_to = self.being_loaded().count();
        Ok(claimed)
    }

    /// What is in hand and not being written. What is being written waits for the database alone: the places of its
    /// documents are taken by others meanwhile, so that S3 and the database work at the same time. It is bounded by the
    /// writers and their batches, and its memory by what each document holds until it is written.
    fn being_loaded(&self) -> impl Iterator<Item = &Hand> {
        self.in_hand.values().filter(|hand| !hand.is_settling)
    }

    fn begin(&mut self, claims: Vec<Claim>) {
        for claim in claims {
            // A lease that ran out while the database was away may have come back to us.
            let hand = Hand {
                claim: claim.clone(),
                is_settling: false,
            };
            if self.in_hand.insert(claim.uri.clone(), hand).is_some() {
                continue;
            }
            let reader = Arc::clone(&self.reader);
            self.loading.spawn(async move {
                let loaded = load(&reader, &claim).await;
                (claim, loaded)
            });
        }
    }

    /// Waits for something to happen, but not longer than this, and does what follows.
    async fn step(&mut self, until: Instant) {
        tokio::select! {
            Some(joined) = self.loading.join_next() => self.take(joined),
            Some(joined) = self.settling.join_next() => {
                if let Ok((batch, settled)) = joined {
                    self.settled(&batch, settled);
                }
            }
            () = sleep_until(until) => {}
        }
        while let Some(joined) = self.loading.try_join_next() {
            self.take(joined);
        }
        self.settle();
        self.renew().await;
    }

    fn take(&mut self, joined: Result<(Claim, Loaded), tokio::task::JoinError>) {
        match joined {
            Ok((claim, loaded)) => {
                match &loaded.outcome {
                    Outcome::Failed(problem) if problem.reason.is_slow() => {
                        self.proven.remove(&claim.source.id);
                    }
                    Outcome::Released => {}
                    _ => {
                        // It may have more at a time from now on.
                        if self.proven.insert(claim.source.id) {
                            self.claim_again = Instant::now();
                        }
                    }
                }
                self.loaded.push((claim, loaded));
            }
            // Its lease runs out, and it is suspected then.
            Err(error) => tracing::error!(%error, "loading a document panicked"),
        }
    }

    /// Begins to settle what has been loaded, as much as fits into one transaction.
    fn settle(&mut self) {
        while !self.loaded.is_empty() && self.settling.len() < self.limits.writers {
            let mut text = 0;
            let fitting = self
                .loaded
                .iter()
                .take(BATCH)
                .take_while(|(_, loaded)| {
                    text += length(&loaded.outcome);
                    text <= BATCH_TEXT
                })
                .count();
            let batch: Vec<(Claim, Loaded)> = self.loaded.drain(..fitting.max(1)).collect();
            for (claim, _) in &batch {
                if let Some(hand) = self.in_hand.get_mut(&claim.uri) {
                    hand.is_settling = true;
                }
            }
            let queue = Arc::clone(&self.queue);
            let deadline = self.deadline;
            self.settling.spawn(async move {
                let (outcomes, holds): (Vec<_>, Vec<_>) = batch
                    .into_iter()
                    .map(|(claim, loaded)| ((claim, loaded.outcome), loaded.hold))
                    .unzip();
                let settled = settle(&queue, &outcomes, deadline).await;
                drop(holds);
                (outcomes, settled)
            });
        }
    }

    fn settled(&mut self, batch: &[(Claim, Outcome)], settled: Result<Settled, Error>) {
        let settled = match settled {
            Ok(settled) => settled,
            Err(error) => {
                tracing::error!(error = %chain(&error), documents = batch.len(), "documents were loaded in vain");
                Settled::default()
            }
        };
        let states: HashMap<&str, (State, Option<Reason>)> = settled
            .states
            .iter()
            .map(|(uri, state, reason)| (uri.as_str(), (*state, *reason)))
            .collect();
        for (claim, outcome) in batch {
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
        while let Some(joined) = self.loading.try_join_next() {
            self.take(joined);
        }
        self.loading.abort_all();
        while let Some(joined) = self.loading.join_next().await {
            if let Ok(done) = joined {
                self.loaded.push(done);
            }
        }
        let loaded: HashSet<&str> = self
            .loaded
            .iter()
            .map(|(claim, _)| claim.uri.as_str())
            .collect();
        let returned: Vec<Claim> = self
            .in_hand
            .values()
            .filter(|hand| !hand.is_settling && !loaded.contains(hand.claim.uri.as_str()))
            .map(|hand| hand.claim.clone())
            .collect();
        self.loaded.extend(
            returned
                .into_iter()
                .map(|claim| (claim, Loaded::released())),
        );
        self.settle();
        while !(self.loaded.is_empty() && self.settling.is_empty())
            && Instant::now() < self.deadline
        {
            self.step(self.deadline).await;
        }
    }

    /// When something is to be done even if nothing happens.
    fn wake(&self) -> Instant {
        let now = Instant::now();
        let mut wake = self.closing.min(self.renewed + RENEWAL);
        if now < self.last_call {
            wake = wake.min(self.notice_again.min(self.claim_again).max(now + PAUSE));
        }
        wake
    }

    fn is_done(&self) -> bool {
        self.is_dry && self.is_quiet && self.is_compared
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
