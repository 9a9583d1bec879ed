use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, Query};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use shared::problem::Problem;
use utoipa::IntoParams;

use super::answer::Reading;
use super::body::{Body, Metadata, SentPattern, SentQuery};
use crate::access::Caller;
use crate::access::user::Permission;
use crate::artifact::Kind;
use crate::catalogue::Entry;
use crate::registry::{Error, Span, Wanted};

/// The most artifacts on a page, and how many there are if nobody says.
const PAGE: usize = 1000;
/// The longest text searched for, in bytes.
const MAX_TEXT: usize = 1024;

/// How much of an answer is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// Where to go on: what the header `offset` of an earlier answer had.
    offset: Option<String>,
    /// The most artifacts to answer, or `all`.
    #[param(pattern = "^([1-9][0-9]{0,2}|1000|all)$", default = "1000")]
    limit: Option<String>,
}

/// What is searched for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Sought {
    /// A text, as it is.
    #[param(min_length = 1, max_length = 1024)]
    q: String,
}

/// The artifacts that any of some queries asks for, by page.
#[utoipa::path(
    post,
    path = "/artifacts",
    operation_id = "ArtifactsList",
    tag = "search",
    params(Paging),
    request_body = Vec<SentQuery>,
    responses(
        (status = 200, description = "A page of artifacts", body = Vec<Metadata>, headers(
            ("offset" = String, description = "Where the next page begins; absent after the last"),
        )),
        (status = 413, description = "All artifacts were asked for, and there are too many; or the body is too large"),
    ),
)]
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

/// Models, by page.
#[utoipa::path(
    get,
    path = "/models",
    operation_id = "ModelsList",
    tag = "models",
    params(Paging),
    responses(
        (status = 200, description = "A page of models", body = Vec<Metadata>, headers(
            ("offset" = String, description = "Where the next page begins; absent after the last"),
        )),
        (status = 413, description = "All models were asked for, and there are too many"),
    ),
)]
pub(super) async fn models(
    caller: Extension<Caller>,
    paging: Query<Paging>,
    registry: Reading,
) -> Result<Response, Problem> {
    let models = SentQuery {
        name: "*".to_owned(),
        types: Some(vec![Kind::Model]),
    };
    query(caller, paging, registry, Body(vec![models])).await
}

/// Models in whose name or README a text is found, whatever its case.
#[utoipa::path(
    get,
    path = "/models/search",
    operation_id = "ModelsSearch",
    tag = "models",
    params(Sought),
    responses((status = 200, description = "The models, maybe none", body = Vec<Metadata>)),
)]
pub(super) async fn search_models(
    Query(sought): Query<Sought>,
    Extension(caller): Extension<Caller>,
    Reading(registry): Reading,
) -> Result<Response, Problem> {
    caller.must(Permission::Search)?;
    if sought.q.is_empty() || sought.q.len() > MAX_TEXT {
        let detail = format!("q must have 1 to {MAX_TEXT} bytes");
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let pattern = format!("(?i){}", regex::escape(&sought.q));
    let mut found = match registry.by_regex(&pattern).await {
        Err(Error::NotFound) => vec![],
        found => found?,
    };
    found.retain(|entry| entry.kind == Kind::Model);
    Ok(metadata(&found))
}

/// The artifacts of exactly this name, which may have slashes.
#[utoipa::path(
    get,
    path = "/artifact/byName/{*name}",
    operation_id = "ArtifactByNameGet",
    tag = "search",
    params(("name" = String, Path, description = "The artifact's name", min_length = 1, max_length = 1024)),
    responses(
        (status = 200, description = "The artifacts", body = Vec<Metadata>),
        (status = 404, description = "There is no such artifact"),
    ),
)]
pub(super) async fn by_name(
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
    Reading(registry): Reading,
) -> Result<Response, Problem> {
    caller.must(Permission::Search)?;
    Ok(metadata(&registry.by_name(&name.parse()?).await?))
}

/// The artifacts in whose name or README a regular expression is found.
#[utoipa::path(
    post,
    path = "/artifact/byRegEx",
    operation_id = "ArtifactByRegExGet",
    tag = "search",
    request_body = SentPattern,
    responses(
        (status = 200, description = "The artifacts", body = Vec<Metadata>),
        (status = 404, description = "There is no such artifact"),
    ),
)]
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
