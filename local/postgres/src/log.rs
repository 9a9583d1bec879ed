use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use crate::{Error, account::Account};

/// A log is set aside once at this size, so that it never fills a disk.
const ROTATE_AT: u64 = 10 * 1024 * 1024;
/// How many last lines an error shows.
const LINES: usize = 4;

/// The server's log file, and where in it the present run begins.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    start: u64,
}

impl Log {
    /// Opens the log to append to; the file is handed to the server as its standard error.
    pub(crate) fn open(path: &Path, account: &Account) -> Result<(Self, File), Error> {
        if fs::metadata(path).is_ok_and(|log| log.len() > ROTATE_AT) {
            fs::rename(path, path.with_extension("log.1")).map_err(Error::io("set aside", path))?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(Error::io("open", path))?;
        account.give(path)?;
        let start = file.metadata().map_err(Error::io("read", path))?.len();
        Ok((
            Self {
                path: path.to_owned(),
                start,
            },
            file,
        ))
    }

    /// The error a failed program's log amounts to.
    pub(crate) fn explain(&self, program: &'static str, outcome: String, folder: &Path) -> Error {
        let text = self.text();
        if text.contains("No space left on device") || text.contains("Disk quota exceeded") {
            return Error::NoSpace {
                folder: folder.to_owned(),
            };
        }
        Error::Failed {
            program,
            outcome,
            said: last_lines(&text),
            log: self.path.clone(),
        }
    }

    /// What this run has written so far.
    pub(crate) fn text(&self) -> String {
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(&self.path)
            && file.seek(SeekFrom::Start(self.start)).is_ok()
        {
            // A log that cannot be read leaves the explanation empty; the failure itself is still reported.
            let _ = file.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let first = lines.len().saturating_sub(LINES);
    lines.get(first..).unwrap_or_default().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_recognised_and_other_failures_show_their_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postgres.log");
        fs::write(&path, "FATAL: No space left on device (an earlier run)\n").unwrap();
        let (log, _file) = Log::open(&path, &Account::choose(None)).unwrap();

        fs::write(
            &path,
            format!("{}1\n2\n3\n\n4\n5\n", fs::read_to_string(&path).unwrap()),
        )
        .unwrap();
        let error = log.explain("postgres", "exit status: 1".into(), folder.path());
        assert!(
            error
                .to_string()
                .contains("(exit status: 1): 2 | 3 | 4 | 5 (whole log"),
            "{error}"
        );

        fs::write(
            &path,
            format!(
                "{}could not write: No space left on device\n",
                fs::read_to_string(&path).unwrap()
            ),
        )
        .unwrap();
        let error = log.explain("postgres", "exit status: 1".into(), folder.path());
        assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    }

    #[test]
    fn a_large_log_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("postgres.log");
        File::create(&path).unwrap().set_len(ROTATE_AT + 1).unwrap();
        let (log, _file) = Log::open(&path, &Account::choose(None)).unwrap();
        assert_eq!(log.start, 0);
        assert!(folder.path().join("postgres.log.1").exists());
    }
}
