use futures_util::future::join;

use super::{Error, Registry, TRIES};
use crate::artifact::{Id, Kind};
use crate::audit::{Action, Actor};
use crate::claim::{self, Held};
use crate::evidence::Evidence;
use crate::key;
use crate::record::{self, Record};
use crate::source::Source;
use crate::store::{Etag, StoreError};

/// A new source for an artifact.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which must be the artifact's: it cannot be renamed.
    pub name: String,
    /// Where it comes from now.
    pub source: Source,
    /// Who says so.
    pub user: Actor,
    /// Only if the artifact is still this one.
    pub etag: Option<Etag>,
}

impl Registry {
    /// Gives an artifact another source, or the same one, which is asked again.
    ///
    /// # Errors
    ///
    /// [`Error::OtherName`]; [`Error::Exists`] when another artifact has the new URL; [`Error::Changed`];
    /// [`Error::Disqualified`], and the artifact stays what it was.
    pub async fn update(
        &self,
        kind: Kind,
        id: &Id,
        change: &Change,
    ) -> Result<(Record, Etag), Error> {
        // What is refused anyway costs no look-up.
        let claimed = claim::check(&self.objects, kind, &change.source, Some(id));
        let (read, claimed) = join(self.read_to_change(kind, id, change), claimed).await;
        let read = read?;
        claimed?;
        let evidence = self.ingest.look(&change.source, kind).await;
        let mut held = None;
        let updated = self
            .update_holding(kind, id, change, evidence.as_ref(), read, &mut held)
            .await;
        if let (Err(error), Some(held)) = (&updated, held)
            && !matches!(error, Error::Store(_))
        {
            claim::release(&self.objects, held).await;
        }
        updated
    }

    async fn update_holding(
        &self,
        kind: Kind,
        id: &Id,
        change: &Change,
        evidence: Option<&Evidence>,
        read: (Record, Etag),
        held: &mut Option<Held>,
    ) -> Result<(Record, Etag), Error> {
        let mut is_noted = false;
        // If it has changed since, writing it fails.
        let mut read = Some(read);
        for _ in 0..TRIES {
            let (record, etag) = match read.take() {
                Some(read) => read,
                None => self.read_to_change(kind, id, change).await?,
            };
            let mut next = record.clone();
            next.revision += 1;
            next.updated_at = Some(record::now());
            next.updated_by = Some(change.user.name.clone());
            let moves = record.url != change.source.as_str();
            if moves {
                next.set_source(&change.source);
            }
            if let Some(evidence) = evidence {
                next.set_findings(evidence.clone().or(next.findings()));
            }
            self.admit(&mut next, self.ingest.gate()).await?;
            let mut old = None;
            if moves {
                let taken = claim::take(&self.objects, kind, &change.source, id);
                let (standing, taken) = Box::pin(join(self.claim_of(&record), taken)).await;
                *held = Some(taken?);
                old = standing?;
            }
            let (key, bytes) = (key::record(id), next.to_bytes());
            let entry = (&change.user, &record, Action::Update);
            let announced = self.prepare(id, (!is_noted).then_some(entry)).await?;
            is_noted = true;
            let written = match self.objects.replace(&key, bytes.clone(), &etag).await {
                Ok(etag) => Some(etag),
                Err(StoreError::Changed) => self.is_ours(&key, &bytes).await?,
                // Perhaps only the answer was lost.
                Err(error) => {
                    if let Ok(Some(etag)) = self.is_ours(&key, &bytes).await {
                        Some(etag)
                    } else {
                        announced.unknown().await;
                        return Err(error.into());
                    }
                }
            };
            if let Some(etag) = written {
                let released = async {
                    if let Some(old) = old {
                        claim::release(&self.objects, old).await;
                    }
                };
                Box::pin(join(announced.written(&next, &etag), released)).await;
                return Ok((next, etag));
            }
            announced.nothing().await;
        }
        Err(Error::Busy)
    }

    /// The artifact, if it is the one to be changed.
    async fn read_to_change(
        &self,
        kind: Kind,
        id: &Id,
        change: &Change,
    ) -> Result<(Record, Etag), Error> {
        let (record, etag) = self.read(kind, id).await?;
        if change.etag.as_ref().is_some_and(|seen| *seen != etag) {
            return Err(Error::Changed);
        }
        if record.name != change.name {
            return Err(Error::OtherName);
        }
        Ok((record, etag))
    }
}
