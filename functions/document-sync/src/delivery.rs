//! Events, from a queue or without one: applied, kept in quarantine, or reported for another delivery.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem::take;
use std::time::Duration;

use aws_lambda_events::sqs::SqsBatchResponse;
use serde::Serialize;
use shared::telemetry::{self, Metric, chain};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::batch::{Batch, Sourced};
use crate::change::Kind;
use crate::documents::{self, State};
use crate::envelope::{Delivery, Event, Message};
use crate::filter::Filter;
use crate::handle::{Answer, DocumentSync, Failure};
use crate::quarantine::Quarantined;
use crate::question::{ask, question_deadline};

/// What became of the events of one invocation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Documents written or removed.
    pub changed: usize,
    /// Later events that left their object as it was.
    pub confirmed: usize,
    /// Late events.
    pub stale: usize,
    /// Events that came again.
    pub duplicate: usize,
    /// Events that say nothing about the content or presence of a document.
    pub ignored: usize,
    /// Messages kept in quarantine, because they can never succeed as they are.
    pub quarantined: usize,
    /// Messages that were not applied, or not wholly, and have to come again.
    pub failed: usize,
}

/// What became of a batch. Positions are those of its messages.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) report: Report,
    /// Between the oldest of the changes that needed no question and now.
    pub(crate) lag: Option<Duration>,
    /// Messages to try again later, as they are.
    pub(crate) again: BTreeSet<usize>,
    /// Messages that fail until somebody changes something, and why.
    pub(crate) never: BTreeMap<usize, String>,
}

/// Why nothing of a batch is known to have been applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotApplied {
    #[error(transparent)]
    Database(#[from] documents::Error),
    #[error("time ran out")]
    TimeOut,
}

impl DocumentSync {
    /// Applies the events of a delivery, and says which of its messages have to come again.
    pub(crate) async fn deliver(
        &self,
        mut delivery: Delivery<'_>,
        request_id: &str,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let started = Instant::now();
        let mut batch = Batch::default();
        let events = delivery
            .messages
            .iter_mut()
            .map(|message| take(&mut message.content.events));
        let ignored = fill(&mut batch, &self.filter, events);
        let messages = &delivery.messages;
        let changes = batch.changes();
        let junk: Vec<Quarantined<'_>> = messages
            .iter()
            .filter_map(|message| {
                let junk = message.content.junk.as_ref()?;
                Some(quarantined(message, request_id, junk.to_string()))
            })
            .collect();

        let mut reason = None;
        let mut outcome = match self.apply(batch, &junk, deadline).await {
            Ok(mut outcome) => {
                outcome.report.quarantined = junk.len();
                self.set_aside(&mut outcome, messages, request_id, deadline)
                    .await;
                outcome
            }
            Err(error) => {
                tracing::error!(error = %chain(&error), "no event was applied");
                reason = Some(error.to_string());
                Outcome {
                    again: (0..messages.len()).collect(),
                    ..Outcome::default()
                }
            }
        };
        if outcome.report.changed > 0 {
            self.tell_loader(deadline).await;
        }
        outcome.report.ignored = ignored;
        outcome.report.failed = outcome.again.len();
        publish(&outcome, changes, messages.len(), started);
        let reason = reason.unwrap_or_else(|| "S3 could not be asked for an object's state".into());
        answer(outcome, &delivery, reason)
    }

