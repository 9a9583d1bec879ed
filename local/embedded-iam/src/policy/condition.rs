//! Conditions.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>.

use std::fmt;

use super::{Context, Malformed};
use crate::wildcard::{arn_matches, matches};

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// Nobody here understands it.
    Unknown,
}

impl From<bool> for Answer {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// How values are compared. `Not` operators hold where the key is missing, the others do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    EqualInAnyCase,
    Like,
    Arn,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    Compare {
        comparison: Comparison,
        is_negated: bool,
    },
    /// `"true"`: the key is missing.
    Null,
    /// IAM may have it, we do not.
    Unknown(String),
}

/// One key under one operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    operator: Operator,
    key: String,
    values: Vec<String>,
}

impl Condition {
    pub(super) fn new(operator: &str, key: String, values: Vec<String>) -> Result<Self, Malformed> {
        Ok(Self {
            operator: Operator::named(operator)?,
            key,
            values,
        })
    }

    pub(super) fn holds(&self, context: &Context) -> Answer {
        let found = context.values(&self.key);
        match &self.operator {
            Operator::Unknown(_) => Answer::Unknown,
            _ if self.values.iter().any(|value| value.contains("${")) => Answer::Unknown,
            // A key of several values needs `ForAnyValue` or `ForAllValues`.
            _ if found.is_some_and(|values| values.len() > 1) => Answer::Unknown,
            Operator::Null => self
                .values
                .iter()
                .any(|value| value.eq_ignore_ascii_case("true") == found.is_none())
                .into(),
            Operator::Compare {
                comparison,
                is_negated,
            } => {
                let is_found = found.into_iter().flatten().any(|found| {
                    self.values
                        .iter()
                        .any(|wanted| comparison.holds(wanted, found))
                });
                (is_found != *is_negated).into()
            }
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.operator {
            Operator::Unknown(name) => write!(formatter, "the condition operator {name}"),
            _ => write!(formatter, "a condition like that on {}", self.key),
        }
    }
}

impl Operator {
    fn named(name: &str) -> Result<Self, Malformed> {
        use Comparison::{Arn, Equal, EqualInAnyCase, Like};
        let (comparison, is_negated) = match name {
            "StringEquals" => (Equal, false),
            "StringNotEquals" => (Equal, true),
            "StringEqualsIgnoreCase" | "Bool" => (EqualInAnyCase, false),
            "StringNotEqualsIgnoreCase" => (EqualInAnyCase, true),
            "StringLike" => (Like, false),
            "StringNotLike" => (Like, true),
            // AWS: the two behave identically.
            "ArnEquals" | "ArnLike" => (Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Arn, true),
            "Null" => return Ok(Self::Null),
            other if is_of_the_language(other) => return Ok(Self::Unknown(other.to_owned())),
            other => {
                return Err(Malformed::new(format!("Invalid Condition type : {other}.")));
            }
        };
        Ok(Self::Compare {
            comparison,
            is_negated,
        })
    }
}

/// Whether IAM has this operator: a misspelt one is refused when it is written, not when it counts.
fn is_of_the_language(name: &str) -> bool {
    let name = name
        .strip_prefix("ForAllValues:")
        .or_else(|| name.strip_prefix("ForAnyValue:"))
        .unwrap_or(name);
    let name = name.strip_suffix("IfExists").unwrap_or(name);
    let ordered = |rest: &str| {
        [
            "Equals",
            "NotEquals",
            "LessThan",
            "LessThanEquals",
            "GreaterThan",
            "GreaterThanEquals",
        ]
        .contains(&rest)
    };
    match name {
        "StringEquals"
        | "StringNotEquals"
        | "StringEqualsIgnoreCase"
        | "StringNotEqualsIgnoreCase"
        | "StringLike"
        | "StringNotLike"
        | "ArnEquals"
        | "ArnLike"
        | "ArnNotEquals"
        | "ArnNotLike"
        | "Bool"
        | "BinaryEquals"
        | "IpAddress"
        | "NotIpAddress" => true,
        _ => name
            .strip_prefix("Numeric")
            .or_else(|| name.strip_prefix("Date"))
            .is_some_and(ordered),
    }
}

impl Comparison {
    fn holds(self, wanted: &str, found: &str) -> bool {
        match self {
            Self::Equal => wanted == found,
            Self::EqualInAnyCase => wanted.eq_ignore_ascii_case(found),
            Self::Like => matches(wanted, found),
            Self::Arn => arn_matches(wanted, found),
        }
    }
}
