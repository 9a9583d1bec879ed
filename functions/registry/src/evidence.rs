//! What was found out about an artifact where it comes from, and how: the ground of ratings, lineage and cost.
//!
//! Evidence is stored with the artifact. Fields of other versions are ignored, missing ones are unknown.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use crate::artifact::Kind;
use crate::license::Terms;

/// How long a source that did not answer is left alone at least, and at most.
const REST: Duration = Duration::minutes(10);
const LONGEST_REST: Duration = Duration::hours(2);

/// Everything that was found out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// When the sources were asked.
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub looked_at: Option<OffsetDateTime>,
    /// The artifact's page on the Hugging Face Hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub: Option<Card>,
    /// The artifact's own repository on GitHub, or the one that a model's card links to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub github: Option<Project>,
    /// The datasets that a model's card names, as far as they were looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub datasets: Vec<Card>,
    /// What was asked, and what could not be found out for which reason.
    pub requests: Vec<Request>,
}

/// A repository of the Hugging Face Hub.
///
/// Fields are named as <https://huggingface.co/docs/hub/api> has them, as far as it has them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Card {
    /// The id as it was asked for.
    pub asked: String,
    /// The id that the Hub uses today; empty if the Hub did not say.
    pub id: String,
    /// The commit that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha: Option<String>,
    /// Downloads of the last 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downloads: Option<u64>,
    /// People who like it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likes: Option<u64>,
    /// When it changed, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// Whether people must ask for access.
    pub gated: bool,
    /// What it is for, such as `fill-mask`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline_tag: Option<String>,
    /// The library it is made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub library_name: Option<String>,
    /// Tags, the ones with a prefix included.
    pub tags: Vec<String>,
    /// The metadata at the head of the README.
    pub card_data: Map<String, Value>,
    /// The files, at most [`MAX_FILES`].
    pub files: Vec<File>,
    /// How many files there are; `None` if the list is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_count: Option<u64>,
    /// The size of all files in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The README, in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readme: Option<String>,
    /// What `config.json` and `adapter_config.json` name as the model this one was made from.
    pub config_parents: Vec<String>,
}

/// How many files of a repository are kept by name; sizes are those of all.
pub const MAX_FILES: usize = 2000;

/// How many names of one kind a page is believed.
const MAX_NAMES: usize = 500;
/// The longest statement of a licence, in bytes.
const MAX_LICENSE: usize = 1000;

/// A file of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct File {
    /// The path inside the repository.
    pub path: String,
    /// Bytes, where they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A repository of GitHub.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Project {
    /// `owner/name` as it was asked for.
    pub asked: String,
    /// `owner/name` as GitHub has it today; empty if GitHub did not say.
    pub full_name: String,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The licence's SPDX id by GitHub's own recognition, or its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Stars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stars: Option<u64>,
    /// Forks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forks: Option<u64>,
    /// Whether it is closed for changes.
    pub archived: bool,
    /// The size in bytes, by GitHub's own count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// When something was last pushed, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed_at: Option<String>,
    /// Bytes of source by language.
    pub languages: BTreeMap<String, u64>,
    /// Who wrote it, up to a hundred, without robots.
    pub contributors: Vec<Contributor>,
    /// The newest commits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commits: Option<Commits>,
    /// Reviews of the newest merged pull requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reviews: Option<Reviews>,
    /// The README, in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readme: Option<String>,
    /// The paths of the files, at most [`MAX_FILES`].
    pub files: Vec<String>,
}

/// A person and what they wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contributor {
    /// The name on GitHub.
    pub login: String,
    /// Their commits.
    pub commits: u64,
}

/// How the newest commits came in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Commits {
    /// How many were looked at, merges not counted.
    pub seen: u64,
    /// How many of them came by a pull request.
    pub by_pull_request: u64,
}

/// How many pull requests were reviewed by somebody other than their author.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reviews {
    /// Merged pull requests whose reviews were looked at.
    pub seen: u64,
    /// Those with a review.
    pub reviewed: u64,
}

/// A question to a source, and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// The address that was asked first.
    pub url: String,
    /// The address that answered, if it was another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<String>,
    /// When it was asked.
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub at: Option<OffsetDateTime>,
    /// The seconds it took.
    pub seconds: f64,
    /// The status of HTTP, if there was an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The answer's entity tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The commit the answer is of, where the source says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// SHA-256 of the answer's body, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// More about a failure, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Seconds after which a source that had enough may be asked again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

