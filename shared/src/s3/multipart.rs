//! Objects written in parts: parts that are sent, and parts that S3 copies from other objects by itself.
//!
//! Every part but the last has at least 5 MiB and at most 5 GiB, and there are at most 10,000
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>). Nothing is visible before the upload is
//! completed, and then all of it.

use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::config;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use aws_smithy_types::timeout::TimeoutConfig;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Bucket, Error, quoted, unquoted};

/// The smallest part that is not the last, in bytes.
pub const SMALLEST_PART: u64 = 5 << 20;
/// The largest part, and the largest object written at once, in bytes.
pub const LARGEST_PART: u64 = 5 << 30;
/// The most parts of an object.
pub const MOST_PARTS: u16 = 10_000;

/// How long S3 may take to copy or to receive a part, or to make an object of many.
const PATIENCE: Duration = Duration::from_secs(20);
/// What stays as it is in the name of an object to be copied.
const COPY_SOURCE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// An upload that was begun.
#[derive(Debug, Clone, Copy)]
pub struct Upload<'a> {
    /// What the object will be called.
    pub key: &'a str,
    /// What S3 calls the upload.
    pub id: &'a str,
}

/// The checksum that S3 makes of each part, and of all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartChecksum {
    /// Which follows for a whole from its parts.
    Crc32,
    /// Which each part must come with.
    Sha256,
}

/// A part that S3 has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// From 1.
    pub number: u16,
    /// Bytes.
    pub size: u64,
    /// The entity tag without its quotes.
    pub etag: String,
    /// Base64, where the upload was begun with it.
    pub crc32: Option<String>,
    /// Base64, where the upload was begun with it.
    pub sha256: Option<String>,
}

/// What an object made of parts will carry.
#[derive(Debug, Clone, Default)]
pub struct Attributes<'a> {
    /// The media type.
    pub content_type: Option<&'a str>,
    /// One name and value of the user's metadata.
    pub metadata: Option<(&'a str, &'a str)>,
}

impl Bucket {
    /// Begins an upload and returns what S3 calls it.
    ///
    /// # Errors
    ///
    /// [`Error::Other`].
    pub async fn begin_upload(
        &self,
        key: &str,
        checksum: PartChecksum,
        attributes: &Attributes<'_>,
    ) -> Result<String, Error> {
        let mut request = self
            .client
            .create_multipart_upload()
            .bucket(&self.name)
            .key(key)
            .checksum_algorithm(match checksum {
                PartChecksum::Crc32 => ChecksumAlgorithm::Crc32,
                PartChecksum::Sha256 => ChecksumAlgorithm::Sha256,
            })
            .set_content_type(attributes.content_type.map(ToOwned::to_owned));
        if let Some((name, value)) = attributes.metadata {
            request = request.metadata(name, value);
        }
        let begun = request
            .send()
            .await
            .map_err(|error| self.classify("CreateMultipartUpload", key, error))?;
        begun
            .upload_id
            .ok_or_else(|| self.other("CreateMultipartUpload", key, "no upload id in the answer"))
    }

