//! Objects read: GET, HEAD, and their attributes.

use http::{HeaderMap, HeaderValue};
use rusqlite::Connection;
use s3s::dto::{
    ETag, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
    GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, ObjectAttributes,
    ObjectPart, Range, ServerSideEncryption, StorageClass, StreamingBlob, TimestampFormat,
};
use s3s::{S3Error, S3ErrorCode, S3Request};

use super::Store;
use super::archive::{check_readable, restore_header};
use crate::bucket::Bucket;
use crate::checksum::{Checksum, Coverage};
use crate::clock::timestamp;
use crate::condition::ReadCondition;
use crate::content::{Piece, pieces};
use crate::error::Failure;
use crate::integrity::{extra_headers, fields, spread};
use crate::object_body::{ObjectBody, PieceReader};
use crate::part::{self, VersionPart};
use crate::request::{Reply, Requester};
use crate::troubled_body::TroubledBody;
use crate::version::{Version, check_id};

/// Which bytes of an object are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: i64,
    to: i64,
    partial: bool,
    part: Option<i32>,
}

/// What GET and HEAD found.
struct Found {
    bucket: Bucket,
    version: Version,
    span: Span,
    parts: i64,
    part_checksum: Option<Checksum>,
    pieces: Vec<Piece>,
}

impl Store {
    pub(super) async fn get_object(
        &self,
        _requester: &Requester,
        request: S3Request<GetObjectInput>,
    ) -> Result<Reply<GetObjectOutput>, Failure> {
        let input = request.input;
        refuse_customer_key(input.sse_customer_algorithm.as_ref())?;
        let condition = ReadCondition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        let with_checksum = input.checksum_mode.is_some();
        let trouble = self.delivery.faults.trouble(&input.key);
        // Before the rows are read: no blob they name disappears until the body is sent.
        let reading = self.blobs.reading();
        let found = self
            .database
            .read(move |connection| {
                let (bucket, version) = existing(
                    connection,
                    &input.bucket,
                    &input.key,
                    input.version_id.as_deref(),
                )?;
                condition.check(&version)?;
                check_readable(&version.attributes)?;
                let mut found =
                    locate(connection, bucket, version, input.range, input.part_number)?;
                if let Some(content) = found.version.content {
                    found.pieces = pieces(connection, content, found.span.from, found.span.to)?;
                }
                Ok(found)
            })
            .await?;
        let Found {
            bucket,
            version,
            span,
            parts,
            part_checksum,
            pieces,
        } = found;
        let length = span.to - span.from;
        let body = ObjectBody::new(
            PieceReader::new(self.blobs.clone(), pieces, reading),
            length,
        );
        let checksum = sent_checksum(&version, span, part_checksum).filter(|_| with_checksum);
        let attributes = &version.attributes;
        let mut output = GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(StreamingBlob::new(TroubledBody::new(body, trouble))),
            cache_control: attributes.cache_control.clone(),
            content_disposition: attributes.content_disposition.clone(),
            content_encoding: attributes.content_encoding.clone(),
            content_language: attributes.content_language.clone(),
            content_length: Some(length),
            content_range: content_range(&version, span),
            content_type: Some(attributes.content_type()),
            e_tag: Some(ETag::Strong(version.etag.clone())),
            expires: attributes.expires(),
            last_modified: Some(timestamp(version.modified)),
            metadata: attributes.user_metadata(),
            parts_count: span
                .part
                .and_then(|_| i32::try_from(parts).ok())
                .filter(|count| *count > 0),
            server_side_encryption: Some(ServerSideEncryption::from_static(
                ServerSideEncryption::AES256,
            )),
            restore: restore_header(attributes),
            storage_class: attributes.storage_class_header(),
            tag_count: i32::try_from(version.tags.len())
                .ok()
                .filter(|count| *count > 0),
            version_id: version.id_for(&bucket),
            ..Default::default()
        };
        spread!(output, checksum.as_ref());
        output.checksum_type = fields(checksum.as_ref()).checksum_type;
        Ok(Reply {
            output,
            headers: extra_headers(checksum.as_ref()),
        })
    }

    pub(super) async fn head_object(
        &self,
        _requester: &Requester,
        request: S3Request<HeadObjectInput>,
    ) -> Result<Reply<HeadObjectOutput>, Failure> {
        let input = request.input;
        refuse_customer_key(input.sse_customer_algorithm.as_ref())?;
        let condition = ReadCondition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        let with_checksum = input.checksum_mode.is_some();
        let found = self
            .database
            .read(move |connection| {
                let (bucket, version) = existing(
                    connection,
                    &input.bucket,
                    &input.key,
                    input.version_id.as_deref(),
                )?;
                condition.check(&version)?;
                locate(connection, bucket, version, input.range, input.part_number)
            })
            .await?;
        let Found {
            bucket,
            version,
            span,
            parts,
            part_checksum,
            pieces: _,
        } = found;
        let checksum = sent_checksum(&version, span, part_checksum).filter(|_| with_checksum);
        let attributes = &version.attributes;
        let mut output = HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: input
                .response_cache_control
                .or_else(|| attributes.cache_control.clone()),
            content_disposition: input
                .response_content_disposition
                .or_else(|| attributes.content_disposition.clone()),
            content_encoding: input
                .response_content_encoding
                .or_else(|| attributes.content_encoding.clone()),
            content_language: input
                .response_content_language
                .or_else(|| attributes.content_language.clone()),
            content_length: Some(span.to - span.from),
            content_range: content_range(&version, span),
            content_type: input
                .response_content_type
                .or_else(|| Some(attributes.content_type())),
            e_tag: Some(ETag::Strong(version.etag.clone())),
            expires: input.response_expires.or_else(|| attributes.expires()),
            last_modified: Some(timestamp(version.modified)),
            metadata: attributes.user_metadata(),
            parts_count: span
                .part
                .and_then(|_| i32::try_from(parts).ok())
                .filter(|count| *count > 0),
            server_side_encryption: Some(ServerSideEncryption::from_static(
                ServerSideEncryption::AES256,
            )),
            restore: restore_header(attributes),
            storage_class: attributes.storage_class_header(),
            version_id: version.id_for(&bucket),
            ..Default::default()
        };
        spread!(output, checksum.as_ref());
        output.checksum_type = fields(checksum.as_ref()).checksum_type;
        let headers = extra_headers(checksum.as_ref());
        let mut reply = Reply { output, headers };
        if span.partial {
            // The HEAD of a range has the status of its GET, which the output type cannot say.
            reply.headers.insert(
                "content-range",
                header(&content_range(&version, span).unwrap_or_default())?,
            );
        }
        Ok(reply)
    }

    pub(super) async fn get_object_attributes(
        &self,
        _requester: &Requester,
        request: S3Request<GetObjectAttributesInput>,
    ) -> Result<Reply<GetObjectAttributesOutput>, Failure> {
        let input = request.input;
        let wanted: Vec<String> = input
            .object_attributes
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect();
        let (bucket, version, parts) = self
            .database
            .read(move |connection| {
                let (bucket, version) = existing(
                    connection,
                    &input.bucket,
                    &input.key,
                    input.version_id.as_deref(),
                )?;
                let parts = part::of_version(connection, version.id)?;
                Ok((bucket, version, parts))
            })
            .await?;
        let wants = |name: &str| wanted.iter().any(|wanted| wanted == name);
        let object_parts =
            (wants(ObjectAttributes::OBJECT_PARTS) && !parts.is_empty()).then(|| {
                parts_page(
                    &parts,
                    input.part_number_marker.unwrap_or(0),
                    input.max_parts.unwrap_or(1000),
                )
            });
        let output = GetObjectAttributesOutput {
            checksum: wants(ObjectAttributes::CHECKSUM).then(|| fields(version.checksum.as_ref())),
            e_tag: wants(ObjectAttributes::ETAG).then(|| ETag::Strong(version.etag.clone())),
            last_modified: Some(timestamp(version.modified)),
            object_parts,
            object_size: wants(ObjectAttributes::OBJECT_SIZE).then_some(version.size),
            storage_class: wants(ObjectAttributes::STORAGE_CLASS)
                .then(|| StorageClass::from(version.attributes.storage_class_name())),
            version_id: version.id_for(&bucket),
            ..Default::default()
        };
        Ok(output.into())
    }
}

