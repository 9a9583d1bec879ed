use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::problem::Problem;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::App;
use super::activity::MAX_MINUTES;
use super::answer::Reading;
use crate::index::IndexError;
use crate::record::now;
use crate::storage::Report;
use crate::store::StoreKind;

const MIN_MINUTES: i64 = 5;
const MINUTES: i64 = 60;

/// What is asked of the components.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Window {
    window_minutes: Option<i64>,
    include_timeline: Option<bool>,
}

/// `GET /health`: without asking anybody.
pub(super) async fn summary(State(app): State<Arc<App>>) -> Json<Value> {
    let storage = Condition::of(&app.storage.report());
    let requests: u32 = app
        .activity
        .last(MINUTES)
        .iter()
        .map(|(_, minute)| minute.requests)
        .sum();
    let window = time::Duration::minutes(MINUTES);
    Json(json!({
        "status": storage.status,
        "checked_at": now(),
        "window_minutes": MINUTES,
        "uptime_seconds": app.started.elapsed().as_secs(),
        "version": env!("CARGO_PKG_VERSION"),
        "request_summary": {
            "window_start": text(OffsetDateTime::now_utc() - window),
            "window_end": now(),
            "total_requests": requests,
        },
        "components": [{
            "id": "storage",
            "display_name": "Storage",
            "status": storage.status,
            "issue_count": storage.issues().len(),
        }],
    }))
}

/// `GET /health/components`: the store is asked whether it is there.
pub(super) async fn components(
    State(app): State<Arc<App>>,
    Query(window): Query<Window>,
    registry: Result<Reading, Problem>,
) -> Result<Json<Value>, Problem> {
    let minutes = window.window_minutes.unwrap_or(MINUTES);
    if !(MIN_MINUTES..=MAX_MINUTES).contains(&minutes) {
        let detail = format!("windowMinutes must be {MIN_MINUTES} to {MAX_MINUTES}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let mut storage = Condition::of(&app.storage.report());
    if let Ok(Reading(registry)) = &registry
        && let Err(error) = registry.objects().list("artifacts/", None, 1).await
    {
        tracing::warn!(error = %shared::telemetry::chain(&error), "the store does not answer");
        storage.status = "critical";
        storage.issue = Some(("STORE_SILENT", "The store does not answer."));
    }
    let index = match &registry {
        Ok(Reading(registry)) => registry.check_index().await,
        Err(_) => None,
    };
    let activity = app.activity.last(minutes);
    let (requests, failures) = activity.iter().fold((0, 0), |(all, failed), (_, minute)| {
        (all + minute.requests, failed + minute.failures)
    });
    let mut answers = json!({
        "id": "api",
        "display_name": "API",
        "status": if failures == 0 { "ok" } else { "degraded" },
        "observed_at": now(),
        "description": "Requests answered by this instance.",
        "metrics": { "requests": requests, "failures": failures, "uptime_seconds": app.started.elapsed().as_secs() },
        "issues": [],
    });
    if window.include_timeline == Some(true)
        && let Some(answers) = answers.as_object_mut()
    {
        let timeline: Vec<Value> = activity
            .iter()
            .map(|(start, minute)| json!({ "bucket": text(*start), "value": minute.requests, "unit": "requests" }))
            .collect();
        answers.insert("timeline".into(), timeline.into());
    }
    let storage = json!({
        "id": "storage",
        "display_name": "Storage",
        "status": storage.status,
        "observed_at": now(),
        "description": "Where artifacts are kept.",
        "metrics": { "store": storage.store, "wanted": storage.wanted },
        "issues": storage.issues(),
    });
    let index = index.map(|checked| component_of_index(&checked));
    let components: Vec<Value> = [storage]
        .into_iter()
        .chain(index)
        .chain([answers])
        .collect();
    Ok(Json(json!({
        "generated_at": now(),
        "window_minutes": minutes,
        "components": components,
    })))
}

fn component_of_index(checked: &Result<(), IndexError>) -> Value {
    let (status, issue) = match checked {
        Ok(()) => ("ok", None),
        Err(IndexError::Incomplete) => (
            "degraded",
            Some((
                "INDEX_INCOMPLETE",
                "The index is being made from the store.",
            )),
        ),
        Err(error) => {
            tracing::warn!(error = %shared::telemetry::chain(error), "the index does not answer");
            (
                "critical",
                Some((
                    "INDEX_SILENT",
                    "The index does not answer. Artifacts can be read by their ids, and neither found nor changed.",
                )),
            )
        }
    };
    let severity = if status == "critical" {
        "error"
    } else {
        "warning"
    };
    let issues: Vec<Value> = issue
        .iter()
        .map(|(code, summary)| json!({ "code": code, "severity": severity, "summary": summary }))
        .collect();
    json!({
        "id": "index",
        "display_name": "Index",
        "status": status,
        "observed_at": now(),
        "description": "What artifacts are found by: a database.",
        "metrics": {},
        "issues": issues,
    })
}

/// `GET /tracks`
pub(super) async fn tracks() -> Json<Value> {
    Json(json!({ "plannedTracks": ["Performance track", "Access control track"] }))
}

/// How the storage is.
struct Condition {
    status: &'static str,
    store: &'static str,
    wanted: &'static str,
    issue: Option<(&'static str, &'static str)>,
}

impl Condition {
    /// What failed is in the log: whoever asks for health need not be known.
    fn of(report: &Report) -> Self {
        let (status, issue) = match report.store {
            Some(store) if store == report.wanted => ("ok", None),
            Some(StoreKind::Memory) => (
                "degraded",
                Some((
                    "FALLBACK_STORE",
                    "The store does not answer. What is written now is in memory, and vanishes with this instance.",
                )),
            ),
            Some(_) => (
                "degraded",
                Some((
                    "FALLBACK_STORE",
                    "The store does not answer. What is written now is in a file of this machine.",
                )),
            ),
            None if report.failure.is_some() => (
                "critical",
                Some((
                    "NO_STORE",
                    "The store does not answer, and there is no other. The log has the reason.",
                )),
            ),
            None => ("unknown", None),
        };
        Self {
            status,
            store: report.store.map_or("none", StoreKind::as_str),
            wanted: report.wanted.as_str(),
            issue,
        }
    }

    fn issues(&self) -> Vec<Value> {
        let severity = if self.status == "critical" {
            "error"
        } else {
            "warning"
        };
        self.issue
            .iter()
            .map(
                |(code, summary)| json!({ "code": code, "severity": severity, "summary": summary }),
            )
            .collect()
    }
}

fn text(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}
