//! What clients send and get, as the contract has it.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use shared::problem::Problem;
use utoipa::ToSchema;

use super::origin::Origin;
use crate::artifact::{Id, Kind};
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
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ArtifactDataSent)]
pub(super) struct SentData {
    /// Where the artifact comes from: a single http or https URL without user and password.
    #[schema(
        format = "uri",
        max_length = 4096,
        examples("https://huggingface.co/google-bert/bert-base-uncased")
    )]
    pub(super) url: String,
    /// What to call it. Only at registration.
    #[schema(min_length = 1, max_length = 1024)]
    pub(super) name: Option<String>,
}

/// `Artifact`, as it is sent.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ArtifactSent)]
pub(super) struct SentArtifact {
    pub(super) metadata: SentMetadata,
    pub(super) data: SentData,
}

/// `ArtifactMetadata`, as it is sent.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ArtifactMetadataSent)]
pub(super) struct SentMetadata {
    /// The artifact's.
    pub(super) name: String,
    /// That of the path. A number is taken as well.
    #[serde(deserialize_with = "text_or_number")]
    #[schema(value_type = Id)]
    pub(super) id: String,
    /// That of the path.
    #[serde(rename = "type")]
    pub(super) kind: Option<Kind>,
}

/// `ArtifactQuery`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ArtifactQuery)]
pub(super) struct SentQuery {
    /// The exact name; `*` is every name.
    pub(super) name: String,
    /// Which types; none are all.
    pub(super) types: Option<Vec<Kind>>,
}

/// `ArtifactRegEx`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ArtifactRegEx)]
pub(super) struct SentPattern {
    /// Found anywhere in a name or a README, unless it says where. Without look-around and back-references.
    #[schema(min_length = 1, max_length = 4096)]
    pub(super) regex: String,
}

/// `Artifact`, as it is answered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Artifact {
    metadata: Metadata,
    data: Data,
}

/// `ArtifactMetadata`, as it is answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ArtifactMetadata)]
pub(super) struct Metadata {
    name: String,
    #[schema(value_type = Id)]
    id: String,
    #[serde(rename = "type")]
    kind: Kind,
}

/// `ArtifactData`, as it is answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ArtifactData)]
struct Data {
    /// Where the artifact comes from.
    #[schema(format = "uri")]
    url: String,
    /// Where its bytes are.
    #[schema(format = "uri", read_only)]
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
