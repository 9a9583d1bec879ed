use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{Error, Registry, TRIES};
use crate::artifact::{Id, Kind};
use crate::catalogue::PARALLEL;
use crate::ingest::Threshold;
use crate::key;
use crate::rating::{Related, Relations, Snapshot, Ties, rate};
use crate::record::Record;
use crate::relation::Member;
use crate::store::StoreError;

impl Registry {
    /// How good a model is, as it was rated; rated anew if something changed since, about it or around it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], also for an artifact that is no model.
    pub async fn rate(&self, id: &Id) -> Result<(Record, Snapshot), Error> {
        for _ in 0..TRIES {
            let (mut record, etag) = self.looked_up(Kind::Model, id).await?;
            let member = Member::of(&record);
            let ties = self.ties(&member).await?;
            if let Some(snapshot) = record.snapshot()
                && snapshot.inputs == ties.inputs(&member.facts)
            {
                return Ok((record, snapshot));
            }
            let relations = self.relations(&ties).await?;
            let snapshot = rate(&record.name, &record.known(), &relations);
            record.revision += 1;
            record.set_snapshot(&snapshot);
            match self
                .objects
                .replace(&key::record(id), record.to_bytes(), &etag)
                .await
            {
                Ok(_) => return Ok((record, snapshot)),
                Err(StoreError::Changed) => {}
                Err(error) => {
                    // It is rated again next time.
                    tracing::warn!(%id, error = %shared::telemetry::chain(&error), "a rating is not kept");
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
    /// [`Error::Disqualified`] if it does not reach the threshold.
    pub(super) async fn admit(
        &self,
        record: &mut Record,
        threshold: Option<Threshold>,
    ) -> Result<(), Error> {
        if record.kind != Kind::Model {
            return Ok(());
        }
        let ties = self.ties(&Member::of(record)).await?;
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
