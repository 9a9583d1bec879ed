//! The part of IAM that makes roles.
//!
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_Operations.html>.

mod parameters;

use http::StatusCode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use self::parameters::{description, document, duration, invalid, policy_name, size_of};
use crate::arn::{RoleArn, is_name, is_path, partition_of};
use crate::authority::{Guard, Question};
use crate::clock::{now, print};
use crate::iam::Request;
use crate::policy::{Context, Kind};
use crate::query::{Form, Refusal, element};
use crate::random;
use crate::role::{HOUR, Record, Role};
use crate::roles::RoleError;

/// Characters of a trust policy at most; white space does not count.
const LONGEST_TRUST: usize = 2048;
/// Characters of all policies of a role together at most; white space does not count.
const LONGEST_POLICIES: usize = 10_240;
/// Roles of an account at most.
const MOST_ROLES: usize = 1000;
/// Documents are answered in the form of RFC 3986.
const DOCUMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Carries out an action. Returns the elements of its result.
pub(crate) fn answer(request: &Request<'_>, form: &Form) -> Result<String, Refusal> {
    match form.action() {
        "CreateRole" => create_role(request, form),
        "ListRoles" => list_roles(request, form),
        action => {
            let work = match action {
                "GetRole" => get_role,
                "UpdateRole" => update_role,
                "UpdateAssumeRolePolicy" => update_trust,
                "DeleteRole" => delete_role,
                "PutRolePolicy" => put_policy,
                "GetRolePolicy" => get_policy,
                "ListRolePolicies" => list_policies,
                "DeleteRolePolicy" => delete_policy,
                "ListAttachedRolePolicies" => list_attached,
                "ListInstanceProfilesForRole" => list_profiles,
                _ => {
                    return Err(Refusal::bad(
                        "InvalidAction",
                        format!("Could not find operation {action} for version 2010-05-08"),
                    ));
                }
            };
            let name = form.required("RoleName")?;
            may(request, action, name)?;
            work(request, form, name)
        }
    }
}

impl From<RoleError> for Refusal {
    fn from(error: RoleError) -> Self {
        Self::internal(&error)
    }
}

fn create_role(request: &Request<'_>, form: &Form) -> Result<String, Refusal> {
    let name = form.required("RoleName")?;
    may(request, "CreateRole", name)?;
    let account = request.authority.caller().account();
    let path = form.get("Path").unwrap_or("/");
    if !is_name(name) || !is_path(path) {
        return Err(invalid(
            "RoleName",
            "[\\w+=,.@-]{1,64}, and its path / or /…/",
        ));
    }
    if request.roles.count(account).map_err(RoleError::from)? >= MOST_ROLES {
        let message = format!("Cannot exceed quota for RolesPerAccount: {MOST_ROLES}");
        return Err(Refusal::new(StatusCode::CONFLICT, "LimitExceeded", message));
    }
    let random = random::capitals(17).map_err(|error| Refusal::internal(&error))?;
    let record = Record {
        partition: partition_of(request.region).to_owned(),
        path: path.to_owned(),
        role_id: format!("AROA{random}"),
        create_date: print(now()),
        description: description(form)?.unwrap_or_default(),
        max_session_duration: duration(form)?.unwrap_or(HOUR),
        assume_role_policy_document: document(
            form.required("AssumeRolePolicyDocument")?,
            Kind::Trust,
            LONGEST_TRUST,
        )?,
        policies: std::collections::BTreeMap::new(),
    };
    let role = Role::new(account, name, record).map_err(|error| malformed(&error))?;
    if !request.roles.create(&role)? {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "EntityAlreadyExists",
            format!("Role with name {name} already exists."),
        ));
    }
    Ok(format!("<Role>{}</Role>", printed(&role)))
}

fn list_roles(request: &Request<'_>, form: &Form) -> Result<String, Refusal> {
    may(request, "ListRoles", "")?;
    let prefix = form.get("PathPrefix").unwrap_or("/");
    let account = request.authority.caller().account();
    let members: Vec<String> = request
        .roles
        .all(account)?
        .iter()
        .filter(|role| role.arn.path.starts_with(prefix))
        .map(|role| format!("<member>{}</member>", printed(role)))
        .collect();
    Ok(list("Roles", &members.concat()))
}

fn get_role(request: &Request<'_>, _form: &Form, name: &str) -> Result<String, Refusal> {
    Ok(format!("<Role>{}</Role>", printed(&found(request, name)?)))
}

fn update_role(request: &Request<'_>, form: &Form, name: &str) -> Result<String, Refusal> {
    let (description, duration) = (description(form)?, duration(form)?);
    change(request, name, |record| {
        if let Some(description) = description {
            record.description = description;
        }
        if let Some(duration) = duration {
            record.max_session_duration = duration;
        }
        Ok(())
    })?;
    Ok(String::new())
}

fn update_trust(request: &Request<'_>, form: &Form, name: &str) -> Result<String, Refusal> {
    let written = form.required("PolicyDocument")?;
    let trust = document(written, Kind::Trust, LONGEST_TRUST)?;
    change(request, name, |record| {
        record.assume_role_policy_document = trust;
        Ok(())
    })?;
    Ok(String::new())
}

