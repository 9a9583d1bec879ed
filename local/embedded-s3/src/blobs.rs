//! The files that hold large objects: written aside, made durable, then moved into place, and
//! removed once nobody reads or refers to them.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::StorageError;
use crate::random;

/// The folder of blob files. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    staging: PathBuf,
    durable: bool,
    reclaim: Mutex<Reclaim>,
}

/// Files are unlinked only when every read that began before they became garbage has ended, so a
/// download is never cut short by an overwrite.
#[derive(Debug, Default)]
struct Reclaim {
    next_ticket: u64,
    reading: BTreeSet<u64>,
    garbage: VecDeque<(u64, Vec<String>)>,
}

impl Blobs {
    /// Opens (and makes) the folders below `root`. What was being written when the last process
    /// ended is thrown away.
    pub(crate) fn open(root: &Path, durable: bool) -> io::Result<Self> {
        let folder = root.join("blobs");
        let staging = root.join("staging");
        if staging.exists() {
            fs::remove_dir_all(&staging)?;
        }
        fs::create_dir_all(&staging)?;
        for first in 0..=255_u8 {
            fs::create_dir_all(folder.join(hex::encode([first])))?;
        }
        if durable {
            File::open(&folder)?.sync_all()?;
            File::open(root)?.sync_all()?;
        }
        Ok(Self {
            inner: Arc::new(Inner {
                folder,
                staging,
                durable,
                reclaim: Mutex::default(),
            }),
        })
    }

    /// Removes every file that is not in `known`: they belong to writes that were never committed.
    /// Returns how many there were.
    pub(crate) fn sweep(&self, known: &HashSet<String>) -> io::Result<usize> {
        let mut removed = 0;
        for folder in fs::read_dir(&self.inner.folder)? {
            for file in fs::read_dir(folder?.path())? {
                let file = file?;
                if !file
                    .file_name()
                    .to_str()
                    .is_some_and(|name| known.contains(name))
                {
                    fs::remove_file(file.path())?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// A new file to write into, outside of the blob folder.
    pub(crate) fn stage(&self) -> Result<Staged, StorageError> {
        let name = random::hexadecimal::<16>()?;
        let path = self.inner.staging.join(&name);
        let file = File::create_new(&path).map_err(StorageError::Io)?;
        Ok(Staged {
            blobs: self.clone(),
            name,
            path,
            file: Some(file),
            kept: false,
        })
    }

    /// Opens the blob file `name` for reading.
    pub(crate) fn read(&self, name: &str) -> io::Result<File> {
        File::open(self.path(name))
    }

    /// Announces a read: until the guard is dropped no file that exists now is removed.
    pub(crate) fn reading(&self) -> Reading {
        let mut reclaim = self
            .inner
            .reclaim
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let ticket = reclaim.next_ticket;
        reclaim.next_ticket += 1;
        reclaim.reading.insert(ticket);
        Reading {
            blobs: self.clone(),
            ticket,
        }
    }

    /// Removes files nothing refers to any more, as soon as nobody reads them.
    pub(crate) fn discard(&self, names: Vec<String>) {
        if names.is_empty() {
            return;
        }
        let free = {
            let mut reclaim = self
                .inner
                .reclaim
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let ticket = reclaim.next_ticket;
            reclaim.garbage.push_back((ticket, names));
            reclaim.free()
        };
        self.unlink(&free);
    }

    fn finish_reading(&self, ticket: u64) {
        let free = {
            let mut reclaim = self
                .inner
                .reclaim
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            reclaim.reading.remove(&ticket);
            reclaim.free()
        };
        self.unlink(&free);
    }

    fn unlink(&self, names: &[String]) {
        for name in names {
            // A file that stays is an orphan, and the next start sweeps it.
            if let Err(error) = fs::remove_file(self.path(name)) {
                tracing::warn!(%error, blob = %name, "a blob file could not be removed");
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.inner
            .folder
            .join(name.get(..2).unwrap_or("00"))
            .join(name)
    }
}

impl Reclaim {
    /// Takes the garbage that no read can still see.
    fn free(&mut self) -> Vec<String> {
        let oldest = self.reading.first().copied().unwrap_or(u64::MAX);
        let mut free = Vec::new();
        while self
            .garbage
            .front()
            .is_some_and(|(ticket, _)| *ticket <= oldest)
        {
            if let Some((_, names)) = self.garbage.pop_front() {
                free.extend(names);
            }
        }
        free
    }
}

/// Keeps blob files in place while it lives.
#[derive(Debug)]
pub(crate) struct Reading {
    blobs: Blobs,
    ticket: u64,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.blobs.finish_reading(self.ticket);
    }
}

/// A file that belongs to no object yet. Dropped without [`Staged::keep`], it is removed.
#[derive(Debug)]
pub(crate) struct Staged {
    blobs: Blobs,
    name: String,
    path: PathBuf,
    file: Option<File>,
    kept: bool,
}

impl Staged {
    /// The blob's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Appends `bytes`.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => Err(io::Error::other("the blob file is already complete")),
        }
    }

    /// Makes the bytes durable and moves the file to its place. It still belongs to no object.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let Some(file) = self.file.take() else {
            return Ok(());
        };
        let durable = self.blobs.inner.durable;
        if durable {
            file.sync_all()?;
        }
        let target = self.blobs.path(&self.name);
        fs::rename(&self.path, &target)?;
        self.path.clone_from(&target);
        if durable && let Some(folder) = target.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// The commit that refers to this file is done.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.kept {
            // What stays behind is swept at the next start.
            drop(fs::remove_file(&self.path));
        }
    }
}
