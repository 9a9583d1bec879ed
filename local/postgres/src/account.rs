use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
};

use crate::Error;

/// Whom the server runs as.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    drop_to: Option<Unprivileged>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unprivileged {
    name: String,
    uid: u32,
    gid: u32,
}

/// The customary `nobody` of Linux, for machines where no package made a `postgres` user.
const NOBODY: u32 = 65534;

impl Account {
    /// Ourselves, or as root the user `postgres`, or as root over existing data the owner of that data.
    pub(crate) fn choose(data: Option<&Path>) -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self { drop_to: None };
        }
        let owner = data
            .and_then(|data| fs::metadata(data).ok())
            .filter(|owner| owner.uid() != 0);
        let drop_to = match owner {
            Some(owner) => Unprivileged {
                name: format!("user {}", owner.uid()),
                uid: owner.uid(),
                gid: owner.gid(),
            },
            None => fs::read_to_string("/etc/passwd")
                .ok()
                .and_then(|users| find("postgres", &users))
                .unwrap_or(Unprivileged {
                    name: format!("user {NOBODY}"),
                    uid: NOBODY,
                    gid: NOBODY,
                }),
        };
        Self {
            drop_to: Some(drop_to),
        }
    }

    /// User and group id to set on a child, when they differ from ours.
    pub(crate) fn ids(&self) -> Option<(u32, u32)> {
        self.drop_to.as_ref().map(|user| (user.uid, user.gid))
    }

    /// Gives the server one file or folder.
    pub(crate) fn give(&self, path: &Path) -> Result<(), Error> {
        let Some(user) = &self.drop_to else {
            return Ok(());
        };
        chown(path, Some(user.uid), Some(user.gid))
            .map_err(Error::io("give to PostgreSQL's user", path))
    }

    /// Whether the server's user may walk through every existing folder above `path`.
    ///
    /// Only the permission bits are read: access lists are rare, and the server's own complaint comes through.
    pub(crate) fn check_reach(&self, path: &Path) -> Result<(), Error> {
        let Some(user) = &self.drop_to else {
            return Ok(());
        };
        let absolute = std::path::absolute(path).map_err(Error::io("resolve", path))?;
        for ancestor in absolute.ancestors().skip(1) {
            let Ok(metadata) = fs::metadata(ancestor) else {
                continue;
            };
            let execute = if metadata.uid() == user.uid {
                0o100
            } else if metadata.gid() == user.gid {
                0o010
            } else {
                0o001
            };
            if metadata.mode() & execute == 0 {
                return Err(Error::Unreachable {
                    folder: PathBuf::from(path),
                    account: user.name.clone(),
                });
            }
        }
        Ok(())
    }
}

/// The line `name:x:uid:gid:…` of `/etc/passwd`.
fn find(name: &str, users: &str) -> Option<Unprivileged> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Unprivileged {
            name: format!("user {name}"),
            uid,
            gid,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users = "root:x:0:0::/root:/bin/sh\npostgresql:x:7:8::/:/bin/sh\npostgres:x:101:104:,,,:/var/lib:/bin/sh\n";
        let user = find("postgres", users).unwrap();
        assert_eq!((user.uid, user.gid), (101, 104));
        assert_eq!(find("nobody", users), None);
    }

    #[test]
    fn a_folder_closed_to_others_is_out_of_reach() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir_in("/tmp").unwrap();
        let stranger = Account {
            drop_to: Some(Unprivileged {
                name: "user 12345".into(),
                uid: 12345,
                gid: 12345,
            }),
        };
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o711)).unwrap();
        assert!(stranger.check_reach(&parent.path().join("a/b")).is_ok());
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let error = stranger
            .check_reach(&parent.path().join("a/b"))
            .unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    }
}
