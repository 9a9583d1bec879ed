//! Tags of objects.

use s3s::S3Request;
use s3s::dto::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput,
    GetObjectTaggingOutput, PutObjectTaggingInput, PutObjectTaggingOutput, Tag,
};

use super::Store;
use super::reads::existing;
use crate::attributes::tags_of_set;
use crate::error::Failure;
use crate::event::{Change, Kind};
use crate::request::{Reply, Requester};

impl Store {
    pub(super) async fn get_object_tagging(
        &self,
        _requester: &Requester,
        request: S3Request<GetObjectTaggingInput>,
    ) -> Result<Reply<GetObjectTaggingOutput>, Failure> {
        let input = request.input;
        let (bucket, version) = self
            .database
            .read(move |connection| {
                existing(
                    connection,
                    &input.bucket,
                    &input.key,
                    input.version_id.as_deref(),
                )
            })
            .await?;
        let version_id = version.id_for(&bucket);
        let tag_set = version.tags.into_iter().map(|(key, value)| Tag {
            key: Some(key),
            value: Some(value),
        });
        Ok(GetObjectTaggingOutput {
            tag_set: tag_set.collect(),
            version_id,
        }
        .into())
    }

    pub(super) async fn put_object_tagging(
        &self,
        requester: &Requester,
        request: S3Request<PutObjectTaggingInput>,
    ) -> Result<Reply<PutObjectTaggingOutput>, Failure> {
        let input = request.input;
        let tags = tags_of_set(input.tagging.tag_set)?;
        let version_id = self
            .tag(
                requester,
                input.bucket,
                input.key,
                input.version_id,
                tags,
                Kind::TaggingPut,
            )
            .await?;
        Ok(PutObjectTaggingOutput { version_id }.into())
    }

    pub(super) async fn delete_object_tagging(
        &self,
        requester: &Requester,
        request: S3Request<DeleteObjectTaggingInput>,
    ) -> Result<Reply<DeleteObjectTaggingOutput>, Failure> {
        let input = request.input;
        let version_id = self
            .tag(
                requester,
                input.bucket,
                input.key,
                input.version_id,
                Vec::new(),
                Kind::TaggingDelete,
            )
            .await?;
        Ok(DeleteObjectTaggingOutput { version_id }.into())
    }

    async fn tag(
        &self,
        requester: &Requester,
        bucket: String,
        key: String,
        version_id: Option<String>,
        tags: Vec<(String, String)>,
        kind: Kind,
    ) -> Result<Option<String>, Failure> {
        let (delivery, requester) = (self.delivery.clone(), requester.clone());
        self.database
            .write(move |write| {
                let (bucket, version) =
                    existing(write.connection, &bucket, &key, version_id.as_deref())?;
                version.set_tags(write.connection, &tags)?;
                let moment = write.moment();
                delivery.announce(
                    write,
                    &bucket,
                    &Change::of(kind, &bucket, &version, moment, &requester),
                )?;
                Ok(version.id_for(&bucket))
            })
            .await
    }
}
