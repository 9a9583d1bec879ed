//! One invocation.

use std::collections::BTreeSet;

use aws_lambda_events::sqs::SqsBatchResponse;
use serde::Serialize;
use shared::s3::S3;
use shared::telemetry::{self, Metric, chain};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::batch::{Batch, question_deadline};
use crate::documents::{self, Applied, Documents};
use crate::envelope::{Delivery, Event, Junk, Payload};

/// What the invocation returns to Lambda.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To a queue: the messages to deliver again.
    Queue(SqsBatchResponse),
    /// To anyone else: what was done.
    Direct(Report),
}

/// What became of the events of one invocation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Documents written or removed.
    pub changed: usize,
    /// Later events that left their object as it was.
    pub confirmed: usize,
    /// Late or repeated events.
    pub stale: usize,
    /// Events that say nothing about content or presence.
    pub ignored: usize,
    /// Messages that were not applied, or not wholly.
    pub failed: usize,
}

/// An invocation without a queue behind it was not applied, or not wholly: Lambda has to deliver it again.
#[derive(Debug, thiserror::Error)]
#[error("the event was not applied: {reason}")]
pub struct NotApplied {
    reason: String,
}

/// Applies every event in `payload` to the documents table, and says which messages have to come again.
///
/// What can be applied is, in one transaction, whatever else the batch holds. `deadline` is when the answer must be
/// there; what is not done by then counts as not applied.
///
/// # Errors
///
/// [`NotApplied`] for a payload that did not come from a queue; a queue's messages are named in the answer instead.
pub async fn handle(
    s3: &S3,
    documents: &Documents,
    payload: Payload,
    deadline: Instant,
) -> Result<Answer, NotApplied> {
    let started = Instant::now();
    let Delivery {
        from_queue,
        messages,
    } = payload.open(OffsetDateTime::now_utc());
    let mut report = Report::default();
    let mut failures = Failures::default();
    let mut batch = Batch::default();
    let ids: Vec<Option<String>> = messages
        .into_iter()
        .enumerate()
        .map(|(position, message)| {
            collect(
                position,
                message.events,
                message.id.as_deref(),
                &mut batch,
                &mut report,
                &mut failures,
            );
            message.id
        })
        .collect();

    let changes = batch.changes();
    let applied = tokio::time::timeout_at(
        deadline,
        apply(s3, documents, batch, deadline, &mut failures),
    )
    .await;
    match applied {
        Ok(Ok(applied)) => {
            report.changed = applied.changed;
            report.confirmed = applied.confirmed;
            report.stale = applied.stale;
        }
        Ok(Err(error)) => {
            tracing::error!(
                error = %chain(&error),
                "no event was applied"
            );
            failures.all(ids.len(), error.to_string());
        }
        Err(_elapsed) => {
            tracing::error!("no event was applied: time ran out");
            failures.all(ids.len(), "time ran out".to_owned());
        }
    }
    report.failed = failures.positions.len();
    publish(&report, changes, ids.len(), started);
    failures.answer(from_queue, ids, report)
}

/// Sorts one message's events into what is to be applied, what is ignored, and what failed.
fn collect(
    position: usize,
    events: Result<Vec<Event>, Junk>,
    id: Option<&str>,
    batch: &mut Batch,
    report: &mut Report,
    failures: &mut Failures,
) {
    match events {
        Ok(events) => {
            for event in events {
                match event {
                    Event::Change(change) => batch.add(change, position),
                    Event::Ignored(name) => {
                        tracing::debug!(
                            event = name,
                            "ignored an event that does not change an object"
                        );
                        report.ignored += 1;
                    }
                }
            }
        }
        Err(junk) => {
            tracing::warn!(message_id = id, reason = %junk, "a message cannot be understood: {junk}");
            failures.add([position], || junk.to_string());
        }
    }
}

async fn apply(
    s3: &S3,
    documents: &Documents,
    batch: Batch,
    deadline: Instant,
    failures: &mut Failures,
) -> Result<Applied, documents::Error> {
    let resolved = batch
        .resolve(s3, documents, question_deadline(Instant::now(), deadline))
        .await?;
    failures.add(resolved.unanswered.iter().copied(), || {
        "S3 could not be asked for an object's state".to_owned()
    });
    let mut applied = documents.apply(&resolved.states).await?;
    applied.stale += resolved.stale;
    for state in &applied.refused {
        let messages = resolved.messages.get(*state).into_iter().flatten().copied();
        failures.add(messages, || "the database refused a document".to_owned());
    }
    Ok(applied)
}

/// The messages to deliver again, by position, and why the first of them failed.
#[derive(Debug, Default)]
struct Failures {
    positions: BTreeSet<usize>,
    reason: Option<String>,
}

impl Failures {
    fn add(&mut self, positions: impl IntoIterator<Item = usize>, reason: impl FnOnce() -> String) {
        let before = self.positions.len();
        self.positions.extend(positions);
        if self.positions.len() > before {
            self.reason.get_or_insert_with(reason);
        }
    }

    fn all(&mut self, messages: usize, reason: String) {
        self.positions = (0..messages).collect();
        self.reason = Some(reason);
    }

    fn answer(
        self,
        from_queue: bool,
        ids: Vec<Option<String>>,
        report: Report,
    ) -> Result<Answer, NotApplied> {
        let Some(reason) = self.reason else {
            return Ok(if from_queue {
                Answer::Queue(SqsBatchResponse::default())
            } else {
                Answer::Direct(report)
            });
        };
        let failed: Option<Vec<String>> = ids
            .into_iter()
            .enumerate()
            .filter(|(position, _)| self.positions.contains(position))
            .map(|(_, id)| id.filter(|id| from_queue && !id.is_empty()))
            .collect();
        // A failure that cannot be named must not pass for a success: then all of it has to come again.
        let mut response = SqsBatchResponse::default();
        response.set_failures(failed.ok_or(NotApplied { reason })?);
        Ok(Answer::Queue(response))
    }
}

fn publish(report: &Report, changes: usize, messages: usize, started: Instant) {
    let duration = started.elapsed();
    telemetry::publish(&[
        Metric::count("DocumentsChanged", report.changed),
        Metric::count("ChangesConfirmed", report.confirmed),
        Metric::count("ChangesStale", report.stale),
        Metric::count("EventsIgnored", report.ignored),
        Metric::count("MessagesFailed", report.failed),
        Metric::milliseconds("BatchDuration", duration),
    ]);
    tracing::info!(
        messages,
        changes,
        changed = report.changed,
        confirmed = report.confirmed,
        stale = report.stale,
        ignored = report.ignored,
        failed = report.failed,
        duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        "{} of {changes} changes applied",
        report.changed + report.confirmed,
    );
}
