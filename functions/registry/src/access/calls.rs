//! How often a token may be used.
//!
//! Every instance counts the calls it serves. A token is refused at the latest after 1,000 calls to one instance, so with n
//! instances it may live for up to n times as many; it ends after ten hours in any case. An exact count over all instances needs a place
//! that adds faster than S3, which takes a write of some 20 ms for each call: with PostgreSQL, [`Calls::count`] is what
//! asks it.

use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;

use super::memory::Memory;
use super::token::Claims;

/// Calls that a token is good for.
const LIMIT: u32 = 1_000;
/// Tokens remembered at the same time: about four megabytes. The least used are forgotten first.
const TOKENS: usize = 65_536;

/// The calls that this instance has served.
#[derive(Debug)]
pub(super) struct Calls(Mutex<Memory<[u8; 16], u32>>);

/// The token has been used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Calls {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Memory::new(TOKENS, |calls| *calls)))
    }

    /// One call more.
    pub(super) fn count(&self, claims: &Claims, now: OffsetDateTime) -> Result<(), Exhausted> {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = memory.get(&claims.token, now).copied().unwrap_or(0);
        if calls >= LIMIT {
            return Err(Exhausted);
        }
        memory.put(claims.token, calls + 1, claims.expires_at, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_token_is_good_for_a_thousand_calls() {
        let now = datetime!(2026-11-02 09:15 UTC);
        let claims = |token| Claims {
            user: "u".into(),
            generation: "g".into(),
            token: [token; 16],
            expires_at: now + Duration::hours(10),
        };
        let calls = Calls::new();
        for _ in 0..1_000 {
            assert_eq!(calls.count(&claims(1), now), Ok(()));
        }
        assert_eq!(calls.count(&claims(1), now), Err(Exhausted));
        assert_eq!(calls.count(&claims(2), now), Ok(()));
    }
}
