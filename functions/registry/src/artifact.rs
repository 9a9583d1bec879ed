//! What is registered: ids, kinds and names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest id taken from a client; our own have ten digits.
const MAX_ID_BYTES: usize = 128;
/// The longest name, in bytes of UTF-8.
const MAX_NAME_BYTES: usize = 1024;

/// What kind of thing an artifact is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[schema(as = ArtifactType)]
pub enum Kind {
    /// Weights and what belongs to them.
    Model,
    /// Data to train or to evaluate with.
    Dataset,
    /// A program.
    Code,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Model, Self::Dataset, Self::Code];

    /// As it is written in paths and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
            Self::Code => "code",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = InvalidArtifact;

    fn from_str(text: &str) -> Result<Self, InvalidArtifact> {
        match text {
            "model" => Ok(Self::Model),
            "dataset" => Ok(Self::Dataset),
            "code" => Ok(Self::Code),
            _ => Err(InvalidArtifact::Kind),
        }
    }
}

/// The name under which the registry keeps an artifact, unique over all kinds: letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(as = ArtifactID, pattern = "^[a-zA-Z0-9\\-]+$", max_length = 128, examples("3847247294"))]
pub struct Id(String);

impl Id {
    /// A new id: ten digits, which clients that take ids for numbers can read as well. Whoever creates an artifact
    /// under it must do so on the condition that it is free.
    ///
    /// # Errors
    ///
    /// The system has no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes)?;
        // No leading zero: as a number it would be another id.
        let number = 1_000_000_000 + u64::from_le_bytes(bytes) % 9_000_000_000;
        Ok(Self(number.to_string()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Id {
    type Err = InvalidArtifact;

    fn from_str(text: &str) -> Result<Self, InvalidArtifact> {
        let is_id = !text.is_empty()
            && text.len() <= MAX_ID_BYTES
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        is_id
            .then(|| Self(text.to_owned()))
            .ok_or(InvalidArtifact::Id)
    }
}

impl TryFrom<String> for Id {
    type Error = InvalidArtifact;

    fn try_from(text: String) -> Result<Self, InvalidArtifact> {
        text.parse()
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

/// What people call an artifact. Several may have the same name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = InvalidArtifact;

    fn from_str(text: &str) -> Result<Self, InvalidArtifact> {
        let is_name = !text.trim().is_empty()
            && text.len() <= MAX_NAME_BYTES
            && text != "*" // means every name in queries
            && !text.chars().any(char::is_control);
        is_name
            .then(|| Self(text.to_owned()))
            .ok_or(InvalidArtifact::Name)
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidArtifact;

    fn try_from(text: String) -> Result<Self, InvalidArtifact> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

/// Why something cannot be part of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidArtifact {
    /// There are three kinds.
    #[error("the artifact type must be model, dataset or code")]
    Kind,
    /// Empty, too long, or with other characters.
    #[error("an artifact id has 1 to 128 letters, digits and hyphens")]
    Id,
    /// Empty, too long, reserved, or with control characters.
    #[error("a name has 1 to 1024 bytes and no control characters, and is not \"*\"")]
    Name,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_letters_digits_and_hyphens() {
        for id in ["48472749248", "a-B-9", &"x".repeat(128)] {
            assert_eq!(id.parse::<Id>().unwrap().as_str(), id);
        }
        for id in ["", "a/b", "..", "a\0", "ü", "{id}", &"x".repeat(129)] {
            assert_eq!(id.parse::<Id>(), Err(InvalidArtifact::Id), "{id}");
        }
    }

    #[test]
    fn new_ids_are_ten_digits() {
        for _ in 0..100 {
            let id = Id::random().unwrap();
            assert_eq!(id.as_str().len(), 10);
            assert!(id.as_str().bytes().all(|byte| byte.is_ascii_digit()));
        }
    }

    #[test]
    fn names_are_what_people_write() {
        for name in ["bert-base-uncased", "owner/name", "ü 😀", "**"] {
            assert_eq!(name.parse::<Name>().unwrap().as_str(), name);
        }
        for name in ["", "  ", "*", "a\0b", "a\nb", &"x".repeat(1025)] {
            assert_eq!(name.parse::<Name>(), Err(InvalidArtifact::Name), "{name:?}");
        }
    }
}
