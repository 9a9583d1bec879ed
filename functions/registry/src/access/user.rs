//! Users, and where they are kept.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use futures_util::future::try_join_all;
use ring::digest;
use serde::{Deserialize, Deserializer, Serialize};
use shared::telemetry::chain;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::AccessError;
use super::password::PasswordHash;
use super::settings::PUBLIC_NAME;
use crate::store::{Etag, Objects, StoreError};

/// The longest name, in bytes of UTF-8.
const MAX_NAME_BYTES: usize = 256;
/// Before the keys of all users.
const PREFIX: &str = "users/";
/// A place before that of any user.
pub(super) const FIRST: &str = "0";
/// Users deleted at the same time by a reset.
const PAGE: usize = 100;

/// What a user logs in with. Compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

impl UserName {
    /// What clients of the contract log in as at first.
    pub(super) fn public() -> Self {
        Self(PUBLIC_NAME.to_owned())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the user is kept. Names may have any characters, so it is a digest.
    fn key(&self) -> String {
        let digest = digest::digest(&digest::SHA256, self.0.as_bytes());
        format!("{PREFIX}{}.json", hex::encode(digest))
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for UserName {
    type Err = InvalidUserName;

    fn from_str(text: &str) -> Result<Self, InvalidUserName> {
        let is_name = !text.trim().is_empty()
            && text.len() <= MAX_NAME_BYTES
            && !text.chars().any(char::is_control);
        is_name
            .then(|| Self(text.to_owned()))
            .ok_or(InvalidUserName)
    }
}

impl TryFrom<String> for UserName {
    type Error = InvalidUserName;

    fn try_from(text: String) -> Result<Self, InvalidUserName> {
        text.parse()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

/// A text that is not the name of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a user name has 1 to 256 bytes and no control characters")]
pub struct InvalidUserName;

/// What a user can be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Register, change and delete artifacts.
    Upload,
    /// Find artifacts and read what is known of them.
    Search,
    /// Get their bytes.
    Download,
    /// Everything, users and reset included.
    Admin,
}

impl Permission {
    /// As it is written in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Search => "search",
            Self::Download => "download",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Permission {
    type Err = InvalidPermission;

    fn from_str(text: &str) -> Result<Self, InvalidPermission> {
        match text {
            "upload" => Ok(Self::Upload),
            "search" => Ok(Self::Search),
            "download" => Ok(Self::Download),
            "admin" => Ok(Self::Admin),
            _ => Err(InvalidPermission),
        }
    }
}

/// A text that is no permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a permission is upload, search, download or admin")]
pub struct InvalidPermission;

/// A set of permissions. What is not known in a stored set is left out: it allows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Vec<Permission>)]
pub struct Permissions(BTreeSet<Permission>);

impl Permissions {
    /// All there are.
    pub fn admin() -> Self {
        Self::from_iter([Permission::Admin])
    }

    /// Each of them, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = Permission> {
        self.0.iter().copied()
    }

    /// Whether they include `permission`. An admin may do everything.
    pub fn include(&self, permission: Permission) -> bool {
        self.0.contains(&permission) || self.0.contains(&Permission::Admin)
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().collect())
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<serde_json::Value>::deserialize(deserializer)?;
        Ok(texts
            .into_iter()
            .filter_map(|text| serde_json::from_value(text).ok())
            .collect())
    }
}

/// Somebody who may log in, as it is kept in `users/{SHA-256 of the name}.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) user: User,
    pub(super) password: PasswordHash,
}

/// What is known of a user, without the password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// What the user logs in with.
    pub name: UserName,
    /// Another one for every account and every password: tokens of an earlier one are not valid for this one.
    pub generation: String,
    /// What the user may do.
    #[serde(default)]
    pub permissions: Permissions,
    /// When an admin registered the user; `None` for the default admin.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub created_at: Option<OffsetDateTime>,
    /// Which admin.
    #[serde(default)]
    pub created_by: String,
}

/// A generation that nobody had.
pub(super) fn generation() -> Result<String, AccessError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(AccessError::NoRandomness)?;
    Ok(hex::encode(bytes))
}

/// The users in the store.
#[derive(Debug, Clone)]
pub(super) struct Users(pub(super) Objects);

