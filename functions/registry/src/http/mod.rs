//! The registry as a client of HTTP sees it: the contract's operations, and the other names they are known by.
//!
//! In reading order: the routes are here; `gate` says who asks, `answer` from which store, `artifacts`, `models`, `search`,
//! `users` and `audit` do what is asked, `files`, `uploads` and `download` show the way to what artifacts hold, `origin`
//! says where we are, `body` reads what comes, `health` tells how it goes, `index` puts the index in order; `error` is
//! the table of statuses; `document` tells programs what the operations are, and `manual` people, with the
//! pieces of a page in `html`; `pages` is all of it for people.

#![expect(
    unused_qualifications,
    reason = "utoipa qualifies what its attributes name"
)]

mod activity;
mod answer;
mod artifacts;
mod audit;
mod body;
mod cross_origin;
mod document;
mod download;
mod error;
mod files;
mod gate;
mod health;
mod html;
mod index;
mod manual;
mod models;
mod origin;
mod pages;
mod search;
mod uploads;
mod users;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use shared::problem;
use utoipa::openapi::HttpMethod::{Delete, Get, Post, Put};
use utoipa_axum::routes;

use crate::storage::Storage;
use activity::Activity;
use document::{Document, Routes};
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
    /// Set before the first request.
    document: OnceLock<Document>,
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
        document: OnceLock::new(),
    });
    let (for_callers, for_everyone) = (for_callers(), for_everyone());
    let gate = from_fn_with_state(Arc::clone(&app), gate::check);
    let router = for_callers
        .router
        .route_layer(gate)
        .merge(for_everyone.router)
        .merge(pages::routes(&app))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(map_response(problem::describe))
        .layer(from_fn_with_state(Arc::clone(&app), answer::tell))
        .layer(from_fn(cross_origin::admit));
    let document = Document::new(for_callers.documented, for_everyone.documented);
    app.document.get_or_init(|| document);
    router.with_state(app)
}

/// What needs a token.
fn for_callers() -> Routes {
    let operations = Routes::default()
        .with(routes!(search::query))
        .with(routes!(
            artifacts::read,
            artifacts::update,
            artifacts::remove
        ))
        .with(routes!(artifacts::create))
        .with(routes!(search::by_name))
        .with(routes!(search::by_regex))
        .with(routes!(models::cost))
        .with(routes!(models::rate_model))
        .with(routes!(models::lineage_of_model))
        .with(routes!(models::check_license_of_model))
        .with(routes!(models::ingest))
        .with(routes!(search::models))
        .with(routes!(search::search_models))
        .with(routes!(audit::history))
        .with(routes!(audit::verify))
        .with(routes!(artifacts::reset))
        .with(routes!(index::rebuild))
        // What artifacts hold.
        .with(routes!(files::list))
        .with(routes!(files::get, files::send, files::ask, files::remove))
        .with(routes!(uploads::begin))
        .with(routes!(uploads::parts, uploads::abort))
        .with(routes!(uploads::sign))
        .with(routes!(uploads::complete))
        .with(routes!(download::download))
        .with(routes!(users::list, users::register))
        .with(routes!(users::find, users::remove))
        .with(routes!(users::set_password))
        .with(routes!(users::set_permissions))
        .with(routes!(users::verify_token));
    with_other_names(operations)
}

/// The same under the other names that clients use.
fn with_other_names(operations: Routes) -> Routes {
    const ARTIFACT: &str = "/artifacts/{artifact_type}/{id}";
    const RATE: &str = "/artifact/model/{id}/rate";
    const LINEAGE: &str = "/artifact/model/{id}/lineage";
    const LICENSE_CHECK: &str = "/artifact/model/{id}/license-check";
    const DOWNLOAD: &str = "/artifacts/{artifact_type}/{id}/download";
    const BY_REGEX: &str = "/artifact/byRegEx";
    operations
        .also(
            Get,
            "/artifact/{artifact_type}/{id}",
            ARTIFACT,
            artifacts::read,
        )
        .also(Get, "/package/{id}", ARTIFACT, artifacts::find)
        .also(Post, "/artifact/byRegex", BY_REGEX, search::by_regex)
        .also(Post, "/artifacts/byRegEx", BY_REGEX, search::by_regex)
        .also(
            Get,
            "/artifacts/byName/{*name}",
            "/artifact/byName/{*name}",
            search::by_name,
        )
        .also(
            Get,
            "/artifact/{artifact_type}/{id}/rate",
            RATE,
            models::rate,
        )
        .also(
            Get,
            "/artifacts/{artifact_type}/{id}/rate",
            RATE,
            models::rate,
        )
        .also(Get, "/package/{id}/rate", RATE, models::rate_model)
        .also(Get, "/models/{id}/rate", RATE, models::rate_model)
        .also(
            Get,
            "/models/{id}/cost",
            "/artifact/{artifact_type}/{id}/cost",
            models::cost_of_model,
        )
        .also(
            Get,
            "/artifact/{artifact_type}/{id}/lineage",
            LINEAGE,
            models::lineage,
        )
        .also(
            Get,
            "/models/{id}/lineage",
            LINEAGE,
            models::lineage_of_model,
        )
        .also(
            Post,
            "/artifact/{artifact_type}/{id}/license-check",
            LICENSE_CHECK,
            models::check_license,
        )
        .also(
            Post,
            "/models/{id}/license-check",
            LICENSE_CHECK,
            models::check_license_of_model,
        )
        .also(
            Get,
            "/artifact/{artifact_type}/{id}/download",
            DOWNLOAD,
            download::download,
        )
        .also(
            Get,
            "/download/{artifact_type}/{id}",
            DOWNLOAD,
            download::download,
        )
        .also(
            Get,
            "/models/{id}/download",
            DOWNLOAD,
            download::download_model,
        )
        .also(Post, "/register", "/users", users::register)
        .also(Delete, "/user/{name}", "/users/{name}", users::remove)
        .also(
            Put,
            "/user/{name}/permissions",
            "/users/{name}/permissions",
            users::set_permissions,
        )
}

/// What needs none.
fn for_everyone() -> Routes {
    Routes::default()
        .with(routes!(health::summary))
        .with(routes!(health::components))
        .with(routes!(health::tracks))
        .with(routes!(users::authenticate))
        .with(routes!(document::json))
        .with(routes!(manual::page))
}
