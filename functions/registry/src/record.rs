//! What is stored of an artifact, as JSON: in the layout that other writers of such buckets use, read tolerantly where
//! they differ, with what they added kept as it is.
//!
//! ```json
//! {
//!   "metadata": { "id": "3847247294", "name": "bert-base-uncased", "type": "model" },
//!   "data": { "url": "https://…", "hf_data": [{ "readme_text": "…" }], "gh_data": { } },
//!   "created_at": "2026-11-21T06:00:00Z", "created_by": "somebody",
//!   "updated_at": "…", "updated_by": "…", "revision": 1,
//!   "evidence": { }, "rating_snapshot": { }
//! }
//! ```
//!
//! `revision`, `updated_at`, `updated_by` and `evidence` are our own. The keys are written in the order of the
//! alphabet, so equal records are equal bytes, and have equal tags in S3.

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::artifact::{Id, Kind};
use crate::evidence::Evidence;
use crate::foreign;
use crate::rating::Snapshot;
use crate::source::Source;

/// The longest description, in bytes: two READMEs, as long as they are taken from their sources.
const MAX_DESCRIPTION: usize = 8 << 20;

/// An artifact as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Where it lies, which is what counts if the text says something else.
    pub id: Id,
    /// As its author wrote it.
    pub name: String,
    /// Model, dataset or code.
    pub kind: Kind,
    /// Where it comes from.
    pub url: String,
    /// What the Hugging Face Hub says of it: objects.
    pub hf_data: Vec<Value>,
    /// What GitHub says of it.
    pub gh_data: Option<Value>,
    /// RFC 3339.
    pub created_at: Option<String>,
    /// A user's name.
    pub created_by: Option<String>,
    /// RFC 3339; `None` until the first update.
    pub updated_at: Option<String>,
    /// A user's name.
    pub updated_by: Option<String>,
    /// Counts changes, so that no two versions have the same bytes.
    pub revision: u64,
    /// What was found out when it was registered.
    pub evidence: Option<Value>,
    /// The rating made from that.
    pub rating_snapshot: Option<Value>,
    /// What others have put beside all this.
    others: Others,
}

/// Fields that are not ours, at the three places where they may be.
#[derive(Debug, Clone, Default, PartialEq)]
struct Others {
    top: Map<String, Value>,
    metadata: Map<String, Value>,
    data: Map<String, Value>,
}

/// What lies at the place of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored {
    /// An artifact.
    Artifact(Box<Record>),
    /// Nothing for readers: the place is barred to a registration that was given up, lest it be finished later.
    Withdrawn {
        /// When.
        at: Option<OffsetDateTime>,
    },
}