impl Users {
    pub(super) async fn find(
        &self,
        name: &UserName,
    ) -> Result<Option<(Record, Etag)>, AccessError> {
        self.read(&name.key()).await
    }

    async fn read(&self, key: &str) -> Result<Option<(Record, Etag)>, AccessError> {
        let Some((json, etag)) = self.0.get(key).await.map_err(AccessError::Unavailable)? else {
            return Ok(None);
        };
        let unreadable = |source| AccessError::Unreadable {
            key: key.to_owned(),
            source,
        };
        let record: Record = serde_json::from_slice(&json).map_err(unreadable)?;
        // An object copied to the key of another name is not that user.
        if record.user.name.key() != key {
            let source =
                <serde_json::Error as serde::de::Error>::custom("it is the user of another key");
            return Err(unreadable(source));
        }
        Ok(Some((record, etag)))
    }

    /// Writes a user who was not there. [`AccessError::Exists`] otherwise.
    pub(super) async fn create(&self, record: &Record) -> Result<(), AccessError> {
        let name = &record.user.name;
        match self.0.create(&name.key(), json(record)?).await {
            Ok(_) => Ok(()),
            // It may be this very write, whose answer was lost: the generation is known to nobody else.
            Err(StoreError::Exists) => match self.find(name).await? {
                Some((there, _)) if there == *record => Ok(()),
                _ => Err(AccessError::Exists),
            },
            Err(error) => Err(AccessError::Unavailable(error)),
        }
    }

    /// Changes a user. What others change at the same time is not lost.
    pub(super) async fn update(
        &self,
        name: &UserName,
        change: impl Fn(&mut Record),
    ) -> Result<User, AccessError> {
        loop {
            let (mut record, etag) = self.find(name).await?.ok_or(AccessError::NotFound)?;
            change(&mut record);
            match self.0.replace(&name.key(), json(&record)?, &etag).await {
                Ok(_) => return Ok(record.user),
                Err(StoreError::Changed | StoreError::Exists) => {}
                Err(error) => return Err(AccessError::Unavailable(error)),
            }
        }
    }

    pub(super) async fn delete(&self, name: &UserName) -> Result<(), AccessError> {
        let mut was_there = false;
        loop {
            let (_, etag) = match self.find(name).await? {
                Some(found) => found,
                // By a try whose answer was lost, or by somebody else at this moment.
                None if was_there => return Ok(()),
                None => return Err(AccessError::NotFound),
            };
            match self.0.delete_if(&name.key(), &etag).await {
                Ok(()) => return Ok(()),
                Err(StoreError::Changed | StoreError::Exists) => was_there = true,
                Err(error) => return Err(AccessError::Unavailable(error)),
            }
        }
    }

    /// At most `limit` users after the place `after`, and the place to go on from if there are more.
    pub(super) async fn list(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<(Vec<User>, Option<String>), AccessError> {
        let after = format!("{PREFIX}{after}");
        let listed = self.0.list(PREFIX, Some(&after), limit).await;
        let listed = listed.map_err(AccessError::Unavailable)?;
        let next = listed
            .last()
            .filter(|_| listed.len() == limit)
            .and_then(|last| last.key.strip_prefix(PREFIX))
            .map(ToOwned::to_owned);
        let users = try_join_all(listed.iter().map(|object| async move {
            match self.read(&object.key).await {
                Ok(found) => Ok(found.map(|(record, _)| record.user)),
                Err(error @ AccessError::Unreadable { .. }) => {
                    tracing::warn!(error = %chain(&error), "a list of users leaves one out");
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        }));
        // Who was deleted since the listing is not in it.
        Ok((users.await?.into_iter().flatten().collect(), next))
    }

    /// Deletes all users.
    pub(super) async fn clear(&self) -> Result<(), AccessError> {
        loop {
            let listed = self.0.list(PREFIX, None, PAGE).await;
            let listed = listed.map_err(AccessError::Unavailable)?;
            try_join_all(listed.iter().map(|object| self.0.delete(&object.key)))
                .await
                .map_err(AccessError::Unavailable)?;
            if listed.len() < PAGE {
                return Ok(());
            }
        }
    }
}

fn json(record: &Record) -> Result<Vec<u8>, AccessError> {
    serde_json::to_vec(record).map_err(|source| AccessError::Unreadable {
        key: record.user.name.key(),
        source,
    })
}
