use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::problem::Problem;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::activity::MAX_MINUTES;
use super::answer::Reading;
use crate::index::IndexError;
use crate::storage::Report;
use crate::store::StoreKind;

const MIN_MINUTES: i64 = 5;
const MINUTES: i64 = 60;

/// What is asked of the components.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct Window {
    /// How many minutes to look back.
    #[param(minimum = 5, maximum = 1440, default = 60)]
    window_minutes: Option<i64>,
    /// Answer the requests of every minute as well.
    #[param(default = false)]
    include_timeline: Option<bool>,
}

/// How it goes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthSummaryResponse)]
pub(super) struct Summary {
    status: Status,
    #[serde(with = "time::serde::rfc3339")]
    checked_at: OffsetDateTime,
    #[schema(minimum = 5)]
    window_minutes: i64,
    uptime_seconds: u64,
    version: &'static str,
    #[serde(rename = "request_summary")]
    requests: Requests,
    components: Vec<Brief>,
}

/// What this instance was asked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthRequestSummary)]
struct Requests {
    #[serde(with = "time::serde::rfc3339")]
    window_start: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    window_end: OffsetDateTime,
    #[serde(rename = "total_requests")]
    total: u32,
}

/// How a component is, in short.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthComponentBrief)]
struct Brief {
    id: &'static str,
    display_name: &'static str,
    status: Status,
    issue_count: usize,
}

/// How the components are.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthComponentCollection)]
pub(super) struct Components {
    #[serde(with = "time::serde::rfc3339")]
    generated_at: OffsetDateTime,
    #[schema(minimum = 5)]
    window_minutes: i64,
    #[serde(rename = "components")]
    parts: Vec<Part>,
}

/// How a component is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthComponentDetail)]
struct Part {
    id: &'static str,
    display_name: &'static str,
    status: Status,
    #[serde(with = "time::serde::rfc3339")]
    observed_at: OffsetDateTime,
    description: &'static str,
    #[schema(value_type = BTreeMap<String, Metric>)]
    metrics: BTreeMap<&'static str, Metric>,
    issues: Vec<Issue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    timeline: Option<Vec<Traffic>>,
}

/// Something measured.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = HealthMetricValue)]
enum Metric {
    Count(u64),
    Text(&'static str),
}

/// What is wrong with a component.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthIssue)]
struct Issue {
    code: &'static str,
    severity: Severity,
    summary: &'static str,
}

/// How bad that is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = HealthIssueSeverity)]
enum Severity {
    Warning,
    Error,
}

/// The requests of a minute.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthTimelineEntry)]
struct Traffic {
    #[serde(with = "time::serde::rfc3339")]
    bucket: OffsetDateTime,
    value: u32,
    unit: &'static str,
}

/// In a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = HealthStatus)]
enum Status {
    Ok,
    Degraded,
    Critical,
    Unknown,
}

/// What was planned.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Tracks)]
pub(super) struct Plan {
    planned_tracks: [Track; 2],
}

/// A track of the contract.
#[derive(Debug, Serialize, ToSchema)]
enum Track {
    #[serde(rename = "Performance track")]
    Performance,
    #[serde(rename = "Access control track")]
    AccessControl,
}

/// How it goes, without asking anybody.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "RegistryHealthHeartbeat",
    tag = "service",
    responses((status = 200, description = "The registry answers", body = Summary)),
)]
pub(super) async fn summary(State(app): State<Arc<App>>) -> Json<Summary> {
    let storage = Condition::of(&app.storage.report());
    let requests = app
        .activity
        .last(MINUTES)
        .iter()
        .map(|(_, minute)| minute.requests)
        .sum();
    let now = OffsetDateTime::now_utc();
    Json(Summary {
        status: storage.status,
        checked_at: now,
        window_minutes: MINUTES,
        uptime_seconds: app.started.elapsed().as_secs(),
        version: env!("CARGO_PKG_VERSION"),
        requests: Requests {
            window_start: now - time::Duration::minutes(MINUTES),
            window_end: now,
            total: requests,
        },
        components: vec![Brief {
            id: "storage",
            display_name: "Storage",
            status: storage.status,
            issue_count: storage.issues().len(),
        }],
    })
}

