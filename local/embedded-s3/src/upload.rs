//! Multipart uploads in progress, and their parts, as rows.

use rusqlite::Connection;
use s3s::{S3Error, S3ErrorCode};

use crate::attributes::Attributes;
use crate::bucket::Bucket;
use crate::checksum::{Algorithm, Checksum, Coverage};
use crate::clock::now_milliseconds;
use crate::content;
use crate::database::Write;
use crate::error::{Failure, StorageError};
use crate::random;
use crate::version::{json, to_json};

/// An upload in progress.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) initiated: i64,
    pub(crate) attributes: Attributes,
    pub(crate) tags: Vec<(String, String)>,
    /// What the client chose; `None` is S3's own choice, CRC64NVME over the whole object.
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) coverage: Option<Coverage>,
}

/// A part of an upload in progress.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) number: i32,
    pub(crate) size: i64,
    pub(crate) etag: String,
    pub(crate) modified: i64,
    pub(crate) checksum: Option<Checksum>,
    pub(crate) content: i64,
}

const COLUMNS: &str = "id, key, initiated, attributes, tags, algorithm, checksum_type";

impl Upload {
    fn from_row(row: &rusqlite::Row<'_>) -> Result<Self, Failure> {
        let algorithm: Option<String> = row.get(5)?;
        let coverage: Option<String> = row.get(6)?;
        Ok(Self {
            id: row.get(0)?,
            key: String::from_utf8(row.get(1)?).map_err(|_source| StorageError::Damaged("key"))?,
            initiated: row.get(2)?,
            attributes: json(row.get(3)?)?.unwrap_or_default(),
            tags: json(row.get(4)?)?.unwrap_or_default(),
            algorithm: algorithm.as_deref().and_then(Algorithm::named),
            coverage: coverage.map(|name| {
                if name == Coverage::Composite.name() {
                    Coverage::Composite
                } else {
                    Coverage::FullObject
                }
            }),
        })
    }

    /// The algorithm every part is summed with.
    pub(crate) fn effective_algorithm(&self) -> Algorithm {
        self.algorithm.unwrap_or(Algorithm::Crc64Nvme)
    }

    /// What the finished object's checksum covers.
    pub(crate) fn effective_coverage(&self) -> Coverage {
        self.coverage.unwrap_or(match self.effective_algorithm() {
            Algorithm::Crc64Nvme => Coverage::FullObject,
            _ => Coverage::Composite,
        })
    }

