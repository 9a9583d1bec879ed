//! The registry as a client of HTTP sees it: the contract's operations, and the other names they are known by.
//!
//! In reading order: the routes are here; `gate` says who asks, `answer` from which store, `artifacts`, `models`, `search`,
//! `users` and `audit` do what is asked, `files`, `uploads` and `download` show the way to what artifacts hold, `origin`
//! says where we are, `body` reads what comes, `health` tells how it goes, `index` puts the index in
//! order; `error` is the table of statuses. `pages` is the same for people.

mod activity;
mod answer;
mod artifacts;
mod audit;
mod body;
mod cross_origin;
mod download;
mod error;
mod files;
mod gate;
mod health;
mod index;
mod models;
mod origin;
mod pages;
mod search;
mod uploads;
mod users;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::routing::{delete, get, post, put};
use shared::problem;

use crate::storage::Storage;
use activity::Activity;
pub use origin::PublicUrl;

/// The largest body taken, in bytes: documents about artifacts, never what they hold.
const MAX_BODY: usize = 1 << 20;

/// What the operations share.
#[derive(Debug)]
struct App {
    storage: Storage,
    public_url: Option<PublicUrl>,
    activity: Activity,
    started: Instant,
}

/// The registry's routes, on these stores.
pub fn router(storage: Storage) -> Router {
    router_at(storage, None)
}

/// As [`router`], for clients that reach it at another address than requests tell.
pub fn router_at(storage: Storage, public_url: Option<PublicUrl>) -> Router {
    let app = Arc::new(App {
        storage,
        public_url,
        activity: Activity::default(),
        started: Instant::now(),
    });
    let artifact = get(artifacts::read)
        .put(artifacts::update)
        .delete(artifacts::remove);
    let file = get(files::get)
        .put(files::send)
        .post(files::send)
        .delete(files::remove);
    let for_callers = Router::new()
        .route("/artifacts", post(search::query))
        .route("/artifacts/{artifact_type}/{id}", artifact)
        .route("/artifact/{artifact_type}", post(artifacts::create))
        .route("/artifact/byName/{*name}", get(search::by_name))
        .route("/artifact/byRegEx", post(search::by_regex))
        .route("/artifact/{artifact_type}/{id}/cost", get(models::cost))
        .route("/artifact/{artifact_type}/{id}/rate", get(models::rate))
        .route(
            "/artifact/{artifact_type}/{id}/lineage",
            get(models::lineage),
        )
        .route(
            "/artifact/{artifact_type}/{id}/license-check",
            post(models::check_license),
        )
        .route("/models/ingest", post(models::ingest))
        .route("/artifact/{artifact_type}/{id}/audit", get(audit::history))
        .route("/audit/verify", get(audit::verify))
        .route("/reset", delete(artifacts::reset))
        .route("/users", get(users::list).post(users::register))
        .route("/users/{name}", get(users::find).delete(users::remove))
        .route("/users/{name}/password", put(users::set_password))
        .route("/users/{name}/permissions", put(users::set_permissions))
        .route("/verify-token", get(users::verify_token))
        // What artifacts hold.
        .route("/artifacts/{artifact_type}/{id}/files", get(files::list))
        .route("/artifacts/{artifact_type}/{id}/files/{*path}", file)
        .route(
            "/artifacts/{artifact_type}/{id}/uploads",
            post(uploads::begin),
        )
        .route(
            "/artifacts/{artifact_type}/{id}/uploads/{upload_id}",
            get(uploads::parts).delete(uploads::abort),
        )
        .route(
            "/artifacts/{artifact_type}/{id}/uploads/{upload_id}/parts",
            post(uploads::sign),
        )
        .route(
            "/artifacts/{artifact_type}/{id}/uploads/{upload_id}/complete",
            post(uploads::complete),
        )
        .route(
            "/artifacts/{artifact_type}/{id}/download",
            get(download::download),
        )
        .route("/index/rebuild", post(index::rebuild))
        // Other names that clients use.
        .route("/artifact/{artifact_type}/{id}", get(artifacts::read))
        .route("/package/{id}", get(artifacts::find))
        .route(
            "/artifact/{artifact_type}/{id}/download",
            get(download::download),
        )
        .route("/download/{artifact_type}/{id}", get(download::download))
        .route("/models/{id}/download", get(download::download_model))
        .route("/artifact/byRegex", post(search::by_regex))
        .route("/artifacts/byRegEx", post(search::by_regex))
        .route("/artifacts/byName/{*name}", get(search::by_name))
        .route("/artifacts/{artifact_type}/{id}/rate", get(models::rate))
        .route("/package/{id}/rate", get(models::rate_model))
        .route("/models/{id}/rate", get(models::rate_model))
        .route("/models/{id}/cost", get(models::cost_of_model))
        .route("/models/{id}/lineage", get(models::lineage_of_model))
        .route(
            "/models/{id}/license-check",
            post(models::check_license_of_model),
        )
        .route("/register", post(users::register))
        .route("/user/{name}", delete(users::remove))
        .route("/user/{name}/permissions", put(users::set_permissions))
        .route_layer(from_fn_with_state(Arc::clone(&app), gate::check));
    let for_everyone = Router::new()
        .route("/health", get(health::summary))
        .route("/health/components", get(health::components))
        .route("/tracks", get(health::tracks))
        .route("/authenticate", put(users::authenticate));
    for_callers
        .merge(for_everyone)
        .merge(pages::routes(&app))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(map_response(problem::describe))
        .layer(from_fn_with_state(Arc::clone(&app), answer::tell))
        .layer(from_fn(cross_origin::admit))
        .with_state(app)
}
