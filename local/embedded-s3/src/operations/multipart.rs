//! Objects written in parts.

use md5::Digest as _;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, Initiator,
    ListMultipartUploadsInput, ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput,
    MultipartUpload, ServerSideEncryption, StorageClass, UploadPartInput, UploadPartOutput,
};
use s3s::{S3ErrorCode, S3Request};

use super::Store;
use super::buckets::owner;
use super::listings::{Encoding, PAGE, delimiter, page_size};
use super::writes::{check_acl, check_key};
use crate::attributes::{attributes, check_encryption, tags_of_header};
use crate::bucket::Bucket;
use crate::checksum::{Algorithm, Checksum, Coverage};
use crate::clock::timestamp;
use crate::completion::{Completion, Listed};
use crate::condition::WriteCondition;
use crate::content;
use crate::error::Failure;
use crate::intake::receive;
use crate::integrity::{Promise, extra_headers, given, named, spread};
use crate::request::{Reply, Requester};
use crate::upload::{Part, Upload};
use crate::version::Version;

/// The greatest part number.
const LAST_PART: i32 = 10_000;

impl Store {
    pub(super) async fn create_multipart_upload(
        &self,
        _requester: &Requester,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Result<Reply<CreateMultipartUploadOutput>, Failure> {
        let mut input = request.input;
        check_key(&input.key)?;
        check_acl(input.acl.as_ref())?;
        check_encryption(
            input.server_side_encryption.as_ref(),
            input.sse_customer_algorithm.as_ref(),
        )?;
        if input.object_lock_mode.is_some() || input.website_redirect_location.is_some() {
            return Err(Failure::answer(
                S3ErrorCode::NotImplemented,
                "object lock and website redirects are not implemented here",
            ));
        }
        let attributes = attributes!(input)?;
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
        let coverage = coverage(algorithm, input.checksum_type.as_ref())?;
        let (bucket, key) = (input.bucket.clone(), input.key.clone());
        let id = self
            .database
            .write(move |write| {
                let bucket = Bucket::find(write.connection, &bucket)?;
                Upload::begin(
                    write,
                    &bucket,
                    &key,
                    &attributes,
                    &tags,
                    algorithm,
                    coverage,
                )
            })
            .await?;
        Ok(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            checksum_algorithm: algorithm
                .map(|algorithm| ChecksumAlgorithm::from_static(algorithm.name())),
            checksum_type: coverage.map(|coverage| ChecksumType::from_static(coverage.name())),
            key: Some(input.key),
            server_side_encryption: Some(ServerSideEncryption::from_static(
                ServerSideEncryption::AES256,
            )),
            upload_id: Some(id),
            ..Default::default()
        }
        .into())
    }

    pub(super) async fn upload_part(
        &self,
        _requester: &Requester,
        request: S3Request<UploadPartInput>,
    ) -> Result<Reply<UploadPartOutput>, Failure> {
        let mut input = request.input;
        check_part_number(input.part_number)?;
        check_encryption(None, input.sse_customer_algorithm.as_ref())?;
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
        let promise = Promise::read(
            &request.headers,
            given!(input),
            input.checksum_algorithm.as_ref(),
            input.content_md5.as_deref(),
            input.content_length,
            upload.effective_algorithm(),
        )?;
        let algorithm = promise.algorithm;
        if upload.algorithm.is_some_and(|chosen| chosen != algorithm) {
            let message = format!(
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                upload.effective_algorithm().name().to_lowercase(),
                algorithm.name().to_lowercase()
            );
            return Err(Failure::answer(S3ErrorCode::InvalidRequest, message));
        }
        let intake = receive(input.body.take(), algorithm, &self.blobs, self.inline).await?;
        promise.verify(&intake, request.trailing_headers.as_ref())?;
        let (size, md5, received) = (intake.size, intake.md5, intake.received);
        let checksum = Checksum {
            algorithm,
            value: intake.checksum,
            coverage: Coverage::FullObject,
        };
        let kept = checksum.clone();
        self.database
            .write(move |write| {
                let bucket = Bucket::find(write.connection, &input.bucket)?;
                let upload = Upload::find(write.connection, &bucket, &input.key, &input.upload_id)?;
                let content = content::store(write, received, size)?;
                upload.put_part(
                    write,
                    &Part::new(input.part_number, size, md5, kept, content),
                )
            })
            .await?;
        let mut output = UploadPartOutput {
            e_tag: Some(ETag::Strong(hex::encode(md5))),
            server_side_encryption: Some(ServerSideEncryption::from_static(
                ServerSideEncryption::AES256,
            )),
            ..Default::default()
        };
        spread!(output, Some(&checksum));
        Ok(Reply {
            output,
            headers: extra_headers(Some(&checksum)),
        })
    }

