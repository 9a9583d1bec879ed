//! How far the trail was verified, as only who has the key can write it.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::entry::{Seal, open, seal};
use super::{AuditError, Head, Problem, Trail};

const PURPOSE: &str = "audit verification";

/// What is known of a trail that is verified again and again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Where somebody has let it begin; `None` for the first block.
    pub(crate) origin: Option<Head>,
    /// Everything up to there was verified, some time.
    pub(crate) reached: Option<Reached>,
    /// Everything up to there was verified once more, since the last round.
    pub(crate) round: Option<Reached>,
    /// When everything had been verified, or verified once more.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) finished_at: Option<OffsetDateTime>,
}

/// How far a walk has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reached {
    /// The last block.
    pub(crate) head: Head,
    /// The entries up to there.
    pub(crate) entries: u64,
}

impl Note {
    /// Nothing is known of a trail that begins there.
    pub(crate) fn of(origin: Option<Head>) -> Self {
        Self {
            origin,
            ..Self::default()
        }
    }
}

impl Trail {
    /// The note, sealed.
    ///
    /// # Errors
    ///
    /// [`AuditError::Unwritable`]
    pub(crate) fn seal_note(&self, note: &Note) -> Result<String, AuditError> {
        let unwritable = |error: String| AuditError::Unwritable(error);
        let sealed = seal(PURPOSE, note, &self.keys);
        let sealed = sealed.map_err(|error| unwritable(error.to_string()))?;
        String::from_utf8(sealed).map_err(|error| unwritable(error.to_string()))
    }

    /// The inverse.
    ///
    /// # Errors
    ///
    /// [`Problem::Changed`] or [`Problem::Foreign`]: it was not written here.
    pub(crate) fn open_note(&self, sealed: &str) -> Result<Note, Problem> {
        match open::<Note>(PURPOSE, sealed.as_bytes(), &self.keys)? {
            (note, Seal::Known) => Ok(note),
            (_, Seal::UnknownKey) => Err(Problem::Foreign),
        }
    }
}
