use std::collections::HashMap;
use std::ops::Range;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, ChecksumMode, ChecksumType, CreateBucketConfiguration,
};
use aws_smithy_types::DateTime;

use super::multipart::range;
use super::{Bucket, Error, quoted, unquoted};

/// The bytes of an object, and what they are called until they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// All of them, in memory: for small objects.
    pub bytes: Vec<u8>,
    /// The entity tag without its quotes.
    pub etag: String,
}

/// What S3 knows of an object besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The entity tag without its quotes.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// The media type, as whoever wrote it named it.
    pub content_type: Option<String>,
    /// To the second.
    pub last_modified: Option<DateTime>,
    /// The one that S3 has made or verified.
    pub checksum: Option<Checksum>,
    /// The user's metadata.
    pub metadata: HashMap<String, String>,
}

/// A checksum of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// As S3 names it, for example `SHA256`.
    pub algorithm: &'static str,
    /// Base64; of parts, with a hyphen and their number.
    pub value: String,
    /// It is made from those of the parts, and not from the bytes.
    pub is_composite: bool,
}

/// On what condition an object is written.
enum Condition<'a> {
    IsNew,
    Is(&'a str),
}

impl Bucket {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes the bucket if there is none: in the region that is asked, and for this account alone, as S3 does by
    /// default. Returns whether it had to.
    ///
    /// # Errors
    ///
    /// [`Error::Other`] above all when the bucket is somebody else's, or this function may not make one.
    pub async fn ensure(&self) -> Result<bool, Error> {
        let seen = self.client.head_bucket().bucket(&self.name).send().await;
        match seen.map_err(|error| self.classify("HeadBucket", "", error)) {
            Ok(_) => return Ok(false),
            Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
        // The oldest region has no name here: S3 refuses it as a constraint.
        let region = self
            .client
            .config()
            .region()
            .map(ToString::to_string)
            .filter(|region| region != "us-east-1")
            .map(|region| {
                CreateBucketConfiguration::builder()
                    .location_constraint(BucketLocationConstraint::from(region.as_str()))
                    .build()
            });
        let made = self
            .client
            .create_bucket()
            .bucket(&self.name)
            .set_create_bucket_configuration(region)
            .send()
            .await;
        match made {
            Ok(_) => Ok(true),
            // Another instance was faster.
            Err(error) if error.code() == Some("BucketAlreadyOwnedByYou") => Ok(false),
            Err(error) => Err(self.classify("CreateBucket", "", error)),
        }
    }

    /// The whole object.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is none; [`Error::Other`] also when its bytes did not all arrive.
    pub async fn get(&self, key: &str) -> Result<Content, Error> {
        let object = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(key)
            .send()
            .await
            .map_err(|error| self.classify("GetObject", key, error))?;
        let etag = object.e_tag.map(unquoted).unwrap_or_default();
        let bytes = object.body.collect().await;
        let bytes = bytes.map_err(|error| self.other("GetObject", key, error))?;
        Ok(Content {
            bytes: bytes.to_vec(),
            etag,
        })
    }

    /// Some bytes of an object, which must still be the one with this entity tag.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is none, [`Error::Precondition`] when it is another, [`Error::Other`] also when
    /// not all bytes arrived.
    pub async fn get_range(
        &self,
        key: &str,
        etag: &str,
        bytes: &Range<u64>,
    ) -> Result<Vec<u8>, Error> {
        let object = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(key)
            .if_match(quoted(etag))
            .range(range(bytes))
            .send()
            .await
            .map_err(|error| self.classify("GetObject", key, error))?;
        let body = object.body.collect().await;
        let body = body.map_err(|error| self.other("GetObject", key, error))?;
        let body = body.to_vec();
        if u64::try_from(body.len()).ok() != bytes.end.checked_sub(bytes.start) {
            return Err(self.other("GetObject", key, "other bytes came than were asked for"));
        }
        Ok(body)
    }

    /// What S3 knows of an object, its checksum included.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is none.
    pub async fn describe(&self, key: &str) -> Result<Description, Error> {
        let head = self
            .client
            .head_object()
            .bucket(&self.name)
            .key(key)
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .map_err(|error| self.classify("HeadObject", key, error))?;
        let is_composite = head.checksum_type == Some(ChecksumType::Composite);
        // An object has one, rarely more: the strongest is the one to show.
        let checksum = [
            ("SHA512", head.checksum_sha512),
            ("SHA256", head.checksum_sha256),
            ("SHA1", head.checksum_sha1),
            ("CRC64NVME", head.checksum_crc64_nvme),
            ("CRC32C", head.checksum_crc32_c),
            ("CRC32", head.checksum_crc32),
        ]
        .into_iter()
        .find_map(|(algorithm, value)| {
            let value = value?;
            Some(Checksum {
                algorithm,
                is_composite: is_composite || value.contains('-'),
                value,
            })
        });
        Ok(Description {
            etag: head.e_tag.map(unquoted).unwrap_or_default(),
            size: head
                .content_length
                .and_then(|size| size.try_into().ok())
                .unwrap_or_default(),
            content_type: head.content_type,
            last_modified: head.last_modified,
            checksum,
            metadata: head.metadata.unwrap_or_default(),
        })
    }

    /// Writes an object if there is none of this key, and returns its entity tag.
    ///
    /// # Errors
    ///
    /// [`Error::Precondition`] when there is one, which may be this very one: a try whose answer was lost is
    /// repeated. [`Error::Conflict`] when somebody else is writing it.
    pub async fn create(&self, key: &str, bytes: Vec<u8>) -> Result<String, Error> {
        self.put_if(key, bytes, Condition::IsNew).await
    }

    /// Writes an object if it is still the one with this entity tag, and returns the new one.
    ///
    /// # Errors
    ///
    /// [`Error::Precondition`] when it is another, [`Error::NotFound`] when it is gone, [`Error::Conflict`] when
    /// somebody else is writing it.
    pub async fn replace(&self, key: &str, bytes: Vec<u8>, etag: &str) -> Result<String, Error> {
        self.put_if(key, bytes, Condition::Is(etag)).await
    }

    /// Deletes an object, or what is left of it: if there is none, that is what was wanted.
    ///
    /// # Errors
    ///
    /// [`Error::Other`].
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        match self.delete_when(key, None).await {
            Err(Error::NotFound) => Ok(()),
            deleted => deleted,
        }
    }

