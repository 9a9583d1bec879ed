//! What clients send and get, as the contract has it.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use shared::problem::Problem;

use super::origin::Origin;
use crate::artifact::Kind;
use crate::catalogue::Entry;
use crate::config::Flag;
use crate::record::Record;

/// A body of JSON, whatever its type is called: many clients call it something else.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = axum::response::Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(IntoResponse::into_response)?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let detail = format!("the body is not what is asked for: {error}");
            Problem::new(StatusCode::BAD_REQUEST, detail).into_response()
        })
    }
}

/// `ArtifactData`, as it is sent.
#[derive(Debug, Deserialize)]
pub(super) struct SentData {
    pub(super) url: String,
    pub(super) name: Option<String>,
}

/// `Artifact`, as it is sent.
#[derive(Debug, Deserialize)]
pub(super) struct SentArtifact {
    pub(super) metadata: SentMetadata,
    pub(super) data: SentData,
}

/// `ArtifactMetadata`, as it is sent.
#[derive(Debug, Deserialize)]
pub(super) struct SentMetadata {
    pub(super) name: String,
    #[serde(deserialize_with = "text_or_number")]
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: Option<Kind>,
}

/// `ArtifactQuery`.
#[derive(Debug, Deserialize)]
pub(super) struct SentQuery {
    pub(super) name: String,
    pub(super) types: Option<Vec<Kind>>,
}

/// `ArtifactRegEx`.
#[derive(Debug, Deserialize)]
pub(super) struct SentPattern {
    pub(super) regex: String,
}

/// `Artifact`, as it is answered.
#[derive(Debug, Serialize)]
pub(super) struct Artifact {
    metadata: Metadata,
    data: Data,
}

/// `ArtifactMetadata`, as it is answered.
#[derive(Debug, Serialize)]
pub(super) struct Metadata {
    name: String,
    id: String,
    #[serde(rename = "type")]
    kind: Kind,
}

#[derive(Debug, Serialize)]
struct Data {
    url: String,
    download_url: String,
}

impl Artifact {
    /// An artifact, for clients that reach us here. Where its bytes are is found out when they are asked for.
    pub(super) fn new(record: Record, origin: &Origin) -> Self {
        Self {
            data: Data {
                download_url: origin.download(record.kind, &record.id),
                url: record.url,
            },
            metadata: Metadata {
                name: record.name,
                id: record.id.into(),
                kind: record.kind,
            },
        }
    }
}

impl From<&Entry> for Metadata {
    fn from(entry: &Entry) -> Self {
        Self {
            name: entry.name.clone(),
            id: entry.id.as_str().to_owned(),
            kind: entry.kind,
        }
    }
}

/// Yes or no in a query, in the ways in which programs write it; nothing is no.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Switch(pub(super) bool);

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self(false));
        }
        let Flag(is_on) = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Self(is_on))
    }
}

/// An id, which the contract's examples have as a number.
fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(serde::de::Error::custom("the id must be a string")),
    }
}
