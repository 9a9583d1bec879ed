//! The bucket compared with the index, and what differs written to the index.
//!
//! Other writers put artifacts into the bucket, a registry without a database does, and the index may be lost. So both
//! sides are walked in the order of the keys, which the bucket's listing and the index have in common: `walk`. That
//! needs no more memory than some pages, and reads only objects whose tag the index does not know. How far it has come
//! is kept in the database, so that the next invocation goes on: `run`.
//!
//! A difference is only a suspicion, for others go on writing: every suspicion is followed up by reading the object
//! again, and settled as any change is (see [`crate::index`]).
//!
//! Artifacts of other writers have no claim to their URLs, so nothing would keep a second one from being registered.
//! They get one here, unless somebody else has it.

mod run;
mod walk;

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::healing::Look;
use super::{Index, IndexError, PATIENCE, standing};
use crate::store::Objects;
use run::{Begun, Run};
use walk::{Suspicion, Walk};

/// Suspicions that are followed up together.
const BATCH: usize = 128;
/// Places between two notes of how far a run has come: what is compared again after a crash.
const STRIDE: usize = 20_000;
/// Kept back, of the time there is, for following up the last suspicions.
const RESERVE: Duration = Duration::from_secs(2);

/// What nobody needs any more, some of it: places that have been empty for a day, tokens that have expired, and logins
/// that failed long ago. By then nobody is at work who could know less.
const PURGE: [&str; 3] = [
    "delete from registry_artifact where place = any (array(
        select place from registry_artifact
        where etag is null and settled_at < current_timestamp - interval '1 day' limit 10000
    ))",
    "delete from registry_token where token = any (array(
        select token from registry_token where expires_at < current_timestamp limit 10000
    ))",
    "delete from registry_login where name = any (array(
        select name from registry_login where forget_at < current_timestamp limit 10000
    ))",
];

/// How the index is to be compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// Only count what differs.
    pub dry_run: bool,
    /// Read every object, whatever its tag: for an index that somebody has written to.
    pub thorough: bool,
    /// Not again before this many hours after the last time: for schedules.
    pub every_hours: Option<u32>,
    /// From the beginning, even if the last run has not finished.
    pub restart: bool,
}

/// What a comparison came to. The numbers are those of the whole run, which may have taken several invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// How far it got.
    pub state: Progress,
    /// Whether differences were only counted.
    pub dry_run: bool,
    /// What was found and done.
    #[serde(flatten)]
    pub counts: Counts,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Everything was compared.
    Finished,
    /// Time ran out: the same once more goes on from there.
    Unfinished,
    /// The last run is not old enough yet.
    NotDue,
    /// Another instance is at it.
    Running,
}

/// What a run found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Objects in the bucket that may be artifacts.
    pub listed: i64,
    /// Places that the index knows, empty ones included.
    pub known: i64,
    /// Objects that the index does not know.
    pub missing: i64,
    /// Objects that the index knows as they were.
    pub different: i64,
    /// Places where the index knows an object and none is.
    pub surplus: i64,
    /// Places written to the index.
    pub written: i64,
    /// Claims made for artifacts of other writers.
    pub claimed: i64,
    /// Left as they were: an object could not be read, or the database does not take it.
    pub failed: i64,
}

/// What was put in order without a comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tended {
    /// Interrupted changes that were looked after.
    pub looked_after: i64,
    /// Rows that nobody needs any more.
    pub purged: u64,
}

