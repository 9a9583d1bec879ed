//! The registry for people with a browser.
//!
//! In reading order: the routes are here; `place` says where a page is, `session` who looks at it, `visit` puts both into
//! a request and draws what went wrong; `search`, `artifact`, `download` and `login` do what is asked. What pages look like is in
//! [`page`](crate::page).
//!
//! A browser shows its token in a cookie, which only these routes take: the API judges by headers alone, so no page
//! of another origin can make a browser use it. What changes something here is taken from our own pages only.

mod artifact;
mod download;
mod login;
mod place;
mod search;
mod session;
mod visit;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::handler::Handler as _;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use maud::Markup;
use shared::problem::Problem;

use super::App;
use super::answer::Reading;
use super::health::{self, Window};
use crate::page::{assets, status};
use place::wants_page;
use visit::{Visitor, visit, visit_if_wanted};

/// What only our own page can load and send; no script, from nowhere.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);
/// The name of an asset changes with its content.
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Why there is no page.
pub(super) enum Refusal {
    /// Somebody must log in first, at this address.
    Login(String),
    /// Anything else.
    Problem(Problem),
}

/// The routes of all pages, and what is answered where there is nothing, to programs too.
pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let pages = Router::new()
        .route("/", get(search::first))
        .route("/view/{id}", get(artifact::view))
        .route("/view/{id}/history", get(artifact::history))
        .route("/view/{id}/download", get(download::whole))
        .route("/view/{id}/files/{*path}", get(download::file))
        .route("/status", get(status_page))
        .route("/login", get(login::form).post(login::enter))
        .route("/logout", post(login::leave))
        .layer(from_fn_with_state(Arc::clone(app), visit));
    let nothing = nothing.layer(from_fn_with_state(Arc::clone(app), visit_if_wanted));
    Router::new()
        .route("/page/{file}", get(asset))
        .merge(pages)
        .fallback(nothing)
}

async fn nothing(headers: HeaderMap) -> Problem {
    let detail = if wants_page(&headers) {
        "there is no page at this address"
    } else {
        "there is no such operation"
    };
    Problem::new(StatusCode::NOT_FOUND, detail)
}

/// `GET /status`: for everybody, as `GET /health/components` is.
async fn status_page(
    visitor: Visitor,
    app: State<Arc<App>>,
    registry: Result<Reading, Problem>,
) -> Result<Response, Problem> {
    let axum::Json(told) =
        health::components(app, axum::extract::Query(Window::default()), registry).await?;
    let health = serde_json::to_value(told)
        .and_then(serde_json::from_value)
        .map_err(|error| Problem::internal(&error))?;
    Ok(html(StatusCode::OK, status::page(visitor.frame(), &health)))
}

/// `GET /page/{file}`
async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let mut all = assets().into_iter();
    let asset = all.find(|asset| asset.path.rsplit('/').next() == Some(file.as_str()));
    let asset =
        asset.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no such file"))?;
    let tag = format!("\"{}\"", asset.tag);
    let is_known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known == tag.as_str());
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = HeaderValue::from_static(asset.content_type);
        ([(header::CONTENT_TYPE, kind)], asset.content).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, FOR_GOOD);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

fn html(status: StatusCode, page: Markup) -> Response {
    (status, Html(page.into_string())).into_response()
}

fn see(location: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

impl<E> From<E> for Refusal
where
    Problem: From<E>,
{
    fn from(error: E) -> Self {
        Self::Problem(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Login(address) => see(&address),
            Self::Problem(problem) => problem.into_response(),
        }
    }
}
