//! Roles, as files that people read and write as well.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::account::AccountId;
use crate::arn::{PARTITION, RoleArn, is_name};
use crate::clock::{now, print};
use crate::policy::{Kind, Malformed, Policy};
use crate::random;

/// Seconds that sessions of a role last at most, unless it says otherwise.
pub(crate) const HOUR: u32 = 3600;

impl NewRole<'_> {
    /// The role, with a new id.
    pub(crate) fn make(&self) -> Result<Role, NewRoleError> {
        if !is_name(self.name) {
            return Err(NewRoleError::Name(self.name.to_owned()));
        }
        let id = random::capitals(17).map_err(|error| NewRoleError::Storage(error.into()))?;
        let document = |text: &str, kind| {
            Policy::parse(text, kind)?;
            serde_json::from_str(text).map_err(|error| Malformed::new(error.to_string()))
        };
        let record = Record {
            partition: aws(),
            path: root(),
            role_id: format!("AROA{id}"),
            create_date: print(now()),
            description: String::new(),
            max_session_duration: self.max_session_duration,
            assume_role_policy_document: document(self.trust, Kind::Trust)?,
            policies: BTreeMap::from([(
                "policy".to_owned(),
                document(self.policy, Kind::Identity)?,
            )]),
        };
        Ok(Role::new(&self.account, self.name, record)?)
    }
}

/// A role as its file holds it. The file's name is the role's, its folder's name the account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Record {
    #[serde(default = "aws")]
    pub(crate) partition: String,
    #[serde(default = "root")]
    pub(crate) path: String,
    /// `AROA…`; one written by hand may do without.
    #[serde(default)]
    pub(crate) role_id: String,
    /// ISO 8601.
    #[serde(default)]
    pub(crate) create_date: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default = "hour")]
    pub(crate) max_session_duration: u32,
    pub(crate) assume_role_policy_document: Value,
    #[serde(default)]
    pub(crate) policies: BTreeMap<String, Value>,
}

fn aws() -> String {
    PARTITION.to_owned()
}

fn root() -> String {
    "/".to_owned()
}

fn hour() -> u32 {
    HOUR
}

/// A role to be made by a program instead of by IAM's API.
#[derive(Debug, Clone)]
pub struct NewRole<'a> {
    /// Whose it is.
    pub account: AccountId,
    /// What it is called there.
    pub name: &'a str,
    /// Who may assume it: a policy as JSON.
    pub trust: &'a str,
    /// What its sessions may do: a policy as JSON.
    pub policy: &'a str,
    /// Seconds that its sessions last at most.
    pub max_session_duration: u32,
}

/// Why a role was not made.
#[derive(Debug, thiserror::Error)]
pub enum NewRoleError {
    /// The name is not that of a role.
    #[error("{0:?} is not the name of a role")]
    Name(String),
    /// One of the policies is none.
    #[error(transparent)]
    Policy(#[from] Malformed),
    /// The role could not be stored.
    #[error("the role could not be stored")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A role, understood.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) arn: RoleArn,
    pub(crate) id: String,
    pub(crate) trust: Policy,
    pub(crate) policies: Arc<[Policy]>,
    pub(crate) record: Record,
}

impl Role {
    /// Understands a record.
    pub(crate) fn new(account: &AccountId, name: &str, record: Record) -> Result<Self, Malformed> {
        let parse = |document: &Value, kind| Policy::parse(&document.to_string(), kind);
        let policies = record.policies.values();
        Ok(Self {
            arn: RoleArn {
                partition: record.partition.clone(),
                account: account.clone(),
                path: record.path.clone(),
                name: name.to_owned(),
            },
            id: if record.role_id.is_empty() {
                format!("AROA{account}{name}")
            } else {
                record.role_id.clone()
            },
            trust: parse(&record.assume_role_policy_document, Kind::Trust)?,
            policies: policies
                .map(|document| parse(document, Kind::Identity))
                .collect::<Result<_, _>>()?,
            record,
        })
    }
}