    /// Applies a batch and keeps `junk`, in one transaction.
    pub(crate) async fn apply(
        &self,
        batch: Batch,
        junk: &[Quarantined<'_>],
        deadline: Instant,
    ) -> Result<Outcome, NotApplied> {
        match tokio::time::timeout_at(deadline, self.resolve_and_apply(batch, junk, deadline)).await
        {
            Ok(outcome) => Ok(outcome?),
            Err(_elapsed) => Err(NotApplied::TimeOut),
        }
    }

    async fn resolve_and_apply(
        &self,
        batch: Batch,
        junk: &[Quarantined<'_>],
        deadline: Instant,
    ) -> Result<Outcome, documents::Error> {
        let doubtful = batch.doubtful();
        let known = if doubtful.is_empty() {
            HashMap::new()
        } else {
            self.documents.sequencers(&doubtful).await?
        };
        let judged = batch.judge(&known);
        let now = OffsetDateTime::now_utc();
        let oldest = judged.certain.iter().map(|(state, _)| state.time).min();
        let mut outcome = Outcome::default();

        let question_deadline = question_deadline(Instant::now(), deadline);
        let answers = ask(&self.s3, &self.filter, judged.questions, question_deadline).await;
        let unknown = answers.unanswered.into_iter().chain(answers.unasked);
        outcome.again.extend(unknown.flatten());
        for (messages, reason) in answers.denied {
            outcome.refuse(messages, &reason);
        }
        let resolved: Vec<Sourced> = judged.certain.into_iter().chain(answers.known).collect();
        let (states, sources): (Vec<State>, Vec<Vec<usize>>) = resolved.into_iter().unzip();
        let applied = self.documents.apply(&states, junk).await?;
        for refused in applied.refused {
            let messages = sources.get(refused.state).into_iter().flatten().copied();
            let reason = format!("the database refused a document: {}", refused.reason);
            outcome.refuse(messages, &reason);
        }
        // A batch of nothing but repetitions says nothing of how late the table is.
        outcome.lag = oldest
            .filter(|_| applied.changed + applied.confirmed > 0)
            .and_then(|oldest| (now - oldest).try_into().ok());
        outcome.report = Report {
            changed: applied.changed,
            confirmed: applied.confirmed,
            stale: applied.stale + judged.stale,
            duplicate: applied.duplicate + judged.duplicate,
            ..Report::default()
        };
        Ok(outcome)
    }

    /// Keeps in quarantine what turned out to be hopeless. What cannot be kept now comes again.
    async fn set_aside(
        &self,
        outcome: &mut Outcome,
        messages: &[Message<'_>],
        request_id: &str,
        deadline: Instant,
    ) {
        let hopeless: Vec<Quarantined<'_>> = outcome
            .never
            .iter()
            .filter_map(|(position, reason)| {
                let message = messages.get(*position)?;
                Some(quarantined(message, request_id, reason.clone()))
            })
            .collect();
        if hopeless.is_empty() {
            return;
        }
        match tokio::time::timeout_at(deadline, self.documents.apply(&[], &hopeless)).await {
            Ok(Ok(_)) => outcome.report.quarantined += hopeless.len(),
            Ok(Err(error)) => {
                tracing::error!(error = %chain(&error), "messages could not be put into quarantine");
                outcome.again.extend(outcome.never.keys());
            }
            Err(_elapsed) => outcome.again.extend(outcome.never.keys()),
        }
    }
}

impl Outcome {
    fn refuse(&mut self, messages: impl IntoIterator<Item = usize>, reason: &str) {
        for message in messages {
            self.never
                .entry(message)
                .or_insert_with(|| reason.to_owned());
        }
    }
}

/// Moves the changes of messages into a batch, as the filter sees them. Gives how many events are none.
pub(crate) fn fill(
    batch: &mut Batch,
    filter: &Filter,
    events: impl Iterator<Item = Vec<Event>>,
) -> usize {
    let mut ignored = 0;
    for (position, message) in events.enumerate() {
        for event in message {
            match event {
                Event::Change(mut change) if filter.admits_key(change.location.key()) => {
                    // An object that has outgrown the filter is no document any more.
                    if let Kind::Put(content) = &change.kind
                        && !filter.admits(&change.location, content.size)
                    {
                        change.kind = Kind::Removed;
                    }
                    batch.add(change, position);
                }
                Event::Change(_) => ignored += 1,
                Event::Ignored(name) => {
                    tracing::debug!(
                        event = name,
                        "ignored an event that does not change an object"
                    );
                    ignored += 1;
                }
            }
        }
    }
    ignored
}

/// A message for the quarantine. What came without a queue has the id of the request, which stays the same when Lambda
/// delivers it again.
fn quarantined<'a>(
    message: &'a Message<'_>,
    request_id: &'a str,
    reason: String,
) -> Quarantined<'a> {
    let message_id = message.id.as_deref().unwrap_or(request_id);
    tracing::warn!(
        message_id,
        reason,
        "a message goes into quarantine: {reason}"
    );
    Quarantined {
        message_id: (!message_id.is_empty()).then_some(message_id),
        reason,
        body: &message.body,
    }
}

fn answer(outcome: Outcome, delivery: &Delivery<'_>, reason: String) -> Result<Answer, Failure> {
    if outcome.again.is_empty() {
        return Ok(if delivery.from_queue {
            Answer::Queue(SqsBatchResponse::default())
        } else {
            Answer::Direct(outcome.report)
        });
    }
    let failed: Option<Vec<String>> = outcome
        .again
        .iter()
        .map(|position| {
            let id = delivery.messages.get(*position)?.id.as_deref()?;
            (!id.is_empty()).then(|| id.to_owned())
        })
        .collect();
    // A failure that cannot be named must not pass for a success: then all of it has to come again.
    let failed = failed
        .filter(|_| delivery.from_queue)
        .ok_or(Failure::NotApplied(reason))?;
    let mut response = SqsBatchResponse::default();
    response.set_failures(failed);
    Ok(Answer::Queue(response))
}

fn publish(outcome: &Outcome, changes: usize, messages: usize, started: Instant) {
    let duration = started.elapsed();
    let report = &outcome.report;
    let mut metrics = vec![
        Metric::count("DocumentsChanged", report.changed),
        Metric::count("ChangesConfirmed", report.confirmed),
        Metric::count("ChangesStale", report.stale),
        Metric::count("ChangesDuplicate", report.duplicate),
        Metric::count("EventsIgnored", report.ignored),
        Metric::count("MessagesQuarantined", report.quarantined),
        Metric::count("MessagesFailed", report.failed),
        Metric::milliseconds("BatchDuration", duration),
    ];
    if let Some(lag) = outcome.lag {
        metrics.push(Metric::milliseconds("Lag", lag));
    }
    telemetry::publish(&metrics);
    tracing::info!(
        messages,
        changes,
        changed = report.changed,
        confirmed = report.confirmed,
        stale = report.stale,
        duplicate = report.duplicate,
        ignored = report.ignored,
        quarantined = report.quarantined,
        failed = report.failed,
        duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        "{} of {changes} changes applied",
        report.changed + report.confirmed,
    );
}
