//! Decisions: what a caller may do.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>.

use std::fmt;
use std::sync::Arc;

use crate::account::AccountId;
use crate::caller::Caller;
use crate::policy::{Asked, Context, Named, Opinion, Policy};

/// A caller, with the policies that count for it at this moment.
#[derive(Debug, Clone)]
pub struct Authority {
    caller: Caller,
    identity: Identity,
}

#[derive(Debug, Clone)]
pub(crate) enum Identity {
    /// An administrator's: everything.
    Everything,
    /// A session's: what one of the role's policies allows, and that of the session if there is one.
    Role {
        policies: Arc<[Policy]>,
        session: Option<Policy>,
    },
}

/// The policy of what is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Guard<'a> {
    /// It has none.
    None,
    /// Its policy adds to what identities of its own account may do.
    Resource(&'a Policy),
    /// Its policy has to allow it in any case, as the trust in a role.
    Trust(&'a Policy),
}

/// Something that a caller wants to do.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// For example `s3:GetObject`.
    pub action: &'a str,
    /// The ARN of what it is done to.
    pub resource: &'a str,
    /// Whose that is.
    pub owner: &'a AccountId,
    /// Its policy.
    pub guard: Guard<'a>,
    /// What else is known of the request.
    pub context: &'a Context,
}

/// Why something may not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A policy of this kind denies it.
    Denied(&'static str),
    /// No policy of this kind allows it.
    NotAllowed(&'static str),
}

/// A caller may not do something. The text says what, as AWS says it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("User: {caller} is not authorized to perform: {action} on resource: {resource} {reason}")]
pub struct Refused {
    caller: String,
    action: String,
    resource: String,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(kind) => write!(formatter, "with an explicit deny in {kind} policy"),
            Self::NotAllowed(kind) => write!(formatter, "because no {kind} policy allows it"),
        }
    }
}

impl Authority {
    pub(crate) fn new(caller: Caller, identity: Identity) -> Self {
        Self { caller, identity }
    }

    /// Who it is about.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Whether the caller is the administrator of this account, whom no policy of a resource locks out for good.
    pub fn is_administrator_of(&self, account: &AccountId) -> bool {
        matches!(&self.caller, Caller::Administrator(own) if own == account)
    }

    /// Decides.
    ///
    /// # Errors
    ///
    /// The caller may not.
    pub fn decide(&self, question: &Question<'_>) -> Result<(), Refused> {
        self.judge(question).map_err(|reason| Refused {
            caller: self.caller.arn(),
            action: question.action.to_owned(),
            resource: question.resource.to_owned(),
            reason,
        })
    }

    fn judge(&self, question: &Question<'_>) -> Result<(), Reason> {
        let context = self.context(question);
        let asked = Asked {
            caller: &self.caller,
            action: question.action,
            resource: question.resource,
            context: &context,
        };
        let (identity, session) = self.identity.opinions(&asked);
        let guard = match question.guard {
            Guard::None => Opinion::Silent,
            Guard::Resource(policy) | Guard::Trust(policy) => policy.opinion(&asked),
        };
        let denials = [
            (identity, "an identity-based"),
            (session, "a session"),
            (guard, "a resource-based"),
        ];
        if let Some((_, kind)) = denials
            .iter()
            .find(|(opinion, _)| *opinion == Opinion::Denies)
        {
            return Err(Reason::Denied(kind));
        }
        let named = match guard {
            Opinion::Allows(named) => Some(named),
            Opinion::Denies | Opinion::Silent => None,
        };
        let is_own = self.caller.account() == question.owner;
        let is_trust = matches!(question.guard, Guard::Trust(_));
        if named.is_none() && (is_trust || !is_own) {
            return Err(Reason::NotAllowed("resource-based"));
        }
        // Within the account, what names the session itself needs nothing else, and what names the role or the user
        // stands in for a policy of theirs.
        if is_own && named == Some(Named::Session) {
            return Ok(());
        }
        if identity == Opinion::Silent && !(is_own && named == Some(Named::Identity)) {
            return Err(Reason::NotAllowed("identity-based"));
        }
        if session == Opinion::Silent {
            return Err(Reason::NotAllowed("session"));
        }
        Ok(())
    }

    /// The condition keys of every request.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>.
    fn context(&self, question: &Question<'_>) -> Context {
        let caller = &self.caller;
        let mut context = question
            .context
            .clone()
            .with("aws:PrincipalArn", caller.identity_arn())
            .with("aws:PrincipalAccount", caller.account().as_str())
            .with("aws:userid", caller.user_id())
            .with("aws:ResourceAccount", question.owner.as_str())
            // Nothing leaves this machine, so policies that demand TLS can be tried as they are.
            .with("aws:SecureTransport", "true");
        match caller {
            Caller::Administrator(_) => {
                context.add("aws:PrincipalType", "User");
                context.add("aws:username", "administrator");
            }
            Caller::Session(session) => {
                context.add("aws:PrincipalType", "AssumedRole");
                if let Some(source) = &session.source_identity {
                    context.add("aws:SourceIdentity", source);
                }
                for (key, value) in &session.tags {
                    context.add(&format!("aws:PrincipalTag/{key}"), value);
                }
            }
        }
        context
    }
}

impl Identity {
    /// What the policies of the identity say, and that of the session.
    fn opinions(&self, asked: &Asked<'_>) -> (Opinion, Opinion) {
        const YES: Opinion = Opinion::Allows(Named::Identity);
        match self {
            Self::Everything => (YES, YES),
            Self::Role { policies, session } => {
                let opinions: Vec<Opinion> = policies
                    .iter()
                    .map(|policy| policy.opinion(asked))
                    .collect();
                let said = |wanted: Opinion| opinions.contains(&wanted).then_some(wanted);
                let identity = said(Opinion::Denies).or_else(|| said(YES));
                (
                    identity.unwrap_or(Opinion::Silent),
                    session.as_ref().map_or(YES, |policy| policy.opinion(asked)),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests;
