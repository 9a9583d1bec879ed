use std::{
    env,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use crate::RuntimeApi;

/// Longest time Lambda gives an invocation unless the function says more; ours is the default of `invoke`.
const INVOCATION: Duration = Duration::from_mins(1);

/// A built binary that runs as on Lambda. Dropping it kills it.
#[derive(Debug)]
pub struct Function {
    api: RuntimeApi,
    pid: Option<u32>,
    started: Instant,
    stdout: Output,
    stderr: Output,
    exit: watch::Receiver<Option<ExitStatus>>,
    kill: watch::Sender<bool>,
    supervisor: JoinHandle<()>,
}

/// Why an invocation has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FunctionError {
    /// The handler returned an error or panicked.
    #[error("the handler failed: {0:?}")]
    Handler(Failure),
    /// The function reported that it cannot start.
    #[error("the function failed to initialise: {0:?}")]
    Init(Failure),
    /// The process ended instead of answering.
    #[error("the function ended ({status}), having written: {stderr}")]
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// All it wrote to standard error.
        stderr: String,
    },
    /// No answer in time.
    #[error("no answer within {within:?}; the function wrote: {stderr}")]
    TimedOut {
        /// The time given.
        within: Duration,
        /// All it wrote to standard error so far.
        stderr: String,
    },
}

/// A failure as the function reported it to Lambda.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The `errorType`.
    pub error_type: String,
    /// The `errorMessage`.
    pub error_message: String,
}

impl Failure {
    pub(crate) fn from_report(report: &str) -> Self {
        let value: Value = match serde_json::from_str(report) {
            Ok(value) => value,
            Err(error) => return Self::not_json(&error, report),
        };
        let field = |name| {
            value
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Self {
            error_type: field("errorType"),
            error_message: field("errorMessage"),
        }
    }

    /// What the function sent is no JSON at all.
    pub(crate) fn not_json(error: &serde_json::Error, body: &str) -> Self {
        Self {
            error_type: "NotJson".to_owned(),
            error_message: format!("{error} in: {body}"),
        }
    }
}

impl Function {
    pub(crate) fn spawn(api: RuntimeApi, binary: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary);
        command
            .env_clear()
            .envs(env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(lambda_variables())
            .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let started = Instant::now();
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", binary.display()));
        let stdout = Output::default();
        let stderr = Output::default();
        let readers = [
            stdout.collect(child.stdout.take().expect("it is piped")),
            stderr.collect(child.stderr.take().expect("it is piped")),
        ];
        let (kill, killed) = watch::channel(false);
        let (ended, exit) = watch::channel(None);
        let pid = child.id();
        let supervisor = tokio::spawn(supervise(child, readers, killed, ended));
        Self {
            api,
            pid,
            started,
            stdout,
            stderr,
            exit,
            kill,
            supervisor,
        }
    }

    /// Waits until the function asks for its first event; gives the time from its start.
    ///
    /// # Errors
    ///
    /// It failed to initialise, ended, or took more than a minute.
    pub async fn ready(&self) -> Result<Duration, FunctionError> {
        let mut polls = self.api.polls();
        let polled = async {
            polls
                .wait_for(|polls| *polls > 0)
                .await
                .map(|_| self.started.elapsed())
        };
        tokio::select! {
            biased;
            Ok(after) = polled => Ok(after),
            failure = self.end() => Err(failure),
            () = tokio::time::sleep(INVOCATION) => Err(self.timed_out(INVOCATION)),
        }
    }

    /// Invokes the function, waiting a minute at most. The process stays warm for the next time.
    ///
    /// # Errors
    ///
    /// The handler failed, or the process ended, before or in the middle.
    pub async fn invoke(&self, event: &Value) -> Result<Value, FunctionError> {
        self.invoke_within(event, INVOCATION).await
    }

    /// Invokes the function with a deadline of its own, which it is told. Lambda would kill the function
    /// after it; here the test decides.
    ///
    /// # Errors
    ///
    /// As [`Function::invoke`], and when the deadline passed.
    pub async fn invoke_within(
        &self,
        event: &Value,
        within: Duration,
    ) -> Result<Value, FunctionError> {
        let answer = self.api.send(event, within);
        let outcome = async {
            tokio::select! {
                biased;
                Ok(answer) = answer => answer.map_err(FunctionError::Handler),
                failure = self.end() => Err(failure),
            }
        };
        timeout(within, outcome)
            .await
            .unwrap_or_else(|_elapsed| Err(self.timed_out(within)))
    }

    /// The failure that the function reported to `/runtime/init/error`, if it did.
    pub fn init_failure(&self) -> Option<Failure> {
        self.api.init_failure()
    }

    /// Waits until the process has ended and all its output is here.
    ///
    /// # Panics
    ///
    /// The process could not be waited for.
    pub async fn exit_status(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        let ended = exit
            .wait_for(Option::is_some)
            .await
            .expect("the supervisor reports the end");
        ended.expect("it was waited for")
    }

    /// Kills the process with SIGKILL and waits for its end.
    pub async fn kill(&self) {
        self.kill.send_replace(true);
        self.exit_status().await;
    }

    /// The process id, for measuring.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// What the function wrote to standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What the function wrote to standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    async fn end(&self) -> FunctionError {
        let status = self.exit_status().await;
        match self.init_failure() {
            Some(failure) => FunctionError::Init(failure),
            None => FunctionError::Exited {
                status,
                stderr: self.stderr(),
            },
        }
    }

    fn timed_out(&self, within: Duration) -> FunctionError {
        FunctionError::TimedOut {
            within,
            stderr: self.stderr(),
        }
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.supervisor.abort(); // drops the child, which kills it
    }
}

async fn supervise(
    mut child: Child,
    readers: [JoinHandle<()>; 2],
    mut killed: watch::Receiver<bool>,
    ended: watch::Sender<Option<ExitStatus>>,
) {
    tokio::select! {
        _ = child.wait() => {}
        Ok(_) = killed.wait_for(|killed| *killed) => {
            // Already ended is as good as killed.
            let _ = child.start_kill();
        }
    }
    let Ok(status) = child.wait().await else {
        return;
    };
    for reader in readers {
        // A reader cannot panic, and nobody aborts it.
        let _ = reader.await;
    }
    ended.send_replace(Some(status));
}

/// The text of one output stream, as it grows.
#[derive(Clone, Debug, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    fn collect(&self, mut stream: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<()> {
        let output = self.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                let read = buffer.get(..length).unwrap_or_default();
                output
                    .0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend_from_slice(read);
            }
        })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// The variables that Lambda sets, apart from credentials, which a test gives as it needs them.
fn lambda_variables() -> [(&'static str, &'static str); 12] {
    [
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_FUNCTION_NAME", "test"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/test"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "test"),
        ("AWS_REGION", "us-east-1"),
        ("LANG", "en_US.UTF-8"),
        ("_HANDLER", "bootstrap"),
    ]
}
