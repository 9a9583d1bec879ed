//! Documents claimed while others are loaded, so that each source has its fair share of the places.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::PAUSE;
use crate::queue::{Claim, Error, Lane, Queue, Request};

/// What is being claimed, and which sources may have how much.
pub(super) struct Claims {
    queue: Arc<Queue>,
    /// Documents that are loaded at a time.
    places: usize,
    /// Sources that have answered, whatever they said.
    proven: HashSet<i64>,
    /// When to look for more that is due, while there is something in hand.
    again: Instant,
    /// How many were to be loaded after the last look.
    loading_then: usize,
    /// At most one.
    asking: JoinSet<Claimed>,
}

/// What was handed out.
pub(super) struct Claimed {
    pub(super) claims: Result<Vec<Claim>, Error>,
    /// How many there was room for.
    free: usize,
    /// Nothing was in hand, so that suspects were asked for as well.
    is_alone: bool,
}

impl Claimed {
    /// Nothing is due.
    pub(super) fn is_dry(&self) -> bool {
        self.is_alone && self.claims.as_ref().is_ok_and(Vec::is_empty)
    }
}

impl Claims {
    pub(super) fn new(queue: Arc<Queue>, places: usize) -> Self {
        Self {
            queue,
            places,
            proven: HashSet::new(),
            again: Instant::now(),
            loading_then: 0,
            asking: JoinSet::new(),
        }
    }

    /// When to look again.
    pub(super) fn wake(&self) -> Instant {
        self.again
    }

    pub(super) fn is_asking(&self) -> bool {
        !self.asking.is_empty()
    }

    /// The source of a document has answered, in time or not.
    pub(super) fn answered(&mut self, source: i64, is_slow: bool) {
        if is_slow {
            self.proven.remove(&source);
        } else if self.proven.insert(source) {
            // It may have more at a time from now on.
            self.again = Instant::now();
        }
    }

    /// Asks for more, if it is time and there are places enough. `is_alone`: nothing is in hand.
    pub(super) fn ask(&mut self, loading: &[&Claim], is_alone: bool) {
        if self.is_asking() || !(is_alone || self.is_time(loading.len(), Instant::now())) {
            return;
        }
        let free = self.places.saturating_sub(loading.len());
        let mut in_hand: HashMap<i64, i32> = HashMap::new();
        let mut unproven = 0;
        for claim in loading {
            *in_hand.entry(claim.source.id).or_default() += 1;
            unproven += usize::from(!self.proven.contains(&claim.source.id));
        }
        let question = Question {
            places: self.places,
            free,
            unproven,
            in_hand: in_hand.into_iter().collect(),
            proven: self.proven.iter().copied().collect(),
            is_alone,
        };
        let queue = Arc::clone(&self.queue);
        self.asking.spawn(async move {
            let claims = question.ask(&queue).await;
            Claimed {
                claims,
                free,
                is_alone,
            }
        });
    }

    /// Whether a look is worth it while so many are being loaded: there is room for several, and either it is time, or as
    /// many were done since the last one, which left places that others may take.
    fn is_time(&self, loading: usize, now: Instant) -> bool {
        let several = self.places.div_ceil(4);
        loading + several <= self.places
            && (now >= self.again || loading + several <= self.loading_then)
    }

    /// What was handed out; `None` if nobody asked.
    pub(super) async fn next(&mut self) -> Option<Claimed> {
        let claimed = self.asking.join_next().await?.ok()?;
        let count = claimed.claims.as_ref().map_or(0, Vec::len);
        self.loading_then = self.places - claimed.free + count;
        // No more are due, or their sources have as many in hand as they may: then more are to be had when some of those
        // are done, which is not to be waited for any longer.
        if count < claimed.free {
            self.again = Instant::now() + PAUSE;
        }
        Some(claimed)
    }

    /// Those that are being handed out, to be given back.
    pub(super) async fn last(&mut self, deadline: Instant) -> Vec<Claim> {
        match timeout_at(deadline, self.next()).await {
            Ok(Some(Claimed {
                claims: Ok(claims), ..
            })) => claims,
            _ => Vec::new(),
        }
    }
}

/// What to claim.
struct Question {
    places: usize,
    free: usize,
    /// Documents being loaded whose source has not answered.
    unproven: usize,
    in_hand: Vec<(i64, i32)>,
    proven: Vec<i64>,
    is_alone: bool,
}

impl Question {
    /// Claims documents. Sources that have not answered yet, or not in time, have half of the places at most, and few
    /// each: however many of them never answer, the others go on.
    async fn ask(&self, queue: &Queue) -> Result<Vec<Claim>, Error> {
        let request = |lane, limit, each| Request {
            limit,
            lane,
            each,
            in_hand: &self.in_hand,
            proven: &self.proven,
        };
        let mut claims = Vec::new();
        let half = (self.places / 2).max(1);
        let few = self.free.min(half.saturating_sub(self.unproven));
        if few > 0 {
            let each = (self.places / 16).max(1);
            claims.extend(queue.claim(request(Lane::Unproven, few, each)).await?);
        }
        let left = self.free - claims.len();
        if left > 0 && !self.proven.is_empty() {
            let each = (self.places * 3 / 4).max(1);
            claims.extend(queue.claim(request(Lane::Proven, left, each)).await?);
        }
        // What may have killed the function is tried when nothing else could be harmed by it.
        if claims.is_empty() && self.is_alone {
            claims.extend(queue.claim(request(Lane::Suspect, 1, 1)).await?);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::database::Settings;

    use super::*;

    fn claims() -> Claims {
        let settings: Settings = "postgresql://nobody@127.0.0.1:1/none"
            .parse::<shared::database::Url>()
            .unwrap()
            .into();
        Claims::new(Arc::new(Queue::new(settings, None, None)), 64)
    }

    #[tokio::test]
    async fn places_that_become_free_are_filled_without_a_pause() {
        let mut claims = claims();
        let now = Instant::now();
        claims.again = now + PAUSE;
        claims.loading_then = 40;
        assert!(!claims.is_time(25, now));
        assert!(claims.is_time(24, now));
        assert!(claims.is_time(25, now + PAUSE));
        assert!(!claims.is_time(49, now + PAUSE));
    }

    #[tokio::test]
    async fn a_source_that_has_answered_is_asked_for_more_at_once() {
        let mut claims = claims();
        let later = Instant::now() + Duration::from_mins(1);
        claims.again = later;
        claims.answered(1, true);
        assert_eq!(claims.wake(), later);
        claims.answered(1, false);
        assert!(claims.wake() < later);
        claims.again = later;
        claims.answered(1, false);
        assert_eq!(claims.wake(), later);
    }
}
