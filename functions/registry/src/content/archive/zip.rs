//! The records of a ZIP whose entries are stored as they are, by APPNOTE.TXT 6.3.10
//! (<https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>): sections 4.3.7 for what comes before each file,
//! 4.3.12 to 4.3.16 for the directory at the end, 4.5.3 for sizes and places beyond 32 bits.

use time::OffsetDateTime;

/// In the place of a number that is in a larger field elsewhere.
const ELSEWHERE_32: u32 = u32::MAX;
const ELSEWHERE_16: u16 = u16::MAX;
/// The version of the format that knows folders, and the one that knows sizes beyond 32 bits.
const PLAIN: u16 = 20;
const LARGE: u16 = 45;
/// Names are UTF-8.
const UTF_8: u16 = 1 << 11;
/// Made by a program on Unix, so that the mode below counts.
const UNIX: u16 = 3 << 8;
/// A file that its owner may write and everybody read.
const MODE: u32 = 0o100_644 << 16;
const LOCAL_HEADER: u32 = 0x0403_4b50;
const CENTRAL_HEADER: u32 = 0x0201_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;
const END: u32 = 0x0605_4b50;
/// The extra field for what is beyond 32 bits.
const EXTRA_64: u16 = 1;
/// Fixed bytes of a local header, and of its extra field for a large file.
const LOCAL_BYTES: u64 = 30;
const LOCAL_EXTRA_BYTES: u64 = 20;
/// Fixed bytes of the second end record behind its own size.
const END_64_REST: u64 = 44;

/// A file as a ZIP has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) size: u64,
    pub(super) crc32: u32,
    pub(super) modified: Option<OffsetDateTime>,
    /// Where its local header begins.
    pub(super) offset: u64,
}

/// Bytes that are put together.
#[derive(Debug, Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend(text.as_bytes());
        self
    }
}

/// How many bytes the local header of a file has.
pub(super) fn local_header_bytes(name: &str, size: u64) -> u64 {
    let extra = if small(size).is_some() {
        0
    } else {
        LOCAL_EXTRA_BYTES
    };
    LOCAL_BYTES + u64::from(length(name)) + extra
}

/// What comes before a file.
pub(super) fn local_header(entry: &Entry<'_>) -> Vec<u8> {
    let (time, date) = dos(entry.modified);
    let is_small = small(entry.size);
    let mut bytes = Bytes::default();
    bytes
        .u32(LOCAL_HEADER)
        .u16(if is_small.is_some() { PLAIN } else { LARGE })
        .u16(UTF_8)
        .u16(0) // stored as it is
        .u16(time)
        .u16(date)
        .u32(entry.crc32)
        .u32(is_small.unwrap_or(ELSEWHERE_32))
        .u32(is_small.unwrap_or(ELSEWHERE_32))
        .u16(length(entry.name))
        .u16(if is_small.is_some() { 0 } else { 20 })
        .text(entry.name);
    if is_small.is_none() {
        bytes.u16(EXTRA_64).u16(16).u64(entry.size).u64(entry.size);
    }
    bytes.0
}

