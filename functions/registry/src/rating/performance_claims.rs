//! Whether claims of performance can be followed.

use serde_json::json;

use super::readme::Readme;
use super::{Explained, Relations, card, one, reach};
use crate::artifact::Kind;
use crate::evidence::Evidence;

/// Benchmarks and measures by which models are compared.
const MEASURES: &[&str] = &[
    "accuracy",
    "f1",
    "bleu",
    "rouge",
    "wer",
    "perplexity",
    "glue",
    "squad",
    "mmlu",
    "hellaswag",
    "imagenet",
    "librispeech",
    "coco",
    "gsm8k",
    "humaneval",
    "mteb",
    "map",
    "auc",
    "precision",
    "recall",
];

const RULE: &str = "0.35 for results as numbers, in the card's metadata or in a table; 0.2 for two or more known benchmarks \
    or measures, 0.05 for one; 0.15 for a paper; 0.1 for a section on evaluation; 0.2 × downloads on a logarithmic scale to \
    10^8, for claims that many have seen fail or hold";

pub(super) fn score(evidence: &Evidence, _relations: &Relations) -> Explained {
    let readme = Readme::new(evidence.readme(Kind::Model));
    let card = card(evidence);
    let results = card.map_or(0, |card| card.results().len());
    let table = readme.has_table_of_numbers();
    let measures = readme.count(MEASURES);
    let paper = readme.mentions(&[
        "arxiv.org/",
        "doi.org/",
        "@article",
        "@inproceedings",
        "@misc",
    ]) || card
        .is_some_and(|card| card.tags.iter().any(|tag| tag.starts_with("arxiv:")));
    let section = readme.has_section(&["evaluat", "result", "performance", "benchmark"]);
    let downloads = card.and_then(|card| card.downloads).unwrap_or(0);
    let named = match measures {
        0 => 0.0,
        1 => 0.05,
        _ => 0.2,
    };
    let score = 0.35 * one(results > 0 || table)
        + named
        + 0.15 * one(paper)
        + 0.1 * one(section)
        + 0.2 * reach(downloads, 8.0);
    Explained::new(
        score,
        RULE,
        [
            ("results_in_metadata", json!(results)),
            ("table_of_numbers", json!(table)),
            ("measures_named", json!(measures)),
            ("paper", json!(paper)),
            ("section_on_evaluation", json!(section)),
            ("downloads", json!(downloads)),
        ],
    )
}
