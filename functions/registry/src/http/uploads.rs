//! Files that are sent in parts.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::problem::Problem;
use utoipa::IntoParams;

use super::App;
use super::answer::{Reading, Writing};
use super::body::Body;
use super::files::{content, described};
use crate::access::Caller;
use crate::access::user::Permission;
use crate::artifact::{Id, Kind};
use crate::audit::Action;
use crate::content::{Begun, Completion, Draft, File, FilePath};

/// The most parts that are signed at once.
const MOST_SIGNED: usize = 1000;

/// Parts that somebody is about to send.
#[derive(Debug, Deserialize)]
pub(super) struct Announced {
    path: FilePath,
    parts: Vec<AnnouncedPart>,
}

#[derive(Debug, Deserialize)]
struct AnnouncedPart {
    number: u16,
    /// In hexadecimal.
    sha256: String,
}

/// Which upload is meant: its name alone does not tell where it is.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Place {
    #[param(value_type = String)]
    path: FilePath,
    after: Option<u16>,
}

/// Begins to send a file in parts.
#[utoipa::path(
    post,
    path = "/artifacts/{artifact_type}/{id}/uploads",
    operation_id = "UploadBegin",
    tag = "files",
    params(("artifact_type" = Kind, Path, description = "The artifact's type"), ("id" = Id, Path, description = "The artifact's id")),
    request_body = serde_json::Value,
    responses(
        (status = 201, description = "The upload, and how its parts are to be cut", body = serde_json::Value),
        (status = 404, description = "There is no such artifact, or no such file"),
        (status = 501, description = "Files need a store in S3, and this registry has none"),
    ),
)]
pub(super) async fn begin(
    Path((kind, id)): Path<(String, String)>,
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Writing(registry): Writing,
    Body(draft): Body<Draft>,
) -> Result<(StatusCode, Json<Begun>), Problem> {
    caller.must(Permission::Upload)?;
    let (kind, id): (Kind, Id) = (kind.parse()?, id.parse()?);
    let (record, _) = registry.read(kind, &id).await?;
    let content = content(&app, &registry, &id)?;
    registry
        .audit(&caller.actor(), &record, Action::Update)
        .await?;
    let begun = content.begin(draft).await?;
    Ok((StatusCode::CREATED, Json(begun)))
}

/// Asks where to send parts.
#[utoipa::path(
    post,
    path = "/artifacts/{artifact_type}/{id}/uploads/{upload_id}/parts",
    operation_id = "UploadSign",
    tag = "files",
    params(("artifact_type" = Kind, Path, description = "The artifact's type"), ("id" = Id, Path, description = "The artifact's id"), ("upload_id" = String, Path, description = "The upload")),
    request_body = serde_json::Value,
    responses(
        (status = 200, description = "What to send to S3, for each part", body = serde_json::Value),
        (status = 413, description = "Too many parts at once, or the body is too large"),
        (status = 404, description = "There is no such artifact, or no such file"),
        (status = 501, description = "Files need a store in S3, and this registry has none"),
    ),
)]
pub(super) async fn sign(
    Path((kind, id, upload_id)): Path<(String, String, String)>,
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Writing(registry): Writing,
    Body(announced): Body<Announced>,
) -> Result<Response, Problem> {
    caller.must(Permission::Upload)?;
    let (kind, id): (Kind, Id) = (kind.parse()?, id.parse()?);
    if announced.parts.len() > MOST_SIGNED {
        let detail = format!("at most {MOST_SIGNED} parts are signed at once");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    registry.read(kind, &id).await?;
    let content = content(&app, &registry, &id)?;
    let mut parts: Vec<Value> = Vec::new();
    for part in &announced.parts {
        let signed = content
            .part(&announced.path, &upload_id, part.number, &part.sha256)
            .await?;
        let mut described = described(&signed);
        if let Some(described) = described.as_object_mut() {
            described.insert("number".to_owned(), part.number.into());
        }
        parts.push(described);
    }
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(([no_store], Json(json!({ "parts": parts }))).into_response())
}

/// What has arrived of an upload, for whoever goes on.
#[utoipa::path(
    get,
    path = "/artifacts/{artifact_type}/{id}/uploads/{upload_id}",
    operation_id = "UploadParts",
    tag = "files",
    params(("artifact_type" = Kind, Path, description = "The artifact's type"), ("id" = Id, Path, description = "The artifact's id"), ("upload_id" = String, Path, description = "The upload"), Place),
    responses(
        (status = 200, description = "The parts that have arrived", body = serde_json::Value),
        (status = 404, description = "There is no such artifact, or no such file"),
        (status = 501, description = "Files need a store in S3, and this registry has none"),
    ),
)]
pub(super) async fn parts(
    Path((kind, id, upload_id)): Path<(String, String, String)>,
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(place): Query<Place>,
    Reading(registry): Reading,
) -> Result<Json<Value>, Problem> {
    caller.must(Permission::Upload)?;
    let (kind, id): (Kind, Id) = (kind.parse()?, id.parse()?);
    registry.read(kind, &id).await?;
    let after = place.after.unwrap_or_default();
    let (parts, next) = content(&app, &registry, &id)?
        .parts(&place.path, &upload_id, after)
        .await?;
    let mut answer = json!({ "upload_id": upload_id, "path": place.path, "parts": parts });
    if let (Some(next), Some(answer)) = (next, answer.as_object_mut()) {
        answer.insert("next".to_owned(), next.into());
    }
    Ok(Json(answer))
}

