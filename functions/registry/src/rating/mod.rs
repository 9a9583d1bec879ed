//! How good a model is, by what was found out about it: twelve scores, each with the rule and the inputs behind it.
//!
//! Every metric is a function from [`Evidence`] and [`Relations`] to [`Explained`], one file each. They ask nobody
//! and cost microseconds, so a rating can be made anew whenever evidence or relations change; [`Snapshot::inputs`]
//! says whether they did.
//!
//! Scores lie in 0..1. Only [`reviewedness`] is -1, for a model without a repository. What could not be found out
//! counts as not there, and the rule says so.

mod bus_factor;
mod code_quality;
mod dataset_and_code;
mod dataset_quality;
mod inputs;
mod license;
mod net;
mod performance_claims;
mod ramp_up;
mod readme;
mod reproducibility;
pub mod reviewedness;
mod size;
mod tree;

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

pub use inputs::{Ties, facts, inputs};
pub use net::WEIGHTS;
pub use size::{Device, SizeScore};

use crate::artifact::Id;
use crate::evidence::{Card, Evidence, Project};

/// A rating in the fields of the contract. Latencies are the seconds it took to compute a score.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ModelRating)]
#[expect(
    missing_docs,
    reason = "the contract names the fields; the files of this module describe the scores"
)]
pub struct Rating {
    pub name: String,
    pub category: String,
    pub net_score: f64,
    pub net_score_latency: f64,
    pub ramp_up_time: f64,
    pub ramp_up_time_latency: f64,
    pub bus_factor: f64,
    pub bus_factor_latency: f64,
    pub performance_claims: f64,
    pub performance_claims_latency: f64,
    pub license: f64,
    pub license_latency: f64,
    pub dataset_and_code_score: f64,
    pub dataset_and_code_score_latency: f64,
    pub dataset_quality: f64,
    pub dataset_quality_latency: f64,
    pub code_quality: f64,
    pub code_quality_latency: f64,
    pub reproducibility: f64,
    pub reproducibility_latency: f64,
    pub reviewedness: f64,
    pub reviewedness_latency: f64,
    pub tree_score: f64,
    pub tree_score_latency: f64,
    pub size_score: SizeScore,
    pub size_score_latency: f64,
}

/// A score and what led to it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = RatingExplanation)]
pub struct Explained {
    /// The score.
    pub score: f64,
    /// What is scored how, for people.
    pub rule: String,
    /// What the rule was applied to.
    pub inputs: BTreeMap<String, Value>,
}

/// What the registry itself knows around a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Relations {
    /// Registered code that the model's card links to.
    pub code: Vec<Related>,
    /// Registered datasets that the model's card names.
    pub datasets: Vec<Related>,
    /// Registered models that it was made from.
    pub parents: Vec<Parent>,
}

/// A registered artifact that a model refers to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Related {
    /// Its id.
    pub id: Id,
    /// What was found out about it.
    pub evidence: Evidence,
}

/// A registered model that another one was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parent {
    /// Its id.
    pub id: Id,
    /// Its net score, once it is rated.
    pub net_score: Option<f64>,
}

/// A rating, why it is so, and of what. A score that is missing in what is stored makes it none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The scores, beside what follows.
    #[serde(flatten)]
    pub rating: Rating,
    /// The explanations by the name of the metric.
    #[serde(default)]
    pub explanation: BTreeMap<String, Explained>,
    /// When it was made.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub rated_at: Option<OffsetDateTime>,
    /// SHA-256 of evidence and relations, in hexadecimal, by [`inputs()`]; empty for a rating by others.
    #[serde(default)]
    pub inputs: String,
}

