//! Another try for messages in quarantine.

use std::mem::take;

use serde::Serialize;
use shared::telemetry::{self, Metric};
use tokio::time::Instant;

use crate::batch::Batch;
use crate::command::Replay;
use crate::delivery::{NotApplied, Outcome, fill};
use crate::documents;
use crate::envelope::Content;
use crate::handle::DocumentSync;
use crate::quarantine::{self, Kept};

/// What became of messages in quarantine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Applied, and no longer in quarantine.
    pub applied: usize,
    /// Still in quarantine with the reason why.
    pub failed: usize,
    /// Whether there was time for all of them.
    pub finished: bool,
}

impl DocumentSync {
    /// Applies messages in quarantine as if they had just come, some at a time, and removes those that succeeded.
    ///
    /// They may be older than what the ledger remembers, so S3 is asked about every object that the ledger does not
    /// know: a document that was deleted since does not come back.
    pub(crate) async fn replay(
        &self,
        replay: &Replay,
        deadline: Instant,
    ) -> Result<Replayed, documents::Error> {
        let mut replayed = Replayed::default();
        let mut after = 0;
        loop {
            let kept = self
                .documents
                .run(move |session| async move {
                    quarantine::next(session.client(), replay, after).await
                })
                .await?;
            let Some(last) = kept.last() else {
                replayed.finished = true;
                break;
            };
            after = last.id;
            let mut contents: Vec<Content> = kept
                .iter()
                .map(|message| Content::read(&message.body, message.received_at))
                .collect();
            let mut batch = Batch::of_old_changes();
            let events = contents.iter_mut().map(|content| take(&mut content.events));
            fill(&mut batch, &self.filter, events);
            let outcome = match self.apply(batch, &[], deadline).await {
                Ok(outcome) => outcome,
                Err(NotApplied::Database(error)) => return Err(error),
                Err(NotApplied::TimeOut) => break,
            };
            let (applied, failed) = settled(&kept, &contents, &outcome);
            replayed.applied += applied.len();
            replayed.failed += kept.len() - applied.len();
            // Killed before this, the messages are replayed once more, which does no harm.
            let (applied, failed) = (&applied, &failed);
            self.documents
                .run(move |session| async move {
                    quarantine::settle(session.client(), applied, failed).await
                })
                .await?;
        }
        telemetry::publish(&[Metric::count("MessagesReplayed", replayed.applied)]);
        tracing::info!(
            applied = replayed.applied,
            failed = replayed.failed,
            finished = replayed.finished,
            "replayed the quarantine"
        );
        Ok(replayed)
    }
}

/// The messages that have been applied, and those that fail still, with the reason. One that S3 could not be asked
/// about is neither: it waits as it is for the next replay.
fn settled(
    kept: &[Kept],
    contents: &[Content],
    outcome: &Outcome,
) -> (Vec<i64>, Vec<(i64, String)>) {
    let (mut applied, mut failed) = (Vec::new(), Vec::new());
    for (position, (message, content)) in kept.iter().zip(contents).enumerate() {
        let junk = content.junk.as_ref().map(ToString::to_string);
        match junk.or_else(|| outcome.never.get(&position).cloned()) {
            Some(reason) => failed.push((message.id, reason)),
            None if outcome.again.contains(&position) => {}
            None => applied.push(message.id),
        }
    }
    (applied, failed)
}
