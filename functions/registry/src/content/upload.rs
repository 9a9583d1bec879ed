//! Files that are sent in parts: for more than 5 GiB, and for whoever wants to go on where a connection broke.
//!
//! S3 keeps all there is to know of an upload. What the client says of it again is compared with that: an upload
//! belongs to one path, its parts are numbered without a gap, and together they have the size that was announced. Each
//! part comes with its SHA-256, which S3 verifies. So S3's checksum of the whole is made of those of the parts; what
//! the client says the whole one is, is kept as its word.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use shared::s3::{
    self, Attributes, LARGEST_PART, MOST_PARTS, Part, PartChecksum, Presigned, SMALLEST_PART,
    Upload,
};
use utoipa::ToSchema;

use super::file::DECLARED;
use super::{Content, Error, File, FilePath, LIFETIME, Sha256};
use crate::key;

/// The largest file, in bytes: S3's own limit.
const LARGEST: u64 = 5 << 40;
/// How large parts are if nobody says, in bytes: what a line sends within minutes.
const USUAL_PART: u64 = 64 << 20;

/// A file to be sent in parts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = UploadDraft)]
pub struct Draft {
    /// What it will be called.
    pub path: FilePath,
    /// Bytes.
    pub size: u64,
    /// How large each part is but the last, in bytes.
    pub part_size: Option<u64>,
    /// The SHA-256 of the whole in hexadecimal, which nobody verifies.
    pub sha256: Option<String>,
    /// The media type.
    pub content_type: Option<String>,
}

/// An upload that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Upload)]
pub struct Begun {
    /// What it is called in all that follows.
    pub upload_id: String,
    /// What the file will be called.
    pub path: FilePath,
    /// Bytes.
    pub size: u64,
    /// How large each part is but the last, in bytes.
    pub part_size: u64,
    /// How many parts that makes.
    pub parts: u64,
}

/// A part that S3 has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UploadedPart {
    /// From 1.
    pub number: u16,
    /// Bytes.
    pub size: u64,
    /// S3's tag of the part.
    pub etag: String,
    /// In hexadecimal, verified by S3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sha256: Option<String>,
}

/// The word that all parts are there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = UploadCompletion)]
pub struct Completion {
    /// What the file will be called.
    pub path: FilePath,
    /// Bytes of all parts together.
    pub size: u64,
    /// What the client knows of the parts, if it wants that compared.
    #[serde(default)]
    pub parts: Vec<SentPart>,
}

/// A part as the client knows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
pub struct SentPart {
    /// From 1.
    pub number: u16,
    /// S3's tag of it.
    pub etag: Option<String>,
    /// In hexadecimal.
    pub sha256: Option<String>,
}

/// Why parts make no file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUpload {
    /// No file has so many bytes.
    #[error("a file sent in parts has 1 to 5,497,558,138,880 bytes")]
    Size,
    /// S3 does not take such parts, or not so many.
    #[error(
        "a part has 5,242,880 to 5,368,709,120 bytes, and a file at most 10,000 parts: leave out part_size, or choose another"
    )]
    PartSize,
    /// It is not hexadecimal.
    #[error("sha256 must be 64 hexadecimal digits")]
    Digest,
    /// The number of a part is not.
    #[error("parts are numbered from 1 to 10,000")]
    Number,
    /// A media type has other characters, and fewer.
    #[error("content_type must be a media type of at most 255 printable ASCII characters")]
    ContentType,
    /// A part has not arrived.
    #[error("part {0} is missing")]
    Missing(u16),
    /// Another part has arrived than the client thinks.
    #[error("part {0} is not the one that was sent: send it again")]
    OtherPart(u16),
    /// The parts are not the file.
    #[error("the parts have {found} bytes together, and not {announced}")]
    OtherSize {
        /// As S3 has them.
        found: u64,
        /// As the client says.
        announced: u64,
    },
    /// Only the last part may be that small.
    #[error("part {0} has fewer than 5,242,880 bytes and is not the last: send it again")]
    SmallPart(u16),
}

impl Content {
    /// Begins an upload.
    ///
    /// # Errors
    ///
    /// [`Error::Upload`], [`Error::S3`].
    pub async fn begin(&self, draft: Draft) -> Result<Begun, Error> {
        let part_size = draft.part_size()?;
        let sha256 = draft.sha256.as_deref().map(Sha256::from_hex);
        let sha256 = sha256
            .transpose()
            .map_err(|_no_digest| InvalidUpload::Digest)?
            .map(|sha256| sha256.hex());
        let is_type = |text: &String| {
            text.len() <= 255 && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        };
        if !draft.content_type.iter().all(is_type) {
            return Err(InvalidUpload::ContentType.into());
        }
        let attributes = Attributes {
            content_type: draft.content_type.as_deref(),
            metadata: sha256.as_deref().map(|sha256| (DECLARED, sha256)),
        };
        let key = key::file(&self.id, &draft.path);
        let begun = self
            .bucket
            .begin_upload(&key, PartChecksum::Sha256, &attributes);
        Ok(Begun {
            upload_id: begun.await?,
            path: draft.path,
            size: draft.size,
            part_size,
            parts: draft.size.div_ceil(part_size),
        })
    }

