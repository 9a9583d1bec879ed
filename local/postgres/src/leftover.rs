use std::{fs, path::Path, process::Command, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tracing::warn;

use crate::Error;

const PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// Stops a postmaster that an earlier run of ours left in `data`. The caller holds the folder's lock, so no
/// live run owns it.
pub(crate) async fn stop(data: &Path) -> Result<(), Error> {
    let file = data.join("postmaster.pid");
    let Some(number) = read_pid(&file) else {
        return Ok(());
    };
    let Some(pid) = Pid::from_raw(number) else {
        return Ok(());
    };
    if !is_postmaster_of(number, data) {
        if rustix::process::test_kill_process(pid).is_ok() {
            // The number belongs to another program by now. PostgreSQL would take that for a live server.
            fs::remove_file(&file).map_err(Error::io("remove", &file))?;
        }
        return Ok(());
    }
    warn!(
        pid = number,
        "stopping the PostgreSQL server that an earlier run left behind"
    );
    for signal in [Signal::INT, Signal::QUIT, Signal::KILL] {
        // It may end by itself in between; the loop below is what counts.
        let _ = kill_process(pid, signal);
        let mut waited = Duration::ZERO;
        while waited < PATIENCE {
            if !is_postmaster_of(number, data) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
            waited += POLL;
        }
    }
    Err(Error::LeftOver { pid: number })
}

fn read_pid(file: &Path) -> Option<i32> {
    fs::read_to_string(file)
        .ok()?
        .lines()
        .next()?
        .trim()
        .parse()
        .ok()
}

/// A postmaster works in its data folder and was told it with `-D`. Zombies have neither, and count as gone.
fn is_postmaster_of(pid: i32, data: &Path) -> bool {
    if Path::new("/proc/self/cwd").exists() {
        let Ok(working) = fs::read_link(format!("/proc/{pid}/cwd")) else {
            return false;
        };
        return fs::canonicalize(data).is_ok_and(|data| data == working);
    }
    let listing = Command::new("ps")
        .args(["-o", "command=", "-p", &pid.to_string()])
        .output();
    listing.is_ok_and(|listing| {
        String::from_utf8_lossy(&listing.stdout).contains(&*data.to_string_lossy())
    })
}
