//! Versions of objects as rows: the current one, the old ones, delete markers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::Connection;
use s3s::S3ErrorCode;
use serde::de::DeserializeOwned;

use crate::attributes::Attributes;
use crate::bucket::{Bucket, Versioning};
use crate::checksum::Checksum;
use crate::clock::Moment;
use crate::content;
use crate::database::Write;
use crate::error::{Failure, StorageError};
use crate::random;

/// The id of what is written without versioning.
pub(crate) const NULL: &str = "null";

/// One version of an object, or a delete marker.
#[derive(Debug, Clone)]
#[expect(clippy::struct_field_names, reason = "`version_id` is S3's name")]
pub(crate) struct Version {
    pub(crate) id: i64,
    pub(crate) key: String,
    pub(crate) version_id: String,
    pub(crate) sequencer: i64,
    pub(crate) latest: bool,
    pub(crate) delete_marker: bool,
    pub(crate) modified: i64,
    pub(crate) size: i64,
    pub(crate) etag: String,
    pub(crate) attributes: Attributes,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) checksum: Option<Checksum>,
    pub(crate) content: Option<i64>,
}

/// What a new version is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub(crate) size: i64,
    pub(crate) etag: String,
    pub(crate) attributes: Attributes,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) checksum: Option<Checksum>,
    pub(crate) content: Option<i64>,
    pub(crate) upload: Option<String>,
}

pub(crate) const COLUMNS: &str = "id, key, version_id, sequencer, latest, delete_marker, modified, size, etag, attributes, tags, checksum, content";

impl Version {
    pub(crate) fn from_row(row: &rusqlite::Row<'_>) -> Result<Self, Failure> {
        Ok(Self {
            id: row.get(0)?,
            key: String::from_utf8(row.get(1)?).map_err(|_source| StorageError::Damaged("key"))?,
            version_id: row.get(2)?,
            sequencer: row.get(3)?,
            latest: row.get(4)?,
            delete_marker: row.get(5)?,
            modified: row.get(6)?,
            size: row.get(7)?,
            etag: row.get(8)?,
            attributes: json(row.get(9)?)?.unwrap_or_default(),
            tags: json(row.get(10)?)?.unwrap_or_default(),
            checksum: json(row.get(11)?)?,
            content: row.get(12)?,
        })
    }

    /// The current version, which may be a delete marker.
    pub(crate) fn latest(
        connection: &Connection,
        bucket: &Bucket,
        key: &str,
    ) -> Result<Option<Self>, Failure> {
        let sql =
            format!("SELECT {COLUMNS} FROM version WHERE bucket = ?1 AND key = ?2 AND latest = 1");
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query((bucket.id, key.as_bytes()))?;
        rows.next()?.map(Self::from_row).transpose()
    }

    /// The version of this id.
    pub(crate) fn by_id(
        connection: &Connection,
        bucket: &Bucket,
        key: &str,
        id: &str,
    ) -> Result<Option<Self>, Failure> {
        let sql = format!(
            "SELECT {COLUMNS} FROM version WHERE bucket = ?1 AND key = ?2 AND version_id = ?3"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query((bucket.id, key.as_bytes(), id))?;
        rows.next()?.map(Self::from_row).transpose()
    }

    /// The version a finished multipart upload made, while it exists.
    pub(crate) fn of_upload(
        connection: &Connection,
        bucket: &Bucket,
        key: &str,
        upload: &str,
    ) -> Result<Option<Self>, Failure> {
        let sql =
            format!("SELECT {COLUMNS} FROM version WHERE upload = ?3 AND bucket = ?1 AND key = ?2");
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query((bucket.id, key.as_bytes(), upload))?;
        rows.next()?.map(Self::from_row).transpose()
    }

    /// The version id as answers and events name it: not at all before versioning was switched on.
    pub(crate) fn id_for(&self, bucket: &Bucket) -> Option<String> {
        (bucket.versioning != Versioning::Never).then(|| self.version_id.clone())
    }

    /// Writes a new current version (or a delete marker, where `draft` is `None`). Without
    /// versioning, or with versioning suspended, it replaces the version `null`.
    pub(crate) fn insert(
        write: &mut Write<'_>,
        bucket: &Bucket,
        key: &str,
        draft: Option<Draft>,
    ) -> Result<(Self, Moment), Failure> {
        let moment = write.moment();
        let version_id = if bucket.versioning == Versioning::Enabled {
            new_id(moment.sequencer)?
        } else {
            if let Some(old) = Self::by_id(write.connection, bucket, key, NULL)? {
                old.remove_row(write)?;
            }
            NULL.to_owned()
        };
        let delete_marker = draft.is_none();
        let draft = draft.unwrap_or_default();
        let connection = write.connection;
        connection
            .prepare_cached(
                "UPDATE version SET latest = 0 WHERE bucket = ?1 AND key = ?2 AND latest = 1",
            )?
            .execute((bucket.id, key.as_bytes()))?;
        let tags = (!draft.tags.is_empty())
            .then(|| to_json(&draft.tags))
            .transpose()?;
        let checksum = draft.checksum.as_ref().map(to_json).transpose()?;
        connection
            .prepare_cached(
                "INSERT INTO version (bucket, key, version_id, sequencer, latest, delete_marker, modified, size, etag,
                                      attributes, tags, checksum, content, upload)
                 VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute(rusqlite::params![
                bucket.id,
                key.as_bytes(),
                version_id,
                moment.sequencer,
                delete_marker,
                moment.milliseconds,
                draft.size,
                draft.etag,
                draft.attributes.to_json()?,
                tags,
                checksum,
                draft.content,
                draft.upload,
            ])?;
        let version = Self {
            id: connection.last_insert_rowid(),
            key: key.to_owned(),
            version_id,
            sequencer: moment.sequencer,
            latest: true,
            delete_marker,
            modified: moment.milliseconds,
            size: draft.size,
            etag: draft.etag,
            attributes: draft.attributes,
            tags: draft.tags,
            checksum: draft.checksum,
            content: draft.content,
        };
        Ok((version, moment))
    }

    /// Removes this version for good. The newest one left becomes the current one.
    pub(crate) fn remove(&self, write: &mut Write<'_>, bucket: &Bucket) -> Result<(), Failure> {
        self.remove_row(write)?;
        if self.latest {
            write
                .connection
                .prepare_cached(
                    "UPDATE version SET latest = 1 WHERE id = (SELECT id FROM version WHERE bucket = ?1 AND key = ?2
                                                               ORDER BY sequencer DESC LIMIT 1)",
                )?
                .execute((bucket.id, self.key.as_bytes()))?;
        }
        Ok(())
    }

