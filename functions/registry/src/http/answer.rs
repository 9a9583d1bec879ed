//! Which store an answer comes from, told in its header.

use std::sync::{Arc, OnceLock};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use shared::problem::Problem;

use super::App;
use crate::registry::Registry;
use crate::storage::NoStore;
use crate::store::StoreKind;

/// The header, and what clients know it by.
pub(super) const STORE: &str = "x-holdfast-store";
/// Seconds until a store may be back.
const LATER: u32 = 10;

/// What a handler tells of the store it has used.
#[derive(Debug, Clone, Default)]
struct Used(Arc<OnceLock<StoreKind>>);

/// The registry, to read.
pub(super) struct Reading(pub(super) Arc<Registry>);

/// The registry, to change something in it.
pub(super) struct Writing(pub(super) Arc<Registry>);

impl FromRequestParts<Arc<App>> for Reading {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let registry = app.storage.registry().await?;
        note(parts, &registry);
        Ok(Self(registry))
    }
}

impl FromRequestParts<Arc<App>> for Writing {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let registry = app.storage.registry_to_write().await?;
        note(parts, &registry);
        Ok(Self(registry))
    }
}

fn note(parts: &Parts, registry: &Registry) {
    if let Some(Used(used)) = parts.extensions.get() {
        used.get_or_init(|| registry.objects().kind());
    }
}

/// Adds the store to an answer, counts the answer, and notes when a store did not give one.
pub(super) async fn tell(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let used = Used::default();
    request.extensions_mut().insert(used.clone());
    let mut response = next.run(request).await;
    app.activity.count(response.status());
    if let Some(kind) = used.0.get() {
        let kind = HeaderValue::from_static(kind.as_str());
        response.headers_mut().insert(STORE, kind);
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            app.storage.doubt();
        }
    }
    response
}

impl From<NoStore> for Problem {
    fn from(error: NoStore) -> Self {
        let detail = "the store does not answer, and nothing is written where it could be lost; try again later";
        Self::unavailable(&error, detail, LATER)
    }
}
