//! What was done to artifacts: an append-only trail in which every link holds the hash of the one before.
//!
//! An entry is written in a **batch**: the object `audit/pending/{time}-{random}.json` with all entries that waited in one
//! process when it was written. Nobody competes for it, so an entry costs one request, however many processes there are.
//! Batches are **folded** into the chain: a link is a block, the object `audit/{sequence}.json` with the entries of all batches that
//! waited then, oldest first. It is created on the condition that there is none, so of several folders one gets the place.
//! Once an object, a block is never written again. Batches and blocks carry the code of a key (that of the tokens), so
//! that who can write to the bucket but has no key cannot make up a trail.
//!
//! | what happens to the trail | who tells |
//! |---|---|
//! | a block is changed | its code |
//! | a block is missing | the place is empty, and there is something after it |
//! | blocks change places | the sequence that each holds, under its code |
//! | the end is cut off | the anchor, or a head that somebody has kept |
//! | a batch is changed, made up, or stored under another name | its code, and the identifier under it: it is kept aside, and told by [`Trail::verify`] |
//! | a batch is stored once more | the blocks that have taken it, as far as a folder looks back |
//! | a batch is removed before it is folded | **nobody**, but a bucket with versions |
//!
//! **When is folded?** Before a history is read and before the trail is verified, and after every [`FOLD_EVERY`] batches of one
//! process. Until then a batch can be removed without a trace; so who does not trust those who can write to the bucket
//! verifies often.
//!
//! **Folding** loses nothing and doubles nothing, whoever dies when, because of the order of its steps. A folder
//!
//! 1. finds the last block, *h*,
//! 2. lists the batches, after that,
//! 3. deletes of those what *h* or a block before it has taken, and waits until that is done,
//! 4. reads the others, and puts aside what cannot be believed,
//! 5. writes them as block *h* + 1, which names them, if there is none; otherwise it begins anew,
//! 6. deletes them.
//!
//! *Nothing is lost*: a batch is deleted only when a block that names it, and holds its entries, has been read or written.
//! That block is believed only with the code of a key that is known. *Nothing is doubled*: when block *h* + 1 is written, what *h* has taken is gone,
//! by 3, if it was listed; if not, it was gone before; and what earlier blocks took was gone when *h* was written. What
//! is in block *h* + 1 was listed after *h* and found in no block up to there, and nothing comes between the two. This also
//! holds if the request that writes the block arrives late, for until then nobody else had the place. Killed after 1 to
//! 4, nothing has happened; after 5, step 3 of the next folder does what is left.
//!
//! One thing brings a batch back that is in the chain: a request to write it whose answer was lost, and which is
//! repeated, or arrives late, when the batch has been folded and deleted. So every block says which is the latest batch that it
//! or one before it took, and a folder looks back, from the last block to the first that has taken nothing as late as its oldest batch. That is exact, whatever
//! clocks say; after 1,024 blocks it gives up, and takes the batch.
//!
//! **History** has the order of the chain: blocks, and in a block batches by their time. The entries of one process keep
//! their order, for it writes one batch after the other, each with a later time. When others are folding all the time, a reader goes on
//! without, and adds what waits to what is in the chain.
//!
//! **Anchor.** `audit/head.json` names a block that there was, some [`ANCHOR_EVERY`] behind the last. What is cut off
//! after it cannot be told from what was never written; so [`Trail::verify`] gives the head and takes one, to be kept where
//! who can cut the trail cannot reach. Whoever can put an old anchor back as well can cut off more: a bucket
//! with versions or Object Lock keeps them from it.
//!
//! **Index.** Whoever moves the anchor first notes for each artifact which blocks have entries of it. A block is in the
//! index or after the anchor, whenever a process dies, and the entries of an artifact are found without reading the trail.
//!
//! **Aside.** A batch that cannot be believed would be found by every folder again. It is moved to `audit/pending/aside/`, where it
//! is evidence. If its key was only missing in the settings, the next who verifies with the key puts it back.
//!
//! **Older trails** are chains whose blocks were written by those who had entries. They name no batches, and are read and verified
//! like the others; folding goes on after their last block.
//!
//! **When a process dies** there is a batch or there is none. An entry is in the trail if [`Trail::record`] has said so; if it has failed,
//! or nobody waited for its answer, it may be.

