//! A bucket compared with the documents table, and what differs repaired.
//!
//! Events are lost now and then, and a bucket may have been full before anyone listened. So both sides are walked in
//! the order of the keys, which S3's listing and an index of the table have in common, and need no more memory than
//! a few pages:
//!
//! - `objects`: the bucket's side, and `rows`: the table's, with what the ledger knows
//! - `difference`: one against the other
//! - `repair`: what is done about a difference
//! - `run`: how far it has come, kept in the database, so that the next invocation can go on
//!
//! Live events go on meanwhile, and must win. A difference is therefore only a suspicion: what the ledger knows of
//! the object is read first, then S3 is asked, then the answer is entered just after what was read. Any event that
//! comes in between, or later, has a greater sequencer.

mod difference;
mod objects;
mod repair;
mod rows;
mod run;

use std::time::Duration;

use serde::Serialize;
use shared::s3;
use shared::telemetry::{self, Metric};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::command::Reconcile;
use crate::documents;
use crate::handle::DocumentSync;
use crate::ledger;

use difference::Difference;
use objects::{Listing, Objects};
use rows::Rows;
use run::{Begun, Run, State};

/// The ledger forgets deleted objects after this time. Until then a late event of them may be on its way: for 14 days
/// in a queue, and for 14 more among its dead letters
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html>).
const MEMORY: Duration = Duration::from_hours(30 * 24);
/// Suspicions that are followed up together.
const BATCH: usize = 1_000;
/// Keys between two notes of how far the run has come: what is compared again after a crash.
const STRIDE: usize = 20_000;
/// Kept back, of an invocation's time, for following up the last suspicions.
const RESERVE: Duration = Duration::from_secs(20);

/// What comparing a bucket with the table came to. The numbers are those of the whole run, which may have taken
/// several invocations.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reconciled {
    /// How far it got.
    pub state: Progress,
    /// Why it did not get further, where that needs saying.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether differences were only counted.
    pub dry_run: bool,
    /// What was found and done.
    #[serde(flatten)]
    pub counts: Counts,
    /// Deleted objects of which no event can be on its way any more, forgotten by this invocation.
    pub forgotten: u64,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Everything was compared, and what could be repaired was.
    Finished,
    /// Time ran out: the same invocation once more goes on from there.
    Unfinished,
    /// More documents would be removed than is allowed, so none was.
    Refused,
    /// The last run is not old enough yet.
    NotDue,
    /// Another instance is at it.
    Running,
}

/// What a run found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Objects in the bucket's listing.
    pub listed: i64,
    /// Rows of the documents table.
    pub documents: i64,
    /// Objects without a row.
    pub missing: i64,
    /// Rows unlike their object, or unlike what the ledger says of it.
    pub different: i64,
    /// Rows without an object.
    pub surplus: i64,
    /// Rows written or removed, some of which may have become right by themselves meanwhile.
    pub repaired: i64,
    /// Differences that an event settled first.
    pub superseded: i64,
    /// Left as they were: S3 could not be asked, or the database refused the row.
    pub failed: i64,
}

/// Why a run stopped. What was compared until then is noted, and the next run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Database(#[from] documents::Error),
    /// A bucket that is not there is no empty bucket.
    #[error("there is no such bucket")]
    NoBucket,
    /// The listing.
    #[error("the bucket cannot be listed")]
    Listing(#[source] s3::Error),
    /// A store that lists in another order cannot be compared with a table.
    #[error("the listing is not in the order of UTF-8: {after:?} came after {before:?}")]
    Unordered {
        /// A key.
        before: String,
        /// The key after it, which should have come first.
        after: String,
    },
}

impl DocumentSync {
    /// Compares the bucket with the table and repairs what differs, for as long as there is time.
    pub(crate) async fn reconcile(
        &self,
        order: &Reconcile,
        deadline: Instant,
    ) -> Result<Reconciled, Error> {
        let started = Instant::now();
        let left = deadline.saturating_duration_since(started);
        let mut run = match Run::begin(&self.documents, order, left).await? {
            Begun::Run(run) => run,
            Begun::NotDue(counts) => return Ok(idle(order, Progress::NotDue, counts)),
            Begun::Running(counts) => return Ok(idle(order, Progress::Running, counts)),
        };
        let before = run.counts;
        let reserve = RESERVE.min(left / 4);
        let time = Time {
            stop: deadline - reserve,
            last_question: deadline - reserve / 2,
        };
        let walked = tokio::time::timeout_at(deadline, self.walk(&mut run, order, time)).await;
        let ended = match walked {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => {
                run.release(&self.documents).await;
                return Err(error);
            }
            Err(_elapsed) => End::of(Progress::Unfinished),
        };
        run.release(&self.documents).await;
        let reconciled = Reconciled {
            state: ended.progress,
            reason: ended.reason,
            dry_run: order.dry_run,
            counts: run.counts,
            forgotten: ended.forgotten,
        };
        report(order, &reconciled, before, started);
        Ok(reconciled)
    }

    async fn walk(&self, run: &mut Run, order: &Reconcile, time: Time) -> Result<End, Error> {
        if !run.compared && !self.compare(run, time).await? {
            return Ok(End::of(Progress::Unfinished));
        }
        let share = order.max_deleted_share.unwrap_or(self.max_deleted_share);
        if let Some(reason) = excess(run.counts, share) {
            run.end(&self.documents, State::Refused).await?;
            return Ok(End {
                reason: Some(reason),
                ..End::of(Progress::Refused)
            });
        }
        if !run.counts_only && !self.remove_surplus(run, time).await? {
            return Ok(End::of(Progress::Unfinished));
        }
        run.end(&self.documents, State::Finished).await?;
        let mut end = End::of(Progress::Finished);
        if !run.counts_only {
            end.forgotten = self.forget(time.stop).await?;
        }
        Ok(end)
    }

