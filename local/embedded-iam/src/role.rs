//! Roles, as files that people read and write as well.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::account::AccountId;
use crate::arn::{PARTITION, RoleArn};
use crate::policy::{Kind, Malformed, Policy};

/// Seconds that sessions of a role last at most, unless it says otherwise.
pub(crate) const HOUR: u32 = 3600;

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

/// A role, understood.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) arn: RoleArn,
    pub(crate) id: String,
    pub(crate) trust: Policy,
    pub(crate) policies: Vec<Policy>,
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
