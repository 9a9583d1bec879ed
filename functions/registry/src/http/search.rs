use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, Query};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use shared::problem::Problem;

use super::answer::Reading;
use super::body::{Body, Metadata, SentPattern, SentQuery};
use crate::access::Caller;
use crate::access::user::Permission;
use crate::catalogue::Entry;
use crate::registry::{Span, Wanted};

/// The most artifacts on a page, and how many there are if nobody says.
const PAGE: usize = 1000;

/// How much of an answer is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Paging {
    offset: Option<String>,
    /// Ours: a number of artifacts, or `all`.
    limit: Option<String>,
}

/// `POST /artifacts`
pub(super) async fn query(
    Extension(caller): Extension<Caller>,
    Query(paging): Query<Paging>,
    Reading(registry): Reading,
    Body(queries): Body<Vec<SentQuery>>,
) -> Result<Response, Problem> {
    caller.must(Permission::Search)?;
    let span = paging.span()?;
    let wanted = queries.iter().fold(Wanted::default(), |wanted, query| {
        wanted.name(&query.name, query.types.as_deref().unwrap_or_default())
    });
    let page = registry.query(&wanted, &span).await?;
    let mut response = metadata(&page.artifacts);
    if let Some(next) = page.next
        && let Ok(next) = HeaderValue::from_str(&next.to_string())
    {
        response.headers_mut().insert("offset", next);
    }
    Ok(response)
}

/// `GET /artifact/byName/{name}`
pub(super) async fn by_name(
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
    Reading(registry): Reading,
) -> Result<Response, Problem> {
    caller.must(Permission::Search)?;
    Ok(metadata(&registry.by_name(&name.parse()?).await?))
}

/// `POST /artifact/byRegEx`
pub(super) async fn by_regex(
    Extension(caller): Extension<Caller>,
    Reading(registry): Reading,
    Body(pattern): Body<SentPattern>,
) -> Result<Response, Problem> {
    caller.must(Permission::Search)?;
    Ok(metadata(&registry.by_regex(&pattern.regex).await?))
}

impl Paging {
    fn span(&self) -> Result<Span, Problem> {
        let offset = self.offset.as_deref().filter(|offset| !offset.is_empty());
        let limit = match self.limit.as_deref() {
            None => Some(PAGE),
            Some("all") => None,
            Some(limit) => {
                let limit = limit
                    .parse()
                    .ok()
                    .filter(|limit| (1..=PAGE).contains(limit));
                let refusal = || {
                    let detail = format!("the limit must be 1 to {PAGE}, or all");
                    Problem::new(StatusCode::BAD_REQUEST, detail)
                };
                Some(limit.ok_or_else(refusal)?)
            }
        };
        Ok(Span {
            after: offset.map(str::parse).transpose()?,
            limit,
        })
    }
}

fn metadata(entries: &[Arc<Entry>]) -> Response {
    let entries: Vec<Metadata> = entries.iter().map(|entry| entry.as_ref().into()).collect();
    Json(entries).into_response()
}
