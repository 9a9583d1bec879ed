//! The JSON of policies.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::condition::Condition;
use super::{Kind, Malformed, Patterns, Policy, Principal, Statement};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Document {
    version: Option<String>,
    #[expect(dead_code, reason = "part of the grammar, without a meaning")]
    id: Option<String>,
    statement: OneOrMany<Written>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Written {
    sid: Option<String>,
    effect: String,
    principal: Option<WrittenPrincipal>,
    action: Option<OneOrMany<String>>,
    not_action: Option<OneOrMany<String>>,
    resource: Option<OneOrMany<String>>,
    not_resource: Option<OneOrMany<String>>,
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, OneOrMany<Scalar>>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenPrincipal {
    Text(String),
    Kinds(BTreeMap<String, OneOrMany<String>>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Flag(bool),
    Number(serde_json::Number),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
        }
    }
}

pub(super) fn parse(text: &str, kind: Kind) -> Result<Policy, Malformed> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|error| Malformed::new(format!("This policy contains invalid Json: {error}")))?;
    let document: Document = serde_json::from_str(text)
        .map_err(|error| Malformed::new(format!("Syntax errors in policy: {error}")))?;
    if !matches!(
        document.version.as_deref(),
        None | Some("2012-10-17" | "2008-10-17")
    ) {
        return Err(Malformed::new("The policy has an unknown Version"));
    }
    let statements: Vec<Statement> = document
        .statement
        .into_vec()
        .into_iter()
        .map(|written| statement(written, kind))
        .collect::<Result<_, _>>()?;
    if statements.is_empty() {
        return Err(Malformed::new(
            "Syntax errors in policy: there is no statement",
        ));
    }
    Ok(Policy { statements })
}

fn statement(written: Written, kind: Kind) -> Result<Statement, Malformed> {
    let allows = match written.effect.as_str() {
        "Allow" => true,
        "Deny" => false,
        other => return Err(Malformed::new(format!("Invalid effect: {other}"))),
    };
    let actions = patterns(written.action, written.not_action, "Action")?
        .ok_or_else(|| Malformed::new("Missing required field Action"))?;
    if let Some(wrong) = actions.patterns.iter().find(|action| !is_action(action)) {
        return Err(Malformed::new(format!(
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.: {wrong}"
        )));
    }
    let resources = patterns(written.resource, written.not_resource, "Resource")?;
    match (kind, &resources) {
        (Kind::Trust, Some(_)) => return Err(Malformed::new("Has prohibited field Resource")),
        (Kind::Identity | Kind::Resource, None) => {
            return Err(Malformed::new("Policy statement must contain resources."));
        }
        (Kind::Identity | Kind::Resource, Some(resources)) => {
            let wrong = resources
                .patterns
                .iter()
                .find(|resource| *resource != "*" && !resource.starts_with("arn:"));
            if let Some(wrong) = wrong {
                return Err(Malformed::new(format!(
                    "Resource {wrong} must be in ARN format or \"*\"."
                )));
            }
        }
        (Kind::Trust, None) => {}
    }
    let principals = match (kind, written.principal) {
        (Kind::Identity, Some(_)) => {
            return Err(Malformed::new(
                "Policy document should not specify a principal.",
            ));
        }
        (Kind::Identity, None) => None,
        (Kind::Trust | Kind::Resource, None) => {
            return Err(Malformed::new("Missing required field Principal"));
        }
        (Kind::Trust | Kind::Resource, Some(written)) => Some(principals(written)?),
    };
    let mut conditions = Vec::new();
    for (operator, keys) in written.condition {
        for (key, values) in keys {
            let values = values.into_vec().into_iter().map(Scalar::into_text);
            conditions.push(Condition::new(&operator, key, values.collect())?);
        }
    }
    Ok(Statement {
        sid: written.sid.unwrap_or_default(),
        allows,
        principals,
        actions,
        resources,
        conditions,
    })
}

/// One of the two lists of a pair such as `Action` and `NotAction`; `None` where there is neither.
fn patterns(
    plain: Option<OneOrMany<String>>,
    negated: Option<OneOrMany<String>>,
    name: &str,
) -> Result<Option<Patterns>, Malformed> {
    let (written, is_negated) = match (plain, negated) {
        (None, None) => return Ok(None),
        (Some(plain), None) => (plain, false),
        (None, Some(negated)) => (negated, true),
        (Some(_), Some(_)) => {
            return Err(Malformed::new(format!(
                "Statement/policy already has instance of {name}"
            )));
        }
    };
    let patterns = written.into_vec();
    if patterns.is_empty() {
        return Err(Malformed::new(format!("Missing required field {name}")));
    }
    Ok(Some(Patterns {
        patterns,
        is_negated,
    }))
}

/// `*`, or a service, a colon and a pattern.
fn is_action(text: &str) -> bool {
    text == "*"
        || text
            .split_once(':')
            .is_some_and(|(service, action)| !service.is_empty() && !action.is_empty())
}

fn principals(written: WrittenPrincipal) -> Result<Vec<Principal>, Malformed> {
    let kinds = match written {
        WrittenPrincipal::Text(text) if text == "*" => return Ok(vec![Principal::Everyone]),
        WrittenPrincipal::Text(text) => {
            return Err(Malformed::new(format!(
                "Invalid principal in policy: {text}"
            )));
        }
        WrittenPrincipal::Kinds(kinds) => kinds,
    };
    let mut principals = Vec::new();
    for (kind, names) in kinds {
        for name in names.into_vec() {
            principals.push(match kind.as_str() {
                "AWS" => Principal::parse(&name)?,
                "Service" | "Federated" => Principal::Stranger,
                other => {
                    return Err(Malformed::new(format!(
                        "Invalid principal in policy: \"{other}\""
                    )));
                }
            });
        }
    }
    if principals.is_empty() {
        return Err(Malformed::new("Missing required field Principal"));
    }
    Ok(principals)
}
