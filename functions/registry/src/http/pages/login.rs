//! Logging in and out.

use axum::Form;
use axum::extract::Query;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use shared::problem::Problem;

use super::super::answer::Reading;
use super::place::{is_from_elsewhere, is_ours};
use super::session::{self, Session};
use super::visit::Visitor;
use super::{Refusal, html, see};
use crate::access::{Access, AccessError};
use crate::page::login::{Login, Notice, page};

/// Where somebody wants to go.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    to: String,
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Sent {
    name: String,
    password: String,
    #[serde(default)]
    to: String,
}

/// `GET /login`
pub(super) async fn form(
    visitor: Visitor,
    headers: HeaderMap,
    Query(wish): Query<Wish>,
) -> Response {
    let to = checked(&wish.to);
    let notice = match &visitor.session {
        Session::Open(_) => return see(&visitor.frame().to(to)),
        Session::Ended => Some(Notice::Ended),
        Session::None if is_from_elsewhere(&headers) => Some(Notice::FromElsewhere),
        Session::None | Session::Unknown(_) => None,
    };
    let login = Login {
        to,
        name: "",
        notice,
    };
    html(StatusCode::OK, page(visitor.frame(), &login))
}

/// `POST /login`
pub(super) async fn enter(
    visitor: Visitor,
    Reading(access): Reading<Access>,
    Form(sent): Form<Sent>,
) -> Result<Response, Refusal> {
    let to = checked(&sent.to);
    let (status, why, retry_after) = match access.authenticate(&sent.name, &sent.password).await {
        Ok(token) => {
            let mut response = see(&visitor.frame().to(to));
            set_cookie(&mut response, session::begin(&visitor.place, &token));
            return Ok(response);
        }
        Err(AccessError::Unauthenticated) => {
            let why = "the name or the password is wrong".to_owned();
            (StatusCode::UNAUTHORIZED, why, None)
        }
        Err(error @ AccessError::Throttled { retry_after }) => {
            let seconds = HeaderValue::from(retry_after.whole_seconds() + 1);
            (
                StatusCode::TOO_MANY_REQUESTS,
                error.to_string(),
                Some(seconds),
            )
        }
        Err(error) => return Err(Problem::from(error).into()),
    };
    let login = Login {
        to,
        name: &sent.name,
        notice: Some(Notice::Refused(why)),
    };
    let mut response = html(status, page(visitor.frame(), &login));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    Ok(response)
}

/// `POST /logout`: the browser forgets its token.
pub(super) async fn leave(visitor: Visitor) -> Response {
    let mut response = see(&visitor.frame().to("login"));
    set_cookie(&mut response, session::end(&visitor.place));
    response
}

fn set_cookie(response: &mut Response, cookie: Option<HeaderValue>) {
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

/// Where to go: a page of ours, else the first one.
fn checked(to: &str) -> &str {
    if is_ours(to) { to } else { "" }
}
