//! Temporary credentials.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::arn::RoleArn;
use crate::policy::{Kind, Policy};

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
    /// The same, from its first use on.
    #[serde(skip)]
    pub(crate) understood: OnceLock<Policy>,
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

    /// The policy within which the role's own count, if there is one. It was parsed before it was stored; what cannot be
    /// parsed any longer allows nothing.
    pub(crate) fn understood_policy(&self) -> Option<Policy> {
        let text = self.policy.as_ref()?;
        let policy = self.understood.get_or_init(|| {
            Policy::parse(text, Kind::Identity).unwrap_or_else(|_error| Policy::empty())
        });
        Some(policy.clone())
    }

    /// `AROA…:<session>`.
    pub(crate) fn user_id(&self) -> String {
        format!("{}:{}", self.role_id, self.name)
    }
}
