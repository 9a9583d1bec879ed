//! Lists of objects and of versions.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CommonPrefix, DeleteMarkerEntry, ETag, EncodingType,
    ListObjectVersionsInput, ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput,
    ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass, ObjectVersion,
    ObjectVersionStorageClass,
};
use s3s::{S3ErrorCode, S3Request};

use super::Store;
use super::buckets::owner;
use crate::bucket::{Bucket, Versioning};
use crate::clock::timestamp;
use crate::error::Failure;
use crate::listing::{self, Entry, Page, Query, Start};
use crate::request::{Reply, Requester};
use crate::version::{NULL, Version, sequencer_of};

/// The most entries of a page.
pub(super) const PAGE: i32 = 1000;

/// Whether names are to be URL-encoded, and how.
#[derive(Clone, Copy)]
pub(super) struct Encoding(bool);

impl Encoding {
    pub(super) fn of(asked: Option<&EncodingType>) -> Result<Self, Failure> {
        match asked.map(EncodingType::as_str) {
            None => Ok(Self(false)),
            Some(EncodingType::URL) => Ok(Self(true)),
            Some(_) => Err(Failure::answer(
                S3ErrorCode::InvalidArgument,
                "Invalid Encoding Method specified in Request",
            )),
        }
    }

    pub(super) fn text(self, text: String) -> String {
        if self.0 {
            crate::event::encode_key(&text)
        } else {
            text
        }
    }

    pub(super) fn prefixes(self, prefixes: Vec<String>) -> Option<Vec<CommonPrefix>> {
        let prefixes: Vec<_> = prefixes
            .into_iter()
            .map(|prefix| CommonPrefix {
                prefix: Some(self.text(prefix)),
            })
            .collect();
        (!prefixes.is_empty()).then_some(prefixes)
    }
}

/// The page size asked for, cut to what S3 sends at most.
pub(super) fn page_size(asked: Option<i32>, name: &str) -> Result<i32, Failure> {
    match asked {
        None => Ok(PAGE),
        Some(size) if size >= 0 => Ok(size.min(PAGE)),
        Some(_) => Err(Failure::answer(
            S3ErrorCode::InvalidArgument,
            format!("Argument {name} must be an integer between 0 and 2147483647"),
        )),
    }
}

/// An empty delimiter is none.
pub(super) fn delimiter(asked: Option<&String>) -> Option<String> {
    asked.filter(|delimiter| !delimiter.is_empty()).cloned()
}

