//! What an artifact holds: files, which clients send to S3 and get from S3 themselves.
//!
//! In reading order: a file is called by a [`FilePath`], is of an [`Aspect`], and is described by a [`File`]; `upload` is
//! how it gets into the bucket, `manifest` what is remembered of it, and `archive` how many become one.
//!
//! The objects below `files/` are the truth, whoever wrote them: what is there is a file of the artifact, unless its
//! name is no path. All else follows from them and may be lost. Not a byte of a large file passes through here: S3 is
//! told what to do, and clients are given requests that are signed for one object, one method and a quarter of an hour.

mod archive;
mod aspect;
mod digest;
mod file;
mod manifest;
mod path;
mod upload;

use std::time::Duration;

use shared::s3::{self, Bucket, Condition, Presigned};

use crate::artifact::Id;
use crate::key;
use crate::store::{Etag, Objects, StoreError};

pub use archive::{MOST_FILES, MOST_READ};
pub use aspect::{Aspect, InvalidAspect};
pub use digest::{InvalidDigest, Sha256};
pub(crate) use file::moment;
pub use file::{Checksum, File};
pub use manifest::Page;
pub use path::{FilePath, InvalidPath};
pub use upload::{Begun, Completion, Draft, InvalidUpload, SentPart, UploadedPart};

/// How long a signed request may be made. A transfer that has begun by then goes on.
pub const LIFETIME: Duration = Duration::from_mins(15);
/// How often a file is deleted that others write at the same moment.
const TRIES: usize = 16;

/// The content of one artifact.
#[derive(Debug, Clone)]
pub struct Content {
    objects: Objects,
    bucket: Bucket,
    id: Id,
}

/// What somebody wants of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Its bytes.
    Bytes,
    /// Word of what they are like.
    Head,
}

/// Where the bytes of an artifact are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whole {
    /// In this file alone.
    File(FilePath),
    /// In one object.
    Archive {
        /// What it is called.
        key: String,
        /// It was made just now.
        is_new: bool,
    },
    /// The artifact has no files.
    Nowhere,
}

/// Why content cannot be had or changed: one variant per decision a caller can take.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry keeps its artifacts elsewhere than in S3.
    #[error("files are kept in S3, and this registry keeps its artifacts elsewhere")]
    NoBucket,
    /// There is no such file.
    #[error("there is no such file")]
    NoFile,
    /// There are files, but none of these.
    #[error("none of the artifact's files is of the aspect {0}")]
    NoSuchAspect(Aspect),
    /// It was completed or given up, or has expired, or is for another file.
    #[error("there is no such upload: it was completed or given up, or has expired")]
    NoUpload,
    /// What was sent is not what was announced.
    #[error(transparent)]
    Upload(#[from] InvalidUpload),
    /// There is such a file, and there was to be none.
    #[error("there is such a file already")]
    Exists,
    /// They would not fit into one archive.
    #[error("{0}: get the files one by one")]
    TooMuch(&'static str),
    /// It takes longer than one request may.
    #[error("the archive is being made: ask again")]
    NotYet {
        /// Parts of the archive that are there, as far as this request knows.
        done: Option<usize>,
        /// All its parts.
        parts: Option<usize>,
    },
    /// Files changed while they were put together, or while one was deleted.
    #[error("the files are changed by somebody else at this moment")]
    Changed,
    /// This S3 does not tell what it has copied.
    #[error("this S3 tells no CRC-32 of what it copies, so it cannot make archives of large files")]
    NoChecksums,
    /// S3 does not answer.
    #[error(transparent)]
    S3(#[from] s3::Error),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Content {
    /// The content of an artifact.
    ///
    /// # Errors
    ///
    /// [`Error::NoBucket`].
    pub fn of(objects: &Objects, id: &Id) -> Result<Self, Error> {
        let Objects::S3(inner) = objects else {
            return Err(Error::NoBucket);
        };
        Ok(Self {
            bucket: inner.bucket().clone(),
            objects: objects.clone(),
            id: id.clone(),
        })
    }

    /// Signs the writing of a file, of at most 5 GiB.
    ///
    /// # Errors
    ///
    /// [`Error::S3`].
    pub async fn put(
        &self,
        path: &FilePath,
        sha256: Option<&Sha256>,
        is_new: bool,
    ) -> Result<Presigned, Error> {
        let sha256 = sha256.map(Sha256::base64);
        let condition = Condition {
            sha256: sha256.as_deref(),
            is_new,
        };
        let key = key::file(&self.id, path);
        Ok(self.bucket.presign_put(&key, &condition, LIFETIME).await?)
    }

    /// Signs the reading of a file that is there.
    ///
    /// # Errors
    ///
    /// [`Error::NoFile`], [`Error::S3`].
    pub async fn get(&self, path: &FilePath, purpose: Purpose) -> Result<Presigned, Error> {
        let key = key::file(&self.id, path);
        self.bucket.head(&key).await.map_err(no_file)?;
        self.sign(&key, path.name(), purpose).await
    }

    /// Signs the reading of a file that has just been seen.
    ///
    /// # Errors
    ///
    /// [`Error::S3`].
    pub async fn get_seen(&self, path: &FilePath, purpose: Purpose) -> Result<Presigned, Error> {
        self.sign(&key::file(&self.id, path), path.name(), purpose)
            .await
    }

    /// Deletes a file that is there.
    ///
    /// # Errors
    ///
    /// [`Error::NoFile`], [`Error::Changed`], [`Error::S3`].
    pub async fn remove(&self, path: &FilePath) -> Result<(), Error> {
        let key = key::file(&self.id, path);
        let mut was_there = false;
        for _ in 0..TRIES {
            let head = match self.bucket.head(&key).await {
                // By a try whose answer was lost, or by somebody else at this moment.
                Err(s3::Error::NotFound) if was_there => return Ok(()),
                head => head.map_err(no_file)?,
            };
            was_there = true;
            // Should it arrive late, it must not delete what was sent since.
            let etag = Etag::new(head.etag.unwrap_or_default());
            match self.objects.delete_if(&key, &etag).await {
                Err(StoreError::Changed) => {}
                deleted => return Ok(deleted?),
            }
        }
        Err(Error::Changed)
    }

    /// Signs the reading of the archive of this key, which will be called `name`.
    ///
    /// # Errors
    ///
    /// [`Error::S3`].
    pub async fn get_archive(
        &self,
        key: &str,
        name: &str,
        purpose: Purpose,
    ) -> Result<Presigned, Error> {
        self.sign(key, &format!("{name}.zip"), purpose).await
    }

    async fn sign(&self, key: &str, name: &str, purpose: Purpose) -> Result<Presigned, Error> {
        let disposition = file::disposition(name);
        Ok(match purpose {
            Purpose::Bytes => self.bucket.presign_get(key, &disposition, LIFETIME).await?,
            Purpose::Head => {
                self.bucket
                    .presign_head(key, &disposition, LIFETIME)
                    .await?
            }
        })
    }
}

fn no_file(error: s3::Error) -> Error {
    match error {
        s3::Error::NotFound => Error::NoFile,
        error => error.into(),
    }
}
