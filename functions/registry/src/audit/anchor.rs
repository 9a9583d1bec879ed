//! The anchor, and the index of what it holds.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use shared::telemetry::chain;

use super::entry::{Head, open, seal};
use super::{AT_A_TIME, AuditError, Trail, place};
use crate::artifact::Id;
use crate::store::{Etag, StoreError};

/// Blocks that one move goes over at most: what is left is for the next.
const MAX_STEP: u64 = 64;
/// Notes in the index after which a move goes no further.
const MAX_NOTES: usize = 1000;
/// Notes written at the same time.
const NOTES_AT_A_TIME: usize = 64;

#[derive(Serialize, Deserialize)]
struct Anchor {
    head: Head,
}

impl Trail {
    /// A block that there was, by the anchor. An anchor that cannot be believed is none: [`Trail::verify`] says so.
    pub(super) async fn anchor(&self) -> Result<Option<(Head, Etag)>, AuditError> {
        let Some((bytes, etag)) = self.objects.get(place::ANCHOR).await? else {
            return Ok(None);
        };
        match open::<Anchor>("audit anchor", &bytes, &self.keys) {
            Ok((anchor, _)) => Ok(Some((anchor.head, etag))),
            Err(problem) => {
                tracing::error!(%problem, "the anchor of the audit trail cannot be believed");
                Ok(None)
            }
        }
    }

    /// Moves the anchor towards the last block, after noting what is in between in the index. The trail is whole without it, so a failure is
    /// only logged: the next one who folds tries again.
    pub(super) async fn move_anchor(&self) {
        // One of this process is enough.
        let Ok(_turn) = self.anchoring.try_lock() else {
            return;
        };
        if let Err(error) = self.anchor_more().await {
            tracing::warn!(error = %chain(&error), "the anchor of the audit trail was not moved");
        }
    }

    async fn anchor_more(&self) -> Result<(), AuditError> {
        let anchor = self.anchor().await?;
        let before = anchor.as_ref().map_or(0, |(head, _)| head.sequence);
        self.note_anchor(before);
        let after = place::block(before);
        let keys = self.keys_after(place::BLOCKS, Some(after)).await?;
        let last = keys.iter().rev().find_map(|key| place::sequence(key));
        let Some(last) = last.map(|last| last.min(before + MAX_STEP)) else {
            return Ok(());
        };
        let sequences: Vec<u64> = (before + 1..=last).collect();
        let mut reached = None;
        let mut notes = 0;
        'blocks: for some in sequences.chunks(AT_A_TIME) {
            for (block, own) in
                try_join_all(some.iter().map(|sequence| self.block(*sequence))).await?
            {
                let ids: BTreeSet<&Id> = block
                    .entries
                    .iter()
                    .map(|entry| &entry.artifact.id)
                    .collect();
                let ids: Vec<&Id> = ids.into_iter().collect();
                for some in ids.chunks(NOTES_AT_A_TIME) {
                    try_join_all(some.iter().map(|id| self.note(id, block.sequence))).await?;
                }
                notes += ids.len();
                reached = Some(Head {
                    sequence: block.sequence,
                    hash: own,
                });
                if notes >= MAX_NOTES {
                    break 'blocks;
                }
            }
        }
        let Some(head) = reached else {
            return Ok(());
        };
        let last = head.sequence;
        let bytes = seal("audit anchor", &Anchor { head }, &self.keys)
            .map_err(|error| AuditError::Unwritable(error.to_string()))?;
        let moved = match &anchor {
            Some((_, etag)) => self.objects.replace(place::ANCHOR, bytes, etag).await,
            None => self.objects.create(place::ANCHOR, bytes).await,
        };
        match moved {
            Ok(_) => {
                self.note_anchor(last);
                Ok(())
            }
            // Somebody else moved it, as far or farther.
            Err(StoreError::Changed | StoreError::Exists) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The greatest anchor that this process knows. Not under the lock of the folder: who moves the anchor must not wait for
    /// who folds.
    pub(super) fn known_anchor(&self) -> u64 {
        self.anchored.load(Ordering::SeqCst)
    }

    pub(super) fn note_anchor(&self, sequence: u64) {
        self.anchored.fetch_max(sequence, Ordering::SeqCst);
    }

    async fn note(&self, id: &Id, sequence: u64) -> Result<(), StoreError> {
        match self
            .objects
            .create(&place::index_of(id, sequence), Vec::new())
            .await
        {
            Ok(_) | Err(StoreError::Exists) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
