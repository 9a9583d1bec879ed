//! The first page, and what programs find at its place.

use std::sync::Arc;

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use shared::problem::Problem;

use super::super::answer::Reading;
use super::super::origin::Origin;
use super::place::wants_page;
use super::visit::Visitor;
use super::{Refusal, html};
use crate::access::user::Permission;
use crate::artifact::Name;
use crate::catalogue::Entry;
use crate::cursor::Cursor;
use crate::page::search::{By, Found, Page, Range, Sought, page};
use crate::pattern::Pattern;
use crate::registry::{Error, Registry, Span, Wanted};

/// Artifacts on a page.
const PAGE: usize = 50;

/// What the form sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sent {
    q: String,
    by: String,
    #[serde(rename = "type")]
    kind: String,
    after: String,
}

/// `GET /`: for people the artifacts, for programs what there is.
pub(super) async fn first(
    visitor: Visitor,
    origin: Origin,
    headers: HeaderMap,
    sent: Result<Query<Sent>, QueryRejection>,
    registry: Result<Reading, Problem>,
) -> Result<Response, Refusal> {
    if !wants_page(&headers) {
        return Ok(contents(&origin));
    }
    visitor.caller()?.must(Permission::Search)?;
    let Query(sent) = sent.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let Reading(registry) = registry?;
    let sought = Sought::new(&sent.q, &sent.by, &sent.kind)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let after = Some(sent.after.as_str()).filter(|after| !after.is_empty());
    let found = find(&registry, &sought, after.map(str::parse).transpose()?).await?;
    let status = match found {
        Found::Artifacts(_) => StatusCode::OK,
        Found::Invalid(_) => StatusCode::BAD_REQUEST,
    };
    Ok(html(status, page(visitor.frame(), &sought, &found)))
}

fn contents(origin: &Origin) -> Response {
    Json(json!({
        "name": "Holdfast registry",
        "version": env!("CARGO_PKG_VERSION"),
        "links": {
            "health": format!("{origin}/health"),
            "tracks": format!("{origin}/tracks"),
            "openapi": format!("{origin}/openapi.json"),
        },
    }))
    .into_response()
}

async fn find(registry: &Registry, sought: &Sought, after: Option<Cursor>) -> Result<Found, Error> {
    if sought.text.is_empty() {
        let kinds: Vec<_> = sought.kind.into_iter().collect();
        let span = Span {
            after: after.clone(),
            limit: Some(PAGE),
        };
        let page = registry
            .query(&Wanted::default().name("*", &kinds), &span)
            .await?;
        return Ok(Found::Artifacts(Page {
            artifacts: page.artifacts,
            after: after.map(|after| after.to_string()),
            next: page.next.map(|next| next.to_string()),
            range: None,
        }));
    }
    let pattern = match sought.by {
        By::Pattern => sought.text.clone(),
        By::Text | By::Name => format!("(?i){}", regex::escape(&sought.text)),
    };
    let found = match sought.by {
        By::Text | By::Pattern => registry.by_regex(&pattern).await,
        By::Name => match sought.text.parse::<Name>() {
            Ok(name) => registry.by_name(&name).await,
            Err(error) => return Ok(Found::Invalid(error.to_string())),
        },
    };
    let mut all = match found {
        Ok(all) => all,
        Err(Error::NotFound) => Vec::new(),
        Err(Error::Pattern(error)) => return Ok(Found::Invalid(error.to_string())),
        Err(error) => return Err(error),
    };
    all.retain(|entry| sought.kind.is_none_or(|kind| entry.kind == kind));
    if let Ok(pattern) = Pattern::new(&pattern) {
        all.sort_by_cached_key(|entry| rank(entry, &pattern));
    }
    let before = after.as_ref().map_or(0, Cursor::skip).min(all.len());
    let next = before + PAGE;
    Ok(Found::Artifacts(Page {
        artifacts: all.iter().skip(before).take(PAGE).cloned().collect(),
        after: (before > 0).then(|| before.to_string()),
        next: (next < all.len()).then(|| next.to_string()),
        range: Some(Range {
            before,
            all: all.len(),
        }),
    }))
}

/// Whoever has it in the name comes first.
fn rank(entry: &Arc<Entry>, pattern: &Pattern) -> (bool, String, String) {
    (
        !pattern.is_in(&entry.name),
        entry.name.to_lowercase(),
        entry.id.to_string(),
    )
}