/// How a question ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With an answer.
    Found,
    /// There is no such thing.
    Missing,
    /// One must log in or ask for access.
    Gated,
    /// The source had enough of us for now.
    RateLimited,
    /// Time ran out.
    Slow,
    /// The answer is longer than what is read.
    TooLarge,
    /// The answer is not what the source's documentation says.
    Malformed,
    /// The address is not one that may be asked.
    Refused,
    /// No connection, or it broke, or the source failed.
    Unreachable,
    /// The artifact comes from a service that nobody here knows how to ask.
    Unsupported,
    /// Written by another version.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Outcome {
    /// Whether asking again later may end better.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::RateLimited | Self::Slow | Self::Unreachable)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Found => "found",
            Self::Missing => "there is no such thing",
            Self::Gated => "it is not shown to everybody",
            Self::RateLimited => "too much was asked for now",
            Self::Slow => "no answer in time",
            Self::TooLarge => "the answer is too large",
            Self::Malformed => "the answer is not understood",
            Self::Refused => "that may not be asked",
            Self::Unreachable => "no connection",
            Self::Unsupported => "nobody knows how to ask there",
            Self::Unknown => "not known",
        })
    }
}

impl Evidence {
    /// What the artifact's own README says.
    pub fn readme(&self, kind: Kind) -> Option<&str> {
        let hub = || self.hub.as_ref().and_then(|card| card.readme.as_deref());
        let github = || {
            self.github
                .as_ref()
                .and_then(|project| project.readme.as_deref())
        };
        match kind {
            Kind::Model => hub(),
            Kind::Dataset | Kind::Code => hub().or_else(github),
        }
    }

    /// The size of the artifact itself in bytes, if anybody said.
    pub fn bytes(&self) -> Option<u64> {
        match (&self.hub, &self.github) {
            (Some(card), _) => card.bytes,
            (None, Some(project)) => project.bytes,
            (None, None) => None,
        }
    }

    /// The artifact's own licence.
    pub fn license(&self) -> Terms {
        match (&self.hub, &self.github) {
            (Some(card), _) => card.license(),
            (None, Some(project)) => project.license(),
            (None, None) => Terms::default(),
        }
    }

    /// Whether a question failed for a reason that may pass, so that it is worth looking again.
    pub fn is_incomplete(&self) -> bool {
        self.passing().next().is_some()
    }

    /// Whether the source said nothing of the artifact itself, for a reason that may pass.
    pub fn is_silent(&self) -> bool {
        let hub = self.hub.as_ref().is_some_and(|card| !card.id.is_empty());
        let github = self.github.as_ref();
        let github = github.is_some_and(|project| !project.full_name.is_empty());
        !hub && !github && self.is_incomplete()
    }

    /// When sources that did not answer may be asked again: ten minutes later, or when they say so. `None` if all
    /// answered.
    pub fn asks_again_at(&self) -> Option<OffsetDateTime> {
        let asked_for = self
            .passing()
            .map(|request| request.retry_after.unwrap_or(0));
        let seconds = i64::try_from(asked_for.max()?).unwrap_or(i64::MAX);
        let rest = Duration::seconds(seconds).clamp(REST, LONGEST_REST);
        let looked_at = self.looked_at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        looked_at.checked_add(rest)
    }

    /// This look; of what it could not see this time, what an earlier one saw.
    #[must_use]
    pub fn or(mut self, before: Option<Self>) -> Self {
        let Some(before) = before.filter(|_| self.is_incomplete()) else {
            return self;
        };
        if before
            .hub
            .as_ref()
            .is_some_and(|before| before.says_more(self.hub.as_ref()))
        {
            self.hub = before.hub;
        }
        if before
            .github
            .as_ref()
            .is_some_and(|before| before.says_more(self.github.as_ref()))
        {
            self.github = before.github;
        }
        if before.datasets.len() > self.datasets.len() {
            self.datasets = before.datasets;
        }
        self
    }

    /// The questions that failed for reasons that may pass.
    pub(crate) fn passing(&self) -> impl Iterator<Item = &Request> {
        self.requests
            .iter()
            .filter(|request| request.outcome.may_pass())
    }
}

impl Card {
    /// Whether something is here of which the other one knows nothing.
    fn says_more(&self, than: Option<&Self>) -> bool {
        than.is_none_or(|other| {
            (other.id.is_empty() && !self.id.is_empty())
                || (other.readme.is_none() && self.readme.is_some())
        })
    }

    /// The licence: of the metadata, or of the tags.
    pub fn license(&self) -> Terms {
        let stated: Vec<&str> = texts(self.card_data.get("license"));
        let tagged: Vec<&str> = self.tagged("license:");
        let mut stated = if stated.is_empty() { tagged } else { stated };
        stated.truncate(MAX_NAMES);
        stated.retain(|license| license.len() <= MAX_LICENSE);
        // "other" means that the name is in a field of its own.
        let named = self.card_data.get("license_name").and_then(Value::as_str);
        match (stated.as_slice(), named) {
            (["other"] | [], Some(name)) => Terms::of(name),
            ([], None) => Terms::default(),
            (stated, _) => Terms::of_all(stated),
        }
    }

