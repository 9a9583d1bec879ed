//! A large document while it arrives: a file without a name, which nobody can change once it is whole.
//!
//! On Linux its pages are memory that belongs to no process, elsewhere it is on the disk. What arrives is written at its
//! place, in any order, beside the loop that everything else waits for: by one thread for each file, because a file is
//! locked while it is written. Another follows with the SHA-256, as far as there is no gap.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc as tokio_mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::unnamed::{close_to_changes, unnamed};

/// How much of the file is read at a time to hash it, in bytes: it stays in the processor's own memory.
const STEP: usize = 128 * 1024;
/// How many writes may wait for their turn.
const WAITING: usize = 4;

/// A file of so many bytes, as far as it has been written.
#[derive(Debug)]
pub(crate) struct Spool {
    orders: tokio_mpsc::Sender<Order>,
    writing: JoinHandle<io::Result<()>>,
    /// For those who only read.
    reading: File,
    hashing: JoinHandle<io::Result<Vec<u8>>>,
}

/// A file that stays what it is, and its SHA-256 when that is known.
#[derive(Debug)]
pub(crate) struct Spooled {
    pub(crate) file: File,
    pub(crate) hashing: JoinHandle<io::Result<Vec<u8>>>,
}

/// The file takes no more: [`Spool::finish`] knows why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

/// What whoever writes is told. A part is named by its first byte.
#[derive(Debug)]
enum Order {
    /// What comes next of this part.
    Write { part: u64, pieces: Vec<Bytes> },
    /// This part comes anew.
    Forget { part: u64 },
}

/// What whoever hashes is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// All before this byte is there.
    To(u64),
    /// What was there is written anew.
    Again,
}

impl Spool {
    /// An empty one, for a document of so many bytes that comes in parts of so many.
    ///
    /// # Errors
    /// The system has no room for it.
    pub(crate) fn new(size: u64, part: u64) -> io::Result<Self> {
        let (file, reading) = unnamed()?;
        file.set_len(size)?;
        let hashed = reading.try_clone()?;
        let (orders, told) = tokio_mpsc::channel(WAITING);
        let (steps, follow) = mpsc::channel();
        let parts = Parts::new(size, part);
        Ok(Self {
            orders,
            writing: spawn_blocking(move || write(&file, parts, told, &steps)),
            reading,
            hashing: spawn_blocking(move || hash(&hashed, size, &follow)),
        })
    }

    /// Has these bytes written, which come next of the part that begins here.
    pub(crate) async fn write(&self, part: u64, pieces: Vec<Bytes>) -> Result<(), Closed> {
        let order = Order::Write { part, pieces };
        self.orders.send(order).await.map_err(|_order| Closed)
    }

    /// Forgets what was written of the part that begins here.
    pub(crate) async fn forget(&self, part: u64) -> Result<(), Closed> {
        let order = Order::Forget { part };
        self.orders.send(order).await.map_err(|_order| Closed)
    }

    /// The file, when all of it is written.
    ///
    /// # Errors
    /// It could not be written, or cannot be closed to changes.
    pub(crate) async fn finish(self) -> io::Result<Spooled> {
        drop(self.orders);
        self.writing.await.map_err(io::Error::other)??;
        Ok(Spooled {
            file: self.reading,
            hashing: self.hashing,
        })
    }
}

/// How far each part has been written.
#[derive(Debug)]
struct Parts {
    size: u64,
    part: u64,
    /// Where the next byte of each goes.
    ends: Vec<u64>,
}

impl Parts {
    fn new(size: u64, part: u64) -> Self {
        let starts = (0..size.div_ceil(part)).map(|number| number * part);
        Self {
            size,
            part,
            ends: starts.collect(),
        }
    }

    /// Where the next byte goes of the part that begins here.
    fn end(&mut self, start: u64) -> io::Result<&mut u64> {
        let number = usize::try_from(start / self.part).ok();
        let end = number.and_then(|number| self.ends.get_mut(number));
        end.ok_or(io::ErrorKind::InvalidInput.into())
    }

    /// Up to where nothing is missing.
    fn contiguous(&self) -> u64 {
        let mut next = self.part;
        for end in &self.ends {
            if *end < next {
                return *end;
            }
            next += self.part;
        }
        self.size
    }
}

/// Does what it is told until nobody tells it anything. Then the file is whole.
fn write(
    file: &File,
    mut parts: Parts,
    mut told: tokio_mpsc::Receiver<Order>,
    steps: &mpsc::Sender<Step>,
) -> io::Result<()> {
    let mut contiguous = 0;
    while let Some(order) = told.blocking_recv() {
        match order {
            Order::Write { part, pieces } => {
                let end = parts.end(part)?;
                for piece in pieces {
                    file.write_all_at(&piece, *end)?;
                    *end += u64::try_from(piece.len()).map_err(io::Error::other)?;
                }
            }
            Order::Forget { part } => {
                *parts.end(part)? = part;
                if part < contiguous {
                    contiguous = 0;
                    let _told = steps.send(Step::Again);
                }
            }
        }
        let reached = parts.contiguous();
        if reached > contiguous {
            contiguous = reached;
            // Whoever hashes and could not go on says why in the end.
            let _told = steps.send(Step::To(contiguous));
        }
    }
    close_to_changes(file)
}

