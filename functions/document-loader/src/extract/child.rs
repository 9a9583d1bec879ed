//! The process that reads a document: this program, started again with the command `extract`.
//!
//! A library that reads documents may be made to crash, to take all memory or to run forever. Here it can do so without
//! harm: the process has no environment, no files but its document and no connections, cannot open any, and ends with
//! its limits or with the process that started it.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::resource::{Resource, setrlimit};

use crate::extract::document;
use crate::extract::format::{self, BEGINNING};
use crate::extract::input::InputFile;
use crate::extract::protocol::{Answer, COMMAND, Request};
use crate::extract::refusal::{Refusal, Size, shortened};
use crate::extract::text::Text;

/// Reads a document if the arguments of this program, without its name, say so.
///
/// Then the program must end with the exit code. Call this before anything else, for it closes every file but the
/// standard ones.
///
/// Every program that has an [`Extractor`](super::Extractor) of its own executable has to do this first.
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    if arguments.next()? != COMMAND {
        return None;
    }
    let request = arguments.next().and_then(|request| {
        let request = request.into_string().ok()?;
        serde_json::from_str(&request).ok()
    });
    Some(match request {
        Some(request) => answer(&request),
        None => ExitCode::from(2),
    })
}

fn answer(request: &Request) -> ExitCode {
    if confine(request).is_err() {
        return ExitCode::from(3);
    }
    let (answer, text) = match read(request) {
        Ok(Text {
            format,
            text,
            marks,
        }) => {
            let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
            let answer = Answer::Text {
                format,
                length,
                marks,
            };
            (answer, text)
        }
        Err(refusal) => (Answer::Refused(refusal), String::new()),
    };
    match write(&answer, &text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_nobody_listens) => ExitCode::from(4),
    }
}

fn write(answer: &Answer, text: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.write_all(text.as_bytes())?;
    output.flush()
}

/// Gives up what is not needed to read a document, before the first byte of it is read.
fn confine(request: &Request) -> Result<(), nix::Error> {
    close_inherited()?;
    let limits = &request.limits;
    let limit = |resource, value| setrlimit(resource, value, value);
    limit(Resource::RLIMIT_CORE, 0)?;
    limit(Resource::RLIMIT_FSIZE, 0)?;
    limit_memory(limits.memory)?;
    // The signal of the first limit says what happened, the second one cannot be ignored.
    let seconds = limits.cpu_seconds;
    setrlimit(Resource::RLIMIT_CPU, seconds, seconds.saturating_add(1))?;
    // The standard ones are open; another one cannot be opened, not even in the place of one of them.
    limit(Resource::RLIMIT_NOFILE, 0)?;
    end_with_parent(request.parent)
}

fn limit_memory(bytes: u64) -> Result<(), nix::Error> {
    let limited = setrlimit(Resource::RLIMIT_AS, bytes, bytes);
    // macOS has no such limit.
    if cfg!(target_os = "linux") {
        limited
    } else {
        Ok(())
    }
}

/// Closes the files that whoever started this process forgot to keep to themselves.
fn close_inherited() -> Result<(), nix::Error> {
    let open: Vec<i32> = match std::fs::read_dir("/dev/fd") {
        Ok(files) => files
            .filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok())
            .collect(),
        Err(_no_list) => (3..1024).collect(),
    };
    for file in open {
        if file > 2 {
            match nix::unistd::close(file) {
                // The list itself was one of them.
                Ok(()) | Err(nix::Error::EBADF) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Ends this process with the one that started it. Where the kernel cannot do that, the limit of time does.
fn end_with_parent(parent: u32) -> Result<(), nix::Error> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    // It may have ended before.
    if std::os::unix::process::parent_id() == parent {
        Ok(())
    } else {
        Err(nix::Error::ESRCH)
    }
}

fn read(request: &Request) -> Result<Text, Refusal> {
    match InputFile::open() {
        Ok(Some(file)) => read_file(file, request),
        Ok(None) => read_pipe(request),
        Err(error) => Err(Refusal::unreadable(&error)),
    }
}

/// Reads a document that is there. An archive stays where it is, for most of it may be pictures.
fn read_file(file: InputFile, request: &Request) -> Result<Text, Refusal> {
    let limits = &request.limits;
    if file.length() > limits.document {
        return Err(Refusal::too_large(Size::Document, limits.document));
    }
    let mut beginning = Vec::new();
    let read = file.clone().take(BEGINNING).read_to_end(&mut beginning);
    read.map_err(|error| Refusal::unreadable(&error))?;
    if let Some(refusal) = format::refuse_early(&beginning) {
        return Err(refusal);
    }
    if format::is_archive(&beginning) {
        // The pages of the file are memory, too.
        let memory = limits.memory.saturating_sub(file.length());
        let limited = limit_memory(memory);
        limited.map_err(|error| Refusal::unreadable(&error.into()))?;
        return without_panic(|| document::read_archive(file, limits));
    }
    let bytes = file.into_bytes();
    let bytes = bytes.map_err(|error| Refusal::unreadable(&error))?;
    without_panic(|| document::read(bytes, &request.hint, limits))
}

/// Reads a document as it comes.
fn read_pipe(request: &Request) -> Result<Text, Refusal> {
    let limit = request.limits.document;
    let mut bytes = Vec::new();
    let mut input = std::io::stdin().lock();
    let beginning = BEGINNING.min(limit);
    let mut read = |bytes: &mut Vec<u8>, limit| {
        let input = input.by_ref();
        let read = input.take(limit).read_to_end(bytes);
        read.map_err(|error| Refusal::unreadable(&error))
    };
    read(&mut bytes, beginning)?;
    if let Some(refusal) = format::refuse_early(&bytes) {
        return Err(refusal);
    }
    // One byte more than allowed tells what is too large.
    read(&mut bytes, limit.saturating_add(1) - beginning)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(Refusal::too_large(Size::Document, limit));
    }
    without_panic(|| document::read(bytes, &request.hint, &request.limits))
}

/// Makes a refusal of a panic, with its place in the code: it is a mistake in a library, and somebody has to find it.
fn without_panic(read: impl FnOnce() -> Result<Text, Refusal>) -> Result<Text, Refusal> {
    let panicked = Arc::new(Mutex::new(None));
    let note = Arc::clone(&panicked);
    panic::set_hook(Box::new(move |panic| {
        *note.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic.to_string());
    }));
    let result = panic::catch_unwind(AssertUnwindSafe(read));
    drop(panic::take_hook());
    result.unwrap_or_else(|_panic| {
        let reason = panicked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Err(Refusal::Crashed {
            reason: shortened(&reason.unwrap_or_default()),
        })
    })
}
