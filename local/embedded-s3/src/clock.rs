//! Time and order: the instant of a change and its sequencer.

use s3s::dto::Timestamp;
use time::OffsetDateTime;

/// Bits of a sequencer below the seconds; they hold nanoseconds, so 30 are enough.
const FRACTION_BITS: u32 = 30;
const FRACTION_MASK: i64 = (1 << FRACTION_BITS) - 1;

/// When a change was committed, and its place in the order of all changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Milliseconds since 1970, as read from the wall clock. It may step backwards.
    pub(crate) milliseconds: i64,
    /// Rises with every change, whatever the wall clock does.
    pub(crate) sequencer: i64,
}

/// Hands out moments. The last sequencer is stored with every commit, so order survives restarts.
#[derive(Debug)]
pub(crate) struct Clock {
    last: i64,
}

impl Clock {
    /// Continues after `last`, the greatest sequencer stored.
    pub(crate) fn after(last: i64) -> Self {
        Self { last }
    }

    /// The greatest sequencer handed out.
    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    /// The present instant with a sequencer greater than every one before.
    pub(crate) fn moment(&mut self) -> Moment {
        self.moment_at(OffsetDateTime::now_utc())
    }

    fn moment_at(&mut self, now: OffsetDateTime) -> Moment {
        let wall = (now.unix_timestamp() << FRACTION_BITS) | i64::from(now.nanosecond());
        self.last = wall.max(self.last.saturating_add(1));
        Moment {
            milliseconds: milliseconds(now),
            sequencer: self.last,
        }
    }
}

/// A sequencer as S3 prints it in classic notifications: 18 hexadecimal digits, `00` first, then
/// seconds, then the finer part.
pub(crate) fn sequencer_text(sequencer: i64) -> String {
    format!(
        "{:010X}{:08X}",
        sequencer >> FRACTION_BITS,
        sequencer & FRACTION_MASK
    )
}

/// Milliseconds since 1970 of `instant`.
pub(crate) fn milliseconds(instant: OffsetDateTime) -> i64 {
    instant.unix_timestamp() * 1000 + i64::from(instant.millisecond())
}

/// The present instant in milliseconds since 1970.
pub(crate) fn now_milliseconds() -> i64 {
    milliseconds(OffsetDateTime::now_utc())
}

/// The instant `milliseconds` after 1970; 1970 itself where the calendar ends.
pub(crate) fn instant(milliseconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A time as S3 answers it: whole seconds, so that listings and `Last-Modified` headers agree.
pub(crate) fn timestamp(milliseconds: i64) -> Timestamp {
    instant(whole_seconds(milliseconds)).into()
}

/// `milliseconds` cut down to a whole second.
pub(crate) fn whole_seconds(milliseconds: i64) -> i64 {
    milliseconds.div_euclid(1000) * 1000
}

/// ISO 8601 with exactly three digits of milliseconds, as in `eventTime`.
pub(crate) fn iso_milliseconds(milliseconds: i64) -> String {
    let seconds = iso_seconds(milliseconds);
    format!(
        "{}.{:03}Z",
        seconds.trim_end_matches('Z'),
        milliseconds.rem_euclid(1000)
    )
}

/// ISO 8601 in whole seconds, as EventBridge and STS print times.
pub(crate) fn iso_seconds(milliseconds: i64) -> String {
    let at = instant(milliseconds);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequencers_rise_when_the_clock_steps_backwards() {
        let mut clock = Clock::after(0);
        let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let first = clock.moment_at(now);
        let second = clock.moment_at(now - time::Duration::hours(3));
        let third = Clock::after(clock.last()).moment_at(now - time::Duration::hours(3));
        assert!(first.sequencer < second.sequencer && second.sequencer < third.sequencer);
        assert!(sequencer_text(first.sequencer) < sequencer_text(second.sequencer));
    }

    #[test]
    fn a_sequencer_has_eighteen_digits_and_leads_with_zeros() {
        let text = sequencer_text(Clock::after(0).moment().sequencer);
        assert_eq!(text.len(), 18);
        assert!(text.starts_with("00"));
        assert!(
            text.chars()
                .all(|digit| digit.is_ascii_digit() || digit.is_ascii_uppercase())
        );
    }

    #[test]
    fn times_are_printed_with_three_digits() {
        assert_eq!(
            iso_milliseconds(1_700_000_000_120),
            "2023-11-14T22:13:20.120Z"
        );
        assert_eq!(
            iso_milliseconds(1_700_000_000_000),
            "2023-11-14T22:13:20.000Z"
        );
    }
}
