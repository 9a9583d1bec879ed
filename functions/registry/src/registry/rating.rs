use std::time::Duration;

use futures_util::future::join;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use shared::telemetry::{self, Metric};
use tokio::time::timeout;

use super::{Error, Registry, TRIES};
use crate::artifact::{Id, Kind};
use crate::audit::{Action, Actor};
use crate::catalogue::PARALLEL;
use crate::ingest::Threshold;
use crate::rating::{Related, Relations, Snapshot, Ties, rate};
use crate::record::Record;
use crate::relation::Member;

/// How long the registry itself is searched for what a rating needs.
const PATIENCE: Duration = Duration::from_secs(5);

impl Registry {
    /// How good a model is, as it was rated; rated anew if something changed since, about it or around it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], also for an artifact that is no model.
    pub async fn rate(&self, id: &Id) -> Result<(Record, Snapshot), Error> {
        self.rate_noting(id, None).await
    }

    /// As [`rate`](Self::rate), for somebody who asks, which is in the audit trail before this returns.
    ///
    /// # Errors
    ///
    /// The same, and [`Error::Audit`].
    pub async fn rate_for(&self, user: &Actor, id: &Id) -> Result<(Record, Snapshot), Error> {
        self.rate_noting(id, Some(user)).await
    }

    async fn rate_noting(
        &self,
        id: &Id,
        mut user: Option<&Actor>,
    ) -> Result<(Record, Snapshot), Error> {
        for _ in 0..TRIES {
            let (mut record, etag) = self.looked_up(Kind::Model, id).await?;
            let member = Member::of(&record);
            let asked = user.take();
            let noted = async {
                match asked {
                    Some(user) => self.audit(user, &record, Action::Rate).await,
                    None => Ok(()),
                }
            };
            let (ties, noted) = Box::pin(join(self.ties_in_time(&member), noted)).await;
            noted?;
            let Some(ties) = ties? else {
                let snapshot = record.snapshot();
                let unrelated = || rate(&record.name, &record.known(), &Relations::default());
                let snapshot = snapshot.unwrap_or_else(unrelated);
                return Ok((record, snapshot));
            };
            if let Some(snapshot) = record.snapshot()
                && snapshot.inputs == ties.inputs(&member.facts)
            {
                return Ok((record, snapshot));
            }
            let relations = self.relations(&ties).await?;
            let snapshot = rate(&record.name, &record.known(), &relations);
            record.revision += 1;
            record.set_snapshot(&snapshot);
            match self.rewrite(&record, &etag).await {
                Ok(Some(_)) => return Ok((record, snapshot)),
                Ok(None) => {}
                Err(error) => {
                    // It is rated again next time.
                    tracing::warn!(%id, error = %telemetry::chain(&error), "a rating is not kept");
                    telemetry::publish(&[Metric::count("RatingsNotKept", 1)]);
                    return Ok((record, snapshot));
                }
            }
        }
        Err(Error::Busy)
    }

    /// Rates a model that is about to be written.
    ///
    /// # Errors
    ///
    /// [`Error::Disqualified`] if it does not reach the threshold; [`Error::Busy`] if that cannot be told in time.
    pub(super) async fn admit(
        &self,
        record: &mut Record,
        threshold: Option<Threshold>,
    ) -> Result<(), Error> {
        if record.kind != Kind::Model {
            return Ok(());
        }
        let ties = match self.ties_in_time(&Member::of(record)).await? {
            None if threshold.is_some() => return Err(Error::Busy),
            // When somebody asks for the rating, there is more time.
            ties => ties.unwrap_or_default(),
        };
        let relations = self.relations(&ties).await?;
        let snapshot = rate(&record.name, &record.known(), &relations);
        record.set_snapshot(&snapshot);
        let Some(threshold) = threshold else {
            return Ok(());
        };
        let metrics = snapshot.rating.below(threshold.score(), &relations);
        if metrics.is_empty() {
            return Ok(());
        }
        Err(Error::Disqualified {
            threshold: threshold.score(),
            metrics,
            rating: Box::new(snapshot.rating),
        })
    }

    /// What is registered of what a model refers to; `None` if the catalogue of a large registry, without an index, is
    /// not read in time.
    async fn ties_in_time(&self, member: &Member) -> Result<Option<Ties>, Error> {
        match timeout(PATIENCE, self.ties(member)).await {
            Ok(ties) => ties.map(Some),
            Err(_elapsed) => {
                tracing::warn!(id = %member.id, "rated without what is registered around it");
                telemetry::publish(&[Metric::count("RatingsIncomplete", 1)]);
                Ok(None)
            }
        }
    }

    /// What a rating needs of the artifacts around a model: those that are still there.
    async fn relations(&self, ties: &Ties) -> Result<Relations, Error> {
        let (code, datasets) =
            tokio::try_join!(self.related(&ties.code), self.related(&ties.datasets))?;
        Ok(Relations {
            code,
            datasets,
            parents: ties.parents.clone(),
        })
    }

    async fn related(&self, ties: &[(Id, String)]) -> Result<Vec<Related>, Error> {
        let ids: Vec<Id> = ties.iter().map(|(id, _)| id.clone()).collect();
        let found: Vec<Option<Related>> = stream::iter(ids)
            .map(|id| self.related_one(id))
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn related_one(&self, id: Id) -> Result<Option<Related>, Error> {
        match self.find(&id).await {
            Ok((record, _)) => Ok(Some(Related {
                id,
                evidence: record.known(),
            })),
            Err(Error::NotFound | Error::Unreadable(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
