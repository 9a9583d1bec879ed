use super::{Error, Registry, TRIES};
use crate::artifact::{Id, Kind, Name};
use crate::audit::{Action, Actor};
use crate::claim::{self, Held};
use crate::ingest::Threshold;
use crate::key;
use crate::record::{Record, Stored};
use crate::source::Source;
use crate::store::{Etag, StoreError};

/// An artifact to be registered.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Model, dataset or code.
    pub kind: Kind,
    /// What it is called; `None` for a name made from its source.
    pub name: Option<Name>,
    /// Where it comes from.
    pub source: Source,
    /// Who registers it.
    pub user: Actor,
}

impl Registry {
    /// Registers an artifact under a new id, with what its source tells of it in time.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] when the same kind has the same URL; [`Error::Disqualified`] where only good models are taken.
    pub async fn create(&self, draft: Draft) -> Result<(Record, Etag), Error> {
        self.register(draft, self.ingest.gate()).await
    }

    /// As [`create`](Self::create), but takes no model of which any score is below one half.
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn create_good(&self, draft: Draft) -> Result<(Record, Etag), Error> {
        let threshold = Threshold::HALF.or(self.ingest.gate());
        self.register(draft, Some(threshold)).await
    }

    async fn register(
        &self,
        draft: Draft,
        threshold: Option<Threshold>,
    ) -> Result<(Record, Etag), Error> {
        let Draft {
            kind,
            name,
            source,
            user,
        } = draft;
        let name = name.map_or_else(|| source.default_name(), String::from);
        // What is refused anyway costs no look-up.
        claim::check(&self.objects, kind, &source, None).await?;
        // The look-up comes before the claim, which stands for a minute only.
        let evidence = self.ingest.look(&source, kind).await;
        let id = Id::random().map_err(Error::Random)?;
        let mut record = Record::new(id, name, kind, &source, user.name.clone());
        if let Some(evidence) = evidence {
            record.set_findings(evidence);
        }
        self.admit(&mut record, threshold).await?;
        for _ in 0..TRIES {
            let held = claim::take(&self.objects, kind, &source, &record.id).await?;
            let (key, bytes) = (key::record(&record.id), record.to_bytes());
            let id = record.id.clone();
            let entry = (&user, &record, Action::Create);
            let announced = match self.prepare(&id, Some(entry)).await {
                Ok(announced) => announced,
                Err(error) => {
                    claim::release(&self.objects, held).await;
                    return Err(error);
                }
            };
            match self.objects.create(&key, bytes.clone()).await {
                Ok(etag) => {
                    announced.written(&record, &etag).await;
                    return Ok((record, etag));
                }
                Err(StoreError::Exists) => {
                    if let Some(etag) = self.is_ours(&key, &bytes).await? {
                        announced.written(&record, &etag).await;
                        return Ok((record, etag));
                    }
                    announced.nothing().await;
                    // Another artifact has the id, or we were so slow that our claim was taken over.
                    claim::release(&self.objects, held).await;
                    record.id = Id::random().map_err(Error::Random)?;
                }
                Err(error) => {
                    let undone = self.undo(record, &key, &bytes, held, error).await;
                    match &undone {
                        Ok((record, etag)) => announced.written(record, etag).await,
                        Err(_) => announced.unknown().await,
                    }
                    return undone;
                }
            }
        }
        Err(Error::Busy)
    }

    /// After a record whose writing failed, perhaps only by its answer: bars its place, so that nothing comes of it
    /// later, and gives up the claim, so that the caller can try again at once.
    async fn undo(
        &self,
        record: Record,
        key: &str,
        bytes: &[u8],
        held: Held,
        error: StoreError,
    ) -> Result<(Record, Etag), Error> {
        match self.objects.create(key, Stored::withdrawn()).await {
            Ok(_) => claim::release(&self.objects, held).await,
            Err(StoreError::Exists) => {
                if let Some(etag) = self.is_ours(key, bytes).await? {
                    return Ok((record, etag));
                }
            }
            // The claim without an artifact is taken over in a minute.
            Err(_) => {}
        }
        Err(error.into())
    }
}
