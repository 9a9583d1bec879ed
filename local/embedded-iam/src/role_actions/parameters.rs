//! The parameters of actions on roles, within their limits.

use http::StatusCode;
use serde_json::Value;

use super::malformed;
use crate::arn::is_policy_name;
use crate::policy::{Kind, Policy};
use crate::query::{Form, Refusal, lower_first};
use crate::role::HOUR;

/// The least and the most seconds that sessions of a role may be let last.
const SECONDS: std::ops::RangeInclusive<u32> = HOUR..=43_200;
/// Characters of a description at most.
const LONGEST_DESCRIPTION: usize = 1000;

/// A policy of this kind and at most this size.
pub(super) fn document(text: &str, kind: Kind, longest: usize) -> Result<Value, Refusal> {
    Policy::parse(text, kind).map_err(|error| malformed(&error))?;
    let document: Value = serde_json::from_str(text).map_err(|error| malformed(&error))?;
    if size_of(&document) > longest {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "LimitExceeded",
            format!("Cannot exceed quota for policy size: {longest}"),
        ));
    }
    Ok(document)
}

pub(super) fn size_of(document: &Value) -> usize {
    document.to_string().chars().count()
}

pub(super) fn policy_name(form: &Form) -> Result<&str, Refusal> {
    let name = form.required("PolicyName")?;
    if is_policy_name(name) {
        return Ok(name);
    }
    Err(invalid("PolicyName", "[\\w+=,.@-]{1,128}"))
}

pub(super) fn description(form: &Form) -> Result<Option<String>, Refusal> {
    let Some(text) = form.get("Description") else {
        return Ok(None);
    };
    let is_plain = |letter: char| !letter.is_control() || "\t\n\r".contains(letter);
    if text.chars().count() > LONGEST_DESCRIPTION || !text.chars().all(is_plain) {
        return Err(invalid("Description", "at most 1000 printable characters"));
    }
    Ok(Some(text.to_owned()))
}

pub(super) fn duration(form: &Form) -> Result<Option<u32>, Refusal> {
    let Some(text) = form.get("MaxSessionDuration") else {
        return Ok(None);
    };
    match text.parse() {
        Ok(seconds) if SECONDS.contains(&seconds) => Ok(Some(seconds)),
        _ => Err(invalid("MaxSessionDuration", "3600 to 43200")),
    }
}

pub(super) fn invalid(member: &str, wanted: &str) -> Refusal {
    Refusal::invalid(format!(
        "1 validation error detected: Value at '{}' failed to satisfy constraint: Member must be {wanted}",
        lower_first(member)
    ))
}