    pub(super) async fn list_parts(
        &self,
        _requester: &Requester,
        request: S3Request<ListPartsInput>,
    ) -> Result<Reply<ListPartsOutput>, Failure> {
        let input = request.input;
        let limit = page_size(input.max_parts, "max-parts")?;
        let marker = input.part_number_marker.unwrap_or(0);
        let (bucket, key, id) = (
            input.bucket.clone(),
            input.key.clone(),
            input.upload_id.clone(),
        );
        let (upload, mut parts) = self
            .database
            .read(move |connection| {
                let bucket = Bucket::find(connection, &bucket)?;
                let upload = Upload::find(connection, &bucket, &key, &id)?;
                let parts = upload.parts(connection, marker, i64::from(limit) + 1)?;
                Ok((upload, parts))
            })
            .await?;
        let more = parts.len() > usize::try_from(limit).unwrap_or(0);
        parts.truncate(usize::try_from(limit).unwrap_or(0));
        let next = parts.last().map(|part| part.number).filter(|_| more);
        Ok(ListPartsOutput {
            bucket: Some(input.bucket),
            checksum_algorithm: upload
                .algorithm
                .map(|algorithm| ChecksumAlgorithm::from_static(algorithm.name())),
            checksum_type: upload
                .algorithm
                .map(|_| ChecksumType::from_static(upload.effective_coverage().name())),
            initiator: Some(Initiator {
                display_name: owner().display_name,
                id: owner().id,
            }),
            is_truncated: Some(more),
            key: Some(input.key),
            max_parts: Some(limit),
            next_part_number_marker: next,
            owner: Some(owner()),
            part_number_marker: Some(marker),
            parts: (!parts.is_empty()).then(|| parts.iter().map(listed_part).collect()),
            storage_class: Some(StorageClass::from(upload.attributes.storage_class_name())),
            upload_id: Some(upload.id),
            ..Default::default()
        }
        .into())
    }

    pub(super) async fn list_multipart_uploads(
        &self,
        _requester: &Requester,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> Result<Reply<ListMultipartUploadsOutput>, Failure> {
        let input = request.input;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let limit = page_size(input.max_uploads.or(Some(PAGE)), "max-uploads")?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let marker = input.key_marker.clone().unwrap_or_default();
        let id_marker = input.upload_id_marker.clone().filter(|id| !id.is_empty());
        let (bucket, wanted) = (input.bucket.clone(), prefix.clone());
        let from = marker.clone();
        let found = self
            .database
            .read(move |connection| {
                let bucket = Bucket::find(connection, &bucket)?;
                Upload::list(connection, &bucket, &wanted, &from, id_marker.as_deref())
            })
            .await?;
        let delimiter = delimiter(input.delimiter.as_ref());
        let page = uploads_page(
            found,
            &prefix,
            &marker,
            delimiter.as_deref(),
            usize::try_from(limit).unwrap_or(0),
        );
        let uploads: Vec<_> = page
            .uploads
            .iter()
            .map(|upload| listed_upload(upload, encoding))
            .collect();
        Ok(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            common_prefixes: encoding.prefixes(page.prefixes),
            delimiter: input.delimiter.map(|delimiter| encoding.text(delimiter)),
            encoding_type: input.encoding_type,
            is_truncated: Some(page.next.is_some()),
            key_marker: Some(encoding.text(marker)),
            max_uploads: Some(limit),
            next_upload_id_marker: page.next.as_ref().map(|(_, id)| id.clone()),
            next_key_marker: page.next.map(|(key, _)| encoding.text(key)),
            prefix: Some(encoding.text(prefix)),
            upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
            uploads: (!uploads.is_empty()).then_some(uploads),
            ..Default::default()
        }
        .into())
    }

