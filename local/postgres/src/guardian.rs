use std::{
    io::Write,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::Error;

/// Waits for a word on standard input. A closed pipe without the word means that our process died: then the
/// server is stopped, politely first, and a temporary folder removed.
///
/// Arguments: process id of the postmaster, first signal, folder to remove or nothing.
const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
read -r word && exit 0
for signal in "$2" QUIT KILL; do
    kill -s "$signal" "$1" 2>/dev/null || break
    tries=0
    while [ "$tries" -lt 100 ] && kill -0 "$1" 2>/dev/null; do
        sleep 0.1
        tries=$((tries + 1))
    done
done
if [ -n "$3" ]; then rm -rf -- "$3"; fi
"#;

/// A process that outlives ours by a moment, to end the postmaster when ours was killed with SIGKILL.
///
/// A shell at the far end of a pipe does this on every Unix, and without the `unsafe` that asking the kernel
/// for a death signal takes.
#[derive(Debug)]
pub(crate) struct Guardian {
    child: Child,
}

impl Guardian {
    pub(crate) fn watch(
        postmaster: u32,
        first_signal: &str,
        remove: Option<&Path>,
    ) -> Result<Self, Error> {
        let child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "guardian"])
            .arg(postmaster.to_string())
            .arg(first_signal)
            .arg(remove.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0) // a terminal's Ctrl-C is for our process
            .spawn()
            .map_err(Error::io("start", "/bin/sh"))?;
        Ok(Self { child })
    }

    /// The postmaster is gone: there is nothing left to guard.
    pub(crate) fn dismiss(mut self) {
        let told = self
            .child
            .stdin
            .take()
            .is_some_and(|mut pipe| pipe.write_all(b"dismissed\n").is_ok());
        if !told {
            // It was killed before us; there is no one to dismiss.
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
