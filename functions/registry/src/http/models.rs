//! What is asked of models beyond what they are: how good they are, what they cost, where they come from, and whether
//! their licence suits.

use axum::Json;
use axum::extract::{Extension, Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::problem::Problem;

use super::answer::{Reading, Writing};
use super::artifacts::created;
use super::body::{Body, Switch};
use super::origin::Origin;
use crate::access::Caller;
use crate::access::user::Permission;
use crate::artifact::{Id, Kind};
use crate::audit::Action;
use crate::cost::Dependencies;
use crate::evidence::{Evidence, is_repository_id};
use crate::lineage::Externals;
use crate::rating::{Rating, Snapshot};
use crate::record::Record;
use crate::registry::{Draft, Error};
use crate::source::{Repository, Source};

/// The most evidence that goes into an answer, in bytes: Lambda takes answers of six megabytes.
const MAX_EVIDENCE: usize = 4 << 20;

/// Whether reasons are asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Reasons {
    #[serde(default)]
    explain: Switch,
}

/// What counts for a cost.
#[derive(Debug, Deserialize)]
pub(super) struct Extent {
    #[serde(default)]
    dependency: Switch,
}

/// What belongs to a lineage.
#[derive(Debug, Deserialize)]
pub(super) struct Circle {
    include: Option<String>,
}

/// Which model of the Hub.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    model_name: String,
}

/// `SimpleLicenseCheckRequest`.
#[derive(Debug, Deserialize)]
pub(super) struct SentRepository {
    github_url: String,
}

/// `ModelRating`, and why it is so.
#[derive(Debug, Serialize)]
struct Explained {
    #[serde(flatten)]
    snapshot: Snapshot,
    /// Without READMEs, of which searches know; absent if it is too large for an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Value>,
}

/// `GET /artifact/model/{id}/rate`
pub(super) async fn rate(
    Path((kind, id)): Path<(String, String)>,
    caller: Extension<Caller>,
    reasons: Query<Reasons>,
    registry: Writing,
) -> Result<Response, Problem> {
    only_models(&kind)?;
    rate_model(Path(id), caller, reasons, registry).await
}

/// `GET /models/{id}/rate`
pub(super) async fn rate_model(
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    Query(reasons): Query<Reasons>,
    Writing(registry): Writing,
) -> Result<Response, Problem> {
    caller.must(Permission::Download)?;
    let (record, snapshot) = registry.rate(&id.parse()?).await?;
    registry
        .audit(&caller.actor(), &record, Action::Rate)
        .await?;
    Ok(match reasons.explain {
        Switch(true) => Json(explained(&record, snapshot)).into_response(),
        Switch(false) => Json::<Rating>(snapshot.rating).into_response(),
    })
}

/// `POST /models/ingest`
pub(super) async fn ingest(
    Extension(caller): Extension<Caller>,
    origin: Origin,
    Query(Named { model_name }): Query<Named>,
    Writing(registry): Writing,
) -> Result<Response, Problem> {
    caller.must(Permission::Upload)?;
    if !is_repository_id(&model_name) {
        let detail = "model_name must name a model of the Hugging Face Hub, as owner/model";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let draft = Draft {
        kind: Kind::Model,
        name: None,
        source: format!("https://huggingface.co/{model_name}").parse()?,
        user: caller.actor(),
    };
    let (record, etag) = registry.create_good(draft).await?;
    Ok(created(record, &etag, &origin))
}

/// `GET /artifact/{artifact_type}/{id}/cost`
pub(super) async fn cost(
    Path((kind, id)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    Query(extent): Query<Extent>,
    Reading(registry): Reading,
) -> Result<Response, Problem> {
    caller.must(Permission::Download)?;
    let dependencies = match extent.dependency {
        Switch(true) => Dependencies::Included,
        Switch(false) => Dependencies::Excluded,
    };
    let costs = registry
        .costs(kind.parse()?, &id.parse()?, dependencies)
        .await?;
    Ok(Json(costs).into_response())
}

/// `GET /models/{id}/cost`
pub(super) async fn cost_of_model(
    Path(id): Path<String>,
    caller: Extension<Caller>,
    extent: Query<Extent>,
    registry: Reading,
) -> Result<Response, Problem> {
    let path = Path((Kind::Model.to_string(), id));
    cost(path, caller, extent, registry).await
}

/// `GET /artifact/model/{id}/lineage`
pub(super) async fn lineage(
    Path((kind, id)): Path<(String, String)>,
    caller: Extension<Caller>,
    circle: Query<Circle>,
    registry: Reading,
) -> Result<Response, Problem> {
    only_models(&kind)?;
    lineage_of_model(Path(id), caller, circle, registry).await
}

/// `GET /models/{id}/lineage`
pub(super) async fn lineage_of_model(
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    Query(circle): Query<Circle>,
    Reading(registry): Reading,
) -> Result<Response, Problem> {
    caller.must(Permission::Download)?;
    let externals = match circle.include.as_deref().unwrap_or_default() {
        "" => Externals::Excluded,
        "external" => Externals::Included,
        _ => {
            let detail = "include must be external, or absent";
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
    };
    let graph = match registry.lineage(&id.parse()?, externals).await {
        // Here alone, the contract has 400 for what is stored.
        Err(error @ Error::Unreadable(_)) => {
            return Err(Problem::new(StatusCode::BAD_REQUEST, error.to_string()));
        }
        graph => graph?,
    };
    Ok(Json(graph).into_response())
}

/// `POST /artifact/model/{id}/license-check`
pub(super) async fn check_license(
    Path((kind, id)): Path<(String, String)>,
    caller: Extension<Caller>,
    reasons: Query<Reasons>,
    registry: Reading,
    body: Body<SentRepository>,
) -> Result<Response, Problem> {
    only_models(&kind)?;
    check_license_of_model(Path(id), caller, reasons, registry, body).await
}

/// `POST /models/{id}/license-check`
pub(super) async fn check_license_of_model(
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    Query(reasons): Query<Reasons>,
    Reading(registry): Reading,
    Body(sent): Body<SentRepository>,
) -> Result<Response, Problem> {
    caller.must(Permission::Download)?;
    let source: Source = sent.github_url.parse()?;
    let Repository::GitHub { owner, name } = source.repository() else {
        let detail = "github_url must be the URL of a repository on GitHub";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    };
    let id: Id = id.parse()?;
    let compatibility = registry.compatibility(&id, owner, name).await?;
    Ok(match reasons.explain {
        Switch(true) => Json(compatibility).into_response(),
        Switch(false) => Json(compatibility.verdict.compatible).into_response(),
    })
}

fn only_models(kind: &str) -> Result<(), Problem> {
    match kind.parse()? {
        Kind::Model => Ok(()),
        Kind::Dataset | Kind::Code => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "only artifacts of the type model have that",
        )),
    }
}

fn explained(record: &Record, snapshot: Snapshot) -> Explained {
    let mut evidence = record.known();
    without_readmes(&mut evidence);
    let evidence = serde_json::to_value(evidence).ok();
    Explained {
        snapshot,
        evidence: evidence.filter(|evidence| evidence.to_string().len() <= MAX_EVIDENCE),
    }
}

fn without_readmes(evidence: &mut Evidence) {
    for card in evidence.hub.iter_mut().chain(&mut evidence.datasets) {
        card.readme = None;
    }
    if let Some(project) = &mut evidence.github {
        project.readme = None;
    }
}
