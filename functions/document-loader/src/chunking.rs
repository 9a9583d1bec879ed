//! How documents are split.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::splitter::{self, MARKDOWN_SEPARATORS, SEPARATORS};

/// How text is split into chunks: the column `chunking` of a source, which the SQL function `is_chunking` checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chunking {
    /// By what rule.
    pub splitter: Splitter,
    /// The most characters (code points) of a chunk.
    pub chunk_size: usize,
    /// How many characters the end of a chunk and the beginning of the next have in common, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_overlap: Option<usize>,
    /// Where text is split, what comes first being tried first; the splitter's own where none are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separators: Option<Vec<String>>,
}

/// The rule by which text is split.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Splitter {
    /// At paragraphs, else at lines, else at sentences, else at words.
    #[default]
    Recursive,
    /// The same, at headings first.
    Markdown,
    /// Not at all.
    None,
}

/// Characters of a chunk, and of an overlap: those of pgai.
const CHUNK_SIZE: usize = 800;
const CHUNK_OVERLAP: usize = 400;

impl Default for Chunking {
    fn default() -> Self {
        Self {
            splitter: Splitter::default(),
            chunk_size: CHUNK_SIZE,
            chunk_overlap: None,
            separators: None,
        }
    }
}

impl Chunking {
    /// How many characters neighbouring chunks have in common: half of a chunk, at most 400, if nothing else is said.
    pub fn overlap(&self) -> usize {
        self.chunk_overlap
            .unwrap_or_else(|| CHUNK_OVERLAP.min(self.chunk_size / 2))
    }

    /// What splits texts so.
    ///
    /// The table checks its numbers. Should it let any pass that make no sense, the default counts.
    pub(crate) fn splitter(&self) -> splitter::Splitter {
        let recursive = |separators: &[&str]| {
            let separators = match &self.separators {
                Some(separators) => separators.clone(),
                None => separators.iter().map(|&text| text.to_owned()).collect(),
            };
            splitter::Splitter::recursive(self.chunk_size, self.overlap(), separators)
                .unwrap_or_default()
        };
        match self.splitter {
            Splitter::Recursive => recursive(&SEPARATORS),
            Splitter::Markdown => recursive(&MARKDOWN_SEPARATORS).at_headings(),
            Splitter::None => splitter::Splitter::whole(),
        }
    }

    /// What tells this way of splitting from others.
    pub(crate) fn sha256(&self) -> Vec<u8> {
        // A structure of texts and numbers can always be written.
        Sha256::digest(serde_json::to_vec(self).unwrap_or_default()).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_users_know_it() {
        let chunking: Chunking = serde_json::from_str("{}").unwrap();
        assert_eq!(chunking, Chunking::default());
        assert_eq!((chunking.chunk_size, chunking.overlap()), (800, 400));
        let small: Chunking = serde_json::from_str(r#"{"chunk_size": 100}"#).unwrap();
        assert_eq!(small.overlap(), 50);
    }

    #[test]
    fn another_way_of_splitting_is_told_from_this_one() {
        let other: Chunking = serde_json::from_str(r#"{"splitter": "none"}"#).unwrap();
        assert_ne!(other.sha256(), Chunking::default().sha256());
    }
}
