//! What is written down, and in what form.

use std::fmt;
use std::str::FromStr;

use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Problem;
use super::batch::BatchId;
use crate::access::token::Keys;
use crate::artifact::{Id, Kind};
use crate::record::Record;

/// Somebody did something to an artifact. The fields are those of the contract's `ArtifactAuditEntry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ArtifactAuditEntry)]
pub struct Entry {
    /// Who.
    pub user: Actor,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub date: OffsetDateTime,
    /// To what, as it was called then.
    pub artifact: Subject,
    /// What.
    pub action: Action,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditedUser)]
pub struct Actor {
    /// The user's name.
    pub name: String,
    /// Whether the user could do everything then.
    pub is_admin: bool,
}

/// What it was done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditedArtifact)]
pub struct Subject {
    /// The artifact's name, whatever it was.
    pub name: String,
    /// The artifact.
    pub id: Id,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: Kind,
}

impl From<&Record> for Subject {
    fn from(record: &Record) -> Self {
        Self {
            name: record.name.clone(),
            id: record.id.clone(),
            kind: record.kind,
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schema(as = AuditedAction)]
pub enum Action {
    /// It was registered.
    Create,
    /// It was changed.
    Update,
    /// Its bytes were asked for.
    Download,
    /// Its rating was asked for.
    Rate,
    /// Its trail was asked for.
    Audit,
    /// It was deleted. The contract has no such action: whoever answers in its words leaves it out.
    Delete,
}

/// Entries that were written at once: the link of the chain.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Block {
    /// Its place, from 1.
    pub(super) sequence: u64,
    /// The hash of the block before; zeros in the first.
    pub(super) previous: Hash,
    /// The greatest anchor known to the writer: from then on, there must be one.
    pub(super) anchored: u64,
    /// Random. Two instances may have the same to write at the same time; without it, each would take the block of
    /// the other for its own.
    pub(super) nonce: String,
    /// In the order of their batches.
    pub(super) entries: Vec<Entry>,
    /// The batches that these entries were in. None in a block from before there were batches, whose writer had waited
    /// for its place.
    #[serde(default)]
    pub(super) batches: Vec<BatchId>,
    /// The latest batch that this block or one before it has taken.
    #[serde(default)]
    pub(super) latest: Option<BatchId>,
}

/// The SHA-256 of an object's bytes, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hash(String);

impl Hash {
    /// Of the bytes of an object.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(digest::digest(&digest::SHA256, bytes)))
    }

    /// Before the first block.
    pub(super) fn none() -> Self {
        Self("0".repeat(64))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The last block, or one that was: everything up to there is told by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its place.
    pub sequence: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Head {
    /// Before the first block.
    pub(crate) fn none() -> Self {
        Self {
            sequence: 0,
            hash: Hash::none(),
        }
    }
}

/// As people keep it: `sequence:hash`.
impl fmt::Display for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.sequence, self.hash.0)
    }
}

impl FromStr for Head {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let (sequence, hash) = text.split_once(':').ok_or(InvalidHead)?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hash.len() != 64 || !hash.bytes().all(is_digit) {
            return Err(InvalidHead);
        }
        Ok(Self {
            sequence: sequence.parse().map_err(|_no_number| InvalidHead)?,
            hash: Hash(hash.to_owned()),
        })
    }
}

/// A text that is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a head is a number, a colon and 64 hexadecimal digits, as an earlier answer gave it")]
pub struct InvalidHead;

/// Something with the code of a key: who has no key cannot write it.
#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    key: String,
    code: String,
    #[serde(borrow)]
    content: &'a RawValue,
}

/// How far a seal can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seal {
    /// A key that is believed made it.
    Known,
    /// The key is not one of ours; it may have been.
    UnknownKey,
}

/// `content` as bytes with the code of the signing key. `purpose` keeps blocks, batches and anchors apart.
pub(super) fn seal(
    purpose: &str,
    content: &impl Serialize,
    keys: &Keys,
) -> Result<Vec<u8>, serde_json::Error> {
    let content = serde_json::value::to_raw_value(content)?;
    let key = keys.signing();
    serde_json::to_vec(&Sealed {
        key: key.id().to_owned(),
        code: key.code(purpose, &[content.get().as_bytes()]),
        content: &content,
    })
}

/// The inverse of [`seal`]. [`Problem::Changed`] if the bytes are not what the key has sealed, or nothing that could be.
pub(super) fn open<T: for<'de> Deserialize<'de>>(
    purpose: &str,
    bytes: &[u8],
    keys: &Keys,
) -> Result<(T, Seal), Problem> {
    let sealed: Sealed<'_> = serde_json::from_slice(bytes).map_err(|_no_json| Problem::Changed)?;
    let content = sealed.content.get();
    let seal = match keys.find(&sealed.key) {
        Some(key) if key.is_code(purpose, &[content.as_bytes()], &sealed.code) => Seal::Known,
        Some(_) => return Err(Problem::Changed),
        None => Seal::UnknownKey,
    };
    let content = serde_json::from_str(content).map_err(|_other| Problem::Changed)?;
    Ok((content, seal))
}