impl Store {
    pub(super) async fn list_objects(
        &self,
        _requester: &Requester,
        request: S3Request<ListObjectsInput>,
    ) -> Result<Reply<ListObjectsOutput>, Failure> {
        let input = request.input;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let limit = page_size(input.max_keys, "max-keys")?;
        let page = self
            .list(
                input.bucket.clone(),
                Query {
                    prefix: input.prefix.clone().unwrap_or_default(),
                    delimiter: delimiter(input.delimiter.as_ref()),
                    start: Start::After(input.marker.clone().unwrap_or_default()),
                    limit,
                },
            )
            .await?;
        // As S3: the next marker is told only where it cannot be seen from the list.
        let next_marker = page
            .next
            .filter(|_| input.delimiter.is_some())
            .map(|next| encoding.text(next));
        Ok(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: Some(encoding.text(input.prefix.unwrap_or_default())),
            marker: Some(encoding.text(input.marker.unwrap_or_default())),
            max_keys: Some(limit),
            is_truncated: Some(page.truncated),
            contents: contents(page.entries, encoding, true),
            common_prefixes: encoding.prefixes(page.prefixes),
            delimiter: input.delimiter.map(|delimiter| encoding.text(delimiter)),
            next_marker,
            encoding_type: input.encoding_type,
            ..Default::default()
        }
        .into())
    }

    pub(super) async fn list_objects_v2(
        &self,
        _requester: &Requester,
        request: S3Request<ListObjectsV2Input>,
    ) -> Result<Reply<ListObjectsV2Output>, Failure> {
        let input = request.input;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let limit = page_size(input.max_keys, "max-keys")?;
        let start = match &input.continuation_token {
            Some(token) => decode_token(token)?,
            None => input.start_after.clone().unwrap_or_default(),
        };
        let page = self
            .list(
                input.bucket.clone(),
                Query {
                    prefix: input.prefix.clone().unwrap_or_default(),
                    delimiter: delimiter(input.delimiter.as_ref()),
                    start: Start::After(start),
                    limit,
                },
            )
            .await?;
        let count = page.entries.len() + page.prefixes.len();
        Ok(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(encoding.text(input.prefix.unwrap_or_default())),
            max_keys: Some(limit),
            key_count: i32::try_from(count).ok(),
            continuation_token: input.continuation_token,
            is_truncated: Some(page.truncated),
            next_continuation_token: page.next.map(|next| URL_SAFE_NO_PAD.encode(next)),
            contents: contents(page.entries, encoding, input.fetch_owner == Some(true)),
            common_prefixes: encoding.prefixes(page.prefixes),
            delimiter: input.delimiter.map(|delimiter| encoding.text(delimiter)),
            encoding_type: input.encoding_type,
            start_after: input.start_after.map(|key| encoding.text(key)),
            ..Default::default()
        }
        .into())
    }

    pub(super) async fn list_object_versions(
        &self,
        _requester: &Requester,
        request: S3Request<ListObjectVersionsInput>,
    ) -> Result<Reply<ListObjectVersionsOutput>, Failure> {
        let input = request.input;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let limit = page_size(input.max_keys, "max-keys")?;
        let (key_marker, id_marker) = (
            input.key_marker.clone(),
            input.version_id_marker.clone().filter(|id| !id.is_empty()),
        );
        if id_marker.is_some() && key_marker.is_none() {
            let message = "A version-id marker cannot be specified without a key marker.";
            return Err(Failure::answer(S3ErrorCode::InvalidArgument, message));
        }
        let query = Query {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: delimiter(input.delimiter.as_ref()),
            start: Start::After(String::new()),
            limit,
        };
        let name = input.bucket.clone();
        let (bucket, page) = self
            .database
            .read(move |connection| {
                let bucket = Bucket::find(connection, &name)?;
                let key = key_marker.unwrap_or_default();
                let start = match id_marker {
                    None => Start::After(key),
                    Some(id) => match version_place(connection, &bucket, &key, &id)? {
                        Some(sequencer) => Start::Below { key, sequencer },
                        None => Start::After(key),
                    },
                };
                let page = listing::versions(connection, &bucket, &Query { start, ..query })?;
                Ok((bucket, page))
            })
            .await?;
        let last = page.entries.last().map(|entry| entry.version.clone());
        let next_version = last
            .filter(|last| page.next.as_ref() == Some(&last.key))
            .map(|last| version_marker(&last));
        let (mut versions, mut markers) = (Vec::new(), Vec::new());
        for Entry { version } in page.entries {
            if version.delete_marker {
                markers.push(marker_entry(&version, encoding));
            } else {
                versions.push(version_entry(&bucket, version, encoding));
            }
        }
        Ok(ListObjectVersionsOutput {
            common_prefixes: encoding.prefixes(page.prefixes),
            delete_markers: (!markers.is_empty()).then_some(markers),
            delimiter: input.delimiter.map(|delimiter| encoding.text(delimiter)),
            encoding_type: input.encoding_type,
            is_truncated: Some(page.truncated),
            key_marker: Some(encoding.text(input.key_marker.unwrap_or_default())),
            max_keys: Some(limit),
            name: Some(input.bucket),
            next_key_marker: page.next.map(|next| encoding.text(next)),
            next_version_id_marker: next_version,
            prefix: Some(encoding.text(input.prefix.unwrap_or_default())),
            version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
            versions: (!versions.is_empty()).then_some(versions),
            ..Default::default()
        }
        .into())
    }

    async fn list(&self, bucket: String, query: Query) -> Result<Page, Failure> {
        self.database
            .read(move |connection| {
                let bucket = Bucket::find(connection, &bucket)?;
                listing::objects(connection, &bucket, &query)
            })
            .await
    }
}

