use axum::Json;
use axum::extract::{Extension, Path};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use shared::problem::Problem;
use utoipa::IntoParams;

use super::answer::{Reading, Writing};
use super::body::{Artifact, Body, SentArtifact, SentData};
use super::error::unauthorized;
use super::origin::Origin;
use crate::access::user::Permission;
use crate::access::{Access, Caller};
use crate::artifact::{Id, Kind};
use crate::record::Record;
use crate::registry::{Change, Draft};
use crate::store::Etag;

/// The version that a client knows.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "for the documentation: the header is read as it is"
)]
pub(super) struct Known {
    /// Versions that need not be sent again.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// The version that a client has seen.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "for the documentation: the header is read as it is"
)]
pub(super) struct Seen {
    /// Change the artifact only if it is still this version.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// Registers an artifact by its URL.
///
/// It gets the name that is given, or one made from the URL.
#[utoipa::path(
    post,
    path = "/artifact/{artifact_type}",
    operation_id = "ArtifactCreate",
    tag = "artifacts",
    params(("artifact_type" = Kind, Path, description = "The artifact's type"),),
    request_body = SentData,
    responses(
        (status = 201, description = "It is registered", body = Artifact, headers(
            ("ETag" = String, description = "The version of the artifact"),
            ("Location" = String, description = "Where the artifact is"),
        )),
        (status = 409, description = "An artifact of this type with this URL is registered already: the member `id` has its id"),
        (status = 424, description = "The model is not good enough: the members `threshold`, `metrics` and `rating` tell why"),
    ),
)]
pub(super) async fn create(
    Path(kind): Path<String>,
    origin: Origin,
    Extension(caller): Extension<Caller>,
    Writing(registry): Writing,
    Body(data): Body<SentData>,
) -> Result<Response, Problem> {
    caller.must(Permission::Upload)?;
    let kind: Kind = kind.parse()?;
    let draft = Draft {
        kind,
        name: data.name.map(|name| name.parse()).transpose()?,
        source: data.url.parse()?,
        user: caller.actor(),
    };
    let (record, etag) = registry.create(draft).await?;
    Ok(created(record, &etag, &origin))
}

