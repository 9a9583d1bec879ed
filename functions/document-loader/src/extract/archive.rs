//! Archives in the format ZIP: what DOCX, XLSX, PPTX and EPUB are made of.

use std::collections::HashMap;
use std::io::{BufReader, Read, Seek};

use zip::ZipArchive;
use zip::result::ZipError;

use crate::extract::limits::Limits;
use crate::extract::refusal::{Refusal, Size};

/// How much more than its size in the archive a part may be, where it is larger than [`SMALL`]. Text is compressed to a
/// tenth or a twentieth; only what is made to fill a memory is compressed to a thousandth.
const RATIO: u64 = 500;

/// Parts up to this size in bytes, uncompressed, may be as compressible as they like.
const SMALL: u64 = 4 * 1024 * 1024;

/// An archive that is read within limits.
pub(crate) struct Archive<R> {
    zip: ZipArchive<BufReader<R>>,
    /// By name in lower case, for writers do not agree with themselves.
    entries: HashMap<String, usize>,
    /// How many bytes may still come out of it, of how many.
    left: u64,
    limit: u64,
}

impl<R: Read + Seek> Archive<R> {
    /// Opens an archive. It must have its table of contents, and no more parts than allowed.
    pub(crate) fn open(source: R, limits: &Limits) -> Result<Self, Refusal> {
        let zip = ZipArchive::new(BufReader::new(source)).map_err(|error| refusal(&error))?;
        if u64::try_from(zip.len()).unwrap_or(u64::MAX) > limits.parts {
            return Err(Refusal::too_large(Size::Parts, limits.parts));
        }
        let entries = (0..zip.len())
            .filter_map(|index| {
                let name = zip.name_for_index(index)?.ok()?;
                Some((normal(&name), index))
            })
            .collect();
        Ok(Self {
            zip,
            entries,
            left: limits.uncompressed,
            limit: limits.uncompressed,
        })
    }

    /// Whether there is a part of this name.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(&normal(name))
    }

    /// The content of a part, or nothing if there is none of this name.
    pub(crate) fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(index) = self.entries.get(&normal(name)).copied() else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        self.inflate(index, |part| {
            // What a part says about its size is a hint, and no more.
            part.read_to_end(&mut bytes)
        })?;
        Ok(Some(bytes))
    }

    /// Checks that everything in it can be read within the limits, for readers that have none of their own.
    pub(crate) fn check(&mut self) -> Result<(), Refusal> {
        let mut indices: Vec<usize> = self.entries.values().copied().collect();
        indices.sort_unstable();
        for index in indices {
            self.inflate(index, |part| {
                let bytes = std::io::copy(part, &mut std::io::sink())?;
                Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
            })?;
        }
        Ok(())
    }

    fn inflate(
        &mut self,
        index: usize,
        read: impl FnOnce(&mut dyn Read) -> std::io::Result<usize>,
    ) -> Result<(), Refusal> {
        let part = self.zip.by_index(index).map_err(|error| refusal(&error))?;
        let allowed = part
            .compressed_size()
            .saturating_mul(RATIO)
            .max(SMALL)
            .min(self.left);
        // One byte more than allowed tells what is too much from what is just enough.
        let mut part = part.take(allowed.saturating_add(1));
        let bytes = read(&mut part).map_err(|error| Refusal::unreadable(&error))?;
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if bytes > allowed {
            return Err(Refusal::too_large(Size::Uncompressed, self.limit));
        }
        self.left -= bytes;
        Ok(())
    }
}

/// The name that a part is looked up by.
fn normal(name: &str) -> String {
    let name = name.replace('\\', "/").to_lowercase();
    name.strip_prefix('/').map_or(name.clone(), str::to_owned)
}

fn refusal(error: &ZipError) -> Refusal {
    match error {
        ZipError::UnsupportedArchive(reason) if *reason == ZipError::PASSWORD_REQUIRED => {
            Refusal::Encrypted
        }
        error => Refusal::damaged(error),
    }
}