mod anchor;
mod batch;
mod entry;
mod fold;
mod note;
mod place;
mod verify;
mod write;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::try_join_all;

pub use entry::{Action, Actor, Entry, Hash, Head, InvalidHead, Subject};
pub(crate) use note::{Note, Reached};
pub use verify::{Problem, Verified, VerifyError};

use crate::access::token::Keys;
use crate::artifact::Id;
use crate::store::{Objects, StoreError};
use batch::BatchId;
use entry::{Block, open};
use fold::Known;
use shared::telemetry::chain;
use write::{Desk, Waiting};

/// Blocks between two moves of the anchor.
pub const ANCHOR_EVERY: u64 = 16;
/// Batches that a process writes before it folds.
pub const FOLD_EVERY: u32 = 64;
/// The longest pause before something is tried again, in milliseconds. Pauses are random, lest the same processes meet again.
const MAX_PAUSE: u64 = 200;
/// Blocks read at the same time.
const AT_A_TIME: usize = 16;
/// Keys asked for at once.
const PAGE: usize = 1000;

/// Why an entry was not written, or not found.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuditError {
    /// The store does not answer. Whether an entry was written is not known.
    #[error("the audit trail cannot be reached")]
    Unavailable(#[source] Arc<StoreError>),
    /// Others were faster so often that this process gave up. Nothing was lost by that.
    #[error("the audit trail has too many readers and writers at once")]
    Busy,
    /// The entry cannot be written as JSON, or a code not be made.
    #[error("the audit entry cannot be written: {0}")]
    Unwritable(String),
    /// A block is not what it was, or gone: see [`Trail::verify`].
    #[error("block {sequence} of the audit trail {problem}")]
    Broken {
        /// Which.
        sequence: u64,
        /// What is wrong with it.
        problem: Problem,
    },
}

impl From<StoreError> for AuditError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(Arc::new(error))
    }
}

/// The trail in a store. Share one per process: its writers then share batches.
#[derive(Debug)]
pub struct Trail {
    objects: Objects,
    keys: Keys,
    /// What waits to be written.
    waiting: Mutex<Vec<Waiting>>,
    /// Whoever has it writes, for all who wait.
    desk: tokio::sync::Mutex<Desk>,
    /// Whoever has it folds.
    known: tokio::sync::Mutex<Known>,
    /// How many calls have begun to fold.
    folds: AtomicU64,
    /// The greatest anchor that is known.
    anchored: AtomicU64,
    /// Whoever has it moves the anchor.
    anchoring: tokio::sync::Mutex<()>,
}

/// What blocks have of an artifact, and which batches that was in.
#[derive(Debug, Default)]
struct Found {
    entries: Vec<Entry>,
    batches: BTreeSet<BatchId>,
}

impl Trail {
    /// The trail in `objects`, sealed by `keys`. It asks nothing yet.
    pub fn new(objects: Objects, keys: Keys) -> Self {
        Self {
            objects,
            keys,
            waiting: Mutex::default(),
            desk: tokio::sync::Mutex::default(),
            known: tokio::sync::Mutex::default(),
            folds: AtomicU64::new(0),
            anchored: AtomicU64::new(0),
            anchoring: tokio::sync::Mutex::default(),
        }
    }