    fn remove_row(&self, write: &mut Write<'_>) -> Result<(), Failure> {
        write
            .connection
            .prepare_cached("DELETE FROM version WHERE id = ?1")?
            .execute([self.id])?;
        match self.content {
            Some(content) => content::remove(write, content),
            None => Ok(()),
        }
    }

    /// Replaces the headers kept with it.
    pub(crate) fn set_attributes(
        &self,
        connection: &Connection,
        attributes: &Attributes,
    ) -> Result<(), Failure> {
        connection
            .prepare_cached("UPDATE version SET attributes = ?2 WHERE id = ?1")?
            .execute((self.id, attributes.to_json()?))?;
        Ok(())
    }

    /// Replaces the tags.
    pub(crate) fn set_tags(
        &self,
        connection: &Connection,
        tags: &[(String, String)],
    ) -> Result<(), Failure> {
        let tags = (!tags.is_empty()).then(|| to_json(&tags)).transpose()?;
        connection
            .prepare_cached("UPDATE version SET tags = ?2 WHERE id = ?1")?
            .execute((self.id, tags))?;
        Ok(())
    }
}

/// Reads an optional JSON column.
pub(crate) fn json<T: DeserializeOwned>(text: Option<String>) -> Result<Option<T>, Failure> {
    text.map(|text| {
        serde_json::from_str(&text).map_err(|_source| StorageError::Damaged("JSON").into())
    })
    .transpose()
}

/// Writes a JSON column.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|_source| StorageError::Damaged("JSON").into())
}

/// A version id that holds its place in the order, so that a listing continues behind a version
/// that was removed meanwhile.
fn new_id(sequencer: i64) -> Result<String, Failure> {
    let mut bytes = [0; 24];
    let random: [u8; 16] = random::bytes()?;
    let both = sequencer.to_be_bytes().into_iter().chain(random);
    for (slot, byte) in bytes.iter_mut().zip(both) {
        *slot = byte;
    }
    Ok(random::dotted(&bytes))
}

/// The sequencer inside a version id made by [`new_id`].
pub(crate) fn sequencer_of(version_id: &str) -> Option<i64> {
    let bytes = URL_SAFE_NO_PAD.decode(version_id.replace('.', "-")).ok()?;
    let head: [u8; 8] = bytes.get(..8)?.try_into().ok()?;
    (bytes.len() == 24).then(|| i64::from_be_bytes(head))
}

/// Refuses what cannot be a version id, as S3 does.
pub(crate) fn check_id(version_id: &str) -> Result<(), Failure> {
    if version_id == NULL || sequencer_of(version_id).is_some() {
        return Ok(());
    }
    Err(Failure::answer(
        S3ErrorCode::InvalidArgument,
        "Invalid version id specified",
    ))
}
