//! Whether a model outlives the loss of one of its people.

use serde_json::json;

use super::{Explained, Relations, card, project, reach, share};
use crate::evidence::Evidence;

/// What is assumed of the people behind a page whose contributors nobody names.
const UNNAMED: f64 = 0.25;
/// Downloads a month, as a power of ten, of which there are enough to be sure of successors.
const MANY: f64 = 8.0;

const RULE: &str = "1 - (1 - people) × (1 - followers): people is 1 minus the sum of squares of the contributors' shares of \
    the commits, 0.25 if contributors are not known; followers is the monthly downloads on a logarithmic scale to 10^8";

pub(super) fn score(evidence: &Evidence, relations: &Relations) -> Explained {
    let contributors = project(evidence, relations).map(|project| project.contributors.as_slice());
    let contributors = contributors.unwrap_or_default();
    let commits = contributors
        .iter()
        .fold(0, |sum: u64, person| sum.saturating_add(person.commits));
    let is_known = card(evidence).is_some();
    let people = if commits > 0 {
        let squares = contributors
            .iter()
            .map(|person| share(person.commits, commits).powi(2));
        1.0 - squares.sum::<f64>().min(1.0)
    } else if is_known {
        UNNAMED
    } else {
        0.0
    };
    let downloads = card(evidence).and_then(|card| card.downloads);
    let followers = reach(downloads.unwrap_or(0), MANY);
    Explained::new(
        1.0 - (1.0 - people) * (1.0 - followers),
        RULE,
        [
            ("contributors", json!(contributors.len())),
            ("commits", json!(commits)),
            ("people", json!(people)),
            ("downloads", json!(downloads)),
            ("followers", json!(followers)),
        ],
    )
}
