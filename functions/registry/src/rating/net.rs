//! All scores as one.

use serde_json::json;

use super::{Explained, Rating, Relations};

/// What each score weighs. The size weighs as the mean of its four.
pub const WEIGHTS: [(&str, f64); 11] = [
    ("size_score", 0.20),
    ("license", 0.16),
    ("ramp_up_time", 0.14),
    ("bus_factor", 0.12),
    ("performance_claims", 0.10),
    ("dataset_and_code_score", 0.08),
    ("reproducibility", 0.06),
    ("dataset_quality", 0.05),
    ("code_quality", 0.05),
    ("reviewedness", 0.02),
    ("tree_score", 0.02),
];

const RULE: &str = "the weighted mean of the scores; reviewedness counts only with a repository, and tree_score only with rated \
    parents";

pub(super) fn score(rating: &Rating, relations: &Relations) -> Explained {
    let has_tree = relations
        .parents
        .iter()
        .any(|parent| parent.net_score.is_some());
    let of = |name: &str| match name {
        "size_score" => Some(rating.size_score.mean()),
        "license" => Some(rating.license),
        "ramp_up_time" => Some(rating.ramp_up_time),
        "bus_factor" => Some(rating.bus_factor),
        "performance_claims" => Some(rating.performance_claims),
        "dataset_and_code_score" => Some(rating.dataset_and_code_score),
        "reproducibility" => Some(rating.reproducibility),
        "dataset_quality" => Some(rating.dataset_quality),
        "code_quality" => Some(rating.code_quality),
        "reviewedness" => Some(rating.reviewedness).filter(|score| *score >= 0.0),
        "tree_score" => Some(rating.tree_score).filter(|_| has_tree),
        _ => None,
    };
    let counted: Vec<(&str, f64, f64)> = WEIGHTS
        .into_iter()
        .filter_map(|(name, weight)| Some((name, weight, of(name)?)))
        .collect();
    let whole: f64 = counted.iter().map(|(_, weight, _)| weight).sum();
    let sum: f64 = counted
        .iter()
        .map(|(_, weight, score)| weight * score)
        .sum();
    Explained::new(sum / whole, RULE, [("weights_and_scores", json!(counted))])
}
