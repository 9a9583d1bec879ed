//! Which store an answer comes from, told in its header.

use std::sync::{Arc, OnceLock};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use shared::problem::Problem;

use super::App;
use crate::access::Access;
use crate::backend::Backend;
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

/// A part of what lives on the store in use, to read.
pub(super) struct Reading<T = Registry>(pub(super) Arc<T>);

/// The same, to change something in it. An entry in the audit trail is a change.
pub(super) struct Writing<T = Registry>(pub(super) Arc<T>);

/// What a handler asks for, of all that lives on a store.
pub(super) trait Part {
    fn of(backend: &Backend) -> &Arc<Self>;
}

impl Part for Registry {
    fn of(backend: &Backend) -> &Arc<Self> {
        &backend.registry
    }
}

impl Part for Access {
    fn of(backend: &Backend) -> &Arc<Self> {
        &backend.access
    }
}

impl<T: Part> FromRequestParts<Arc<App>> for Reading<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let backend = app.storage.backend().await?;
        note(&parts.extensions, &backend);
        Ok(Self(Arc::clone(T::of(&backend))))
    }
}

impl<T: Part> FromRequestParts<Arc<App>> for Writing<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let backend = app.storage.backend_to_write().await?;
        note(&parts.extensions, &backend);
        Ok(Self(Arc::clone(T::of(&backend))))
    }
}

pub(super) fn note(extensions: &Extensions, backend: &Backend) {
    if let Some(Used(used)) = extensions.get() {
        used.get_or_init(|| backend.kind());
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