    pub(super) async fn complete_multipart_upload(
        &self,
        requester: &Requester,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Result<Reply<CompleteMultipartUploadOutput>, Failure> {
        let mut input = request.input;
        let condition = WriteCondition::new(input.if_match.take(), input.if_none_match.as_ref())?;
        let mut expected = given!(input);
        if let Some(value) = request.headers.get(Algorithm::Sha512.header()) {
            expected.push((
                Algorithm::Sha512,
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            ));
        }
        let listed = input
            .multipart_upload
            .take()
            .and_then(|upload| upload.parts)
            .unwrap_or_default();
        let completion = Completion {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            upload_id: input.upload_id,
            parts: listed
                .into_iter()
                .map(listed_of)
                .collect::<Result<_, _>>()?,
            condition,
            expected,
            coverage: input.checksum_type.map(|kind| kind.as_str().to_owned()),
            size: input.mpu_object_size,
        };
        let (delivery, requester) = (self.delivery.clone(), requester.clone());
        let (bucket, version): (Bucket, Version) = self
            .database
            .write(move |write| completion.carry_out(write, &delivery, &requester))
            .await?;
        let mut output = CompleteMultipartUploadOutput {
            bucket: Some(input.bucket.clone()),
            e_tag: Some(ETag::Strong(version.etag.clone())),
            location: Some(format!(
                "/{}/{}",
                input.bucket,
                crate::event::encode_key(&input.key)
            )),
            key: Some(input.key),
            server_side_encryption: Some(ServerSideEncryption::from_static(
                ServerSideEncryption::AES256,
            )),
            version_id: version.id_for(&bucket),
            ..Default::default()
        };
        spread!(output, version.checksum.as_ref());
        output.checksum_type = version
            .checksum
            .as_ref()
            .map(|sum| ChecksumType::from_static(sum.coverage.name()));
        Ok(output.into())
    }

    pub(super) async fn abort_multipart_upload(
        &self,
        _requester: &Requester,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Result<Reply<AbortMultipartUploadOutput>, Failure> {
        let input = request.input;
        self.database
            .write(move |write| {
                let bucket = Bucket::find(write.connection, &input.bucket)?;
                Upload::find(write.connection, &bucket, &input.key, &input.upload_id)?
                    .end(write, &[])
            })
            .await?;
        Ok(AbortMultipartUploadOutput::default().into())
    }
}

/// The multipart `ETag`: the MD5 of the parts' MD5s, and their number.
pub(crate) fn multipart_etag(parts: impl ExactSizeIterator<Item = impl AsRef<[u8]>>) -> String {
    let count = parts.len();
    let mut digest = md5::Md5::new();
    for etag in parts {
        digest.update(hex::decode(etag).unwrap_or_default());
    }
    format!("{}-{count}", hex::encode(digest.finalize()))
}

pub(super) fn check_part_number(number: i32) -> Result<(), Failure> {
    if (1..=LAST_PART).contains(&number) {
        return Ok(());
    }
    let message = "Part number must be an integer between 1 and 10000, inclusive";
    Err(Failure::answer(S3ErrorCode::InvalidArgument, message))
}

/// Which checksums may be full-object or composite is fixed by their algorithm.
fn coverage(
    algorithm: Option<Algorithm>,
    asked: Option<&ChecksumType>,
) -> Result<Option<Coverage>, Failure> {
    let refuse = |message: String| Err(Failure::answer(S3ErrorCode::InvalidRequest, message));
    match (algorithm, asked.map(ChecksumType::as_str)) {
        (None, None) => Ok(None),
        (None, Some(_)) => refuse("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.".to_owned()),
        (Some(Algorithm::Crc64Nvme), None | Some(ChecksumType::FULL_OBJECT)) => Ok(Some(Coverage::FullObject)),
        (Some(algorithm), None | Some(ChecksumType::COMPOSITE)) if algorithm != Algorithm::Crc64Nvme => {
            Ok(Some(Coverage::Composite))
        }
        (Some(algorithm), Some(ChecksumType::FULL_OBJECT)) if algorithm.is_crc() => Ok(Some(Coverage::FullObject)),
        (Some(algorithm), kind) => refuse(format!(
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            kind.unwrap_or_default(),
            algorithm.name().to_lowercase()
        )),
    }
}

fn listed_of(mut part: CompletedPart) -> Result<Listed, Failure> {
    let malformed = || {
        let message = "The XML you provided was not well-formed or did not validate against our published schema";
        Failure::answer(S3ErrorCode::MalformedXML, message)
    };
    Ok(Listed {
        number: part.part_number.ok_or_else(malformed)?,
        etag: part.e_tag.take().ok_or_else(malformed)?.into_value(),
        checksums: given!(part),
    })
}

fn listed_part(part: &Part) -> s3s::dto::Part {
    let mut output = s3s::dto::Part {
        e_tag: Some(ETag::Strong(part.etag.clone())),
        last_modified: Some(timestamp(part.modified)),
        part_number: Some(part.number),
        size: Some(part.size),
        ..Default::default()
    };
    spread!(output, part.checksum.as_ref());
    output
}

fn listed_upload(upload: &Upload, encoding: Encoding) -> MultipartUpload {
    MultipartUpload {
        checksum_algorithm: upload
            .algorithm
            .map(|algorithm| ChecksumAlgorithm::from_static(algorithm.name())),
        checksum_type: upload
            .algorithm
            .map(|_| ChecksumType::from_static(upload.effective_coverage().name())),
        initiated: Some(timestamp(upload.initiated)),
        initiator: Some(Initiator {
            display_name: owner().display_name,
            id: owner().id,
        }),
        key: Some(encoding.text(upload.key.clone())),
        owner: Some(owner()),
        storage_class: Some(StorageClass::from(upload.attributes.storage_class_name())),
        upload_id: Some(upload.id.clone()),
    }
}

#[derive(Default)]
struct UploadsPage {
    uploads: Vec<Upload>,
    prefixes: Vec<String>,
    next: Option<(String, String)>,
}

/// Cuts a list of uploads to one page.
fn uploads_page(
    found: Vec<Upload>,
    prefix: &str,
    marker: &str,
    delimiter: Option<&str>,
    limit: usize,
) -> UploadsPage {
    let mut page = UploadsPage::default();
    let mut last = (String::new(), String::new());
    for upload in found {
        let common = delimiter.and_then(|delimiter| {
            let rest = upload.key.strip_prefix(prefix)?;
            upload
                .key
                .get(..prefix.len() + rest.find(delimiter)? + delimiter.len())
                .map(str::to_owned)
        });
        if common.as_ref().is_some_and(|common| {
            page.prefixes.last() == Some(common) || marker.starts_with(common)
        }) {
            last = (upload.key, upload.id);
            continue;
        }
        if page.uploads.len() + page.prefixes.len() == limit {
            page.next = (limit > 0).then_some(last);
            return page;
        }
        last = (upload.key.clone(), upload.id.clone());
        match common {
            Some(common) => page.prefixes.push(common),
            None => page.uploads.push(upload),
        }
    }
    page
}
