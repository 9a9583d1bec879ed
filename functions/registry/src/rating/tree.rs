//! How good the models are that a model was made from.

use serde_json::json;

use super::{Explained, Relations, length, real};
use crate::evidence::Evidence;

/// The score of a model without rated parents: neither good nor bad.
const NO_PARENTS: f64 = 0.5;

const RULE: &str = "the mean net score of the parents that are registered and rated; 0.5 without any, which then counts \
    neither for the net score nor for a threshold";

pub(super) fn score(_evidence: &Evidence, relations: &Relations) -> Explained {
    let scores: Vec<f64> = relations
        .parents
        .iter()
        .filter_map(|parent| parent.net_score)
        .filter(|score| score.is_finite())
        .map(|score| score.clamp(0.0, 1.0))
        .collect();
    let mean = if scores.is_empty() {
        NO_PARENTS
    } else {
        scores.iter().sum::<f64>() / real(length(&scores))
    };
    Explained::new(mean, RULE, [("parents", json!(relations.parents))])
}
