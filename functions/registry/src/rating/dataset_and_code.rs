//! Whether the data and the code of a model can be had.

use serde_json::json;

use super::{Explained, Relations, card};
use crate::evidence::Evidence;

/// A repository that the card only links to; what is registered stays.
const LINKED: f64 = 0.1;

const RULE: &str = "half for the dataset: 0.5 if one is registered or was found where the card says, 0.25 if the card only \
    names one; half for the code: 0.5 if it is registered, 0.1 if the card only links to it";

pub(super) fn score(evidence: &Evidence, relations: &Relations) -> Explained {
    let named = card(evidence)
        .map(crate::evidence::Card::dataset_ids)
        .unwrap_or_default();
    let found: Vec<&str> = evidence
        .datasets
        .iter()
        .map(|dataset| dataset.asked.as_str())
        .collect();
    let dataset = match (
        relations.datasets.is_empty() && found.is_empty(),
        named.is_empty(),
    ) {
        (false, _) => 0.5,
        (true, false) => 0.25,
        (true, true) => 0.0,
    };
    let linked = evidence
        .github
        .as_ref()
        .map(|project| project.asked.as_str());
    let code = match (relations.code.is_empty(), linked) {
        (false, _) => 0.5,
        (true, Some(_)) => LINKED,
        (true, None) => 0.0,
    };
    let ids = |related: &[super::Related]| -> Vec<String> {
        related.iter().map(|one| one.id.to_string()).collect()
    };
    Explained::new(
        dataset + code,
        RULE,
        [
            ("datasets_registered", json!(ids(&relations.datasets))),
            ("datasets_found", json!(found)),
            ("datasets_named", json!(named)),
            ("code_registered", json!(ids(&relations.code))),
            ("code_linked", json!(linked)),
        ],
    )
}
