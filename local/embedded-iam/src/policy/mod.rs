//! Policies: read once, then asked. The elements of the language that are not known here are refused when a policy is
//! written, where AWS would refuse them too, and otherwise deny, with a line in the log.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>.

mod condition;
mod document;

use std::collections::BTreeMap;

use self::condition::{Answer, Condition};
use crate::arn::is_word;
use crate::caller::Caller;
use crate::wildcard::{matches, matches_any_case};

/// What a policy is attached to, which decides over the elements it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A role, or a session of one: no principals.
    Identity,
    /// The trust in a role: principals, no resources.
    Trust,
    /// A resource such as a bucket: principals and resources.
    Resource,
}

/// Why a text is no policy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Malformed(String);

impl Malformed {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// What is known of a request: condition keys in lower case, with their values.
#[derive(Debug, Clone, Default)]
pub struct Context(BTreeMap<String, Vec<String>>);

impl Context {
    /// Adds a value of a condition key such as `s3:prefix`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.add(key, value);
        self
    }

    /// As [`with`](Self::with).
    pub fn add(&mut self, key: &str, value: impl Into<String>) {
        self.0
            .entry(key.to_ascii_lowercase())
            .or_default()
            .push(value.into());
    }

    fn values(&self, key: &str) -> Option<&[String]> {
        self.0
            .get(&key.to_ascii_lowercase())
            .map(Vec::as_slice)
            .filter(|values| !values.is_empty())
    }
}

/// Who is named by a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Principal {
    Everyone,
    /// Whoever this account lets.
    Account(String),
    /// A role, a user, or one session of a role.
    Arn(String),
    /// Services and other identities that never sign requests here.
    Stranger,
}

/// How directly a policy names a caller; the greater, the more it grants by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Named {
    /// The caller's account, which has to allow it as well.
    Account,
    /// The caller's role or user, or everyone.
    Identity,
    /// This one session.
    Session,
}

/// A list with `Not` or without.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Patterns {
    patterns: Vec<String>,
    is_negated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    sid: String,
    allows: bool,
    /// `None` where the policy is of an identity.
    principals: Option<Vec<Principal>>,
    actions: Patterns,
    /// `None` where the policy is the trust in a role.
    resources: Option<Patterns>,
    conditions: Vec<Condition>,
}

/// A policy that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    statements: Vec<Statement>,
}

/// What a policy is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) context: &'a Context,
}

/// What a policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opinion {
    /// A statement denies it, whatever else is said.
    Denies,
    /// A statement allows it, to a caller named so.
    Allows(Named),
    /// No statement is about it.
    Silent,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    ///
    /// The text is not JSON, or not a policy of this kind.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, Malformed> {
        document::parse(text, kind)
    }

    /// One that allows nothing.
    pub(crate) fn empty() -> Self {
        Self {
            statements: Vec::new(),
        }
    }

    /// Whether every resource of every statement is this one, or within it.
    pub fn is_about(&self, arn: &str) -> bool {
        self.statements
            .iter()
            .filter_map(|statement| statement.resources.as_ref())
            .flat_map(|resources| &resources.patterns)
            .all(|pattern| {
                let rest = pattern.strip_prefix(arn);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '*']))
            })
    }

    pub(crate) fn opinion(&self, asked: &Asked<'_>) -> Opinion {
        let mut named = None;
        for statement in &self.statements {
            let Some(found) = statement.names(asked.caller) else {
                continue;
            };
            if !statement.is_about(asked) {
                continue;
            }
            match (statement.holds(asked), statement.allows) {
                (Answer::Yes, true) => named = named.max(Some(found)),
                (Answer::Yes | Answer::Unknown, false) => return Opinion::Denies,
                (Answer::Unknown, true) | (Answer::No, _) => {}
            }
        }
        named.map_or(Opinion::Silent, Opinion::Allows)
    }
}

impl Statement {
    /// How the statement names the caller. Those of an identity's own policy are all about it.
    fn names(&self, caller: &Caller) -> Option<Named> {
        let Some(principals) = &self.principals else {
            return Some(Named::Identity);
        };
        principals
            .iter()
            .filter_map(|principal| principal.names(caller))
            .max()
    }

    fn is_about(&self, asked: &Asked<'_>) -> bool {
        self.actions
            .include(|pattern| matches_any_case(pattern, asked.action))
            && self.resources.as_ref().is_none_or(|resources| {
                resources.include(|pattern| matches(pattern, asked.resource))
            })
    }

    /// Whether every condition holds. What is not known is told, once the rest would hold.
    fn holds(&self, asked: &Asked<'_>) -> Answer {
        let variable = self
            .resources
            .iter()
            .flat_map(|resources| &resources.patterns)
            .find(|pattern| pattern.contains("${"));
        let mut unknown = variable.map(|pattern| format!("the policy variable of {pattern}"));
        for condition in &self.conditions {
            match condition.holds(asked.context) {
                Answer::Yes => {}
                Answer::No => return Answer::No,
                Answer::Unknown => unknown = Some(condition.to_string()),
            }
        }
        let Some(unknown) = unknown else {
            return Answer::Yes;
        };
        tracing::warn!(
            statement = self.sid,
            action = asked.action,
            "denied, because {unknown} is not known to this machine's IAM"
        );
        Answer::Unknown
    }
}

impl Patterns {
    fn include(&self, fits: impl Fn(&str) -> bool) -> bool {
        self.patterns.iter().any(|pattern| fits(pattern)) != self.is_negated
    }
}

impl Principal {
    fn names(&self, caller: &Caller) -> Option<Named> {
        match self {
            Self::Everyone => Some(Named::Identity),
            Self::Account(account) => {
                (account == caller.account().as_str()).then_some(Named::Account)
            }
            Self::Arn(arn) if *arn == caller.identity_arn() => Some(Named::Identity),
            Self::Arn(arn) if *arn == caller.arn() => Some(Named::Session),
            Self::Arn(_) | Self::Stranger => None,
        }
    }

    /// `*`, an account's number or root, or the ARN of a role, a user or a session.
    fn parse(text: &str) -> Result<Self, Malformed> {
        let invalid = || Malformed::new(format!("Invalid principal in policy: \"AWS\":\"{text}\""));
        if text == "*" {
            return Ok(Self::Everyone);
        }
        if text.parse::<crate::AccountId>().is_ok() {
            return Ok(Self::Account(text.to_owned()));
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, service, "", account, resource] = parts.as_slice() else {
            return Err(invalid());
        };
        let kind = resource.split('/').next().unwrap_or_default();
        let is_known = matches!(
            (*service, kind),
            ("iam", "root" | "role" | "user") | ("sts", "assumed-role")
        );
        let is_literal = resource.bytes().all(|byte| is_word(byte) || byte == b'/');
        if !is_known
            || !is_literal
            || !crate::arn::is_partition(partition)
            || account.parse::<crate::AccountId>().is_err()
        {
            return Err(invalid());
        }
        Ok(if *resource == "root" {
            Self::Account((*account).to_owned())
        } else {
            Self::Arn(text.to_owned())
        })
    }
}

#[cfg(test)]
mod tests;
