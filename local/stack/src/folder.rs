use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use embedded_s3::Credentials;
use registry::access::token::Key;

use crate::{
    Error,
    keys::{Keys, KeysError},
};

/// The data folder, held by this process alone.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Opens the folder, or makes it. Others may pass through it, because PostgreSQL's user has to, but not
    /// look into it.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(Error::io("resolve", path))?;
        match DirBuilder::new().recursive(true).mode(0o711).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(Error::io("make", &path))?,
        }
        let file = path.join("lock");
        let lock = File::create(&file).map_err(Error::io("open", &file))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { folder: path }),
            Err(TryLockError::Error(source)) => Err(Error::io("lock", file)(source)),
        }
    }

    /// The absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The keys of both accounts, made at the first start and kept in the format that AWS tools read. A given key is
    /// not kept.
    pub(crate) fn keys(&self, given: Option<&Credentials>) -> Result<Keys, Error> {
        let file = self.path.join("credentials");
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::io("read", file)(error)),
        };
        let mut complete = text.clone();
        let keys = Keys::of(&mut complete, given).map_err(|error| match error {
            KeysError::Incomplete => Error::Credentials { file: file.clone() },
            KeysError::Random(source) => Error::io("draw random bytes for", &file)(source),
        })?;
        if complete != text {
            write_secret(&file, &complete)?;
        }
        Ok(keys)
    }

    /// The key that the registry's tokens are signed with, made at the first start.
    pub(crate) fn token_key(&self) -> Result<Key, Error> {
        let file = self.path.join("token-key");
        let secret = match fs::read_to_string(&file) {
            Ok(secret) => secret,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut random = [0; 32];
                getrandom::fill(&mut random)
                    .map_err(io::Error::from)
                    .map_err(Error::io("draw random bytes for", &file))?;
                let secret = hex::encode(random);
                write_secret(&file, &secret)?;
                secret
            }
            Err(error) => return Err(Error::io("read", file)(error)),
        };
        Key::new(secret.trim().as_bytes()).map_err(|_weak| Error::TokenKey { file })
    }

    /// Writes the file that a shell sources to reach everything.
    pub(crate) fn write_env(&self, variables: &[(&str, &str)]) -> Result<PathBuf, Error> {
        let file = self.path.join("env");
        let exports = variables
            .iter()
            .map(|(name, value)| format!("export {name}={}", quote(value)));
        // What a shell has of another account or session would come between.
        let text = "unset AWS_PROFILE AWS_SESSION_TOKEN\n".to_owned()
            + &exports.collect::<Vec<_>>().join("\n")
            + "\n";
        write_secret(&file, &text)?;
        Ok(file)
    }
}

/// A word for a shell, whatever it holds.
pub(crate) fn quote(word: &str) -> String {
    let plain =
        |character: char| character.is_ascii_alphanumeric() || "-_./:=@,%+".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Writes a file that only its owner reads, whole or not at all.
fn write_secret(file: &Path, text: &str) -> Result<(), Error> {
    let unfinished = file.with_extension("new");
    let write = || {
        let mut open = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        open.set_permissions(fs::Permissions::from_mode(0o600))?;
        open.write_all(text.as_bytes())?;
        open.sync_all()?;
        fs::rename(&unfinished, file)
    };
    write().map_err(Error::io("write", file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_made_once_and_read_by_their_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::open(&parent.path().join("a/b")).unwrap();
        let made = folder.keys(None).unwrap();
        let read = folder.keys(None).unwrap();
        for (made, read) in [(&made.own, &read.own), (&made.customer, &read.customer)] {
            assert_eq!(made.access_key_id, read.access_key_id);
            assert_eq!(made.secret_access_key, read.secret_access_key);
            assert_eq!(
                (made.access_key_id.len(), made.secret_access_key.len()),
                (20, 40)
            );
        }
        assert_ne!(made.own.access_key_id, made.customer.access_key_id);
        let permissions = fs::metadata(folder.path().join("credentials"))
            .unwrap()
            .permissions();
        assert_eq!(permissions.mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_credentials_file_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::open(parent.path()).unwrap();
        fs::write(
            parent.path().join("credentials"),
            "[default]\naws_access_key_id =\n",
        )
        .unwrap();
        assert!(matches!(
            folder.keys(None).unwrap_err(),
            Error::Credentials { .. }
        ));
    }

    #[test]
    fn the_key_of_tokens_is_made_once_and_a_damaged_one_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::open(parent.path()).unwrap();
        let made = folder.token_key().unwrap();
        assert_eq!(folder.token_key().unwrap().id(), made.id());
        let file = parent.path().join("token-key");
        let permissions = fs::metadata(&file).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, 0o600);
        fs::write(file, "short").unwrap();
        let error = folder.token_key().unwrap_err();
        assert!(matches!(error, Error::TokenKey { .. }));
    }

    #[test]
    fn a_file_from_before_there_were_customers_keeps_its_key() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::open(parent.path()).unwrap();
        let old = "# mine\n[default]\naws_access_key_id = OLD\naws_secret_access_key = a/b=\n\n[work]\nrole_arn = x\n";
        fs::write(parent.path().join("credentials"), old).unwrap();
        let keys = folder.keys(None).unwrap();
        assert_eq!(keys.own.access_key_id, "OLD");
        assert_eq!(keys.own.secret_access_key, "a/b=");
        let text = fs::read_to_string(parent.path().join("credentials")).unwrap();
        assert!(text.starts_with(old), "{text}");
        assert!(text.contains("[customer]"), "{text}");
    }

    #[test]
    fn a_given_key_is_not_kept() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::open(parent.path()).unwrap();
        let given = Credentials {
            access_key_id: "GIVEN".to_owned(),
            secret_access_key: "geheim".to_owned(),
        };
        assert_eq!(
            folder.keys(Some(&given)).unwrap().own.access_key_id,
            "GIVEN"
        );
        let text = fs::read_to_string(parent.path().join("credentials")).unwrap();
        assert!(text.starts_with("[customer]"), "{text}");
        assert!(!text.contains("geheim"), "{text}");
    }

    #[test]
    fn a_folder_is_opened_once_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let first = Folder::open(parent.path()).unwrap();
        assert!(matches!(
            Folder::open(parent.path()).unwrap_err(),
            Error::InUse { .. }
        ));
        drop(first);
        Folder::open(parent.path()).unwrap();
    }

    #[test]
    fn a_shell_reads_what_was_quoted() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::open(parent.path()).unwrap();
        let value = "it's $HOME `id` \"x\" & ü; \\";
        let file = folder.write_env(&[("VALUE", value)]).unwrap();
        let script = format!(
            ". {} && printf %s \"$VALUE\"",
            quote(&file.display().to_string())
        );
        let output = std::process::Command::new("sh")
            .args(["-c", &script])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), value);
    }
}
