//! What verifies the audit trail by schedule, as a function of its own.
//!
//! ```json
//! { "every_hours": 24 }
//! ```
//!
//! Each invocation goes on from the last block that was verified to the end. What came before is verified once more in
//! *rounds*, from the first block, which go on with the next invocation when time runs out. How far both are is noted
//! in the database, sealed: who can write the trail cannot write there, and who can write there has no key.
//!
//! | what happens to the trail | who tells, and when |
//! |---|---|
//! | a block that is not verified yet is changed, missing or at another place | the next invocation |
//! | one that was verified before | the next round that comes by |
//! | the end is cut off, as far as it was verified | the next invocation, by the note |
//! | the note is made up, or sealed by a key that is not ours | the next invocation, which then begins anew |
//! | the note is deleted, or an older one put back, and what came after it is cut off | **nobody** here, but the log, which has each head, and the number of entries, which falls |
//!
//! What is found is told by every invocation until it is gone; nothing is repaired. The end is verified whatever the
//! round finds, so a block that is broken hides none that is new.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde::{Deserialize, Deserializer, Serialize, de};
use shared::telemetry::{self, Metric, chain};
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};

use crate::audit::{AuditError, Head, Note, Reached, Trail, Verified, VerifyError};
use crate::index::{DatabaseError, Index};
use crate::storage::{NoStore, Storage};

/// Blocks between two notes: what is verified again after a crash.
const STRIDE: u64 = 1024;
/// Kept back, of the time there is, for the last note.
const RESERVE: Duration = Duration::from_secs(5);

/// One invocation's orders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// No round before this many hours after the last one: for schedules.
    pub every_hours: Option<u32>,
    /// Forget what was verified, and begin with the first block.
    pub restart: bool,
    /// Forget what was verified, and begin with this block, whatever is before it: after something that cannot be
    /// repaired.
    #[serde(deserialize_with = "head")]
    pub from: Option<Head>,
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    /// How far it got.
    pub state: Progress,
    /// The last block that was verified: what follows from it is safe to keep elsewhere.
    pub head: Option<String>,
    /// Entries up to there.
    pub entries: u64,
    /// Where a round has stopped that has not finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round: Option<String>,
    /// What is not as it was written.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub broken: BTreeSet<String>,
}

/// How far a verification got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// All that was due.
    Finished,
    /// Time ran out. The same again goes on from there.
    Unfinished,
    /// Something is not as it was written.
    Broken,
    /// Another instance is at it.
    Running,
}

