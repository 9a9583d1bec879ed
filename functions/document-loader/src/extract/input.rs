//! A document that is handed to the process that reads it as a file: its standard input, which can be read anywhere.

use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd as _, AsRawFd as _};

use nix::sys::stat::{SFlag, fstat};
use nix::sys::uio::pread;

/// The file that is the standard input, and a place in it. The place of the file itself, which others may share, stays
/// where it is.
#[derive(Debug, Clone)]
pub(crate) struct InputFile {
    length: u64,
    place: u64,
}

impl InputFile {
    /// From its beginning. `None`: the standard input is no file.
    pub(crate) fn open() -> io::Result<Option<Self>> {
        let found = fstat(io::stdin().as_fd())?;
        if found.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
            return Ok(None);
        }
        let length = u64::try_from(found.st_size).unwrap_or_default();
        Ok(Some(Self { length, place: 0 }))
    }

    /// Bytes of all of it.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// All of it, in memory. Then it is let go, for its pages may be memory as well.
    pub(crate) fn into_bytes(mut self) -> io::Result<Vec<u8>> {
        self.place = 0;
        let length = usize::try_from(self.length).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.read_exact(&mut bytes)?;
        nix::unistd::close(io::stdin().as_raw_fd())?;
        Ok(bytes)
    }
}

impl Read for InputFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let place = self.place.try_into().map_err(io::Error::other)?;
        let length = pread(io::stdin().as_fd(), buffer, place)?;
        self.place += u64::try_from(length).unwrap_or_default();
        Ok(length)
    }
}

impl Seek for InputFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.place.checked_add_signed(offset),
        };
        self.place = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.place)
    }
}
