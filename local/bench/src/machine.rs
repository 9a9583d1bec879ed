//! The machine that the figures are of.

use std::env;
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use tempfile::{Builder, TempDir};

use crate::Failure;
use crate::figures::NOT_MEASURED;

/// An empty folder on a disk, gone with the value. In many places `/tmp` is memory, which a `fsync` does not wait
/// for; `/var/tmp` outlives a restart, so it is not.
pub(crate) fn folder() -> Result<TempDir, Failure> {
    // PostgreSQL runs as somebody else when we are root, and has to pass through.
    let mut builder = Builder::new();
    builder
        .prefix("holdfast-bench-")
        .permissions(Permissions::from_mode(0o711));
    Ok(builder
        .tempdir_in("/var/tmp")
        .or_else(|_unwritable| builder.tempdir())?)
}

/// One line about the machine.
pub(crate) fn description(folder: &Path) -> String {
    let cores = thread::available_parallelism().map_or("?".to_owned(), |cores| cores.to_string());
    let place = folder.parent().unwrap_or(folder).display();
    format!("{cores} cores; files in {place}")
}

/// How many programs want a core, averaged over 1, 5 and 15 minutes.
pub(crate) fn load_average() -> String {
    fs::read_to_string("/proc/loadavg").map_or_else(
        |_not_linux| NOT_MEASURED.to_owned(),
        |text| text.split(' ').take(3).collect::<Vec<_>>().join(" "),
    )
}

/// An executable built beside this one.
pub(crate) fn executable(name: &str) -> Result<PathBuf, Failure> {
    let path = env::current_exe()?.with_file_name(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!(
            "{} is not built: start the bench by `make bench`",
            path.display()
        )
        .into())
    }
}

/// A port of 127.0.0.1 that is free now.
pub(crate) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}
