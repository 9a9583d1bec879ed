//! Objects written in one request.

use s3s::dto::{
    ChecksumType, ETag, ObjectCannedACL, PostObjectInput, PostObjectOutput, PutObjectInput,
    PutObjectOutput, ServerSideEncryption,
};
use s3s::{S3ErrorCode, S3Request};

use super::Store;
use crate::attributes::{attributes, check_encryption, tags_of_header};
use crate::bucket::Bucket;
use crate::checksum::{Algorithm, Checksum, Coverage};
use crate::condition::WriteCondition;
use crate::content;
use crate::error::Failure;
use crate::event::{Change, Kind};
use crate::intake::receive;
use crate::integrity::{Promise, extra_headers, given, spread};
use crate::request::{Reply, Requester};
use crate::version::{Draft, Version};

/// The largest key, in bytes of UTF-8.
const KEY_BYTES: usize = 1024;

impl Store {
    pub(super) async fn put_object(
        &self,
        requester: &Requester,
        request: S3Request<PutObjectInput>,
    ) -> Result<Reply<PutObjectOutput>, Failure> {
        self.put(requester, request, Kind::Put).await
    }

    pub(super) async fn post_object(
        &self,
        requester: &Requester,
        request: S3Request<PostObjectInput>,
    ) -> Result<Reply<PostObjectOutput>, Failure> {
        requester.check("s3:PutObject", &request.input.key, None)?;
        let request = request.map_input(put_of_post);
        let Reply { output, headers } = self.put(requester, request, Kind::Post).await?;
        let posted = PostObjectOutput {
            e_tag: output.e_tag,
            version_id: output.version_id,
            ..Default::default()
        };
        Ok(Reply {
            output: posted,
            headers,
        })
    }

    async fn put(
        &self,
        requester: &Requester,
        request: S3Request<PutObjectInput>,
        kind: Kind,
    ) -> Result<Reply<PutObjectOutput>, Failure> {
        let mut input = request.input;
        check_key(&input.key)?;
        check_encryption(
            input.server_side_encryption.as_ref(),
            input.sse_customer_algorithm.as_ref(),
        )?;
        check_unsupported(&input)?;
        let attributes = attributes!(input)?;
        let tags = input
            .tagging
            .as_deref()
            .map(tags_of_header)
            .transpose()?
            .unwrap_or_default();
        let condition = WriteCondition::new(input.if_match.take(), input.if_none_match.as_ref())?;
        let promise = Promise::read(
            &request.headers,
            given!(input),
            input.checksum_algorithm.as_ref(),
            input.content_md5.as_deref(),
            input.content_length,
            Algorithm::Crc64Nvme,
        )?;
        let algorithm = promise.algorithm;
        let intake = receive(input.body.take(), algorithm, &self.blobs, self.inline).await?;
        promise.verify(&intake, request.trailing_headers.as_ref())?;
        let checksum = Checksum {
            algorithm,
            value: intake.checksum,
            coverage: Coverage::FullObject,
        };
        let draft = Draft {
            size: intake.size,
            etag: hex::encode(intake.md5),
            attributes,
            tags,
            checksum: Some(checksum),
            content: None,
            upload: None,
        };
        let (delivery, requester) = (self.delivery.clone(), requester.clone());
        let received = intake.received;
        let (version, bucket) = self
            .database
            .write(move |write| {
                let bucket = Bucket::find(write.connection, &input.bucket)?;
                condition
                    .check(Version::latest(write.connection, &bucket, &input.key)?.as_ref())?;
                let content = content::store(write, received, draft.size)?;
                let draft = Draft {
                    content: Some(content),
                    ..draft
                };
                let (version, moment) = Version::insert(write, &bucket, &input.key, Some(draft))?;
                delivery.announce(
                    write,
                    &bucket,
                    &Change::of(kind, &bucket, &version, moment, &requester),
                )?;
                Ok((version, bucket))
            })
            .await?;
        let mut output = PutObjectOutput {
            e_tag: Some(ETag::Strong(version.etag.clone())),
            version_id: version.id_for(&bucket),
            checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
            server_side_encryption: Some(ServerSideEncryption::from_static(
                ServerSideEncryption::AES256,
            )),
            ..Default::default()
        };
        spread!(output, version.checksum.as_ref());
        Ok(Reply {
            output,
            headers: extra_headers(version.checksum.as_ref()),
        })
    }
}

/// Refuses keys that are too long where `s3s` does not (forms, batch deletes).
pub(super) fn check_key(key: &str) -> Result<(), Failure> {
    if key.len() > KEY_BYTES {
        return Err(Failure::answer(
            S3ErrorCode::KeyTooLongError,
            "Your key is too long",
        ));
    }
    if key.is_empty() {
        return Err(Failure::answer(
            S3ErrorCode::InvalidArgument,
            "Object key must not be empty",
        ));
    }
    Ok(())
}

/// Refuses canned ACLs that would grant something: ownership is enforced, as in buckets made today.
pub(super) fn check_acl(acl: Option<&ObjectCannedACL>) -> Result<(), Failure> {
    match acl.map(ObjectCannedACL::as_str) {
        None | Some(ObjectCannedACL::PRIVATE | ObjectCannedACL::BUCKET_OWNER_FULL_CONTROL) => {
            Ok(())
        }
        Some(_) => Err(Failure::answer(
            S3ErrorCode::AccessControlListNotSupported,
            "The bucket does not allow ACLs",
        )),
    }
}

fn check_unsupported(input: &PutObjectInput) -> Result<(), Failure> {
    check_acl(input.acl.as_ref())?;
    let refused = [
        (
            input.object_lock_mode.is_some() || input.object_lock_legal_hold_status.is_some(),
            "object lock",
        ),
        (input.write_offset_bytes.is_some(), "appending to objects"),
        (
            input.website_redirect_location.is_some(),
            "website redirects",
        ),
    ];
    for (asked, what) in refused {
        if asked {
            return Err(Failure::answer(
                S3ErrorCode::NotImplemented,
                format!("{what} is not implemented here"),
            ));
        }
    }
    Ok(())
}

/// The same upload as a PUT. A form has no conditions.
fn put_of_post(mut post: PostObjectInput) -> PutObjectInput {
    let mut put = PutObjectInput {
        bucket: post.bucket,
        key: post.key,
        ..Default::default()
    };
    put.acl = post.acl.take();
    put.body = post.body.take();
    put.cache_control = post.cache_control.take();
    put.checksum_algorithm = post.checksum_algorithm.take();
    put.checksum_crc32 = post.checksum_crc32.take();
    put.checksum_crc32c = post.checksum_crc32c.take();
    put.checksum_crc64nvme = post.checksum_crc64nvme.take();
    put.checksum_sha1 = post.checksum_sha1.take();
    put.checksum_sha256 = post.checksum_sha256.take();
    put.content_disposition = post.content_disposition.take();
    put.content_encoding = post.content_encoding.take();
    put.content_language = post.content_language.take();
    put.content_type = post.content_type.take();
    put.expires = post.expires.take();
    put.metadata = post.metadata.take();
    put.server_side_encryption = post.server_side_encryption.take();
    put.sse_customer_algorithm = post.sse_customer_algorithm.take();
    put.storage_class = post.storage_class.take();
    put.tagging = post.tagging.take();
    put
}