/// Why nothing can be said of the trail, with all causes: Lambda shows its caller nothing but this text.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The bucket does not answer.
    #[error(transparent)]
    Store(#[from] NoStore),
    /// How far it was verified cannot be read or kept.
    #[error("how far the audit trail was verified is not known: {}", chain(.0))]
    Database(#[from] DatabaseError),
    /// It cannot be read.
    #[error("the audit trail was not verified, or not wholly: {}", chain(.0))]
    Trail(#[from] AuditError),
    /// There is no database.
    #[error("there is nowhere to note how far the audit trail was verified")]
    NoIndex,
}

/// Verifies the trail until `deadline` at the latest, and publishes what comes of it.
///
/// # Errors
///
/// [`Failure`]: the same again goes on from where it ended.
pub async fn carry_out(
    storage: &Storage,
    order: &Order,
    deadline: Instant,
) -> Result<Done, Failure> {
    let registry = Arc::clone(&storage.backend().await?.registry);
    let index = storage.index().ok_or(Failure::NoIndex)?;
    let mut watch = Watch::begin(registry.trail(), index, order).await?;
    let deadline = deadline.checked_sub(RESERVE).unwrap_or(deadline);
    let walked = watch.walk(order, deadline).await?;
    let done = watch.done(walked);
    publish(&done);
    Ok(done)
}

fn publish(done: &Done) {
    let entries = usize::try_from(done.entries).unwrap_or(usize::MAX);
    telemetry::publish(&[
        Metric::count("AuditBroken", done.broken.len()),
        Metric::count("AuditEntries", entries),
        // An alarm waits for it to be missing.
        Metric::count(
            "AuditVerified",
            usize::from(done.state == Progress::Finished),
        ),
    ]);
    let (head, entries) = (done.head.as_deref().unwrap_or("none"), done.entries);
    tracing::info!(head, entries, state = ?done.state, "the audit trail was looked at");
}

/// A verification.
struct Watch<'a> {
    trail: &'a Trail,
    index: &'a Index,
    /// As it is in the database.
    kept: Option<String>,
    note: Note,
    broken: BTreeSet<String>,
}

/// How a part of the walk ended.
enum Step {
    /// So far there is nothing wrong with the chain.
    Sound(Verified),
    /// A link is broken.
    Broken,
    Late,
}

impl<'a> Watch<'a> {
    async fn begin(trail: &'a Trail, index: &'a Index, order: &Order) -> Result<Self, Failure> {
        let kept = index.trail_note().boxed().await?;
        let mut watch = Self {
            trail,
            index,
            kept,
            note: Note::default(),
            broken: BTreeSet::new(),
        };
        let is_forgotten = order.restart || order.from.is_some();
        match watch.kept.as_deref().map(|kept| trail.open_note(kept)) {
            _ if is_forgotten => watch.note.origin.clone_from(&order.from),
            Some(Ok(note)) => watch.note = note,
            Some(Err(problem)) => watch.tell(format!(
                "the note of how far the audit trail was verified {problem}"
            )),
            None => tracing::info!("the audit trail is verified from its beginning"),
        }
        Ok(watch)
    }

    /// To the end, and then from the beginning.
    async fn walk(&mut self, order: &Order, deadline: Instant) -> Result<Progress, Failure> {
        // What was to be forgotten, or is not believed, is so for the next invocation as well.
        if self.note == Note::of(order.from.clone()) && !self.keep().await? {
            return Ok(Progress::Running);
        }
        loop {
            let before = self.note.reached.clone();
            let from = before.as_ref().map(|reached| &reached.head);
            let from = from.or(self.note.origin.as_ref());
            let verified = match self.step(from.cloned(), None, deadline).await? {
                Step::Sound(verified) => verified,
                Step::Broken => break,
                Step::Late => return Ok(Progress::Unfinished),
            };
            self.note.reached = Some(farther(before.as_ref(), &verified));
            if verified.is_complete && self.note.finished_at.is_none() {
                // The first walk to the end has seen everything.
                self.note.finished_at = Some(OffsetDateTime::now_utc());
            }
            if !self.keep().await? {
                return Ok(Progress::Running);
            }
            if verified.is_complete {
                break;
            }
        }
        self.round(order, deadline).await
    }

    /// From the beginning, if that is due.
    async fn round(&mut self, order: &Order, deadline: Instant) -> Result<Progress, Failure> {
        if self.note.round.is_none() {
            if !self.is_due(order) {
                return Ok(Progress::Finished);
            }
            // Once begun, it is gone on with until it has come to the end.
            self.note.round = Some(Reached {
                head: self.note.origin.clone().unwrap_or_else(Head::none),
                entries: 0,
            });
            if !self.keep().await? {
                return Ok(Progress::Running);
            }
        }
        let known = self
            .note
            .reached
            .as_ref()
            .map(|reached| reached.head.clone());
        loop {
            let before = self.note.round.clone();
            let from = before.as_ref().map(|reached| reached.head.clone());
            let step = self.step(from, known.clone(), deadline).await?;
            let verified = match step {
                Step::Sound(verified) => verified,
                Step::Broken => return Ok(Progress::Broken),
                Step::Late => return Ok(Progress::Unfinished),
            };
            let reached = farther(before.as_ref(), &verified);
            if verified.is_complete {
                self.note.reached = Some(reached);
                self.note.round = None;
                self.note.finished_at = Some(OffsetDateTime::now_utc());
            } else {
                self.note.round = Some(reached);
            }
            if !self.keep().await? {
                return Ok(Progress::Running);
            }
            if verified.is_complete {
                return Ok(Progress::Finished);
            }
        }
    }

    fn is_due(&self, order: &Order) -> bool {
        // Of a trail whose end was not reached yet, the first walk is the round.
        self.note.finished_at.is_some_and(|finished_at| {
            let hours = i64::from(order.every_hours.unwrap_or(0));
            OffsetDateTime::now_utc() - finished_at >= time::Duration::hours(hours)
        })
    }

    async fn step(
        &mut self,
        from: Option<Head>,
        known: Option<Head>,
        deadline: Instant,
    ) -> Result<Step, Failure> {
        let looked = self
            .trail
            .verify_some(from.as_ref(), known.as_ref(), STRIDE);
        match timeout_at(deadline, looked.boxed()).await {
            Err(_elapsed) => Ok(Step::Late),
            Ok(Ok(verified)) => Ok(Step::Sound(verified)),
            Ok(Err(VerifyError::Unreadable(error))) => Err(error.into()),
            Ok(Err(error)) => {
                self.tell(error.to_string());
                match error {
                    VerifyError::Batch { verified, .. } => Ok(Step::Sound(verified)),
                    _ => Ok(Step::Broken),
                }
            }
        }
    }

    /// Says it once.
    fn tell(&mut self, broken: String) {
        if !self.broken.contains(&broken) {
            tracing::error!(broken, "the audit trail is not what was written");
            self.broken.insert(broken);
        }
    }

    /// Whether nobody else is at it.
    async fn keep(&mut self) -> Result<bool, Failure> {
        let note = self.trail.seal_note(&self.note)?;
        let is_ours = self.index.keep_trail_note(self.kept.as_deref(), &note);
        let is_ours = is_ours.boxed().await?;
        self.kept = Some(note);
        Ok(is_ours)
    }

    fn done(self, walked: Progress) -> Done {
        let reached = self.note.reached;
        Done {
            state: if self.broken.is_empty() {
                walked
            } else {
                Progress::Broken
            },
            head: reached.as_ref().map(|reached| reached.head.to_string()),
            entries: reached.map_or(0, |reached| reached.entries),
            round: self.note.round.map(|round| round.head.to_string()),
            broken: self.broken,
        }
    }
}

/// Where a walk is after another part of it.
fn farther(before: Option<&Reached>, verified: &Verified) -> Reached {
    Reached {
        head: verified.head.clone(),
        entries: before.map_or(0, |before| before.entries) + verified.entries,
    }
}

fn head<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Head>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse())
        .transpose()
        .map_err(de::Error::custom)
}
