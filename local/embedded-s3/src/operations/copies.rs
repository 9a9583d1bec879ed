//! Objects made from objects. Copies share the source's blobs; bytes are read again only where an
//! `ETag` or a checksum is not known yet.

use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopyPartResult, CopySource, ETag,
    ETagCondition, MetadataDirective, ServerSideEncryption, TaggingDirective, UploadPartCopyInput,
    UploadPartCopyOutput,
};
use s3s::{S3ErrorCode, S3Request};

use super::Store;
use super::archive::check_readable;
use super::multipart::check_part_number;
use super::reads::existing;
use super::writes::{check_acl, check_key};
use crate::attributes::{Attributes, attributes, check_encryption, tags_of_header};
use crate::bucket::Bucket;
use crate::checksum::{Algorithm, Checksum, Coverage};
use crate::clock::timestamp;
use crate::condition::{ReadCondition, WriteCondition};
use crate::content::{Piece, pieces, share};
use crate::error::{Failure, StorageError};
use crate::event::{Change, Kind};
use crate::intake::Hashes;
use crate::integrity::{extra_headers, fields, named, spread};
use crate::object_body::PieceReader;
use crate::request::{Reply, Requester};
use crate::upload::{Part, Upload};
use crate::version::{Draft, Version};

/// The largest source of one copy request, in bytes.
const LARGEST: i64 = 5 * 1024 * 1024 * 1024;
/// How often a copy starts again because its source was overwritten meanwhile.
const ATTEMPTS: usize = 8;

/// The object a copy reads.
#[derive(Debug, Clone)]
struct Origin {
    bucket: String,
    key: String,
    version_id: Option<String>,
}

/// A source whose bytes are known by their sums.
struct Summed {
    bucket: Bucket,
    version: Version,
    pieces: Vec<Piece>,
    size: i64,
    etag: String,
    checksum: Checksum,
}

impl Origin {
    fn of(source: CopySource) -> Result<Self, Failure> {
        match source {
            CopySource::Bucket {
                bucket,
                key,
                version_id,
            } => Ok(Self {
                bucket: bucket.into(),
                key: key.into(),
                version_id: version_id.map(String::from),
            }),
            CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => Err(Failure::answer(
                S3ErrorCode::NotImplemented,
                "access points and Outposts are not implemented here",
            )),
        }
    }
}

impl Store {
    #[expect(clippy::too_many_lines, reason = "one request read from top to bottom")]
    pub(super) async fn copy_object(
        &self,
        requester: &Requester,
        request: S3Request<CopyObjectInput>,
    ) -> Result<Reply<CopyObjectOutput>, Failure> {
        let mut input = request.input;
        check_key(&input.key)?;
        check_acl(input.acl.as_ref())?;
        check_encryption(
            input.server_side_encryption.as_ref(),
            input.sse_customer_algorithm.as_ref(),
        )?;
        check_encryption(None, input.copy_source_sse_customer_algorithm.as_ref())?;
        // The input type has no fields for these two, though S3 has the headers.
        let header = |name: &str| {
            let value = request.headers.get(name)?;
            Some(
                ETagCondition::parse_http_header(value.as_bytes()).map_err(|_source| {
                    Failure::answer(
                        S3ErrorCode::InvalidArgument,
                        format!("the header {name} is no entity tag"),
                    )
                }),
            )
        };
        let condition = WriteCondition::new(
            header("if-match").transpose()?,
            header("if-none-match").transpose()?.as_ref(),
        )?;
        let source_condition = ReadCondition {
            if_match: input.copy_source_if_match.take(),
            if_none_match: input.copy_source_if_none_match.take(),
            if_modified_since: input.copy_source_if_modified_since.take(),
            if_unmodified_since: input.copy_source_if_unmodified_since.take(),
        };
        let replace_metadata = replaces(
            input
                .metadata_directive
                .as_ref()
                .map(MetadataDirective::as_str),
        )?;
        let replace_tags = replaces(
            input
                .tagging_directive
                .as_ref()
                .map(TaggingDirective::as_str),
        )?;
        let fresh = attributes!(input)?;
        let tags = input
            .tagging
            .as_deref()
            .map(tags_of_header)
            .transpose()?
            .unwrap_or_default();
        let algorithm = input
            .checksum_algorithm
            .as_ref()
            .map(|name| named(name.as_str()))
            .transpose()?;
        let origin = Origin::of(input.copy_source.clone())?;
        let changes_nothing = !replace_metadata
            && !replace_tags
            && fresh.storage_class.is_none()
            && algorithm.is_none();
        if origin.bucket == input.bucket
            && origin.key == input.key
            && origin.version_id.is_none()
            && changes_nothing
        {
            let message = "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.";
            return Err(Failure::answer(S3ErrorCode::InvalidRequest, message));
        }
        let condition = std::sync::Arc::new(condition);
        for _ in 0..ATTEMPTS {
            let source = self
                .sum(&origin, &source_condition, None, algorithm)
                .await?;
            let attributes = if replace_metadata {
                fresh.clone()
            } else {
                Attributes {
                    storage_class: fresh.storage_class.clone(),
                    restored_until: None,
                    ..source.version.attributes.clone()
                }
            };
            let draft = Draft {
                size: source.size,
                etag: source.etag,
                attributes,
                tags: if replace_tags {
                    tags.clone()
                } else {
                    source.version.tags.clone()
                },
                checksum: Some(source.checksum),
                content: None,
                upload: None,
            };
            let (name, key) = (input.bucket.clone(), input.key.clone());
            let (delivery, requester, condition) = (
                self.delivery.clone(),
                requester.clone(),
                std::sync::Arc::clone(&condition),
            );
            let pieces = source.pieces;
            let copied = self
                .database
                .write(move |write| {
                    let bucket = Bucket::find(write.connection, &name)?;
                    condition.check(Version::latest(write.connection, &bucket, &key)?.as_ref())?;
                    let Some(content) = share(write.connection, &pieces)? else {
                        return Ok(None);
                    };
                    let draft = Draft {
                        content: Some(content),
                        ..draft
                    };
                    let (version, moment) = Version::insert(write, &bucket, &key, Some(draft))?;
                    delivery.announce(
                        write,
                        &bucket,
                        &Change::of(Kind::Copy, &bucket, &version, moment, &requester),
                    )?;
                    Ok(Some((bucket, version)))
                })
                .await?;
            let Some((bucket, version)) = copied else {
                continue;
            };
            let mut result = CopyObjectResult {
                e_tag: Some(ETag::Strong(version.etag.clone())),
                last_modified: Some(timestamp(version.modified)),
                ..Default::default()
            };
            spread!(result, version.checksum.as_ref());
            result.checksum_type = fields(version.checksum.as_ref()).checksum_type;
            let output = CopyObjectOutput {
                copy_object_result: Some(result),
                copy_source_version_id: source.version.id_for(&source.bucket),
                server_side_encryption: Some(ServerSideEncryption::from_static(
                    ServerSideEncryption::AES256,
                )),
                version_id: version.id_for(&bucket),
                ..Default::default()
            };
            return Ok(Reply {
                output,
                headers: extra_headers(version.checksum.as_ref()),
            });
        }
        Err(restless_source())
    }

