//! How artifacts refer to each other: by the names of repositories, whatever was registered first.
//!
//! A [`Member`] has keys under which others may mean it, and references to others, which are lists of keys by
//! preference. Nothing is resolved when an artifact is stored, so a child may come before its parent. The keys are
//! short texts that a database can index: who refers to X is the question for one of X's keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::artifact::{Id, Kind};
use crate::evidence::{Card, Evidence};
use crate::rating;
use crate::record::Record;
use crate::source::{Repository, Source};
use crate::upstream::{github_links, github_of};

/// How many links to datasets in a README count.
const MAX_LINKS: usize = 200;

/// An artifact of the registry as lineage and cost see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The artifact's id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Where it comes from.
    pub url: String,
    /// The commit that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha: Option<String>,
    /// Its size in bytes, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What identifies the facts known of it, by [`rating::facts`].
    #[serde(default)]
    pub facts: String,
    /// Its net score, once it is rated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_score: Option<f64>,
    /// Under which keys others may mean it.
    #[serde(default)]
    pub keys: Vec<String>,
    /// The models it was made from.
    #[serde(default)]
    pub parents: Vec<Reference>,
    /// The datasets it names.
    #[serde(default)]
    pub datasets: Vec<Reference>,
    /// The code it links to.
    #[serde(default)]
    pub code: Vec<Reference>,
}

/// What an artifact says of another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// As it was written.
    pub name: String,
    /// Which keys may be meant, the most certain one first.
    pub keys: Vec<String>,
}

impl Member {
    /// An artifact by what is stored of it.
    pub fn of(record: &Record) -> Self {
        let evidence = record.known();
        let snapshot = record.snapshot();
        let member = Self::new(
            record.id.clone(),
            &record.name,
            record.kind,
            record.source().as_ref(),
            &evidence,
        );
        Self {
            url: record.url.clone(),
            net_score: snapshot.map(|snapshot| snapshot.rating.net_score),
            ..member
        }
    }

    /// An artifact by what is registered and what is known of it.
    pub fn new(
        id: Id,
        name: &str,
        kind: Kind,
        source: Option<&Source>,
        evidence: &Evidence,
    ) -> Self {
        let card = evidence.hub.as_ref().filter(|_| kind == Kind::Model);
        Self {
            id,
            name: name.to_owned(),
            kind,
            url: source.map(ToString::to_string).unwrap_or_default(),
            sha: evidence.hub.as_ref().and_then(|card| card.sha.clone()),
            bytes: evidence.bytes(),
            facts: rating::facts(evidence),
            net_score: None,
            keys: own_keys(name, kind, source, evidence),
            parents: card.map(parents).unwrap_or_default(),
            datasets: card.map(datasets).unwrap_or_default(),
            code: card.map(code).unwrap_or_default(),
        }
    }

    /// The keys that it means others by.
    pub fn meant(&self) -> Vec<&str> {
        let references = self.parents.iter().chain(&self.datasets).chain(&self.code);
        references.flat_map(Reference::keys).collect()
    }

    /// The keys that it means the models by which it was made from.
    pub fn meant_as_parents(&self) -> Vec<&str> {
        self.parents.iter().flat_map(Reference::keys).collect()
    }
}

impl Reference {
    fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(String::as_str)
    }
}

fn own_keys(name: &str, kind: Kind, source: Option<&Source>, evidence: &Evidence) -> Vec<String> {
    let mut keys = vec![key("name", kind, name)];
    match source.map(Source::repository) {
        Some(Repository::HuggingFace { kind: place, id }) => {
            let today = evidence.hub.as_ref().map(|card| card.id.as_str());
            for id in [Some(id.as_str()), today]
                .into_iter()
                .flatten()
                .filter(|id| !id.is_empty())
            {
                keys.push(key("hub", *place, id));
                keys.push(key("hub-name", *place, last(id)));
            }
        }
        Some(Repository::GitHub {
            owner,
            name: repository,
        }) => {
            keys.push(github_key(&format!("{owner}/{repository}")));
            let today = evidence
                .github
                .as_ref()
                .map(|project| project.full_name.as_str());
            keys.extend(today.filter(|name| !name.is_empty()).map(github_key));
            keys.push(key("elsewhere", kind, name));
        }
        Some(Repository::Other) | None => keys.push(key("elsewhere", kind, name)),
    }
    keys.sort();
    keys.dedup();
    keys
}

