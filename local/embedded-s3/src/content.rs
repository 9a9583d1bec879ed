//! Bytes of versions and parts: rows of slices of blobs, shared by copies.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _};

use crate::blobs::Staged;
use crate::database::Write;
use crate::error::Failure;

/// Bytes that were received and belong to nothing yet.
#[derive(Debug)]
pub(crate) enum Received {
    /// Few bytes, for the database.
    Inline(Bytes),
    /// A complete blob file.
    File(Staged),
}

/// A slice of a blob.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) blob: i64,
    pub(crate) source: Source,
    pub(crate) start: i64,
    pub(crate) length: i64,
}

/// Where a piece's blob lies.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Inline(Bytes),
    File(String),
}

/// Stores received bytes as a content of one piece. Returns the content's id.
pub(crate) fn store(write: &mut Write<'_>, received: Received, size: i64) -> Result<i64, Failure> {
    let content = create(write.connection)?;
    if size == 0 {
        return Ok(content);
    }
    let connection = write.connection;
    let mut statement =
        connection.prepare_cached("INSERT INTO blob (name, data) VALUES (?1, ?2)")?;
    match received {
        Received::Inline(data) => statement.execute((None::<&str>, Some(data.as_ref())))?,
        Received::File(staged) => {
            let rows = statement.execute((Some(staged.name()), None::<&[u8]>))?;
            write.keep(staged);
            rows
        }
    };
    append(
        connection,
        content,
        0,
        connection.last_insert_rowid(),
        0,
        size,
    )?;
    Ok(content)
}

/// A new content without pieces.
pub(crate) fn create(connection: &Connection) -> Result<i64, Failure> {
    connection
        .prepare_cached("INSERT INTO content DEFAULT VALUES")?
        .execute([])?;
    Ok(connection.last_insert_rowid())
}

/// Adds a slice of an existing blob.
pub(crate) fn append(
    connection: &Connection,
    content: i64,
    position: i64,
    blob: i64,
    start: i64,
    length: i64,
) -> Result<(), Failure> {
    connection
        .prepare_cached("INSERT INTO piece (content, position, blob, start, length) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((content, position, blob, start, length))?;
    Ok(())
}

/// A new content of the same pieces, or `None` where one of their blobs is gone meanwhile.
pub(crate) fn share(connection: &Connection, pieces: &[Piece]) -> Result<Option<i64>, Failure> {
    let mut exists = connection.prepare_cached("SELECT 1 FROM blob WHERE id = ?1")?;
    for piece in pieces {
        if !exists.exists([piece.blob])? {
            return Ok(None);
        }
    }
    let content = create(connection)?;
    for (position, piece) in (0..).zip(pieces) {
        append(
            connection,
            content,
            position,
            piece.blob,
            piece.start,
            piece.length,
        )?;
    }
    Ok(Some(content))
}

/// Moves all pieces of `part` behind those of `content`. Returns the next position.
pub(crate) fn move_pieces(
    connection: &Connection,
    content: i64,
    position: i64,
    part: i64,
) -> Result<i64, Failure> {
    let moved = connection
        .prepare_cached(
            "UPDATE piece SET content = ?1, position = position + ?2 WHERE content = ?3",
        )?
        .execute((content, position, part))?;
    connection
        .prepare_cached("DELETE FROM content WHERE id = ?1")?
        .execute([part])?;
    Ok(position + i64::try_from(moved).unwrap_or(i64::MAX))
}

/// The pieces that hold bytes `from..to` of a content, cut to that range.
pub(crate) fn pieces(
    connection: &Connection,
    content: i64,
    from: i64,
    to: i64,
) -> Result<Vec<Piece>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT piece.blob, start, length, name, data FROM piece JOIN blob ON blob.id = piece.blob
         WHERE content = ?1 ORDER BY position",
    )?;
    let mut rows = statement.query([content])?;
    let mut found = Vec::new();
    let mut offset = 0;
    while let Some(row) = rows.next()? {
        let (start, length): (i64, i64) = (row.get(1)?, row.get(2)?);
        let (first, last) = (from.max(offset), to.min(offset + length));
        if first < last {
            let name: Option<String> = row.get(3)?;
            let source = match name {
                Some(name) => Source::File(name),
                None => Source::Inline(Bytes::from(row.get::<_, Vec<u8>>(4)?)),
            };
            found.push(Piece {
                blob: row.get(0)?,
                source,
                start: start + first - offset,
                length: last - first,
            });
        }
        offset += length;
        if offset >= to {
            break;
        }
    }
    Ok(found)
}

/// Removes a content, and each of its blobs that nothing else refers to.
pub(crate) fn remove(write: &mut Write<'_>, content: i64) -> Result<(), Failure> {
    let connection = write.connection;
    let blobs: Vec<i64> = connection
        .prepare_cached("SELECT DISTINCT blob FROM piece WHERE content = ?1")?
        .query_map([content], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    connection
        .prepare_cached("DELETE FROM piece WHERE content = ?1")?
        .execute([content])?;
    connection
        .prepare_cached("DELETE FROM content WHERE id = ?1")?
        .execute([content])?;
    for blob in blobs {
        if connection
            .prepare_cached("SELECT 1 FROM piece WHERE blob = ?1 LIMIT 1")?
            .exists([blob])?
        {
            continue;
        }
        let name: Option<Option<String>> = connection
            .prepare_cached("DELETE FROM blob WHERE id = ?1 RETURNING name")?
            .query_row([blob], |row| row.get(0))
            .optional()?;
        if let Some(Some(name)) = name {
            write.discard(name);
        }
    }
    Ok(())
}
