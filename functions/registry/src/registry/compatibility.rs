use std::collections::BTreeSet;
use std::time::Instant;

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{Error, Registry};
use crate::artifact::{Id, Kind};
use crate::evidence::{Outcome, Project};
use crate::license::{Terms, Verdict, check};
use crate::relation::github_key;

/// Whether a model may be used with the code of a repository, and who said which licence that has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LicenseCompatibility)]
pub struct Compatibility {
    /// The answer and its reasons.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The address that told the repository's licence; `None` where only the registry could.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub asked: Option<String>,
}

impl Registry {
    /// Whether a model may be fine-tuned and used with the code of a repository of GitHub.
    ///
    /// If GitHub does not answer, what it said when the repository was looked at for an artifact counts.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], also for an artifact that is no model; [`Error::NoRepository`]; [`Error::NoLicense`].
    pub async fn compatibility(
        &self,
        id: &Id,
        owner: &str,
        name: &str,
    ) -> Result<Compatibility, Error> {
        let (model, _) = self.looked_up(Kind::Model, id).await?;
        let evidence = model.known();
        if evidence.is_silent() {
            let failed = evidence.passing().next();
            return Err(Error::NoLicense {
                of: "model",
                reason: failed.map(|request| request.outcome).unwrap_or_default(),
                retry_after: evidence.asks_again_at().and_then(|then| {
                    let seconds = (then - OffsetDateTime::now_utc()).whole_seconds();
                    u64::try_from(seconds).ok()
                }),
            });
        }
        let (terms, request) = self.ingest.license_of(owner, name).await;
        let (repository, asked) = match (terms, request.outcome) {
            (Some(terms), _) => (terms, Some(request.url)),
            (None, Outcome::Missing) => return Err(Error::NoRepository),
            (None, _) => {
                let project = evidence.github.as_ref();
                let remembered = match project.and_then(|project| license_of(project, owner, name))
                {
                    Some(terms) => Some(terms),
                    None => self.remembered(owner, name).await?,
                };
                let silent = || Error::NoLicense {
                    of: "repository",
                    reason: request.outcome,
                    retry_after: request.retry_after,
                };
                (remembered.ok_or_else(silent)?, None)
            }
        };
        Ok(Compatibility {
            verdict: check(&repository, &evidence.license()),
            asked,
        })
    }

    /// The licence of a repository, as GitHub said it when an artifact was registered from there.
    async fn remembered(&self, owner: &str, name: &str) -> Result<Option<Terms>, Error> {
        let key = github_key(&format!("{owner}/{name}"));
        let keys = BTreeSet::from([key.as_str()]);
        for member in self.members_with(&keys, Instant::now()).await? {
            let (record, _) = match self.find(&member.id).await {
                Err(Error::NotFound | Error::Unreadable(_)) => continue,
                found => found?,
            };
            let evidence = record.known();
            if let Some(terms) = evidence
                .github
                .and_then(|project| license_of(&project, owner, name))
            {
                return Ok(Some(terms));
            }
        }
        Ok(None)
    }
}

/// What GitHub said of the licence, if it is this repository and GitHub said something.
fn license_of(project: &Project, owner: &str, name: &str) -> Option<Terms> {
    let wanted = format!("{owner}/{name}");
    let is_it = [&project.asked, &project.full_name]
        .iter()
        .any(|name| name.eq_ignore_ascii_case(&wanted));
    (is_it && project.license.is_some()).then(|| project.license())
}
