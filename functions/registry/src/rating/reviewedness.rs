//! How much of a model's code was reviewed.

use serde_json::json;

use super::{Explained, Relations, project, share};
use crate::evidence::Evidence;

/// The score of a model without a repository.
pub const NO_REPOSITORY: f64 = -1.0;

const RULE: &str = "of the linked GitHub repository's newest commits the share that came by pull request, times the share of \
    the newest merged pull requests that somebody other than the author reviewed; what could not be looked at counts as \
    not reviewed; -1 without a repository";

pub(super) fn score(evidence: &Evidence, relations: &Relations) -> Explained {
    let Some(project) = project(evidence, relations) else {
        return Explained {
            score: NO_REPOSITORY,
            rule: RULE.to_owned(),
            ..Explained::default()
        };
    };
    let commits = project.commits.unwrap_or_default();
    let reviews = project.reviews.unwrap_or_default();
    let by_pull_request = share(commits.by_pull_request, commits.seen);
    let reviewed = share(reviews.reviewed, reviews.seen);
    Explained::new(
        by_pull_request * reviewed,
        RULE,
        [
            ("repository", json!(project.asked)),
            ("commits", json!(project.commits)),
            ("reviews", json!(project.reviews)),
        ],
    )
}
