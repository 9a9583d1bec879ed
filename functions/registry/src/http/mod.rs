//! The registry as a client of HTTP sees it: the contract's operations, and the other names they are known by.
//!
//! In reading order: the routes are here; `gate` says who asks, `answer` from which store, `artifacts` and `search` do
//! what is asked, `body` reads what comes, `health` tells how it goes, `index` puts the index in order; `error` is the table of statuses.

mod activity;
mod answer;
mod artifacts;
mod body;
mod cross_origin;
mod error;
mod gate;
mod health;
mod index;
mod search;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::routing::{delete, get, post};
use shared::problem::{self, Problem};

use crate::storage::Storage;
use activity::Activity;
pub use gate::{Caller, Denied, Gate, Permissions};

/// The largest body taken, in bytes: documents about artifacts, never what they hold.
const MAX_BODY: usize = 1 << 20;

/// What the operations share.
#[derive(Debug)]
struct App {
    storage: Storage,
    gate: Gate,
    activity: Activity,
    started: Instant,
}

/// The registry's routes, on these stores, behind this gate.
pub fn router(storage: Storage, gate: Gate) -> Router {
    let app = Arc::new(App {
        storage,
        gate,
        activity: Activity::default(),
        started: Instant::now(),
    });
    let artifact = get(artifacts::read)
        .put(artifacts::update)
        .delete(artifacts::remove);
    let for_callers = Router::new()
        .route("/artifacts", post(search::query))
        .route("/artifacts/{artifact_type}/{id}", artifact)
        .route("/artifact/{artifact_type}", post(artifacts::create))
        .route("/artifact/byName/{*name}", get(search::by_name))
        .route("/artifact/byRegEx", post(search::by_regex))
        .route("/reset", delete(artifacts::reset))
        .route("/index/rebuild", post(index::rebuild))
        // Other names that clients use.
        .route("/artifact/{artifact_type}/{id}", get(artifacts::read))
        .route("/package/{id}", get(artifacts::find))
        .route("/artifact/byRegex", post(search::by_regex))
        .route("/artifacts/byRegEx", post(search::by_regex))
        .route("/artifacts/byName/{*name}", get(search::by_name))
        .route_layer(from_fn_with_state(Arc::clone(&app), gate::check));
    let for_everyone = Router::new()
        .route("/health", get(health::summary))
        .route("/health/components", get(health::components))
        .route("/tracks", get(health::tracks));
    for_callers
        .merge(for_everyone)
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is no such operation"))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(map_response(problem::describe))
        .layer(from_fn_with_state(Arc::clone(&app), answer::tell))
        .layer(from_fn(cross_origin::admit))
        .with_state(app)
}
