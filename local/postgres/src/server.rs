use std::{
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Error, Programs, account::Account, guardian::Guardian, log::Log};

/// How a server is asked to end first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// SIGINT: sessions are broken off, everything is written to disk.
    Fast,
    /// SIGQUIT: for data that nobody needs again.
    Immediate,
}

/// How long the server may take before it is asked less politely.
const PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(5);

/// What it takes to start a postmaster.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) account: &'a Account,
    /// The cluster's folder, which the server's user may enter.
    pub(crate) folder: &'a Path,
    pub(crate) settings: &'a [String],
    pub(crate) shutdown: Shutdown,
    /// Whether the guardian removes the folder when our process dies.
    pub(crate) temporary: bool,
}

/// One running postmaster. Dropping it stops it and waits for its end.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    guardian: Option<Guardian>,
    log: Log,
    folder: PathBuf,
    shutdown: Shutdown,
}

impl Server {
    pub(crate) fn spawn(launch: &Launch<'_>) -> Result<Self, Error> {
        let (log, file) = Log::open(&launch.folder.join("postgres.log"), launch.account)?;
        let program = launch.programs.path("postgres");
        let mut command = Command::new(&program);
        command.arg("-D").arg(launch.folder.join("data"));
        for setting in launch.settings {
            command.arg("-c").arg(setting);
        }
        as_server(&mut command, launch.account, launch.folder);
        command.stdout(Stdio::null()).stderr(file);
        let child = command.spawn().map_err(Error::io("start", program))?;
        let mut server = Self {
            child,
            guardian: None,
            log,
            folder: launch.folder.to_owned(),
            shutdown: launch.shutdown,
        };
        let remove = launch.temporary.then_some(launch.folder);
        // From here on `server` is dropped, and with it the postmaster ended, when anything fails.
        server.guardian = Some(Guardian::watch(
            server.child.id(),
            launch.shutdown.name(),
            remove,
        )?);
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// What this run has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    pub(crate) fn explain(&self, outcome: String) -> Error {
        self.log.explain("postgres", outcome, &self.folder)
    }

    /// Stops the server by a fast shutdown; returns when it is gone. The wait blocks a thread of the runtime's pool, not a task.
    pub(crate) async fn stop(mut self) {
        self.shutdown = Shutdown::Fast;
        // The task runs to its end even when this future is dropped, and cannot panic.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }

    /// Kills the postmaster without any warning, as a crash would; its sessions end on noticing.
    pub(crate) fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    fn end(&mut self) {
        for signal in [self.shutdown.signal(), Signal::QUIT, Signal::KILL] {
            if self.exited().is_some() {
                return;
            }
            if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
                // An error means that it ended meanwhile, which the loop sees.
                let _ = kill_process(pid, signal);
            }
            let start = Instant::now();
            while start.elapsed() < PATIENCE {
                if self.exited().is_some() {
                    return;
                }
                thread::sleep(POLL);
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        if let Some(guardian) = self.guardian.take() {
            guardian.dismiss();
        }
    }
}

impl Shutdown {
    fn signal(self) -> Signal {
        match self {
            Self::Fast => Signal::INT,
            Self::Immediate => Signal::QUIT,
        }
    }

    /// As `kill -s` of a shell wants it.
    fn name(self) -> &'static str {
        match self {
            Self::Fast => "INT",
            Self::Immediate => "QUIT",
        }
    }
}

/// Unprivileged, in a process group of its own (a terminal's Ctrl-C is for us, and we stop the server in
/// order), and with English messages, which we look into for two well-known causes.
pub(crate) fn as_server(command: &mut Command, account: &Account, folder: &Path) {
    if let Some((uid, gid)) = account.ids() {
        command.uid(uid).gid(gid);
    }
    command
        .env("LC_ALL", "C")
        .env_remove("PGDATA")
        .current_dir(folder)
        .stdin(Stdio::null())
        .process_group(0);
}
