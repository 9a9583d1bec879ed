use std::time::Duration;

use shared::s3::{Bucket, Error};

use super::{Etag, ListedObject, StoreError};

/// How often a write is tried that S3 did not decide, because another one came at the same moment.
const TRIES: u32 = 6;
/// Before the second try; doubled before each one after it.
const PAUSE: Duration = Duration::from_millis(20);
/// The most that S3 puts on a page.
const PAGE: u16 = 1000;

/// Objects of a bucket.
#[derive(Debug, Clone)]
pub struct BucketObjects(Bucket);

impl BucketObjects {
    /// All objects of a bucket, which is there or will be.
    pub fn new(bucket: Bucket) -> Self {
        Self(bucket)
    }

    /// The bucket itself.
    pub fn bucket(&self) -> &Bucket {
        &self.0
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, StoreError> {
        match self.0.get(key).await {
            Ok(content) => Ok(Some((content.bytes, Etag(content.etag)))),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(StoreError::unavailable(error)),
        }
    }

    pub(super) async fn create(&self, key: &str, bytes: Vec<u8>) -> Result<Etag, StoreError> {
        match decided(|| self.0.create(key, bytes.clone())).await {
            Ok(etag) => Ok(Etag(etag)),
            Err(Error::Precondition) => Err(StoreError::Exists),
            Err(error) => Err(StoreError::unavailable(error)),
        }
    }

    pub(super) async fn replace(
        &self,
        key: &str,
        bytes: Vec<u8>,
        etag: &Etag,
    ) -> Result<Etag, StoreError> {
        match decided(|| self.0.replace(key, bytes.clone(), &etag.0)).await {
            Ok(etag) => Ok(Etag(etag)),
            Err(Error::Precondition | Error::NotFound) => Err(StoreError::Changed),
            Err(error) => Err(StoreError::unavailable(error)),
        }
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        decided(|| self.0.delete(key))
            .await
            .map_err(StoreError::unavailable)
    }

    pub(super) async fn delete_if(&self, key: &str, etag: &Etag) -> Result<(), StoreError> {
        match decided(|| self.0.delete_if(key, &etag.0)).await {
            Ok(()) => Ok(()),
            Err(Error::Precondition | Error::NotFound) => Err(StoreError::Changed),
            Err(error) => Err(StoreError::unavailable(error)),
        }
    }

    pub(super) async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListedObject>, StoreError> {
        let mut objects: Vec<ListedObject> = Vec::new();
        let mut after = after.map(ToOwned::to_owned);
        while objects.len() < limit {
            let left = u16::try_from(limit - objects.len()).unwrap_or(PAGE);
            let page = self
                .0
                .list_some(prefix, after.as_deref(), Some(left.min(PAGE)))
                .await
                .map_err(StoreError::unavailable)?;
            objects.extend(page.objects.into_iter().map(|object| {
                ListedObject {
                    key: object.key,
                    etag: Etag(object.etag.unwrap_or_default()),
                    size: object
                        .size
                        .and_then(|size| u64::try_from(size).ok())
                        .unwrap_or_default(),
                }
            }));
            match page.next {
                Some(next) => after = Some(next.key),
                None => break,
            }
        }
        Ok(objects)
    }
}

/// Repeats a write until S3 says who was first.
async fn decided<T, F>(write: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut pause = PAUSE;
    for _ in 1..TRIES {
        match write().await {
            Err(Error::Conflict) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            result => return result,
        }
    }
    write().await
}
