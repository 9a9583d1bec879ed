//! Has documents read by a process of their own, and takes whatever comes of it.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::extract::format::Hint;
use crate::extract::limits::Limits;
use crate::extract::protocol::{Answer, COMMAND, Request, longest_answer};
use crate::extract::refusal::Refusal;
use crate::extract::text::Text;

/// How much of a document is held here on its way, in bytes.
const BUFFER: usize = 64 * 1024;

/// How much of what the process complains about is kept, in bytes.
const COMPLAINT: usize = 4096;

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
        let request = Request {
            hint: hint.clone(),
            limits: self.limits,
            parent: std::process::id(),
        };
        let request = serde_json::to_string(&request).map_err(io::Error::from);
        let mut process = Command::new(&self.program)
            .arg(COMMAND)
            .arg(request.map_err(ExtractError::Process)?)
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(ExtractError::Process)?;
        let mut group = Group::of(process.id());
        let missing = || ExtractError::Process(io::ErrorKind::BrokenPipe.into());
        let input = process.stdin.take().ok_or_else(missing)?;
        let output = process.stdout.take().ok_or_else(missing)?;
        let errors = process.stderr.take().ok_or_else(missing)?;

        let limits = &self.limits;
        let mut feeding = pin!(feed(document, input, limits));
        let mut listening = pin!(async {
            let (reply, complaint) = listen(output, errors, limits).await;
            if matches!(reply, Err(Broken::TooMuch)) {
                // It is still writing, and would never end.
                return Ok((reply, complaint, None));
            }
            let status = process.wait().await?;
            group.is_gone();
            Ok((reply, complaint, Some(status)))
        });
        let heard = tokio::select! {
            heard = &mut listening => heard,
            fed = &mut feeding => {
                if fed.map_err(ExtractError::Document)? == Fed::Stuck {
                    return Err(Refusal::TooSlow.into());
                }
                match timeout(limits.wall, listening).await {
                    Ok(heard) => heard,
                    Err(_elapsed) => return Err(Refusal::TooSlow.into()),
                }
            }
        };
        let (reply, complaint, status) = heard.map_err(ExtractError::Process)?;
        Ok(verdict(reply, &complaint, status)?)
    }
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

/// Why the output of the process is no answer.
#[derive(Debug)]
enum Broken {
    /// It is longer than any answer can be.
    TooMuch,
    /// It is not what was agreed.
    Invalid(&'static str),
}

type Reply = Result<Result<Text, Refusal>, Broken>;

/// Reads the answer, and what the process complains about.
async fn listen(output: ChildStdout, errors: ChildStderr, limits: &Limits) -> (Reply, Vec<u8>) {
    let mut reply = pin!(reply(output, limits));
    let mut complaint = pin!(beginning(errors));
    tokio::select! {
        reply = &mut reply => match reply {
            Err(Broken::TooMuch) => (reply, Vec::new()),
            reply => (reply, complaint.await),
        },
        complaint = &mut complaint => (reply.await, complaint),
    }
}

async fn reply(output: ChildStdout, limits: &Limits) -> Reply {
    let unreadable = |_error| Broken::Invalid("it cannot be read");
    let longest = longest_answer(limits);
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    let mut first = (&mut output).take(longest);
    first
        .read_until(b'\n', &mut line)
        .await
        .map_err(unreadable)?;
    if !line.ends_with(b"\n") {
        let is_full = u64::try_from(line.len()).is_ok_and(|length| length >= longest);
        return Err(if is_full {
            Broken::TooMuch
        } else {
            Broken::Invalid("it ends early")
        });
    }
    let answer = serde_json::from_slice(&line);
    drop(line);
    match answer.map_err(|_error| Broken::Invalid("it is not JSON as agreed"))? {
        Answer::Refused(refusal) => {
            ended(output).await?;
            Ok(Err(refusal.shortened()))
        }
        Answer::Text {
            format,
            length,
            marks,
        } => {
            if length > limits.text {
                return Err(Broken::TooMuch);
            }
            let capacity = usize::try_from(length).unwrap_or_default();
            let mut text = Vec::with_capacity(capacity);
            (&mut output)
                .take(length)
                .read_to_end(&mut text)
                .await
                .map_err(unreadable)?;
            if text.len() != capacity {
                return Err(Broken::Invalid("the text ends early"));
            }
            ended(output).await?;
            let text = String::from_utf8(text)
                .map_err(|_error| Broken::Invalid("the text is not UTF-8"))?;
            if text.contains('\0') {
                return Err(Broken::Invalid("the text contains NUL"));
            }
            Ok(Ok(Text {
                format,
                text,
                marks,
            }))
        }
    }
}

/// There must be nothing behind an answer.
async fn ended(mut output: BufReader<ChildStdout>) -> Result<(), Broken> {
    match output.fill_buf().await {
        Ok([]) => Ok(()),
        _ => Err(Broken::TooMuch),
    }
}

/// Reads to the end, and keeps the beginning.
async fn beginning(mut errors: ChildStderr) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = errors.read(&mut buffer).await {
        let left = COMPLAINT.saturating_sub(kept.len()).min(length);
        kept.extend_from_slice(buffer.get(..left).unwrap_or_default());
    }
    kept
}

/// What to make of an answer, and of how the process ended.
fn verdict(reply: Reply, complaint: &[u8], status: Option<ExitStatus>) -> Result<Text, Refusal> {
    let signal = status.and_then(|status| status.signal());
    match (reply, signal) {
        (Err(Broken::TooMuch), _) => Err(Refusal::BrokenProtocol {
            reason: "it is longer than agreed".to_owned(),
        }),
        (_, Some(signal)) => Err(ended_by(signal, &String::from_utf8_lossy(complaint))),
        (Ok(answer), None) if status.is_some_and(|status| status.success()) => answer,
        (Ok(_), None) => Err(Refusal::BrokenProtocol {
            reason: format!("the exit code is not 0: {status:?}"),
        }),
        (Err(Broken::Invalid(reason)), None) => Err(Refusal::BrokenProtocol {
            reason: match status.and_then(|status| status.code()) {
                None | Some(0) => reason.to_owned(),
                Some(code) => format!("{reason}, and the exit code is {code}"),
            },
        }),
    }
}

/// What a signal means that ended the process.
fn ended_by(signal: i32, complaint: &str) -> Refusal {
    let name = match Signal::try_from(signal) {
        Ok(Signal::SIGXCPU) => return Refusal::TooSlow,
        // Nobody kills it before it has been waited for, but the kernel if there is no memory left.
        Ok(Signal::SIGKILL) => return Refusal::OutOfMemory,
        // The words of the standard library, which then aborts.
        Ok(Signal::SIGABRT) if complaint.contains("memory allocation of") => {
            return Refusal::OutOfMemory;
        }
        Ok(Signal::SIGABRT) if complaint.contains("has overflowed its stack") => {
            "a stack overflow".to_owned()
        }
        Ok(signal) => signal.to_string(),
        Err(_unknown) => format!("signal {signal}"),
    };
    Refusal::Crashed { reason: name }
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
