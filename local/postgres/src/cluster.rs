use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_postgres::{Client, NoTls, error::SqlState};

use crate::{
    Error, Programs,
    account::Account,
    home::{Home, data_version},
    leftover,
    server::{Launch, Server, Shutdown},
};

/// Superuser of every cluster, and name of the database of a persistent one.
pub(crate) const SUPERUSER: &str = "holdfast";

/// Part of the socket's name where there is no port: PostgreSQL's own.
const SOCKET_PORT: u16 = 5432;

/// Crash recovery of a large database takes its time; a temporary one is there in a second.
const READY_WITHIN: Duration = Duration::from_mins(5);
/// How long the sessions of a killed postmaster may hold its shared memory.
const RELEASED_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// A private PostgreSQL cluster. Dropping it stops the server (the drop waits for that) and, when temporary,
/// removes its folder; both also happen when this process is killed.
#[derive(Debug)]
pub struct Cluster {
    // Declared before `home`: the server ends before its folder is removed.
    server: Option<Server>,
    programs: Programs,
    account: Account,
    port: Option<u16>,
    settings: Vec<String>,
    home: Home,
}

impl Cluster {
    /// A cluster for a test, reached by a Unix socket only; nothing survives it.
    ///
    /// # Errors
    ///
    /// No server programs on this machine, or the server does not start.
    pub async fn temporary() -> Result<Self, Error> {
        Self::start_temporary(None).await
    }

    /// A cluster for a test, on a free port of 127.0.0.1 as well, which stays the same over restarts.
    ///
    /// # Errors
    ///
    /// No server programs on this machine, or the server does not start.
    pub async fn temporary_on_tcp() -> Result<Self, Error> {
        // Between our asking for a free port and the server's taking it, somebody else may be faster.
        let mut attempts = 5;
        loop {
            match Self::start_temporary(Some(free_port()?)).await {
                Err(Error::PortTaken { .. }) if attempts > 1 => attempts -= 1,
                outcome => return outcome,
            }
        }
    }

    /// A standby of this cluster, which must be temporary: a copy on a free port of 127.0.0.1 that follows it by
    /// streaming replication, and may be read.
    ///
    /// # Errors
    ///
    /// The copy cannot be made, or does not start.
    pub async fn standby(&self) -> Result<Self, Error> {
        let mut attempts = 5;
        loop {
            let home = Home::copy(&self.programs, &self.account, self).await?;
            let port = Some(free_port()?);
            match Self::start_in(home, self.programs.clone(), self.account.clone(), port).await {
                Err(Error::PortTaken { .. }) if attempts > 1 => attempts -= 1,
                outcome => return outcome,
            }
        }
    }

    /// Makes a standby a server of its own, which may be written to when this returns.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: this is no standby, or it did not obey within a minute.
    pub async fn promote(&self) -> Result<(), Error> {
        let refused = |source| Error::Refused {
            action: "promote the standby".to_owned(),
            source,
        };
        let client = self.connect().await.map_err(refused)?;
        // Raises an error unless it is done.
        let promotion =
            "DO $$ BEGIN IF NOT pg_promote() THEN RAISE 'not promoted in time'; END IF; END $$";
        client.batch_execute(promotion).await.map_err(refused)
    }

    /// Starts the server anew with these settings (`name=value`) as well. The last of several for one name counts.
    ///
    /// # Errors
    ///
    /// As [`Cluster::start`].
    pub async fn configure(
        &mut self,
        settings: impl IntoIterator<Item = String>,
    ) -> Result<(), Error> {
        self.settings.extend(settings);
        self.restart().await
    }

    /// Writes a file that only the server may read into the cluster's folder, for a setting to name it.
    ///
    /// # Errors
    ///
    /// The operating system refuses.
    pub fn place(&self, name: &str, content: &str) -> Result<PathBuf, Error> {
        self.home.place(name, content, &self.account)
    }

    /// The socket's folder and port, where a temporary server can be reached whatever its settings.
    pub(crate) fn socket(&self) -> (&Path, u16) {
        (self.home.path(), self.port.unwrap_or(SOCKET_PORT))
    }

