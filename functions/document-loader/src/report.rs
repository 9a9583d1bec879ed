//! What an invocation tells of its documents.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::queue::{Claim, Outcome};
use crate::reason::{Problem, Reason};
use crate::state::State;

/// What became of the documents of one invocation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether all that was due is done; if not, the next invocation goes on.
    pub finished: bool,
    /// Documents whose text is new.
    pub loaded: usize,
    /// Documents that are what they were.
    pub unchanged: usize,
    /// Documents to be tried again by and by.
    pub retried: usize,
    /// Documents that wait for somebody to change something.
    pub parked: usize,
    /// Documents that cannot be loaded.
    pub failed: usize,
    /// Documents that have pictures of text only.
    pub needs_ocr: usize,
    /// Documents that had no try, because time ran out or their source is blocked, or that changed meanwhile.
    pub returned: usize,
    /// Documents that are gone, with their text.
    pub gone: i64,
    /// How many documents were not loaded, by reason.
    pub reasons: BTreeMap<&'static str, usize>,
}

impl Report {
    /// Counts a document that is settled, and says in the log why it was not loaded.
    pub(crate) fn count(
        &mut self,
        claim: &Claim,
        outcome: &Outcome,
        state: State,
        reason: Option<Reason>,
    ) {
        match (state, outcome) {
            (State::Loaded, Outcome::Loaded(..)) => self.loaded += 1,
            (State::Loaded, _) => self.unchanged += 1,
            (State::Retry, _) => self.retried += 1,
            (State::Parked, _) => self.parked += 1,
            (State::Failed, _) => self.failed += 1,
            (State::NeedsOcr, _) => self.needs_ocr += 1,
            (State::Pending, _) => self.returned += 1,
        }
        if let Some(reason) = reason {
            *self.reasons.entry(reason.code()).or_default() += 1;
        }
        if let Outcome::Failed(Problem { reason, message }) = outcome {
            tracing::info!(
                uri = claim.uri,
                reason = reason.code(),
                state = state.name(),
                attempt = claim.attempts,
                "a document was not loaded: {message}"
            );
        }
    }
}
