use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Error;

/// The folder of PostgreSQL's server programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    folder: PathBuf,
    major: u32,
}

impl Programs {
    /// The newest server on this machine.
    ///
    /// # Errors
    ///
    /// [`Error::ProgramsMissing`] with the command that installs them.
    pub fn find() -> Result<Self, Error> {
        newest(installed(candidates()))
    }

    /// A server that can read data written by `major`, or else the newest, for its number in the error message.
    pub(crate) fn find_for(major: &str) -> Result<Self, Error> {
        let all = installed(candidates());
        match all
            .iter()
            .find(|programs| programs.major.to_string() == major)
        {
            Some(fitting) => Ok(fitting.clone()),
            None => newest(all),
        }
    }

    /// The full path of one of the programs, such as `psql`.
    pub fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    /// Major version, such as 17.
    pub fn major(&self) -> u32 {
        self.major
    }
}

fn newest(all: Vec<Programs>) -> Result<Programs, Error> {
    all.into_iter()
        .max_by_key(|programs| programs.major)
        .ok_or(Error::ProgramsMissing {
            install: install_command(),
        })
}

fn installed(candidates: Vec<PathBuf>) -> Vec<Programs> {
    candidates.into_iter().filter_map(examine).collect()
}

/// A client-only installation has `initdb` missing, so both programs must be there.
fn examine(folder: PathBuf) -> Option<Programs> {
    if !folder.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(folder.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let major = major_of(&String::from_utf8_lossy(&output.stdout))?;
    Some(Programs { folder, major })
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`; betas look like `19beta1`.
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn candidates() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = env::var_os("PATH")
        .iter()
        .flat_map(env::split_paths)
        .collect();
    folders.extend(below("/usr/lib/postgresql", "bin")); // Debian, Ubuntu
    folders.extend(
        below("/usr", "bin")
            .into_iter()
            .filter(|folder| named_after_postgres(folder, "pgsql-")),
    ); // RPMs of postgresql.org
    for prefix in ["/opt/homebrew/opt", "/usr/local/opt"] {
        folders.extend(
            below(prefix, "bin")
                .into_iter()
                .filter(|folder| named_after_postgres(folder, "postgresql")),
        );
    }
    folders.extend(below("/Applications/Postgres.app/Contents/Versions", "bin"));
    folders.extend(configured());
    folders
}

fn below(parent: &str, child: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.path().join(child))
        .collect()
}

fn named_after_postgres(bin: &Path, prefix: &str) -> bool {
    let name = bin
        .parent()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(prefix))
}

fn configured() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    (!folder.trim().is_empty()).then(|| PathBuf::from(folder.trim()))
}

fn install_command() -> &'static str {
    if cfg!(target_os = "macos") {
        "brew install postgresql@17"
    } else if Path::new("/etc/debian_version").exists() {
        "sudo apt-get install postgresql"
    } else {
        "sudo dnf install postgresql-server"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_the_servers_own_words() {
        assert_eq!(
            major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_of("postgres (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(major_of("postgres: command not found"), None);
    }

    #[test]
    fn the_newest_of_several_servers_is_taken() {
        let programs = |major| Programs {
            folder: PathBuf::from("/x"),
            major,
        };
        assert_eq!(
            newest(vec![programs(9), programs(17), programs(16)])
                .unwrap()
                .major(),
            17
        );
    }

    #[test]
    fn no_server_is_an_error_that_names_the_command_to_install_one() {
        let message = newest(Vec::new()).unwrap_err().to_string();
        assert!(message.contains("install"), "{message}");
        assert!(message.contains("postgresql"), "{message}");
    }
}
