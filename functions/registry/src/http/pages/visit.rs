//! What all pages have in common: who looks, what browsers are told, and what is shown when something went wrong.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use shared::problem::{self, Problem};
use url::form_urlencoded::Serializer;

use super::super::App;
use super::place::{Place, is_from_here, wants_page};
use super::session::Session;
use super::{POLICY, Refusal, html};
use crate::access::Caller;
use crate::page::{self, Frame};

/// The most of a problem that is read, in bytes.
const MAX_PROBLEM: usize = 64 * 1024;

/// Somebody who looks at a page.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub(super) place: Place,
    pub(super) session: Session,
    frame: Frame,
}

/// A problem as it was told to programs.
#[derive(Debug, Deserialize)]
struct Told {
    title: String,
    detail: Option<String>,
}

/// Says who looks, takes forms from our own pages only, and makes a page of every problem.
pub(super) async fn visit(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let place = Place::of(&request);
    let session = Session::of(&app, &place, request.headers(), request.extensions()).await;
    let visitor = Visitor::new(place, session);
    let is_form = !matches!(*request.method(), Method::GET | Method::HEAD);
    let is_program = request.uri().path() == "/" && !wants_page(request.headers());
    let response = if is_form && !is_from_here(request.headers()) {
        let detail = "this can be sent from a page of the registry only";
        Problem::new(StatusCode::FORBIDDEN, detail).into_response()
    } else {
        request.extensions_mut().insert(visitor.clone());
        next.run(request).await
    };
    let mut response = problem::describe(response).await;
    if !is_program {
        response = drawn(&visitor, response).await;
    }
    protect(response.headers_mut());
    response
}

/// The same for who wants a page, where programs are answered as well.
pub(super) async fn visit_if_wanted(
    app: State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    if wants_page(request.headers()) {
        visit(app, request, next).await
    } else {
        next.run(request).await
    }
}

/// A problem as a page; other answers as they are.
async fn drawn(visitor: &Visitor, response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind != "application/problem+json") {
        return response;
    }
    let (head, body) = response.into_parts();
    let body = to_bytes(body, MAX_PROBLEM).await.unwrap_or_default();
    let told: Option<Told> = serde_json::from_slice(&body).ok();
    let (title, detail) = match &told {
        Some(told) => (told.title.as_str(), told.detail.as_deref()),
        None => (head.status.canonical_reason().unwrap_or("Error"), None),
    };
    let problem = page::problem::Problem {
        status: head.status.as_u16(),
        title,
        detail,
    };
    let mut response = html(head.status, page::problem::page(&visitor.frame, &problem));
    for name in [header::RETRY_AFTER, header::ALLOW] {
        if let Some(value) = head.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// What browsers are told about every page. The origin goes along with our own forms, and nothing to other sites.
fn protect(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept, Cookie"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

impl Visitor {
    fn new(place: Place, session: Session) -> Self {
        let user = match &session {
            Session::Open(caller) => Some(caller.name.to_string()),
            Session::None | Session::Ended | Session::Unknown(_) => None,
        };
        let root = place.root.clone();
        Self {
            place,
            session,
            frame: Frame { root, user },
        }
    }

    /// What is around the page.
    pub(super) fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Who it is, or where to log in.
    pub(super) fn caller(&self) -> Result<&Caller, Refusal> {
        match &self.session {
            Session::Open(caller) => Ok(caller),
            Session::None | Session::Ended => Err(Refusal::Login(self.login())),
            Session::Unknown(problem) => Err(Refusal::Problem(problem.clone())),
        }
    }

    /// The login that leads back here.
    fn login(&self) -> String {
        let here = &self.place.here;
        if here.is_empty() {
            return self.frame.to("login");
        }
        let query = Serializer::new(String::new())
            .append_pair("to", here)
            .finish();
        self.frame.to(&format!("login?{query}"))
    }
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let visitor = parts.extensions.get::<Self>();
        // A route without `visit` around it is a mistake of ours.
        visitor
            .cloned()
            .ok_or_else(|| Problem::internal(&std::io::Error::other("a page has no visitor")))
    }
}