/// Rates a model.
pub fn rate(name: &str, evidence: &Evidence, relations: &Relations) -> Snapshot {
    let mut rating = Rating {
        name: name.to_owned(),
        category: "MODEL".to_owned(),
        ..Rating::default()
    };
    let mut explanation = BTreeMap::new();
    let begin = Instant::now();
    let mut measured = |name: &str, score: fn(&Evidence, &Relations) -> Explained| {
        let begin = Instant::now();
        let explained = score(evidence, relations);
        let latency = seconds(begin);
        let score = explained.score;
        explanation.insert(name.to_owned(), explained);
        (score, latency)
    };
    (rating.ramp_up_time, rating.ramp_up_time_latency) = measured("ramp_up_time", ramp_up::score);
    (rating.bus_factor, rating.bus_factor_latency) = measured("bus_factor", bus_factor::score);
    (rating.performance_claims, rating.performance_claims_latency) =
        measured("performance_claims", performance_claims::score);
    (rating.license, rating.license_latency) = measured("license", license::score);
    (
        rating.dataset_and_code_score,
        rating.dataset_and_code_score_latency,
    ) = measured("dataset_and_code_score", dataset_and_code::score);
    (rating.dataset_quality, rating.dataset_quality_latency) =
        measured("dataset_quality", dataset_quality::score);
    (rating.code_quality, rating.code_quality_latency) =
        measured("code_quality", code_quality::score);
    (rating.reproducibility, rating.reproducibility_latency) =
        measured("reproducibility", reproducibility::score);
    (rating.reviewedness, rating.reviewedness_latency) =
        measured("reviewedness", reviewedness::score);
    (rating.tree_score, rating.tree_score_latency) = measured("tree_score", tree::score);

    let begin_of_size = Instant::now();
    let (sizes, explained) = size::scores(evidence);
    rating.size_score = sizes;
    rating.size_score_latency = seconds(begin_of_size);
    explanation.insert("size_score".to_owned(), explained);

    let explained = net::score(&rating, relations);
    rating.net_score = explained.score;
    rating.net_score_latency = seconds(begin);
    explanation.insert("net_score".to_owned(), explained);
    Snapshot {
        rating,
        explanation,
        rated_at: Some(OffsetDateTime::now_utc()),
        inputs: inputs(evidence, relations),
    }
}

impl Rating {
    /// The metrics whose score is below a threshold, for a registry that takes only what is good enough. What has
    /// no score is not below: reviews without a repository, and the tree of a model without rated parents.
    pub fn below(&self, threshold: f64, relations: &Relations) -> Vec<&'static str> {
        let has_tree = relations
            .parents
            .iter()
            .any(|parent| parent.net_score.is_some());
        let scores = [
            ("net_score", Some(self.net_score)),
            ("ramp_up_time", Some(self.ramp_up_time)),
            ("bus_factor", Some(self.bus_factor)),
            ("performance_claims", Some(self.performance_claims)),
            ("license", Some(self.license)),
            ("dataset_and_code_score", Some(self.dataset_and_code_score)),
            ("dataset_quality", Some(self.dataset_quality)),
            ("code_quality", Some(self.code_quality)),
            ("reproducibility", Some(self.reproducibility)),
            (
                "reviewedness",
                Some(self.reviewedness).filter(|score| *score >= 0.0),
            ),
            ("tree_score", Some(self.tree_score).filter(|_| has_tree)),
            ("size_score", Some(self.size_score.mean())),
        ];
        scores
            .into_iter()
            .filter(|(_, score)| score.is_some_and(|score| score < threshold))
            .map(|(name, _)| name)
            .collect()
    }
}

impl Explained {
    fn new(
        score: f64,
        rule: &str,
        inputs: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Self {
        Self {
            // A score is a number whatever the inputs were.
            score: if score.is_nan() {
                0.0
            } else {
                rounded(score.clamp(0.0, 1.0))
            },
            rule: rule.to_owned(),
            inputs: inputs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), shown(value)))
                .collect(),
        }
    }
}

/// What is known of a model's own repository of code: what its card links to, or what is registered.
fn project<'a>(evidence: &'a Evidence, relations: &'a Relations) -> Option<&'a Project> {
    let registered = || {
        relations
            .code
            .iter()
            .find_map(|code| code.evidence.github.as_ref())
    };
    evidence.github.as_ref().or_else(registered)
}

fn card(evidence: &Evidence) -> Option<&Card> {
    evidence.hub.as_ref()
}

/// A count on a logarithmic scale: 0 for none, 1 for ten to the power of `full` and more.
fn reach(count: u64, full: f64) -> f64 {
    ((real(count) + 1.0).log10() / full).min(1.0)
}

/// A share of a whole, 0 of nothing.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        (real(part) / real(whole)).min(1.0)
    }
}

/// To six digits after the point: more mean nothing, and these come back from JSON as they went in.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

/// An input as it is kept: numbers rounded like scores.
fn shown(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => number
            .as_f64()
            .map_or(Value::Null, |number| rounded(number).into()),
        Value::Array(values) => values.into_iter().map(shown).collect(),
        value => value,
    }
}

/// Seconds since a moment, to the nanosecond.
fn seconds(begin: Instant) -> f64 {
    (begin.elapsed().as_secs_f64() * 1e9).round() / 1e9
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "scores need no more than the first digits of a count"
)]
fn real(count: u64) -> f64 {
    count as f64
}

fn length<T>(things: &[T]) -> u64 {
    u64::try_from(things.len()).unwrap_or(u64::MAX)
}

/// 1 for what is there, 0 for what is not.
fn one(is_there: bool) -> f64 {
    if is_there { 1.0 } else { 0.0 }
}
