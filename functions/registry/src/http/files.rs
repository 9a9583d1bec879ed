//! The files of artifacts: whoever sends or gets one is shown the way to S3.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use shared::problem::Problem;
use shared::s3::{LARGEST_PART, Presigned};
use utoipa::IntoParams;

use super::App;
use super::answer::{Reading, Writing};
use crate::access::Caller;
use crate::access::user::Permission;
use crate::artifact::{Id, Kind};
use crate::audit::Action;
use crate::content::{self, Content, FilePath, Page, Sha256};
use crate::key;
use crate::record::Record;
use crate::registry::Registry;
use crate::store::StoreKind;

/// The SHA-256 of what is sent, in Base64. S3 looks at it only where it is a header, which whoever follows a redirect
/// sends again.
const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");
/// Headers of RFC 9530 that may tell it as well.
const DIGESTS: [&str; 2] = ["repr-digest", "content-digest"];
/// Seconds until S3 may be back.
const LATER: u32 = 10;
/// The longest key, in bytes of UTF-8.
const LONGEST_KEY: usize = 1024;
/// The most files on a page, and how many there are if nobody says.
const PAGE: u16 = 1000;

/// How somebody wants to send a file.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Sending {
    /// In hexadecimal.
    sha256: Option<String>,
    redirect: Option<bool>,
}

/// How somebody wants to get one.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Getting {
    redirect: Option<bool>,
}

/// Which files are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    after: Option<String>,
    limit: Option<u16>,
}

/// Sends a file: the answer leads to S3, which takes the bytes.
#[utoipa::path(
    put,
    path = "/artifacts/{artifact_type}/{id}/files/{*path}",
    operation_id = "FileSend",
    tag = "files",
    params(("artifact_type" = Kind, Path, description = "The artifact's type"), ("id" = Id, Path, description = "The artifact's id"), ("path" = String, Path, description = "The file's path"), Sending),
    responses(
        (status = 200, description = "What to send to S3, for who asks for JSON", body = serde_json::Value),
        (status = 307, description = "Send the bytes there", headers(("Location" = String, description = "Where S3 takes them"))),
        (status = 413, description = "The file is larger than one request may bring: send it in parts"),
        (status = 404, description = "There is no such artifact, or no such file"),
        (status = 501, description = "Files need a store in S3, and this registry has none"),
    ),
)]
pub(super) async fn send(
    Path((kind, id, path)): Path<(String, String, String)>,
    method: Method,
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(sending): Query<Sending>,
    headers: HeaderMap,
    Writing(registry): Writing,
) -> Result<Response, Problem> {
    caller.must(Permission::Upload)?;
    let (kind, id, path): (Kind, Id, FilePath) = (kind.parse()?, id.parse()?, path.parse()?);
    let bytes = headers.get(header::CONTENT_LENGTH);
    let bytes = bytes.and_then(|bytes| bytes.to_str().ok()?.parse().ok());
    if bytes.is_some_and(|bytes: u64| bytes > LARGEST_PART) {
        let detail = format!(
            "a file of more than 5 GiB is sent in parts: POST /artifacts/{kind}/{id}/uploads"
        );
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let repeated = headers.get(CHECKSUM).map(|value| {
        let value = value.to_str().unwrap_or_default();
        Sha256::from_base64(value)
    });
    let repeated = repeated.transpose()?;
    let told = sending.digest(&headers)?;
    if let (Some(repeated), Some(told)) = (repeated, told)
        && repeated != told
    {
        let detail = "the digests of this request are not of the same bytes";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let redirects =
        method == Method::PUT && sending.redirect.unwrap_or_else(|| !accepts_json(&headers));
    if let (true, None, Some(told)) = (redirects, repeated, told) {
        let detail = format!(
            "S3 verifies a SHA-256 only if it is a header of the request that brings the bytes: \
             send it as {CHECKSUM}: {}, which following the redirect repeats, or ask by POST where to send them",
            told.base64()
        );
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let is_new = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|value| value == "*");
    let (record, _) = registry.read(kind, &id).await?;
    let content = content(&app, &registry, &id)?;
    registry
        .audit(&caller.actor(), &record, Action::Update)
        .await?;
    let signed = content
        .put(&path, repeated.or(told).as_ref(), is_new)
        .await?;
    if redirects {
        Ok(redirect(StatusCode::TEMPORARY_REDIRECT, &signed.url))
    } else {
        Ok(request(&signed))
    }
}

/// Gets a file: the answer leads to S3, which has the bytes.
#[utoipa::path(
    get,
    path = "/artifacts/{artifact_type}/{id}/files/{*path}",
    operation_id = "FileGet",
    tag = "files",
    params(("artifact_type" = Kind, Path, description = "The artifact's type"), ("id" = Id, Path, description = "The artifact's id"), ("path" = String, Path, description = "The file's path"), Getting),
    responses(
        (status = 200, description = "What to ask S3, for who does not follow redirects", body = serde_json::Value),
        (status = 302, description = "The bytes are there", headers(("Location" = String, description = "Where S3 has them"))),
        (status = 404, description = "There is no such artifact, or no such file"),
        (status = 501, description = "Files need a store in S3, and this registry has none"),
    ),
)]
pub(super) async fn get(
    Path((kind, id, path)): Path<(String, String, String)>,
    method: Method,
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(getting): Query<Getting>,
    Writing(registry): Writing,
) -> Result<Response, Problem> {
    caller.must(Permission::Download)?;
    let (kind, id, path): (Kind, Id, FilePath) = (kind.parse()?, id.parse()?, path.parse()?);
    let (record, _) = registry.read(kind, &id).await?;
    give(
        &app,
        &registry,
        &record,
        &caller,
        &path,
        &method,
        getting.redirect,
    )
    .await
}

