//! Who signed a request.

use std::sync::Arc;

use crate::account::AccountId;
use crate::arn::PARTITION;
use crate::session::Session;

/// Whoever signed a request.
#[derive(Debug, Clone)]
pub enum Caller {
    /// The user with the permanent key of an account.
    Administrator(AccountId),
    /// Whoever assumed a role.
    Session(Arc<Session>),
}

impl Caller {
    /// The account that the caller belongs to.
    pub fn account(&self) -> &AccountId {
        match self {
            Self::Administrator(account) => account,
            Self::Session(session) => &session.role.account,
        }
    }

    /// What `GetCallerIdentity` says: a user, or a session of a role.
    pub fn arn(&self) -> String {
        match self {
            Self::Administrator(_) => self.identity_arn(),
            Self::Session(session) => session.arn(),
        }
    }

    /// The user or the role, as principals name it.
    pub fn identity_arn(&self) -> String {
        match self {
            Self::Administrator(account) => {
                format!("arn:{PARTITION}:iam::{account}:user/administrator")
            }
            Self::Session(session) => session.role.to_string(),
        }
    }

    /// The id that never changes: `AIDA…` of a user, `AROA…:name` of a session.
    pub fn user_id(&self) -> String {
        match self {
            Self::Administrator(account) => format!("AIDA{account}ADMIN"),
            Self::Session(session) => session.user_id(),
        }
    }
}