    async fn start_temporary(port: Option<u16>) -> Result<Self, Error> {
        let programs = Programs::find()?;
        let account = Account::choose(None);
        let home = Home::temporary(&programs, &account).await?;
        Self::start_in(home, programs, account, port).await
    }

    async fn start_in(
        home: Home,
        programs: Programs,
        account: Account,
        port: Option<u16>,
    ) -> Result<Self, Error> {
        // Commits stay synchronous: a killed postmaster must not lose them, only a killed machine may.
        let mut settings = vec!["fsync=off".to_owned(), "full_page_writes=off".to_owned()];
        settings.push(format!("unix_socket_directories={}", home.path().display()));
        settings.extend(listen(port));
        let mut cluster = Self {
            server: None,
            programs,
            account,
            port,
            settings,
            home,
        };
        cluster.start().await?;
        Ok(cluster)
    }

    /// The cluster in `folder`, made when it is not there yet: durable, on 127.0.0.1:`port`, with a random
    /// password in `folder/password` and a database `holdfast` owned by the superuser `holdfast`.
    /// A server that a killed run left behind in the folder is stopped first.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] when we are root and the server's user may not enter the folder: the caller can
    /// choose another. Otherwise one line each for a port taken, data of another major version, a full disk, a
    /// second start, and a server that does not come up.
    pub async fn persistent(folder: &Path, port: u16) -> Result<Self, Error> {
        let folder = std::path::absolute(folder).map_err(Error::io("resolve", folder))?;
        let version = data_version(&folder);
        let programs = match &version {
            Some(major) => Programs::find_for(major)?,
            None => Programs::find()?,
        };
        if let Some(data) = version
            && data != programs.major().to_string()
        {
            return Err(Error::OtherMajor {
                folder,
                data,
                installed: programs.major(),
            });
        }
        let data = folder.join("data");
        let account = Account::choose(Some(&data));
        let home = Home::persistent(&folder, &account)?;
        leftover::stop(&data).await?;
        if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Err(match error.kind() {
                std::io::ErrorKind::AddrInUse => Error::PortTaken { port },
                _ => Error::io("listen on the port for", &folder)(error),
            });
        }
        home.fill(&programs, &account).await?;
        let mut settings: Vec<String> = vec![
            "unix_socket_directories=".into(),
            "log_min_messages=warning".into(),
        ];
        settings.extend(listen(Some(port)));
        let mut cluster = Self {
            server: None,
            programs,
            account,
            port: Some(port),
            settings,
            home,
        };
        cluster.start().await?;
        cluster.database(SUPERUSER).await?;
        Ok(cluster)
    }

    /// Starts the server if it does not run, and returns when it answers.
    ///
    /// # Errors
    ///
    /// The server ended or did not answer; its last lines are in the message.
    pub async fn start(&mut self) -> Result<(), Error> {
        if self
            .server
            .as_mut()
            .is_some_and(|server| server.exited().is_none())
        {
            return Ok(());
        }
        let start = Instant::now();
        loop {
            self.server = None;
            let mut server = self.spawn()?;
            match self.wait_until_ready(&mut server).await {
                Ok(()) => {
                    self.server = Some(server);
                    return Ok(());
                }
                // Sessions of a killed postmaster hold its memory until they notice its death.
                Err(_) if held_by_sessions(&server.log()) && start.elapsed() < RELEASED_WITHIN => {
                    server.stop().await;
                    tokio::time::sleep(POLL).await;
                }
                Err(error) => {
                    server.stop().await;
                    return Err(error);
                }
            }
        }
    }

    /// Stops the server and returns when it is gone: a fast shutdown, which breaks off sessions and keeps
    /// what they committed; after 15 s without an end, less politely.
    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    /// [`Cluster::stop`], then [`Cluster::start`], on the same port or socket.
    ///
    /// # Errors
    ///
    /// As [`Cluster::start`].
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.stop().await;
        self.start().await
    }

    /// Kills the postmaster with SIGKILL, as a crash would. [`Cluster::start`] recovers the data.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`], or the operating system refuses.
    pub fn kill(&mut self) -> Result<(), Error> {
        let server = self.server.take().ok_or(Error::NotRunning)?;
        server
            .kill()
            .map_err(Error::io("kill the server in", self.home.path()))
    }

    /// Whether the server runs; false once it ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.server
            .as_mut()
            .is_some_and(|server| server.exited().is_none())
    }

    /// The postmaster's process id.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Server::pid)
    }

    /// The cluster's folder, with `data/` and `postgres.log`.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }

    /// The full path of `psql`, or of another program that came with the server.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.path(name)
    }

    /// Where the server listens on TCP, if it does.
    pub fn address(&self) -> Option<SocketAddr> {
        self.port
            .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// Makes a database unless it is there, and gives its URL.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] by the server.
    pub async fn database(&self, name: &str) -> Result<String, Error> {
        let refused = |source| Error::Refused {
            action: format!("make the database {name}"),
            source,
        };
        let client = self.connect().await.map_err(refused)?;
        match client
            .batch_execute(&format!(
                "CREATE DATABASE \"{}\"",
                name.replace('"', "\"\"")
            ))
            .await
        {
            Err(error) if error.code() == Some(&SqlState::DUPLICATE_DATABASE) => {}
            outcome => outcome.map_err(refused)?,
        }
        Ok(self.url(name))
    }

    /// The libpq URL of a database, made or not. It holds the password of a persistent cluster.
    pub fn url(&self, database: &str) -> String {
        let database = utf8_percent_encode(database, NON_ALPHANUMERIC);
        match (&self.home, self.port) {
            (Home::Persistent { password, .. }, Some(port)) => {
                format!("postgresql://{SUPERUSER}:{password}@127.0.0.1:{port}/{database}")
            }
            (_, Some(port)) => format!("postgresql://{SUPERUSER}@127.0.0.1:{port}/{database}"),
            (home, None) => format!(
                "postgresql://{SUPERUSER}@/{database}?host={}",
                home.path().display()
            ),
        }
    }

    fn spawn(&self) -> Result<Server, Error> {
        let temporary = matches!(self.home, Home::Temporary(_));
        Server::spawn(&Launch {
            programs: &self.programs,
            account: &self.account,
            folder: self.home.path(),
            settings: &self.settings,
            shutdown: if temporary {
                Shutdown::Immediate
            } else {
                Shutdown::Fast
            },
            temporary,
        })
    }

    async fn wait_until_ready(&self, server: &mut Server) -> Result<(), Error> {
        let start = Instant::now();
        loop {
            let answer = self.connect().await;
            // A dead server first: on TCP, the one that answered might be somebody else's.
            if let Some(status) = server.exited() {
                return Err(match self.port {
                    Some(port) if server.log().contains("Address already in use") => {
                        Error::PortTaken { port }
                    }
                    _ => server.explain(status.to_string()),
                });
            }
            match answer {
                Ok(_) => return Ok(()),
                Err(error) if error.code() == Some(&SqlState::INVALID_PASSWORD) => {
                    return Err(Error::Password {
                        file: self.home.password_file(),
                    });
                }
                Err(_) if start.elapsed() > READY_WITHIN => {
                    return Err(
                        server.explain(format!("no answer within {} s", READY_WITHIN.as_secs()))
                    );
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.url("postgres"), NoTls).await?;
        tokio::spawn(connection); // ends with the client
        Ok(client)
    }
}

fn listen(port: Option<u16>) -> [String; 2] {
    match port {
        Some(port) => ["listen_addresses=127.0.0.1".into(), format!("port={port}")],
        None => ["listen_addresses=".into(), format!("port={SOCKET_PORT}")],
    }
}

fn held_by_sessions(log: &str) -> bool {
    log.contains("pre-existing shared memory block")
        || log.contains("lock file \"postmaster.pid\" already exists")
}

fn free_port() -> Result<u16, Error> {
    let address =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    address
        .map(|address| address.port())
        .map_err(Error::io("find a free port of", "127.0.0.1"))
}
