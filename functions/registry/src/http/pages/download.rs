//! What an artifact holds, for people: the same way to S3 as the API's.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Method;
use axum::response::Response;
use shared::problem::Problem;

use super::super::answer::Writing;
use super::super::{App, download, files};
use super::Refusal;
use super::visit::Visitor;
use crate::access::user::Permission;
use crate::content::Aspect;

/// `GET /view/{id}/download`
pub(super) async fn whole(
    visitor: Visitor,
    Path(id): Path<String>,
    method: Method,
    State(app): State<Arc<App>>,
    registry: Result<Writing, Problem>,
) -> Result<Response, Refusal> {
    let caller = visitor.caller()?;
    caller.must(Permission::Download)?;
    let Writing(registry) = registry?;
    let (record, _) = registry.find(&id.parse()?).await?;
    let way = download::give(
        &app,
        &registry,
        &record,
        caller,
        Aspect::Full,
        &method,
        None,
    );
    Ok(Box::pin(way).await?)
}

/// `GET /view/{id}/files/{path}`
pub(super) async fn file(
    visitor: Visitor,
    Path((id, path)): Path<(String, String)>,
    method: Method,
    State(app): State<Arc<App>>,
    registry: Result<Writing, Problem>,
) -> Result<Response, Refusal> {
    let caller = visitor.caller()?;
    caller.must(Permission::Download)?;
    let Writing(registry) = registry?;
    let (record, _) = registry.find(&id.parse()?).await?;
    Ok(files::give(
        &app,
        &registry,
        &record,
        caller,
        &path.parse()?,
        &method,
        None,
    )
    .await?)
}