    /// What was done to an artifact, oldest first: all that was written down before the call. The entries of the blocks after the
    /// place `after`, which is 0 for the first, until there are `enough`; and the place to go on from if there may be
    /// more. A block is not divided, so there may be some more than enough.
    ///
    /// # Errors
    ///
    /// [`AuditError::Unavailable`], or [`AuditError::Broken`] if a block in question is.
    pub async fn entries(
        &self,
        id: &Id,
        after: u64,
        enough: usize,
    ) -> Result<(Vec<Entry>, Option<u64>), AuditError> {
        let unfolded = match self.fold().await {
            Ok(()) => Vec::new(),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the audit trail was not folded");
                self.unfolded().await?
            }
        };
        let anchored = self.anchor().await?.map_or(0, |(head, _)| head.sequence);
        let mut found = Found::default();
        let prefix = place::index(id);
        let mut from = Some(place::index_of(id, after));
        while let Some(key) = from.take() {
            let page = self.objects.list(&prefix, Some(&key), PAGE).await?;
            if page.len() == PAGE {
                from = page.last().map(|object| object.key.clone());
            }
            let sequences: Vec<u64> = page
                .iter()
                .filter_map(|object| place::indexed(&object.key))
                // What is after the anchor is found there: an index may be half written.
                .filter(|sequence| *sequence <= anchored)
                .collect();
            let next = self.collect(id, &sequences, enough, &mut found).await?;
            if next.is_some() {
                return Ok((found.entries, next));
            }
        }
        let last_indexed = place::block(anchored.max(after));
        let keys = self.keys_after(place::BLOCKS, Some(last_indexed)).await?;
        let sequences: Vec<u64> = keys.iter().filter_map(|key| place::sequence(key)).collect();
        let next = self.collect(id, &sequences, enough, &mut found).await?;
        if next.is_none() {
            // Since it was read, it may have got into the chain.
            let waiting = unfolded
                .into_iter()
                .filter(|batch| !found.batches.contains(&batch.id));
            let waiting = waiting.flat_map(|batch| batch.entries);
            let own = waiting.filter(|entry| entry.artifact.id == *id);
            found.entries.extend(own);
        }
        Ok((found.entries, next))
    }

    /// Adds an artifact's entries of these blocks until there are enough: then it says after which block.
    async fn collect(
        &self,
        id: &Id,
        sequences: &[u64],
        enough: usize,
        found: &mut Found,
    ) -> Result<Option<u64>, AuditError> {
        for some in sequences.chunks(AT_A_TIME) {
            let blocks = try_join_all(some.iter().map(|sequence| self.block(*sequence)));
            for (block, _) in blocks.await? {
                let own = block.entries.into_iter();
                found
                    .entries
                    .extend(own.filter(|entry| entry.artifact.id == *id));
                found.batches.extend(block.batches);
                if found.entries.len() >= enough {
                    return Ok(Some(block.sequence));
                }
            }
        }
        Ok(None)
    }

    /// A block that must be there, and its hash.
    async fn block(&self, sequence: u64) -> Result<(Block, Hash), AuditError> {
        let broken = |problem| AuditError::Broken { sequence, problem };
        let object = self.objects.get(&place::block(sequence)).await?;
        let (bytes, _) = object.ok_or_else(|| broken(Problem::Missing))?;
        let (block, _): (Block, _) = open("audit block", &bytes, &self.keys).map_err(broken)?;
        if block.sequence != sequence {
            return Err(broken(Problem::Misplaced));
        }
        Ok((block, Hash::of(&bytes)))
    }

    /// All keys with a prefix.
    async fn keys_after(
        &self,
        prefix: &str,
        mut after: Option<String>,
    ) -> Result<Vec<String>, AuditError> {
        let mut keys = Vec::new();
        loop {
            let page = self.objects.list(prefix, after.as_deref(), PAGE).await?;
            let is_last = page.len() < PAGE;
            keys.extend(page.into_iter().map(|object| object.key));
            if is_last {
                return Ok(keys);
            }
            after = keys.last().cloned();
        }
    }
}

/// Waits a random time, longer the more often it was in vain.
async fn pause(times: u32) -> Result<(), AuditError> {
    let longest = MAX_PAUSE.min(5 << times.min(10));
    let milliseconds = u64::from_le_bytes(random()?) % longest;
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    Ok(())
}

fn random() -> Result<[u8; 8], AuditError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| AuditError::Unwritable(error.to_string()))?;
    Ok(bytes)
}
