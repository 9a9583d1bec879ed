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
    /// The last block looked at; sequence 0 if there is none. Keep it elsewhere, and give it to the next
    /// [`Trail::verify`].
    pub head: Head,
    /// Entries in all blocks looked at.
    pub entries: u64,
    /// Nothing comes after that block. Otherwise what is said is worth something only when the rest is verified too.
    pub is_complete: bool,
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
    /// Nobody knows what the block before this one was: the walk begins with it.
    begins_at: Option<u64>,
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
        self.verify_some(None, kept, u64::MAX).await
    }

    /// As [`verify`](Self::verify), but at most so many blocks: `from` the head that the last call has ended with, or from the
    /// beginning.
    ///
    /// # Errors
    ///
    /// [`VerifyError`]
    pub async fn verify_some(
        &self,
        from: Option<&Head>,
        kept: Option<&Head>,
        most: u64,
    ) -> Result<Verified, VerifyError> {
        let anchor = self.anchor_to_verify().await?;
        let mut walk = Walk::new(from, anchor.into_iter().chain(kept.cloned()).collect());
        let is_complete = self.walk(&mut walk, most).await?;
        let (known, by) = walk.anchored;
        let verified = walk.end(is_complete)?;
        // It may have been moved while the blocks were read.
        let anchor = self.anchor_to_verify().await?;
        if anchor.is_none_or(|head| head.sequence < known) && known > 0 {
            return Err(broken(by, Problem::AnchorLost));
        }
        Ok(verified)
    }

    /// Goes on for at most so many blocks. Returns whether they were the last.
    async fn walk(&self, walk: &mut Walk, most: u64) -> Result<bool, VerifyError> {
        let unreadable = VerifyError::Unreadable;
        let mut left = most;
        let mut after = place::block(walk.last.sequence);
        loop {
            let page = self.objects.list(place::BLOCKS, Some(&after), PAGE).await;
            let page = page.map_err(|error| unreadable(error.into()))?;
            let sequences: Vec<u64> = page
                .iter()
                .filter_map(|object| place::sequence(&object.key))
                .collect();
            for some in sequences.chunks(AT_A_TIME) {
                if left == 0 {
                    return Ok(false);
                }
                left = left.saturating_sub(u64::try_from(some.len()).unwrap_or(u64::MAX));
                let keys: Vec<String> = some.iter().map(|place| place::block(*place)).collect();
                let objects = try_join_all(keys.iter().map(|key| self.objects.get(key)));
                let objects = objects.await.map_err(|error| unreadable(error.into()))?;
                for (sequence, object) in some.iter().zip(objects) {
                    let bytes = object.map(|(bytes, _)| bytes);
                    walk.step(*sequence, bytes.as_deref(), &self.keys)?;
                }
            }
            let is_last = page.len() < PAGE;
            match page.into_iter().next_back() {
                Some(last) if !is_last => after = last.key,
                _ => return Ok(true),
            }
        }
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
    /// A walk that begins with the block of `from`, which is looked at once more: it is where this walk is tied to the last one.
    fn new(from: Option<&Head>, mut milestones: Vec<Head>) -> Self {
        let from = from.filter(|from| from.sequence > 0);
        milestones.extend(from.cloned());
        let before = Head {
            sequence: from.map_or(0, |from| from.sequence - 1),
            hash: Hash::none(),
        };
        Self {
            last: before,
            begins_at: from.map(|from| from.sequence),
            entries: 0,
            unknown: None,
            anchored: (0, 0),
            milestones,
        }
    }

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
        let is_first = self.begins_at == Some(sequence);
        if block.previous != self.last.hash && !is_first {
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
        if !is_first {
            self.entries += u64::try_from(block.entries.len()).unwrap_or(u64::MAX);
        }
        self.last = Head { sequence, hash };
        Ok(())
    }

    /// What can be said when nothing comes after, or else when there is more.
    fn end(self, is_complete: bool) -> Result<Verified, VerifyError> {
        let last = self.last.sequence;
        if is_complete {
            if let Some(sequence) = self.unknown {
                return Err(broken(sequence, Problem::UnknownKey));
            }
            if self.milestones.iter().any(|head| head.sequence > last) {
                return Err(broken(last + 1, Problem::Missing));
            }
        }
        Ok(Verified {
            head: self.last,
            entries: self.entries,
            is_complete,
        })
    }
}

fn broken(sequence: u64, problem: Problem) -> VerifyError {
    VerifyError::Broken { sequence, problem }
}