    pub(super) async fn upload_part_copy(
        &self,
        _requester: &Requester,
        request: S3Request<UploadPartCopyInput>,
    ) -> Result<Reply<UploadPartCopyOutput>, Failure> {
        let mut input = request.input;
        check_part_number(input.part_number)?;
        check_encryption(None, input.copy_source_sse_customer_algorithm.as_ref())?;
        let source_condition = ReadCondition {
            if_match: input.copy_source_if_match.take(),
            if_none_match: input.copy_source_if_none_match.take(),
            if_modified_since: input.copy_source_if_modified_since.take(),
            if_unmodified_since: input.copy_source_if_unmodified_since.take(),
        };
        let range = input
            .copy_source_range
            .as_deref()
            .map(parse_range)
            .transpose()?;
        let origin = Origin::of(input.copy_source)?;
        let (bucket, key, id) = (
            input.bucket.clone(),
            input.key.clone(),
            input.upload_id.clone(),
        );
        let upload = self
            .database
            .read(move |connection| {
                let bucket = Bucket::find(connection, &bucket)?;
                Upload::find(connection, &bucket, &key, &id)
            })
            .await?;
        for _ in 0..ATTEMPTS {
            let source = self
                .sum(
                    &origin,
                    &source_condition,
                    range,
                    Some(upload.effective_algorithm()),
                )
                .await?;
            let mut md5 = [0; 16];
            hex::decode_to_slice(&source.etag, &mut md5)
                .map_err(|_source| StorageError::Damaged("ETag"))?;
            let (size, checksum, pieces) = (source.size, source.checksum.clone(), source.pieces);
            let (name, key, id, number) = (
                input.bucket.clone(),
                input.key.clone(),
                upload.id.clone(),
                input.part_number,
            );
            let part = self
                .database
                .write(move |write| {
                    let bucket = Bucket::find(write.connection, &name)?;
                    let upload = Upload::find(write.connection, &bucket, &key, &id)?;
                    let Some(content) = share(write.connection, &pieces)? else {
                        return Ok(None);
                    };
                    let part = Part::new(number, size, md5, checksum, content);
                    upload.put_part(write, &part)?;
                    Ok(Some(part))
                })
                .await?;
            let Some(part) = part else { continue };
            let mut result = CopyPartResult {
                e_tag: Some(ETag::Strong(part.etag)),
                last_modified: Some(timestamp(part.modified)),
                ..Default::default()
            };
            if upload.algorithm.is_some() {
                spread!(result, part.checksum.as_ref());
            }
            return Ok(UploadPartCopyOutput {
                copy_part_result: Some(result),
                copy_source_version_id: source.version.id_for(&source.bucket),
                server_side_encryption: Some(ServerSideEncryption::from_static(
                    ServerSideEncryption::AES256,
                )),
                ..Default::default()
            }
            .into());
        }
        Err(restless_source())
    }

