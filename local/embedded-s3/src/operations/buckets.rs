//! Buckets: made, listed, removed, and their versioning.

use embedded_iam::AccountId;
use s3s::dto::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketInput, CreateBucketOutput,
    DeleteBucketInput, DeleteBucketOutput, GetBucketLocationInput, GetBucketLocationOutput,
    GetBucketVersioningInput, GetBucketVersioningOutput, HeadBucketInput, HeadBucketOutput,
    ListBucketsInput, ListBucketsOutput, MFADelete, Owner, PutBucketVersioningInput,
    PutBucketVersioningOutput,
};
use s3s::region::Region;
use s3s::{S3ErrorCode, S3Request};

use super::Store;
use crate::bucket::{Bucket, Versioning};
use crate::clock::{now_milliseconds, timestamp};
use crate::error::Failure;
use crate::request::{Reply, Requester};
use crate::upload;

/// The region whose buckets have no location constraint.
const NO_CONSTRAINT: &str = "us-east-1";

/// The owner of every bucket and object.
pub(super) fn owner() -> Owner {
    Owner {
        display_name: Some("holdfast".to_owned()),
        id: Some("0000000000000000000000000000000000000000000000000000000000000000".to_owned()),
    }
}

impl Store {
    pub(super) async fn list_buckets(
        &self,
        requester: &Requester,
        request: S3Request<ListBucketsInput>,
    ) -> Result<Reply<ListBucketsOutput>, Failure> {
        let input = request.input;
        let mut buckets = self.database.read(Bucket::all).await?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.continuation_token.unwrap_or_default();
        buckets.retain(|bucket| {
            bucket.account.as_str() == requester.account
                && bucket.name.starts_with(&prefix)
                && bucket.name > after
                && input
                    .bucket_region
                    .as_ref()
                    .is_none_or(|region| *region == bucket.region)
        });
        let limit = input
            .max_buckets
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(10_000);
        let more = buckets.len() > limit;
        buckets.truncate(limit);
        let continuation_token = buckets
            .last()
            .filter(|_| more)
            .map(|bucket| bucket.name.clone());
        let buckets = buckets.into_iter().map(|bucket| s3s::dto::Bucket {
            bucket_region: Some(bucket.region),
            creation_date: Some(timestamp(bucket.created)),
            name: Some(bucket.name),
        });
        Ok(ListBucketsOutput {
            buckets: Some(buckets.collect()),
            continuation_token,
            owner: Some(owner()),
            prefix: input.prefix,
        }
        .into())
    }

    pub(super) async fn create_bucket(
        &self,
        requester: &Requester,
        request: S3Request<CreateBucketInput>,
    ) -> Result<Reply<CreateBucketOutput>, Failure> {
        let input = request.input;
        if input.object_lock_enabled_for_bucket == Some(true) {
            return Err(Failure::answer(
                S3ErrorCode::NotImplemented,
                "object lock is not implemented here",
            ));
        }
        let account = requester
            .grant
            .as_ref()
            .map_or(AccountId::OWN, |grant| grant.account().clone());
        let signed = request.region.as_ref().map(Region::as_str);
        let is_elsewhere =
            signed.is_some_and(|signed| signed != NO_CONSTRAINT && signed != self.region);
        let region = input
            .create_bucket_configuration
            .and_then(|configuration| configuration.location_constraint)
            .map(|constraint| constraint.as_str().to_owned())
            .filter(|region| !region.is_empty());
        if region.is_none() && is_elsewhere {
            return Err(Failure::bad_request(
                "IllegalLocationConstraintException",
                "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.",
            ));
        }
        let region = region.unwrap_or_else(|| self.region.clone());
        let facts = self.facts.clone();
        let location = format!("/{}", input.bucket);
        self.database
            .write(move |write| match Bucket::look_up(write.connection, &input.bucket)? {
                None => {
                    facts.forget(write, &input.bucket);
                    Bucket::insert(
                        write.connection,
                        &input.bucket,
                        &region,
                        now_milliseconds(),
                        &account,
                    )
                }
                Some(old) if old.account != account => Err(Failure::answer(
                    S3ErrorCode::BucketAlreadyExists,
                    "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.",
                )),
                // As S3: only in us-east-1 may an owner create a bucket again.
                Some(old) if old.region == NO_CONSTRAINT && region == NO_CONSTRAINT => Ok(()),
                Some(_) => Err(Failure::answer(
                    S3ErrorCode::BucketAlreadyOwnedByYou,
                    "Your previous request to create the named bucket succeeded and you already own it.",
                )),
            })
            .await?;
        Ok(CreateBucketOutput {
            location: Some(location),
        }
        .into())
    }

