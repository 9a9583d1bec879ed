//! Writing: whoever gets the chain writes for all who wait.

use std::mem;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::entry::{Block, Entry, Hash, Head, seal};
use super::{ANCHOR_EVERY, AuditError, Trail, place};
use crate::store::StoreError;

/// Entries in one block: some 100 KB.
const MAX_ENTRIES: usize = 256;
/// Times that a store is asked that does not answer.
const TRIES: u32 = 3;
/// Places lost to others in a row before giving up: some 20 seconds.
const MAX_LOSSES: u32 = 200;
/// The longest pause after a lost place, in milliseconds. Pauses are random, lest the same writers meet again.
const MAX_PAUSE: u64 = 200;

/// An entry whose author waits.
#[derive(Debug)]
pub(super) struct Waiting {
    entry: Entry,
    done: oneshot::Sender<Result<(), AuditError>>,
}

/// What this process knows of the end of the chain.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// The last block that is known. Others may have written more.
    head: Option<Head>,
    /// What is being written. It outlives whoever was writing it: its block may be there already.
    batch: Option<Batch>,
}

#[derive(Debug)]
struct Batch {
    waiting: Vec<Waiting>,
    /// As it was sent last, and to which place.
    sent: Option<(u64, Vec<u8>)>,
}

impl Trail {
    /// Writes `entry` down. When this returns, it is there for good.
    ///
    /// # Errors
    ///
    /// [`AuditError::Unavailable`], [`AuditError::Busy`] or [`AuditError::Unwritable`].
    pub async fn record(&self, entry: Entry) -> Result<(), AuditError> {
        let (done, mut answer) = oneshot::channel();
        self.pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Waiting { entry, done });
        let mut chain = tokio::select! {
            biased;
            // Somebody else has written it.
            answer = &mut answer => return answer.unwrap_or(Err(AuditError::Busy)),
            chain = self.chain.lock() => chain,
        };
        loop {
            match answer.try_recv() {
                Ok(answer) => {
                    let head = chain.head.as_ref().map_or(0, |head| head.sequence);
                    drop(chain);
                    let is_anchor_due = head.saturating_sub(self.known_anchor()) >= ANCHOR_EVERY;
                    if is_anchor_due {
                        self.move_anchor().await;
                    }
                    return answer;
                }
                // At first it may be the turn of what others have waited for longer.
                Err(TryRecvError::Empty) => self.write_batch(&mut chain).await,
                Err(TryRecvError::Closed) => return Err(AuditError::Busy),
            }
        }
    }

    /// Writes one block, and tells those whose entries are in it.
    async fn write_batch(&self, chain: &mut Chain) {
        if chain.batch.is_none() {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            let count = pending.len().min(MAX_ENTRIES);
            let later = pending.split_off(count);
            chain.batch = Some(Batch {
                waiting: mem::replace(&mut *pending, later),
                sent: None,
            });
        }
        let answer = self.append(chain).await;
        if answer.is_err() {
            // What is at the end now is to be asked.
            chain.head = None;
        }
        for waiting in chain
            .batch
            .take()
            .into_iter()
            .flat_map(|batch| batch.waiting)
        {
            // Who does not wait any more need not be told.
            let _gone = waiting.done.send(answer.clone());
        }
    }

    /// Writes the chain's batch to the next place that is free. If it is interrupted, the next call goes on.
    async fn append(&self, chain: &mut Chain) -> Result<(), AuditError> {
        let mut losses = 0;
        let mut failures = 0;
        loop {
            let sent = chain.batch.as_ref().and_then(|batch| batch.sent.clone());
            let (sequence, bytes) = match sent {
                // The same bytes to the same place: if they are there already, they are ours.
                Some(sent) => sent,
                None => self.next_block(chain).await?,
            };
            let key = place::block(sequence);
            match self.objects.create(&key, bytes.clone()).await {
                Ok(_) => {
                    chain.head = Some(head_of(sequence, &bytes));
                    return Ok(());
                }
                Err(StoreError::Exists | StoreError::Changed) => {
                    let there = self.objects.get(&key).await?.map(|(there, _)| there);
                    if there.as_ref() == Some(&bytes) {
                        chain.head = Some(head_of(sequence, &bytes));
                        return Ok(());
                    }
                    if let Some(batch) = &mut chain.batch {
                        batch.sent = None;
                    }
                    losses += 1;
                    // Gone since is gone for good: then the end is looked for again.
                    chain.head = there.map(|there| head_of(sequence, &there));
                    if losses >= MAX_LOSSES {
                        return Err(AuditError::Busy);
                    }
                    // The first time, what was known was old; after that there is a crowd.
                    if losses > 1 {
                        pause(losses).await?;
                    }
                    if let Some(head) = chain.head.clone() {
                        chain.head = Some(self.last_after(head).await?);
                    }
                }
                Err(error) => {
                    failures += 1;
                    if failures >= TRIES {
                        return Err(error.into());
                    }
                    pause(failures).await?;
                }
            }
        }
    }

    /// The batch as the block after the last that is known.
    async fn next_block(&self, chain: &mut Chain) -> Result<(u64, Vec<u8>), AuditError> {
        let head = match chain.head.clone() {
            Some(head) => head,
            None => self.find_head().await?,
        };
        let sequence = head.sequence + 1;
        let waiting = chain.batch.iter().flat_map(|batch| &batch.waiting);
        let block = Block {
            sequence,
            previous: head.hash,
            anchored: self.known_anchor(),
            nonce: hex::encode(random()?),
            entries: waiting.map(|waiting| waiting.entry.clone()).collect(),
        };
        let bytes = seal("audit block", &block, &self.keys)
            .map_err(|error| AuditError::Unwritable(error.to_string()))?;
        if let Some(batch) = &mut chain.batch {
            batch.sent = Some((sequence, bytes.clone()));
        }
        Ok((sequence, bytes))
    }

    /// The end of the chain, wherever others have moved it.
    async fn find_head(&self) -> Result<Head, AuditError> {
        let anchor = match self.anchor().await? {
            Some((head, _)) => head,
            None => Head::none(),
        };
        self.note_anchor(anchor.sequence);
        self.last_after(anchor).await
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

fn head_of(sequence: u64, bytes: &[u8]) -> Head {
    Head {
        sequence,
        hash: Hash::of(bytes),
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
