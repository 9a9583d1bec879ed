//! Folding: what waits becomes blocks of the chain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use futures_util::future::try_join_all;
use shared::telemetry::chain;

use super::batch::{Batch, BatchId, Listed};
use super::entry::{Block, Hash, Head, Seal, open, seal};
use super::{ANCHOR_EVERY, AT_A_TIME, AuditError, Trail, pause, place, random};
use crate::store::StoreError;

/// Batches in one block.
const MAX_BATCHES: usize = 1000;
/// Entries in one block, but for those of its last batch.
const MAX_ENTRIES: usize = 2000;
/// Bytes of the batches of one block, but for its first.
const MAX_BYTES: u64 = 4 << 20;
/// Blocks that one call writes, or loses to others, before a reader goes on without.
const MAX_ROUNDS: u32 = 8;
const MAX_LOSSES: u32 = 3;
/// Blocks in which a batch is looked for that may have been taken.
const MAX_BACK: u64 = 1024;
/// Blocks whose batches are remembered.
const MAX_REMEMBERED: u64 = 64;
/// Batches that are read without being folded.
const MAX_UNFOLDED: usize = 10_000;

/// What this process knows of the end of the chain.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The last block that is known. Others may have written more.
    head: Option<Head>,
    recent: BTreeMap<u64, Taken>,
    /// The number of the last call that has folded all there was.
    done: u64,
}

/// What a block says of batches.
#[derive(Debug, Default, Clone)]
struct Taken {
    batches: Vec<BatchId>,
    /// No block up to this one has taken a later one; `None` if it cannot be told.
    latest: Option<BatchId>,
}

/// What one round has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// All that waited is in the chain.
    Done,
    /// Some of it is.
    More,
    /// Somebody else has written the next block.
    Lost,
}

impl Trail {
    /// Puts all that waits into the chain. Afterwards all that was acknowledged before the call is there.
    pub(super) async fn fold(&self) -> Result<(), AuditError> {
        let before = self.folds.load(Ordering::SeqCst);
        let mut known = self.known.lock().await;
        if known.done > before {
            // Somebody has begun after this call, and is done.
            return Ok(());
        }
        let own = self.folds.fetch_add(1, Ordering::SeqCst) + 1;
        let mut losses = 0;
        for _ in 0..MAX_ROUNDS {
            match self.fold_some(&mut known).await? {
                Round::Done => {
                    known.done = own;
                    let head = known.head.as_ref().map_or(0, |head| head.sequence);
                    drop(known);
                    self.anchor_if_due(head).await;
                    return Ok(());
                }
                Round::More => {}
                Round::Lost => {
                    losses += 1;
                    if losses >= MAX_LOSSES {
                        break;
                    }
                    pause(losses).await?;
                }
            }
        }
        Err(AuditError::Busy)
    }

    /// Folds what waits, if nobody else does. The trail is whole without it, so a failure is only logged.
    pub(super) async fn fold_in_passing(&self) {
        // One of this process is enough.
        let Ok(mut known) = self.known.try_lock() else {
            return;
        };
        if let Err(error) = self.fold_some(&mut known).await {
            tracing::warn!(error = %chain(&error), "the audit trail was not folded");
        }
        let head = known.head.as_ref().map_or(0, |head| head.sequence);
        drop(known);
        self.anchor_if_due(head).await;
    }

    async fn anchor_if_due(&self, head: u64) {
        if head.saturating_sub(self.known_anchor()) >= ANCHOR_EVERY {
            self.move_anchor().await;
        }
    }

    /// What waits and is not in the chain up to its end, as it is when this is called.
    pub(super) async fn unfolded(&self) -> Result<Vec<Batch>, AuditError> {
        let mut known = self.known.lock().await;
        let head = self.end(&mut known).await?;
        let (listed, is_all) = self.list_batches(MAX_UNFOLDED).await?;
        if !is_all {
            return Err(AuditError::Busy);
        }
        let Some(oldest) = listed.first() else {
            return Ok(Vec::new());
        };
        let taken = self.taken(&mut known, &head, &oldest.id).await?;
        drop(known);
        let ids = listed.into_iter().map(|batch| batch.id);
        let ids: Vec<BatchId> = ids.filter(|id| !taken.contains(id)).collect();
        let (batches, _) = self.read_batches(&ids).await?;
        Ok(batches)
    }

