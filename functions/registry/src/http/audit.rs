//! What was done, for those who want to know, and whether that can be believed.

use axum::Json;
use axum::extract::{Extension, Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shared::problem::Problem;

use super::answer::{Reading, Writing};
use crate::access::Caller;
use crate::access::user::Permission;
use crate::audit::{Action, Entry, Head};

/// How many entries make a page; the block that they end in may have some more.
const PAGE: usize = 1000;
/// How many blocks are verified for one request: in S3, some seconds.
const BLOCKS: u64 = 4096;

/// Which entries are asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Span {
    /// Ours: where an earlier page has ended.
    offset: Option<String>,
    /// Ours: also those that the contract has no word for.
    all: Option<bool>,
}

/// From where the trail is verified, and against what.
#[derive(Debug, Deserialize)]
pub(super) struct Known {
    /// Where an earlier request has stopped.
    from: Option<String>,
    /// What somebody has kept.
    head: Option<String>,
}

/// What can be said of the trail.
#[derive(Debug, Serialize)]
struct Verified {
    head: String,
    entries: u64,
    complete: bool,
}

/// `GET /artifact/{artifact_type}/{id}/audit`
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

/// `GET /audit/verify`
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