    /// Signs the writing of one part.
    ///
    /// # Errors
    ///
    /// [`Error::Upload`], [`Error::S3`].
    pub async fn part(
        &self,
        path: &FilePath,
        upload_id: &str,
        number: u16,
        sha256: &str,
    ) -> Result<Presigned, Error> {
        if !(1..=MOST_PARTS).contains(&number) {
            return Err(InvalidUpload::Number.into());
        }
        let sha256 = Sha256::from_hex(sha256).map_err(|_no_digest| InvalidUpload::Digest)?;
        let sha256 = sha256.base64();
        let key = key::file(&self.id, path);
        let upload = Upload {
            key: &key,
            id: upload_id,
        };
        let signed = self.bucket.presign_part(&upload, number, &sha256, LIFETIME);
        Ok(signed.await?)
    }

    /// The parts behind number `after` that S3 has, up to 1,000, and after which one the next page begins.
    ///
    /// # Errors
    ///
    /// [`Error::NoUpload`], [`Error::S3`].
    pub async fn parts(
        &self,
        path: &FilePath,
        upload_id: &str,
        after: u16,
    ) -> Result<(Vec<UploadedPart>, Option<u16>), Error> {
        let key = key::file(&self.id, path);
        let upload = Upload {
            key: &key,
            id: upload_id,
        };
        let (parts, next) = self.bucket.parts(&upload, after).await.map_err(no_upload)?;
        Ok((parts.into_iter().map(UploadedPart::from).collect(), next))
    }

    /// Makes the file of its parts.
    ///
    /// # Errors
    ///
    /// [`Error::Upload`] when they are not what was announced, [`Error::NoUpload`], [`Error::Exists`] when `is_new` is
    /// asked for, [`Error::S3`].
    pub async fn complete(
        &self,
        upload_id: &str,
        completion: &Completion,
        is_new: bool,
    ) -> Result<File, Error> {
        let key = key::file(&self.id, &completion.path);
        let upload = Upload {
            key: &key,
            id: upload_id,
        };
        let parts = match self.bucket.all_parts(&upload).await {
            Ok(parts) => parts,
            Err(s3::Error::NotFound) => return self.completed(completion).await,
            Err(error) => return Err(error.into()),
        };
        completion.check(&parts)?;
        let completed = self
            .bucket
            .complete_upload(&upload, &parts, completion.size, is_new);
        match completed.await {
            Ok(()) => {}
            Err(s3::Error::Precondition | s3::Error::Conflict) => return Err(Error::Exists),
            // A try whose answer was lost has completed it.
            Err(s3::Error::NotFound) => return self.completed(completion).await,
            Err(error) => return Err(error.into()),
        }
        self.describe(completion.path.clone())
            .await?
            .ok_or(Error::NoFile)
    }

    /// The file, if it is made of just these parts: then the answer to an earlier completion was lost.
    async fn completed(&self, completion: &Completion) -> Result<File, Error> {
        let found = self.describe(completion.path.clone()).await?;
        let checksum = completion.checksum().ok_or(Error::NoUpload)?;
        found
            .filter(|file| {
                let found = file.checksum.as_ref();
                file.size == completion.size && found.is_some_and(|found| found.value == checksum)
            })
            .ok_or(Error::NoUpload)
    }

    /// Gives an upload up, with all its parts.
    ///
    /// # Errors
    ///
    /// [`Error::NoUpload`], [`Error::S3`].
    pub async fn abort(&self, path: &FilePath, upload_id: &str) -> Result<(), Error> {
        let key = key::file(&self.id, path);
        let upload = Upload {
            key: &key,
            id: upload_id,
        };
        // Whether there is one has to be known before: of a try whose answer was lost nothing is left.
        self.bucket.parts(&upload, 0).await.map_err(no_upload)?;
        match self.bucket.abort_upload(&upload).await {
            Err(s3::Error::NotFound) => Ok(()),
            aborted => Ok(aborted?),
        }
    }
}

impl Draft {
    /// The size of a part, so that there are not too many.
    fn part_size(&self) -> Result<u64, InvalidUpload> {
        if !(1..=LARGEST).contains(&self.size) {
            return Err(InvalidUpload::Size);
        }
        let least = self.size.div_ceil(MOST_PARTS.into());
        let size = self
            .part_size
            .unwrap_or_else(|| USUAL_PART.max(least.next_multiple_of(1 << 20)));
        let is_size = (SMALLEST_PART.max(least)..=LARGEST_PART).contains(&size);
        is_size.then_some(size).ok_or(InvalidUpload::PartSize)
    }
}

impl Completion {
    /// What S3 makes of the parts' checksums, if the client tells them all: the SHA-256 of theirs, one after the other,
    /// and their number (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>).
    fn checksum(&self) -> Option<String> {
        let mut digest = sha2::Sha256::new();
        for (expected, part) in (1..).zip(&self.parts) {
            let sha256 = part.sha256.as_deref().filter(|_| part.number == expected)?;
            digest.update(hex::decode(sha256).ok()?);
        }
        let value = STANDARD.encode(digest.finalize());
        Some(format!("{value}-{}", self.parts.len()))
    }

