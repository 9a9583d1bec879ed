//! The page of an artifact, and that of its history.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::future::join_all;
use serde::Deserialize;
use shared::problem::Problem;

use super::super::answer::Writing;
use super::super::{App, files};
use super::visit::Visitor;
use super::{Refusal, html};
use crate::access::Caller;
use crate::access::user::Permission;
use crate::artifact::{Id, Kind};
use crate::content::Page;
use crate::cost::Dependencies;
use crate::lineage::Externals;
use crate::page::artifact::{self, Artifact};
use crate::page::cost::Costs;
use crate::page::history::{self, History};
use crate::record::Record;
use crate::registry::{Error, Registry};

/// Files on the page.
const FILES: u16 = 100;
/// How many entries make a page; the block that they end in may have some more.
const ENTRIES: usize = 100;

/// Which entries are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Span {
    after: u64,
}

/// `GET /view/{id}`
pub(super) async fn view(
    visitor: Visitor,
    Path(id): Path<String>,
    State(app): State<Arc<App>>,
    registry: Result<Writing, Problem>,
) -> Result<Response, Refusal> {
    let caller = visitor.caller()?;
    caller.must(Permission::Download)?;
    let Writing(registry) = registry?;
    let (record, _) = registry.find(&id.parse()?).await?;
    let artifact = Box::pin(look(&app, &registry, record, caller)).await?;
    Ok(html(
        StatusCode::OK,
        artifact::page(visitor.frame(), &artifact),
    ))
}

/// `GET /view/{id}/history`
pub(super) async fn history(
    visitor: Visitor,
    Path(id): Path<String>,
    Query(Span { after }): Query<Span>,
    registry: Result<Writing, Problem>,
) -> Result<Response, Refusal> {
    let caller = visitor.caller()?;
    caller.must(Permission::Search)?;
    let Writing(registry) = registry?;
    let (record, _) = registry.find(&id.parse()?).await?;
    let (entries, next) = registry
        .history(record.kind, &record.id, &caller.actor(), after, ENTRIES)
        .await?;
    let history = History {
        record: &record,
        entries: &entries,
        is_later: after > 0,
        next,
    };
    Ok(html(
        StatusCode::OK,
        history::page(visitor.frame(), &history),
    ))
}

/// All that is known of an artifact and around it.
async fn look(
    app: &App,
    registry: &Registry,
    record: Record,
    caller: &Caller,
) -> Result<Artifact, Problem> {
    let is_model = record.kind == Kind::Model;
    let (record, rating) = if is_model {
        // It looks the model up if nobody has, so it comes first.
        let (record, snapshot) = registry.rate_for(&caller.actor(), &record.id).await?;
        (record, Some(snapshot))
    } else {
        (record, None)
    };
    let id = &record.id;
    let (lineage, costs) = tokio::join!(
        async {
            if is_model {
                Some(registry.lineage(id, Externals::Included).await)
            } else {
                None
            }
        },
        registry.costs(record.kind, id, Dependencies::Included),
    );
    let costs = match within_bounds(costs)? {
        Ok(costs) => {
            let shown = Costs::shown(&costs, id);
            Ok(Costs {
                names: names(registry, shown).await,
                costs,
            })
        }
        Err(why) => Err(why),
    };
    let files = match files::content(app, registry, id) {
        Ok(content) => content.page(None, FILES).await?,
        // Where files cannot be, there are none.
        Err(_problem) => Page::default(),
    };
    let lineage = lineage.map(within_bounds).transpose()?;
    // What nobody had looked up, its cost has.
    let record = if record.findings().is_none() {
        registry.find(id).await?.0
    } else {
        record
    };
    Ok(Artifact {
        rating,
        files,
        lineage,
        costs,
        has_history: caller.must(Permission::Search).is_ok(),
        record,
    })
}

/// What is too large to be shown is no reason to show nothing.
fn within_bounds<T>(result: Result<T, Error>) -> Result<Result<T, String>, Problem> {
    match result {
        Err(error @ Error::TooManyRelated) => Ok(Err(error.to_string())),
        result => Ok(Ok(result?)),
    }
}

/// What artifacts are called, as far as it can be found out.
async fn names(registry: &Registry, ids: Vec<Id>) -> BTreeMap<Id, String> {
    let named = ids.into_iter().map(|id| async move {
        let (record, _) = registry.find(&id).await.ok()?;
        Some((id, record.name))
    });
    join_all(named).await.into_iter().flatten().collect()
}
