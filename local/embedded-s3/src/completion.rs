//! Completing a multipart upload: the checks, and the object that comes of it.

use s3s::{S3Error, S3ErrorCode};

use crate::bucket::Bucket;
use crate::checksum::{Algorithm, Checksum, Coverage};
use crate::condition::WriteCondition;
use crate::content;
use crate::database::Write;
use crate::error::Failure;
use crate::event::{Change, Kind};
use crate::notification::Delivery;
use crate::operations::multipart_etag;
use crate::part::{self, VersionPart};
use crate::request::Requester;
use crate::upload::{Part, Upload, no_such_upload};
use crate::version::{Draft, Version};

/// Every part but the last has at least this many bytes.
const SMALLEST_PART: i64 = 5 * 1024 * 1024;

/// A part as the request lists it.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) number: i32,
    pub(crate) etag: String,
    pub(crate) checksums: Vec<(Algorithm, String)>,
}

/// A request to complete an upload.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) upload_id: String,
    pub(crate) parts: Vec<Listed>,
    pub(crate) condition: WriteCondition,
    pub(crate) expected: Vec<(Algorithm, String)>,
    pub(crate) coverage: Option<String>,
    pub(crate) size: Option<i64>,
}

impl Completion {
    /// Makes the object, in one transaction. Done before, it answers the same again.
    pub(crate) fn carry_out(
        self,
        write: &mut Write<'_>,
        delivery: &Delivery,
        requester: &Requester,
    ) -> Result<(Bucket, Version), Failure> {
        let bucket = Bucket::find(write.connection, &self.bucket)?;
        let Some(upload) = Upload::look_up(write.connection, &bucket, &self.key, &self.upload_id)?
        else {
            let version =
                Version::of_upload(write.connection, &bucket, &self.key, &self.upload_id)?;
            return version
                .map(|version| (bucket, version))
                .ok_or_else(no_such_upload);
        };
        let parts = self.select(&upload.parts(write.connection, 0, i64::MAX)?)?;
        let size = parts.iter().map(|part| part.size).sum();
        if self.size.is_some_and(|expected| expected != size) {
            let message = "The provided 'x-amz-mp-object-size' header value does not match what was computed.";
            return Err(Failure::answer(S3ErrorCode::InvalidRequest, message));
        }
        let checksum = self.checksum(&upload, &parts)?;
        self.condition
            .check(Version::latest(write.connection, &bucket, &self.key)?.as_ref())?;

        let content = content::create(write.connection)?;
        let mut position = 0;
        for part in &parts {
            position = content::move_pieces(write.connection, content, position, part.content)?;
        }
        let used: Vec<i32> = parts.iter().map(|part| part.number).collect();
        upload.end(write, &used)?;
        let draft = Draft {
            size,
            etag: multipart_etag(parts.iter().map(|part| part.etag.as_str())),
            attributes: upload.attributes.clone(),
            tags: upload.tags.clone(),
            checksum,
            content: Some(content),
            upload: Some(upload.id.clone()),
        };
        let (version, moment) = Version::insert(write, &bucket, &self.key, Some(draft))?;
        let with_checksums = upload.algorithm.is_some();
        let parts: Vec<_> = parts
            .into_iter()
            .map(|part| VersionPart {
                number: part.number,
                size: part.size,
                checksum: part.checksum.filter(|_| with_checksums),
            })
            .collect();
        part::insert(write.connection, version.id, &parts)?;
        let change = Change::of(
            Kind::CompleteMultipartUpload,
            &bucket,
            &version,
            moment,
            requester,
        );
        delivery.announce(write, &bucket, &change)?;
        Ok((bucket, version))
    }

    /// The uploaded parts that the request lists, checked for order, tags and size.
    fn select(&self, uploaded: &[Part]) -> Result<Vec<Part>, Failure> {
        if self.parts.is_empty() {
            return Err(Failure::answer(
                S3ErrorCode::MalformedXML,
                "You must specify at least one part",
            ));
        }
        if self
            .parts
            .iter()
            .zip(self.parts.iter().skip(1))
            .any(|(a, b)| a.number >= b.number)
        {
            let message = "The list of parts was not in ascending order. Parts must be ordered by part number.";
            return Err(Failure::answer(S3ErrorCode::InvalidPartOrder, message));
        }
        let mut selected = Vec::with_capacity(self.parts.len());
        for listed in &self.parts {
            let place = uploaded
                .binary_search_by_key(&listed.number, |part| part.number)
                .ok();
            let part = place
                .and_then(|place| uploaded.get(place))
                .filter(|part| listed.is(part));
            selected.push(part.ok_or_else(invalid_part)?.clone());
        }
        let last = selected.len() - 1;
        if selected
            .iter()
            .take(last)
            .any(|part| part.size < SMALLEST_PART)
        {
            let message = "Your proposed upload is smaller than the minimum allowed size";
            return Err(Failure::Answer(S3Error::with_message(
                S3ErrorCode::EntityTooSmall,
                message,
            )));
        }
        Ok(selected)
    }

    /// The object's checksum, held against what the request says it is.
    fn checksum(&self, upload: &Upload, parts: &[Part]) -> Result<Option<Checksum>, Failure> {
        let (algorithm, coverage) = (upload.effective_algorithm(), upload.effective_coverage());
        if self
            .coverage
            .as_deref()
            .is_some_and(|asked| asked != coverage.name())
        {
            let message = format!(
                "The upload was created using the {} checksum mode.",
                coverage.name()
            );
            return Err(Failure::answer(S3ErrorCode::InvalidRequest, message));
        }
        // Parts of another algorithm are possible only where the client chose none for the upload.
        let sums: Option<Vec<_>> = parts
            .iter()
            .map(|part| {
                let sum = part
                    .checksum
                    .as_ref()
                    .filter(|sum| sum.algorithm == algorithm)?;
                Some((sum.value.clone(), part.size))
            })
            .collect();
        let checksum = sums.and_then(|sums| Checksum::of_parts(algorithm, coverage, &sums));
        for (algorithm, value) in &self.expected {
            let actual = checksum.as_ref().filter(|sum| sum.algorithm == *algorithm);
            // A composite value may come with or without the number of parts.
            let same = actual.is_some_and(|sum| {
                sum.value == *value
                    || (coverage == Coverage::Composite
                        && sum.value.split('-').next() == Some(value))
            });
            if !same {
                let message = format!(
                    "The {} you specified did not match the calculated checksum.",
                    algorithm.name()
                );
                return Err(Failure::answer(S3ErrorCode::BadDigest, message));
            }
        }
        Ok(checksum)
    }
}

impl Listed {
    fn is(&self, part: &Part) -> bool {
        let same_sums = self.checksums.iter().all(|(algorithm, value)| {
            part.checksum
                .as_ref()
                .is_none_or(|sum| sum.algorithm != *algorithm || sum.value == *value)
        });
        self.etag == part.etag && same_sums
    }
}

fn invalid_part() -> Failure {
    let message = "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.";
    Failure::answer(S3ErrorCode::InvalidPart, message)
}
