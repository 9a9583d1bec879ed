//! Sending bytes: pieces read in large chunks on the blocking threads, one chunk ahead.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use s3s::StdError;
use s3s::stream::{ByteStream, RemainingLength};
use tokio::task::JoinHandle;

use crate::blobs::{Blobs, Reading};
use crate::content::{Piece, Source};

/// Bytes read at once. Large enough that a thread switch per chunk does not count.
const CHUNK: u64 = 512 * 1024;

/// Reads pieces in order. Blocks.
pub(crate) struct PieceReader {
    blobs: Blobs,
    pieces: VecDeque<Piece>,
    open: Option<io::Take<File>>,
    _reading: Reading,
}

impl PieceReader {
    /// A reader of `pieces`; `reading` was taken before they were looked up.
    pub(crate) fn new(blobs: Blobs, pieces: Vec<Piece>, reading: Reading) -> Self {
        Self {
            blobs,
            pieces: pieces.into(),
            open: None,
            _reading: reading,
        }
    }

    /// The next bytes, at most a chunk; `None` at the end.
    pub(crate) fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(file) = &mut self.open {
                if file.limit() == 0 {
                    self.open = None;
                    continue;
                }
                let wanted = file.limit().min(CHUNK);
                let mut chunk = Vec::with_capacity(usize::try_from(wanted).unwrap_or(0));
                file.by_ref().take(wanted).read_to_end(&mut chunk)?;
                if chunk.is_empty() {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "a blob file is shorter than its row says",
                    ));
                }
                return Ok(Some(Bytes::from(chunk)));
            }
            let Some(piece) = self.pieces.pop_front() else {
                return Ok(None);
            };
            let (start, length) = (
                u64::try_from(piece.start).unwrap_or(0),
                u64::try_from(piece.length).unwrap_or(0),
            );
            match piece.source {
                Source::Inline(bytes) => {
                    let start = usize::try_from(start).unwrap_or(usize::MAX);
                    let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
                    if end > bytes.len() {
                        return Err(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            "a blob is shorter than its row says",
                        ));
                    }
                    return Ok(Some(bytes.slice(start..end)));
                }
                Source::File(name) => {
                    let mut file = self.blobs.read(&name)?;
                    file.seek(SeekFrom::Start(start))?;
                    self.open = Some(file.take(length));
                }
            }
        }
    }
}

type Step = (PieceReader, io::Result<Option<Bytes>>);

/// The body of a GET.
pub(crate) struct ObjectBody {
    state: State,
    remaining: usize,
}

enum State {
    Idle(Box<PieceReader>),
    Reading(JoinHandle<Step>),
    Done,
}

impl ObjectBody {
    /// A body of `length` bytes.
    pub(crate) fn new(reader: PieceReader, length: i64) -> Self {
        Self {
            state: State::Idle(Box::new(reader)),
            remaining: usize::try_from(length).unwrap_or(0),
        }
    }
}

fn step(mut reader: PieceReader) -> JoinHandle<Step> {
    tokio::task::spawn_blocking(move || {
        let chunk = reader.next_chunk();
        (reader, chunk)
    })
}

impl Stream for ObjectBody {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let State::Idle(_) = &self.state
            && let State::Idle(mut reader) = std::mem::replace(&mut self.state, State::Done)
        {
            // Bytes that are in memory need no thread.
            if reader.open.is_none()
                && reader
                    .pieces
                    .front()
                    .is_some_and(|piece| matches!(piece.source, Source::Inline(_)))
            {
                let chunk = reader.next_chunk();
                self.state = State::Idle(reader);
                return Poll::Ready(self.deliver(chunk));
            }
            if self.remaining == 0 {
                return Poll::Ready(None);
            }
            self.state = State::Reading(step(*reader));
        }
        let State::Reading(reading) = &mut self.state else {
            return Poll::Ready(None);
        };
        let joined = ready!(Pin::new(reading).poll(context));
        self.state = State::Done;
        let (reader, chunk) = match joined {
            Ok(step) => step,
            Err(error) => return Poll::Ready(Some(Err(error.into()))),
        };
        let delivered = self.deliver(chunk);
        if matches!(delivered, Some(Ok(_))) && self.remaining > 0 {
            let more_in_memory = reader.open.is_none()
                && reader
                    .pieces
                    .front()
                    .is_some_and(|piece| matches!(piece.source, Source::Inline(_)));
            self.state = if more_in_memory {
                State::Idle(Box::new(reader))
            } else {
                State::Reading(step(reader))
            };
        }
        Poll::Ready(delivered)
    }
}

impl ObjectBody {
    fn deliver(&mut self, chunk: io::Result<Option<Bytes>>) -> Option<Result<Bytes, StdError>> {
        match chunk {
            Ok(Some(bytes)) => {
                self.remaining = self.remaining.saturating_sub(bytes.len());
                Some(Ok(bytes))
            }
            Ok(None) => None,
            Err(error) => {
                tracing::error!(%error, "an object could not be read");
                self.state = State::Done;
                Some(Err(error.into()))
            }
        }
    }
}

impl ByteStream for ObjectBody {
    fn remaining_length(&self) -> RemainingLength {
        RemainingLength::new_exact(self.remaining)
    }
}
