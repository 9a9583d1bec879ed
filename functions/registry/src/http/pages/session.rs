//! Who looks at a page: a browser shows the token of its login in a cookie.

use axum::http::{Extensions, HeaderMap, HeaderValue, header};
use shared::problem::Problem;

use super::super::App;
use super::super::answer::note;
use super::place::Place;
use crate::access::token::{LIFETIME, Token};
use crate::access::{AccessError, Caller};

/// What the cookie is called where there is TLS. Browsers take this name only from this host itself, over TLS and for
/// all paths, so that no neighbour can log somebody in (RFC 6265bis, section 4.1.3.2).
const COOKIE: &str = "__Host-holdfast";
/// On this machine there is no TLS, and the name above would be refused.
const LOCAL_COOKIE: &str = "holdfast";

/// Who looks.
#[derive(Debug, Clone)]
pub(super) enum Session {
    /// Nobody who is known.
    None,
    /// Somebody whose token is no longer good.
    Ended,
    /// Somebody who is logged in.
    Open(Caller),
    /// That cannot be found out now.
    Unknown(Problem),
}

impl Session {
    /// Whose token the cookie has. It counts as one of the token's calls.
    pub(super) async fn of(
        app: &App,
        place: &Place,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Self {
        let Some(token) = token(place, headers) else {
            return Self::None;
        };
        let backend = match app.storage.backend().await {
            Ok(backend) => backend,
            Err(error) => return Self::Unknown(error.into()),
        };
        match backend.access.check(Some(token)).await {
            Ok(caller) => Self::Open(caller),
            Err(AccessError::Unauthenticated) => Self::Ended,
            Err(error) => {
                note(extensions, &backend);
                Self::Unknown(error.into())
            }
        }
    }
}

fn token<'a>(place: &Place, headers: &'a HeaderMap) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).into_iter();
    let mut pairs = cookies
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='));
    let token = pairs.find(|(name, _)| *name == name_at(place))?.1;
    Some(token).filter(|token| !token.is_empty())
}

/// The header that gives a browser the cookie, for as long as the token is good. No script can read it, and no page
/// of another site can make the browser send it.
pub(super) fn begin(place: &Place, token: &Token) -> Option<HeaderValue> {
    cookie(place, token.bare(), LIFETIME.whole_seconds())
}

/// The header that takes it away.
pub(super) fn end(place: &Place) -> Option<HeaderValue> {
    cookie(place, "", 0)
}

fn cookie(place: &Place, value: &str, seconds: i64) -> Option<HeaderValue> {
    let name = name_at(place);
    let secure = if place.is_local { "" } else { "; Secure" };
    let cookie =
        format!("{name}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Strict{secure}");
    let mut cookie = HeaderValue::from_str(&cookie).ok()?;
    cookie.set_sensitive(true);
    Some(cookie)
}

fn name_at(place: &Place) -> &'static str {
    if place.is_local { LOCAL_COOKIE } else { COOKIE }
}