fn parents(card: &Card) -> Vec<Reference> {
    let ids = card.parents();
    ids.iter().map(|id| on_the_hub(Kind::Model, id)).collect()
}

fn datasets(card: &Card) -> Vec<Reference> {
    let ids = card.dataset_ids();
    let mut references: Vec<Reference> =
        ids.iter().map(|id| on_the_hub(Kind::Dataset, id)).collect();
    for rest in card
        .readme
        .iter()
        .flat_map(|text| text.split("huggingface.co/datasets/").skip(1))
        .take(MAX_LINKS)
    {
        let is_part = |letter: &char| letter.is_ascii_alphanumeric() || "-_./".contains(*letter);
        let path: String = rest.chars().take_while(is_part).collect();
        let id: Vec<&str> = path
            .trim_end_matches(['.', '/'])
            .split('/')
            .take(2)
            .collect();
        let reference = on_the_hub(Kind::Dataset, &id.join("/"));
        if crate::evidence::is_repository_id(&reference.name) && !references.contains(&reference) {
            references.push(reference);
        }
    }
    references
}

/// The model's own repository first, then the others its card links to.
fn code(card: &Card) -> Vec<Reference> {
    let links = card.readme.as_deref().map(github_links).unwrap_or_default();
    let mut references: Vec<Reference> = Vec::new();
    for (owner, name) in github_of(card).into_iter().chain(links) {
        let name = format!("{owner}/{name}");
        let reference = Reference {
            keys: vec![github_key(&name)],
            name,
        };
        if !references.contains(&reference) {
            references.push(reference);
        }
    }
    references
}

/// A repository of the Hub by its id. Without an owner it is one of the oldest, which have owners today; with one,
/// a namesake of another owner is not meant, but an artifact from elsewhere may be.
fn on_the_hub(kind: Kind, id: &str) -> Reference {
    let mut keys = vec![key("hub", kind, id)];
    if id.contains('/') {
        keys.push(key("name", kind, id));
        keys.push(key("elsewhere", kind, last(id)));
    } else {
        keys.push(key("hub-name", kind, id));
        keys.push(key("name", kind, id));
    }
    Reference {
        name: id.to_owned(),
        keys,
    }
}

fn key(place: &str, kind: Kind, name: &str) -> String {
    format!("{place}:{kind}:{}", name.to_lowercase())
}

/// Under which key a repository of GitHub is meant, by `owner/name`.
pub(crate) fn github_key(name: &str) -> String {
    format!("github:{}", name.to_lowercase())
}

fn last(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// Members by id and by key.
#[derive(Debug)]
pub struct Members<'a> {
    by_id: BTreeMap<&'a Id, &'a Member>,
    /// Of several members under one key the one with the smallest id is meant, in whatever order they came.
    by_key: BTreeMap<&'a str, Vec<&'a Member>>,
}

impl<'a> Members<'a> {
    /// Whatever order the members are in, and however often one is there.
    pub fn new(members: impl IntoIterator<Item = &'a Member>) -> Self {
        let by_id: BTreeMap<&Id, &Member> = members
            .into_iter()
            .map(|member| (&member.id, member))
            .collect();
        let mut by_key: BTreeMap<&str, Vec<&Member>> = BTreeMap::new();
        for member in by_id.values().copied() {
            for key in &member.keys {
                by_key.entry(key).or_default().push(member);
            }
        }
        Self { by_id, by_key }
    }

