//! The order of events on one object.

use std::str::FromStr;

/// S3's order of the events on one object. Later is greater; values of different objects mean nothing together.
///
/// S3 sends a hexadecimal number of varying length and case; "left-pad with zeros, then compare", says
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>. Comparing the
/// number is the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sequencer(u128);

impl Sequencer {
    /// Before every event.
    pub const ZERO: Self = Self(0);

    /// The least value after this one: for a state that S3 confirmed without giving it a place in the order.
    ///
    /// Real sequencers are clock readings, so the next event is greater by far.
    #[must_use]
    pub fn successor(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Sixteen bytes that compare as the sequencer does.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The inverse of [`to_bytes`](Self::to_bytes).
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

/// A sequencer that is not one to 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sequencer is 1 to 32 hexadecimal digits")]
pub struct InvalidSequencer;

impl FromStr for Sequencer {
    type Err = InvalidSequencer;

    fn from_str(text: &str) -> Result<Self, InvalidSequencer> {
        // `from_str_radix` alone would accept a sign.
        if text.is_empty() || text.len() > 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Err(InvalidSequencer);
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_overflow| InvalidSequencer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequencer(text: &str) -> Sequencer {
        text.parse().unwrap()
    }

    #[test]
    fn length_and_case_do_not_decide_the_order() {
        // A classic notification of 2015, an EventBridge event of 2021, a classic notification of 2025.
        let (first, second, third) = (
            "0055AED6DCD90281E5",
            "617f08299329d189",
            "0068AED6DCD90281E5",
        );
        assert!(sequencer(first) < sequencer(second) && sequencer(second) < sequencer(third));
        assert_eq!(sequencer("0A"), sequencer("a"));
    }

    #[test]
    fn bytes_keep_the_order() {
        let (less, more) = (sequencer("ff"), sequencer("0100"));
        assert!(less.to_bytes() < more.to_bytes());
        assert_eq!(Sequencer::from_bytes(more.to_bytes()), more);
        assert!(less < less.successor() && less.successor() <= more);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "+1",
            "-1",
            "0x1",
            "g",
            " 1",
            "123456789012345678901234567890123",
        ] {
            assert_eq!(text.parse::<Sequencer>(), Err(InvalidSequencer), "{text:?}");
        }
    }
}
