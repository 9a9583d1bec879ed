//! Temporary credentials.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::arn::RoleArn;

/// Credentials that end, and what they were issued for.
#[derive(Clone, Serialize, Deserialize)]
pub struct Session {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) token: String,
    /// Milliseconds since 1970.
    pub(crate) expires: i64,
    pub(crate) role: RoleArn,
    /// `AROA…`: a role made anew under the old name is another one.
    pub(crate) role_id: String,
    pub(crate) name: String,
    /// JSON, within which the role's own policies count.
    pub(crate) policy: Option<String>,
    pub(crate) source_identity: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("access_key_id", &self.access_key_id)
            .field("arn", &self.arn())
            .finish_non_exhaustive()
    }
}

impl Session {
    /// `arn:…:assumed-role/<role>/<session>`.
    pub(crate) fn arn(&self) -> String {
        self.role.session(&self.name)
    }

    /// `AROA…:<session>`.
    pub(crate) fn user_id(&self) -> String {
        format!("{}:{}", self.role_id, self.name)
    }
}
