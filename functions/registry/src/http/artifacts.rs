use axum::Json;
use axum::extract::{Extension, Path};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use shared::problem::Problem;

use super::answer::{Reading, Writing};
use super::body::{Artifact, Body, SentArtifact, SentData};
use super::origin::Origin;
use crate::access::user::Permission;
use crate::access::{Access, Caller};
use crate::artifact::{Id, Kind};
use crate::record::Record;
use crate::registry::{Change, Draft};
use crate::store::Etag;

/// `POST /artifact/{artifact_type}`
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

/// `GET /artifacts/{artifact_type}/{id}`
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

/// `GET /package/{id}`
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

/// `PUT /artifacts/{artifact_type}/{id}`
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

/// `DELETE /artifacts/{artifact_type}/{id}`
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

/// `DELETE /reset`
pub(super) async fn reset(
    Extension(caller): Extension<Caller>,
    Writing(registry): Writing,
    Writing(access): Writing<Access>,
) -> Result<StatusCode, Problem> {
    if !caller.is_admin() {
        // Here alone, the contract has 401 for a user who may not.
        let detail = "only an admin may reset the registry";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
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