    /// Walks both sides. `false` when time ran out.
    async fn compare(&self, run: &mut Run, time: Time) -> Result<bool, Error> {
        let bucket = self.s3.bucket(&run.bucket);
        let listing = Listing::of(&bucket).await?;
        let mut objects = Objects::list(bucket, listing, &self.filter, run);
        let mut rows = Rows::read(run);
        let mut suspicions = Vec::new();
        let mut surplus = Vec::new();
        let mut since_noted = 0;
        loop {
            objects.fill().await?;
            rows.fill(&self.documents).await?;
            while !objects.is_drained() && !rows.is_drained() && suspicions.len() < BATCH {
                let Some(pair) = difference::next(&mut objects, &mut rows, listing, run) else {
                    break;
                };
                since_noted += 1;
                match pair {
                    Difference::None => {}
                    Difference::Surplus(uri) => surplus.push(uri),
                    Difference::Suspicion(suspicion) => suspicions.push(suspicion),
                }
            }
            let at_end = objects.is_over() && rows.is_over();
            let out_of_time = Instant::now() >= time.stop;
            if at_end
                || out_of_time
                || suspicions.len() >= BATCH
                || surplus.len() >= BATCH
                || since_noted >= STRIDE
            {
                let followed = std::mem::take(&mut suspicions);
                if !run.counts_only
                    && !self
                        .follow_up(followed, listing.is_complete(), run, time.last_question)
                        .await?
                {
                    // What has been repaired is no difference any more when the next run begins where this began.
                    run.go_back();
                    return Ok(false);
                }
                let found = std::mem::take(&mut surplus);
                run.compared = at_end;
                run.note(&self.documents, &found).await?;
                since_noted = 0;
            }
            if at_end {
                return Ok(true);
            }
            if out_of_time {
                return Ok(false);
            }
        }
    }

    /// Removes the documents that were found to have no object, asking S3 once more. `false` when time ran out.
    async fn remove_surplus(&self, run: &mut Run, time: Time) -> Result<bool, Error> {
        loop {
            let surplus = run.surplus(&self.documents, BATCH).await?;
            if surplus.is_empty() {
                return Ok(true);
            }
            let unasked = self
                .follow_up_surplus(&surplus, run, time.last_question)
                .await?;
            let (left, settled): (Vec<String>, Vec<String>) =
                surplus.into_iter().partition(|uri| unasked.contains(uri));
            run.settle(&self.documents, &settled).await?;
            if !left.is_empty() || Instant::now() >= time.stop {
                return Ok(false);
            }
        }
    }

    async fn forget(&self, stop: Instant) -> Result<u64, Error> {
        let before = OffsetDateTime::now_utc() - MEMORY;
        let mut total = 0;
        while Instant::now() < stop {
            let forgotten = self
                .documents
                .run(move |session| async move { ledger::forget(session.client(), before).await })
                .await?;
            if forgotten == 0 {
                break;
            }
            total += forgotten;
        }
        Ok(total)
    }
}

/// When an invocation leaves off.
#[derive(Debug, Clone, Copy)]
struct Time {
    /// From here on nothing more is compared.
    stop: Instant,
    /// Until then S3 may be asked; the rest belongs to the database.
    last_question: Instant,
}

struct End {
    progress: Progress,
    reason: Option<String>,
    forgotten: u64,
}

impl End {
    fn of(progress: Progress) -> Self {
        Self {
            progress,
            reason: None,
            forgotten: 0,
        }
    }
}

fn idle(order: &Reconcile, state: Progress, counts: Counts) -> Reconciled {
    Reconciled {
        state,
        reason: None,
        dry_run: order.dry_run,
        counts,
        forgotten: 0,
    }
}

/// Why the surplus must not be removed, if it must not.
fn excess(counts: Counts, share: f64) -> Option<String> {
    /// Far above any number of rows, and exact as a float below 2^53.
    fn float(count: i64) -> f64 {
        i32::try_from(count).map_or_else(
            |_large| f64::from(u32::try_from(count >> 16).unwrap_or(u32::MAX)) * 65_536.0,
            f64::from,
        )
    }
    (float(counts.surplus) > share * float(counts.documents)).then(|| {
        format!(
            "{} of {} documents have no object, more than the allowed share of {share}: nothing was removed; if that is right, allow more by max_deleted_share",
            counts.surplus, counts.documents
        )
    })
}

fn report(order: &Reconcile, reconciled: &Reconciled, before: Counts, started: Instant) {
    let repaired = usize::try_from(reconciled.counts.repaired - before.repaired).unwrap_or(0);
    let failed = usize::try_from(reconciled.counts.failed - before.failed).unwrap_or(0);
    let refused = usize::from(reconciled.state == Progress::Refused);
    telemetry::publish(&[
        Metric::count("DocumentsReconciled", repaired),
        Metric::count("ReconcileFailures", failed),
        Metric::count("ReconcilesRefused", refused),
        Metric::milliseconds("ReconcileDuration", started.elapsed()),
    ]);
    let Counts {
        listed,
        documents,
        missing,
        different,
        surplus,
        repaired,
        superseded,
        failed,
    } = reconciled.counts;
    tracing::info!(
        bucket = order.bucket,
        prefix = order.prefix,
        state = ?reconciled.state,
        dry_run = order.dry_run,
        listed,
        documents,
        missing,
        different,
        surplus,
        repaired,
        superseded,
        failed,
        forgotten = reconciled.forgotten,
        reason = reconciled.reason,
        "reconciled s3://{}/{}",
        order.bucket,
        order.prefix,
    );
}
