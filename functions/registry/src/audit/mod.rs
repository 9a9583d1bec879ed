//! What was done to artifacts: an append-only trail in which every link holds the hash of the one before.
//!
//! A link is a block: the object `audit/{sequence}.json` with all entries that waited when it was written. It is created on the
//! condition that there is none, so of several writers one gets the place, and the others go on from what it
//! wrote. Once an object, a block is never written again. A block carries the code of a key (that of the tokens), so
//! that who can write to the bucket but has no key cannot make up a chain.
//!
//! | what happens to the trail | who tells |
//! |---|---|
//! | a block is changed | its code |
//! | a block is missing | the place is empty, and there is something after it |
//! | blocks change places | the sequence that each holds, under its code |
//! | the end is cut off | the anchor, or a head that somebody has kept |
//!
//! **Anchor.** `audit/head.json` names a block that there was, at most some [`ANCHOR_EVERY`] behind the last. What is cut off
//! after it cannot be told from what was never written; so [`Trail::verify`] gives the head and takes one, to be kept where
//! who can cut the trail cannot reach. Whoever can put an old anchor back as well can cut off more: a bucket
//! with versions or Object Lock keeps them from it.
//!
//! **Index.** Whoever moves the anchor first notes for each artifact which blocks have entries of it. A block is in the
//! index or after the anchor, whenever a process dies, and the entries of an artifact are found without reading the trail.
//!
//! **Many writers.** Those of one process share blocks: while one block is written, all others wait for the next. Processes
//! compete for places, and a loser pays a read and a pause; so the throughput of entries grows with the load, while
//! that of blocks is what one place after the other allows.
//!
//! **When a process dies** there is a block or there is none. An entry is in the trail if [`Trail::record`] has said so; if it has failed,
//! or nobody waited for its answer, it may be.

mod anchor;
mod entry;
mod place;
mod verify;
mod write;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use futures_util::future::try_join_all;

pub use entry::{Action, Actor, Entry, Hash, Head, InvalidHead, Subject};
pub use verify::{Problem, Verified, VerifyError};

use crate::access::token::Keys;
use crate::artifact::Id;
use crate::store::{Objects, StoreError};
use entry::{Block, open};
use write::{Chain, Waiting};

/// Blocks between two moves of the anchor.
pub const ANCHOR_EVERY: u64 = 16;
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
    /// Others were faster so often that this writer gave up. The entry was not written.
    #[error("the audit trail has too many writers at once")]
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

/// The trail in a store. Share one per process: its writers then share blocks.
#[derive(Debug)]
pub struct Trail {
    objects: Objects,
    keys: Keys,
    /// What waits to be written.
    pending: Mutex<Vec<Waiting>>,
    /// Whoever has it writes, for all who wait.
    chain: tokio::sync::Mutex<Chain>,
    /// The greatest anchor that is known.
    anchored: AtomicU64,
    /// Whoever has it moves the anchor.
    anchoring: tokio::sync::Mutex<()>,
}

impl Trail {
    /// The trail in `objects`, sealed by `keys`. It asks nothing yet.
    pub fn new(objects: Objects, keys: Keys) -> Self {
        Self {
            objects,
            keys,
            pending: Mutex::default(),
            chain: tokio::sync::Mutex::default(),
            anchored: AtomicU64::new(0),
            anchoring: tokio::sync::Mutex::default(),
        }
    }

    /// What was done to an artifact, in the order in which it was written down: the entries of the blocks after the
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
        let anchored = self.anchor().await?.map_or(0, |(head, _)| head.sequence);
        let mut entries = Vec::new();
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
            let next = self.collect(id, &sequences, enough, &mut entries).await?;
            if next.is_some() {
                return Ok((entries, next));
            }
        }
        let last_indexed = place::block(anchored.max(after));
        let keys = self.keys_after(place::BLOCKS, Some(last_indexed)).await?;
        let sequences: Vec<u64> = keys.iter().filter_map(|key| place::sequence(key)).collect();
        let next = self.collect(id, &sequences, enough, &mut entries).await?;
        Ok((entries, next))
    }

    /// Adds an artifact's entries of these blocks until there are enough: then it says after which block.
    async fn collect(
        &self,
        id: &Id,
        sequences: &[u64],
        enough: usize,
        entries: &mut Vec<Entry>,
    ) -> Result<Option<u64>, AuditError> {
        for some in sequences.chunks(AT_A_TIME) {
            let blocks = try_join_all(some.iter().map(|sequence| self.block(*sequence)));
            for (block, _) in blocks.await? {
                let own = block.entries.into_iter();
                entries.extend(own.filter(|entry| entry.artifact.id == *id));
                if entries.len() >= enough {
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
