//! How often a password may be tried.
//!
//! Counted by user and not by address: behind a gateway many clients share one, and an attacker has many. After the
//! tenth try one in 30 seconds is let through: 2,880 a day, against passwords of eight bytes and more. The delay is
//! short because somebody who keeps failing on purpose delays the user as well.
//!
//! Instances that share an index count together; without one, and while the database is away, every instance counts for
//! itself, so with n instances n times as many tries are let through.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::telemetry::chain;
use time::{Duration, OffsetDateTime};

use super::memory::Memory;
use crate::index::Index;

/// Tries without delay.
const FREE: u32 = 10;
/// After the first try that has one; it doubles with each.
const FIRST_DELAY: Duration = Duration::seconds(1);
const MAX_DELAY: Duration = Duration::seconds(30);
/// When failures are forgotten, after the last one.
const MEMORY: Duration = Duration::minutes(15);
/// Users remembered at the same time: at most about a megabyte. Those with the fewest failures are forgotten first.
const USERS: usize = 4096;

/// The failed logins.
#[derive(Debug)]
pub(super) struct Logins {
    here: Mutex<Throttle>,
    index: Option<Arc<Index>>,
}

impl Logins {
    pub(super) fn new(index: Option<Arc<Index>>) -> Self {
        Self {
            here: Mutex::new(Throttle::new()),
            index,
        }
    }

    /// Lets a try for `user` begin, or says how long to wait.
    pub(super) async fn begin(&self, user: &str, now: OffsetDateTime) -> Result<(), Duration> {
        if let Some(index) = &self.index {
            match index.begin_login(user, now).await {
                Ok(begun) => return begun,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "this instance counts failed logins for itself");
                }
            }
        }
        self.here().begin(user, now)
    }

    /// The password was right.
    pub(super) async fn succeeded(&self, user: &str) {
        self.here().succeeded(user);
        if let Some(index) = &self.index
            && let Err(error) = index.forget_logins(user).await
        {
            tracing::warn!(error = %chain(&error), "a login that succeeded counts as failed");
        }
    }

    /// Whether the password was right could not be found out.
    pub(super) async fn forgive(&self, user: &str, now: OffsetDateTime) {
        self.here().forgive(user, now);
        if let Some(index) = &self.index
            && let Err(error) = index.forgive_login(user, now).await
        {
            tracing::warn!(error = %chain(&error), "a login that was not decided counts as failed");
        }
    }

    fn here(&self) -> MutexGuard<'_, Throttle> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The failed logins of this instance.
#[derive(Debug)]
struct Throttle(Memory<String, Failures>);

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    next: OffsetDateTime,
}

impl Throttle {
    fn new() -> Self {
        Self(Memory::new(USERS, |failures| failures.count))
    }

    /// Lets a try for `user` begin, or says how long to wait. It counts as failed from now on, so that many at the same time
    /// are no way around.
    fn begin(&mut self, user: &str, now: OffsetDateTime) -> Result<(), Duration> {
        let before = self.0.get(user, now).copied();
        let mut failures = before.unwrap_or(Failures {
            count: 0,
            next: now,
        });
        if now < failures.next {
            return Err(failures.next - now);
        }
        failures.count = failures.count.saturating_add(1);
        if let Some(beyond) = failures.count.checked_sub(FREE) {
            let delay = FIRST_DELAY * 2_i32.pow(beyond.min(5));
            failures.next = now + delay.min(MAX_DELAY);
        }
        self.0.put(user.to_owned(), failures, now + MEMORY, now);
        Ok(())
    }

    /// The password was right.
    fn succeeded(&mut self, user: &str) {
        self.0.forget(user);
    }

    /// Whether the password was right could not be found out.
    fn forgive(&mut self, user: &str, now: OffsetDateTime) {
        if let Some(&failures) = self.0.get(user, now) {
            let count = failures.count.saturating_sub(1);
            let forgiven = Failures { count, next: now };
            self.0.put(user.to_owned(), forgiven, now + MEMORY, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-02 09:15 UTC);

    fn after_failures(count: u32) -> Throttle {
        let mut throttle = Throttle::new();
        for _ in 0..count {
            throttle.begin("u", NOW).unwrap();
        }
        throttle
    }

    #[test]
    fn after_ten_failures_the_delay_grows_to_half_a_minute() {
        let mut throttle = after_failures(10);
        let mut now = NOW;
        let mut delays = Vec::new();
        for _ in 0..7 {
            let delay = throttle.begin("u", now).unwrap_err();
            delays.push(delay.whole_seconds());
            let almost = now + delay - Duration::NANOSECOND;
            assert_eq!(throttle.begin("u", almost), Err(Duration::NANOSECOND));
            now += delay;
            assert_eq!(throttle.begin("u", now), Ok(()));
        }
        assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn other_users_are_not_delayed() {
        let mut throttle = after_failures(10);
        assert!(throttle.begin("u", NOW).is_err());
        assert_eq!(throttle.begin("v", NOW), Ok(()));
    }

    #[test]
    fn a_success_or_a_quarter_of_an_hour_ends_the_delay() {
        let mut throttle = after_failures(10);
        throttle.succeeded("u");
        assert_eq!(throttle.begin("u", NOW), Ok(()));
        assert_eq!(throttle.begin("u", NOW), Ok(()));
        let mut throttle = after_failures(10);
        let later = NOW + MEMORY;
        for _ in 0..10 {
            assert_eq!(throttle.begin("u", later), Ok(()));
        }
        assert!(throttle.begin("u", later).is_err());
    }

    #[test]
    fn a_try_that_was_not_decided_does_not_count() {
        let mut throttle = after_failures(9);
        for _ in 0..20 {
            assert_eq!(throttle.begin("u", NOW), Ok(()));
            throttle.forgive("u", NOW);
        }
    }

    #[test]
    fn a_flood_of_names_does_not_free_the_one_that_is_delayed() {
        let mut throttle = after_failures(10);
        for number in 0..3 * USERS {
            throttle.begin(&number.to_string(), NOW).unwrap();
        }
        assert!(throttle.begin("u", NOW).is_err());
    }
}
