//! What other writers of such buckets keep of a source, in `hf_data` and `gh_data`: written for them beside our own
//! evidence, and read where there is none.
//!
//! READMEs are only here, not in the stored evidence, so that no record has them twice.

use serde_json::{Map, Value, json};

use crate::artifact::Kind;
use crate::evidence::{Card, Contributor, Evidence, File, MAX_FILES, Project, texts};
use crate::record::Record;
use crate::source::{Repository, Source};
use crate::upstream::github_links;

/// Puts evidence into a record: what the sources said into the fields of others, all but the READMEs into our own.
pub(crate) fn put(record: &mut Record, mut evidence: Evidence) {
    let fetched_at = evidence.looked_at.map(time::OffsetDateTime::unix_timestamp);
    record.hf_data = Vec::new();
    record.gh_data = None;
    if let Some(card) = &mut evidence.hub {
        let data = hf_data(card, record, fetched_at);
        record.hf_data = vec![data];
        card.readme = None;
    } else if let Some(project) = &mut evidence.github {
        record.gh_data = Some(gh_data(project, record, fetched_at));
        project.readme = None;
    }
    // A tree of plain values always has a JSON form.
    record.evidence = serde_json::to_value(evidence).ok();
}

/// The evidence that a record holds; `None` if nobody has looked, or what is there cannot be understood.
pub(crate) fn take(record: &Record) -> Option<Evidence> {
    let mut evidence: Evidence = serde_json::from_value(record.evidence.clone()?).ok()?;
    if let Some(card) = &mut evidence.hub {
        card.readme = record.hf_data.first().and_then(readme);
    } else if let Some(project) = &mut evidence.github {
        project.readme = record.gh_data.as_ref().and_then(readme);
    }
    Some(evidence)
}

/// What can be understood of `hf_data` and `gh_data` alone, for a record that we have not looked at.
pub(crate) fn told(record: &Record) -> Evidence {
    Evidence {
        hub: record.hf_data.first().map(card),
        github: record.gh_data.as_ref().map(project),
        ..Evidence::default()
    }
}

fn hf_data(card: &Card, record: &Record, fetched_at: Option<i64>) -> Value {
    let kind = match record.source().as_ref().map(Source::repository) {
        Some(Repository::HuggingFace { kind, .. }) => *kind,
        _ => record.kind,
    };
    let id = if card.id.is_empty() {
        &card.asked
    } else {
        &card.id
    };
    let files: Vec<Value> = card
        .files
        .iter()
        .map(|file| there([("path", json!(file.path)), ("size", json!(file.size))]))
        .collect();
    let links = card.readme.as_deref().map(github_links).unwrap_or_default();
    let links: Vec<String> = links
        .into_iter()
        .map(|(owner, name)| format!("https://github.com/{owner}/{name}"))
        .collect();
    there([
        ("url", json!(record.url)),
        ("repo_id", json!(id)),
        (
            "repo_type",
            json!(if kind == Kind::Code {
                "space"
            } else {
                kind.as_str()
            }),
        ),
        ("license", json!(card.license().stated)),
        ("downloads", json!(card.downloads)),
        ("likes", json!(card.likes)),
        ("last_modified", json!(card.last_modified)),
        ("tags", json!(card.tags)),
        ("pipeline_tag", json!(card.pipeline_tag)),
        ("card_yaml", json!(card.card_data)),
        ("readme_text", json!(card.readme)),
        ("files", json!(files)),
        ("size", json!(card.bytes)),
        ("datasets", json!(card.dataset_ids())),
        ("github_links", json!(links)),
        (
            "_source",
            there([
                ("fetched_at", json!(fetched_at)),
                ("last_modified", json!(card.last_modified)),
            ]),
        ),
    ])
}