/// Shows somebody who may have it the way to a file, and writes that down.
pub(super) async fn give(
    app: &App,
    registry: &Registry,
    record: &Record,
    caller: &Caller,
    path: &FilePath,
    method: &Method,
    redirects: Option<bool>,
) -> Result<Response, Problem> {
    let signed = content(app, registry, &record.id)?
        .get(path, purpose(method))
        .await?;
    registry
        .audit(&caller.actor(), record, Action::Download)
        .await?;
    Ok(hand_out(&signed, redirects))
}

/// Asks where to send a file, for clients that do not follow redirects.
#[utoipa::path(
    post,
    path = "/artifacts/{artifact_type}/{id}/files/{*path}",
    operation_id = "FileAsk",
    tag = "files",
    params(("artifact_type" = Kind, Path, description = "The artifact's type"), ("id" = Id, Path, description = "The artifact's id"), ("path" = String, Path, description = "The file's path"), Sending),
    responses(
        (status = 200, description = "What to send to S3", body = serde_json::Value),
        (status = 413, description = "The file is larger than one request may bring: send it in parts"),
        (status = 404, description = "There is no such artifact, or no such file"),
        (status = 501, description = "Files need a store in S3, and this registry has none"),
    ),
)]
pub(super) async fn ask(
    path: Path<(String, String, String)>,
    state: State<Arc<App>>,
    caller: Extension<Caller>,
    sending: Query<Sending>,
    headers: HeaderMap,
    registry: Writing,
) -> Result<Response, Problem> {
    send(
        path,
        Method::POST,
        state,
        caller,
        sending,
        headers,
        registry,
    )
    .await
}

