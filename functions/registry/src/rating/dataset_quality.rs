//! How good the data behind a model is, by what its own page says.

use serde_json::json;

use super::readme::Readme;
use super::{Explained, Relations, card, length, one, reach, real, share};
use crate::artifact::Kind;
use crate::evidence::Evidence;
use crate::license::Class;

/// A description of this many characters is long enough.
const LONG: u64 = 2000;
/// The tags that say what a dataset is.
const DESCRIPTIONS: [&str; 4] = [
    "task_categories:",
    "language:",
    "size_categories:",
    "format:",
];

const RULE: &str = "of the best dataset: 0.3 for a description of 2000 characters or that share of it, 0.15 for a known \
    licence, 0.15 for tags of task, language, size and format, 0.25 × downloads on a logarithmic scale to 10^5, \
    0.15 × likes or stars to 10^2.5; 0.3 if the card names a dataset of which nothing was found out; 0 without";

pub(super) fn score(evidence: &Evidence, relations: &Relations) -> Explained {
    let found = evidence.datasets.iter().map(|card| {
        let evidence = Evidence {
            hub: Some(card.clone()),
            ..Evidence::default()
        };
        (card.asked.clone(), quality(&evidence))
    });
    let registered = relations
        .datasets
        .iter()
        .map(|related| (related.id.to_string(), quality(&related.evidence)));
    let all: Vec<(String, f64)> = found.chain(registered).collect();
    let named = card(evidence)
        .map(crate::evidence::Card::dataset_ids)
        .unwrap_or_default();
    let best = all.iter().map(|(_, quality)| *quality).reduce(f64::max);
    // A name is worth as much as a page that says little.
    let least = if named.is_empty() && relations.datasets.is_empty() {
        0.0
    } else {
        0.3
    };
    Explained::new(
        best.unwrap_or(0.0).max(least),
        RULE,
        [("datasets", json!(all)), ("named", json!(named))],
    )
}

fn quality(evidence: &Evidence) -> f64 {
    let readme = Readme::new(evidence.readme(Kind::Dataset));
    let tags = evidence
        .hub
        .as_ref()
        .map(|card| card.tags.as_slice())
        .unwrap_or_default();
    let described = DESCRIPTIONS
        .into_iter()
        .filter(|prefix| tags.iter().any(|tag| tag.starts_with(prefix)));
    let described = u64::try_from(described.count()).unwrap_or(0);
    let downloads = evidence
        .hub
        .as_ref()
        .and_then(|card| card.downloads)
        .unwrap_or(0);
    let liked = match (&evidence.hub, &evidence.github) {
        (Some(card), _) => card.likes,
        (None, Some(project)) => project.stars,
        (None, None) => None,
    };
    let has_license = evidence.license().class() != Class::Unknown;
    0.3 * (real(readme.length().min(LONG)) / real(LONG))
        + 0.15 * one(has_license)
        + 0.15 * share(described, length(&DESCRIPTIONS))
        + 0.25 * reach(downloads, 5.0)
        + 0.15 * reach(liked.unwrap_or(0), 2.5)
}
