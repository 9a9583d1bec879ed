//! One batch: at most one state per object, with S3 asked where the events leave it open.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use shared::s3::{self, S3};
use shared::telemetry::chain;
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use crate::change::{Change, Content, Kind};
use crate::documents::{self, Documents, State};
use crate::sequencer::Sequencer;

/// How many objects S3 is asked about at a time. Its answers take some 15 ms, so a batch of 1,000 takes half a second.
const CONCURRENT_QUESTIONS: usize = 32;

/// The newest change of one object in a batch, and the messages that hold changes of it.
#[derive(Debug)]
struct Group {
    change: Change,
    /// A change without a place in the order: nothing in the batch is known to be the newest.
    unordered: bool,
    /// Positions in the batch.
    messages: Vec<usize>,
}

/// What is to be applied, and what is not known yet.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    /// One per object.
    pub(crate) states: Vec<State>,
    /// For each state, the messages it comes from.
    pub(crate) messages: Vec<Vec<usize>>,
    /// Late or repeated changes, found to be so before asking S3.
    pub(crate) stale: usize,
    /// Messages about objects of which S3 could not tell.
    pub(crate) unanswered: Vec<usize>,
}

/// The changes of a batch by object.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// By the objects' digests.
    groups: BTreeMap<Uuid, Group>,
    changes: usize,
}

impl Batch {
    /// Adds a change from the message at this position.
    pub(crate) fn add(&mut self, change: Change, message: usize) {
        self.changes += 1;
        let unordered = change.sequencer.is_none();
        match self.groups.entry(change.location.digest()) {
            Entry::Vacant(entry) => {
                entry.insert(Group {
                    change,
                    unordered,
                    messages: vec![message],
                });
            }
            Entry::Occupied(entry) => {
                let group = entry.into_mut();
                group.unordered |= unordered;
                group.messages.push(message);
                if change.sequencer > group.change.sequencer {
                    group.change = change;
                }
            }
        }
    }

    /// How many changes were added, several of one object included.
    pub(crate) fn changes(&self) -> usize {
        self.changes
    }

    /// One state for each object, except where it is stale or S3 could not be asked until `deadline`.
    pub(crate) async fn resolve(
        self,
        s3: &S3,
        documents: &Documents,
        deadline: Instant,
    ) -> Result<Resolved, documents::Error> {
        let doubtful: Vec<Uuid> = self
            .groups
            .iter()
            .filter(|(_, group)| group.is_doubtful())
            .map(|(object, _)| *object)
            .collect();
        let known = if doubtful.is_empty() {
            HashMap::new()
        } else {
            documents.sequencers(&doubtful).await?
        };

        // What is superseded within the batch is as late as what comes after the batch.
        let mut resolved = Resolved {
            stale: self.changes - self.groups.len(),
            ..Resolved::default()
        };
        let mut questions = Vec::new();
        for (object, group) in self.groups {
            match judge(group.change, group.unordered, known.get(&object).copied()) {
                Verdict::Stale => resolved.stale += 1,
                Verdict::Is(state) => resolved.add(state, group.messages),
                Verdict::Ask(state) => questions.push((state, group.messages)),
            }
        }
        if !questions.is_empty() {
            ask(s3, questions, deadline, &mut resolved).await;
        }
        Ok(resolved)
    }
}

impl Group {
    /// Whether the ledger is needed to judge it.
    fn is_doubtful(&self) -> bool {
        self.unordered || matches!(self.change.kind, Kind::Unknown | Kind::Expired)
    }
}

impl Resolved {
    fn add(&mut self, state: State, messages: Vec<usize>) {
        self.states.push(state);
        self.messages.push(messages);
    }
}

enum Verdict {
    Stale,
    Is(State),
    /// S3 has to tell what is there; the rest of the state is right.
    Ask(State),
}

/// Decides with the sequencer that the ledger has for the object.
///
/// S3's answer is at least as new as every event delivered, so entering it under the event's own sequencer never
/// hides a later event, and entering it just after what is known is right for an event without one.
fn judge(change: Change, unordered: bool, known: Option<Sequencer>) -> Verdict {
    let known = known.unwrap_or(Sequencer::ZERO);
    let newest = change.sequencer.unwrap_or(Sequencer::ZERO);
    let (location, time) = (change.location, change.time);
    let state = |sequencer, content| State {
        location,
        sequencer,
        time,
        content,
    };
    if unordered {
        return Verdict::Ask(state(newest.max(known.successor()), None));
    }
    match change.kind {
        Kind::Put(content) => Verdict::Is(state(newest, Some(content))),
        Kind::Removed => Verdict::Is(state(newest, None)),
        Kind::Expired | Kind::Unknown if newest == known => Verdict::Stale,
        Kind::Expired if newest > known => Verdict::Is(state(newest, None)),
        Kind::Expired => Verdict::Ask(state(known.successor(), None)),
        Kind::Unknown if newest > known => Verdict::Ask(state(newest, None)),
        Kind::Unknown => Verdict::Stale,
    }
}

/// A state whose content only S3 knows, and the messages that wait for it.
type Question = (State, Vec<usize>);

async fn ask(s3: &S3, questions: Vec<Question>, deadline: Instant, resolved: &mut Resolved) {
    let mut first_error = None;
    let mut answers = stream::iter(questions)
        .map(|(state, messages)| async move {
            let bucket = s3.bucket(state.location.bucket());
            // Past the deadline nothing more is asked, so that what is known can still be applied.
            let answer = tokio::time::timeout_at(deadline, bucket.head(state.location.key())).await;
            (state, messages, answer)
        })
        .buffer_unordered(CONCURRENT_QUESTIONS);
    while let Some((mut state, messages, answer)) = answers.next().await {
        match answer {
            Ok(Ok(head)) => {
                if !state.location.is_folder_marker(head.size) {
                    let modified = head
                        .last_modified
                        .map(|at| OffsetDateTime::from_unix_timestamp(at.secs()));
                    state.time = modified.and_then(Result::ok).unwrap_or(state.time);
                    state.content = Some(Content::new(head.etag, head.size, head.version_id));
                }
                resolved.add(state, messages);
            }
            Ok(Err(s3::Error::NotFound)) => resolved.add(state, messages),
            Ok(Err(error)) => {
                resolved.unanswered.extend(messages);
                first_error.get_or_insert(error);
            }
            Err(_elapsed) => resolved.unanswered.extend(messages),
        }
    }
    if !resolved.unanswered.is_empty() {
        tracing::warn!(
            messages = resolved.unanswered.len(),
            first_error = first_error.as_ref().map(|error| chain(error).to_string()),
            "S3 could not be asked for the state of some objects; their messages will come again"
        );
    }
}

/// The part of the remaining time that may be spent on asking S3; the rest belongs to the database.
pub(crate) fn question_deadline(now: Instant, deadline: Instant) -> Instant {
    now + deadline
        .saturating_duration_since(now)
        .max(Duration::from_millis(1))
        / 2
}
