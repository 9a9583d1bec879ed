//! How often a token may be used: 1,000 times over all instances, where they share an index, and then no more.
//!
//! Every call is one statement there. While the database is away, what is left of a token by the last answer may be
//! used on each instance, so that artifacts can still be read; those calls are added with the next answer. A
//! statement whose answer was lost is sent again, so its call may count twice, but none is left out.
//!
//! Without an index every instance counts the calls that it serves, so with n instances a token may live for up to n
//! times as many. It ends after ten hours in any case.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::telemetry::chain;
use time::OffsetDateTime;

use super::memory::Memory;
use super::token::Claims;
use crate::index::Index;

/// Calls that a token is good for.
const LIMIT: u32 = 1_000;
/// Tokens remembered at the same time: about four megabytes. The least used are forgotten first.
const TOKENS: usize = 65_536;

/// The calls that were made.
#[derive(Debug)]
pub(super) struct Calls {
    here: Mutex<Memory<[u8; 16], Count>>,
    index: Option<Arc<Index>>,
    /// The last call could not be counted together with the other instances.
    is_alone: AtomicBool,
}

/// What this instance knows of a token.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    /// Over all instances, by the last answer.
    told: u32,
    /// Served here, and not part of that.
    untold: u32,
}

/// The token has been used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Calls {
    pub(super) fn new(index: Option<Arc<Index>>) -> Self {
        Self {
            here: Mutex::new(Memory::new(TOKENS, |count| count.told + count.untold)),
            index,
            is_alone: AtomicBool::new(false),
        }
    }

    /// One call more.
    pub(super) async fn count(
        &self,
        claims: &Claims,
        now: OffsetDateTime,
    ) -> Result<(), Exhausted> {
        let Some(index) = &self.index else {
            return self.count_here(claims, 1, now);
        };
        let calls = self.take(claims, now)? + 1;
        match index
            .call(claims.token, calls, LIMIT, claims.expires_at)
            .await
        {
            Ok(told) => {
                self.is_alone.store(false, Ordering::Relaxed);
                // More than enough is what was served while the database was away.
                self.note(claims, told.unwrap_or(LIMIT), now);
                told.filter(|told| *told <= LIMIT)
                    .map(drop)
                    .ok_or(Exhausted)
            }
            Err(error) => {
                if !self.is_alone.swap(true, Ordering::Relaxed) {
                    tracing::warn!(error = %chain(&error), "this instance counts the calls of tokens for itself");
                }
                self.count_here(claims, calls, now)
            }
        }
    }

    /// The calls that only this instance knows of, which it forgets: they are about to be told.
    fn take(&self, claims: &Claims, now: OffsetDateTime) -> Result<u32, Exhausted> {
        let mut here = self.here();
        let count = here.get(&claims.token, now).copied().unwrap_or_default();
        if count.told >= LIMIT {
            return Err(Exhausted);
        }
        if count.untold > 0 {
            let untold = 0;
            here.put(
                claims.token,
                Count { untold, ..count },
                claims.expires_at,
                now,
            );
        }
        Ok(count.untold)
    }

    fn note(&self, claims: &Claims, told: u32, now: OffsetDateTime) {
        let mut here = self.here();
        let count = here.get(&claims.token, now).copied().unwrap_or_default();
        let told = told.max(count.told);
        here.put(
            claims.token,
            Count { told, ..count },
            claims.expires_at,
            now,
        );
    }

    fn count_here(
        &self,
        claims: &Claims,
        calls: u32,
        now: OffsetDateTime,
    ) -> Result<(), Exhausted> {
        let mut here = self.here();
        let mut count = here.get(&claims.token, now).copied().unwrap_or_default();
        count.untold += calls;
        let is_enough = count.told + count.untold > LIMIT;
        if is_enough {
            count.untold -= 1; // it is not served
        }
        here.put(claims.token, count, claims.expires_at, now);
        if is_enough { Err(Exhausted) } else { Ok(()) }
    }

    fn here(&self) -> MutexGuard<'_, Memory<[u8; 16], Count>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    #[tokio::test]
    async fn a_token_is_good_for_a_thousand_calls() {
        let now = datetime!(2026-11-02 09:15 UTC);
        let claims = |token| Claims {
            user: "u".into(),
            generation: "g".into(),
            token: [token; 16],
            expires_at: now + Duration::hours(10),
        };
        let calls = Calls::new(None);
        for _ in 0..1_000 {
            assert_eq!(calls.count(&claims(1), now).await, Ok(()));
        }
        assert_eq!(calls.count(&claims(1), now).await, Err(Exhausted));
        assert_eq!(calls.count(&claims(2), now).await, Ok(()));
    }
}
