//! Has documents read by a process of their own, and takes whatever comes of it.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::Stdio;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::extract::format::Hint;
use crate::extract::limits::Limits;
use crate::extract::protocol::{COMMAND, Request};
use crate::extract::refusal::Refusal;
use crate::extract::reply::{Broken, listen, verdict};
use crate::extract::text::Text;

/// How much of a document is held here on its way, in bytes.
const BUFFER: usize = 64 * 1024;

/// Has documents read, each by a process of its own.
#[derive(Debug, Clone)]
pub struct Extractor {
    program: PathBuf,
    limits: Limits,
}

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// It is the document's fault. Nothing else was harmed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The document could not be had, or not all of it.
    #[error("cannot receive the document")]
    Document(#[source] io::Error),
    /// The process could not be started or waited for.
    #[error("cannot run the process that reads documents")]
    Process(#[source] io::Error),
}

impl Extractor {
    /// Documents are read by this program, which calls [`child::run`](crate::extract::child::run) first of all.
    pub fn new(program: impl Into<PathBuf>, limits: Limits) -> Self {
        Self {
            program: program.into(),
            limits,
        }
    }

    /// Documents are read by the program that is running.
    ///
    /// # Errors
    /// The system does not say where that is.
    pub fn of_this_program(limits: Limits) -> io::Result<Self> {
        Ok(Self::new(std::env::current_exe()?, limits))
    }

    /// The text of a document, which is handed on while it arrives.
    ///
    /// Dropping the future ends the process. On Linux so does the end of the thread that polls it for the first time,
    /// which must not be one of the short-lived ones of `spawn_blocking`.
    ///
    /// # Errors
    /// The document has no text for us, or could not be received, or there is no process to read it.
    pub async fn extract(
        &self,
        document: impl AsyncRead,
        hint: &Hint,
    ) -> Result<Text, ExtractError> {
        let limits = &self.limits;
        let mut process = self.start(hint, Stdio::piped())?;
        let input = process.input.take();
        let input = input.ok_or(ExtractError::Process(io::ErrorKind::BrokenPipe.into()))?;
        let mut feeding = pin!(feed(document, input, limits));
        let mut answer = pin!(process.answer(limits));
        tokio::select! {
            answer = &mut answer => answer,
            fed = &mut feeding => match fed.map_err(ExtractError::Document)? {
                Fed::All => in_time(answer, limits).await,
                Fed::Stuck => Err(Refusal::TooSlow.into()),
            }
        }
    }

    /// The same of a document that has arrived. The process can read the file, but nothing else is kept from it: nobody
    /// must be able to write to it any more.
    ///
    /// # Errors
    /// As of [`extract`](Self::extract).
    pub async fn extract_file(&self, document: File, hint: &Hint) -> Result<Text, ExtractError> {
        let process = self.start(hint, document.into())?;
        in_time(process.answer(&self.limits), &self.limits).await
    }

    fn start(&self, hint: &Hint, input: Stdio) -> Result<Process, ExtractError> {
        let request = Request {
            hint: hint.clone(),
            limits: self.limits,
            parent: std::process::id(),
        };
        let request = serde_json::to_string(&request).map_err(io::Error::from);
        let mut child = Command::new(&self.program)
            .arg(COMMAND)
            .arg(request.map_err(ExtractError::Process)?)
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(ExtractError::Process)?;
        let missing = || ExtractError::Process(io::ErrorKind::BrokenPipe.into());
        Ok(Process {
            group: Group::of(child.id()),
            input: child.stdin.take(),
            output: child.stdout.take().ok_or_else(missing)?,
            errors: child.stderr.take().ok_or_else(missing)?,
            child,
        })
    }
}

/// A process that reads, and the ends of its pipes.
struct Process {
    group: Group,
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    errors: ChildStderr,
}

impl Process {
    /// What comes of it.
    async fn answer(mut self, limits: &Limits) -> Result<Text, ExtractError> {
        let (reply, complaint) = listen(self.output, self.errors, limits).await;
        let status = if matches!(reply, Err(Broken::TooMuch)) {
            // It is still writing, and would never end.
            None
        } else {
            let status = self.child.wait().await;
            let status = status.map_err(ExtractError::Process)?;
            self.group.is_gone();
            Some(status)
        };
        Ok(verdict(reply, &complaint, status)?)
    }
}

/// The answer, if it does not take too long.
async fn in_time(
    answer: impl Future<Output = Result<Text, ExtractError>>,
    limits: &Limits,
) -> Result<Text, ExtractError> {
    let in_time = timeout(limits.wall, answer).await;
    in_time.unwrap_or_else(|_elapsed| Err(Refusal::TooSlow.into()))
}

/// What became of a document that was handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fed {
    /// The process has it, or does not want it any more: there is an answer already, or a crash.
    All,
    /// The process takes nothing, for longer than its answer may take.
    Stuck,
}

/// Hands the document on. How long it takes to arrive here is not the fault of whoever reads it.
async fn feed(document: impl AsyncRead, mut input: ChildStdin, limits: &Limits) -> io::Result<Fed> {
    // One byte more than allowed, so that the process sees that it is too large.
    let mut document = pin!(document.take(limits.document.saturating_add(1)));
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = document.read(&mut buffer).await?;
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(Fed::All);
        }
        match timeout(limits.wall, input.write_all(bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(_nobody_reads)) => return Ok(Fed::All),
            Err(_elapsed) => return Ok(Fed::Stuck),
        }
    }
}

/// The process and all that it may have started. They end with this value.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(leader: Option<u32>) -> Self {
        let leader = leader.and_then(|leader| i32::try_from(leader).ok());
        Self(leader.map(Pid::from_raw))
    }

    /// It was waited for: its number may belong to another process from now on.
    fn is_gone(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // It may have ended just now, and only the child of ours that nobody waited for keeps the number.
            let _gone = killpg(leader, Signal::SIGKILL);
        }
    }
}
