//! Names of roles.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::account::AccountId;

/// The partition of the regions that most people use.
pub(crate) const PARTITION: &str = "aws";
/// The longest ARN of a role, in bytes.
const LONGEST: usize = 2048;
/// The longest path of a role, in bytes.
const LONGEST_PATH: usize = 512;
/// The longest name of a role, in bytes.
const LONGEST_NAME: usize = 64;

/// `arn:<partition>:iam::<account>:role<path><name>`.
///
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns>.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleArn {
    pub(crate) partition: String,
    pub(crate) account: AccountId,
    /// Begins and ends with a slash.
    pub(crate) path: String,
    pub(crate) name: String,
}

/// A text that is not the ARN of a role.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not the ARN of a role")]
pub struct NotARole;

impl RoleArn {
    /// The account it is in.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// What its sessions are called.
    pub(crate) fn session(&self, session_name: &str) -> String {
        let Self {
            partition,
            account,
            name,
            ..
        } = self;
        format!("arn:{partition}:sts::{account}:assumed-role/{name}/{session_name}")
    }
}

impl FromStr for RoleArn {
    type Err = NotARole;

    fn from_str(text: &str) -> Result<Self, NotARole> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, "iam", "", account, resource] = parts.as_slice() else {
            return Err(NotARole);
        };
        let (path, name) = resource
            .strip_prefix("role")
            .and_then(|place| place.rsplit_once('/'))
            .ok_or(NotARole)?;
        let path = format!("{path}/");
        let is_right =
            text.len() <= LONGEST && is_partition(partition) && is_path(&path) && is_name(name);
        if !is_right {
            return Err(NotARole);
        }
        Ok(Self {
            partition: (*partition).to_owned(),
            account: account.parse().map_err(|_number| NotARole)?,
            path,
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition,
            account,
            path,
            name,
        } = self;
        write!(formatter, "arn:{partition}:iam::{account}:role{path}{name}")
    }
}

impl TryFrom<String> for RoleArn {
    type Error = NotARole;

    fn try_from(text: String) -> Result<Self, NotARole> {
        text.parse()
    }
}

impl From<RoleArn> for String {
    fn from(arn: RoleArn) -> Self {
        arn.to_string()
    }
}

/// `aws`, `aws-cn`, `aws-us-gov`, `aws-iso…`.
pub(crate) fn is_partition(text: &str) -> bool {
    text == PARTITION
        || text
            .strip_prefix("aws-")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_part))
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

/// The partition of a region.
pub fn partition_of(region: &str) -> &'static str {
    let partitions = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eusc-", "aws-eusc"),
    ];
    partitions
        .iter()
        .find(|(prefix, _)| region.starts_with(prefix))
        .map_or(PARTITION, |(_, partition)| partition)
}

/// Whether a role or one of its policies can be called so.
pub(crate) fn is_name(text: &str) -> bool {
    is_named_of(text, LONGEST_NAME)
}

/// Whether a policy of a role can be called so.
pub(crate) fn is_policy_name(text: &str) -> bool {
    is_named_of(text, 128)
}

fn is_named_of(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(is_word)
}

/// Whether this can stand between `role` and a name: `/`, or words between slashes.
pub(crate) fn is_path(text: &str) -> bool {
    text.len() <= LONGEST_PATH
        && (text == "/"
            || text.strip_prefix('/').is_some_and(|rest| {
                rest.len() > 1
                    && rest.ends_with('/')
                    && rest.bytes().all(|byte| (b'!'..=b'~').contains(&byte))
            }))
}

/// The characters of names: `[\w+=,.@-]`.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_of_every_partition_and_path_are_understood() {
        for text in [
            "arn:aws:iam::123456789012:role/reader",
            "arn:aws-cn:iam::123456789012:role/reader",
            "arn:aws-us-gov:iam::123456789012:role/a/b.c/team=reader",
        ] {
            assert_eq!(text.parse::<RoleArn>().unwrap().to_string(), text);
        }
        let arn: RoleArn = "arn:aws-cn:iam::123456789012:role/team/reader"
            .parse()
            .unwrap();
        assert_eq!(
            arn.session("me"),
            "arn:aws-cn:sts::123456789012:assumed-role/reader/me"
        );
    }

    #[test]
    fn what_is_no_role_is_refused() {
        for text in [
            "",
            "arn:aws:iam::1:role/reader",
            "arn:aws:iam::123456789012:user/reader",
            "arn:aws:iam::123456789012:role",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:roles/reader",
            "arn:aws:iam::123456789012:rolereader/reader",
            "arn:aws:iam::123456789012:role//reader",
            "arn:aws:iam::123456789012:role/the reader",
            "arn:azure:iam::123456789012:role/reader",
            "arn:aws-:iam::123456789012:role/reader",
            "arn:aws:sts::123456789012:role/reader",
            "arn:aws:iam:us-east-1:123456789012:role/reader",
        ] {
            assert_eq!(text.parse::<RoleArn>(), Err(NotARole), "{text}");
        }
    }

    #[test]
    fn a_name_cannot_leave_its_folder() {
        assert!(!is_name("../x") && !is_name("a/b") && !is_name(""));
        assert!(!is_name(&"a".repeat(65)));
    }
}
