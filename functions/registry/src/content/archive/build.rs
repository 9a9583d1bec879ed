use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc32fast::Hasher;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use shared::s3::{self, Upload};

use super::Member;
use super::plan::{Part, Piece, Plan, Stretch};
use super::zip::{self, Entry};
use crate::content::{Content, Error};
use crate::key;

/// Parts that S3 copies at a time.
const COPIES: usize = 16;
/// Parts that are put together and sent at a time: each may take 10 MiB of memory, twice while it is sent.
const SENT: usize = 3;
/// Files that are read at a time for one part.
const READS: usize = 16;

/// The making of an archive. What is done is noted, so that it is known when the making is broken off.
#[derive(Debug)]
pub(super) struct Build<'a> {
    content: &'a Content,
    members: &'a [Member],
    plan: &'a Plan,
    /// Parts that S3 has.
    done: Mutex<BTreeMap<u16, s3::Part>>,
    /// CRC-32 of whole files, by their numbers.
    known: Mutex<BTreeMap<usize, u32>>,
}

impl<'a> Build<'a> {
    pub(super) fn new(
        content: &'a Content,
        members: &'a [Member],
        plan: &'a Plan,
        known: BTreeMap<usize, u32>,
    ) -> Self {
        Self {
            content,
            members,
            plan,
            done: Mutex::default(),
            known: Mutex::new(known),
        }
    }

    pub(super) fn known(&self) -> BTreeMap<usize, u32> {
        lock(&self.known).clone()
    }

    pub(super) fn parts_done(&self) -> usize {
        lock(&self.done).len()
    }

    /// Makes the archive, from where the upload is.
    pub(super) async fn run(&self, upload: Upload<'_>) -> Result<(), Error> {
        let found = self.content.bucket.all_parts(&upload).await?;
        let found = found.into_iter().filter(|part| {
            part.crc32.is_some() && usize::from(part.number) <= self.plan.parts.len()
        });
        lock(&self.done).extend(found.map(|part| (part.number, part)));
        let parts = || (1_u16..).zip(&self.plan.parts);
        // The copies first: the headers before them tell what S3 finds out by copying.
        let copies: Vec<_> = parts()
            .filter_map(|(number, part)| match part {
                Part::Copied(stretch) if !self.is_done(number) => Some((number, stretch)),
                _ => None,
            })
            .map(|(number, stretch)| self.copy(upload, number, stretch))
            .collect();
        stream::iter(copies)
            .buffer_unordered(COPIES)
            .try_collect::<()>()
            .await?;
        let mut sent: Vec<_> = parts()
            .filter_map(|(number, part)| match part {
                Part::Sent(pieces) => Some((number, pieces)),
                Part::Copied(_) => None,
            })
            .collect();
        let last = sent.pop();
        let sends: Vec<_> = sent
            .into_iter()
            .map(|(number, pieces)| self.send(upload, number, pieces))
            .collect();
        stream::iter(sends)
            .buffer_unordered(SENT)
            .try_collect::<()>()
            .await?;
        // The directory is in the last part, and knows all others.
        if let Some((number, pieces)) = last {
            self.send(upload, number, pieces).await?;
        }
        let done: Vec<s3::Part> = lock(&self.done).values().cloned().collect();
        // Said again, so that S3 refuses what is not all of it.
        let directory = u64::try_from(self.directory().len()).unwrap_or(u64::MAX);
        let size = self.plan.directory.saturating_add(directory);
        let completed = self
            .content
            .bucket
            .complete_upload(&upload, &done, size, false);
        Ok(completed.await?)
    }

    async fn copy(&self, upload: Upload<'_>, number: u16, stretch: &Stretch) -> Result<(), Error> {
        let Some(member) = self.members.get(stretch.file) else {
            return Ok(());
        };
        let key = key::file(&self.content.id, &member.path);
        let source = (key.as_str(), member.etag.as_str());
        let copied = self
            .content
            .bucket
            .copy_part(&upload, number, source, &stretch.bytes)
            .await?;
        if crc32(&copied).is_none() {
            return Err(Error::NoChecksums);
        }
        lock(&self.done).insert(number, copied);
        Ok(())
    }