/// Why the bytes at the place of a record are none.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// They are not JSON, or no object.
    #[error("it is not a JSON object")]
    Json(#[source] Option<serde_json::Error>),
    /// There is nothing to call it by, or no URL, or no such kind.
    #[error("its {0} is missing or wrong")]
    Field(&'static str),
}

impl Record {
    /// A new artifact.
    pub fn new(id: Id, name: String, kind: Kind, source: &Source, created_by: String) -> Self {
        Self {
            id,
            name,
            kind,
            url: source.as_str().to_owned(),
            hf_data: Vec::new(),
            gh_data: None,
            created_at: Some(now()),
            created_by: Some(created_by),
            updated_at: None,
            updated_by: None,
            revision: 1,
            evidence: None,
            rating_snapshot: None,
            others: Others::default(),
        }
    }

    /// The texts that describe it to people: what a search looks at besides the name.
    pub fn readmes(&self) -> impl Iterator<Item = &str> {
        self.hf_data
            .iter()
            .chain(&self.gh_data)
            .filter_map(|source| source.get("readme_text")?.as_str())
    }

    /// Where it comes from, if that is a place on the web: others keep it beside a URL of their own.
    pub fn source(&self) -> Option<Source> {
        let beside = || self.others.data.get("source_url")?.as_str()?.parse().ok();
        self.url.parse().ok().or_else(beside)
    }

    /// What was found out about it; `None` if nobody has looked.
    pub fn findings(&self) -> Option<Evidence> {
        foreign::take(self)
    }

    /// What is known of it: what was found out, or what other writers say.
    pub fn known(&self) -> Evidence {
        self.findings().unwrap_or_else(|| foreign::told(self))
    }

    /// Notes what was found out about it.
    pub(crate) fn set_findings(&mut self, evidence: Evidence) {
        foreign::put(self, evidence);
    }

    /// How it was rated; `None` if it was not, or not with every score.
    pub fn snapshot(&self) -> Option<Snapshot> {
        serde_json::from_value(self.rating_snapshot.clone()?).ok()
    }

    /// Notes how it is rated.
    pub(crate) fn set_snapshot(&mut self, snapshot: &Snapshot) {
        // A tree of plain values always has a JSON form.
        self.rating_snapshot = serde_json::to_value(snapshot).ok();
    }

    /// All of them in one text, of which the first eight mebibytes count.
    pub fn description(&self) -> String {
        let readmes: Vec<&str> = self.readmes().collect();
        let mut description = readmes.join("\n");
        description.truncate(description.floor_char_boundary(MAX_DESCRIPTION));
        description
    }

    /// Makes the source another one: what was known of the old one is no longer so.
    pub(crate) fn set_source(&mut self, source: &Source) {
        source.as_str().clone_into(&mut self.url);
        self.hf_data = Vec::new();
        self.gh_data = None;
        self.evidence = None;
        self.rating_snapshot = None;
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut metadata = self.others.metadata.clone();
        metadata.insert("id".into(), self.id.as_str().into());
        metadata.insert("name".into(), self.name.as_str().into());
        metadata.insert("type".into(), self.kind.as_str().into());
        let mut data = self.others.data.clone();
        data.insert("url".into(), self.url.as_str().into());
        if !self.hf_data.is_empty() {
            data.insert("hf_data".into(), self.hf_data.clone().into());
        }
        put(&mut data, "gh_data", self.gh_data.clone());
        let mut top = self.others.top.clone();
        top.insert("metadata".into(), metadata.into());
        top.insert("data".into(), data.into());
        top.insert("revision".into(), self.revision.into());
        put(&mut top, "created_at", self.created_at.clone());
        put(&mut top, "created_by", self.created_by.clone());
        put(&mut top, "updated_at", self.updated_at.clone());
        put(&mut top, "updated_by", self.updated_by.clone());
        put(&mut top, "evidence", self.evidence.clone());
        put(&mut top, "rating_snapshot", self.rating_snapshot.clone());
        Value::Object(top).to_string().into_bytes()
    }
}

impl Stored {
    /// Bars a place.
    pub(crate) fn withdrawn() -> Vec<u8> {
        serde_json::json!({ "withdrawn_at": now() })
            .to_string()
            .into_bytes()
    }

    /// What lies at the place of the record of `id`.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] when nobody could make an artifact of it.
    pub fn parse(id: &Id, bytes: &[u8]) -> Result<Self, Unreadable> {
        let json = serde_json::from_slice(bytes).map_err(|error| Unreadable::Json(Some(error)))?;
        let mut top = object(json).ok_or(Unreadable::Json(None))?;
        if let Some(at) = top.get("withdrawn_at") {
            let at = at
                .as_str()
                .and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok());
            return Ok(Self::Withdrawn { at });
        }
        let mut metadata = take(&mut top, "metadata")
            .and_then(object)
            .unwrap_or_default();
        let mut data = take(&mut top, "data").and_then(object).unwrap_or_default();
        metadata.remove("id");
        let name = text(&mut metadata, "name")
            .filter(|name| !name.is_empty())
            .ok_or(Unreadable::Field("name"))?;
        let kind = text(&mut metadata, "type")
            .and_then(|kind| kind.to_ascii_lowercase().parse().ok())
            .ok_or(Unreadable::Field("type"))?;
        let url = text(&mut data, "url")
            .or_else(|| data.get("source_url")?.as_str().map(ToOwned::to_owned))
            .ok_or(Unreadable::Field("url"))?;
        Ok(Self::Artifact(Box::new(Record {
            id: id.clone(),
            name,
            kind,
            url,
            hf_data: take(&mut data, "hf_data").map(objects).unwrap_or_default(),
            // Some write a list, as of hf_data.
            gh_data: take(&mut data, "gh_data").and_then(|data| objects(data).into_iter().next()),
            created_at: text(&mut top, "created_at"),
            created_by: text(&mut top, "created_by"),
            updated_at: text(&mut top, "updated_at"),
            updated_by: text(&mut top, "updated_by"),
            revision: take(&mut top, "revision")
                .and_then(|revision| revision.as_u64())
                .unwrap_or_default(),
            evidence: take(&mut top, "evidence"),
            rating_snapshot: take(&mut top, "rating_snapshot"),
            others: Others {
                top,
                metadata,
                data,
            },
        })))
    }
}

/// This moment, in RFC 3339.
pub(crate) fn now() -> String {
    // A year of five digits is all that can go wrong.
    OffsetDateTime::now_utc()
        .format(&Rfc3339)
        .unwrap_or_default()
}

