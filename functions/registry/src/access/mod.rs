//! Who may do what: users, their passwords and their tokens.
//!
//! In reading order: [`user`] says who there can be, [`settings`] and [`given`] who there is at first, [`password`] how a login is judged,
//! [`token`] what comes of it. [`Access`] puts them together; `throttle` and `calls` count in it, and `memory` bounds
//! what it remembers.
//!
//! What instances do not share is remembered by each for itself: without an index failed logins and calls of a token,
//! and in any case for [`USER_MEMORY`] what a user may do. So a user who is deleted, or who gets another password or other permissions,
//! is known to have changed at once to the instance that did it, and to all others after that time at the latest.

mod calls;
pub mod given;
mod memory;
pub mod password;
pub mod settings;
mod throttle;
pub mod token;
pub mod user;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::{Duration, OffsetDateTime};

use crate::audit::Actor;
use crate::index::Index;
use crate::store::{Objects, StoreError};
use calls::Calls;
use memory::Memory;
use password::{HashError, Hasher, Password};
use settings::{Admin, Settings};
use throttle::Logins;
use token::{Claims, Keys, Token};
use user::{FIRST, Permission, Permissions, Record, User, UserName, Users, generation};

/// How long an instance believes what it has read of a user.
pub const USER_MEMORY: Duration = Duration::seconds(30);
/// Users remembered at the same time.
const USERS: usize = 4096;

/// Tells the time. Tests have their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> OffsetDateTime + Send + Sync>);