    /// Sends a part, whose CRC-32 in Base64 is `crc32`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such upload.
    pub async fn put_part(
        &self,
        upload: &Upload<'_>,
        number: u16,
        bytes: Vec<u8>,
        crc32: String,
    ) -> Result<Part, Error> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let put = self
            .client
            .upload_part()
            .bucket(&self.name)
            .key(upload.key)
            .upload_id(upload.id)
            .part_number(number.into())
            .checksum_crc32(&crc32)
            .body(ByteStream::from(bytes))
            .customize()
            .config_override(patient())
            .send()
            .await
            .map_err(|error| self.classify("UploadPart", upload.key, error))?;
        Ok(Part {
            number,
            size,
            etag: put.e_tag.map(unquoted).unwrap_or_default(),
            crc32: Some(crc32),
            sha256: None,
        })
    }

    /// Has S3 copy a part from these bytes of an object, which must still be the one with this entity tag.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such upload or object, [`Error::Precondition`] when the object is another.
    pub async fn copy_part(
        &self,
        upload: &Upload<'_>,
        number: u16,
        (key, etag): (&str, &str),
        bytes: &Range<u64>,
    ) -> Result<Part, Error> {
        let copied = self
            .client
            .upload_part_copy()
            .bucket(&self.name)
            .key(upload.key)
            .upload_id(upload.id)
            .part_number(number.into())
            .copy_source(
                utf8_percent_encode(&format!("{}/{key}", self.name), COPY_SOURCE).to_string(),
            )
            .copy_source_if_match(quoted(etag))
            .copy_source_range(range(bytes))
            .customize()
            .config_override(patient())
            .send()
            .await
            .map_err(|error| self.classify("UploadPartCopy", key, error))?;
        let result = copied
            .copy_part_result
            .ok_or_else(|| self.other("UploadPartCopy", key, "no result in the answer"))?;
        Ok(Part {
            number,
            size: bytes.end.saturating_sub(bytes.start),
            etag: result.e_tag.map(unquoted).unwrap_or_default(),
            crc32: result.checksum_crc32,
            sha256: result.checksum_sha256,
        })
    }

    /// The parts behind number `after` that S3 has, up to 1,000, and after which one the next page begins.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such upload.
    pub async fn parts(
        &self,
        upload: &Upload<'_>,
        after: u16,
    ) -> Result<(Vec<Part>, Option<u16>), Error> {
        let listed = self
            .client
            .list_parts()
            .bucket(&self.name)
            .key(upload.key)
            .upload_id(upload.id)
            .part_number_marker(after.to_string())
            .send()
            .await
            .map_err(|error| self.classify("ListParts", upload.key, error))?;
        let parts: Vec<Part> = listed
            .parts
            .unwrap_or_default()
            .into_iter()
            .filter_map(|part| {
                Some(Part {
                    number: part.part_number?.try_into().ok()?,
                    size: part.size?.try_into().ok()?,
                    etag: unquoted(part.e_tag?),
                    crc32: part.checksum_crc32,
                    sha256: part.checksum_sha256,
                })
            })
            .collect();
        let is_truncated = listed.is_truncated.unwrap_or(false);
        let next = parts
            .last()
            .filter(|_| is_truncated)
            .map(|part| part.number);
        Ok((parts, next))
    }

    /// All parts that S3 has.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such upload.
    pub async fn all_parts(&self, upload: &Upload<'_>) -> Result<Vec<Part>, Error> {
        let (mut parts, mut next) = self.parts(upload, 0).await?;
        while let Some(after) = next {
            let page;
            (page, next) = self.parts(upload, after).await?;
            parts.extend(page);
        }
        Ok(parts)
    }

    /// Makes the object of these parts, of `size` bytes together; `is_new` if there must be none yet.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such upload, [`Error::Precondition`] or [`Error::Conflict`] when there is
    /// an object.
    pub async fn complete_upload(
        &self,
        upload: &Upload<'_>,
        parts: &[Part],
        size: u64,
        is_new: bool,
    ) -> Result<(), Error> {
        let parts = parts.iter().map(|part| {
            CompletedPart::builder()
                .part_number(part.number.into())
                .e_tag(quoted(&part.etag))
                .set_checksum_crc32(part.crc32.clone())
                .set_checksum_sha256(part.sha256.clone())
                .build()
        });
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts.collect()))
            .build();
        self.client
            .complete_multipart_upload()
            .bucket(&self.name)
            .key(upload.key)
            .upload_id(upload.id)
            .multipart_upload(parts)
            .set_mpu_object_size(size.try_into().ok())
            .set_if_none_match(is_new.then(|| "*".to_owned()))
            .customize()
            .config_override(patient())
            .send()
            .await
            .map_err(|error| self.classify("CompleteMultipartUpload", upload.key, error))?;
        Ok(())
    }

    /// Gives an upload up, with its parts.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is no such upload.
    pub async fn abort_upload(&self, upload: &Upload<'_>) -> Result<(), Error> {
        self.client
            .abort_multipart_upload()
            .bucket(&self.name)
            .key(upload.key)
            .upload_id(upload.id)
            .send()
            .await
            .map_err(|error| self.classify("AbortMultipartUpload", upload.key, error))?;
        Ok(())
    }
}

/// Bytes in the words of HTTP, which names the last one.
pub(super) fn range(bytes: &Range<u64>) -> String {
    format!("bytes={}-{}", bytes.start, bytes.end.saturating_sub(1))
}

/// Large requests take longer than the questions that the client is set up for.
fn patient() -> config::Builder {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(PATIENCE)
        .operation_timeout(PATIENCE);
    config::Builder::new().timeout_config(timeouts.build())
}
