use std::{io, path::PathBuf};

/// Why a cluster could not be made, started or stopped; each message is one line and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No folder with `initdb` and `postgres` was found.
    #[error(
        "PostgreSQL's server programs were not found on this machine: install them with `{install}`"
    )]
    ProgramsMissing {
        /// The command that installs them here.
        install: &'static str,
    },

    /// The data folder needs a server of another major version than those installed.
    #[error(
        "the database in {} was written by PostgreSQL {data}, but the installed version is {installed}: \
         install PostgreSQL {data}, or move the folder away to start with an empty database",
        folder.display()
    )]
    OtherMajor {
        /// The cluster's folder.
        folder: PathBuf,
        /// Major version that wrote the data.
        data: String,
        /// Major version of the newest server found.
        installed: u32,
    },

    /// Another process listens on the port.
    #[error("port {port} for PostgreSQL is taken by another process")]
    PortTaken {
        /// The port on 127.0.0.1.
        port: u16,
    },

    /// The file system is full.
    #[error("no space left on the disk of {}: a new database needs 100 MB", folder.display())]
    NoSpace {
        /// The cluster's folder.
        folder: PathBuf,
    },

    /// The server cannot run as root, and its unprivileged user may not enter the folder: choose another one.
    #[error("{} cannot be entered by the user PostgreSQL runs as ({account}): choose another folder", folder.display())]
    Unreachable {
        /// The folder asked for.
        folder: PathBuf,
        /// Name or number of the unprivileged user.
        account: String,
    },

    /// Another live process uses this folder.
    #[error("the database in {} is in use by another process (a second start?)", folder.display())]
    InUse {
        /// The cluster's folder.
        folder: PathBuf,
    },

    /// The data is there but the password that opens it is not.
    #[error(
        "{} is missing or does not fit the database beside it: restore the file, or move the folder away",
        file.display()
    )]
    Password {
        /// The password file.
        file: PathBuf,
    },

    /// The server (or `initdb`) ended or did not answer; `said` is the end of what it wrote.
    #[error("{program} failed ({outcome}): {said} (whole log: {})", log.display())]
    Failed {
        /// The program that failed.
        program: &'static str,
        /// Exit status or time-out.
        outcome: String,
        /// Its last lines, joined by ` | `.
        said: String,
        /// Where the rest is.
        log: PathBuf,
    },

    /// A postmaster of an earlier run does not end.
    #[error(
        "the PostgreSQL server of an earlier run (process {pid}) does not stop: end it and start again"
    )]
    LeftOver {
        /// Its process id.
        pid: i32,
    },

    /// A statement that prepares the cluster was refused.
    #[error("PostgreSQL refused to {action}")]
    Refused {
        /// What was asked.
        action: String,
        /// The server's answer.
        source: tokio_postgres::Error,
    },

    /// The cluster was asked for something that needs it running.
    #[error("the PostgreSQL server is not running")]
    NotRunning,

    /// The operating system refused something.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: the full disk is told apart because only that needs no further explanation.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { folder: path }
            }
            _ => Self::Io {
                action,
                path,
                source,
            },
        }
    }
}
