//! Where artifacts come from: the Hugging Face Hub and GitHub, asked for what they know.
//!
//! [`Upstream::look`] asks everything at once, in at most three rounds, is done at its deadline, and never fails:
//! what could not be found out is part of the [`Evidence`], with the reason.
//!
//! Clients choose names, not hosts: only the [`Settings`] name hosts. Unless an operator set them, they are
//! asked by https only and at addresses of the public internet ([`guard`]), and every connection goes to an
//! address that was checked. Redirects lead to the same origin or nowhere. A token goes to its own source only.

mod connect;
mod github;
mod guard;
mod hugging_face;
mod links;
mod service;
mod settings;

use bytes::Bytes;
use futures_util::future::join_all;
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::time::Instant;

pub use links::{github_links, github_of};
use service::Service;
pub use settings::{Endpoint, InvalidEndpoint, InvalidToken, Reach, Settings, Token};

use crate::artifact::Kind;
use crate::evidence::{Card, Evidence, Outcome, Project, Request};
use crate::license::Terms;
use crate::source::{Repository, Source};

/// The longest document that is read; the largest lists of files have some megabytes.
const MAX_DOCUMENT: usize = 16 * 1024 * 1024;
/// The longest README that is read.
const MAX_README: usize = 4 * 1024 * 1024;
/// How many of the datasets that a card names are looked at.
const MAX_DATASETS: usize = 3;

/// The sources of evidence.
pub struct Upstream {
    hub: Service,
    github: Service,
    github_files: Option<Service>,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Upstream")
    }
}

impl Upstream {
    /// Nothing is connected or read before the first question.
    pub fn new(settings: &Settings) -> Self {
        Self {
            hub: Service::new(&settings.hugging_face, settings.hugging_face_token.as_ref()),
            github: Service::new(&settings.github, settings.github_token.as_ref()),
            github_files: (settings.github_files.as_ref()).map(|files| Service::new(files, None)),
        }
    }

    /// Finds out about an artifact what can be found out until the deadline.
    pub async fn look(&self, source: &Source, kind: Kind, deadline: Instant) -> Evidence {
        let mut evidence = Evidence {
            looked_at: Some(OffsetDateTime::now_utc()),
            ..Evidence::default()
        };
        match source.repository() {
            Repository::HuggingFace { kind: place, id } => {
                // What is slow must leave time for what the card leads to.
                let first = if kind == Kind::Model {
                    half_of(deadline)
                } else {
                    deadline
                };
                (evidence.hub, evidence.requests) =
                    hugging_face::card(&self.hub, *place, id, first).await;
                if kind == Kind::Model
                    && let Some(card) = &mut evidence.hub
                {
                    self.follow(
                        card,
                        &mut evidence.github,
                        &mut evidence.datasets,
                        &mut evidence.requests,
                        deadline,
                    )
                    .await;
                }
            }
            Repository::GitHub { owner, name } => {
                (evidence.github, evidence.requests) =
                    github::project(&self.github, owner, name, deadline).await;
            }
            Repository::Other => evidence.requests.push(Request {
                url: source.as_str().to_owned(),
                outcome: Outcome::Unsupported,
                detail: Some("only the Hugging Face Hub and GitHub are asked".to_owned()),
                ..Request::default()
            }),
        }
        evidence
    }

    /// What a licence check needs of a repository, whatever else is known: GitHub's own word, or that of its licence file
    /// while GitHub's API does not answer, or how the question to the API failed.
    pub async fn license_of(
        &self,
        owner: &str,
        name: &str,
        deadline: Instant,
    ) -> (Option<Terms>, Request) {
        let Some(files) = &self.github_files else {
            return github::license(&self.github, owner, name, deadline).await;
        };
        // What is slow must leave time for the file.
        let first = half_of(deadline);
        let (terms, request) = github::license(&self.github, owner, name, first).await;
        if terms.is_none() && request.outcome.may_pass() {
            let file = github::license_file(files, owner, name, deadline).await;
            if let Some((terms, request)) = file {
                return (Some(terms), request);
            }
        }
        (terms, request)
    }

    /// The second round: what a model's card leads to.
    async fn follow(
        &self,
        card: &mut Card,
        project: &mut Option<Project>,
        datasets: &mut Vec<Card>,
        requests: &mut Vec<Request>,
        deadline: Instant,
    ) {
        let ids = card.dataset_ids();
        let looks = ids
            .iter()
            .take(MAX_DATASETS)
            .map(|id| hugging_face::card(&self.hub, Kind::Dataset, id, deadline));
        let linked = github_of(card);
        let look_at_project = async {
            match &linked {
                Some((owner, name)) => github::project(&self.github, owner, name, deadline).await,
                None => (None, Vec::new()),
            }
        };
        let has_adapter = card
            .files
            .iter()
            .any(|file| file.path == "adapter_config.json");
        let look_at_adapter = async {
            if has_adapter {
                Some(hugging_face::adapter_parents(&self.hub, &card.asked, deadline).await)
            } else {
                None
            }
        };
        let (found, github, adapter) =
            tokio::join!(join_all(looks), look_at_project, look_at_adapter);
        for (card, asked) in found {
            datasets.extend(card);
            requests.extend(asked);
        }
        *project = github.0;
        requests.extend(github.1);
        if let Some((parents, request)) = adapter {
            card.config_parents.extend(parents);
            requests.push(request);
        }
    }
}

/// The moment at which half of the time until a deadline has passed.
fn half_of(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / 2
}

/// A JSON document; what is none is noted at the request.
fn parse<T: for<'a> Deserialize<'a>>(body: &Bytes, request: &mut Request) -> Option<T> {
    match serde_json::from_slice(body) {
        Ok(value) => Some(value),
        Err(error) => {
            request.outcome = Outcome::Malformed;
            request.detail = Some(format!("not the expected JSON: {error}"));
            None
        }
    }
}

fn text(body: &Bytes) -> String {
    String::from_utf8_lossy(body).into_owned()
}