    /// Finds a source and the sums of its bytes, reading them where they are not stored.
    async fn sum(
        &self,
        origin: &Origin,
        condition: &ReadCondition,
        range: Option<(i64, i64)>,
        algorithm: Option<Algorithm>,
    ) -> Result<Summed, Failure> {
        let reading = self.blobs.reading();
        let wanted = origin.clone();
        let (bucket, version, found) = self
            .database
            .read(move |connection| {
                let (bucket, version) = existing(
                    connection,
                    &wanted.bucket,
                    &wanted.key,
                    wanted.version_id.as_deref(),
                )
                .map_err(source_answer)?;
                check_readable(&version.attributes)?;
                let (from, to) = range.unwrap_or((0, version.size));
                if to > version.size {
                    let message = format!(
                        "Range specified is not valid for source object of size: {}",
                        version.size
                    );
                    return Err(Failure::answer(S3ErrorCode::InvalidArgument, message));
                }
                let found = version
                    .content
                    .map(|content| pieces(connection, content, from, to))
                    .transpose()?;
                Ok((bucket, version, found.unwrap_or_default()))
            })
            .await?;
        condition.check_source(&version)?;
        let size = range.map_or(version.size, |(from, to)| to - from);
        if size > LARGEST {
            let message = format!(
                "The specified copy source is larger than the maximum allowable size for a copy source: {LARGEST}"
            );
            return Err(Failure::answer(S3ErrorCode::InvalidRequest, message));
        }
        let stored = version.checksum.clone();
        let algorithm = algorithm
            .or(stored.as_ref().map(|sum| sum.algorithm))
            .unwrap_or(Algorithm::Crc64Nvme);
        let whole = size == version.size && !version.etag.contains('-');
        let known = stored.filter(|sum| {
            whole && sum.algorithm == algorithm && sum.coverage == Coverage::FullObject
        });
        let (etag, checksum) = if let Some(checksum) = known {
            (version.etag.clone(), checksum)
        } else {
            let reader = PieceReader::new(self.blobs.clone(), found.clone(), reading);
            let hashing = tokio::task::spawn_blocking(move || hash(reader, algorithm));
            let (md5, value) = hashing
                .await
                .unwrap_or(Err(Failure::Storage(StorageError::Closed)))?;
            (
                hex::encode(md5),
                Checksum {
                    algorithm,
                    value,
                    coverage: Coverage::FullObject,
                },
            )
        };
        Ok(Summed {
            bucket,
            version,
            pieces: found,
            size,
            etag,
            checksum,
        })
    }
}

fn hash(mut reader: PieceReader, algorithm: Algorithm) -> Result<([u8; 16], String), Failure> {
    let mut hashes = Hashes::new(algorithm);
    while let Some(chunk) = reader.next_chunk()? {
        hashes.update(&chunk);
    }
    let (_, md5, checksum) = hashes.finish();
    Ok((md5, checksum))
}

fn replaces(directive: Option<&str>) -> Result<bool, Failure> {
    match directive {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(_) => Err(Failure::answer(
            S3ErrorCode::InvalidArgument,
            "Unknown metadata directive.",
        )),
    }
}

/// A delete marker cannot be copied; S3 says so with 400 where a GET says 405.
fn source_answer(failure: Failure) -> Failure {
    match failure {
        Failure::Answer(error) if *error.code() == S3ErrorCode::MethodNotAllowed => {
            Failure::answer(
                S3ErrorCode::InvalidRequest,
                "The source of a copy request may not specifically refer to a delete marker by version id.",
            )
        }
        other => other,
    }
}

/// `bytes=first-last`, both given, as `from..to`.
fn parse_range(text: &str) -> Result<(i64, i64), Failure> {
    let parsed = text.strip_prefix("bytes=").and_then(|range| {
        let (first, last) = range.split_once('-')?;
        let (first, last): (i64, i64) = (first.parse().ok()?, last.parse().ok()?);
        (0 <= first && first <= last).then(|| (first, last.saturating_add(1)))
    });
    parsed.ok_or_else(|| {
        let message = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy";
        Failure::answer(S3ErrorCode::InvalidArgument, message)
    })
}

fn restless_source() -> Failure {
    Failure::answer(
        S3ErrorCode::SlowDown,
        "The source changed again and again while it was copied. Please try again.",
    )
}