/// Hashes so many bytes of a file as they are told to be there.
fn hash(file: &File, size: u64, told: &mpsc::Receiver<Step>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; STEP];
    let mut digest = Sha256::new();
    let mut done = 0;
    for step in told {
        let Step::To(end) = step else {
            digest.reset();
            done = 0;
            continue;
        };
        while done < end {
            let length = usize::try_from(end - done).map_or(STEP, |left| left.min(STEP));
            let bytes = buffer.get_mut(..length).unwrap_or_default();
            file.read_exact_at(bytes, done)?;
            digest.update(bytes);
            done += u64::try_from(length).map_err(io::Error::other)?;
        }
    }
    if done == size {
        Ok(digest.finalize().to_vec())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use proptest::prelude::*;

    use super::*;

    fn digest(bytes: &[u8]) -> Vec<u8> {
        Sha256::digest(bytes).to_vec()
    }

    async fn finished(spool: Spool) -> (Vec<u8>, Vec<u8>) {
        let Spooled { mut file, hashing } = spool.finish().await.unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        (bytes, hashing.await.unwrap().unwrap())
    }

    proptest! {
        #[test]
        fn parts_in_any_order_with_second_tries_make_the_document(
            bytes in proptest::collection::vec(any::<u8>(), 1..5_000),
            part in 1_u64..700,
            steps in proptest::collection::vec((any::<prop::sample::Index>(), 1_usize..300, prop::bool::weighted(0.1)), 0..60),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let made = runtime.block_on(async {
                let size = u64::try_from(bytes.len()).unwrap();
                let spool = Spool::new(size, part).unwrap();
                // Where each part begins, how far it is, and where it ends.
                let mut parts: Vec<(u64, u64, u64)> = (0..size.div_ceil(part))
                    .map(|number| (number * part, number * part, ((number + 1) * part).min(size)))
                    .collect();
                let write = async |(start, next, end): &mut (u64, u64, u64), most: usize, is_wrong: bool| {
                    let range = usize::try_from(*next).unwrap()..usize::try_from(*end).unwrap();
                    let piece = &bytes[range];
                    let mut piece = piece[..piece.len().min(most)].to_vec();
                    let length = u64::try_from(piece.len()).unwrap();
                    if is_wrong {
                        piece.fill(0);
                    }
                    spool.write(*start, vec![piece.into()]).await.unwrap();
                    *next += length;
                    if is_wrong {
                        spool.forget(*start).await.unwrap();
                        *next = *start;
                    }
                };
                for (which, most, is_wrong) in steps {
                    let which = which.index(parts.len());
                    write(&mut parts[which], most, is_wrong).await;
                }
                for part in parts.iter_mut().rev() {
                    write(part, usize::MAX, false).await;
                }
                finished(spool).await
            });
            prop_assert_eq!(made, (bytes.clone(), digest(&bytes)));
        }
    }

    #[tokio::test]
    async fn a_document_of_which_something_is_missing_has_no_hash() {
        let spool = Spool::new(10, 5).unwrap();
        spool.write(5, vec!["world".into()]).await.unwrap();
        let Spooled { hashing, .. } = spool.finish().await.unwrap();
        let error = hashing.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn what_belongs_to_no_part_ends_the_file_and_is_told() {
        let spool = Spool::new(10, 5).unwrap();
        spool.write(10, vec!["!".into()]).await.unwrap();
        while spool.write(0, vec!["hello".into()]).await.is_ok() {
            tokio::task::yield_now().await;
        }
        let error = spool.finish().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[tokio::test]
    async fn nobody_changes_a_document_that_is_whole() {
        let spool = Spool::new(5, 5).unwrap();
        spool.write(0, vec!["hello".into()]).await.unwrap();
        let Spooled { mut file, hashing } = spool.finish().await.unwrap();
        assert!(file.write_all(b"H").is_err());
        assert!(file.write_all_at(b"more", 5).is_err());
        assert!(file.set_len(3).is_err());
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd as _;
            // By this way even a file that is open for reading alone would be opened for more.
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            let again = File::options().write(true).open(path);
            assert!(again.is_err() || again.unwrap().write_all(b"H").is_err());
        }
        let mut bytes = String::new();
        file.read_to_string(&mut bytes).unwrap();
        assert_eq!(bytes, "hello");
        assert_eq!(hashing.await.unwrap().unwrap(), digest(b"hello"));
    }
}