fn delete_role(request: &Request<'_>, _form: &Form, name: &str) -> Result<String, Refusal> {
    let account = request.authority.caller().account();
    let removed = request.roles.remove(account, name, |role| {
        if role.record.policies.is_empty() {
            return Ok(());
        }
        Err(Refusal::new(
            StatusCode::CONFLICT,
            "DeleteConflict",
            "Cannot delete entity, must delete policies first.",
        ))
    })?;
    removed.map(|()| String::new()).ok_or_else(|| no_role(name))
}

fn put_policy(request: &Request<'_>, form: &Form, name: &str) -> Result<String, Refusal> {
    let policy = policy_name(form)?.to_owned();
    let written = form.required("PolicyDocument")?;
    let document = document(written, Kind::Identity, LONGEST_POLICIES)?;
    change(request, name, |record| {
        record.policies.insert(policy, document);
        let size: usize = record.policies.values().map(size_of).sum();
        if size > LONGEST_POLICIES {
            let message =
                format!("Maximum policy size of {LONGEST_POLICIES} bytes exceeded for role {name}");
            return Err(Refusal::new(StatusCode::CONFLICT, "LimitExceeded", message));
        }
        Ok(())
    })?;
    Ok(String::new())
}

fn get_policy(request: &Request<'_>, form: &Form, name: &str) -> Result<String, Refusal> {
    let policy = policy_name(form)?;
    let role = found(request, name)?;
    let document = role.record.policies.get(policy);
    let document = document.ok_or_else(|| no_policy(policy))?;
    Ok([
        element("RoleName", name),
        element("PolicyName", policy),
        element("PolicyDocument", &encoded(document)),
    ]
    .concat())
}

fn list_policies(request: &Request<'_>, _form: &Form, name: &str) -> Result<String, Refusal> {
    let role = found(request, name)?;
    let names = role.record.policies.keys();
    let members: Vec<String> = names.map(|policy| element("member", policy)).collect();
    Ok(list("PolicyNames", &members.concat()))
}

fn delete_policy(request: &Request<'_>, form: &Form, name: &str) -> Result<String, Refusal> {
    let policy = policy_name(form)?;
    change(request, name, |record| {
        let removed = record.policies.remove(policy);
        removed.map(drop).ok_or_else(|| no_policy(policy))
    })?;
    Ok(String::new())
}

/// There are no managed policies here.
fn list_attached(request: &Request<'_>, _form: &Form, name: &str) -> Result<String, Refusal> {
    found(request, name)?;
    Ok(list("AttachedPolicies", ""))
}

/// There are no instances here.
fn list_profiles(request: &Request<'_>, _form: &Form, name: &str) -> Result<String, Refusal> {
    found(request, name)?;
    Ok(list("InstanceProfiles", ""))
}

/// Whether the caller may do this to a role of its account.
fn may(request: &Request<'_>, action: &str, name: &str) -> Result<(), Refusal> {
    let account = request.authority.caller().account();
    let partition = partition_of(request.region);
    let decision = request.authority.decide(&Question {
        action: &format!("iam:{action}"),
        resource: &format!("arn:{partition}:iam::{account}:role/{name}"),
        owner: account,
        guard: Guard::None,
        context: &Context::default(),
    });
    decision.map_err(|error| Refusal::forbidden(error.to_string()))
}

fn found(request: &Request<'_>, name: &str) -> Result<Role, Refusal> {
    let account = request.authority.caller().account();
    let role = if is_name(name) {
        request.roles.named(account, name)?
    } else {
        None
    };
    role.ok_or_else(|| no_role(name))
}

fn change(
    request: &Request<'_>,
    name: &str,
    change: impl FnOnce(&mut Record) -> Result<(), Refusal>,
) -> Result<Role, Refusal> {
    let account = request.authority.caller().account();
    let changed = request.roles.change(account, name, |role| {
        let mut record = role.record;
        change(&mut record)?;
        Role::new(account, name, record).map_err(|error| malformed(&error))
    })?;
    changed.ok_or_else(|| no_role(name))
}

fn malformed(error: &dyn std::error::Error) -> Refusal {
    Refusal::bad("MalformedPolicyDocument", error.to_string())
}

fn no_role(name: &str) -> Refusal {
    let message = format!("The role with name {name} cannot be found.");
    Refusal::new(StatusCode::NOT_FOUND, "NoSuchEntity", message)
}

fn no_policy(name: &str) -> Refusal {
    let message = format!("The role policy with name {name} cannot be found.");
    Refusal::new(StatusCode::NOT_FOUND, "NoSuchEntity", message)
}

fn list(name: &str, members: &str) -> String {
    format!("<{name}>{members}</{name}><IsTruncated>false</IsTruncated>")
}

/// The elements of a role.
fn printed(role: &Role) -> String {
    let RoleArn { path, name, .. } = &role.arn;
    let record = &role.record;
    let created = match record.create_date.as_str() {
        "" => print(0),
        date => date.to_owned(),
    };
    let description = match record.description.as_str() {
        "" => String::new(),
        text => element("Description", text),
    };
    [
        element("Path", path),
        element("RoleName", name),
        element("RoleId", &role.id),
        element("Arn", &role.arn.to_string()),
        element("CreateDate", &created),
        element(
            "AssumeRolePolicyDocument",
            &encoded(&record.assume_role_policy_document),
        ),
        description,
        element(
            "MaxSessionDuration",
            &record.max_session_duration.to_string(),
        ),
    ]
    .concat()
}

fn encoded(document: &Value) -> String {
    utf8_percent_encode(&document.to_string(), DOCUMENT).to_string()
}
