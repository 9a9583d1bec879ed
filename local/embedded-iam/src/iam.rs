//! The keys of everyone, what they may do, and the two services that issue and describe them.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Response, StatusCode};
use time::OffsetDateTime;

use crate::account::{Account, AccountId, Credentials};
use crate::authority::{Authority, Identity};
use crate::caller::Caller;
use crate::clock::now;
use crate::query::{self, Form, Refusal, Service};
use crate::role::{NewRole, NewRoleError};
use crate::roles::Roles;
use crate::sessions::Sessions;
use crate::signature::{Claim, SignatureError, is_same};
use crate::{role_actions, sts};

/// IAM and STS of a few accounts, in one folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Iam {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// By access key id.
    administrators: HashMap<String, (AccountId, Credentials)>,
    roles: Roles,
    sessions: Sessions,
}

/// Why a key does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nobody has it.
    #[error("The AWS Access Key Id you provided does not exist in our records.")]
    Unknown,
    /// The session has ended.
    #[error("The provided token has expired.")]
    Expired,
    /// The token is that of another session, missing, or too much.
    #[error("The provided token is malformed or otherwise invalid.")]
    WrongToken,
}

impl Iam {
    /// Opens the folder, and makes it where there is none. Blocks.
    ///
    /// # Errors
    ///
    /// The folder cannot be read or written.
    pub fn open(folder: &Path, accounts: impl IntoIterator<Item = Account>) -> io::Result<Self> {
        let administrators = accounts.into_iter().map(|account| {
            let key = account.credentials.access_key_id.clone();
            (key, (account.id, account.credentials))
        });
        Ok(Self {
            inner: Arc::new(Inner {
                administrators: administrators.collect(),
                roles: Roles::open(&folder.join("roles"))?,
                sessions: Sessions::open(&folder.join("sessions"))?,
            }),
        })
    }

    /// What requests of this key are signed with.
    pub fn secret(&self, access_key_id: &str) -> Option<String> {
        if let Some((_, credentials)) = self.inner.administrators.get(access_key_id) {
            return Some(credentials.secret_access_key.clone());
        }
        let session = self.inner.sessions.find(access_key_id)?;
        Some(session.secret_access_key.clone())
    }

    /// Whose key this is, with the token that came with it.
    ///
    /// # Errors
    ///
    /// Nobody's, or nobody's with this token any longer.
    pub fn caller(&self, access_key_id: &str, token: Option<&str>) -> Result<Caller, KeyError> {
        if let Some((account, _)) = self.inner.administrators.get(access_key_id) {
            return match token {
                None => Ok(Caller::Administrator(account.clone())),
                Some(_) => Err(KeyError::WrongToken),
            };
        }
        let session = self.inner.sessions.find(access_key_id);
        let session = session.ok_or(KeyError::Unknown)?;
        if session.expires <= now() {
            return Err(KeyError::Expired);
        }
        if token.is_some_and(|token| is_same(token, &session.token)) {
            Ok(Caller::Session(session))
        } else {
            Err(KeyError::WrongToken)
        }
    }

    /// What a caller may do, by the policies of this moment. Looks at a file for a session.
    pub fn authority(&self, caller: Caller) -> Authority {
        let identity = match &caller {
            Caller::Administrator(_) => Identity::Everything,
            Caller::Session(session) => {
                let role = self.inner.roles.find(&session.role);
                let role = role.unwrap_or_else(|error| {
                    let cause: &dyn std::error::Error = &error;
                    tracing::error!(error = cause, "denied, because the role cannot be read");
                    None
                });
                // A role made anew is another one, to which this session does not belong.
                let role = role.filter(|role| role.id == session.role_id);
                Identity::Role {
                    policies: role.map_or_else(Arc::default, |role| Arc::clone(&role.policies)),
                    session: session.understood_policy(),
                }
            }
        };
        Authority::new(caller, identity)
    }

    /// Answers a request of the query protocol. Blocks on files.
    pub fn answer(&self, head: &Parts, body: &[u8], request_id: &str) -> Response<String> {
        let form = match Form::parse(body) {
            Ok(form) => form,
            Err(refusal) => return query::answer(Service::Sts, "", Err(refusal), request_id),
        };
        let service = form.service();
        let result =
            self.identify(head, body, service)
                .and_then(|(authority, region)| match service {
                    Service::Sts => sts::answer(&self.context(&authority, region), &form),
                    Service::Iam => role_actions::answer(&self.context(&authority, region), &form),
                });
        query::answer(service, form.action(), result, request_id)
    }

    /// As [`answer`](Self::answer), with a refusal that was decided elsewhere.
    pub fn refuse(body: &[u8], refusal: Refusal, request_id: &str) -> Response<String> {
        let form = Form::parse(body).unwrap_or_default();
        query::answer(form.service(), form.action(), Err(refusal), request_id)
    }

    /// Makes a role, or changes the one of this name. Returns its ARN. Blocks on files.
    ///
    /// # Errors
    ///
    /// The name or a policy is wrong, or the file cannot be written.
    pub fn put_role(&self, role: &NewRole<'_>) -> Result<String, NewRoleError> {
        let made = self.inner.roles.put(role.make()?);
        let made = made.map_err(|error| NewRoleError::Storage(error.into()))?;
        Ok(made.arn.to_string())
    }

    /// Ends every session there is: from now on their requests hear that they have expired.
    pub fn end_sessions(&self) {
        self.inner.sessions.end_all();
    }

    /// From now on sessions last this long at most, whatever was asked for; `None` is the normal case.
    pub fn limit_sessions(&self, longest: Option<Duration>) {
        self.inner.sessions.limit(longest);
    }

    fn context<'a>(&'a self, authority: &'a Authority, region: &'a str) -> Request<'a> {
        Request {
            roles: &self.inner.roles,
            sessions: &self.inner.sessions,
            authority,
            region,
        }
    }

    /// Who signed a request, and for which region.
    fn identify<'a>(
        &self,
        head: &'a Parts,
        body: &[u8],
        service: Service,
    ) -> Result<(Authority, &'a str), Refusal> {
        let claim = Claim::of(&head.headers)?;
        let unknown = || {
            Refusal::new(
                StatusCode::FORBIDDEN,
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
            )
        };
        let secret = self.secret(claim.access_key_id).ok_or_else(unknown)?;
        let now = OffsetDateTime::now_utc();
        claim.verify(head, body, service.name(), &secret, now)?;
        let token = head.headers.get("x-amz-security-token");
        let token = token.map(|token| String::from_utf8_lossy(token.as_bytes()));
        let caller =
            self.caller(claim.access_key_id, token.as_deref())
                .map_err(|error| match error {
                    KeyError::Expired => Refusal::new(
                        StatusCode::FORBIDDEN,
                        "ExpiredToken",
                        "The security token included in the request is expired",
                    ),
                    KeyError::Unknown | KeyError::WrongToken => unknown(),
                })?;
        Ok((self.authority(caller), claim.region))
    }
}

impl From<SignatureError> for Refusal {
    fn from(error: SignatureError) -> Self {
        let message = error.to_string();
        match error {
            SignatureError::Missing => {
                Self::new(StatusCode::FORBIDDEN, "MissingAuthenticationToken", message)
            }
            SignatureError::Malformed(_) => Self::bad("IncompleteSignature", message),
            SignatureError::Expired | SignatureError::Wrong(_) => {
                Self::new(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", message)
            }
        }
    }
}

/// What an action works with.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) roles: &'a Roles,
    pub(crate) sessions: &'a Sessions,
    pub(crate) authority: &'a Authority,
    pub(crate) region: &'a str,
}
