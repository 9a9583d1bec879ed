//! Where the trail is kept: `audit/{sequence}.json`, `audit/head.json`, `audit/index/{artifact}/{sequence}`,
//! `audit/pending/{batch}.json` and `audit/pending/aside/{batch}.json`.

use super::batch::BatchId;
use crate::artifact::Id;

/// Before the keys of all blocks, and of nothing else: sequences are padded to twenty digits.
pub(super) const BLOCKS: &str = "audit/0";
/// The anchor.
pub(super) const ANCHOR: &str = "audit/head.json";
/// Before the keys of all that is not in the chain yet, or never will be.
pub(super) const PENDING: &str = "audit/pending/";
/// Before the keys of batches: their times are padded to seventeen digits, which is enough for two centuries.
pub(super) const BATCHES: &str = "audit/pending/0";
/// Before the keys of batches that nobody could believe.
const ASIDE: &str = "audit/pending/aside/";

/// The key of a block.
pub(super) fn block(sequence: u64) -> String {
    format!("audit/{sequence:020}.json")
}

/// The place of a block with this key.
pub(super) fn sequence(key: &str) -> Option<u64> {
    let digits = key.strip_prefix("audit/")?.strip_suffix(".json")?;
    let sequence = digits.parse().ok()?;
    (block(sequence) == key).then_some(sequence)
}

/// The key of a batch.
pub(super) fn batch(id: &BatchId) -> String {
    format!("{PENDING}{id}.json")
}

/// The batch with this key.
pub(super) fn batch_id(key: &str) -> Option<BatchId> {
    BatchId::parse(key.strip_prefix(PENDING)?.strip_suffix(".json")?)
}

/// Where a batch is kept that nobody could believe.
pub(super) fn aside(id: &BatchId) -> String {
    format!("{ASIDE}{id}.json")
}

/// The batch that is kept aside with this key.
pub(super) fn aside_id(key: &str) -> Option<BatchId> {
    BatchId::parse(key.strip_prefix(ASIDE)?.strip_suffix(".json")?)
}

/// Before the keys that name the blocks with entries of an artifact.
pub(super) fn index(id: &Id) -> String {
    format!("audit/index/{id}/")
}

/// Says that a block has entries of an artifact.
pub(super) fn index_of(id: &Id, sequence: u64) -> String {
    format!("{}{sequence:020}", index(id))
}

/// The block that such a key names.
pub(super) fn indexed(key: &str) -> Option<u64> {
    key.rsplit_once('/')?.1.parse().ok()
}
