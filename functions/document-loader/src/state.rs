//! What becomes of a document after a try.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::queue::{Claim, Content, Outcome};
use crate::reason::{BLOCK, Fate, PARK, Problem, RETRY, Reason};

/// The state of a document in the queue: the column `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// To be loaded.
    Pending,
    /// Its text is there.
    Loaded,
    /// To be tried again.
    Retry,
    /// To be tried when somebody has changed something.
    Parked,
    /// Never to be tried again as it is.
    Failed,
    /// The same, but somebody else might read its pictures.
    NeedsOcr,
}

impl State {
    /// As the table has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Loaded => "loaded",
            Self::Retry => "retry",
            Self::Parked => "parked",
            Self::Failed => "failed",
            Self::NeedsOcr => "needs_ocr",
        }
    }
}

/// What is written of a document after a try.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Next<'a> {
    pub(crate) state: State,
    /// Seconds until it is due; `None`: never.
    pub(crate) pause: Option<f64>,
    pub(crate) attempts: i32,
    pub(crate) parked_attempts: i32,
    pub(crate) problem: Option<&'a Problem>,
    /// What its chunks are of from now on.
    pub(crate) content: Option<&'a Content>,
    /// How many chunks there are from now on, if that changes.
    pub(crate) chunks: Option<i32>,
    /// It had no try, so what was said of the last one still holds.
    pub(crate) is_released: bool,
    /// Seconds for which its whole source is not tried.
    pub(crate) block: Option<f64>,
}

impl<'a> Next<'a> {
    /// What follows from an outcome.
    pub(crate) fn of(claim: &Claim, outcome: &'a Outcome) -> Self {
        let same = Self {
            attempts: claim.attempts,
            parked_attempts: claim.parked_attempts,
            ..Self::again()
        };
        let loaded = |content, chunks| Self {
            state: State::Loaded,
            pause: None,
            content: Some(content),
            chunks,
            ..same
        };
        match outcome {
            Outcome::Loaded(content, chunks) => loaded(
                content,
                Some(i32::try_from(chunks.len()).unwrap_or(i32::MAX)),
            ),
            Outcome::Unchanged(content) => loaded(content, None),
            // It keeps its place among those that are due.
            Outcome::Released => Self {
                pause: Some(-claim.overdue),
                is_released: true,
                attempts: claim.attempts - 1,
                ..same
            },
            Outcome::Failed(problem) => Self {
                problem: Some(problem),
                ..same
            }
            .failed(claim, problem.reason),
        }
    }

    /// To be loaded at once and from the beginning, because it has changed.
    pub(crate) fn again() -> Self {
        Self {
            state: State::Pending,
            pause: Some(0.0),
            attempts: 0,
            parked_attempts: 0,
            problem: None,
            content: None,
            chunks: None,
            is_released: false,
            block: None,
        }
    }

    fn failed(self, claim: &Claim, reason: Reason) -> Self {
        let never = |state| Self {
            state,
            pause: None,
            ..self
        };
        match reason.fate() {
            Fate::Fail => never(State::Failed),
            Fate::NeedsOcr => never(State::NeedsOcr),
            Fate::Retry => {
                let tries = claim.attempts - claim.parked_attempts;
                if tries > claim.source.retries {
                    return never(State::Failed);
                }
                let longest = RETRY.longest_after(u32::try_from(tries).unwrap_or(1));
                Self {
                    state: State::Retry,
                    pause: Some(1.0 + longest.as_secs_f64() * random()),
                    ..self
                }
            }
            Fate::Park => {
                let parked_attempts = claim.parked_attempts + 1;
                let longest = PARK.longest_after(u32::try_from(parked_attempts).unwrap_or(1));
                Self {
                    state: State::Parked,
                    pause: Some(half_of(longest)),
                    parked_attempts,
                    ..self
                }
            }
            Fate::Block => {
                let failures = u32::try_from(claim.source.failures + 1).unwrap_or(1);
                let longest = match reason {
                    // It may be STS itself, and then somebody else is going to repair it.
                    Reason::RoleUnavailable => BLOCK.longest_after(failures.min(3)),
                    _ => BLOCK.longest_after(failures),
                };
                Self {
                    attempts: claim.attempts - 1,
                    block: Some(half_of(longest)),
                    ..self
                }
            }
        }
    }

    /// Why it is not loaded.
    pub(crate) fn reason(&self) -> Option<Reason> {
        self.problem.map(|problem| problem.reason)
    }

    pub(crate) fn message(&self) -> Option<&'a str> {
        self.problem.map(|problem| problem.message.as_str())
    }
}

/// Between half of it and all of it, in seconds.
fn half_of(longest: Duration) -> f64 {
    longest.as_secs_f64() * (0.5 + random() / 2.0)
}

/// Between 0 and 1. The standard library draws the keys of its hash maps at random, which is enough to keep documents
/// that failed together from coming back together.
fn random() -> f64 {
    let random = RandomState::new().hash_one(0_u8) >> 32;
    f64::from(u32::try_from(random).unwrap_or_default()) / f64::from(u32::MAX)
}