fn gh_data(project: &Project, record: &Record, fetched_at: Option<i64>) -> Value {
    let files = project.files.iter();
    let files: Vec<Value> = files
        .map(|path| json!({ "path": path, "type": "blob" }))
        .collect();
    let contributors = project.contributors.iter();
    let contributors: Map<String, Value> = contributors
        .map(|person| (person.login.clone(), person.commits.into()))
        .collect();
    there([
        ("url", json!(record.url)),
        ("repo_id", json!(project.asked)),
        ("repo_type", json!("code")),
        (
            "full_name",
            json!(Some(&project.full_name).filter(|name| !name.is_empty())),
        ),
        ("description", json!(project.description)),
        ("archived", json!(project.archived)),
        ("pushed_at", json!(project.pushed_at)),
        ("stars", json!(project.stars)),
        ("forks", json!(project.forks)),
        ("size", json!(project.bytes)),
        ("license_spdx", json!(project.license)),
        ("readme_text", json!(project.readme)),
        ("files_index", json!(files)),
        ("contributors", json!(contributors)),
        ("_source", there([("fetched_at", json!(fetched_at))])),
    ])
}

fn card(data: &Value) -> Card {
    let id = text(data, "repo_id").unwrap_or_default();
    let files = data.get("files").and_then(Value::as_array);
    let files = files.into_iter().flatten().filter_map(|file| {
        Some(File {
            path: text(file, "path")?,
            size: number(file, "size"),
        })
    });
    let mut card_data = data
        .get("card_yaml")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    if let Some(license) = data.get("license").filter(|license| license.is_string()) {
        card_data
            .entry("license")
            .or_insert_with(|| license.clone());
    }
    Card {
        asked: id.clone(),
        id,
        downloads: number(data, "downloads"),
        likes: number(data, "likes"),
        last_modified: text(data, "last_modified"),
        pipeline_tag: text(data, "pipeline_tag"),
        tags: texts(data.get("tags"))
            .into_iter()
            .map(str::to_owned)
            .collect(),
        card_data,
        files: files.take(MAX_FILES).collect(),
        bytes: number(data, "size"),
        readme: readme(data),
        ..Card::default()
    }
}

fn project(data: &Value) -> Project {
    let files = data.get("files_index").and_then(Value::as_array);
    let files = files.into_iter().flatten();
    let contributors = data.get("contributors").and_then(Value::as_object);
    let contributors = contributors.into_iter().flatten();
    Project {
        asked: text(data, "repo_id").unwrap_or_default(),
        full_name: text(data, "full_name").unwrap_or_default(),
        description: text(data, "description"),
        license: text(data, "license_spdx"),
        stars: number(data, "stars"),
        forks: number(data, "forks"),
        archived: data.get("archived").and_then(Value::as_bool) == Some(true),
        bytes: number(data, "size"),
        pushed_at: text(data, "pushed_at"),
        contributors: contributors
            .filter_map(|(login, commits)| {
                Some(Contributor {
                    login: login.clone(),
                    commits: commits.as_u64()?,
                })
            })
            .collect(),
        readme: readme(data),
        files: files
            .filter(|file| file.get("type").is_none_or(|kind| kind == "blob"))
            .filter_map(|file| text(file, "path"))
            .take(MAX_FILES)
            .collect(),
        ..Project::default()
    }
}

/// An object of what is there: clients of these records take null for a mistake.
fn there<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    fields
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value))
        .collect::<Map<String, Value>>()
        .into()
}

fn readme(data: &Value) -> Option<String> {
    text(data, "readme_text")
}

fn text(data: &Value, field: &str) -> Option<String> {
    data.get(field)?.as_str().map(ToOwned::to_owned)
}

