//! Why a document is not loaded, in one word, and what follows from it.

use std::time::Duration;

/// Why a document was not loaded. The list is part of what users see: the column `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The URI is not that of an object in S3.
    InvalidUri,
    /// There is no such object, or no such version of it.
    Missing,
    /// There is no such bucket.
    BucketMissing,
    /// The object is another than the documents table says: its event is still on the way.
    Superseded,
    /// S3 refused, or the key that encrypts the object did.
    Denied,
    /// The object is in an archive and has to be restored first.
    Archived,
    /// S3 does not understand the request: a version id that cannot be, for one.
    Rejected,
    /// More bytes than are allowed.
    TooLarge,
    /// The document is protected by a password.
    Encrypted,
    /// A type of file whose text cannot be extracted.
    Unsupported,
    /// A file that is damaged, or not what it seems.
    ParseFailure,
    /// Reading it takes more memory or time than one document may.
    TooCostly,
    /// Pictures of text only.
    NeedsOcr,
    /// S3 asks for fewer requests.
    Throttled,
    /// S3 does not answer, or answers with an error of its own.
    Unavailable,
    /// The temporary credentials came to their end.
    Expired,
    /// The bytes that arrived are not those that S3 has.
    Damaged,
    /// It took too long.
    TimedOut,
    /// The function died at it.
    Crashed,
    /// The system has no process for it.
    Overloaded,
    /// The database takes the document's row, but not its text.
    Refused,
    /// The role may not be assumed.
    RoleDenied,
    /// The role cannot be assumed as things are set up: a policy too long, a region that is switched off.
    RoleInvalid,
    /// STS does not answer.
    RoleUnavailable,
}

/// What follows from a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It may pass by itself: tried again, a limited number of times.
    Retry,
    /// Somebody has to change something, which is looked for after pauses that grow.
    Park,
    /// This version will never be loaded.
    Fail,
    /// As [`Fail`](Self::Fail), but somebody else might.
    NeedsOcr,
    /// Nothing of the whole source can be read now. The document has had no try.
    Block,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::InvalidUri,
        Self::Missing,
        Self::BucketMissing,
        Self::Superseded,
        Self::Denied,
        Self::Archived,
        Self::Rejected,
        Self::TooLarge,
        Self::Encrypted,
        Self::Unsupported,
        Self::ParseFailure,
        Self::TooCostly,
        Self::NeedsOcr,
        Self::Throttled,
        Self::Unavailable,
        Self::Expired,
        Self::Damaged,
        Self::TimedOut,
        Self::Crashed,
        Self::Overloaded,
        Self::Refused,
        Self::RoleDenied,
        Self::RoleInvalid,
        Self::RoleUnavailable,
    ];

    /// As the tables have it.
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidUri => "invalid_uri",
            Self::Missing => "missing",
            Self::BucketMissing => "bucket_missing",
            Self::Superseded => "superseded",
            Self::Denied => "denied",
            Self::Archived => "archived",
            Self::Rejected => "rejected",
            Self::TooLarge => "too_large",
            Self::Encrypted => "encrypted",
            Self::Unsupported => "unsupported",
            Self::ParseFailure => "parse_failure",
            Self::TooCostly => "too_costly",
            Self::NeedsOcr => "needs_ocr",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Expired => "expired",
            Self::Damaged => "damaged",
            Self::TimedOut => "timed_out",
            Self::Crashed => "crashed",
            Self::Overloaded => "overloaded",
            Self::Refused => "refused",
            Self::RoleDenied => "role_denied",
            Self::RoleInvalid => "role_invalid",
            Self::RoleUnavailable => "role_unavailable",
        }
    }

    /// What follows from it.
    pub fn fate(self) -> Fate {
        match self {
            Self::InvalidUri
            | Self::Missing
            | Self::Rejected
            | Self::TooLarge
            | Self::Encrypted
            | Self::Unsupported
            | Self::ParseFailure
            | Self::TooCostly
            | Self::Refused => Fate::Fail,
            Self::BucketMissing | Self::Denied | Self::Archived => Fate::Park,
            Self::NeedsOcr => Fate::NeedsOcr,
            Self::Superseded
            | Self::Throttled
            | Self::Unavailable
            | Self::Expired
            | Self::Damaged
            | Self::TimedOut
            | Self::Crashed
            | Self::Overloaded => Fate::Retry,
            Self::RoleDenied | Self::RoleInvalid | Self::RoleUnavailable => Fate::Block,
        }
    }

    /// Whether it says that whoever was asked took too long to answer.
    pub(crate) fn is_slow(self) -> bool {
        matches!(self, Self::Unavailable | Self::TimedOut)
    }
}

/// A document that was not loaded: why, and in which words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// The class.
    pub reason: Reason,
    /// For people: what happened, and what to do. No secret and nothing of the document.
    pub message: String,
}

impl Problem {
    /// A problem in these words.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    /// It took longer than this.
    pub(crate) fn timed_out(longest: Duration) -> Self {
        let seconds = longest.as_secs();
        Self::new(
            Reason::TimedOut,
            format!("it took longer than {seconds} seconds"),
        )
    }
}

/// Pauses that double, from the first to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pauses {
    first: Duration,
    longest: Duration,
}

/// Between tries of what may pass by itself. Six of them take a quarter of an hour on average.
pub(crate) const RETRY: Pauses = Pauses::new(30, 3600);
/// Between looks whether somebody has changed something.
pub(crate) const PARK: Pauses = Pauses::new(300, 24 * 3600);
/// Between tries to assume a role that could not be assumed.
pub(crate) const BLOCK: Pauses = Pauses::new(60, 3600);

impl Pauses {
    const fn new(first: u64, longest: u64) -> Self {
        Self {
            first: Duration::from_secs(first),
            longest: Duration::from_secs(longest),
        }
    }

    /// The longest that the pause after so many tries may be, counted from 1.
    pub(crate) fn longest_after(self, tries: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(tries.saturating_sub(1));
        self.first.saturating_mul(doubled).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_has_a_word_of_its_own() {
        let codes: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses: Vec<u64> = (0..=9)
            .map(|tries| RETRY.longest_after(tries).as_secs())
            .collect();
        assert_eq!(pauses, [30, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(PARK.longest_after(u32::MAX).as_secs(), 86_400);
    }
}
