//! A large object, read in parts, several at a time, into a file.

use std::io;
use std::pin::pin;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};

use crate::body::pieces;
use crate::extract::format::{BEGINNING, is_hopeless};
use crate::head::Head;
use crate::read::{LARGE, Reading};
use crate::reason::{Problem, Reason};
use crate::spool::{Closed, Spool, Spooled};

/// Bytes of a part, and how many parts are read at a time.
const PART: u64 = LARGE / 2;
const PARTS: usize = 4;
/// A part that breaks off is asked for again, so often in all: the rest of the object would be read in vain.
const TRIES: u32 = 3;
/// How much of a part is written at a time, in bytes.
const BATCH: usize = 256 * 1024;

/// What became of a large object.
#[derive(Debug)]
pub(crate) enum Download {
    /// All of it is there.
    All(Spooled),
    /// Its beginning is enough to refuse it: nothing else was waited for.
    Hopeless(Bytes),
}

/// Why there is no more of a part.
enum Stop {
    Problem(Problem),
    Hopeless(Bytes),
    Closed,
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Closed> for Stop {
    fn from(_closed: Closed) -> Self {
        Self::Closed
    }
}

impl Reading<'_> {
    /// Reads a large object. Nothing of it stays in memory here.
    pub(crate) async fn download(self, head: &Head) -> Result<Download, Problem> {
        let spool = Spool::new(head.size, PART).map_err(|error| no_room(&error))?;
        let starts = (0..head.size.div_ceil(PART)).map(|number| number * PART);
        let parts = stream::iter(starts)
            .map(|start| self.part(head, start, &spool))
            .buffer_unordered(PARTS)
            .try_collect::<()>();
        match parts.await {
            Ok(()) | Err(Stop::Closed) => {
                let spooled = spool.finish().await;
                Ok(Download::All(spooled.map_err(|error| no_room(&error))?))
            }
            Err(Stop::Hopeless(beginning)) => Ok(Download::Hopeless(beginning)),
            Err(Stop::Problem(problem)) => Err(problem),
        }
    }

    async fn part(self, head: &Head, start: u64, spool: &Spool) -> Result<(), Stop> {
        let mut tries = 1;
        loop {
            match self.try_part(head, start, spool).await {
                Err(Stop::Problem(problem))
                    if tries < TRIES
                        && matches!(problem.reason, Reason::Unavailable | Reason::Damaged) =>
                {
                    tracing::debug!(error = %problem, start, "asking for a part again");
                    tries += 1;
                    spool.forget(start).await?;
                }
                part => return part,
            }
        }
    }

    async fn try_part(self, head: &Head, start: u64, spool: &Spool) -> Result<(), Stop> {
        let end = (start + PART).min(head.size);
        let range = format!("bytes={start}-{}", end - 1);
        let version = head.version();
        let (range, version) = (range.as_str(), &version);
        let object = self
            .ask(|access| async move { self.get(&access, version, Some(range)).await })
            .await?;
        let mut pieces = pin!(pieces(object.body, end - start));
        let mut is_beginning = start == 0;
        loop {
            let batch = batch(&mut pieces).await?;
            if batch.is_empty() {
                return Ok(());
            }
            if is_beginning && let Some(beginning) = hopeless(&batch) {
                return Err(Stop::Hopeless(beginning));
            }
            is_beginning = false;
            spool.write(start, batch).await?;
        }
    }
}

/// What comes next. Nothing: that was all.
async fn batch(
    pieces: &mut (impl Stream<Item = Result<Bytes, Problem>> + Unpin),
) -> Result<Vec<Bytes>, Problem> {
    let mut batch = Vec::new();
    let mut length = 0;
    while length < BATCH
        && let Some(piece) = pieces.try_next().await?
    {
        length += piece.len();
        batch.push(piece);
    }
    Ok(batch)
}

/// The beginning of an object, if nothing that comes after it could make a text of it.
fn hopeless(batch: &[Bytes]) -> Option<Bytes> {
    let length = usize::try_from(BEGINNING).unwrap_or(usize::MAX);
    let mut beginning = batch.concat();
    beginning.truncate(length);
    is_hopeless(&beginning).then(|| beginning.into())
}

fn no_room(error: &io::Error) -> Problem {
    Problem::new(
        Reason::Overloaded,
        format!("there is no room for it: {error}"),
    )
}
