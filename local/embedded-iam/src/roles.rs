//! The roles of all accounts: `<account>/<name>.json`. Their files are looked at when they are asked for, so that one
//! changed by hand counts at once.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::account::AccountId;
use crate::arn::{RoleArn, is_name};
use crate::file::{self, Stamp, Survives};
use crate::role::{Record, Role};

/// Roles that are known without reading their files again.
const MOST_KNOWN: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Roles {
    folder: PathBuf,
    /// By file, as it was when it was read.
    known: Mutex<HashMap<PathBuf, (Stamp, Arc<Role>)>>,
    /// Held while a role is changed.
    writing: Mutex<()>,
}

/// Why a role cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoleError {
    /// What is in the file is no role.
    #[error("{} is no role: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("the file of a role could not be read or written")]
    Io(#[from] io::Error),
}

impl Roles {
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        file::make_folder(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            known: Mutex::default(),
            writing: Mutex::new(()),
        })
    }

    /// The role of this ARN.
    pub(crate) fn find(&self, arn: &RoleArn) -> Result<Option<Arc<Role>>, RoleError> {
        let path = self.path(&arn.account, &arn.name);
        // Before it is read: what is written in between is read at the next look.
        let Some(stamp) = Stamp::of(&path)? else {
            return Ok(None);
        };
        let found = match self.known(&path, stamp) {
            Some(role) => Some(role),
            None => self.named(&arn.account, &arn.name)?.map(|role| {
                let role = Arc::new(role);
                self.remember(path, stamp, &role);
                role
            }),
        };
        Ok(found.filter(|role| role.arn == *arn))
    }

    fn known(&self, path: &Path, stamp: Stamp) -> Option<Arc<Role>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (then, role) = known.get(path)?;
        (*then == stamp).then(|| Arc::clone(role))
    }

    fn remember(&self, path: PathBuf, stamp: Stamp, role: &Arc<Role>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(path, (stamp, Arc::clone(role)));
    }

    /// The role of this name.
    pub(crate) fn named(&self, account: &AccountId, name: &str) -> Result<Option<Role>, RoleError> {
        let path = self.path(account, name);
        let Some(text) = file::read(&path)? else {
            return Ok(None);
        };
        let damaged = |reason: &dyn std::fmt::Display| RoleError::Damaged {
            path: path.clone(),
            reason: reason.to_string(),
        };
        let record: Record = serde_json::from_str(&text).map_err(|error| damaged(&error))?;
        Role::new(account, name, record)
            .map(Some)
            .map_err(|error| damaged(&error))
    }

    /// The roles of an account, by name.
    pub(crate) fn all(&self, account: &AccountId) -> Result<Vec<Role>, RoleError> {
        let mut names = self.names(account)?;
        names.sort();
        let roles = names.iter().map(|name| self.named(account, name));
        Ok(roles
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    /// How many roles an account has.
    pub(crate) fn count(&self, account: &AccountId) -> io::Result<usize> {
        Ok(self.names(account)?.len())
    }

    /// Adds a role. Returns whether there was none of this name, whatever its case.
    pub(crate) fn create(&self, role: &Role) -> Result<bool, RoleError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let RoleArn { account, name, .. } = &role.arn;
        let is_taken = |other: &String| other.eq_ignore_ascii_case(name);
        if self.names(account)?.iter().any(is_taken) {
            return Ok(false);
        }
        file::make_folder(&self.folder.join(account.as_str()))?;
        self.write(role)?;
        Ok(true)
    }

    /// Puts a role in the place of one of this name, whose id it keeps.
    pub(crate) fn put(&self, mut role: Role) -> Result<Role, RoleError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let RoleArn { account, name, .. } = &role.arn;
        if let Some(old) = self.named(account, name)? {
            role.id.clone_from(&old.id);
            role.record.role_id = old.id;
        }
        file::make_folder(&self.folder.join(account.as_str()))?;
        self.write(&role)?;
        Ok(role)
    }

    /// Changes a role by `change`, which may refuse. Returns `None` where there is no such role.
    pub(crate) fn change<E: From<RoleError>>(
        &self,
        account: &AccountId,
        name: &str,
        change: impl FnOnce(Role) -> Result<Role, E>,
    ) -> Result<Option<Role>, E> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(role) = self.named(account, name)? else {
            return Ok(None);
        };
        let changed = change(role)?;
        self.write(&changed)?;
        Ok(Some(changed))
    }

    /// Removes a role if `may` lets it. Returns `None` where there is no such role.
    pub(crate) fn remove<E: From<RoleError>>(
        &self,
        account: &AccountId,
        name: &str,
        may: impl FnOnce(&Role) -> Result<(), E>,
    ) -> Result<Option<()>, E> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(role) = self.named(account, name)? else {
            return Ok(None);
        };
        may(&role)?;
        file::remove(&self.path(account, name)).map_err(RoleError::Io)?;
        Ok(Some(()))
    }

    fn write(&self, role: &Role) -> Result<(), RoleError> {
        let text = serde_json::to_string_pretty(&role.record).map_err(io::Error::other)?;
        let RoleArn { account, name, .. } = &role.arn;
        Ok(file::write(
            &self.path(account, name),
            &(text + "\n"),
            Survives::Power,
        )?)
    }

    fn names(&self, account: &AccountId) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.folder.join(account.as_str())) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let file = entry?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".json"));
            names.extend(name.filter(|name| is_name(name)).map(str::to_owned));
        }
        Ok(names)
    }

    fn path(&self, account: &AccountId, name: &str) -> PathBuf {
        self.folder
            .join(account.as_str())
            .join(format!("{name}.json"))
    }
}
