//! The parts a version was completed from.

use rusqlite::Connection;

use crate::checksum::Checksum;
use crate::error::Failure;
use crate::version::{json, to_json};

/// A part of a finished object.
#[derive(Debug, Clone)]
pub(crate) struct VersionPart {
    pub(crate) number: i32,
    pub(crate) size: i64,
    pub(crate) checksum: Option<Checksum>,
}

/// The parts of a version, in order; none where it was written as a whole.
pub(crate) fn of_version(
    connection: &Connection,
    version: i64,
) -> Result<Vec<VersionPart>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT number, size, checksum FROM version_part WHERE version = ?1 ORDER BY number",
    )?;
    let mut rows = statement.query([version])?;
    let mut parts = Vec::new();
    while let Some(row) = rows.next()? {
        parts.push(VersionPart {
            number: row.get(0)?,
            size: row.get(1)?,
            checksum: json(row.get(2)?)?,
        });
    }
    Ok(parts)
}

/// Remembers the parts of a version.
pub(crate) fn insert(
    connection: &Connection,
    version: i64,
    parts: &[VersionPart],
) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO version_part (version, number, size, checksum) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for part in parts {
        statement.execute((
            version,
            part.number,
            part.size,
            part.checksum.as_ref().map(to_json).transpose()?,
        ))?;
    }
    Ok(())
}
