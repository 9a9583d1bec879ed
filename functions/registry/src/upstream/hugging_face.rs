//! The Hugging Face Hub: <https://huggingface.co/docs/hub/api>.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::service::{Answer, Question, Service};
use super::{MAX_DOCUMENT, MAX_README, parse, text};
use crate::artifact::Kind;
use crate::evidence::{Card, File, MAX_FILES, Request};

/// The keys under which configurations name the model that a model was made from.
const PARENT_KEYS: [&str; 5] = [
    "base_model_name_or_path",
    "_name_or_path",
    "base_model",
    "finetuned_from",
    "teacher",
];

/// The parts of the Hub's answer that are kept.
#[derive(Deserialize)]
struct Entry {
    id: String,
    sha: Option<String>,
    downloads: Option<u64>,
    likes: Option<u64>,
    #[serde(rename = "lastModified")]
    last_modified: Option<String>,
    /// `false`, or how access is granted.
    #[serde(default)]
    gated: Value,
    pipeline_tag: Option<String>,
    library_name: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(rename = "cardData")]
    card_data: Option<Map<String, Value>>,
    #[serde(rename = "model-index")]
    model_index: Option<Value>,
    siblings: Option<Vec<Sibling>>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
}

/// Asks for a repository: its entry, its README and, of a model, its configuration, all at once.
pub(super) async fn card(
    hub: &Service,
    kind: Kind,
    id: &str,
    deadline: Instant,
) -> (Option<Card>, Vec<Request>) {
    let (api, root) = match kind {
        Kind::Model => ("models", None),
        Kind::Dataset => ("datasets", Some("datasets")),
        Kind::Code => ("spaces", Some("spaces")),
    };
    let entry = entry(hub, api, id, deadline);
    let readme = raw(hub, root, id, "README.md", MAX_README, deadline);
    let (entry, readme, config) = if kind == Kind::Model {
        let config = raw(hub, root, id, "config.json", MAX_DOCUMENT, deadline);
        let (entry, readme, config) = tokio::join!(entry, readme, config);
        (entry, readme, Some(config))
    } else {
        let (entry, readme) = tokio::join!(entry, readme);
        (entry, readme, None)
    };
    let (found, mut entry_request) = (entry.body, entry.request);
    let mut card = found
        .and_then(|body| parse::<Entry>(&body, &mut entry_request))
        .map(|entry| kept(id, entry));
    let mut requests = vec![entry_request, readme.request];
    if let Some(body) = &readme.body {
        card.get_or_insert_with(|| unknown(id)).readme = Some(text(body));
    }
    if let Some(config) = config {
        let (parents, request) = parents(config);
        requests.push(request);
        if !parents.is_empty() {
            card.get_or_insert_with(|| unknown(id)).config_parents = parents;
        }
    }
    (card, requests)
}

/// The parents that an adapter's configuration names, which is a file of its own.
pub(super) async fn adapter_parents(
    hub: &Service,
    id: &str,
    deadline: Instant,
) -> (Vec<String>, Request) {
    parents(raw(hub, None, id, "adapter_config.json", MAX_DOCUMENT, deadline).await)
}

async fn entry(hub: &Service, api: &str, id: &str, deadline: Instant) -> Answer {
    let mut path = vec!["api", api];
    path.extend(id.split('/'));
    let question = Question {
        path: &path,
        query: Some("blobs=true"), // with the sizes of the files
        accept: "application/json",
        limit: MAX_DOCUMENT,
    };
    hub.ask(&question, deadline).await
}

async fn raw(
    hub: &Service,
    root: Option<&str>,
    id: &str,
    file: &str,
    limit: usize,
    deadline: Instant,
) -> Answer {
    let mut path: Vec<&str> = root.into_iter().chain(id.split('/')).collect();
    path.extend(["raw", "main", file]);
    let question = Question {
        path: &path,
        query: None,
        accept: "*/*",
        limit,
    };
    hub.ask(&question, deadline).await
}

fn parents(config: Answer) -> (Vec<String>, Request) {
    let mut request = config.request;
    let found: Option<Map<String, Value>> = config
        .body
        .and_then(|body: Bytes| parse(&body, &mut request));
    let mut parents: Vec<String> = Vec::new();
    for key in PARENT_KEYS {
        for parent in crate::evidence::texts(found.as_ref().and_then(|config| config.get(key))) {
            if !parent.trim().is_empty() && !parents.iter().any(|known| known == parent) {
                parents.push(parent.to_owned());
            }
        }
    }
    (parents, request)
}

fn unknown(id: &str) -> Card {
    Card {
        asked: id.to_owned(),
        ..Card::default()
    }
}

fn kept(asked: &str, entry: Entry) -> Card {
    let mut card_data = entry.card_data.unwrap_or_default();
    if let Some(index) = entry.model_index {
        card_data.entry("model-index").or_insert(index);
    }
    let siblings = entry.siblings;
    let file_count = siblings
        .as_ref()
        .and_then(|files| u64::try_from(files.len()).ok());
    // A list without sizes does not say that everything is empty.
    let sizes: Vec<u64> = siblings
        .iter()
        .flatten()
        .filter_map(|file| file.size)
        .collect();
    let is_sized = !sizes.is_empty() || file_count == Some(0);
    Card {
        asked: asked.to_owned(),
        id: entry.id,
        sha: entry.sha,
        downloads: entry.downloads,
        likes: entry.likes,
        last_modified: entry.last_modified,
        gated: !matches!(entry.gated, Value::Null | Value::Bool(false)),
        pipeline_tag: entry.pipeline_tag,
        library_name: entry.library_name,
        tags: entry.tags,
        card_data,
        file_count,
        bytes: is_sized.then(|| sizes.into_iter().fold(0, u64::saturating_add)),
        files: siblings
            .into_iter()
            .flatten()
            .take(MAX_FILES)
            .map(|file| File {
                path: file.rfilename,
                size: file.size,
            })
            .collect(),
        readme: None,
        config_parents: Vec::new(),
    }
}
