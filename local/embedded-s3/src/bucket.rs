//! Buckets as rows.

use embedded_iam::AccountId;
use rusqlite::{Connection, OptionalExtension as _};
use s3s::{S3Error, S3ErrorCode};

use crate::error::{Failure, StorageError};
use crate::notification::Configuration;

/// Whether a bucket keeps old versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versioning {
    /// Never switched on: objects have no version ids.
    Never,
    Enabled,
    Suspended,
}

impl Versioning {
    /// The status in the API; a bucket that never had versions has none.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Never => None,
            Self::Enabled => Some("Enabled"),
            Self::Suspended => Some("Suspended"),
        }
    }

    /// The status of an API name.
    pub(crate) fn named(name: Option<&str>) -> Option<Self> {
        match name {
            None => Some(Self::Never),
            Some("Enabled") => Some(Self::Enabled),
            Some("Suspended") => Some(Self::Suspended),
            Some(_) => None,
        }
    }
}

/// A bucket.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) created: i64,
    pub(crate) versioning: Versioning,
    pub(crate) notification: Option<Configuration>,
    /// Whose it is.
    pub(crate) account: AccountId,
}

const COLUMNS: &str = "id, name, region, created, versioning, notification, account";

impl Bucket {
    fn from_row(row: &rusqlite::Row<'_>) -> Result<Self, Failure> {
        let versioning: Option<String> = row.get(4)?;
        let notification: Option<String> = row.get(5)?;
        let account: String = row.get(6)?;
        Ok(Self {
            id: row.get(0)?,
            name: row.get(1)?,
            region: row.get(2)?,
            created: row.get(3)?,
            versioning: Versioning::named(versioning.as_deref())
                .ok_or(StorageError::Damaged("versioning"))?,
            notification: notification
                .map(|text| {
                    serde_json::from_str(&text)
                        .map_err(|_source| StorageError::Damaged("notification"))
                })
                .transpose()?,
            account: account
                .parse()
                .map_err(|_source| StorageError::Damaged("account"))?,
        })
    }

    /// The bucket `name`, or `NoSuchBucket`.
    pub(crate) fn find(connection: &Connection, name: &str) -> Result<Self, Failure> {
        Self::look_up(connection, name)?.ok_or_else(|| {
            Failure::Answer(S3Error::with_message(
                S3ErrorCode::NoSuchBucket,
                "The specified bucket does not exist",
            ))
        })
    }

    /// The bucket `name` where it exists.
    pub(crate) fn look_up(connection: &Connection, name: &str) -> Result<Option<Self>, Failure> {
        let mut statement =
            connection.prepare_cached(&format!("SELECT {COLUMNS} FROM bucket WHERE name = ?1"))?;
        let mut rows = statement.query([name])?;
        rows.next()?.map(Self::from_row).transpose()
    }

    /// Every bucket, by name.
    pub(crate) fn all(connection: &Connection) -> Result<Vec<Self>, Failure> {
        let mut statement =
            connection.prepare_cached(&format!("SELECT {COLUMNS} FROM bucket ORDER BY name"))?;
        let mut rows = statement.query([])?;
        let mut buckets = Vec::new();
        while let Some(row) = rows.next()? {
            buckets.push(Self::from_row(row)?);
        }
        Ok(buckets)
    }

    /// Makes a bucket. The caller checked that there is none of this name.
    pub(crate) fn insert(
        connection: &Connection,
        name: &str,
        region: &str,
        created: i64,
        account: &AccountId,
    ) -> Result<(), Failure> {
        connection
            .prepare_cached(
                "INSERT INTO bucket (name, region, created, account) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((name, region, created, account.as_str()))?;
        Ok(())
    }

    /// Switches versioning. S3 has no way back to [`Versioning::Never`].
    pub(crate) fn set_versioning(
        &self,
        connection: &Connection,
        versioning: Versioning,
    ) -> Result<(), Failure> {
        connection
            .prepare_cached("UPDATE bucket SET versioning = ?2 WHERE id = ?1")?
            .execute((self.id, versioning.name()))?;
        Ok(())
    }

    /// Stores a notification configuration.
    pub(crate) fn set_notification(
        &self,
        connection: &Connection,
        configuration: &Configuration,
    ) -> Result<(), Failure> {
        let text = serde_json::to_string(configuration)
            .map_err(|_source| StorageError::Damaged("notification"))?;
        connection
            .prepare_cached("UPDATE bucket SET notification = ?2 WHERE id = ?1")?
            .execute((self.id, text))?;
        Ok(())
    }

    /// Whether any version or delete marker is left.
    pub(crate) fn has_versions(&self, connection: &Connection) -> Result<bool, Failure> {
        let found: Option<i64> = connection
            .prepare_cached("SELECT 1 FROM version WHERE bucket = ?1 LIMIT 1")?
            .query_row([self.id], |row| row.get(0))
            .optional()?;
        Ok(found.is_some())
    }

    /// Removes the row of an empty bucket.
    pub(crate) fn remove(&self, connection: &Connection) -> Result<(), Failure> {
        connection
            .prepare_cached("DELETE FROM bucket WHERE id = ?1")?
            .execute([self.id])?;
        Ok(())
    }
}
