//! Roles in other accounts, assumed: temporary credentials, asked for once and kept until shortly before their end.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use shared::telemetry::chain;

use crate::cache::Cache;
use crate::reason::{Problem, Reason};
use crate::source::Role;

/// How long credentials are asked for: a role that was assumed by a role may be for an hour at most.
const DURATION: Duration = Duration::from_hours(1);
/// Credentials are renewed this long before their end: a download in hand may go on for a while, and an instance may
/// be frozen with them.
const RENEWAL: Duration = Duration::from_mins(15);
/// If they cannot be renewed, those that last so long are still used.
const REMAINDER: Duration = Duration::from_mins(1);
/// For how long STS is not asked again for what it refused. Longer pauses are kept by the database, for all instances.
const REFUSED: Duration = Duration::from_mins(1);
/// Sessions kept at most.
const SESSIONS: usize = 2_000;

/// STS, and the sessions it began.
#[derive(Debug)]
pub(crate) struct Roles {
    sts: aws_sdk_sts::Client,
    /// How customers' logs name the function.
    function: String,
    sessions: Cache<Key, Arc<Session>>,
    calls: Arc<AtomicUsize>,
}

/// What makes a session: another policy is another session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) role: Role,
    pub(crate) policy: String,
}

/// A role with a policy, and the credentials for it.
pub(crate) struct Session {
    sts: aws_sdk_sts::Client,
    key: Key,
    name: String,
    calls: Arc<AtomicUsize>,
    /// Locked while STS is asked, so that many documents ask once.
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    credentials: Option<Credentials>,
    refusal: Option<Refusal>,
}

struct Refusal {
    problem: Problem,
    /// Until when it counts, by the wall clock, which goes on while an instance is frozen.
    until: SystemTime,
    /// Of the source. When that is changed, the refusal does not count any more.
    revision: i64,
}

impl Roles {
    pub(crate) fn new(sts: aws_sdk_sts::Client, function: String) -> Self {
        Self {
            sts,
            function,
            sessions: Cache::new(SESSIONS),
            calls: Arc::default(),
        }
    }

    /// The session of a role with this policy, for a source that customers' logs are to name. STS is not asked yet.
    pub(crate) fn session(&self, key: &Key, source: &str) -> Arc<Session> {
        self.sessions.get_or_insert(key, || {
            Arc::new(Session {
                sts: self.sts.clone(),
                key: key.clone(),
                name: session_name(&self.function, source),
                calls: Arc::clone(&self.calls),
                state: tokio::sync::Mutex::default(),
            })
        })
    }

    /// Tries to assume a role, with this external id or without any, and forgets the credentials.
    pub(crate) async fn try_to_assume(
        &self,
        key: &Key,
        external_id: Option<&str>,
        source: &str,
    ) -> Result<(), Problem> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let name = session_name(&self.function, source);
        assume(&self.sts, key, external_id, &name).await.map(drop)
    }

    /// How often STS was asked so far.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Session {
    /// Credentials that last for a while yet, for a source that was changed so often.
    ///
    /// # Errors
    ///
    /// The role cannot be assumed; STS is asked again after a minute, or when the source was changed.
    pub(crate) async fn credentials(&self, revision: i64) -> Result<Credentials, Problem> {
        let mut state = self.state.lock().await;
        let now = SystemTime::now();
        if let Some(credentials) = state.lasting(now + RENEWAL) {
            return Ok(credentials);
        }
        let refusal = match &state.refusal {
            Some(refusal) if now < refusal.until && refusal.revision == revision => {
                refusal.problem.clone()
            }
            _ => {
                self.calls.fetch_add(1, Ordering::Relaxed);
                let external_id = Some(self.key.role.external_id.as_str());
                match assume(&self.sts, &self.key, external_id, &self.name).await {
                    Ok(credentials) => {
                        state.refusal = None;
                        state.credentials = Some(credentials.clone());
                        return Ok(credentials);
                    }
                    Err(problem) => {
                        tracing::warn!(role = self.key.role.arn, error = %problem, "a role was not assumed");
                        state.refusal = Some(Refusal {
                            problem: problem.clone(),
                            until: now + REFUSED,
                            revision,
                        });
                        problem
                    }
                }
            }
        };
        state.lasting(now + REMAINDER).ok_or(refusal)
    }

    /// Forgets credentials that S3 would not take, unless they have been renewed since.
    pub(crate) async fn forget(&self, access_key_id: &str) {
        let mut state = self.state.lock().await;
        let is_current = |credentials: &Credentials| credentials.access_key_id() == access_key_id;
        if state.credentials.as_ref().is_some_and(is_current) {
            state.credentials = None;
        }
    }

    /// Has STS asked again at once.
    pub(crate) async fn forgive(&self) {
        self.state.lock().await.refusal = None;
    }
}

