//! Who may do something: the owner, and sessions of STS with their token and before their end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use http::{HeaderMap, Uri};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::clock::now_milliseconds;
use crate::database::Database;
use crate::faults::Faults;
use crate::options::Credentials;
use crate::request::RequestId;
use crate::session::Session;

const TOKEN: &str = "x-amz-security-token";
/// Seconds in a week.
const LONGEST_URL: u64 = 604_800;

/// Knows every key. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Authentication {
    owner: Arc<Credentials>,
    database: Database,
    faults: Faults,
    /// Sessions never change, so those seen are kept.
    sessions: Arc<Mutex<HashMap<String, Session>>>,
}

/// Who signed a request.
#[derive(Debug, Clone)]
pub(crate) enum Identity {
    Owner,
    Session(Box<Session>),
}

impl Authentication {
    pub(crate) fn new(owner: Credentials, database: Database, faults: Faults) -> Self {
        Self {
            owner: Arc::new(owner),
            database,
            faults,
            sessions: Arc::default(),
        }
    }

    /// Whose key this is, or `InvalidAccessKeyId`.
    async fn identity(&self, access_key_id: &str) -> S3Result<Identity> {
        if access_key_id == self.owner.access_key_id {
            return Ok(Identity::Owner);
        }
        let known = self
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(access_key_id)
            .cloned();
        if let Some(session) = known {
            return Ok(Identity::Session(Box::new(session)));
        }
        let wanted = access_key_id.to_owned();
        let found = self
            .database
            .read(move |connection| Session::look_up(connection, &wanted))
            .await?;
        let session = found.ok_or_else(|| {
            S3Error::with_message(
                S3ErrorCode::InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records.",
            )
        })?;
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.expires > now_milliseconds());
        sessions.insert(access_key_id.to_owned(), session.clone());
        Ok(Identity::Session(Box::new(session)))
    }

    /// Checks the session token that came with a signed request: in a header, or in the query of a
    /// presigned URL.
    pub(crate) async fn check_token(
        &self,
        access_key_id: &str,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> S3Result<Identity> {
        let identity = self.identity(access_key_id).await?;
        let token = token_of(headers, uri);
        let invalid = || {
            S3Error::with_message(
                S3ErrorCode::InvalidToken,
                "The provided token is malformed or otherwise invalid.",
            )
        };
        match &identity {
            Identity::Owner if token.is_some() => Err(invalid()),
            Identity::Owner => Ok(identity),
            Identity::Session(session) => {
                if session.expires <= now_milliseconds() {
                    return Err(S3Error::with_message(
                        S3ErrorCode::ExpiredToken,
                        "The provided token has expired.",
                    ));
                }
                // A token is no secret to guess byte by byte: the signature was checked before.
                if token.as_deref() == Some(session.token.as_str()) {
                    Ok(identity)
                } else {
                    Err(invalid())
                }
            }
        }
    }

    /// The faults of the store, which hit requests at the same place.
    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }
}

/// Presigned URLs last a week at most.
fn check_lifetime(uri: &Uri) -> S3Result<()> {
    let mut pairs = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    let seconds = pairs
        .find(|(name, _)| *name == "X-Amz-Expires")
        .and_then(|(_, value)| value.parse::<u64>().ok());
    if seconds.is_none_or(|seconds| seconds <= LONGEST_URL) {
        return Ok(());
    }
    let code = S3ErrorCode::Custom("AuthorizationQueryParametersError".into());
    let mut error = S3Error::with_message(
        code,
        "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds",
    );
    error.set_status_code(http::StatusCode::BAD_REQUEST);
    Err(error)
}

/// A presigned URL says which headers it was signed with. Another one that means something to S3 could make the
/// request another than was signed, so S3 refuses it.
fn check_headers(headers: &HeaderMap, uri: &Uri) -> S3Result<()> {
    let signed = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| *name == "X-Amz-SignedHeaders");
    let Some((_, signed)) = signed else {
        return Ok(());
    };
    let signed = percent_encoding::percent_decode_str(signed).decode_utf8_lossy();
    let stray = headers
        .keys()
        .map(http::HeaderName::as_str)
        .find(|name| name.starts_with("x-amz-") && signed.split(';').all(|other| other != *name));
    match stray {
        None => Ok(()),
        Some(_) => Err(S3Error::with_message(
            S3ErrorCode::AccessDenied,
            "There were headers present in the request which were not signed",
        )),
    }
}

fn token_of(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    if let Some(value) = headers.get(TOKEN) {
        return Some(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    let pairs = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(name, _)| name.eq_ignore_ascii_case(TOKEN))
        .find_map(|(_, value)| {
            percent_encoding::percent_decode_str(value)
                .decode_utf8()
                .ok()
                .map(std::borrow::Cow::into_owned)
        })
}

#[async_trait]
impl S3Auth for Authentication {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.identity(access_key).await? {
            Identity::Owner => Ok(SecretKey::from(self.owner.secret_access_key.clone())),
            Identity::Session(session) => Ok(SecretKey::from(session.secret_access_key.clone())),
        }
    }
}

#[async_trait]
impl S3Access for Authentication {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(credentials) = context.credentials() else {
            return Err(S3Error::with_message(
                S3ErrorCode::AccessDenied,
                "Access Denied: the request is not signed",
            ));
        };
        let access_key = credentials.access_key.clone();
        check_lifetime(context.uri())?;
        check_headers(context.headers(), context.uri())?;
        self.check_token(&access_key, context.headers(), context.uri())
            .await?;
        let operation = context.s3_op().name().to_owned();
        let key = context.s3_path().get_object_key().map(str::to_owned);
        if context.extensions_mut().get::<RequestId>().is_none() {
            let id = RequestId::new().map_err(crate::error::Failure::from)?;
            context.extensions_mut().insert(id);
        }
        self.faults.suffer(&operation, key.as_deref()).await
    }
}
