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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::s3::LARGEST_PART;

    use super::*;

    fn members(sizes: &[u64]) -> Vec<Member> {
        let member = |(number, size): (usize, &u64)| Member {
            path: format!("{number}/a").parse().unwrap(),
            size: *size,
            etag: String::new(),
            modified: None,
        };
        sizes.iter().enumerate().map(member).collect()
    }

    fn bytes(part: &Part, members: &[Member]) -> u64 {
        let of = |piece: &Piece| match piece {
            Piece::Header(file) => {
                let member = &members[*file];
                zip::local_header_bytes(member.path.as_str(), member.size)
            }
            Piece::Bytes(stretch) => stretch.bytes.end - stretch.bytes.start,
            Piece::Directory => 0,
        };
        match part {
            Part::Copied(stretch) => stretch.bytes.end - stretch.bytes.start,
            Part::Sent(pieces) => pieces.iter().map(of).sum(),
        }
    }

    /// Sizes around those at which something changes.
    fn size() -> impl Strategy<Value = u64> {
        prop_oneof![
            3 => 0..100_u64,
            3 => 0..SMALLEST_PART * 3,
            2 => SMALLEST_PART - 100..SMALLEST_PART + 100,
            2 => COPIED - 100..COPIED + SMALLEST_PART + 100,
            1 => (1_u64 << 32) - 100..(1 << 32) + 100,
            1 => 0..(1_u64 << 37),
        ]
    }

    proptest! {
        #[test]
        fn parts_are_what_s3_takes_and_together_they_are_all_files(
            sizes in prop::collection::vec(size(), 2..40)
        ) {
            let members = members(&sizes);
            let plan = match Plan::of(&members) {
                Ok(plan) => plan,
                Err(Error::TooMuch(_)) => return Ok(()),
                Err(error) => panic!("{error}"),
            };
            prop_assert!(plan.parts.len() <= usize::from(MOST_PARTS));
            let (last, others) = plan.parts.split_last().unwrap();
            for part in others {
                let bytes = bytes(part, &members);
                prop_assert!((SMALLEST_PART..=LARGEST_PART).contains(&bytes), "{part:?}");
                if let Part::Sent(_) = part {
                    prop_assert!(bytes < 3 * SMALLEST_PART, "{part:?}");
                }
            }
            let is_sent = matches!(last, Part::Sent(pieces) if pieces.last() == Some(&Piece::Directory));
            prop_assert!(is_sent);
            // Every header is followed by its file, byte by byte.
            let (mut place, mut next) = (0, Vec::new());
            for part in &plan.parts {
                let pieces = match part {
                    Part::Copied(stretch) => vec![Piece::Bytes(stretch.clone())],
                    Part::Sent(pieces) => pieces.clone(),
                };
                for piece in pieces {
                    match &piece {
                        Piece::Header(file) => {
                            prop_assert_eq!(*file, next.len());
                            prop_assert_eq!(plan.offsets[*file], place);
                            next.push(0);
                        }
                        Piece::Bytes(stretch) => {
                            prop_assert_eq!(stretch.file + 1, next.len());
                            prop_assert_eq!(next[stretch.file], stretch.bytes.start);
                            prop_assert!(stretch.bytes.start < stretch.bytes.end);
                            next[stretch.file] = stretch.bytes.end;
                        }
                        Piece::Directory => prop_assert_eq!(place, plan.directory),
                    }
                    place += bytes(&Part::Sent(vec![piece]), &members);
                }
            }
            prop_assert_eq!(&next, &sizes);
        }
    }

    #[test]
    fn what_does_not_fit_is_too_much() {
        let small = vec![SMALLEST_PART - 1; 206];
        for (sizes, fits) in [
            (vec![0; MOST_FILES], true),
            (vec![0; MOST_FILES + 1], false),
            (vec![COPIED * 9_990, 1], true),
            (vec![COPIED * 10_000, 1], false),
            (vec![u64::MAX, u64::MAX], false),
            (small[1..].to_vec(), false),
            (small[2..].to_vec(), true),
        ] {
            let plan = Plan::of(&members(&sizes));
            assert_eq!(plan.is_ok(), fits, "{}", sizes.len());
        }
    }
}