    /// Compares what S3 has with what the client says.
    fn check(&self, parts: &[Part]) -> Result<(), InvalidUpload> {
        let mut found = 0_u64;
        for (expected, part) in (1..).zip(parts) {
            if part.number != expected {
                return Err(InvalidUpload::Missing(expected));
            }
            if part.size < SMALLEST_PART && parts.len() > usize::from(expected) {
                return Err(InvalidUpload::SmallPart(expected));
            }
            found = found.saturating_add(part.size);
        }
        for sent in &self.parts {
            let place = usize::from(sent.number.wrapping_sub(1));
            let part = parts.get(place);
            let part = part.ok_or(InvalidUpload::Missing(sent.number))?;
            let has_etag = |etag: &String| etag.trim_matches('"') == part.etag;
            let has_sha256 = |sha256: &String| {
                let sha256 = Sha256::from_hex(sha256).map(|sha256| sha256.base64());
                sha256.ok() == part.sha256
            };
            if !sent.etag.iter().all(has_etag) || !sent.sha256.iter().all(has_sha256) {
                return Err(InvalidUpload::OtherPart(sent.number));
            }
        }
        if found == self.size && found > 0 {
            Ok(())
        } else {
            Err(InvalidUpload::OtherSize {
                found,
                announced: self.size,
            })
        }
    }
}

impl From<Part> for UploadedPart {
    fn from(part: Part) -> Self {
        let sha256 = part.sha256.as_deref().map(Sha256::from_base64);
        Self {
            number: part.number,
            size: part.size,
            etag: part.etag,
            sha256: sha256.and_then(Result::ok).map(|sha256| sha256.hex()),
        }
    }
}

fn no_upload(error: s3::Error) -> Error {
    match error {
        s3::Error::NotFound => Error::NoUpload,
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn draft(size: u64, part_size: Option<u64>) -> Draft {
        Draft {
            path: "a".parse().unwrap(),
            size,
            part_size,
            sha256: None,
            content_type: None,
        }
    }

    #[test]
    fn there_are_never_too_many_parts_nor_too_small_ones() {
        for (size, part_size, expected) in [
            (1, None, Ok(USUAL_PART)),
            (USUAL_PART * 10_000, None, Ok(USUAL_PART)),
            (USUAL_PART * 10_000 + 1, None, Ok(65 * MIB)),
            (LARGEST, None, Ok(525 * MIB)),
            (100 * MIB, Some(5 * MIB), Ok(5 * MIB)),
            (100 * MIB, Some(5 * MIB - 1), Err(InvalidUpload::PartSize)),
            (LARGEST, Some(LARGEST_PART), Ok(LARGEST_PART)),
            (
                LARGEST,
                Some(LARGEST_PART + 1),
                Err(InvalidUpload::PartSize),
            ),
            (LARGEST, Some(5 * MIB), Err(InvalidUpload::PartSize)),
            (0, None, Err(InvalidUpload::Size)),
            (LARGEST + 1, None, Err(InvalidUpload::Size)),
        ] {
            assert_eq!(draft(size, part_size).part_size(), expected, "{size}");
        }
    }

    #[test]
    fn parts_make_the_file_that_was_announced_or_none() {
        let part = |number: u16, size: u64| Part {
            number,
            size,
            etag: format!("e{number}"),
            crc32: None,
            sha256: None,
        };
        let check = |size: u64, sent: &[(u16, &str)], parts: &[Part]| {
            let sent = sent.iter().map(|(number, etag)| SentPart {
                number: *number,
                etag: Some((*etag).to_owned()),
                sha256: None,
            });
            let completion = Completion {
                path: "a".parse().unwrap(),
                size,
                parts: sent.collect(),
            };
            completion.check(parts)
        };
        let parts = [part(1, 5 * MIB), part(2, 1)];
        let size = 5 * MIB + 1;
        assert_eq!(check(size, &[], &parts), Ok(()));
        assert_eq!(check(size, &[(1, "\"e1\""), (2, "e2")], &parts), Ok(()));
        for (sent, parts, problem) in [
            (&[][..], &parts[1..], InvalidUpload::Missing(1)),
            (
                &[],
                &parts[..1],
                InvalidUpload::OtherSize {
                    found: 5 * MIB,
                    announced: size,
                },
            ),
            (
                &[],
                &[],
                InvalidUpload::OtherSize {
                    found: 0,
                    announced: size,
                },
            ),
            (&[(1, "e2")], &parts, InvalidUpload::OtherPart(1)),
            (&[(3, "e3")], &parts, InvalidUpload::Missing(3)),
            (&[(0, "e0")], &parts, InvalidUpload::Missing(0)),
            (
                &[],
                &[part(1, 1), part(2, 5 * MIB)],
                InvalidUpload::SmallPart(1),
            ),
        ] {
            assert_eq!(check(size, sent, parts), Err(problem));
        }
    }
}