/// Deletes a file.
#[utoipa::path(
    delete,
    path = "/artifacts/{artifact_type}/{id}/files/{*path}",
    operation_id = "FileDelete",
    tag = "files",
    params(("artifact_type" = Kind, Path, description = "The artifact's type"), ("id" = Id, Path, description = "The artifact's id"), ("path" = String, Path, description = "The file's path")),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 404, description = "There is no such artifact, or no such file"),
        (status = 501, description = "Files need a store in S3, and this registry has none"),
    ),
)]
pub(super) async fn remove(
    Path((kind, id, path)): Path<(String, String, String)>,
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Writing(registry): Writing,
) -> Result<StatusCode, Problem> {
    caller.must(Permission::Upload)?;
    let (kind, id, path): (Kind, Id, FilePath) = (kind.parse()?, id.parse()?, path.parse()?);
    let (record, _) = registry.read(kind, &id).await?;
    let content = content(&app, &registry, &id)?;
    registry
        .audit(&caller.actor(), &record, Action::Update)
        .await?;
    content.remove(&path).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The files of an artifact.
#[utoipa::path(
    get,
    path = "/artifacts/{artifact_type}/{id}/files",
    operation_id = "FilesList",
    tag = "files",
    params(("artifact_type" = Kind, Path, description = "The artifact's type"), ("id" = Id, Path, description = "The artifact's id"), Paging),
    responses(
        (status = 200, description = "The files, by page", body = serde_json::Value),
        (status = 404, description = "There is no such artifact, or no such file"),
        (status = 501, description = "Files need a store in S3, and this registry has none"),
    ),
)]
pub(super) async fn list(
    Path((kind, id)): Path<(String, String)>,
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(paging): Query<Paging>,
    Reading(registry): Reading,
) -> Result<Json<Page>, Problem> {
    caller.must(Permission::Download)?;
    let (kind, id): (Kind, Id) = (kind.parse()?, id.parse()?);
    let limit = paging.limit.unwrap_or(PAGE);
    if !(1..=PAGE).contains(&limit) {
        let detail = format!("the limit must be 1 to {PAGE}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    registry.read(kind, &id).await?;
    let after = paging.after.filter(|after| !after.is_empty());
    let longest = LONGEST_KEY.saturating_sub(key::files(&id).len());
    if after.as_ref().is_some_and(|after| after.len() > longest) {
        let detail = "after must be what an earlier answer has as next";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    match content(&app, &registry, &id) {
        Ok(content) => Ok(Json(content.page(after.as_deref(), limit).await?)),
        // Where files cannot be, there are none.
        Err(_problem) => Ok(Json(Page::default())),
    }
}

/// What the artifact holds.
pub(super) fn content(app: &App, registry: &Registry, id: &Id) -> Result<Content, Problem> {
    Content::of(registry.objects(), id).map_err(|error| {
        if app.storage.report().wanted == StoreKind::S3 {
            let detail =
                "S3 does not answer, and there is no other place for files; try again later";
            Problem::unavailable(&error, detail, LATER)
        } else {
            error.into()
        }
    })
}

/// What somebody wants of an object.
pub(super) fn purpose(method: &Method) -> content::Purpose {
    if method == Method::HEAD {
        content::Purpose::Head
    } else {
        content::Purpose::Bytes
    }
}

/// Shows a client the way to bytes. Whoever gets any of an artifact comes through here.
pub(super) fn hand_out(signed: &Presigned, redirects: Option<bool>) -> Response {
    if redirects == Some(false) {
        request(signed)
    } else {
        redirect(StatusCode::FOUND, &signed.url)
    }
}

/// Sends a client to an address that nobody should remember.
pub(super) fn redirect(status: StatusCode, url: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(url) else {
        // Addresses are ASCII; one that is not has not been made here.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers).into_response()
}

/// Tells a client what to send to S3.
fn request(signed: &Presigned) -> Response {
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    ([no_store], Json(described(signed))).into_response()
}

/// A request in JSON.
pub(super) fn described(signed: &Presigned) -> serde_json::Value {
    let headers: serde_json::Map<_, _> = signed
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    json!({
        "url": signed.url,
        "method": signed.method,
        "headers": headers,
        "expires_at": content::moment(&signed.expires_at),
    })
}

fn accepts_json(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|accepted| accepted.to_str().ok())
        .flat_map(|accepted| accepted.split(','))
        .any(|kind| kind.split(';').next().unwrap_or_default().trim() == "application/json")
}

impl Sending {
    /// The digest of what will be sent, from where S3 does not look.
    fn digest(&self, headers: &HeaderMap) -> Result<Option<Sha256>, Problem> {
        if let Some(hex) = &self.sha256 {
            return Ok(Some(Sha256::from_hex(hex)?));
        }
        let fields = DIGESTS.iter().filter_map(|name| headers.get(*name));
        for field in fields {
            if let Some(digest) = Sha256::from_field(field.to_str().unwrap_or_default())? {
                return Ok(Some(digest));
            }
        }
        Ok(None)
    }
}