/// The version a read asks for, or the answer S3 gives where it is missing or a delete marker.
pub(super) fn existing(
    connection: &Connection,
    bucket: &str,
    key: &str,
    version_id: Option<&str>,
) -> Result<(Bucket, Version), Failure> {
    let bucket = Bucket::find(connection, bucket)?;
    let version = match version_id {
        None => Version::latest(connection, &bucket, key)?,
        Some(id) => {
            check_id(id)?;
            let found = Version::by_id(connection, &bucket, key, id)?;
            Some(found.ok_or_else(|| {
                Failure::answer(
                    S3ErrorCode::NoSuchVersion,
                    "The specified version does not exist.",
                )
            })?)
        }
    };
    match version {
        Some(version) if version.delete_marker => {
            Err(marker_answer(&bucket, &version, version_id.is_some()))
        }
        Some(version) => Ok((bucket, version)),
        None => Err(Failure::answer(
            S3ErrorCode::NoSuchKey,
            "The specified key does not exist.",
        )),
    }
}

fn marker_answer(bucket: &Bucket, version: &Version, named: bool) -> Failure {
    let mut error = if named {
        S3Error::with_message(
            S3ErrorCode::MethodNotAllowed,
            "The specified method is not allowed against this resource.",
        )
    } else {
        S3Error::with_message(S3ErrorCode::NoSuchKey, "The specified key does not exist.")
    };
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-delete-marker", HeaderValue::from_static("true"));
    if let Some(id) = version
        .id_for(bucket)
        .and_then(|id| HeaderValue::try_from(id).ok())
    {
        headers.insert("x-amz-version-id", id);
    }
    if named {
        headers.insert("allow", HeaderValue::from_static("DELETE"));
        let mut text = Vec::new();
        if timestamp(version.modified)
            .format(TimestampFormat::HttpDate, &mut text)
            .is_ok()
            && let Ok(value) = HeaderValue::from_bytes(&text)
        {
            headers.insert("last-modified", value);
        }
    }
    error.set_headers(headers);
    error.into()
}