    /// Writes one block. The order of the steps is what keeps entries from being lost or doubled: see the head of the
    /// module.
    async fn fold_some(&self, known: &mut Known) -> Result<Round, AuditError> {
        let head = self.end(known).await?;
        let (listed, mut is_all) = self.list_batches(MAX_BATCHES).await?;
        let Some(oldest) = listed.first() else {
            return Ok(Round::Done);
        };
        let taken = self.taken(known, &head, &oldest.id).await?;
        let (gone, open): (Vec<Listed>, Vec<Listed>) = listed
            .into_iter()
            .partition(|batch| taken.contains(&batch.id));
        let gone: Vec<BatchId> = gone.into_iter().map(|batch| batch.id).collect();
        self.delete_batches(&gone).await?;
        let ids = first_of(&open);
        is_all &= ids.len() == open.len();

        let (batches, others) = self.read_batches(&ids).await?;
        for (id, bytes) in others {
            self.put_aside(&id, bytes).await?;
        }
        let mut block = Block {
            sequence: head.sequence + 1,
            previous: head.hash,
            anchored: self.known_anchor(),
            nonce: hex::encode(random()?),
            entries: Vec::new(),
            batches: Vec::new(),
            latest: known.latest(head.sequence),
        };
        for batch in batches {
            if block.entries.len() >= MAX_ENTRIES {
                is_all = false;
                break;
            }
            block.entries.extend(batch.entries);
            block.latest = block.latest.max(Some(batch.id.clone()));
            block.batches.push(batch.id);
        }
        if block.batches.is_empty() {
            return Ok(if is_all { Round::Done } else { Round::More });
        }
        if !self.append(known, &block).await? {
            return Ok(Round::Lost);
        }
        // Whoever writes the next block does it otherwise.
        if let Err(error) = self.delete_batches(&block.batches).await {
            tracing::warn!(error = %chain(&error), "what is in the audit trail's chain was not deleted where it waited");
        }
        Ok(if is_all { Round::Done } else { Round::More })
    }

    /// Writes the block, and returns whether its place was free.
    async fn append(&self, known: &mut Known, block: &Block) -> Result<bool, AuditError> {
        let bytes = seal("audit block", block, &self.keys)
            .map_err(|error| AuditError::Unwritable(error.to_string()))?;
        let key = place::block(block.sequence);
        match self.objects.create(&key, bytes.clone()).await {
            Ok(_) => {}
            Err(StoreError::Exists | StoreError::Changed) => {
                // The answer to an earlier try may have been lost.
                let there = self.objects.get(&key).await?;
                if there.is_none_or(|(there, _)| there != bytes) {
                    return Ok(false);
                }
            }
            Err(error) => return Err(error.into()),
        }
        known.head = Some(head_of(block.sequence, &bytes));
        known.remember(block.sequence, Taken::of(block));
        Ok(true)
    }

    /// Which batches from `oldest` on are in the chain up to `head`. Goes back to the first block that can tell that it
    /// took none of them, nor any before it.
    async fn taken(
        &self,
        known: &mut Known,
        head: &Head,
        oldest: &BatchId,
    ) -> Result<BTreeSet<BatchId>, AuditError> {
        let mut taken = BTreeSet::new();
        let first = head.sequence.saturating_sub(MAX_BACK);
        let (mut last, mut step) = (head.sequence, 1);
        while last > first {
            let before = last.saturating_sub(step).max(first);
            let unknown = (before + 1..=last).filter(|place| !known.recent.contains_key(place));
            let unknown: Vec<u64> = unknown.collect();
            let blocks = unknown.iter().map(|place| self.taken_by(*place));
            let blocks = try_join_all(blocks).await?;
            let mut blocks: BTreeMap<u64, Taken> = unknown.into_iter().zip(blocks).collect();
            for place in (before + 1..=last).rev() {
                let block = blocks
                    .remove(&place)
                    .or_else(|| known.recent.get(&place).cloned())
                    .unwrap_or_default();
                taken.extend(block.batches.iter().cloned());
                let is_older = block.latest.as_ref().is_some_and(|latest| latest < oldest);
                known.remember(place, block);
                if is_older {
                    return Ok(taken);
                }
            }
            last = before;
            step = u64::try_from(AT_A_TIME).unwrap_or(1);
        }
        Ok(taken)
    }

