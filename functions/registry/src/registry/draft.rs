use super::{Error, Registry, TRIES};
use crate::artifact::{Id, Kind, Name};
use crate::claim::{self, Held};
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
    pub user: String,
}

impl Registry {
    /// Registers an artifact under a new id.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] when the same kind has the same URL.
    pub async fn create(&self, draft: Draft) -> Result<(Record, Etag), Error> {
        let name = match &draft.name {
            Some(name) => name.as_str().to_owned(),
            None => draft.source.default_name(),
        };
        for _ in 0..TRIES {
            let id = Id::random().map_err(Error::Random)?;
            let held = claim::take(&self.objects, draft.kind, &draft.source, &id).await?;
            let key = key::record(&id);
            let user = draft.user.clone();
            let record = Record::new(id.clone(), name.clone(), draft.kind, &draft.source, user);
            let bytes = record.to_bytes();
            let announced = match self.announce(&id).await {
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
