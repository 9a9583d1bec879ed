//! How an archive is put together from parts that S3 takes.
//!
//! A ZIP of stored files is a sequence of headers and files. S3 can copy a stretch of a file by itself, if it has 5 MiB;
//! the headers, and files that are smaller than that, are sent, and must be put together until they have 5 MiB. So what
//! is sent before a large file takes as much of that file's beginning as it needs:
//!
//! ```text
//! sent                              copied           sent                     copied      sent
//! | header a | a | header B | B ... | ... B | ... B  | header C | C ...     | ... C      | directory |
//! ```
//!
//! Every byte is where a program expects it that reads the archive from its beginning to its end.

use std::ops::Range;

use shared::s3::{MOST_PARTS, SMALLEST_PART};

use super::zip;
use super::{MOST_FILES, MOST_READ, Member};
use crate::content::Error;

/// Bytes that S3 copies at once, at most: what it does in about a second.
const COPIED: u64 = 64 << 20;

/// The parts of an archive, in their order, and where its files begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) parts: Vec<Part>,
    /// Of each file, where its header begins.
    pub(super) offsets: Vec<u64>,
    /// Where the directory begins.
    pub(super) directory: u64,
}

/// A part of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Bytes of a file that S3 copies.
    Copied(Stretch),
    /// What is sent.
    Sent(Vec<Piece>),
}

/// A piece of what is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// What comes before the file of this number.
    Header(usize),
    /// Bytes of a file.
    Bytes(Stretch),
    /// What comes after all files.
    Directory,
}

/// Bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The file's number.
    pub(super) file: usize,
    pub(super) bytes: Range<u64>,
}

impl Plan {
    /// The archive of these files.
    pub(super) fn of(members: &[Member]) -> Result<Self, Error> {
        if members.len() > MOST_FILES {
            return Err(Error::TooMuch("there are more than 10,000 files"));
        }
        let mut plan = Self {
            parts: Vec::new(),
            offsets: Vec::with_capacity(members.len()),
            directory: 0,
        };
        let (mut pending, mut pending_bytes) = (Vec::new(), 0);
        let mut read = 0;
        for (file, member) in members.iter().enumerate() {
            let header = zip::local_header_bytes(member.path.as_str(), member.size);
            plan.offsets.push(plan.directory);
            plan.directory = plan
                .directory
                .checked_add(header)
                .and_then(|end| end.checked_add(member.size))
                .ok_or(Error::TooMuch("there are too many bytes"))?;
            pending.push(Piece::Header(file));
            pending_bytes += header;
            let wanted = SMALLEST_PART.saturating_sub(pending_bytes);
            let rest = member.size.saturating_sub(wanted);
            let head = if rest >= SMALLEST_PART {
                wanted
            } else {
                member.size
            };
            if head > 0 {
                let bytes = 0..head;
                pending.push(Piece::Bytes(Stretch { file, bytes }));
                pending_bytes += head;
                read += head;
            }
            if pending_bytes >= SMALLEST_PART {
                plan.parts.push(Part::Sent(std::mem::take(&mut pending)));
                pending_bytes = 0;
            }
            plan.parts.extend(
                slices(head..member.size).map(|bytes| Part::Copied(Stretch { file, bytes })),
            );
            if plan.parts.len() >= usize::from(MOST_PARTS) {
                return Err(Error::TooMuch("there are too many bytes for one archive"));
            }
        }
        if read > MOST_READ {
            return Err(Error::TooMuch(
                "there are too many bytes in small files for one archive",
            ));
        }
        pending.push(Piece::Directory);
        plan.parts.push(Part::Sent(pending));
        Ok(plan)
    }
}

/// Cuts bytes into equal slices that S3 copies at once.
fn slices(bytes: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let size = bytes.end - bytes.start;
    let count = size.div_ceil(COPIED);
    (0..count).map(move |number| {
        // Counted in wide numbers: a file may have so many bytes that the product does not fit.
        let place = |number: u64| {
            let part = u128::from(size) * u128::from(number) / u128::from(count);
            bytes.start + u64::try_from(part).unwrap_or(size)
        };
        place(number)..place(number + 1)
    })
}