    pub(super) async fn head_bucket(
        &self,
        _requester: &Requester,
        request: S3Request<HeadBucketInput>,
    ) -> Result<Reply<HeadBucketOutput>, Failure> {
        let bucket = self.bucket(request.input.bucket).await?;
        Ok(HeadBucketOutput {
            bucket_region: Some(bucket.region),
            ..Default::default()
        }
        .into())
    }

    pub(super) async fn delete_bucket(
        &self,
        _requester: &Requester,
        request: S3Request<DeleteBucketInput>,
    ) -> Result<Reply<DeleteBucketOutput>, Failure> {
        let (name, facts) = (request.input.bucket, self.facts.clone());
        self.database
            .write(move |write| {
                let bucket = Bucket::find(write.connection, &name)?;
                if bucket.has_versions(write.connection)? {
                    return Err(Failure::answer(
                        S3ErrorCode::BucketNotEmpty,
                        "The bucket you tried to delete is not empty. You must delete all versions in the bucket.",
                    ));
                }
                upload::abort_all(write, &bucket)?;
                facts.forget(write, &name);
                bucket.remove(write.connection)
            })
            .await?;
        Ok(DeleteBucketOutput::default().into())
    }

    pub(super) async fn get_bucket_location(
        &self,
        _requester: &Requester,
        request: S3Request<GetBucketLocationInput>,
    ) -> Result<Reply<GetBucketLocationOutput>, Failure> {
        let bucket = self.bucket(request.input.bucket).await?;
        let constraint =
            (bucket.region != NO_CONSTRAINT).then(|| BucketLocationConstraint::from(bucket.region));
        Ok(GetBucketLocationOutput {
            location_constraint: constraint,
        }
        .into())
    }

    pub(super) async fn get_bucket_versioning(
        &self,
        _requester: &Requester,
        request: S3Request<GetBucketVersioningInput>,
    ) -> Result<Reply<GetBucketVersioningOutput>, Failure> {
        let bucket = self.bucket(request.input.bucket).await?;
        let status = bucket
            .versioning
            .name()
            .map(BucketVersioningStatus::from_static);
        Ok(GetBucketVersioningOutput {
            status,
            ..Default::default()
        }
        .into())
    }

    pub(super) async fn put_bucket_versioning(
        &self,
        _requester: &Requester,
        request: S3Request<PutBucketVersioningInput>,
    ) -> Result<Reply<PutBucketVersioningOutput>, Failure> {
        let input = request.input;
        let configuration = input.versioning_configuration;
        if configuration
            .mfa_delete
            .is_some_and(|status| status.as_str() == MFADelete::ENABLED)
        {
            return Err(Failure::answer(
                S3ErrorCode::NotImplemented,
                "MFA delete is not implemented here",
            ));
        }
        let status = configuration
            .status
            .as_ref()
            .map(BucketVersioningStatus::as_str);
        let versioning = Versioning::named(status)
            .filter(|versioning| *versioning != Versioning::Never)
            .ok_or_else(|| {
                Failure::answer(
                    S3ErrorCode::MalformedXML,
                    "The Versioning element must be specified as Enabled or Suspended",
                )
            })?;
        self.database
            .write(move |write| {
                Bucket::find(write.connection, &input.bucket)?
                    .set_versioning(write.connection, versioning)
            })
            .await?;
        Ok(PutBucketVersioningOutput::default().into())
    }

    /// The bucket `name`, or `NoSuchBucket`.
    pub(super) async fn bucket(&self, name: String) -> Result<Bucket, Failure> {
        self.database
            .read(move |connection| Bucket::find(connection, &name))
            .await
    }
}