fn locate(
    connection: &Connection,
    bucket: Bucket,
    version: Version,
    range: Option<Range>,
    part_number: Option<i32>,
) -> Result<Found, Failure> {
    let mut span = Span {
        from: 0,
        to: version.size,
        partial: false,
        part: part_number,
    };
    let (mut parts, mut part_checksum) = (0, None);
    if let Some(number) = part_number {
        if range.is_some() {
            let message = "Cannot specify both Range header and partNumber query parameter";
            return Err(Failure::answer(S3ErrorCode::InvalidRequest, message));
        }
        let all = part::of_version(connection, version.id)?;
        parts = i64::try_from(all.len()).unwrap_or(i64::MAX);
        (span, part_checksum) = part_span(&version, &all, number)?;
    }
    if let Some(range) = range {
        span = range_span(&version, range)?;
    }
    Ok(Found {
        bucket,
        version,
        span,
        parts,
        part_checksum,
        pieces: Vec::new(),
    })
}

fn range_span(version: &Version, range: Range) -> Result<Span, Failure> {
    let size = u64::try_from(version.size).unwrap_or(0);
    let checked = range
        .check(size)
        .ok()
        .filter(|bytes| bytes.start < bytes.end);
    let bytes = checked.ok_or_else(|| not_satisfiable(version.size))?;
    let place = |byte: u64| i64::try_from(byte).unwrap_or(i64::MAX);
    Ok(Span {
        from: place(bytes.start),
        to: place(bytes.end),
        partial: true,
        part: None,
    })
}

