use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::http::StatusCode;
use time::OffsetDateTime;

/// The longest time that is looked back on.
pub(super) const MAX_MINUTES: i64 = 1440;

/// What this instance was asked, by the minute.
#[derive(Debug, Default)]
pub(super) struct Activity(Mutex<BTreeMap<i64, Minute>>);

/// The requests of a minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Minute {
    pub(super) requests: u32,
    /// Of those, the ones that failed for our reasons.
    pub(super) failures: u32,
}

impl Activity {
    pub(super) fn count(&self, status: StatusCode) {
        let now = minute(OffsetDateTime::now_utc());
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let this = minutes.entry(now).or_default();
        this.requests += 1;
        this.failures += u32::from(status.is_server_error());
        *minutes = minutes.split_off(&(now - MAX_MINUTES));
    }

    /// The minutes of the last so many in which there was something, oldest first.
    pub(super) fn last(&self, minutes: i64) -> Vec<(OffsetDateTime, Minute)> {
        let from = minute(OffsetDateTime::now_utc()) - minutes;
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.range(from..)
            .filter_map(|(number, minute)| {
                let start = OffsetDateTime::from_unix_timestamp(number * 60).ok()?;
                Some((start, *minute))
            })
            .collect()
    }
}

fn minute(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() / 60
}