/// What comes after all files: the directory, which begins at `start`, and its end.
pub(super) fn directory(entries: &[Entry<'_>], start: u64) -> Vec<u8> {
    let mut bytes = Bytes::default();
    for entry in entries {
        central_header(&mut bytes, entry);
    }
    let size = u64::try_from(bytes.0.len()).unwrap_or(u64::MAX);
    let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
    let few = u16::try_from(count).ok().filter(|few| *few < ELSEWHERE_16);
    if few.is_none() || small(size).is_none() || small(start).is_none() {
        bytes
            .u32(END_64)
            .u64(END_64_REST)
            .u16(UNIX | LARGE)
            .u16(LARGE)
            .u32(0) // this disk
            .u32(0) // the directory's
            .u64(count)
            .u64(count)
            .u64(size)
            .u64(start)
            .u32(LOCATOR_64)
            .u32(0)
            .u64(start + size)
            .u32(1); // disks
    }
    bytes
        .u32(END)
        .u16(0)
        .u16(0)
        .u16(few.unwrap_or(ELSEWHERE_16))
        .u16(few.unwrap_or(ELSEWHERE_16))
        .u32(small(size).unwrap_or(ELSEWHERE_32))
        .u32(small(start).unwrap_or(ELSEWHERE_32))
        .u16(0);
    bytes.0
}

fn central_header(bytes: &mut Bytes, entry: &Entry<'_>) {
    let (time, date) = dos(entry.modified);
    let (size, offset) = (small(entry.size), small(entry.offset));
    let mut extra = Bytes::default();
    if size.is_none() {
        extra.u64(entry.size).u64(entry.size);
    }
    if offset.is_none() {
        extra.u64(entry.offset);
    }
    let extra_bytes = u16::try_from(extra.0.len()).unwrap_or_default();
    let version = if extra_bytes == 0 { PLAIN } else { LARGE };
    bytes
        .u32(CENTRAL_HEADER)
        .u16(UNIX | version)
        .u16(version)
        .u16(UTF_8)
        .u16(0) // stored as it is
        .u16(time)
        .u16(date)
        .u32(entry.crc32)
        .u32(size.unwrap_or(ELSEWHERE_32))
        .u32(size.unwrap_or(ELSEWHERE_32))
        .u16(length(entry.name))
        .u16(if extra_bytes == 0 { 0 } else { extra_bytes + 4 })
        .u16(0) // comment
        .u16(0) // disk
        .u16(0) // internal attributes
        .u32(MODE)
        .u32(offset.unwrap_or(ELSEWHERE_32))
        .text(entry.name);
    if extra_bytes > 0 {
        bytes.u16(EXTRA_64).u16(extra_bytes);
        bytes.0.extend(extra.0);
    }
}

/// A number that fits into its 32 bits, and does not say that it is elsewhere.
fn small(number: u64) -> Option<u32> {
    u32::try_from(number)
        .ok()
        .filter(|small| *small != ELSEWHERE_32)
}

/// Paths have fewer bytes than 16 bits can count.
fn length(name: &str) -> u16 {
    u16::try_from(name.len()).unwrap_or(ELSEWHERE_16)
}

/// Time and date in the form of MS-DOS: two seconds are the smallest step, 1980 is the first year.
fn dos(modified: Option<OffsetDateTime>) -> (u16, u16) {
    const FIRST: (u16, u16) = (0, (1 << 5) | 1);
    let Some(moment) = modified else { return FIRST };
    let years = u16::try_from(moment.year() - 1980).ok();
    let Some(years) = years.filter(|years| *years < 128) else {
        return FIRST;
    };
    let time = (u16::from(moment.hour()) << 11)
        | (u16::from(moment.minute()) << 5)
        | (u16::from(moment.second()) / 2);
    let month = u16::from(u8::from(moment.month()));
    let date = (years << 9) | (month << 5) | u16::from(moment.day());
    (time, date)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read, Seek, SeekFrom};

    use time::macros::datetime;

    use super::*;

    /// A file that is zero but for a few places.
    struct Sparse {
        written: Vec<(u64, Vec<u8>)>,
        size: u64,
        place: u64,
    }

    impl Read for Sparse {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let left = usize::try_from(self.size - self.place).unwrap_or(usize::MAX);
            let count = left.min(buffer.len());
            buffer[..count].fill(0);
            for (start, bytes) in &self.written {
                for (offset, byte) in (*start..).zip(bytes) {
                    if let Some(place) = offset.checked_sub(self.place)
                        && place < u64::try_from(count).unwrap()
                    {
                        buffer[usize::try_from(place).unwrap()] = *byte;
                    }
                }
            }
            self.place += u64::try_from(count).unwrap();
            Ok(count)
        }
    }

    impl Seek for Sparse {
        fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
            self.place = match to {
                SeekFrom::Start(place) => place,
                SeekFrom::End(back) => self.size.saturating_add_signed(back),
                SeekFrom::Current(by) => self.place.saturating_add_signed(by),
            };
            Ok(self.place)
        }
    }

    #[test]
    fn a_small_archive_is_understood_with_names_and_times() {
        let modified = Some(datetime!(2026-11-21 06:30:59 UTC));
        let entry = Entry {
            name: "ü/😀.txt",
            size: 5,
            crc32: crc32fast::hash(b"hello"),
            modified,
            offset: 0,
        };
        let mut bytes = local_header(&entry);
        assert_eq!(
            u64::try_from(bytes.len()),
            Ok(local_header_bytes(entry.name, 5))
        );
        bytes.extend(b"hello");
        let start = u64::try_from(bytes.len()).unwrap();
        bytes.extend(directory(&[entry], start));
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let mut file = zip.by_index(0).unwrap();
        assert_eq!(file.name().unwrap(), "ü/😀.txt");
        assert_eq!(file.unix_mode(), Some(0o100_644));
        let time = file.last_modified().unwrap();
        assert_eq!(
            (
                time.year(),
                time.month(),
                time.day(),
                time.hour(),
                time.minute(),
                time.second()
            ),
            (2026, 11, 21, 6, 30, 58)
        );
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    #[test]
    fn sizes_and_places_beyond_32_bits_are_understood() {
        // Sizes at the border, so that each field is once in its place and once elsewhere.
        for sizes in [
            [1_u64 << 32, 1, 5],
            [u64::from(u32::MAX), 3, 1 << 33],
            [u64::from(u32::MAX) - 1, 4, 5],
            [5 << 30, 5 << 30, 5 << 30],
        ] {
            let (mut entries, mut written, mut place) = (Vec::new(), Vec::new(), 0);
            for (size, name) in sizes.into_iter().zip(["a", "b", "c"]) {
                let entry = Entry {
                    name,
                    size,
                    crc32: 7,
                    modified: None,
                    offset: place,
                };
                let header = local_header(&entry);
                let bytes = u64::try_from(header.len()).unwrap();
                assert_eq!(bytes, local_header_bytes(name, size));
                written.push((place, header));
                place += bytes + size;
                entries.push(entry);
            }
            let end = directory(&entries, place);
            let size = place + u64::try_from(end.len()).unwrap();
            written.push((place, end));
            let sparse = Sparse {
                written,
                size,
                place: 0,
            };
            let mut zip = zip::ZipArchive::new(sparse).unwrap();
            for (number, entry) in entries.iter().enumerate() {
                let file = zip.by_index(number).unwrap();
                assert_eq!(
                    (file.size(), file.compressed_size()),
                    (entry.size, entry.size)
                );
                assert_eq!((file.header_start(), file.crc32()), (entry.offset, 7));
                let start = entry.offset + local_header_bytes(entry.name, entry.size);
                assert_eq!(file.data_start(), Some(start));
            }
        }
    }

    #[test]
    fn times_that_the_format_does_not_know_are_its_first() {
        for (moment, expected) in [
            (None, (0, 33)),
            (Some(datetime!(1979-12-31 23:59:59 UTC)), (0, 33)),
            (Some(datetime!(1980-01-01 00:00:00 UTC)), (0, 33)),
            (Some(datetime!(2107-12-31 23:59:59 UTC)), (0xbf7d, 0xff9f)),
            (Some(datetime!(2108-01-01 00:00:00 UTC)), (0, 33)),
        ] {
            assert_eq!(dos(moment), expected, "{moment:?}");
        }
    }
}
