//! Who may use a bucket, and who pays for it.

use embedded_iam::{Kind, Policy, partition_of};
use rusqlite::OptionalExtension as _;
use s3s::dto::{
    DeleteBucketPolicyInput, DeleteBucketPolicyOutput, GetBucketPolicyInput, GetBucketPolicyOutput,
    GetBucketRequestPaymentInput, GetBucketRequestPaymentOutput, Payer, PutBucketPolicyInput,
    PutBucketPolicyOutput, PutBucketRequestPaymentInput, PutBucketRequestPaymentOutput,
};
use s3s::{S3ErrorCode, S3Request};

use super::Store;
use crate::bucket::Bucket;
use crate::error::Failure;
use crate::request::{Reply, Requester};

/// The largest policy of a bucket, in bytes.
const LARGEST: usize = 20 * 1024;

impl Store {
    pub(super) async fn get_bucket_policy(
        &self,
        _requester: &Requester,
        request: S3Request<GetBucketPolicyInput>,
    ) -> Result<Reply<GetBucketPolicyOutput>, Failure> {
        let name = request.input.bucket;
        let policy: Option<String> = self
            .database
            .read(move |connection| {
                let bucket = Bucket::find(connection, &name)?;
                let policy = connection
                    .prepare_cached("SELECT policy FROM bucket WHERE id = ?1")?
                    .query_row([bucket.id], |row| row.get(0))
                    .optional()?;
                Ok(policy.flatten())
            })
            .await?;
        let policy = policy.ok_or_else(|| {
            Failure::answer(
                S3ErrorCode::NoSuchBucketPolicy,
                "The bucket policy does not exist",
            )
        })?;
        Ok(GetBucketPolicyOutput {
            policy: Some(policy),
        }
        .into())
    }

    pub(super) async fn put_bucket_policy(
        &self,
        _requester: &Requester,
        request: S3Request<PutBucketPolicyInput>,
    ) -> Result<Reply<PutBucketPolicyOutput>, Failure> {
        let PutBucketPolicyInput { bucket, policy, .. } = request.input;
        if policy.len() > LARGEST {
            return Err(malformed(
                "Policy exceeds the maximum allowed document size.",
            ));
        }
        let parsed =
            Policy::parse(&policy, Kind::Resource).map_err(|error| malformed(error.to_string()))?;
        self.set_policy(bucket, Some((policy, parsed))).await?;
        Ok(PutBucketPolicyOutput {}.into())
    }

    pub(super) async fn delete_bucket_policy(
        &self,
        _requester: &Requester,
        request: S3Request<DeleteBucketPolicyInput>,
    ) -> Result<Reply<DeleteBucketPolicyOutput>, Failure> {
        self.set_policy(request.input.bucket, None).await?;
        Ok(DeleteBucketPolicyOutput {}.into())
    }

    async fn set_policy(
        &self,
        name: String,
        policy: Option<(String, Policy)>,
    ) -> Result<(), Failure> {
        let facts = self.facts.clone();
        self.database
            .write(move |write| {
                let bucket = Bucket::find(write.connection, &name)?;
                let own = format!("arn:{}:s3:::{name}", partition_of(&bucket.region));
                if policy
                    .as_ref()
                    .is_some_and(|(_, policy)| !policy.is_about(&own))
                {
                    return Err(malformed("Policy has invalid resource"));
                }
                write
                    .connection
                    .prepare_cached("UPDATE bucket SET policy = ?2 WHERE id = ?1")?
                    .execute((bucket.id, policy.map(|(text, _)| text)))?;
                facts.forget(write, &name);
                Ok(())
            })
            .await
    }

    pub(super) async fn get_bucket_request_payment(
        &self,
        _requester: &Requester,
        request: S3Request<GetBucketRequestPaymentInput>,
    ) -> Result<Reply<GetBucketRequestPaymentOutput>, Failure> {
        let name = request.input.bucket;
        let requester_pays: bool = self
            .database
            .read(move |connection| {
                let bucket = Bucket::find(connection, &name)?;
                Ok(connection
                    .prepare_cached("SELECT requester_pays FROM bucket WHERE id = ?1")?
                    .query_row([bucket.id], |row| row.get(0))?)
            })
            .await?;
        let payer = if requester_pays {
            Payer::REQUESTER
        } else {
            Payer::BUCKET_OWNER
        };
        Ok(GetBucketRequestPaymentOutput {
            payer: Some(Payer::from_static(payer)),
        }
        .into())
    }

    pub(super) async fn put_bucket_request_payment(
        &self,
        _requester: &Requester,
        request: S3Request<PutBucketRequestPaymentInput>,
    ) -> Result<Reply<PutBucketRequestPaymentOutput>, Failure> {
        let input = request.input;
        let requester_pays = match input.request_payment_configuration.payer.as_str() {
            Payer::REQUESTER => true,
            Payer::BUCKET_OWNER => false,
            _ => {
                return Err(Failure::answer(
                    S3ErrorCode::MalformedXML,
                    "The Payer element must be specified as Requester or BucketOwner",
                ));
            }
        };
        let facts = self.facts.clone();
        self.database
            .write(move |write| {
                let bucket = Bucket::find(write.connection, &input.bucket)?;
                write
                    .connection
                    .prepare_cached("UPDATE bucket SET requester_pays = ?2 WHERE id = ?1")?
                    .execute((bucket.id, requester_pays))?;
                facts.forget(write, &input.bucket);
                Ok(())
            })
            .await?;
        Ok(PutBucketRequestPaymentOutput {}.into())
    }
}

fn malformed(message: impl Into<std::borrow::Cow<'static, str>>) -> Failure {
    Failure::answer(S3ErrorCode::MalformedPolicy, message)
}
