//! STS: sessions of roles, for those whom the roles trust.
//!
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>.

mod asked;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use self::asked::Asked;
use crate::authority::{Guard, Question};
use crate::caller::Caller;
use crate::clock::print;
use crate::iam::Request;
use crate::query::{Form, Refusal, element};
use crate::random;
use crate::role::{HOUR, Role};
use crate::roles::RoleError;
use crate::session::Session;
use crate::sessions::IssueError;

/// Bytes of a token at most, of which the answer names the share.
const LARGEST_TOKEN: usize = 4096;

/// Carries out an action. Returns the elements of its result.
pub(crate) fn answer(request: &Request<'_>, form: &Form) -> Result<String, Refusal> {
    match form.action() {
        "AssumeRole" => assume_role(request, form),
        "GetCallerIdentity" => Ok(caller_identity(request.authority.caller())),
        "" => Err(Refusal::bad(
            "MissingAction",
            "The request is missing an action",
        )),
        action => Err(Refusal::bad(
            "InvalidAction",
            format!("Could not find operation {action} for version 2011-06-15"),
        )),
    }
}

fn caller_identity(caller: &Caller) -> String {
    [
        element("Arn", &caller.arn()),
        element("UserId", &caller.user_id()),
        element("Account", caller.account().as_str()),
    ]
    .concat()
}

fn assume_role(request: &Request<'_>, form: &Form) -> Result<String, Refusal> {
    let asked = Asked::read(form)?;
    let caller = request.authority.caller();
    let source_identity = source_identity(caller, &asked)?;
    let role = trusted(request, &asked, source_identity.is_some())?;
    check_duration(caller, &asked, &role)?;
    let lasts = Duration::from_secs(u64::from(asked.seconds));
    let packed = asked.packed_size();
    let issued = request.sessions.issue(lasts, |expires| {
        Ok(Session {
            access_key_id: format!("ASIA{}", random::capitals(16)?),
            secret_access_key: random::base64::<30>()?,
            token: random::base64::<256>()?,
            expires,
            role: role.arn.clone(),
            role_id: role.id.clone(),
            name: asked.session_name,
            policy: asked.policy,
            understood: OnceLock::new(),
            source_identity,
            tags: asked.tags,
        })
    });
    let session = issued.map_err(|error| match error {
        IssueError::TooMany => Refusal::bad("Throttling", "Rate exceeded"),
        IssueError::Io(_) => Refusal::internal(&error),
    })?;
    let user = [
        element("AssumedRoleId", &session.user_id()),
        element("Arn", &session.arn()),
    ];
    let credentials = [
        element("AccessKeyId", &session.access_key_id),
        element("SecretAccessKey", &session.secret_access_key),
        element("SessionToken", &session.token),
        element("Expiration", &print(session.expires)),
    ];
    let source = session.source_identity.as_deref();
    let size = session.token.len();
    let utilization = (size * 100).div_ceil(LARGEST_TOKEN);
    Ok([
        format!("<AssumedRoleUser>{}</AssumedRoleUser>", user.concat()),
        format!("<Credentials>{}</Credentials>", credentials.concat()),
        packed.map_or_else(String::new, |percent| {
            element("PackedPolicySize", &percent.to_string())
        }),
        source.map_or_else(String::new, |source| element("SourceIdentity", source)),
        element("SessionTokenSize", &size.to_string()),
        element("SessionTokenUtilization", &utilization.to_string()),
    ]
    .concat())
}

/// The role, if it trusts the caller with all that is asked.
fn trusted(
    request: &Request<'_>,
    asked: &Asked,
    has_source_identity: bool,
) -> Result<Arc<Role>, Refusal> {
    let authority = request.authority;
    let refused = |action: &str| {
        Refusal::forbidden(format!(
            "User: {} is not authorized to perform: {action} on resource: {}",
            authority.caller().arn(),
            asked.role
        ))
    };
    let found = request.roles.find(&asked.role);
    let found = found.map_err(|error: RoleError| Refusal::internal(&error))?;
    // As on AWS, a role that is not there is not told from one that does not trust.
    let role = found.ok_or_else(|| {
        tracing::info!(role = %asked.role, "there is no such role");
        refused("sts:AssumeRole")
    })?;
    let context = asked.context();
    let resource = asked.role.to_string();
    let actions = [
        ("sts:AssumeRole", true),
        ("sts:TagSession", !asked.tags.is_empty()),
        ("sts:SetSourceIdentity", has_source_identity),
    ];
    for (action, _) in actions.iter().filter(|(_, is_asked)| *is_asked) {
        let decision = authority.decide(&Question {
            action,
            resource: &resource,
            owner: &role.arn.account,
            guard: Guard::Trust(&role.trust),
            context: &context,
        });
        decision.map_err(|error| {
            tracing::info!("{error}");
            refused(action)
        })?;
    }
    Ok(role)
}

fn check_duration(caller: &Caller, asked: &Asked, role: &Role) -> Result<(), Refusal> {
    if asked.seconds > role.record.max_session_duration.max(HOUR) {
        return Err(Refusal::invalid(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    if matches!(caller, Caller::Session(_)) && asked.seconds > HOUR {
        return Err(Refusal::invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        ));
    }
    Ok(())
}

/// Once set, a source identity stays with every session that comes of it.
fn source_identity(caller: &Caller, asked: &Asked) -> Result<Option<String>, Refusal> {
    let inherited = match caller {
        Caller::Administrator(_) => None,
        Caller::Session(session) => session.source_identity.as_ref(),
    };
    match (inherited, &asked.source_identity) {
        (Some(inherited), Some(asked)) if inherited != asked => Err(Refusal::forbidden(
            "The source identity of a session cannot be changed",
        )),
        (inherited, asked) => Ok(inherited.or(asked.as_ref()).cloned()),
    }
}
