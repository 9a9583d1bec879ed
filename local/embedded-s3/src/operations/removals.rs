//! Objects removed: one, many, and by lifecycle.

use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    ETagCondition, Error, Timestamp,
};
use s3s::{S3ErrorCode, S3Request};

use super::Store;
use super::writes::check_key;
use crate::bucket::{Bucket, Versioning};
use crate::clock::whole_seconds;
use crate::condition::{matches, precondition_failed};
use crate::database::Write;
use crate::error::Failure;
use crate::event::{Change, Kind};
use crate::request::{Reply, Requester};
use crate::version::{NULL, Version, check_id};

/// The most keys of one batch.
const BATCH: usize = 1000;

/// What to remove, and under which conditions.
#[derive(Debug, Default)]
struct Removal {
    key: String,
    version_id: Option<String>,
    if_match: Option<ETagCondition>,
    if_size: Option<i64>,
    if_modified: Option<Timestamp>,
}

/// What was done.
#[derive(Debug, Default)]
struct Removed {
    delete_marker: bool,
    version_id: Option<String>,
}

/// Who removes: the event families differ.
#[derive(Debug, Clone, Copy)]
enum Cause {
    Request,
    Lifecycle,
}

impl Cause {
    fn deleted(self) -> Kind {
        match self {
            Self::Request => Kind::Delete,
            Self::Lifecycle => Kind::LifecycleDelete,
        }
    }

    fn marked(self) -> Kind {
        match self {
            Self::Request => Kind::DeleteMarkerCreated,
            Self::Lifecycle => Kind::LifecycleDeleteMarkerCreated,
        }
    }
}

impl Store {
    pub(super) async fn delete_object(
        &self,
        requester: &Requester,
        request: S3Request<DeleteObjectInput>,
    ) -> Result<Reply<DeleteObjectOutput>, Failure> {
        let input = request.input;
        let removal = Removal {
            key: input.key,
            version_id: input.version_id,
            if_match: input.if_match,
            if_size: input.if_match_size,
            if_modified: input.if_match_last_modified_time,
        };
        let (store, requester) = (self.clone(), requester.clone());
        let removed = self
            .database
            .write(move |write| {
                let bucket = Bucket::find(write.connection, &input.bucket)?;
                store.remove(write, &bucket, &removal, Cause::Request, &requester)
            })
            .await?;
        Ok(DeleteObjectOutput {
            delete_marker: removed.delete_marker.then_some(true),
            version_id: removed.version_id,
            ..Default::default()
        }
        .into())
    }

    pub(super) async fn delete_objects(
        &self,
        requester: &Requester,
        request: S3Request<DeleteObjectsInput>,
    ) -> Result<Reply<DeleteObjectsOutput>, Failure> {
        let input = request.input;
        if input.delete.objects.is_empty() || input.delete.objects.len() > BATCH {
            let message = "The XML you provided was not well-formed or did not validate against our published schema";
            return Err(Failure::answer(S3ErrorCode::MalformedXML, message));
        }
        let quiet = input.delete.quiet.unwrap_or(false);
        let (store, requester) = (self.clone(), requester.clone());
        let (deleted, errors) = self
            .database
            .write(move |write| {
                let bucket = Bucket::find(write.connection, &input.bucket)?;
                let (mut deleted, mut errors) = (Vec::new(), Vec::new());
                for object in input.delete.objects {
                    let removal = Removal {
                        key: object.key,
                        version_id: object.version_id.filter(|id| !id.is_empty()),
                        if_match: object.e_tag.map(ETagCondition::ETag),
                        if_size: object.size,
                        if_modified: object.last_modified_time,
                    };
                    let action = match removal.version_id {
                        Some(_) => "s3:DeleteObjectVersion",
                        None => "s3:DeleteObject",
                    };
                    let allowed =
                        requester.check(action, &removal.key, removal.version_id.as_deref());
                    let removed = allowed.and_then(|()| {
                        store.remove(write, &bucket, &removal, Cause::Request, &requester)
                    });
                    match removed {
                        Ok(removed) => deleted.push(deleted_object(removal, removed)),
                        Err(Failure::Answer(error)) => errors.push(Error {
                            code: Some(error.code().as_str().to_owned()),
                            message: error.message().map(str::to_owned),
                            key: Some(removal.key),
                            version_id: removal.version_id,
                        }),
                        Err(failure) => return Err(failure),
                    }
                }
                Ok((deleted, errors))
            })
            .await?;
        Ok(DeleteObjectsOutput {
            deleted: (!quiet).then_some(deleted),
            errors: (!errors.is_empty()).then_some(errors),
            ..Default::default()
        }
        .into())
    }

    /// Plays a lifecycle rule that expires the current version: a delete marker where versions are
    /// kept, a delete where they are not. Returns whether there was something to expire.
    pub(crate) async fn expire(&self, bucket: &str, key: &str) -> Result<bool, Failure> {
        let (name, key, store) = (bucket.to_owned(), key.to_owned(), self.clone());
        self.database
            .write(move |write| {
                let bucket = Bucket::find(write.connection, &name)?;
                let current = Version::latest(write.connection, &bucket, &key)?;
                if current.is_none_or(|version| version.delete_marker) {
                    return Ok(false);
                }
                let removal = Removal {
                    key,
                    ..Removal::default()
                };
                store.remove(
                    write,
                    &bucket,
                    &removal,
                    Cause::Lifecycle,
                    &Requester::lifecycle()?,
                )?;
                Ok(true)
            })
            .await
    }

