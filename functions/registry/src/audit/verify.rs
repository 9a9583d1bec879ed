//! Looking whether the trail is what it was.

use std::fmt;

use futures_util::future::try_join_all;

use super::entry::{Block, Hash, Head, Seal, open};
use super::{AT_A_TIME, AuditError, PAGE, Trail, place};
use crate::access::token::Keys;

/// What is wrong with a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// It is not there, though there is something after it, or there was.
    Missing,
    /// It is not what was written.
    Changed,
    /// It is another block of the trail.
    Misplaced,
    /// It does not follow the one before it: one of the two is not what was written.
    Detached,
    /// It and those after it are sealed by keys that are not ours, and none of ours comes after.
    UnknownKey,
    /// It says that the anchor was farther than it is.
    AnchorLost,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Missing => "is missing",
            Self::Changed => "was changed",
            Self::Misplaced => "is another block",
            Self::Detached => "does not follow the one before it",
            Self::UnknownKey => "is sealed by an unknown key, as are those after it",
            Self::AnchorLost => "knows of an anchor that is gone",
        })
    }
}

/// A trail without a broken link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The last block; sequence 0 if there is none. Keep it elsewhere, and give it to the next [`Trail::verify`].
    pub head: Head,
    /// Entries in all blocks.
    pub entries: u64,
}

/// Why a trail could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is broken. This is the first broken link.
    #[error("block {sequence} of the audit trail {problem}")]
    Broken {
        /// Its place.
        sequence: u64,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The anchor is not what was written: how long the trail was cannot be told.
    #[error("the anchor of the audit trail was changed")]
    Anchor,
    /// Nothing is known.
    #[error("the audit trail could not be read to its end")]
    Unreadable(#[source] AuditError),
}

/// The walk from the first block to the last.
struct Walk {
    last: Head,
    entries: u64,
    /// The first of the blocks that no key of ours vouches for.
    unknown: Option<u64>,
    /// The greatest anchor that any block knows, and the block.
    anchored: (u64, u64),
    /// Blocks that were: the anchor, and what the caller has kept.
    milestones: Vec<Head>,
}

impl Trail {
    /// Reads the whole trail, and says where it ends or where it is broken. `kept` is the head of an earlier time.
    ///
    /// # Errors
    ///
    /// [`VerifyError`]
    pub async fn verify(&self, kept: Option<&Head>) -> Result<Verified, VerifyError> {
        let unreadable = VerifyError::Unreadable;
        let anchor = self.anchor_to_verify().await?;
        let mut walk = Walk {
            last: Head::none(),
            entries: 0,
            unknown: None,
            anchored: (0, 0),
            milestones: anchor.into_iter().chain(kept.cloned()).collect(),
        };
        let mut after: Option<String> = None;
        loop {
            let page = self
                .objects
                .list(place::BLOCKS, after.as_deref(), PAGE)
                .await;
            let page = page.map_err(|error| unreadable(error.into()))?;
            after = page.last().map(|object| object.key.clone());
            let sequences: Vec<u64> = page
                .iter()
                .filter_map(|object| place::sequence(&object.key))
                .collect();
            for some in sequences.chunks(AT_A_TIME) {
                let keys: Vec<String> = some.iter().map(|place| place::block(*place)).collect();
                let objects = try_join_all(keys.iter().map(|key| self.objects.get(key)));
                let objects = objects.await.map_err(|error| unreadable(error.into()))?;
                for (sequence, object) in some.iter().zip(objects) {
                    let bytes = object.map(|(bytes, _)| bytes);
                    walk.step(*sequence, bytes.as_deref(), &self.keys)?;
                }
            }
            if page.len() < PAGE {
                break;
            }
        }
        let (known, by) = walk.anchored;
        let verified = walk.end()?;
        // It may have been moved while the blocks were read.
        let anchor = self.anchor_to_verify().await?;
        if anchor.is_none_or(|head| head.sequence < known) && known > 0 {
            return Err(broken(by, Problem::AnchorLost));
        }
        Ok(verified)
    }

    async fn anchor_to_verify(&self) -> Result<Option<Head>, VerifyError> {
        let there = self.objects.get(place::ANCHOR).await;
        let there = there.map_err(|error| VerifyError::Unreadable(error.into()))?;
        if there.is_none() {
            return Ok(None);
        }
        let anchor = self.anchor().await.map_err(VerifyError::Unreadable)?;
        anchor
            .map(|(head, _)| Some(head))
            .ok_or(VerifyError::Anchor)
    }
}

impl Walk {
    /// Looks at the next block that there is.
    fn step(
        &mut self,
        sequence: u64,
        bytes: Option<&[u8]>,
        keys: &Keys,
    ) -> Result<(), VerifyError> {
        let expected = self.last.sequence + 1;
        if sequence != expected {
            return Err(broken(expected, Problem::Missing));
        }
        let broken = |problem| broken(sequence, problem);
        // Deleted since it was listed.
        let bytes = bytes.ok_or_else(|| broken(Problem::Missing))?;
        let (block, seal): (Block, Seal) = open("audit block", bytes, keys).map_err(broken)?;
        if block.sequence != sequence {
            return Err(broken(Problem::Misplaced));
        }
        if block.previous != self.last.hash {
            let is_vouched_for = seal == Seal::Known && self.unknown.is_some();
            return Err(if is_vouched_for {
                // Of the two, it is the one that anybody could have written.
                VerifyError::Broken {
                    sequence: self.last.sequence,
                    problem: Problem::Changed,
                }
            } else {
                broken(Problem::Detached)
            });
        }
        let hash = Hash::of(bytes);
        for milestone in &self.milestones {
            if milestone.sequence == sequence && milestone.hash != hash {
                return Err(broken(Problem::Changed));
            }
        }
        match seal {
            // It vouches for all before it.
            Seal::Known => self.unknown = None,
            Seal::UnknownKey => self.unknown = self.unknown.or(Some(sequence)),
        }
        if block.anchored > self.anchored.0 {
            self.anchored = (block.anchored, sequence);
        }
        self.entries += u64::try_from(block.entries.len()).unwrap_or(u64::MAX);
        self.last = Head { sequence, hash };
        Ok(())
    }

    fn end(self) -> Result<Verified, VerifyError> {
        if let Some(sequence) = self.unknown {
            return Err(broken(sequence, Problem::UnknownKey));
        }
        let last = self.last.sequence;
        if self.milestones.iter().any(|head| head.sequence > last) {
            return Err(broken(last + 1, Problem::Missing));
        }
        Ok(Verified {
            head: self.last,
            entries: self.entries,
        })
    }
}

fn broken(sequence: u64, problem: Problem) -> VerifyError {
    VerifyError::Broken { sequence, problem }
}
