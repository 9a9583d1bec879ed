//! Faults on purpose, switched at run time, for the tests of those who depend on a store. All are
//! off until switched on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use s3s::{S3Error, S3ErrorCode};

use crate::random;

/// Operations that are counted at most.
const MOST_COUNTS: usize = 200;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `503 SlowDown`.
    SlowDown,
    /// `403 AccessDenied`.
    AccessDenied,
    /// `500 InternalError`.
    InternalError,
    /// No answer for this long, then `503 SlowDown`: longer than the client's patience is a time-out.
    Hang(Duration),
    /// The answer is right, and so much later.
    Delay(Duration),
    /// This status and error code, with an empty body where the request is a HEAD.
    Refuse {
        /// From 300 to 599.
        status: u16,
        /// As the service names it, for example `RegionDisabledException`.
        code: &'static str,
    },
    /// `301 PermanentRedirect` to this region, as where the bucket is elsewhere.
    Redirect(&'static str),
    /// A GET answers in full but its body breaks off after this many bytes.
    CutBody(u64),
    /// A GET answers in full, but after so many bytes of its body nothing comes for a while.
    StallBody {
        /// Bytes before the pause.
        after: u64,
        /// Longer than the client's patience is a time-out.
        pause: Duration,
    },
    /// The byte of this place in the body of a GET is wrong; its checksum is that of the right one.
    CorruptBody(u64),
}

impl Fault {
    /// Whether an answer begins well.
    fn is_of_body(self) -> bool {
        matches!(
            self,
            Self::CutBody(_) | Self::StallBody { .. } | Self::CorruptBody(_)
        )
    }

    /// The fault in the words of S3.
    fn error(self) -> S3Error {
        let slow_down =
            || S3Error::with_message(S3ErrorCode::SlowDown, "Please reduce your request rate.");
        match self {
            Self::SlowDown | Self::Hang(_) => slow_down(),
            Self::AccessDenied => S3Error::with_message(S3ErrorCode::AccessDenied, "Access Denied"),
            Self::Refuse { status, code } => {
                let mut error = S3Error::with_message(
                    S3ErrorCode::from_bytes(code.as_bytes()).unwrap_or(S3ErrorCode::InternalError),
                    "Refused on purpose.",
                );
                let status = http::StatusCode::from_u16(status);
                error.set_status_code(status.unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR));
                error
            }
            Self::Redirect(region) => {
                let mut error = S3Error::with_message(
                    S3ErrorCode::PermanentRedirect,
                    "The bucket you are attempting to access must be addressed using the specified endpoint.",
                );
                let mut headers = http::HeaderMap::new();
                headers.insert(
                    "x-amz-bucket-region",
                    http::HeaderValue::from_static(region),
                );
                error.set_headers(headers);
                error
            }
            Self::InternalError
            | Self::Delay(_)
            | Self::CutBody(_)
            | Self::StallBody { .. }
            | Self::CorruptBody(_) => S3Error::with_message(
                S3ErrorCode::InternalError,
                "We encountered an internal error. Please try again.",
            ),
        }
    }
}

/// Which requests a fault hits. The default hits every one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Target {
    /// Only this operation, as the API names it (`PutObject`, `HeadObject`, `AssumeRole`, …).
    pub operation: Option<String>,
    /// Only this key.
    pub key: Option<String>,
    /// Only keys that begin so.
    pub prefix: Option<String>,
    /// Only so many requests, then the fault is gone.
    pub requests: Option<u64>,
    /// Only this share of them, from 0 to 1; `None` is all.
    pub share: Option<f64>,
}

/// What happens to events on their way into a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Events {
    lost: u64,
    repeats: u32,
    delay: Duration,
    shuffle: Duration,
}

/// The switchboard. Cheap to clone; clones switch the same store.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    latency: Duration,
    requests: Vec<(Fault, Target)>,
    /// How many requests came, by operation.
    counts: BTreeMap<String, u64>,
    events: Events,
}

impl Faults {
    /// Every request waits this long first.
    pub fn set_latency(&self, latency: Duration) {
        self.with(|state| state.latency = latency);
    }

    /// Adds a fault for the requests `target` names.
    pub fn inject(&self, fault: Fault, target: Target) {
        self.with(|state| state.requests.push((fault, target)));
    }

    /// The next `requests` requests fail.
    pub fn fail_next(&self, requests: u64, fault: Fault) {
        self.inject(
            fault,
            Target {
                requests: Some(requests),
                ..Target::default()
            },
        );
    }