fn number(data: &Value, field: &str) -> Option<u64> {
    data.get(field)?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Stored;
    use time::OffsetDateTime;

    fn record(kind: Kind, url: &str) -> Record {
        let id = "7364518290".parse().unwrap();
        Record::new(
            id,
            "b".to_owned(),
            kind,
            &url.parse().unwrap(),
            "me".to_owned(),
        )
    }

    /// As it comes back from the store.
    fn stored(record: &Record) -> Record {
        match Stored::parse(&record.id, &record.to_bytes()).unwrap() {
            Stored::Artifact(record) => *record,
            Stored::Withdrawn { .. } => panic!("withdrawn"),
        }
    }

    fn model() -> Evidence {
        Evidence {
            looked_at: Some(OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap()),
            hub: Some(Card {
                asked: "bert".to_owned(),
                id: "google-bert/bert".to_owned(),
                likes: Some(3),
                tags: vec!["license:mit".to_owned(), "dataset:a/b".to_owned()],
                card_data: serde_json::from_value(
                    json!({"model-index": [{"value": 0.1 + 0.2, "other": 84.612_345_678_901_23}]}),
                )
                .unwrap(),
                files: vec![File {
                    path: "a.bin".to_owned(),
                    size: Some(7),
                }],
                bytes: Some(7),
                readme: Some("Hello, https://github.com/c/d".to_owned()),
                ..Card::default()
            }),
            github: Some(Project {
                asked: "c/d".to_owned(),
                readme: Some("Code".to_owned()),
                ..Project::default()
            }),
            ..Evidence::default()
        }
    }

    #[test]
    fn evidence_is_read_as_it_was_written_and_a_readme_written_once() {
        let mut record = record(Kind::Model, "https://huggingface.co/bert");
        put(&mut record, model());
        let stored = stored(&record);
        assert_eq!(stored, record);
        assert_eq!(take(&stored), Some(model()));
        let text = String::from_utf8(stored.to_bytes()).unwrap();
        assert_eq!(text.matches("Hello").count(), 1);
        assert_eq!(
            record.hf_data,
            [json!({
                "url": "https://huggingface.co/bert", "repo_id": "google-bert/bert", "repo_type": "model",
                "license": "mit", "likes": 3, "tags": ["license:mit", "dataset:a/b"],
                "card_yaml": {"model-index": [{"value": 0.1 + 0.2, "other": 84.612_345_678_901_23}]},
                "readme_text": "Hello, https://github.com/c/d", "files": [{"path": "a.bin", "size": 7}], "size": 7,
                "datasets": ["a/b"], "github_links": ["https://github.com/c/d"],
                "_source": {"fetched_at": 1_790_000_000},
            })]
        );
    }

    #[test]
    fn a_repositorys_readme_is_where_searches_look() {
        let project = Project {
            asked: "c/d".to_owned(),
            contributors: vec![Contributor {
                login: "x".to_owned(),
                commits: 2,
            }],
            readme: Some("Code".to_owned()),
            files: vec!["a.py".to_owned()],
            ..Project::default()
        };
        let evidence = Evidence {
            github: Some(project.clone()),
            ..Evidence::default()
        };
        let mut record = record(Kind::Code, "https://github.com/c/d");
        put(&mut record, evidence.clone());
        let mut stored = stored(&record);
        assert_eq!(stored.readmes().collect::<Vec<_>>(), ["Code"]);
        assert_eq!(take(&stored), Some(evidence));
        stored.evidence = None;
        assert_eq!(take(&stored), None);
        assert_eq!(told(&stored).github, Some(project));
    }

    #[test]
    fn what_others_wrote_is_understood_as_far_as_it_goes() {
        let mut record = record(Kind::Model, "https://huggingface.co/a/b");
        put(&mut record, model());
        record.evidence = None;
        let card = told(&record).hub.unwrap();
        let ours = model().hub.unwrap();
        assert_eq!((card.readme, card.bytes), (ours.readme, ours.bytes));
        assert_eq!(card.card_data["license"], "mit");
        let odd = json!({"repo_id": 7, "files": [{}, "x", {"path": "p"}], "tags": "one", "size": -1, "card_yaml": []});
        record.hf_data = vec![odd];
        let card = told(&record).hub.unwrap();
        assert_eq!((card.files.len(), card.tags.len()), (1, 1));
        assert_eq!((card.bytes, card.id.as_str()), (None, ""));
        record.hf_data = Vec::new();
        assert_eq!(told(&record), Evidence::default());
    }
}