    /// What a block has taken. One that cannot be believed has taken nothing: what it says may be there to have batches
    /// deleted that are nowhere else.
    async fn taken_by(&self, sequence: u64) -> Result<Taken, AuditError> {
        let Some((bytes, _)) = self.objects.get(&place::block(sequence)).await? else {
            return Ok(Taken::default());
        };
        match open::<Block>("audit block", &bytes, &self.keys) {
            Ok((block, Seal::Known)) if block.sequence == sequence => Ok(Taken::of(&block)),
            _ => Ok(Taken::default()),
        }
    }

    /// The end of the chain, wherever others have moved it.
    async fn end(&self, known: &mut Known) -> Result<Head, AuditError> {
        let from = if let Some(head) = known.head.clone() {
            head
        } else {
            let anchor = self.anchor().await?;
            let anchor = anchor.map_or_else(Head::none, |(head, _)| head);
            self.note_anchor(anchor.sequence);
            anchor
        };
        let head = self.last_after(from).await?;
        known.head = Some(head.clone());
        Ok(head)
    }

    /// The last block there is, which is `head` if there is none after it.
    async fn last_after(&self, head: Head) -> Result<Head, AuditError> {
        let after = place::block(head.sequence);
        let keys = self.keys_after(place::BLOCKS, Some(after)).await?;
        let Some(sequence) = keys.iter().rev().find_map(|key| place::sequence(key)) else {
            return Ok(head);
        };
        let object = self.objects.get(&place::block(sequence)).await?;
        // It was listed: nobody but an intruder deletes blocks.
        let (bytes, _) = object.ok_or(AuditError::Broken {
            sequence,
            problem: super::Problem::Missing,
        })?;
        Ok(head_of(sequence, &bytes))
    }
}

impl Known {
    fn remember(&mut self, sequence: u64, taken: Taken) {
        self.recent.insert(sequence, taken);
        let head = self.head.as_ref().map_or(0, |head| head.sequence);
        let first = head.saturating_sub(MAX_REMEMBERED);
        self.recent = self.recent.split_off(&first);
    }

    /// The latest batch that blocks up to `head` are known to have taken.
    fn latest(&self, head: u64) -> Option<BatchId> {
        let blocks = self.recent.range(..=head);
        blocks.filter_map(|(_, taken)| taken.latest.clone()).max()
    }
}

impl Taken {
    fn of(block: &Block) -> Self {
        // A block from before there were batches: of its time there are none before it.
        let oldest = || {
            let dates = block.entries.iter().map(|entry| entry.date);
            dates.max().map(BatchId::last_of)
        };
        Self {
            batches: block.batches.clone(),
            latest: block.latest.clone().or_else(oldest),
        }
    }
}

/// Of these batches, the first that make a block.
fn first_of(listed: &[Listed]) -> Vec<BatchId> {
    let mut bytes = 0;
    let fitting = listed.iter().take(MAX_BATCHES).take_while(|batch| {
        let is_first = bytes == 0;
        bytes += batch.size;
        is_first || bytes <= MAX_BYTES
    });
    fitting.map(|batch| batch.id.clone()).collect()
}

fn head_of(sequence: u64, bytes: &[u8]) -> Head {
    Head {
        sequence,
        hash: Hash::of(bytes),
    }
}