    /// Begins an upload and returns its id.
    pub(crate) fn begin(
        write: &mut Write<'_>,
        bucket: &Bucket,
        key: &str,
        attributes: &Attributes,
        tags: &[(String, String)],
        algorithm: Option<Algorithm>,
        coverage: Option<Coverage>,
    ) -> Result<String, Failure> {
        let moment = write.moment();
        let id = random::dotted(&random::bytes::<48>()?);
        let tags = (!tags.is_empty()).then(|| to_json(&tags)).transpose()?;
        write
            .connection
            .prepare_cached(
                "INSERT INTO upload (id, bucket, key, initiated, sequencer, attributes, tags, algorithm, checksum_type)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute((
                &id,
                bucket.id,
                key.as_bytes(),
                moment.milliseconds,
                moment.sequencer,
                attributes.to_json()?,
                tags,
                algorithm.map(Algorithm::name),
                coverage.map(Coverage::name),
            ))?;
        Ok(id)
    }

    /// The upload `id` of this key where it is in progress.
    pub(crate) fn look_up(
        connection: &Connection,
        bucket: &Bucket,
        key: &str,
        id: &str,
    ) -> Result<Option<Self>, Failure> {
        let sql =
            format!("SELECT {COLUMNS} FROM upload WHERE id = ?1 AND bucket = ?2 AND key = ?3");
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query((id, bucket.id, key.as_bytes()))?;
        rows.next()?.map(Self::from_row).transpose()
    }

    /// The upload `id` of this key, or `NoSuchUpload`.
    pub(crate) fn find(
        connection: &Connection,
        bucket: &Bucket,
        key: &str,
        id: &str,
    ) -> Result<Self, Failure> {
        Self::look_up(connection, bucket, key, id)?.ok_or_else(no_such_upload)
    }

    /// The uploads of a bucket in order of key, then of age, from a place on.
    pub(crate) fn list(
        connection: &Connection,
        bucket: &Bucket,
        prefix: &str,
        key_marker: &str,
        id_marker: Option<&str>,
    ) -> Result<Vec<Self>, Failure> {
        let sql = format!(
            "SELECT {COLUMNS} FROM upload WHERE bucket = ?1 AND key >= ?2 ORDER BY key, sequencer"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query((bucket.id, prefix.max(key_marker).as_bytes()))?;
        let mut uploads = Vec::new();
        let mut passed_marker = false;
        while let Some(row) = rows.next()? {
            let upload = Self::from_row(row)?;
            if upload.key.starts_with(prefix) {
                let same_key = !key_marker.is_empty() && upload.key == key_marker;
                if !same_key || (id_marker.is_some() && passed_marker) {
                    uploads.push(upload.clone());
                }
                passed_marker |= same_key && id_marker == Some(upload.id.as_str());
            } else if upload.key.as_str() > prefix {
                break;
            }
        }
        Ok(uploads)
    }

    /// Adds a part, or replaces the one of this number. Its content belongs to the upload now.
    pub(crate) fn put_part(&self, write: &mut Write<'_>, part: &Part) -> Result<(), Failure> {
        if let Some(old) = self.part(write.connection, part.number)? {
            content::remove(write, old.content)?;
        }
        write
            .connection
            .prepare_cached(
                "INSERT OR REPLACE INTO part (upload, number, size, etag, modified, checksum, content)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute((
                &self.id,
                part.number,
                part.size,
                &part.etag,
                part.modified,
                part.checksum.as_ref().map(to_json).transpose()?,
                part.content,
            ))?;
        Ok(())
    }

    /// The part of this number.
    fn part(&self, connection: &Connection, number: i32) -> Result<Option<Part>, Failure> {
        Ok(self
            .parts(connection, number - 1, 1)?
            .into_iter()
            .find(|part| part.number == number))
    }

    /// Up to `limit` parts with numbers above `after`.
    pub(crate) fn parts(
        &self,
        connection: &Connection,
        after: i32,
        limit: i64,
    ) -> Result<Vec<Part>, Failure> {
        let mut statement = connection.prepare_cached(
            "SELECT number, size, etag, modified, checksum, content FROM part
             WHERE upload = ?1 AND number > ?2 ORDER BY number LIMIT ?3",
        )?;
        let mut rows = statement.query((&self.id, after, limit))?;
        let mut parts = Vec::new();
        while let Some(row) = rows.next()? {
            parts.push(Part {
                number: row.get(0)?,
                size: row.get(1)?,
                etag: row.get(2)?,
                modified: row.get(3)?,
                checksum: json(row.get(4)?)?,
                content: row.get(5)?,
            });
        }
        Ok(parts)
    }

    /// Ends the upload. The contents of `used` parts belong to an object by now, the others go.
    pub(crate) fn end(&self, write: &mut Write<'_>, used: &[i32]) -> Result<(), Failure> {
        for part in self.parts(write.connection, 0, i64::MAX)? {
            if !used.contains(&part.number) {
                content::remove(write, part.content)?;
            }
        }
        write
            .connection
            .prepare_cached("DELETE FROM part WHERE upload = ?1")?
            .execute([&self.id])?;
        write
            .connection
            .prepare_cached("DELETE FROM upload WHERE id = ?1")?
            .execute([&self.id])?;
        Ok(())
    }
}

impl Part {
    /// A part of a content that was just stored.
    pub(crate) fn new(
        number: i32,
        size: i64,
        md5: [u8; 16],
        checksum: Checksum,
        content: i64,
    ) -> Self {
        Self {
            number,
            size,
            etag: hex::encode(md5),
            modified: now_milliseconds(),
            checksum: Some(checksum),
            content,
        }
    }
}

/// Ends every upload of a bucket that is to be removed.
pub(crate) fn abort_all(write: &mut Write<'_>, bucket: &Bucket) -> Result<(), Failure> {
    for upload in Upload::list(write.connection, bucket, "", "", None)? {
        upload.end(write, &[])?;
    }
    Ok(())
}

/// `NoSuchUpload`, in S3's words.
pub(crate) fn no_such_upload() -> Failure {
    let message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.";
    Failure::Answer(S3Error::with_message(S3ErrorCode::NoSuchUpload, message))
}
