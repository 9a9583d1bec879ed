//! What is asked of models beyond what they are: how good they are, what they cost, where they come from, and whether
//! their licence suits.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Extension, Path, Query};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::problem::Problem;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::answer::{Reading, Writing};
use super::artifacts::created;
use super::body::{Artifact, Body, Switch};
use super::origin::Origin;
use crate::access::Caller;
use crate::access::user::Permission;
use crate::artifact::{Id, Kind};
use crate::cost::{Cost, Dependencies};
use crate::evidence::{Evidence, is_repository_id};
use crate::lineage::{Externals, Graph};
use crate::rating::{Explained, Rating};
use crate::record::Record;
use crate::registry::{Compatibility, Draft, Error};
use crate::source::{Repository, Source};

/// The most evidence that goes into an answer, in bytes: Lambda takes answers of six megabytes.
const MAX_EVIDENCE: usize = 4 << 20;

/// Whether reasons are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Reasons {
    /// Answer the reasons as well.
    #[serde(default)]
    #[param(value_type = bool, required = false, default = false)]
    explain: Switch,
}

/// What counts for a cost.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Extent {
    /// Count what the artifact depends on.
    #[serde(default)]
    #[param(value_type = bool, required = false, default = false)]
    dependency: Switch,
}

/// What belongs to a lineage.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Circle {
    /// `external`: parents that are not registered as well.
    #[param(pattern = "^(external)?$")]
    include: Option<String>,
}

/// Which model of the Hub.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Named {
    /// As `owner/model`.
    #[param(example = "google-bert/bert-base-uncased")]
    model_name: String,
}

/// `SimpleLicenseCheckRequest`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = SimpleLicenseCheckRequest)]
pub(super) struct SentRepository {
    /// The URL of a repository on GitHub.
    #[schema(format = "uri", examples("https://github.com/google-research/bert"))]
    github_url: String,
}

/// `ModelRating`, and why it is so, if that was asked for.
#[derive(Debug, Serialize, ToSchema)]
struct RatingAnswer {
    #[serde(flatten)]
    rating: Rating,
    /// The rules and their inputs, by the name of the metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    explanation: Option<BTreeMap<String, Explained>>,
    /// When the model was rated.
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(nullable = false)]
    rated_at: Option<OffsetDateTime>,
    /// A digest of what was rated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    inputs: Option<String>,
    /// What the sources said. Without READMEs, of which searches know; absent if it is too large for an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    evidence: Option<Value>,
}

/// How a licence check is answered.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = LicenseAnswer)]
enum LicenseAnswer {
    Compatible(bool),
    Explained(Box<Compatibility>),
}

/// As [`rate_model`], where the path has a type.
pub(super) async fn rate(
    Path((kind, id)): Path<(String, String)>,
    caller: Extension<Caller>,
    reasons: Query<Reasons>,
    registry: Writing,
) -> Result<Response, Problem> {
    only_models(&kind)?;
    rate_model(Path(id), caller, reasons, registry).await
}

/// How good a model is.
#[utoipa::path(
    get,
    path = "/artifact/model/{id}/rate",
    operation_id = "ModelArtifactRate",
    tag = "models",
    params(("id" = Id, Path, description = "The artifact's id"), Reasons),
    responses(
        (status = 200, description = "Its rating, and with `explain=true` the rule and the inputs of every score", body = RatingAnswer),
        (status = 404, description = "There is no such artifact"),
        (status = 413, description = "Too many artifacts are related to this one"),
    ),
)]
pub(super) async fn rate_model(
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    Query(reasons): Query<Reasons>,
    Writing(registry): Writing,
) -> Result<Response, Problem> {
    caller.must(Permission::Download)?;
    let (record, snapshot) = registry.rate_for(&caller.actor(), &id.parse()?).await?;
    let mut answer = RatingAnswer::from(snapshot.rating);
    if reasons.explain == Switch(true) {
        answer.explanation = Some(snapshot.explanation);
        answer.rated_at = snapshot.rated_at;
        answer.inputs = Some(snapshot.inputs);
        answer.evidence = evidence(&record);
    }
    Ok(Json(answer).into_response())
}

