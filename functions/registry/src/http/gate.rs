//! Who asks: nobody gets past here without a token.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use shared::problem::Problem;

use super::App;
use super::answer::note;
use crate::access::{AccessError, token};

/// Lets a request pass with its [`Caller`](crate::access::Caller), or refuses it.
pub(super) async fn check(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let backend = app.storage.backend().await?;
    let checked = backend.access.check(token_of(request.headers())).await;
    if let Err(AccessError::Unavailable(_)) = checked {
        note(request.extensions(), &backend);
    }
    request.extensions_mut().insert(checked?);
    Ok(next.run(request).await)
}

/// What is not text is no token.
fn token_of(headers: &HeaderMap) -> Option<&str> {
    let text = |name| headers.get(name)?.to_str().ok();
    token::header(text("x-authorization"), text("authorization"))
}