    /// Puts a part together and sends it, as far as that is not done.
    async fn send(&self, upload: Upload<'_>, number: u16, pieces: &[Piece]) -> Result<(), Error> {
        let is_sent = self.is_done(number) && !pieces.contains(&Piece::Directory);
        let mut files = pieces.iter().filter_map(|piece| match piece {
            Piece::Header(file) => Some(file),
            _ => None,
        });
        if is_sent && files.all(|file| lock(&self.known).contains_key(file)) {
            return Ok(());
        }
        let reads: Vec<_> = pieces.iter().map(|piece| self.read(piece)).collect();
        let read: Vec<Vec<u8>> = stream::iter(reads).buffered(READS).try_collect().await?;
        for (piece, bytes) in pieces.iter().zip(&read) {
            let file = match piece {
                // Of an empty file, and of one that is copied from its first byte on, nothing is read.
                Piece::Header(file) => *file,
                Piece::Bytes(stretch) => stretch.file,
                Piece::Directory => continue,
            };
            let mut crc32 = Hasher::new();
            crc32.update(bytes);
            let crc32 = self.with_copies(crc32, file, number);
            lock(&self.known).insert(file, crc32);
        }
        if is_sent {
            return Ok(());
        }
        let mut bytes = Vec::new();
        for (piece, read) in pieces.iter().zip(read) {
            match piece {
                Piece::Header(file) => {
                    if let Some(entry) = self.entry(*file) {
                        bytes.extend(zip::local_header(&entry));
                    }
                }
                Piece::Bytes(_) => bytes.extend(read),
                Piece::Directory => bytes.extend(self.directory()),
            }
        }
        let crc32 = STANDARD.encode(crc32fast::hash(&bytes).to_be_bytes());
        let put = self
            .content
            .bucket
            .put_part(&upload, number, bytes, crc32)
            .await?;
        lock(&self.done).insert(number, put);
        Ok(())
    }

    async fn read(&self, piece: &Piece) -> Result<Vec<u8>, Error> {
        let Piece::Bytes(stretch) = piece else {
            return Ok(Vec::new());
        };
        let Some(member) = self.members.get(stretch.file) else {
            return Ok(Vec::new());
        };
        let key = key::file(&self.content.id, &member.path);
        let read = self
            .content
            .bucket
            .get_range(&key, &member.etag, &stretch.bytes);
        Ok(read.await?)
    }

    /// The CRC-32 of a file whose beginning has this one: S3 has told those of its copies, which follow the part of this
    /// number.
    fn with_copies(&self, mut beginning: Hasher, file: usize, number: u16) -> u32 {
        let done = lock(&self.done);
        let behind = (1_u16..).zip(&self.plan.parts).skip(number.into());
        for (number, part) in behind {
            let Part::Copied(stretch) = part else { break };
            if stretch.file == file
                && let Some(crc32) = done.get(&number).and_then(crc32)
            {
                let bytes = stretch.bytes.end - stretch.bytes.start;
                beginning.combine(&Hasher::new_with_initial_len(crc32, bytes));
            }
        }
        beginning.finalize()
    }

    fn directory(&self) -> Vec<u8> {
        let files = 0..self.members.len();
        let entries: Vec<Entry<'_>> = files.filter_map(|file| self.entry(file)).collect();
        zip::directory(&entries, self.plan.directory)
    }

    /// A file as the archive tells of it.
    fn entry(&self, file: usize) -> Option<Entry<'a>> {
        let member = self.members.get(file)?;
        Some(Entry {
            name: member.path.as_str(),
            size: member.size,
            crc32: *lock(&self.known).get(&file)?,
            modified: member.modified,
            offset: *self.plan.offsets.get(file)?,
        })
    }

    fn is_done(&self, number: u16) -> bool {
        lock(&self.done).contains_key(&number)
    }
}

fn crc32(part: &s3::Part) -> Option<u32> {
    let bytes = STANDARD.decode(part.crc32.as_deref()?).ok()?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one insertion.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