    /// Plays a lifecycle rule that removes a noncurrent version, or an expired delete marker, for
    /// good. Returns whether it was there.
    pub(crate) async fn expire_version(
        &self,
        bucket: &str,
        key: &str,
        version_id: &str,
    ) -> Result<bool, Failure> {
        let (name, store) = (bucket.to_owned(), self.clone());
        let removal = Removal {
            key: key.to_owned(),
            version_id: Some(version_id.to_owned()),
            ..Removal::default()
        };
        self.database
            .write(move |write| {
                let bucket = Bucket::find(write.connection, &name)?;
                let id = removal.version_id.as_deref().unwrap_or(NULL);
                if Version::by_id(write.connection, &bucket, &removal.key, id)?.is_none() {
                    return Ok(false);
                }
                store.remove(
                    write,
                    &bucket,
                    &removal,
                    Cause::Lifecycle,
                    &Requester::lifecycle()?,
                )?;
                Ok(true)
            })
            .await
    }

    fn remove(
        &self,
        write: &mut Write<'_>,
        bucket: &Bucket,
        removal: &Removal,
        cause: Cause,
        requester: &Requester,
    ) -> Result<Removed, Failure> {
        check_key(&removal.key)?;
        match &removal.version_id {
            Some(id) => self.remove_version(write, bucket, removal, id, cause, requester),
            None => self.remove_current(write, bucket, removal, cause, requester),
        }
    }

    /// A delete that names a version removes it for good, marker or not.
    fn remove_version(
        &self,
        write: &mut Write<'_>,
        bucket: &Bucket,
        removal: &Removal,
        id: &str,
        cause: Cause,
        requester: &Requester,
    ) -> Result<Removed, Failure> {
        check_id(id)?;
        let version = Version::by_id(write.connection, bucket, &removal.key, id)?;
        removal.check(version.as_ref())?;
        let Some(version) = version else {
            return Ok(Removed {
                delete_marker: false,
                version_id: Some(id.to_owned()),
            });
        };
        version.remove(write, bucket)?;
        let moment = write.moment();
        self.delivery.announce(
            write,
            bucket,
            &Change::of(cause.deleted(), bucket, &version, moment, requester),
        )?;
        Ok(Removed {
            delete_marker: version.delete_marker,
            version_id: version.id_for(bucket),
        })
    }

    /// A plain delete: for good without versioning, by a marker with it.
    fn remove_current(
        &self,
        write: &mut Write<'_>,
        bucket: &Bucket,
        removal: &Removal,
        cause: Cause,
        requester: &Requester,
    ) -> Result<Removed, Failure> {
        let current = Version::latest(write.connection, bucket, &removal.key)?;
        removal.check(current.as_ref().filter(|version| !version.delete_marker))?;
        if bucket.versioning == Versioning::Never {
            if let Some(version) = current {
                version.remove(write, bucket)?;
                let moment = write.moment();
                self.delivery.announce(
                    write,
                    bucket,
                    &Change::of(cause.deleted(), bucket, &version, moment, requester),
                )?;
            }
            return Ok(Removed::default());
        }
        let (marker, moment) = Version::insert(write, bucket, &removal.key, None)?;
        self.delivery.announce(
            write,
            bucket,
            &Change::of(cause.marked(), bucket, &marker, moment, requester),
        )?;
        Ok(Removed {
            delete_marker: true,
            version_id: marker.id_for(bucket),
        })
    }
}

impl Removal {
    fn check(&self, version: Option<&Version>) -> Result<(), Failure> {
        if self.if_match.is_none() && self.if_size.is_none() && self.if_modified.is_none() {
            return Ok(());
        }
        let Some(version) = version else {
            return Err(Failure::answer(
                S3ErrorCode::NoSuchKey,
                "The specified key does not exist.",
            ));
        };
        let same_time = |expected: &Timestamp| {
            time::OffsetDateTime::from(expected.clone()).unix_timestamp() * 1000
                == whole_seconds(version.modified)
        };
        let holds = self
            .if_match
            .as_ref()
            .is_none_or(|condition| matches(condition, &version.etag))
            && self.if_size.is_none_or(|size| size == version.size)
            && self.if_modified.as_ref().is_none_or(same_time);
        if holds {
            Ok(())
        } else {
            Err(precondition_failed())
        }
    }
}

fn deleted_object(removal: Removal, removed: Removed) -> DeletedObject {
    let named = removal.version_id.is_some();
    DeletedObject {
        delete_marker: removed.delete_marker.then_some(true),
        delete_marker_version_id: removed.version_id.filter(|_| removed.delete_marker),
        key: Some(removal.key),
        version_id: if named { removal.version_id } else { None },
    }
}