fn not_satisfiable(size: i64) -> Failure {
    let mut error = S3Error::with_message(
        S3ErrorCode::InvalidRange,
        "The requested range is not satisfiable",
    );
    if let Ok(value) = HeaderValue::try_from(format!("bytes */{size}")) {
        let mut headers = HeaderMap::new();
        headers.insert("content-range", value);
        error.set_headers(headers);
    }
    error.into()
}

/// The bytes of one part. An object that was written as a whole is its own part 1.
fn part_span(
    version: &Version,
    parts: &[VersionPart],
    number: i32,
) -> Result<(Span, Option<Checksum>), Failure> {
    if parts.is_empty() && number == 1 {
        return Ok((
            Span {
                from: 0,
                to: version.size,
                partial: version.size > 0,
                part: Some(1),
            },
            version.checksum.clone(),
        ));
    }
    let mut from = 0;
    // Parts are numbered by their place, whatever numbers they were uploaded with.
    for (place, part) in (1..).zip(parts) {
        if place == number {
            let span = Span {
                from,
                to: from + part.size,
                partial: true,
                part: Some(number),
            };
            return Ok((span, part.checksum.clone()));
        }
        from += part.size;
    }
    let mut error = S3Error::with_message(
        S3ErrorCode::Custom("InvalidPartNumber".into()),
        "The requested partnumber is not satisfiable",
    );
    error.set_status_code(http::StatusCode::RANGE_NOT_SATISFIABLE);
    Err(error.into())
}

fn content_range(version: &Version, span: Span) -> Option<String> {
    (span.partial && span.from < span.to)
        .then(|| format!("bytes {}-{}/{}", span.from, span.to - 1, version.size))
}

/// The checksum of what is sent: a range has none.
fn sent_checksum(version: &Version, span: Span, part: Option<Checksum>) -> Option<Checksum> {
    match span {
        Span { part: Some(_), .. } => part.map(|part| Checksum {
            coverage: version
                .checksum
                .as_ref()
                .map_or(Coverage::FullObject, |whole| whole.coverage),
            ..part
        }),
        Span { partial: true, .. } => None,
        Span { .. } => version.checksum.clone(),
    }
}

fn parts_page(parts: &[VersionPart], marker: i32, max_parts: i32) -> GetObjectAttributesParts {
    let limit = usize::try_from(max_parts).unwrap_or(0);
    let rest: Vec<_> = parts.iter().filter(|part| part.number > marker).collect();
    let page: Vec<_> = rest
        .iter()
        .take(limit)
        .map(|part| object_part(part))
        .collect();
    let next = page.last().and_then(|part| part.part_number);
    let with_checksums = parts.iter().any(|part| part.checksum.is_some());
    GetObjectAttributesParts {
        is_truncated: Some(rest.len() > page.len()),
        max_parts: Some(max_parts),
        next_part_number_marker: next,
        part_number_marker: Some(marker),
        // Without checksums S3 tells the number of parts only.
        parts: with_checksums.then_some(page),
        total_parts_count: i32::try_from(parts.len()).ok(),
    }
}

fn object_part(part: &VersionPart) -> ObjectPart {
    let mut output = ObjectPart {
        part_number: Some(part.number),
        size: Some(part.size),
        ..Default::default()
    };
    spread!(output, part.checksum.as_ref());
    output
}

fn refuse_customer_key(algorithm: Option<&String>) -> Result<(), Failure> {
    crate::attributes::check_encryption(None, algorithm)
}

fn header(text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::try_from(text).map_err(|_source| {
        Failure::answer(S3ErrorCode::InternalError, "a header could not be written")
    })
}