    /// The member of an id.
    pub fn get(&self, id: &Id) -> Option<&'a Member> {
        self.by_id.get(id).copied()
    }

    /// All members, by id.
    pub fn iter(&self) -> impl Iterator<Item = &'a Member> + '_ {
        self.by_id.values().copied()
    }

    /// Which member a reference of `from` means. Nothing refers to itself.
    pub fn resolve(&self, from: &Member, reference: &Reference) -> Option<&'a Member> {
        let mut candidates = reference
            .keys
            .iter()
            .filter_map(|key| self.by_key.get(key.as_str()));
        candidates
            .find_map(|members| members.iter().find(|member| member.id != from.id))
            .copied()
    }

    /// The registered ones among some references, each once.
    pub fn resolve_all(&self, from: &Member, references: &[Reference]) -> Vec<&'a Member> {
        let mut found: BTreeMap<&Id, &Member> = BTreeMap::new();
        for member in references
            .iter()
            .filter_map(|reference| self.resolve(from, reference))
        {
            found.insert(&member.id, member);
        }
        found.into_values().collect()
    }

    /// What an artifact depends on: its parents, datasets and code, as far as they are registered, each once.
    pub fn dependencies(&self, of: &Member) -> Vec<&'a Member> {
        let mut found: BTreeMap<&Id, &Member> = BTreeMap::new();
        for references in [&of.parents, &of.datasets, &of.code] {
            found.extend(
                self.resolve_all(of, references)
                    .into_iter()
                    .map(|member| (&member.id, member)),
            );
        }
        found.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Project;
    use serde_json::json;

    fn member(id: &str, name: &str, kind: Kind, url: &str, evidence: &Evidence) -> Member {
        Member::new(
            id.parse().unwrap(),
            name,
            kind,
            Some(&url.parse().unwrap()),
            evidence,
        )
    }

    fn model(id: &str, url: &str, parents: &[&str], readme: &str) -> Member {
        let evidence = Evidence {
            hub: Some(Card {
                config_parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
                readme: Some(readme.to_owned()),
                card_data: serde_json::from_value(json!({"datasets": ["bookcorpus"]})).unwrap(),
                ..Card::default()
            }),
            ..Evidence::default()
        };
        member(id, "a name", Kind::Model, url, &evidence)
    }

    #[test]
    fn references_lead_to_repositories_then_to_names() {
        let base = model(
            "1",
            "https://huggingface.co/google-bert/bert-base-uncased",
            &[],
            "",
        );
        let fork = model(
            "2",
            "https://huggingface.co/somebody/bert-base-uncased",
            &[],
            "",
        );
        let elsewhere = member(
            "3",
            "Tiny",
            Kind::Model,
            "https://example.com/tiny",
            &Evidence::default(),
        );
        let readme =
            "https://github.com/Google-Research/BERT and https://huggingface.co/datasets/x/y.";
        let child = model("4", "https://huggingface.co/me/child", &[], readme);
        let books = "https://huggingface.co/datasets/bookcorpus/bookcorpus";
        let books = member("5", "books", Kind::Dataset, books, &Evidence::default());
        let renamed = Evidence {
            github: Some(Project {
                full_name: "google-research/bert".to_owned(),
                ..Project::default()
            }),
            ..Evidence::default()
        };
        let code = member(
            "6",
            "bert",
            Kind::Code,
            "https://github.com/old/bert",
            &renamed,
        );
        let all = [base, fork, elsewhere, child, books, code];
        let members = Members::new(&all);
        let child = &all[3];
        for (parent, id) in [
            ("google-bert/bert-base-uncased", Some("1")),
            ("Google-BERT/BERT-base-uncased", Some("1")),
            ("bert-base-uncased", Some("1")),
            ("somebody/bert-base-uncased", Some("2")),
            ("other/bert-base-uncased", None),
            ("any/tiny", Some("3")),
            ("me/child", None),
            ("unknown", None),
        ] {
            let found = members.resolve(child, &on_the_hub(Kind::Model, parent));
            assert_eq!(found.map(|member| member.id.as_str()), id, "{parent}");
        }
        let dependencies = members.dependencies(child);
        let ids: Vec<&str> = dependencies
            .iter()
            .map(|member| member.id.as_str())
            .collect();
        assert_eq!(ids, ["5", "6"]);
        let names: Vec<&str> = child
            .datasets
            .iter()
            .map(|dataset| dataset.name.as_str())
            .collect();
        assert_eq!(names, ["bookcorpus", "x/y"]);
    }
}