/// Makes a file of parts.
#[utoipa::path(
    post,
    path = "/artifacts/{artifact_type}/{id}/uploads/{upload_id}/complete",
    operation_id = "UploadComplete",
    tag = "files",
    params(("artifact_type" = Kind, Path, description = "The artifact's type"), ("id" = Id, Path, description = "The artifact's id"), ("upload_id" = String, Path, description = "The upload")),
    request_body = serde_json::Value,
    responses(
        (status = 200, description = "The file", body = serde_json::Value),
        (status = 409, description = "Not all parts are there, or others change the file"),
        (status = 412, description = "There is such a file already"),
        (status = 404, description = "There is no such artifact, or no such file"),
        (status = 501, description = "Files need a store in S3, and this registry has none"),
    ),
)]
pub(super) async fn complete(
    Path((kind, id, upload_id)): Path<(String, String, String)>,
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Writing(registry): Writing,
    Body(completion): Body<Completion>,
) -> Result<Json<File>, Problem> {
    caller.must(Permission::Upload)?;
    let (kind, id): (Kind, Id) = (kind.parse()?, id.parse()?);
    let is_new = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|value| value == "*");
    registry.read(kind, &id).await?;
    let file = content(&app, &registry, &id)?
        .complete(&upload_id, &completion, is_new)
        .await?;
    Ok(Json(file))
}

/// Gives an upload up.
#[utoipa::path(
    delete,
    path = "/artifacts/{artifact_type}/{id}/uploads/{upload_id}",
    operation_id = "UploadAbort",
    tag = "files",
    params(("artifact_type" = Kind, Path, description = "The artifact's type"), ("id" = Id, Path, description = "The artifact's id"), ("upload_id" = String, Path, description = "The upload"), Place),
    responses(
        (status = 204, description = "Its parts are deleted"),
        (status = 404, description = "There is no such artifact, or no such file"),
        (status = 501, description = "Files need a store in S3, and this registry has none"),
    ),
)]
pub(super) async fn abort(
    Path((kind, id, upload_id)): Path<(String, String, String)>,
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(place): Query<Place>,
    Writing(registry): Writing,
) -> Result<StatusCode, Problem> {
    caller.must(Permission::Upload)?;
    let (kind, id): (Kind, Id) = (kind.parse()?, id.parse()?);
    registry.read(kind, &id).await?;
    content(&app, &registry, &id)?
        .abort(&place.path, &upload_id)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