/// Registers a model of the Hugging Face Hub, if it is good.
///
/// Every score must reach 0.5.
#[utoipa::path(
    post,
    path = "/models/ingest",
    operation_id = "ModelIngest",
    tag = "models",
    params(Named),
    responses(
        (status = 201, description = "It is registered", body = Artifact, headers(
            ("ETag" = String, description = "The version of the artifact"),
            ("Location" = String, description = "Where the artifact is"),
        )),
        (status = 409, description = "A model with this URL is registered already: the member `id` has its id"),
        (status = 424, description = "The model is not good enough: the members `threshold`, `metrics` and `rating` tell why"),
    ),
)]
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

/// What it costs to download an artifact, in MB of 1,048,576 bytes.
#[utoipa::path(
    get,
    path = "/artifact/{artifact_type}/{id}/cost",
    operation_id = "ArtifactCostGet",
    tag = "artifacts",
    params(("artifact_type" = Kind, Path, description = "The artifact's type"), ("id" = Id, Path, description = "The artifact's id"), Extent),
    responses(
        (status = 200, description = "Costs by id: of the artifact, and with `dependency=true` of what it depends on", body = BTreeMap<String, Cost>),
        (status = 404, description = "There is no such artifact"),
        (status = 413, description = "Too many artifacts are related to this one"),
    ),
)]
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

/// As [`lineage_of_model`], where the path has a type.
pub(super) async fn lineage(
    Path((kind, id)): Path<(String, String)>,
    caller: Extension<Caller>,
    circle: Query<Circle>,
    registry: Reading,
) -> Result<Response, Problem> {
    only_models(&kind)?;
    lineage_of_model(Path(id), caller, circle, registry).await
}

/// Which models a model was made from, and which were made from it.
#[utoipa::path(
    get,
    path = "/artifact/model/{id}/lineage",
    operation_id = "ArtifactLineageGet",
    tag = "models",
    params(("id" = Id, Path, description = "The artifact's id"), Circle),
    responses(
        (status = 200, description = "The graph", body = Graph),
        (status = 400, description = "The request is not valid, or what is stored of the artifact cannot be read"),
        (status = 404, description = "There is no such artifact"),
        (status = 413, description = "Too many artifacts are related to this one"),
    ),
)]
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

/// As [`check_license_of_model`], where the path has a type.
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

/// Whether a model may be fine-tuned and used with the code of a repository.
#[utoipa::path(
    post,
    path = "/artifact/model/{id}/license-check",
    operation_id = "ArtifactLicenseCheck",
    tag = "models",
    params(("id" = Id, Path, description = "The artifact's id"), Reasons),
    request_body = SentRepository,
    responses(
        (status = 200, description = "Yes or no, and with `explain=true` why", body = LicenseAnswer),
        (status = 404, description = "There is no such artifact, or no such repository"),
        (status = 502, description = "A licence could not be found out"),
    ),
)]
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
    Ok(Json(match reasons.explain {
        Switch(true) => LicenseAnswer::Explained(Box::new(compatibility)),
        Switch(false) => LicenseAnswer::Compatible(compatibility.verdict.compatible),
    })
    .into_response())
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

impl From<Rating> for RatingAnswer {
    fn from(rating: Rating) -> Self {
        Self {
            rating,
            explanation: None,
            rated_at: None,
            inputs: None,
            evidence: None,
        }
    }
}

fn evidence(record: &Record) -> Option<Value> {
    let mut evidence = record.known();
    without_readmes(&mut evidence);
    let evidence = serde_json::to_value(evidence).ok();
    evidence.filter(|evidence| evidence.to_string().len() <= MAX_EVIDENCE)
}

fn without_readmes(evidence: &mut Evidence) {
    for card in evidence.hub.iter_mut().chain(&mut evidence.datasets) {
        card.readme = None;
    }
    if let Some(project) = &mut evidence.github {
        project.readme = None;
    }
}
