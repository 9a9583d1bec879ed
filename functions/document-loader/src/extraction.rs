//! Text extracted from objects: here, where that is harmless, and otherwise by a process of its own.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt};
use tokio_util::io::StreamReader;

use crate::extract::{ExtractError, Extractor, Hint, Limits, Refusal, Text, document};
use crate::reason::{Problem, Reason};

const MIB: u64 = 1024 * 1024;
/// Memory of a process at least, which is where the smallest documents with fonts and pictures begin to fit.
const MEMORY: u64 = 256 * MIB;
/// What processes are given if there is enough for two of them.
const PLENTY: u64 = 512 * MIB;
/// Processes at a time. There are two even where memory is short: one source may have but one of them.
const PROCESSES: std::ops::RangeInclusive<u64> = 2..=8;
/// Text of a document, in bytes.
const TEXT: u64 = 32 * MIB;
/// What a process may compute, and how long its answer may take: where there are less CPUs than processes, that is more.
const CPU_SECONDS: u64 = 30;
const WALL: Duration = Duration::from_secs(90);
/// Larger texts are left to a process, in bytes: everything else would wait for them.
const SMALL: usize = 256 * 1024;

/// How text is extracted.
#[derive(Debug)]
pub(crate) struct Extraction {
    program: Option<PathBuf>,
    limits: Limits,
}

/// How many documents may be read by processes at a time, in a function of so much memory, in bytes.
pub(crate) fn processes(memory: u64) -> usize {
    let count = (for_processes(memory) / PLENTY).clamp(*PROCESSES.start(), *PROCESSES.end());
    usize::try_from(count).unwrap_or(1)
}

/// Three quarters: the rest is for what is in hand here.
fn for_processes(memory: u64) -> u64 {
    memory / 4 * 3
}

impl Extraction {
    /// By this program, or by the one that is running, in a function of so much memory, in bytes.
    pub(crate) fn new(program: Option<PathBuf>, memory: u64) -> Self {
        let count = u64::try_from(processes(memory)).unwrap_or(1);
        let limits = Limits {
            text: TEXT,
            memory: (for_processes(memory) / count).max(MEMORY),
            cpu_seconds: CPU_SECONDS,
            wall: WALL,
            ..Limits::default()
        };
        Self { program, limits }
    }

    /// The text of a small document that is nothing but text: to decode it takes no library that could be led astray,
    /// and a process would cost ten times as much. `None` if it is anything else.
    pub(crate) fn plain(&self, pieces: &[Bytes], hint: &Hint) -> Option<Result<Text, Refusal>> {
        let size: usize = pieces.iter().map(Bytes::len).sum();
        if size > SMALL {
            return None;
        }
        document::read_plain(pieces.concat(), hint, &self.limits)
    }

    /// The text of a document of this size, read by a process of its own while it arrives.
    ///
    /// # Errors
    ///
    /// The document has no text for us, what its bytes end with, or there is no process.
    pub(crate) async fn text(
        &self,
        input: impl Stream<Item = Result<Bytes, Problem>> + Send,
        hint: &Hint,
        size: u64,
    ) -> Result<Result<Text, Refusal>, Problem> {
        let extractor = self.extractor(size)?;
        let input = StreamReader::new(input.map(|piece| piece.map_err(io::Error::other)));
        outcome(extractor.extract(input, hint).await)
    }

    /// The same of a document that has arrived.
    ///
    /// # Errors
    ///
    /// There is no process.
    pub(crate) async fn file_text(
        &self,
        document: File,
        hint: &Hint,
        size: u64,
    ) -> Result<Result<Text, Refusal>, Problem> {
        let extractor = self.extractor(size)?;
        outcome(extractor.extract_file(document, hint).await)
    }

    /// Refuses what is larger than all that a process may have: nobody should read it before.
    pub(crate) fn refuse(&self, size: u64) -> Option<Refusal> {
        (size >= self.limits.memory).then_some(Refusal::OutOfMemory)
    }

    fn extractor(&self, size: u64) -> Result<Extractor, Problem> {
        let limits = Limits {
            document: size,
            ..self.limits
        };
        match &self.program {
            Some(program) => Ok(Extractor::new(program, limits)),
            None => Extractor::of_this_program(limits).map_err(|error| overloaded(&error)),
        }
    }
}

fn outcome(result: Result<Text, ExtractError>) -> Result<Result<Text, Refusal>, Problem> {
    match result {
        Ok(text) => Ok(Ok(text)),
        Err(ExtractError::Refused(refusal)) => Ok(Err(refusal)),
        Err(ExtractError::Document(error)) => Err(error
            .downcast::<Problem>()
            .unwrap_or_else(|error| Problem::new(Reason::Unavailable, error.to_string()))),
        Err(ExtractError::Process(error)) => Err(overloaded(&error)),
    }
}

fn overloaded(error: &io::Error) -> Problem {
    Problem::new(
        Reason::Overloaded,
        format!("there is no process to read it: {error}"),
    )
}

/// What a refusal is called here. `None`: there is simply nothing in it.
pub(crate) fn problem(refusal: &Refusal) -> Option<Problem> {
    let reason = match refusal {
        Refusal::Empty | Refusal::FolderMarker => return None,
        Refusal::Unsupported { .. } => Reason::Unsupported,
        Refusal::NeedsOcr { .. } => Reason::NeedsOcr,
        Refusal::Encrypted => Reason::Encrypted,
        Refusal::TooLarge { .. } => Reason::TooLarge,
        Refusal::OutOfMemory | Refusal::TooSlow => Reason::TooCostly,
        Refusal::Damaged { .. } | Refusal::Crashed { .. } | Refusal::BrokenProtocol { .. } => {
            Reason::ParseFailure
        }
    };
    Some(Problem::new(reason, refusal.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_process_could_hold_is_refused_before_it_is_read() {
        let extraction = Extraction::new(None, 1024 * MIB);
        assert_eq!(extraction.refuse(384 * MIB - 1), None);
        assert_eq!(extraction.refuse(384 * MIB), Some(Refusal::OutOfMemory));
    }
}