impl Clock {
    /// A clock that asks `now`.
    pub fn new(now: impl Fn() -> OffsetDateTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time.
    pub fn now(&self) -> OffsetDateTime {
        (self.0)()
    }
}

/// The system's.
impl Default for Clock {
    fn default() -> Self {
        Self::new(OffsetDateTime::now_utc)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clock")
    }
}

/// Why something was not allowed or not done: one variant per decision a caller can take.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// No token or one that is not valid, or a wrong name or password. It does not say which.
    #[error("there is no valid token, or the name or the password is wrong")]
    Unauthenticated,
    /// It is known who asks, and that is not enough.
    #[error("this user lacks the permission {0}")]
    Forbidden(Permission),
    /// The default admin is not kept in the store.
    #[error("the default admin is changed in the configuration only")]
    Configured,
    /// There is a user of this name.
    #[error("there is a user of this name already")]
    Exists,
    /// There is no user of this name.
    #[error("there is no user of this name")]
    NotFound,
    /// Too many wrong passwords for this user.
    #[error("too many failed logins of this user; wait {} seconds", .retry_after.whole_seconds() + 1)]
    Throttled {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The store does not answer: the same again may succeed later.
    #[error("users cannot be read or written")]
    Unavailable(#[source] StoreError),
    /// What is stored is not a user. Somebody else wrote there.
    #[error("the object {key} is not a user; delete it, or put back what it was")]
    Unreadable {
        /// Of the object.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A password could not be hashed.
    #[error("passwords cannot be checked")]
    NoHash(#[source] HashError),
    /// The system has no random bytes.
    #[error("there are no random bytes for a secret")]
    NoRandomness(#[source] getrandom::Error),
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user's name.
    pub name: UserName,
    /// What the user may do.
    pub permissions: Permissions,
}

impl Caller {
    /// Lets only those pass who may do this.
    ///
    /// # Errors
    ///
    /// [`AccessError::Forbidden`]
    pub fn must(&self, permission: Permission) -> Result<(), AccessError> {
        self.permissions
            .include(permission)
            .then_some(())
            .ok_or(AccessError::Forbidden(permission))
    }

    /// Whether the user may do everything.
    pub fn is_admin(&self) -> bool {
        self.permissions.include(Permission::Admin)
    }

    /// As the audit trail has it.
    pub fn actor(&self) -> Actor {
        Actor {
            name: self.name.to_string(),
            is_admin: self.is_admin(),
        }
    }

    /// Users are their own business, and an admin's.
    fn must_be(&self, name: &UserName) -> Result<(), AccessError> {
        if self.name == *name {
            return Ok(());
        }
        self.must(Permission::Admin)
    }
}

/// Somebody to be registered.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// What the user will log in with.
    pub name: UserName,
    /// The first password.
    pub password: Password,
    /// What the user may do.
    pub permissions: Permissions,
}

/// Users and their tokens.
#[derive(Debug)]
pub struct Access {
    admin: Admin,
    keys: Keys,
    users: Users,
    hasher: Hasher,
    clock: Clock,
    logins: Logins,
    calls: Calls,
    known: Mutex<Memory<UserName, User>>,
}

impl Access {
    /// Access for the users in `objects` and the admin in `settings`. It asks nothing yet.
    pub fn new(settings: Settings, objects: Objects, clock: Clock) -> Self {
        Self {
            admin: settings.admin,
            keys: settings.keys,
            users: Users(objects),
            hasher: Hasher::default(),
            clock,
            logins: Logins::new(None),
            calls: Calls::new(None),
            known: Mutex::new(Memory::new(USERS, |_| 0)),
        }
    }

    /// The same, with calls of tokens and failed logins counted in an index, together with all instances that share it.
    #[must_use]
    pub fn counting_in(mut self, index: Option<Arc<Index>>) -> Self {
        self.calls = Calls::new(index.clone());
        self.logins = Logins::new(index);
        self
    }

    /// A token for who knows the password.
    ///
    /// # Errors
    ///
    /// [`AccessError::Unauthenticated`] if the name or the password is wrong, [`AccessError::Throttled`],
    /// [`AccessError::Unavailable`] and other failures of the store.
    pub async fn authenticate(&self, name: &str, password: &str) -> Result<Token, AccessError> {
        // What cannot be a name or a password is refused without work, whoever the user is.
        let name: UserName = name
            .parse()
            .map_err(|_invalid| AccessError::Unauthenticated)?;
        let password = Password::given(password).map_err(|_long| AccessError::Unauthenticated)?;
        let begun_at = self.clock.now();
        self.logins
            .begin(name.as_str(), begun_at)
            .await
            .map_err(|retry_after| AccessError::Throttled { retry_after })?;
        match self.generation_of(&name, password).await {
            Ok(Some(generation)) => {
                self.logins.succeeded(name.as_str()).await;
                self.keys
                    .issue(name.as_str(), &generation, self.clock.now())
                    .map_err(AccessError::NoRandomness)
            }
            Ok(None) => {
                tracing::info!(user = %name, "a login failed");
                Err(AccessError::Unauthenticated)
            }
            Err(error) => {
                let now = self.clock.now();
                self.logins.forgive(name.as_str(), now).await;
                Err(error)
            }
        }
    }

    /// The generation that a token is for, if the password is right.
    async fn generation_of(
        &self,
        name: &UserName,
        password: Password,
    ) -> Result<Option<String>, AccessError> {
        if name == self.admin.name() {
            let key = self.keys.signing();
            let is_right = self.admin.is_right(&password, &self.hasher, key).await?;
            return Ok(is_right.then(|| self.admin.generation(key)));
        }
        let record = self.users.find(name).await?.map(|(record, _)| record);
        let hash = record.as_ref().map(|record| record.password.clone());
        let is_right = self.hasher.is_right(password, hash).await;
        let is_right = is_right.map_err(AccessError::NoHash)?;
        Ok(record
            .filter(|_| is_right)
            .map(|record| record.user.generation))
    }

    /// Who asks, by the header of a request: see [`token::header`]. It counts as one of the token's calls.
    ///
    /// # Errors
    ///
    /// [`AccessError::Unauthenticated`], or [`AccessError::Unavailable`] and other failures of the store.
    pub async fn check(&self, header: Option<&str>) -> Result<Caller, AccessError> {
        let header = header.ok_or(AccessError::Unauthenticated)?;
        let now = self.clock.now();
        let (claims, key) = self.keys.check(header, now).map_err(|reason| {
            tracing::debug!(%reason, "a token was refused");
            AccessError::Unauthenticated
        })?;
        let name: UserName = claims
            .user
            .parse()
            .map_err(|_invalid| AccessError::Unauthenticated)?;
        let permissions = if name == *self.admin.name() {
            (claims.generation == self.admin.generation(key)).then(Permissions::admin)
        } else {
            self.permissions(&name, &claims, now).await?
        };
        let permissions = permissions.ok_or(AccessError::Unauthenticated)?;
        let counted = self.calls.count(&claims, now).await;
        counted.map_err(|_exhausted| {
            tracing::debug!(user = %name, "a token has been used up");
            AccessError::Unauthenticated
        })?;
        Ok(Caller { name, permissions })
    }

    /// What the user of a token may do, if it is still the same one.
    async fn permissions(
        &self,
        name: &UserName,
        claims: &Claims,
        now: OffsetDateTime,
    ) -> Result<Option<Permissions>, AccessError> {
        let (known, forgotten) = {
            let memory = self.known();
            (memory.get(name, now).cloned(), memory.forgotten())
        };
        if let Some(user) = known.filter(|user| user.generation == claims.generation) {
            return Ok(Some(user.permissions));
        }
        // Not known, or known from before the token was made.
        let Some((record, _)) = self.users.find(name).await? else {
            return Ok(None);
        };
        let user = record.user;
        let is_same = user.generation == claims.generation;
        let permissions = user.permissions.clone();
        let mut memory = self.known();
        // Not if it was changed or deleted here while it was read.
        if memory.forgotten() == forgotten {
            memory.put(name.clone(), user, now + USER_MEMORY, now);
        }
        Ok(is_same.then_some(permissions))
    }

    /// Registers a user: an admin's right.
    ///
    /// # Errors
    ///
    /// [`AccessError::Forbidden`], [`AccessError::Exists`], or failures of the store.
    pub async fn register(&self, caller: &Caller, new: NewUser) -> Result<User, AccessError> {
        caller.must(Permission::Admin)?;
        if new.name == *self.admin.name() {
            return Err(AccessError::Exists);
        }
        let hash = self.hasher.hash(new.password).await;
        let record = Record {
            user: User {
                name: new.name,
                generation: generation()?,
                permissions: new.permissions,
                created_at: Some(self.clock.now()),
                created_by: caller.name.to_string(),
            },
            password: hash.map_err(AccessError::NoHash)?,
        };
        self.users.create(&record).await?;
        Ok(record.user)
    }

    /// What is known of a user: for the user, and for an admin.
    ///
    /// # Errors
    ///
    /// [`AccessError::Forbidden`], [`AccessError::NotFound`], or failures of the store.
    pub async fn user(&self, caller: &Caller, name: &UserName) -> Result<User, AccessError> {
        caller.must_be(name)?;
        if name == self.admin.name() {
            return Ok(self.default_admin());
        }
        let found = self.users.find(name).await?;
        found
            .map(|(record, _)| record.user)
            .ok_or(AccessError::NotFound)
    }

    /// At most `limit` users after the place `after`, the default admin first and the others in no order that means
    /// anything, and the place to go on from if there may be more. An admin's right.
    ///
    /// # Errors
    ///
    /// [`AccessError::Forbidden`], or failures of the store.
    pub async fn users(
        &self,
        caller: &Caller,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<User>, Option<String>), AccessError> {
        caller.must(Permission::Admin)?;
        let Some(after) = after else {
            let mut users = vec![self.default_admin()];
            let (stored, next) = match limit.saturating_sub(1) {
                0 => (Vec::new(), Some(FIRST.to_owned())),
                limit => self.users.list(FIRST, limit).await?,
            };
            users.extend(stored);
            return Ok((users, next));
        };
        self.users.list(after, limit).await
    }

    /// As others are told of, though it is not stored.
    fn default_admin(&self) -> User {
        User {
            name: self.admin.name().clone(),
            generation: String::new(),
            permissions: Permissions::admin(),
            created_at: None,
            created_by: String::new(),
        }
    }

    /// Changes what a user may do: an admin's right.
    ///
    /// # Errors
    ///
    /// [`AccessError::Forbidden`], [`AccessError::Configured`], [`AccessError::NotFound`], or failures of the store.
    pub async fn set_permissions(
        &self,
        caller: &Caller,
        name: &UserName,
        permissions: &Permissions,
    ) -> Result<User, AccessError> {
        caller.must(Permission::Admin)?;
        self.must_be_stored(name)?;
        let user = self.users.update(name, |record| {
            record.user.permissions.clone_from(permissions);
        });
        let user = user.await?;
        self.known().forget(name);
        Ok(user)
    }

    /// Changes a password: the user's right, and an admin's. Tokens given for the old one end.
    ///
    /// # Errors
    ///
    /// [`AccessError::Forbidden`], [`AccessError::Configured`], [`AccessError::NotFound`], or failures of the store.
    pub async fn set_password(
        &self,
        caller: &Caller,
        name: &UserName,
        password: Password,
    ) -> Result<(), AccessError> {
        caller.must_be(name)?;
        self.must_be_stored(name)?;
        let generation = generation()?;
        let hash = self.hasher.hash(password).await;
        let hash = hash.map_err(AccessError::NoHash)?;
        let change = |record: &mut Record| {
            record.password = hash.clone();
            record.user.generation.clone_from(&generation);
        };
        self.users.update(name, change).await?;
        self.known().forget(name);
        Ok(())
    }

    /// Deletes a user: the user's right, and an admin's. Tokens of the user end, see [the module](self).
    ///
    /// # Errors
    ///
    /// [`AccessError::Forbidden`], [`AccessError::Configured`], [`AccessError::NotFound`], or failures of the store.
    pub async fn delete(&self, caller: &Caller, name: &UserName) -> Result<(), AccessError> {
        caller.must_be(name)?;
        self.must_be_stored(name)?;
        self.users.delete(name).await?;
        self.known().forget(name);
        Ok(())
    }

    /// Deletes all users but the default admin, who goes on with the token there is: an admin's right.
    ///
    /// # Errors
    ///
    /// [`AccessError::Forbidden`], or failures of the store.
    pub async fn reset(&self, caller: &Caller) -> Result<(), AccessError> {
        caller.must(Permission::Admin)?;
        self.users.clear().await?;
        self.known().clear();
        Ok(())
    }

    /// The default admin is changed in the configuration only.
    fn must_be_stored(&self, name: &UserName) -> Result<(), AccessError> {
        if name == self.admin.name() {
            return Err(AccessError::Configured);
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Memory<UserName, User>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
