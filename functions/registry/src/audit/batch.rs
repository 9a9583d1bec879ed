//! Entries that were written at once by one process, and are not in the chain yet.

use std::fmt;

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::entry::{Entry, Seal, open, seal};
use super::{AuditError, PAGE, Problem, Trail, place, random};
use crate::store::StoreError;

/// Bytes of a batch at most; what is larger was not written by this trail.
pub(super) const MAX_BYTES: u64 = 4 << 20;
/// Batches read, or deleted, at the same time.
const AT_A_TIME: usize = 64;
const PURPOSE: &str = "audit batch";
/// Digits of the time in an identifier.
const TIME: usize = 17;
/// Digits that nobody can guess.
const RANDOM: usize = 16;

/// What a batch is called: the microsecond of its writing, and a random number. The order of identifiers is that of times,
/// and that of the keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct BatchId(String);

impl BatchId {
    /// One of this microsecond that nobody else has.
    pub(super) fn new(microseconds: u64) -> Result<Self, AuditError> {
        let random = hex::encode(random()?);
        Ok(Self(format!("{microseconds:0TIME$}-{random}")))
    }

    /// None of this time comes after it.
    pub(super) fn last_of(date: OffsetDateTime) -> Self {
        let last = "f".repeat(RANDOM);
        Self(format!("{:0TIME$}-{last}", microseconds(date)))
    }

    /// An identifier in the one way of writing it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (time, random) = text.split_once('-')?;
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_one = time.len() == TIME
            && time.starts_with('0')
            && time.bytes().all(|byte| byte.is_ascii_digit())
            && random.len() == RANDOM
            && random.bytes().all(is_hex);
        is_one.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The microseconds of a date since 1970; 0 before that.
pub(super) fn microseconds(date: OffsetDateTime) -> u64 {
    u64::try_from(date.unix_timestamp_nanos() / 1000).unwrap_or_default()
}

/// The content of the object.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Batch {
    /// As in the key: the object is no other batch.
    pub(super) id: BatchId,
    pub(super) entries: Vec<Entry>,
}

/// A batch of a listing.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) id: BatchId,
    pub(super) size: u64,
}

impl Trail {
    pub(super) fn seal_batch(&self, batch: &Batch) -> Result<Vec<u8>, AuditError> {
        let unwritable = |reason: String| AuditError::Unwritable(reason);
        let bytes =
            seal(PURPOSE, batch, &self.keys).map_err(|error| unwritable(error.to_string()))?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_BYTES) {
            Ok(bytes)
        } else {
            Err(unwritable("it is too large".to_owned()))
        }
    }

    /// The batch that was written under this identifier, if that can be believed. Nothing vouches for a batch but its own
    /// seal, so a key that is not known is not enough.
    pub(super) fn open_batch(&self, id: &BatchId, bytes: &[u8]) -> Result<Batch, Problem> {
        match open::<Batch>(PURPOSE, bytes, &self.keys)? {
            (_, Seal::UnknownKey) => Err(Problem::Foreign),
            (batch, Seal::Known) if batch.id == *id => Ok(batch),
            _ => Err(Problem::Changed),
        }
    }

    /// The first batches that wait, oldest first, so that there are `enough` or all; and whether they are all. What cannot
    /// be a batch is passed over.
    pub(super) async fn list_batches(
        &self,
        enough: usize,
    ) -> Result<(Vec<Listed>, bool), StoreError> {
        let mut batches: Vec<Listed> = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.objects.list(place::BATCHES, after.as_deref(), PAGE);
            let page = page.await?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|object| object.key.clone());
            let sizes = page.into_iter().map(|object| (object.key, object.size));
            batches.extend(sizes.filter_map(|(key, size)| {
                let id = place::batch_id(&key)?;
                (size <= MAX_BYTES).then_some(Listed { id, size })
            }));
            if is_last || batches.len() >= enough {
                return Ok((batches, is_last));
            }
        }
    }

    /// What these batches hold, in their order, without those that are gone by now. What cannot be believed comes back as
    /// it is.
    pub(super) async fn read_batches(
        &self,
        ids: &[BatchId],
    ) -> Result<(Vec<Batch>, Vec<(BatchId, Vec<u8>)>), StoreError> {
        let (mut batches, mut others) = (Vec::new(), Vec::new());
        for some in ids.chunks(AT_A_TIME) {
            let keys: Vec<String> = some.iter().map(place::batch).collect();
            let objects = try_join_all(keys.iter().map(|key| self.objects.get(key))).await?;
            for (id, object) in some.iter().zip(objects) {
                let Some((bytes, _)) = object else { continue };
                match self.open_batch(id, &bytes) {
                    Ok(batch) => batches.push(batch),
                    Err(_) => others.push((id.clone(), bytes)),
                }
            }
        }
        Ok((batches, others))
    }

    /// Puts a batch where it does not keep others from the chain. It is told by [`Trail::verify`].
    pub(super) async fn put_aside(&self, id: &BatchId, bytes: Vec<u8>) -> Result<(), StoreError> {
        tracing::error!(batch = %id, "a batch of the audit trail cannot be believed, and is kept aside");
        match self.objects.create(&place::aside(id), bytes).await {
            Ok(_) | Err(StoreError::Exists) => self.objects.delete(&place::batch(id)).await,
            Err(error) => Err(error),
        }
    }

    pub(super) async fn delete_batches(&self, ids: &[BatchId]) -> Result<(), StoreError> {
        for some in ids.chunks(AT_A_TIME) {
            let keys: Vec<String> = some.iter().map(place::batch).collect();
            try_join_all(keys.iter().map(|key| self.objects.delete(key))).await?;
        }
        Ok(())
    }

    /// What lies among the batches and is none that will get into the chain: its key, and why. What was put aside and can
    /// be believed by now goes back among the batches; also returns whether there was such a thing.
    pub(super) async fn strays(&self) -> Result<(Vec<(String, Problem)>, bool), StoreError> {
        let mut strays = Vec::new();
        let mut has_returned = false;
        for object in self.objects.list(place::PENDING, None, PAGE).await? {
            let is_small = object.size <= MAX_BYTES;
            if is_small && place::batch_id(&object.key).is_some() {
                continue;
            }
            let Some(id) = place::aside_id(&object.key).filter(|_| is_small) else {
                strays.push((object.key, Problem::Changed));
                continue;
            };
            let Some((bytes, _)) = self.objects.get(&object.key).await? else {
                continue;
            };
            if let Err(problem) = self.open_batch(&id, &bytes) {
                strays.push((object.key, problem));
                continue;
            }
            has_returned = true;
            match self.objects.create(&place::batch(&id), bytes).await {
                Ok(_) | Err(StoreError::Exists) => self.objects.delete(&object.key).await?,
                Err(error) => return Err(error),
            }
        }
        Ok((strays, has_returned))
    }
}