fn put(map: &mut Map<String, Value>, field: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        map.insert(field.to_owned(), value.into());
    }
}

/// A field that is there, and not null.
fn take(map: &mut Map<String, Value>, field: &str) -> Option<Value> {
    map.remove(field).filter(|value| !value.is_null())
}

/// A text, which some write as a number.
fn text(map: &mut Map<String, Value>, field: &str) -> Option<String> {
    match take(map, field)? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// An object, which some write as a text that holds one.
fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object),
        Value::String(text) => match serde_json::from_str(&text).ok()? {
            Value::Object(object) => Some(object),
            _ => None,
        },
        _ => None,
    }
}

/// A list of objects: itself, one of them without the list, or either as a text.
fn objects(value: Value) -> Vec<Value> {
    let value = match &value {
        Value::String(text) => serde_json::from_str(text).unwrap_or(value),
        _ => value,
    };
    match value {
        Value::Array(items) => items
            .into_iter()
            .filter_map(|item| object(item).map(Value::Object))
            .collect(),
        value => object(value).map(Value::Object).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(json: &Value) -> Result<Record, Unreadable> {
        match Stored::parse(&id(), json.to_string().as_bytes())? {
            Stored::Artifact(record) => Ok(*record),
            Stored::Withdrawn { .. } => panic!("withdrawn"),
        }
    }

    fn id() -> Id {
        "7364518290".parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read_again_and_written_the_same() {
        let source = "https://huggingface.co/a/b".parse().unwrap();
        let mut record = Record::new(id(), "b".into(), Kind::Model, &source, "me".into());
        record.hf_data = vec![json!({ "readme_text": "Hello" })];
        record.rating_snapshot = Some(json!({ "net_score": 0.5 }));
        let bytes = record.to_bytes();
        let Stored::Artifact(read) = Stored::parse(&id(), &bytes).unwrap() else {
            panic!("withdrawn");
        };
        assert_eq!(*read, record);
        assert_eq!(read.to_bytes(), bytes);
    }

    #[test]
    fn what_others_added_is_kept() {
        let written = json!({
            "metadata": { "id": "7364518290", "name": "b", "type": "model", "version": "1.0.0" },
            "data": { "url": "https://a.example/b", "source_url": "x", "download_url": "y" },
            "hf_model_name": "a/b",
            "revision": 3,
        });
        let read = parse(&written).unwrap();
        let rewritten: Value = serde_json::from_slice(&read.to_bytes()).unwrap();
        assert_eq!(rewritten, written);
    }

    #[test]
    fn texts_that_hold_json_are_understood() {
        let readme = json!({ "readme_text": "Hello" });
        for hf_data in [
            json!([readme]),
            json!([readme.to_string()]),
            json!(json!([readme]).to_string()),
            json!(json!([readme.to_string()]).to_string()),
            json!(readme.to_string()),
            readme.clone(),
            json!([null, 7, "no JSON", readme]),
        ] {
            let record = parse(&json!({
                "metadata": { "name": "b", "type": "MODEL", "id": 7_364_518_290_u64 },
                "data": { "url": "https://a.example/b", "hf_data": hf_data },
            }));
            let record = record.unwrap();
            assert_eq!(record.readmes().collect::<Vec<_>>(), ["Hello"], "{hf_data}");
            assert_eq!(record.hf_data, std::slice::from_ref(&readme), "{hf_data}");
        }
        let nested = json!({
            "metadata": json!({ "name": 7, "type": "code" }).to_string(),
            "data": json!({ "source_url": "https://a.example/b", "url": null }).to_string(),
        });
        let record = parse(&json!(nested.to_string())).unwrap();
        assert_eq!((record.name.as_str(), record.kind), ("7", Kind::Code));
        assert_eq!(record.url, "https://a.example/b");
    }

    #[test]
    fn what_is_no_artifact_is_called_so() {
        for (json, why) in [
            (json!([]), "it is not a JSON object"),
            (json!({}), "its name is missing or wrong"),
            (
                json!({ "metadata": { "name": "b", "type": "tool" } }),
                "its type is missing or wrong",
            ),
            (
                json!({ "metadata": { "name": "b", "type": "code" }, "data": [] }),
                "its url is missing or wrong",
            ),
        ] {
            assert_eq!(parse(&json).unwrap_err().to_string(), why, "{json}");
        }
        let deep = "[".repeat(100_000);
        for bytes in [&b""[..], b"{", b"\xff", deep.as_bytes()] {
            assert!(matches!(
                Stored::parse(&id(), bytes),
                Err(Unreadable::Json(Some(_)))
            ));
        }
    }
}