impl State {
    fn lasting(&self, until: SystemTime) -> Option<Credentials> {
        self.credentials
            .clone()
            .filter(|credentials| credentials.expiry().is_some_and(|expiry| expiry > until))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("role", &self.key.role.arn)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A session as a client asks for it.
#[derive(Debug, Clone)]
pub(crate) struct SessionProvider {
    pub(crate) session: Arc<Session>,
    pub(crate) revision: i64,
}

impl ProvideCredentials for SessionProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move {
            self.session
                .credentials(self.revision)
                .await
                .map_err(CredentialsError::provider_error)
        })
    }
}

async fn assume(
    sts: &aws_sdk_sts::Client,
    key: &Key,
    external_id: Option<&str>,
    name: &str,
) -> Result<Credentials, Problem> {
    let seconds = i32::try_from(DURATION.as_secs()).unwrap_or(900);
    let assumed = sts
        .assume_role()
        .role_arn(&key.role.arn)
        .role_session_name(name)
        .set_external_id(external_id.map(ToOwned::to_owned))
        .policy(&key.policy)
        .duration_seconds(seconds)
        .send()
        .await
        .map_err(|error| refusal(&key.role, &error))?;
    let unusable = || {
        Problem::new(
            Reason::RoleUnavailable,
            "STS answered without credentials".to_owned(),
        )
    };
    let issued = assumed.credentials.ok_or_else(unusable)?;
    let expiry = SystemTime::try_from(issued.expiration).map_err(|_out_of_range| unusable())?;
    Ok(Credentials::new(
        issued.access_key_id,
        issued.secret_access_key,
        Some(issued.session_token),
        Some(expiry),
        "sts",
    ))
}

/// What STS said, and what is to be done about it.
fn refusal(role: &Role, error: &SdkError<AssumeRoleError>) -> Problem {
    let arn = &role.arn;
    let words = error.message().unwrap_or_default();
    match error.code() {
        Some("AccessDenied" | "AccessDeniedException") => Problem::new(
            Reason::RoleDenied,
            format!(
                "the role {arn} may not be assumed: check that it exists, that its trust policy names the role of this function and the external id of the source, and that the function's own policy allows sts:AssumeRole on it"
            ),
        ),
        Some(
            code @ ("ValidationError"
            | "MalformedPolicyDocument"
            | "PackedPolicyTooLarge"
            | "RegionDisabledException"
            | "InvalidParameterValue"),
        ) => Problem::new(
            Reason::RoleInvalid,
            format!("the role {arn} cannot be assumed as it is set up: {code}: {words}"),
        ),
        Some(code) => Problem::new(
            Reason::RoleUnavailable,
            format!("STS does not let the role {arn} be assumed now: {code}: {words}"),
        ),
        None => Problem::new(
            Reason::RoleUnavailable,
            format!("STS cannot be asked for the role {arn}: {}", chain(error)),
        ),
    }
}

/// Names function and source in the customer's log, in the characters that STS allows, 64 at most.
fn session_name(function: &str, source: &str) -> String {
    let legal = |text: &str, length: usize| -> String {
        let text = text.trim_start_matches("s3://").trim_end_matches('/');
        text.chars()
            .map(|character| match character {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '+' | '=' | ',' | '.' | '@' | '-' => {
                    character
                }
                _ => '-',
            })
            .take(length)
            .collect()
    };
    format!("{}@{}", legal(function, 30), legal(source, 33))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_for_function_and_source() {
        assert_eq!(
            session_name("holdfast-DocumentLoader-1X", "s3://acme/in box/ä"),
            "holdfast-DocumentLoader-1X@acme-in-box--"
        );
        let longest = session_name(&"f".repeat(64), &format!("s3://{}", "b".repeat(300)));
        assert_eq!(longest.len(), 64);
        assert_eq!(session_name("", "").len(), 1);
    }
}
