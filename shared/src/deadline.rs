//! How much time an invocation has.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is kept back for sending the answer.
const RESERVE: Duration = Duration::from_secs(1);
/// The time-out in template.yaml, for emulators of Lambda that name no deadline or one long past.
const UNTOLD: Duration = Duration::from_mins(1);

/// The time left for work, from the deadline that Lambda gives an invocation in milliseconds since 1970.
pub fn time_left(deadline: u64, now: SystemTime) -> Duration {
    let end = UNIX_EPOCH + Duration::from_millis(deadline);
    match end.duration_since(now) {
        Ok(left) if !left.is_zero() => left.saturating_sub(RESERVE.min(left / 2)),
        _ => UNTOLD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_its_second_and_no_deadline_is_not_the_past() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        assert_eq!(time_left(1_060_000, now), Duration::from_secs(59));
        assert_eq!(time_left(1_001_000, now), Duration::from_millis(500));
        for past in [0, 600_000, 1_000_000] {
            assert_eq!(time_left(past, now), UNTOLD);
        }
    }
}
