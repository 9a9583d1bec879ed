//! Where the trail is kept: `audit/{sequence}.json`, `audit/head.json` and `audit/index/{artifact}/{sequence}`.

use crate::artifact::Id;

/// Before the keys of all blocks, and of nothing else: sequences are padded to twenty digits.
pub(super) const BLOCKS: &str = "audit/0";
/// The anchor.
pub(super) const ANCHOR: &str = "audit/head.json";

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
