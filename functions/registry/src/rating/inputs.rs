use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Parent, Relations};
use crate::artifact::Id;
use crate::evidence::Evidence;

/// Counts the changes of the rules: what was rated by earlier ones is rated anew.
const RULES: u32 = 1;

/// What the registry knows around a model, in short: who is related, and what identifies the facts about each.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Ties {
    /// Registered code with its [`facts`], by id.
    pub code: Vec<(Id, String)>,
    /// Registered datasets with their [`facts`], by id.
    pub datasets: Vec<(Id, String)>,
    /// Registered parents, by id.
    pub parents: Vec<Parent>,
}

/// What identifies the facts of some evidence: SHA-256 in hexadecimal. When and how they were found out is no part of
/// it.
pub fn facts(evidence: &Evidence) -> String {
    let facts = Evidence {
        looked_at: None,
        requests: Vec::new(),
        ..evidence.clone()
    };
    digest(&facts)
}

/// What identifies the inputs of a rating: the same inputs give the same scores.
pub fn inputs(evidence: &Evidence, relations: &Relations) -> String {
    Ties::from(relations).inputs(&facts(evidence))
}

impl Ties {
    /// As [`inputs`], of the facts about a model and what is around it.
    pub fn inputs(&self, facts: &str) -> String {
        digest(&(RULES, facts, self))
    }
}

impl From<&Relations> for Ties {
    fn from(relations: &Relations) -> Self {
        let of = |related: &[super::Related]| {
            let related = related.iter();
            related
                .map(|one| (one.id.clone(), facts(&one.evidence)))
                .collect()
        };
        Self {
            code: of(&relations.code),
            datasets: of(&relations.datasets),
            parents: relations.parents.clone(),
        }
    }
}

fn digest(value: &impl Serialize) -> String {
    // Trees of plain values always have a JSON form.
    let text = serde_json::to_vec(value).unwrap_or_default();
    hex::encode(Sha256::digest(text))
}
