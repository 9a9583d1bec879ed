use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    Cluster, Error, Programs, account::Account, cluster::SUPERUSER, log::Log, server::as_server,
};

/// What a new cluster and its first steps take: 40 MB of catalogs, 16 MB for each segment of the log.
const NEW_CLUSTER: u64 = 100 * 1024 * 1024;

/// The folder of a cluster: `data/` (the server's), `postgres.log`, and what its kind adds.
#[derive(Debug)]
pub(crate) enum Home {
    /// The server's Unix socket is here as well.
    Temporary(TempDir),
    /// `lock` is held as long as this process lives; `password` is the superuser's.
    Persistent {
        folder: PathBuf,
        password: String,
        _lock: File,
    },
}

impl Home {
    /// Directly under `/tmp`, since a socket's path may have no more than about 107 bytes.
    pub(crate) async fn temporary(programs: &Programs, account: &Account) -> Result<Self, Error> {
        let folder = tempfile::Builder::new()
            .prefix("pg-")
            .tempdir_in("/tmp")
            .map_err(Error::io("make a folder in", "/tmp"))?;
        account.give(folder.path())?;
        let home = Self::Temporary(folder);
        home.initialise(programs, account, &["--auth=trust", "--no-sync"])
            .await?;
        Ok(home)
    }

    /// A temporary home with a copy of a running cluster's data, set up to follow that cluster.
    pub(crate) async fn copy(
        programs: &Programs,
        account: &Account,
        original: &Cluster,
    ) -> Result<Self, Error> {
        let folder = tempfile::Builder::new()
            .prefix("pg-")
            .tempdir_in("/tmp")
            .map_err(Error::io("make a folder in", "/tmp"))?;
        account.give(folder.path())?;
        let home = Self::Temporary(folder);
        let (log, file) = Log::open(&home.path().join("postgres.log"), account)?;
        let program = programs.path("pg_basebackup");
        let mut command = Command::new(&program);
        let (socket, port) = original.socket();
        command
            .arg("-D")
            .arg(home.path().join("data"))
            .arg("-h")
            .arg(socket)
            .args(["-p", &port.to_string(), "-U", SUPERUSER])
            .args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf"]);
        as_server(&mut command, account, home.path());
        let errors = file.try_clone().map_err(Error::io("open", &program))?;
        command.stdout(file).stderr(errors);
        let status = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .status()
            .await
            .map_err(Error::io("run", program))?;
        if !status.success() {
            return Err(log.explain("pg_basebackup", status.to_string(), home.path()));
        }
        Ok(home)
    }

    /// Writes a file that only the server may read.
    pub(crate) fn place(
        &self,
        name: &str,
        content: &str,
        account: &Account,
    ) -> Result<PathBuf, Error> {
        let path = self.path().join(name);
        let write = || {
            let mut open = OpenOptions::new();
            open.create(true).write(true).truncate(true).mode(0o600);
            open.open(&path)?.write_all(content.as_bytes())
        };
        write().map_err(Error::io("write", &path))?;
        account.give(&path)?;
        Ok(path)
    }

    /// Opens the folder, or makes it; the data comes later, by [`Home::fill`].
    pub(crate) fn persistent(folder: &Path, account: &Account) -> Result<Self, Error> {
        account.check_reach(folder)?;
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent).map_err(Error::io("make", parent))?;
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(Error::io("make", folder))?,
        }
        account.check_reach(folder)?; // a strict umask closes the parents just made
        account.give(folder)?;

        let path = folder.join("lock");
        let lock = File::create(&path).map_err(Error::io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::InUse {
                    folder: folder.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", path)(source)),
        }
        let password = password(folder, account)?;
        Ok(Self::Persistent {
            folder: folder.to_owned(),
            password,
            _lock: lock,
        })
    }

    /// Makes the data of a persistent home when there is none yet.
    pub(crate) async fn fill(&self, programs: &Programs, account: &Account) -> Result<(), Error> {
        if self.path().join("data").exists() {
            return Ok(());
        }
        // Looked for beforehand, because a full disk has no room for a log that says so.
        check_space(self.path(), NEW_CLUSTER)?;
        let password = format!("--pwfile={}", self.password_file().display());
        self.initialise(
            programs,
            account,
            &["--auth=scram-sha-256", "--data-checksums", &password],
        )
        .await
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Persistent { folder, .. } => folder,
        }
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        self.path().join("password")
    }

    /// Runs `initdb`, in a folder of another name first: what a kill leaves half made is not taken for data.
    async fn initialise(
        &self,
        programs: &Programs,
        account: &Account,
        options: &[&str],
    ) -> Result<(), Error> {
        let folder = self.path();
        let unfinished = folder.join("data.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(Error::io("remove", &unfinished))?;
        }
        let (log, file) = Log::open(&folder.join("postgres.log"), account)?;
        let program = programs.path("initdb");
        let mut command = Command::new(&program);
        command
            .arg("-D")
            .arg(&unfinished)
            .args(["--encoding=UTF8", "--locale=C", "--username", SUPERUSER])
            .args(options);
        as_server(&mut command, account, folder);
        let errors = file.try_clone().map_err(Error::io("open", &program))?;
        command.stdout(file).stderr(errors);
        let status = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .status()
            .await
            .map_err(Error::io("run", program))?;
        if !status.success() {
            return Err(log.explain("initdb", status.to_string(), folder));
        }
        fs::rename(&unfinished, folder.join("data")).map_err(Error::io("rename", &unfinished))?;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(Error::io("write", folder))
    }
}

/// Refuses a folder whose file system has less than `needed` bytes for us.
fn check_space(folder: &Path, needed: u64) -> Result<(), Error> {
    let system =
        rustix::fs::statvfs(folder).map_err(|error| Error::io("look at", folder)(error.into()))?;
    if system.f_bavail.saturating_mul(system.f_frsize) < needed {
        return Err(Error::NoSpace {
            folder: folder.to_owned(),
        });
    }
    Ok(())
}

/// The major version that wrote the data in a cluster's folder, such as `15`; `None` without data.
pub(crate) fn data_version(folder: &Path) -> Option<String> {
    let version = fs::read_to_string(folder.join("data/PG_VERSION")).ok()?;
    Some(version.trim().to_owned())
}

/// Reads the superuser's password, or makes one of 128 random bits for a cluster that has no data yet.
fn password(folder: &Path, account: &Account) -> Result<String, Error> {
    let file = folder.join("password");
    match fs::read_to_string(&file) {
        Ok(password) if !password.trim().is_empty() => return Ok(password.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("read", file)(error));
        }
        _ if folder.join("data").exists() => return Err(Error::Password { file }),
        _ => {}
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| Error::io("draw random bytes for", &file)(error.into()))?;
    let password = hex::encode(random);
    let write = || {
        let mut open = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&file)?;
        open.set_permissions(fs::Permissions::from_mode(0o600))?;
        writeln!(open, "{password}")?;
        open.sync_all()
    };
    write().map_err(Error::io("write", &file))?;
    account.give(&file)?;
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_too_small_is_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        check_space(folder.path(), 1).unwrap();
        let error = check_space(folder.path(), u64::MAX).unwrap_err();
        assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    }
}
