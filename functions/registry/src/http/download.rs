//! All of an artifact: its one file, an archive of several, or the place where it comes from.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Path, Query, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use shared::problem::Problem;
use url::Url;
use utoipa::IntoParams;

use super::App;
use super::answer::Writing;
use super::files::{content, hand_out, purpose, redirect};
use crate::access::Caller;
use crate::access::user::Permission;
use crate::artifact::{Id, Kind};
use crate::audit::Action;
use crate::content::{Aspect, Error, Whole};
use crate::record::Record;
use crate::registry::{self, Registry};
use crate::source::Source;

/// How long an archive may be worked at: API Gateway waits half a minute, and there is more to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// What of an artifact is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    #[serde(default)]
    aspect: String,
    redirect: Option<bool>,
}

/// All of an artifact, or an aspect of it: its one file, an archive of several, or the place where it comes from.
#[utoipa::path(
    get,
    path = "/artifacts/{artifact_type}/{id}/download",
    operation_id = "ArtifactDownload",
    tag = "files",
    params(("artifact_type" = Kind, Path, description = "The artifact's type"), ("id" = Id, Path, description = "The artifact's id"), Wanted),
    responses(
        (status = 200, description = "What to ask S3, for who does not follow redirects", body = serde_json::Value),
        (status = 302, description = "The bytes are there", headers(("Location" = String, description = "Where S3 has them, or where the artifact comes from"))),
        (status = 413, description = "There is too much for an archive: the member `files` has where the files are"),
        (status = 404, description = "There is no such artifact, or no such file"),
        (status = 501, description = "Files need a store in S3, and this registry has none"),
    ),
)]
pub(super) async fn download(
    Path((kind, id)): Path<(String, String)>,
    method: Method,
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(wanted): Query<Wanted>,
    writing: Writing,
) -> Result<Response, Problem> {
    answer(&app, &caller, &kind, &id, &method, &wanted, writing).await
}

/// `GET` and `HEAD /models/{id}/download`
pub(super) async fn download_model(
    Path(id): Path<String>,
    method: Method,
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(wanted): Query<Wanted>,
    writing: Writing,
) -> Result<Response, Problem> {
    let kind = Kind::Model.as_str();
    answer(&app, &caller, kind, &id, &method, &wanted, writing).await
}

async fn answer(
    app: &App,
    caller: &Caller,
    kind: &str,
    id: &str,
    method: &Method,
    wanted: &Wanted,
    Writing(registry): Writing,
) -> Result<Response, Problem> {
    caller.must(Permission::Download)?;
    let (kind, id): (Kind, Id) = (kind.parse()?, id.parse()?);
    let aspect: Aspect = wanted.aspect.parse()?;
    let (record, _) = registry.read(kind, &id).await?;
    give(
        app,
        &registry,
        &record,
        caller,
        aspect,
        method,
        wanted.redirect,
    )
    .await
}

/// Shows somebody who may have it the way to an artifact, and writes that down.
pub(super) async fn give(
    app: &App,
    registry: &Registry,
    record: &Record,
    caller: &Caller,
    aspect: Aspect,
    method: &Method,
    redirects: Option<bool>,
) -> Result<Response, Problem> {
    let shown = show(app, registry, record, aspect, method, redirects).await?;
    // Whoever is told to ask again has got nothing yet.
    registry
        .audit(&caller.actor(), record, Action::Download)
        .await?;
    Ok(shown)
}

/// Shows the way to what an artifact holds, or to where it comes from.
async fn show(
    app: &App,
    registry: &Registry,
    record: &Record,
    aspect: Aspect,
    method: &Method,
    redirects: Option<bool>,
) -> Result<Response, Problem> {
    let (kind, id) = (record.kind, &record.id);
    let Ok(content) = content(app, registry, id) else {
        // Where files cannot be, there are none.
        return to_source(record);
    };
    let whole = content.whole(aspect, PATIENCE).await;
    let signed = match whole.map_err(|error| explain(error, kind, id))? {
        Whole::Nowhere => return to_source(record),
        Whole::File(path) => content.get(&path, purpose(method)).await?,
        Whole::Archive { key, is_new } => {
            // While it was made, the artifact may have been deleted with all that lay beside it then.
            if is_new && let Err(registry::Error::NotFound) = registry.read(kind, id).await {
                content.remove_archive(&key).await?;
                return Err(registry::Error::NotFound.into());
            }
            let name = name(record, aspect);
            content.get_archive(&key, &name, purpose(method)).await?
        }
    };
    Ok(hand_out(&signed, redirects))
}

/// Sends a client to where the artifact comes from.
fn to_source(record: &Record) -> Result<Response, Problem> {
    // Other writers may have put what leads elsewhere than to the web.
    let source = record.url.parse::<Source>().ok();
    // Of characters beyond ASCII only this form may stand in a header.
    let url = source.and_then(|source| source.as_str().parse::<Url>().ok());
    let url = url.ok_or_else(|| {
        let detail = "the artifact has no files, and its source is no address of the web";
        Problem::new(StatusCode::NOT_FOUND, detail)
    })?;
    Ok(redirect(StatusCode::FOUND, url.as_str()))
}

/// What an archive is called on the disk of whoever gets it.
fn name(record: &Record, aspect: Aspect) -> String {
    let name = record.name.replace(['/', '\\'], "_");
    match aspect {
        Aspect::Full => name,
        aspect => format!("{name}-{aspect}"),
    }
}

/// Says where the files are to be had one by one.
fn explain(error: Error, kind: Kind, id: &Id) -> Problem {
    let is_too_much = matches!(error, Error::TooMuch(_));
    let problem = Problem::from(error);
    if is_too_much {
        problem.extension("files", format!("/artifacts/{kind}/{id}/files"))
    } else {
        problem
    }
}