/// How the components are; the store is asked whether it is there.
#[utoipa::path(
    get,
    path = "/health/components",
    operation_id = "RegistryHealthComponents",
    tag = "service",
    params(Window),
    responses((status = 200, description = "The components", body = Components)),
)]
pub(super) async fn components(
    State(app): State<Arc<App>>,
    Query(window): Query<Window>,
    registry: Result<Reading, Problem>,
) -> Result<Json<Components>, Problem> {
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
        storage.status = Status::Critical;
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
    let now = OffsetDateTime::now_utc();
    let timeline = (window.include_timeline == Some(true)).then(|| {
        activity
            .iter()
            .map(|(start, minute)| Traffic {
                bucket: *start,
                value: minute.requests,
                unit: "requests",
            })
            .collect()
    });
    let answers = Part {
        id: "api",
        display_name: "API",
        status: if failures == 0 {
            Status::Ok
        } else {
            Status::Degraded
        },
        observed_at: now,
        description: "Requests answered by this instance.",
        metrics: BTreeMap::from([
            ("requests", Metric::Count(requests.into())),
            ("failures", Metric::Count(failures.into())),
            (
                "uptime_seconds",
                Metric::Count(app.started.elapsed().as_secs()),
            ),
        ]),
        issues: vec![],
        timeline,
    };
    let store = Part {
        id: "storage",
        display_name: "Storage",
        status: storage.status,
        observed_at: now,
        description: "Where artifacts are kept.",
        metrics: BTreeMap::from([
            ("store", Metric::Text(storage.store)),
            ("wanted", Metric::Text(storage.wanted)),
        ]),
        issues: storage.issues(),
        timeline: None,
    };
    let index = index.map(|checked| part_of_index(&checked, now));
    Ok(Json(Components {
        generated_at: now,
        window_minutes: minutes,
        parts: [Some(store), index, Some(answers)]
            .into_iter()
            .flatten()
            .collect(),
    }))
}

/// Which tracks of the contract were planned.
#[utoipa::path(
    get,
    path = "/tracks",
    operation_id = "TracksGet",
    tag = "service",
    responses((status = 200, description = "The tracks", body = Plan)),
)]
pub(super) async fn tracks() -> Json<Plan> {
    Json(Plan {
        planned_tracks: [Track::Performance, Track::AccessControl],
    })
}

fn part_of_index(checked: &Result<(), IndexError>, now: OffsetDateTime) -> Part {
    let (status, issue) = match checked {
        Ok(()) => (Status::Ok, None),
        Err(IndexError::Incomplete) => (
            Status::Degraded,
            Some(Issue {
                code: "INDEX_INCOMPLETE",
                severity: Severity::Warning,
                summary: "The index is being made from the store.",
            }),
        ),
        Err(error) => {
            tracing::warn!(error = %shared::telemetry::chain(error), "the index does not answer");
            (
                Status::Critical,
                Some(Issue {
                    code: "INDEX_SILENT",
                    severity: Severity::Error,
                    summary: "The index does not answer. Artifacts can be read by their ids, and neither found nor changed.",
                }),
            )
        }
    };
    Part {
        id: "index",
        display_name: "Index",
        status,
        observed_at: now,
        description: "What artifacts are found by: a database.",
        metrics: BTreeMap::new(),
        issues: issue.into_iter().collect(),
        timeline: None,
    }
}

/// How the storage is.
struct Condition {
    status: Status,
    store: &'static str,
    wanted: &'static str,
    issue: Option<(&'static str, &'static str)>,
}

impl Condition {
    /// What failed is in the log: whoever asks for health need not be known.
    fn of(report: &Report) -> Self {
        let (status, issue) = match report.store {
            Some(store) if store == report.wanted => (Status::Ok, None),
            Some(StoreKind::Memory) => (
                Status::Degraded,
                Some((
                    "FALLBACK_STORE",
                    "The store does not answer. What is written now is in memory, and vanishes with this instance.",
                )),
            ),
            Some(_) => (
                Status::Degraded,
                Some((
                    "FALLBACK_STORE",
                    "The store does not answer. What is written now is in a file of this machine.",
                )),
            ),
            None if report.failure.is_some() => (
                Status::Critical,
                Some((
                    "NO_STORE",
                    "The store does not answer, and there is no other. The log has the reason.",
                )),
            ),
            None => (Status::Unknown, None),
        };
        Self {
            status,
            store: report.store.map_or("none", StoreKind::as_str),
            wanted: report.wanted.as_str(),
            issue,
        }
    }

    fn issues(&self) -> Vec<Issue> {
        self.issue
            .iter()
            .map(|(code, summary)| Issue {
                code,
                severity: if self.status == Status::Critical {
                    Severity::Error
                } else {
                    Severity::Warning
                },
                summary,
            })
            .collect()
    }
}