    /// The ids of the datasets that the metadata and the tags name, each once.
    pub fn dataset_ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        let named = texts(self.card_data.get("datasets"));
        let named = named.into_iter().chain(self.tagged("dataset:"));
        for id in named.take(MAX_NAMES) {
            if !ids.iter().any(|known| known.eq_ignore_ascii_case(id)) {
                ids.push(id.to_owned());
            }
        }
        ids
    }

    /// The ids of the models that this one was made from, each once: first by its configuration, then by the
    /// metadata, then by tags such as `base_model:finetune:owner/name`.
    pub fn parents(&self) -> Vec<String> {
        let tagged = self.tagged("base_model:").into_iter().map(|tag| {
            let relations = ["finetune:", "quantized:", "adapter:", "merge:"];
            relations
                .iter()
                .find_map(|relation| tag.strip_prefix(relation))
                .unwrap_or(tag)
        });
        let configured = self.config_parents.iter().map(String::as_str);
        let named = texts(self.card_data.get("base_model"));
        let mut ids: Vec<String> = Vec::new();
        for id in configured.chain(named).chain(tagged).take(MAX_NAMES) {
            let is_itself = [&self.id, &self.asked]
                .iter()
                .any(|own| own.eq_ignore_ascii_case(id));
            let is_known = ids.iter().any(|known| known.eq_ignore_ascii_case(id));
            if is_repository_id(id) && !is_itself && !is_known {
                ids.push(id.to_owned());
            }
        }
        ids
    }

    /// The evaluation results of the metadata, each as the Hub has it.
    pub fn results(&self) -> Vec<&Value> {
        let index = self.card_data.get("model-index").and_then(Value::as_array);
        index
            .into_iter()
            .flatten()
            .filter_map(|model| model.get("results")?.as_array())
            .flatten()
            .collect()
    }

    fn tagged(&self, prefix: &str) -> Vec<&str> {
        self.tags
            .iter()
            .filter_map(|tag| tag.strip_prefix(prefix))
            .collect()
    }
}

impl Project {
    /// Whether something is here of which the other one knows nothing.
    fn says_more(&self, than: Option<&Self>) -> bool {
        than.is_none_or(|other| {
            (other.full_name.is_empty() && !self.full_name.is_empty())
                || (other.readme.is_none() && self.readme.is_some())
                || (other.contributors.is_empty() && !self.contributors.is_empty())
        })
    }

    /// The licence that GitHub recognised.
    pub fn license(&self) -> Terms {
        self.license
            .as_deref()
            .map_or_else(Terms::default, Terms::of)
    }
}

/// Whether a text names a repository of the Hub: `name` or `owner/name`, not a path of somebody's disk.
pub fn is_repository_id(text: &str) -> bool {
    let segments: Vec<&str> = text.split('/').collect();
    let is_segment = |segment: &&str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    text.len() <= 200 && segments.len() <= 2 && segments.iter().all(is_segment)
}

/// A text, or the texts of a list.
pub(crate) fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn card(data: Value, tags: &[&str]) -> Card {
        Card {
            id: "me/mine".to_owned(),
            card_data: serde_json::from_value(data).unwrap(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..Card::default()
        }
    }

    #[test]
    fn parents_come_from_configuration_metadata_and_tags() {
        let mut card = card(
            json!({"base_model": ["a/b", "A/B", "/tmp/checkpoint"]}),
            &[
                "base_model:a/b",
                "base_model:finetune:c/d",
                "base_model:quantized:me/mine",
            ],
        );
        card.config_parents = vec!["./output".to_owned(), "bert-base".to_owned()];
        assert_eq!(card.parents(), ["bert-base", "a/b", "c/d"]);
    }

    #[test]
    fn licences_come_from_metadata_or_tags() {
        let expression = |card: &Card| card.license().expression.unwrap_or_default();
        assert_eq!(
            expression(&card(json!({"license": "mit"}), &["license:gpl"])),
            "MIT"
        );
        assert_eq!(
            expression(&card(json!({}), &["license:apache-2.0"])),
            "Apache-2.0"
        );
        let named = json!({"license": "other", "license_name": "llama3"});
        assert_eq!(expression(&card(named, &[])), "LicenseRef-llama3");
        assert_eq!(expression(&card(json!({"license": 5}), &[])), "");
    }

    #[test]
    fn evidence_of_other_versions_is_read() {
        let text = r#"{"hub": {"id": "a/b", "invented": 1}, "requests": [{"outcome": "invented"}], "new": {}}"#;
        let evidence: Evidence = serde_json::from_str(text).unwrap();
        assert_eq!(evidence.hub.unwrap().id, "a/b");
        assert_eq!(evidence.requests[0].outcome, Outcome::Unknown);
    }
}
