//! Asking S3 what is there, where neither events nor a listing tell.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use shared::s3::{self, S3};
use shared::telemetry::chain;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::change::Content;
use crate::documents::State;
use crate::filter::Filter;

/// How many objects S3 is asked about at a time. Its answers take some 15 ms, so a batch of 1,000 takes a quarter of
/// a second.
const CONCURRENT: usize = 64;

/// What S3 said of some objects.
#[derive(Debug)]
pub(crate) struct Answers<T> {
    /// What is there now, or that nothing is.
    pub(crate) known: Vec<(State, T)>,
    /// S3 could not answer now: it may later.
    pub(crate) unanswered: Vec<T>,
    /// There was no time to ask.
    pub(crate) unasked: Vec<T>,
    /// S3 will not answer before somebody changes something, and what it said.
    pub(crate) denied: Vec<(T, String)>,
}

/// Fills in the content of states, each with something that belongs to it. Past `deadline` nothing more is asked, so
/// that what is known can still be applied.
pub(crate) async fn ask<T>(
    s3: &S3,
    filter: &Filter,
    questions: Vec<(State, T)>,
    deadline: Instant,
) -> Answers<T> {
    let mut found = Answers {
        known: Vec::with_capacity(questions.len()),
        unanswered: Vec::new(),
        unasked: Vec::new(),
        denied: Vec::new(),
    };
    if questions.is_empty() {
        return found;
    }
    let mut first_error = None;
    let mut answers = stream::iter(questions)
        .map(|(state, of)| async move {
            // A request is not even begun when time is over: that alone would take some.
            let is_late = Instant::now() >= deadline;
            let answer = if is_late {
                None
            } else {
                let bucket = s3.bucket(state.location.bucket());
                let head = bucket.head(state.location.key());
                tokio::time::timeout_at(deadline, head).await.ok()
            };
            (state, of, answer)
        })
        .buffer_unordered(CONCURRENT);
    while let Some((mut state, of, answer)) = answers.next().await {
        match answer {
            Some(Ok(head)) => {
                let is_document = filter.admits(&state.location, head.size);
                if is_document {
                    let modified = head
                        .last_modified
                        .map(|at| OffsetDateTime::from_unix_timestamp(at.secs()));
                    state.time = modified.and_then(Result::ok).unwrap_or(state.time);
                    state.content = Some(Content::new(head.etag, head.size, head.version_id));
                }
                found.known.push((state, of));
            }
            Some(Err(s3::Error::NotFound)) => found.known.push((state, of)),
            Some(Err(error)) if error.is_lasting() => {
                let reason = chain(&error).to_string();
                tracing::warn!(error = reason, "S3 does not tell an object's state");
                found.denied.push((of, reason));
            }
            Some(Err(error)) => {
                found.unanswered.push(of);
                first_error.get_or_insert(error);
            }
            None => found.unasked.push(of),
        }
    }
    let missing = found.unanswered.len() + found.unasked.len();
    if missing > 0 {
        tracing::warn!(
            objects = missing,
            first_error = first_error.as_ref().map(|error| chain(error).to_string()),
            "S3 could not be asked for the state of some objects"
        );
    }
    found
}

/// The part of the remaining time that may be spent on asking S3; the rest belongs to the database.
pub(crate) fn question_deadline(now: Instant, deadline: Instant) -> Instant {
    now + deadline
        .saturating_duration_since(now)
        .max(Duration::from_millis(1))
        / 2
}
