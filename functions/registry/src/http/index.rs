use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::Extension;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use shared::problem::Problem;
use tokio::time::Instant;

use super::answer::Reading;
use crate::access::Caller;
use crate::access::user::Permission;
use crate::index::rebuild::{Order, Progress};

/// How long a comparison may take before its caller hears of it: API Gateway waits for 29 seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Compares the index with the store; what is not finished in time goes on with the next call.
#[utoipa::path(
    post,
    path = "/index/rebuild",
    operation_id = "IndexRebuild",
    tag = "service",
    responses(
        (status = 200, description = "The index is in step", body = serde_json::Value),
        (status = 202, description = "There is more to do: ask again", body = serde_json::Value),
        (status = 404, description = "This registry has no index"),
    ),
)]
pub(super) async fn rebuild(
    Extension(caller): Extension<Caller>,
    Reading(registry): Reading,
    body: Bytes,
) -> Result<Response, Problem> {
    caller.must(Permission::Admin)?;
    let order = if body.is_empty() {
        Order::default()
    } else {
        serde_json::from_slice(&body).map_err(|error| {
            let detail = format!("the body is not what is asked for: {error}");
            Problem::new(StatusCode::BAD_REQUEST, detail)
        })?
    };
    let rebuilt = registry
        .rebuild_index(&order, Instant::now() + PATIENCE)
        .await?;
    let status = match rebuilt.state {
        Progress::Finished | Progress::NotDue => StatusCode::OK,
        Progress::Unfinished | Progress::Running => StatusCode::ACCEPTED,
    };
    Ok((status, Json(rebuilt)).into_response())
}