impl Index {
    /// Compares the store with the index and writes what differs, as long as there is time.
    ///
    /// # Errors
    ///
    /// [`IndexError`]: what was compared until then is noted, and the next run goes on from there.
    pub async fn rebuild(
        &self,
        objects: &Objects,
        order: &Order,
        deadline: Instant,
    ) -> Result<Rebuilt, IndexError> {
        if let Err(foreign @ IndexError::Foreign(_)) = self.check().await {
            return Err(foreign);
        }
        let rebuilt = |state, counts| Rebuilt {
            state,
            dry_run: order.dry_run,
            counts,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let mut run = match Run::begin(&self.connections, order, left).await? {
            Begun::Run(run) => run,
            Begun::NotDue(counts) => return Ok(rebuilt(Progress::NotDue, counts)),
            Begun::Running(counts) => return Ok(rebuilt(Progress::Running, counts)),
        };
        let stop = deadline - RESERVE.min(left / 4);
        let compared = timeout_at(deadline, self.compare(objects, &mut run, stop)).await;
        let state = match compared {
            Ok(Ok(true)) => {
                run.end(&self.connections, &self.store).await?;
                if !order.dry_run {
                    self.tend(objects, deadline).await?;
                }
                Progress::Finished
            }
            Ok(Ok(false)) | Err(_) => {
                run.release(&self.connections).await;
                Progress::Unfinished
            }
            Ok(Err(error)) => {
                run.release(&self.connections).await;
                return Err(error);
            }
        };
        let rebuilt = rebuilt(state, run.counts);
        report(order, &rebuilt);
        Ok(rebuilt)
    }

    /// Looks after interrupted changes, and forgets what nobody needs any more, as long as there is time.
    ///
    /// # Errors
    ///
    /// [`IndexError`]: the rest is left for the next time.
    pub async fn tend(&self, objects: &Objects, deadline: Instant) -> Result<Tended, IndexError> {
        let mut tended = Tended::default();
        let mut looked: Vec<String> = Vec::new();
        loop {
            let known = &looked;
            let standing = self.connections.run(PATIENCE, |session| async move {
                standing(session.client(), known).await
            });
            let due = standing.await?.due;
            if due.is_empty() || Instant::now() >= deadline {
                break;
            }
            self.look(objects, &due, Look::Tag).await?;
            tended.looked_after += i64::try_from(due.len()).unwrap_or(i64::MAX);
            looked.extend(due);
        }
        for statement in PURGE {
            while Instant::now() < deadline {
                let purged = self.connections.run(PATIENCE, |session| async move {
                    session.client().execute_typed(statement, &[]).await
                });
                let purged = purged.await?;
                tended.purged += purged;
                if purged == 0 {
                    break;
                }
            }
        }
        Ok(tended)
    }

    /// Walks both sides. `false` when time ran out.
    async fn compare(
        &self,
        objects: &Objects,
        run: &mut Run,
        stop: Instant,
    ) -> Result<bool, IndexError> {
        let mut walk = Walk::from(run.position.clone(), run.is_thorough);
        let mut suspicions: HashMap<String, Suspicion> = HashMap::new();
        let mut since_noted = 0;
        loop {
            walk.fill(objects, &self.connections).await?;
            while suspicions.len() < BATCH
                && let Some((place, suspicion)) = walk.next(&mut run.counts)
            {
                since_noted += 1;
                if let Some(suspicion) = suspicion {
                    suspicions.insert(place.clone(), suspicion);
                }
                run.position = Some(place);
            }
            let is_over = walk.is_over();
            let is_late = Instant::now() >= stop;
            if is_over || is_late || suspicions.len() >= BATCH || since_noted >= STRIDE {
                self.follow_up(objects, run, std::mem::take(&mut suspicions))
                    .await?;
                run.note(&self.connections).await?;
                since_noted = 0;
            }
            if is_over || is_late {
                return Ok(is_over);
            }
        }
    }

    async fn follow_up(
        &self,
        objects: &Objects,
        run: &mut Run,
        suspicions: HashMap<String, Suspicion>,
    ) -> Result<(), IndexError> {
        let places: Vec<String> = suspicions.keys().cloned().collect();
        if places.is_empty() {
            return Ok(());
        }
        if run.counts_only {
            for place in self.differing(objects, &places).await? {
                if let Some(suspicion) = suspicions.get(&place) {
                    run.counts.count(*suspicion);
                }
            }
            return Ok(());
        }
        for suspicion in suspicions.values() {
            run.counts.count(*suspicion);
        }
        let look = if run.is_thorough {
            Look::Everything
        } else {
            Look::Claim
        };
        let healed = self.look(objects, &places, look).await?;
        run.counts.written += healed.written;
        run.counts.claimed += healed.claimed;
        run.counts.failed += healed.failed;
        Ok(())
    }
}

impl Counts {
    fn count(&mut self, suspicion: Suspicion) {
        match suspicion {
            Suspicion::Missing => self.missing += 1,
            Suspicion::Different => self.different += 1,
            Suspicion::Surplus => self.surplus += 1,
            Suspicion::Unsure => {}
        }
    }
}

fn report(order: &Order, rebuilt: &Rebuilt) {
    let Counts {
        listed,
        known,
        missing,
        different,
        surplus,
        written,
        claimed,
        failed,
    } = rebuilt.counts;
    tracing::info!(
        state = ?rebuilt.state,
        dry_run = order.dry_run,
        thorough = order.thorough,
        listed,
        known,
        missing,
        different,
        surplus,
        written,
        claimed,
        failed,
        "compared the index with the store"
    );
}