/// An artifact.
#[utoipa::path(
    get,
    path = "/artifacts/{artifact_type}/{id}",
    operation_id = "ArtifactRetrieve",
    tag = "artifacts",
    params(("artifact_type" = Kind, Path, description = "The artifact's type"), ("id" = Id, Path, description = "The artifact's id"), Known),
    responses(
        (status = 200, description = "The artifact", body = Artifact, headers(("ETag" = String, description = "The version of the artifact"))),
        (status = 304, description = "It is still the version that the client has", headers(("ETag" = String, description = "The version of the artifact"))),
        (status = 404, description = "There is no such artifact"),
    ),
)]
pub(super) async fn read(
    Path((kind, id)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    origin: Origin,
    Reading(registry): Reading,
) -> Result<Response, Problem> {
    caller.must(Permission::Download)?;
    let (record, etag) = registry.read(kind.parse()?, &id.parse()?).await?;
    Ok(unless_known(&headers, record, &etag, &origin))
}

/// An artifact of any type: `GET /package/{id}`
pub(super) async fn find(
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    origin: Origin,
    Reading(registry): Reading,
) -> Result<Response, Problem> {
    caller.must(Permission::Download)?;
    let (record, etag) = registry.find(&id.parse()?).await?;
    Ok(unless_known(&headers, record, &etag, &origin))
}

/// Changes where an artifact comes from.
///
/// Name, id and type must be those of the artifact.
#[utoipa::path(
    put,
    path = "/artifacts/{artifact_type}/{id}",
    operation_id = "ArtifactUpdate",
    tag = "artifacts",
    params(("artifact_type" = Kind, Path, description = "The artifact's type"), ("id" = Id, Path, description = "The artifact's id"), Seen),
    request_body = SentArtifact,
    responses(
        (status = 200, description = "It is changed", body = Artifact, headers(("ETag" = String, description = "The version of the artifact"))),
        (status = 404, description = "There is no such artifact"),
        (status = 409, description = "Another artifact has this URL: the member `id` has its id"),
        (status = 412, description = "The artifact was changed since"),
        (status = 424, description = "The model is not good enough: the members `threshold`, `metrics` and `rating` tell why"),
    ),
)]
pub(super) async fn update(
    Path((kind, id)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    origin: Origin,
    Writing(registry): Writing,
    Body(sent): Body<SentArtifact>,
) -> Result<Response, Problem> {
    caller.must(Permission::Upload)?;
    let (kind, id): (Kind, Id) = (kind.parse()?, id.parse()?);
    if sent.metadata.id != id.as_str() || sent.metadata.kind.is_some_and(|sent| sent != kind) {
        let detail = "the id and the type of the body must be those of the path";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let change = Change {
        name: sent.metadata.name,
        source: sent.data.url.parse()?,
        user: caller.actor(),
        etag: condition(&headers),
    };
    let (record, etag) = registry.update(kind, &id, &change).await?;
    Ok(artifact(record, &etag, &origin))
}

/// Deletes an artifact.
#[utoipa::path(
    delete,
    path = "/artifacts/{artifact_type}/{id}",
    operation_id = "ArtifactDelete",
    tag = "artifacts",
    params(("artifact_type" = Kind, Path, description = "The artifact's type"), ("id" = Id, Path, description = "The artifact's id"),),
    responses(
        (status = 200, description = "It is deleted"),
        (status = 404, description = "There is no such artifact"),
    ),
)]
pub(super) async fn remove(
    Path((kind, id)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    Writing(registry): Writing,
) -> Result<StatusCode, Problem> {
    caller.must(Permission::Upload)?;
    registry
        .delete(kind.parse()?, &id.parse()?, &caller.actor())
        .await?;
    Ok(StatusCode::OK)
}

/// Deletes all artifacts and users.
///
/// The audit trail stays, and so does the admin who is configured.
#[utoipa::path(
    delete,
    path = "/reset",
    operation_id = "RegistryReset",
    tag = "service",
    responses(
        (status = 200, description = "The registry is as it was at first"),
        (status = 401, description = "Only an admin may do that"),
    ),
)]
pub(super) async fn reset(
    Extension(caller): Extension<Caller>,
    Writing(registry): Writing,
    Writing(access): Writing<Access>,
) -> Result<StatusCode, Problem> {
    if !caller.is_admin() {
        // Here alone, the contract has 401 for a user who may not.
        let detail = "only an admin may reset the registry";
        return Err(unauthorized(detail));
    }
    registry.reset(&caller.actor()).await?;
    // Last: whoever is gone afterwards could not try again.
    access.reset(&caller).await?;
    Ok(StatusCode::OK)
}

/// The answer to whoever has registered an artifact.
pub(super) fn created(record: Record, etag: &Etag, origin: &Origin) -> Response {
    let location = format!("/artifacts/{}/{}", record.kind, record.id);
    let mut response = (StatusCode::CREATED, artifact(record, etag, origin)).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn artifact(record: Record, etag: &Etag, origin: &Origin) -> Response {
    let mut response = Json(Artifact::new(record, origin)).into_response();
    if let Ok(etag) = HeaderValue::from_str(&quoted(etag)) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// The artifact, or word that it is still the one the client has.
fn unless_known(headers: &HeaderMap, record: Record, etag: &Etag, origin: &Origin) -> Response {
    let mut response = artifact(record, etag, origin);
    let is_known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|known| known.to_str().ok())
        .is_some_and(|known| {
            known
                .split(',')
                .any(|known| known.trim().trim_start_matches("W/") == quoted(etag))
        });
    if is_known {
        let etag = response.headers_mut().remove(header::ETAG);
        response = StatusCode::NOT_MODIFIED.into_response();
        if let Some(etag) = etag {
            response.headers_mut().insert(header::ETAG, etag);
        }
    }
    response
}

/// Which version a client wants to change, if it says so: any is the same as none.
fn condition(headers: &HeaderMap) -> Option<Etag> {
    let seen = headers.get(header::IF_MATCH)?;
    // What is no text is no version either.
    let seen = seen.to_str().unwrap_or_default();
    (seen.trim() != "*").then(|| Etag::new(seen.trim().trim_matches('"')))
}

fn quoted(etag: &Etag) -> String {
    format!("\"{}\"", etag.as_str())
}
