//! The parameters of `AssumeRole`, within their limits.

use std::collections::BTreeMap;

use crate::arn::{RoleArn, is_word};
use crate::policy::{Context, Kind, Policy};
use crate::query::{Form, Refusal};
use crate::role::HOUR;

/// The least and the most seconds of a session.
const SECONDS: std::ops::RangeInclusive<u32> = 900..=43_200;
/// Characters of a policy at most.
const LONGEST_POLICY: usize = 2048;
/// Bytes that stand for 100 % of what policy and tags may take when they are packed. AWS does not say how it packs;
/// here white space is left out, so that a policy alone fits, and one with tags may not.
const PACKED: usize = 2048;
/// Tags of a session at most.
const MOST_TAGS: usize = 50;
/// Parameters that would change what a session may do, and are not understood.
const NOT_HERE: [&str; 5] = [
    "PolicyArns.member.1.arn",
    "TransitiveTagKeys.member.1",
    "ProvidedContexts.member.1.ProviderArn",
    "SerialNumber",
    "TokenCode",
];

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) role: RoleArn,
    pub(crate) session_name: String,
    pub(crate) seconds: u32,
    pub(crate) policy: Option<String>,
    pub(crate) source_identity: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    external_id: Option<String>,
}

impl Asked {
    /// Reads the form, and refuses what AWS would refuse whatever the role says.
    pub(crate) fn read(form: &Form) -> Result<Self, Refusal> {
        if let Some(name) = NOT_HERE.iter().find(|name| form.get(name).is_some()) {
            return Err(Refusal::invalid(format!(
                "{name} is not understood by this machine's STS"
            )));
        }
        let arn = form.required("RoleArn")?;
        let role = arn
            .parse()
            .map_err(|_error| Refusal::invalid(format!("{arn} is invalid")))?;
        let asked = Self {
            role,
            session_name: named(form.required("RoleSessionName")?, "roleSessionName")?,
            seconds: form.get("DurationSeconds").map_or(Ok(HOUR), seconds)?,
            policy: form.get("Policy").map(policy).transpose()?,
            source_identity: form
                .get("SourceIdentity")
                .map(|text| named(text, "sourceIdentity"))
                .transpose()?
                .map(|text| not_reserved(text, "sourceIdentity"))
                .transpose()?,
            tags: tags(form)?,
            external_id: form.get("ExternalId").map(external_id).transpose()?,
        };
        match asked.packed_size() {
            Some(percent) if percent > 100 => Err(Refusal::bad(
                "PackedPolicyTooLarge",
                format!(
                    "Packed policy consumes {percent}% of allotted space, please use smaller policy."
                ),
            )),
            _ => Ok(asked),
        }
    }

    /// How much of the space for policy and tags is taken, in percent; `None` where there are neither.
    pub(crate) fn packed_size(&self) -> Option<usize> {
        if self.policy.is_none() && self.tags.is_empty() {
            return None;
        }
        let policy = self.policy.iter().map(|text| {
            serde_json::from_str::<serde_json::Value>(text)
                .map_or(text.len(), |value| value.to_string().len())
        });
        let tags = self.tags.iter().map(|(key, value)| key.len() + value.len());
        Some((policy.chain(tags).sum::<usize>() * 100).div_ceil(PACKED))
    }

    /// What conditions of a trust policy may ask for.
    pub(crate) fn context(&self) -> Context {
        let mut context = Context::default().with("sts:RoleSessionName", &self.session_name);
        if let Some(id) = &self.external_id {
            context.add("sts:ExternalId", id);
        }
        if let Some(source) = &self.source_identity {
            context.add("sts:SourceIdentity", source);
        }
        for (key, value) in &self.tags {
            context.add(&format!("aws:RequestTag/{key}"), value);
            context.add("aws:TagKeys", key);
        }
        context
    }
}

fn constraint(member: &str, text: &str) -> Refusal {
    Refusal::invalid(format!(
        "1 validation error detected: Value at '{member}' failed to satisfy constraint: {text}"
    ))
}

/// `[\w+=,.@-]{2,64}`.
fn named(text: &str, member: &str) -> Result<String, Refusal> {
    if (2..=64).contains(&text.len()) && text.bytes().all(is_word) {
        return Ok(text.to_owned());
    }
    Err(constraint(
        member,
        "Member must satisfy regular expression pattern: [\\w+=,.@-]{2,64}",
    ))
}

fn not_reserved(text: String, member: &str) -> Result<String, Refusal> {
    if text.to_ascii_lowercase().starts_with("aws:") {
        return Err(constraint(member, "Member must not begin with aws:"));
    }
    Ok(text)
}

/// `[\w+=,.@:\/-]{2,1224}`.
fn external_id(text: &str) -> Result<String, Refusal> {
    let is_right = |byte: u8| is_word(byte) || b":/".contains(&byte);
    if (2..=1224).contains(&text.len()) && text.bytes().all(is_right) {
        return Ok(text.to_owned());
    }
    Err(constraint(
        "externalId",
        "Member must satisfy regular expression pattern: [\\w+=,.@:\\/-]{2,1224}",
    ))
}

fn seconds(text: &str) -> Result<u32, Refusal> {
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds| SECONDS.contains(seconds));
    seconds.ok_or_else(|| {
        constraint(
            "durationSeconds",
            "Member must have value between 900 and 43200",
        )
    })
}

fn policy(text: &str) -> Result<String, Refusal> {
    if text.chars().count() > LONGEST_POLICY {
        return Err(constraint(
            "policy",
            "Member must have length less than or equal to 2048",
        ));
    }
    Policy::parse(text, Kind::Identity)
        .map_err(|error| Refusal::bad("MalformedPolicyDocument", error.to_string()))?;
    Ok(text.to_owned())
}

fn tags(form: &Form) -> Result<BTreeMap<String, String>, Refusal> {
    let values: BTreeMap<u32, &str> = form.members("Tags", "Value").collect();
    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    for (place, key) in form.members("Tags", "Key") {
        let value = values.get(&place).copied().unwrap_or_default();
        let is_right = |text: &str, longest: usize| {
            text.chars().count() <= longest
                && text
                    .chars()
                    .all(|letter| letter.is_alphanumeric() || " _.:/=+-@".contains(letter))
        };
        if key.is_empty() || !is_right(key, 128) || !is_right(value, 256) {
            return Err(constraint(
                "tags",
                "Members must have keys of 1 to 128 and values of at most 256 letters, digits, spaces and _.:/=+-@",
            ));
        }
        let is_there = tags.keys().any(|other| other.eq_ignore_ascii_case(key));
        if is_there || key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Refusal::bad(
                "InvalidParameterValue",
                "Duplicate tag keys found, or one that is reserved. Please note that Tag keys are case insensitive.",
            ));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    if tags.len() > MOST_TAGS {
        return Err(constraint(
            "tags",
            "Member must have length less than or equal to 50",
        ));
    }
    Ok(tags)
}
