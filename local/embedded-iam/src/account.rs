//! Accounts and their permanent keys.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The number of an account: twelve digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(Cow<'static, str>);

/// A text that is no account number.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an account number has twelve digits")]
pub struct NotAnAccount;

impl AccountId {
    /// The account of whoever runs this machine.
    pub const OWN: Self = Self(Cow::Borrowed("000000000000"));

    /// That of a customer, where tests and the local stack have a second one.
    pub const CUSTOMER: Self = Self(Cow::Borrowed("111122223333"));

    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = NotAnAccount;

    fn from_str(text: &str) -> Result<Self, NotAnAccount> {
        let is_number = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number
            .then(|| Self(Cow::Owned(text.to_owned())))
            .ok_or(NotAnAccount)
    }
}

impl TryFrom<String> for AccountId {
    type Error = NotAnAccount;

    fn try_from(text: String) -> Result<Self, NotAnAccount> {
        text.parse()
    }
}

impl From<AccountId> for String {
    fn from(account: AccountId) -> Self {
        account.0.into_owned()
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A permanent key.
#[derive(Clone)]
pub struct Credentials {
    /// What requests name, for example `AKIA…`.
    pub access_key_id: String,
    /// What requests are signed with.
    pub secret_access_key: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// An account, and the key of its one user, `administrator`, who may do everything in it.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// The administrator's key.
    pub credentials: Credentials,
}
