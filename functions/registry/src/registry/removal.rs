use futures_util::future::{join, join4, try_join_all};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{Error, Registry, TRIES};
use crate::artifact::{Id, Kind};
use crate::audit::{Action, Actor, Subject};
use crate::catalogue::PARALLEL;
use crate::claim;
use crate::key;
use crate::record::Record;
use crate::store::StoreError;

impl Registry {
    /// Removes an artifact: its record first, so that nobody sees it any more, then its files.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    pub async fn delete(&self, kind: Kind, id: &Id, user: &Actor) -> Result<Record, Error> {
        let mut is_noted = false;
        for _ in 0..TRIES {
            let (record, etag) = self.read(kind, id).await?;
            let entry = (!is_noted).then_some((user, &record, Action::Delete));
            let (announced, held) = join(self.prepare(id, entry), self.claim_of(&record)).await;
            let announced = announced?;
            is_noted = true;
            let held = match held {
                Ok(held) => held,
                Err(error) => {
                    announced.nothing().await;
                    return Err(error.into());
                }
            };
            let key = key::record(id);
            let deleted = match self.objects.delete_if(&key, &etag).await {
                Err(StoreError::Changed) => match self.objects.get(&key).await {
                    // By a try whose answer was lost, or by somebody else at this moment.
                    Ok(None) => Ok(()),
                    Ok(Some(_)) => Err(StoreError::Changed),
                    Err(error) => Err(error),
                },
                deleted => deleted,
            };
            match deleted {
                Ok(()) => {
                    let released = async {
                        if let Some(held) = held {
                            claim::release(&self.objects, held).await;
                        }
                    };
                    let (folder, archives) = (key::folder(id), key::archives(id));
                    let (files, archives) = (self.delete_all(&folder), self.delete_all(&archives));
                    let ((), (), files, archives) =
                        Box::pin(join4(announced.gone(), released, files, archives)).await;
                    files?;
                    archives?;
                    return Ok(record);
                }
                Err(StoreError::Changed) => announced.nothing().await,
                Err(error) => {
                    announced.unknown().await;
                    return Err(error.into());
                }
            }
        }
        Err(Error::Busy)
    }

    /// Removes all artifacts and claims, but not the trail: each deletion is in it. Whoever registers one at the same
    /// moment may find it gone, or kept.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], [`Error::Audit`]: some may be left. Doing it again removes them.
    pub async fn reset(&self, user: &Actor) -> Result<(), Error> {
        let mut after = None;
        loop {
            let (entries, next) = self.catalogue.page(&self.objects, after.as_deref()).await?;
            // At once, for then they share blocks of the trail.
            let noted = entries.iter().map(|entry| {
                let artifact = Subject {
                    name: entry.name.clone(),
                    id: entry.id.clone(),
                    kind: entry.kind,
                };
                self.note(user, artifact, Action::Delete)
            });
            try_join_all(noted).await?;
            after = next;
            if after.is_none() {
                break;
            }
        }
        match &self.index {
            Some(index) => index.remove_all(&self.objects).await?,
            None => self.delete_all(key::ARTIFACTS).await?,
        }
        self.delete_all(key::ARCHIVES).await?;
        self.delete_all(key::CLAIMS).await
    }

    async fn delete_all(&self, prefix: &str) -> Result<(), Error> {
        loop {
            let listed = self.objects.list(prefix, None, 1000).await?;
            if listed.is_empty() {
                return Ok(());
            }
            stream::iter(listed.into_iter().map(|object| {
                let objects = self.objects.clone();
                async move {
                    // Should it arrive late, it must not delete what was written since, such as a claim.
                    match objects.delete_if(&object.key, &object.etag).await {
                        Ok(()) | Err(StoreError::Changed) => Ok(()),
                        Err(error) => Err(error),
                    }
                }
            }))
            .buffer_unordered(PARALLEL)
            .try_collect::<Vec<()>>()
            .await?;
        }
    }
}