fn contents(entries: Vec<Entry>, encoding: Encoding, with_owner: bool) -> Option<Vec<Object>> {
    let objects: Vec<_> = entries
        .into_iter()
        .map(|Entry { version }| Object {
            checksum_algorithm: version
                .checksum
                .as_ref()
                .map(|sum| vec![ChecksumAlgorithm::from_static(sum.algorithm.name())]),
            checksum_type: version
                .checksum
                .as_ref()
                .map(|sum| ChecksumType::from_static(sum.coverage.name())),
            e_tag: Some(ETag::Strong(version.etag)),
            key: Some(encoding.text(version.key)),
            last_modified: Some(timestamp(version.modified)),
            owner: with_owner.then(owner),
            size: Some(version.size),
            storage_class: Some(ObjectStorageClass::from(
                version.attributes.storage_class_name(),
            )),
            ..Default::default()
        })
        .collect();
    (!objects.is_empty()).then_some(objects)
}

fn version_entry(_bucket: &Bucket, version: Version, encoding: Encoding) -> ObjectVersion {
    ObjectVersion {
        checksum_algorithm: version
            .checksum
            .as_ref()
            .map(|sum| vec![ChecksumAlgorithm::from_static(sum.algorithm.name())]),
        checksum_type: version
            .checksum
            .as_ref()
            .map(|sum| ChecksumType::from_static(sum.coverage.name())),
        e_tag: Some(ETag::Strong(version.etag)),
        is_latest: Some(version.latest),
        key: Some(encoding.text(version.key)),
        last_modified: Some(timestamp(version.modified)),
        owner: Some(owner()),
        size: Some(version.size),
        storage_class: Some(ObjectVersionStorageClass::from(
            version.attributes.storage_class_name(),
        )),
        version_id: Some(version.version_id),
        ..Default::default()
    }
}

fn marker_entry(version: &Version, encoding: Encoding) -> DeleteMarkerEntry {
    DeleteMarkerEntry {
        is_latest: Some(version.latest),
        key: Some(encoding.text(version.key.clone())),
        last_modified: Some(timestamp(version.modified)),
        owner: Some(owner()),
        version_id: Some(version.version_id.clone()),
    }
}

/// A marker behind `version` that stays good when the version is removed between two pages.
fn version_marker(version: &Version) -> String {
    if version.version_id == NULL {
        format!("{NULL}-{:x}", version.sequencer)
    } else {
        version.version_id.clone()
    }
}

/// The place a version marker names in its key's order.
fn version_place(
    connection: &rusqlite::Connection,
    bucket: &Bucket,
    key: &str,
    marker: &str,
) -> Result<Option<i64>, Failure> {
    if let Some(hexadecimal) = marker.strip_prefix("null-") {
        return Ok(i64::from_str_radix(hexadecimal, 16).ok());
    }
    if marker == NULL && bucket.versioning != Versioning::Never {
        return Ok(Version::by_id(connection, bucket, key, NULL)?.map(|version| version.sequencer));
    }
    match sequencer_of(marker) {
        Some(sequencer) => Ok(Some(sequencer)),
        None if marker == NULL => Ok(None),
        None => Err(Failure::answer(
            S3ErrorCode::InvalidArgument,
            "Invalid version id specified",
        )),
    }
}

fn decode_token(token: &str) -> Result<String, Failure> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| {
            Failure::answer(
                S3ErrorCode::InvalidArgument,
                "The continuation token provided is incorrect",
            )
        })
}