    /// The next `events` events are lost.
    pub fn lose_events(&self, events: u64) {
        self.with(|state| state.events.lost = events);
    }

    /// Every event is delivered `times` times more.
    pub fn repeat_events(&self, times: u32) {
        self.with(|state| state.events.repeats = times);
    }

    /// Every event arrives so much later.
    pub fn delay_events(&self, delay: Duration) {
        self.with(|state| state.events.delay = delay);
    }

    /// Every event arrives at a random time within `window`, so that they overtake each other.
    pub fn shuffle_events(&self, window: Duration) {
        self.with(|state| state.events.shuffle = window);
    }

    /// Switches everything off. Counts stay.
    pub fn clear(&self) {
        self.with(|state| {
            *state = State {
                counts: std::mem::take(&mut state.counts),
                ..State::default()
            };
        });
    }

    /// How many of the faults injected have not hit all their requests yet; one without a number never has.
    pub fn waiting(&self) -> usize {
        self.with(|state| state.requests.len())
    }

    /// How many requests of this operation came so far, as the API names it, whatever became of them.
    pub fn count(&self, operation: &str) -> u64 {
        self.with(|state| state.counts.get(operation).copied().unwrap_or(0))
    }

    /// Suffers what is switched on for a request: waits, and perhaps fails.
    pub(crate) async fn suffer(&self, operation: &str, key: Option<&str>) -> Result<(), S3Error> {
        match self.strike(operation, key).await {
            Some(fault) => Err(fault.error()),
            None => Ok(()),
        }
    }

    /// Waits as long as is switched on for a request, and returns what it is to be answered with.
    pub(crate) async fn strike(&self, operation: &str, key: Option<&str>) -> Option<Fault> {
        let latency = self.with(|state| {
            // Whoever sends requests chooses the names, but not how many are kept.
            if state.counts.len() < MOST_COUNTS || state.counts.contains_key(operation) {
                *state.counts.entry(operation.to_owned()).or_default() += 1;
            }
            state.latency
        });
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let hit = self.hit(operation, key, |fault| !fault.is_of_body());
        match hit {
            Some(Fault::Hang(patience)) => tokio::time::sleep(patience).await,
            Some(Fault::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                return None;
            }
            _ => {}
        }
        hit
    }

    /// What goes wrong with the body of a GET, if anything does.
    pub(crate) fn trouble(&self, key: &str) -> Option<Fault> {
        self.hit("GetObject", Some(key), Fault::is_of_body)
    }

    /// The deliveries of one event: milliseconds of delay for each.
    pub(crate) fn deliveries(&self) -> Vec<i64> {
        let events = self.with(|state| {
            let events = state.events;
            state.events.lost = events.lost.saturating_sub(1);
            events
        });
        if events.lost > 0 {
            return Vec::new();
        }
        let delay = whole_milliseconds(events.delay);
        let window = whole_milliseconds(events.shuffle);
        (0..=events.repeats)
            .map(|_| delay + if window > 0 { random_below(window) } else { 0 })
            .collect()
    }

    fn hit(
        &self,
        operation: &str,
        key: Option<&str>,
        kind: impl Fn(Fault) -> bool,
    ) -> Option<Fault> {
        self.with(|state| {
            let position = state
                .requests
                .iter()
                .position(|(fault, target)| kind(*fault) && target.is_hit(operation, key))?;
            let (fault, target) = state.requests.get_mut(position)?;
            let fault = *fault;
            if let Some(left) = &mut target.requests {
                *left -= 1;
                if *left == 0 {
                    state.requests.remove(position);
                }
            }
            Some(fault)
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Target {
    fn is_hit(&self, operation: &str, key: Option<&str>) -> bool {
        self.operation
            .as_deref()
            .is_none_or(|wanted| wanted == operation)
            && self.key.as_deref().is_none_or(|wanted| key == Some(wanted))
            && self
                .prefix
                .as_deref()
                .is_none_or(|prefix| key.is_some_and(|key| key.starts_with(prefix)))
            && self.requests != Some(0)
            && self.share.is_none_or(|share| {
                f64::from(u32::try_from(random_below(1_000_000)).unwrap_or(0)) < share * 1e6
            })
    }
}

fn whole_milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn random_below(limit: i64) -> i64 {
    random::bytes::<8>().map_or(0, |bytes| {
        (i64::from_be_bytes(bytes) >> 1).rem_euclid(limit.max(1))
    })
}