    /// Deletes an object if it is still the one with this entity tag.
    ///
    /// # Errors
    ///
    /// [`Error::Precondition`] when it is another, [`Error::NotFound`] when it is gone, [`Error::Conflict`] when
    /// somebody else is writing it.
    pub async fn delete_if(&self, key: &str, etag: &str) -> Result<(), Error> {
        self.delete_when(key, Some(etag)).await
    }

    async fn put_if(
        &self,
        key: &str,
        bytes: Vec<u8>,
        condition: Condition<'_>,
    ) -> Result<String, Error> {
        let put = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .content_type("application/json")
            .body(ByteStream::from(bytes));
        let put = match condition {
            Condition::IsNew => put.if_none_match("*"),
            Condition::Is(etag) => put.if_match(quoted(etag)),
        };
        let written = put
            .send()
            .await
            .map_err(|error| self.classify("PutObject", key, error))?;
        Ok(written.e_tag.map(unquoted).unwrap_or_default())
    }

    async fn delete_when(&self, key: &str, etag: Option<&str>) -> Result<(), Error> {
        self.client
            .delete_object()
            .bucket(&self.name)
            .key(key)
            .set_if_match(etag.map(quoted))
            .send()
            .await
            .map_err(|error| self.classify("DeleteObject", key, error))?;
        Ok(())
    }
}
