//! What the process that reads a document said, and what to make of it.

use std::os::unix::process::ExitStatusExt as _;
use std::pin::pin;
use std::process::ExitStatus;

use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{ChildStderr, ChildStdout};

use crate::extract::limits::Limits;
use crate::extract::protocol::{Answer, longest_answer};
use crate::extract::refusal::Refusal;
use crate::extract::text::Text;

/// How much of what the process complains about is kept, in bytes.
const COMPLAINT: usize = 4096;

/// Why the output of the process is no answer.
#[derive(Debug)]
pub(crate) enum Broken {
    /// It is longer than any answer can be.
    TooMuch,
    /// It is not what was agreed.
    Invalid(&'static str),
}

/// The answer, if it is one.
pub(crate) type Reply = Result<Result<Text, Refusal>, Broken>;

/// Reads the answer, and what the process complains about.
pub(crate) async fn listen(
    output: ChildStdout,
    errors: ChildStderr,
    limits: &Limits,
) -> (Reply, Vec<u8>) {
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
pub(crate) fn verdict(
    reply: Reply,
    complaint: &[u8],
    status: Option<ExitStatus>,
) -> Result<Text, Refusal> {
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
