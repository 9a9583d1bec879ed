//! What was done, for those who want to know, and whether that can be believed.

use axum::Json;
use axum::extract::{Extension, Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shared::problem::Problem;
use utoipa::{IntoParams, ToSchema};

use super::answer::{Reading, Writing};
use crate::access::Caller;
use crate::access::user::Permission;
use crate::artifact::{Id, Kind};
use crate::audit::{Action, Entry, Head};

/// How many entries make a page; the block that they end in may have some more.
const PAGE: usize = 1000;
/// How many blocks are verified for one request: in S3, some seconds.
const BLOCKS: u64 = 4096;

/// Which entries are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Span {
    /// Where to go on: what the header `offset` of an earlier answer had.
    #[param(pattern = "^[0-9]{0,19}$")]
    offset: Option<String>,
    /// Also those that the contract has no word for.
    all: Option<bool>,
}

/// From where the trail is verified, and against what.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Known {
    /// Where an earlier request has stopped: its `head`.
    from: Option<String>,
    /// A `head` that somebody has kept, which must be in the trail.
    head: Option<String>,
}

/// What can be said of the trail.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditVerification)]
struct Verified {
    /// Where the verified part ends: a number, a colon and a SHA-256.
    head: String,
    /// How many entries were verified.
    entries: u64,
    /// Whether that is all there is. If not, go on from the head.
    complete: bool,
}

/// What was done to an artifact, oldest first.
///
/// An admin may ask for one that is gone.
#[utoipa::path(
    get,
    path = "/artifact/{artifact_type}/{id}/audit",
    operation_id = "ArtifactAuditGet",
    tag = "audit",
    params(("artifact_type" = Kind, Path, description = "The artifact's type"), ("id" = Id, Path, description = "The artifact's id"), Span),
    responses(
        (status = 200, description = "A page of entries", body = Vec<Entry>, headers(
            ("offset" = String, description = "Where the next page begins; absent after the last"),
        )),
        (status = 404, description = "There is no such artifact"),
    ),
)]
pub(super) async fn history(
    Path((kind, id)): Path<(String, String)>,
    Query(span): Query<Span>,
    Extension(caller): Extension<Caller>,
    Writing(registry): Writing,
) -> Result<Response, Problem> {
    caller.must(Permission::Search)?;
    let offset = span.offset.as_deref().filter(|offset| !offset.is_empty());
    let after = offset.map_or(Ok(0), str::parse).map_err(|_no_number| {
        let detail = "the offset must be one that an earlier answer gave";
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })?;
    let (mut entries, next) = registry
        .history(kind.parse()?, &id.parse()?, &caller.actor(), after, PAGE)
        .await?;
    if span.all != Some(true) {
        entries.retain(|entry: &Entry| entry.action != Action::Delete);
    }
    let mut response = Json(entries).into_response();
    if let Some(next) = next {
        response.headers_mut().insert("offset", next.into());
    }
    Ok(response)
}

/// Whether the audit trail is what was written.
#[utoipa::path(
    get,
    path = "/audit/verify",
    operation_id = "AuditVerify",
    tag = "audit",
    params(Known),
    responses(
        (status = 200, description = "It is, as far as it was looked at", body = Verified),
        (status = 409, description = "It is not: the members `sequence` and `problem` tell where"),
    ),
)]
pub(super) async fn verify(
    Query(known): Query<Known>,
    Extension(caller): Extension<Caller>,
    Reading(registry): Reading,
) -> Result<Response, Problem> {
    caller.must(Permission::Admin)?;
    let head = |text: Option<String>| -> Result<Option<Head>, Problem> {
        let text = text.filter(|text| !text.is_empty());
        Ok(text.map(|text| text.parse()).transpose()?)
    };
    let (from, kept) = (head(known.from)?, head(known.head)?);
    let trail = registry.trail();
    let verified = trail
        .verify_some(from.as_ref(), kept.as_ref(), BLOCKS)
        .await?;
    Ok(Json(Verified {
        head: verified.head.to_string(),
        entries: verified.entries,
        complete: verified.is_complete,
    })
    .into_response())
}
