use std::{io, path::PathBuf};

use shared::config::ConfigError;

/// Why the stack does not start; each message is one line and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Variables of the environment are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),

    /// Another process listens on a port.
    #[error(
        "port {port} for {what} is taken by another process: end it, or set {variable} to a free port"
    )]
    PortTaken {
        /// The port on 127.0.0.1.
        port: u16,
        /// What was to listen there.
        what: &'static str,
        /// The variable that chooses another.
        variable: &'static str,
    },

    /// Another live process uses the data folder.
    #[error("{} is in use: Holdfast runs there already; stop it, or set HOLDFAST_DATA to another folder", folder.display())]
    InUse {
        /// The data folder.
        folder: PathBuf,
    },

    /// The disk is full.
    #[error("no space left on the disk of {}: free some, or set HOLDFAST_DATA to a folder on another disk", folder.display())]
    NoSpace {
        /// The data folder.
        folder: PathBuf,
    },

    /// A file of the data folder cannot be used.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },

    /// The credentials file does not hold credentials.
    #[error("{} holds no credentials: delete it to get new ones", file.display())]
    Credentials {
        /// The file.
        file: PathBuf,
    },

    /// The file of the registry's key does not hold one.
    #[error("{} holds no key: delete it to get a new one; tokens given so far end", file.display())]
    TokenKey {
        /// The file.
        file: PathBuf,
    },

    /// The private PostgreSQL does not start.
    #[error(transparent)]
    Postgres(private_postgres::Error),

    /// The store cannot be opened.
    #[error(transparent)]
    Store(embedded_s3::OpenError),

    /// A bucket of the start cannot be made.
    #[error("could not make the bucket {bucket}")]
    Bucket {
        /// Its name.
        bucket: &'static str,
        /// The store's answer.
        source: embedded_s3::StoreError,
    },

    /// The queue of events cannot be set up.
    #[error("could not set up the queue of events")]
    Queue(#[from] embedded_s3::QueueError),

    /// A server ended by itself, or cannot listen.
    #[error("the server of {what} ended")]
    Served {
        /// What it served.
        what: &'static str,
        /// Why.
        source: io::Error,
    },

    /// Signals cannot be received.
    #[error("could not listen for signals")]
    Signals(#[source] io::Error),
}

impl Error {
    /// For `map_err`.
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
