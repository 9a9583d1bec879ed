//! The part of STS that tests and the local stack need: `AssumeRole` and `GetCallerIdentity`, on
//! the same port as S3. Trust policies are not evaluated here.
//!
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>.

use std::collections::HashMap;

use async_trait::async_trait;
use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use percent_encoding::percent_decode_str;
use s3s::route::S3Route;
use s3s::{Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use crate::authentication::{Authentication, Identity};
use crate::clock::{iso_seconds, now_milliseconds};
use crate::database::Database;
use crate::error::Failure;
use crate::notification::ACCOUNT;
use crate::random;
use crate::request::RequestId;
use crate::session::Session;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
/// A request is a short form.
const LARGEST_FORM: usize = 64 * 1024;
/// Ended sessions are remembered for a day, so that their requests hear `ExpiredToken`.
const MEMORY: i64 = 24 * 60 * 60 * 1000;

/// STS as a route beside S3.
#[derive(Debug, Clone)]
pub(crate) struct Sts {
    database: Database,
    authentication: Authentication,
}

/// An error in the form of STS.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            message: message.into(),
        }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new("ValidationError", message)
    }
}

impl Sts {
    pub(crate) fn new(database: Database, authentication: Authentication) -> Self {
        Self {
            database,
            authentication,
        }
    }

    async fn answer(
        &self,
        form: &HashMap<String, String>,
        identity: &Identity,
        access_key: &str,
    ) -> Result<String, Refusal> {
        match form.get("Action").map(String::as_str) {
            Some("AssumeRole") => self.assume_role(form).await,
            Some("GetCallerIdentity") => Ok(caller_identity(identity, access_key)),
            Some(action) => Err(Refusal::new(
                "InvalidAction",
                format!("Could not find operation {action} for version 2011-06-15"),
            )),
            None => Err(Refusal::new(
                "MissingAction",
                "the parameter Action is missing",
            )),
        }
    }

    async fn assume_role(&self, form: &HashMap<String, String>) -> Result<String, Refusal> {
        let session = session(form)?;
        let answer = assumed(&session);
        self.database
            .write(move |write| session.insert(write.connection, now_milliseconds() - MEMORY))
            .await
            .map_err(|failure| {
                let error = S3Error::from(failure);
                tracing::error!(%error, "a session could not be stored");
                Refusal {
                    status: StatusCode::INTERNAL_SERVER_ERROR,
                    code: "InternalFailure",
                    message: "the session could not be stored".to_owned(),
                }
            })?;
        Ok(answer)
    }
}

#[async_trait]
impl S3Route for Sts {
    fn is_match(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        _extensions: &mut Extensions,
    ) -> bool {
        is_sts(method, uri, headers)
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let Some(credentials) = &request.credentials else {
            return Err(S3Error::with_message(
                S3ErrorCode::AccessDenied,
                "Signature is required",
            ));
        };
        let access_key = credentials.access_key.clone();
        let identity = self
            .authentication
            .check_token(&access_key, &request.headers, &request.uri)
            .await;
        let service = request.service.clone();
        let id = match request.extensions.get::<RequestId>() {
            Some(id) => id.clone(),
            None => RequestId::new().map_err(Failure::from)?,
        };
        let result = async {
            let identity = identity.map_err(|error| Refusal {
                status: error.status_code().unwrap_or(StatusCode::FORBIDDEN),
                code: if *error.code() == S3ErrorCode::ExpiredToken {
                    "ExpiredTokenException"
                } else {
                    "InvalidClientTokenId"
                },
                message: error.message().unwrap_or_default().to_owned(),
            })?;
            if service.as_deref() != Some("sts") {
                return Err(Refusal::new(
                    "SignatureDoesNotMatch",
                    "Credential should be scoped to correct service: 'sts'.",
                ));
            }
            let body = Limited::new(request.input, LARGEST_FORM).collect().await;
            let body = body
                .map_err(|_source| Refusal::invalid("the form could not be read"))?
                .to_bytes();
            let form = parse_form(&body)?;
            let action = form.get("Action").cloned().unwrap_or_default();
            self.authentication
                .faults()
                .suffer(&action, None)
                .await
                .map_err(|error| Refusal {
                    status: error
                        .status_code()
                        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                    code: if *error.code() == S3ErrorCode::AccessDenied {
                        "AccessDenied"
                    } else {
                        "Throttling"
                    },
                    message: error.message().unwrap_or_default().to_owned(),
                })?;
            self.answer(&form, &identity, &access_key).await
        }
        .await;
        let (status, body) = match result {
            Ok(answer) => (StatusCode::OK, answer.replace("{request id}", &id.0)),
            Err(Refusal {
                status,
                code,
                message,
            }) => {
                let fault = if status.is_client_error() {
                    "Sender"
                } else {
                    "Receiver"
                };
                let message = escape(&message);
                (
                    status,
                    format!(
                        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{fault}</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
                        id.0
                    ),
                )
            }
        };
        let mut response = S3Response::with_status(Body::from(body), status);
        response
            .headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
        id.add_to(&mut response.headers);
        Ok(response)
    }
}

/// Whether a request is one for STS: a form posted to the root.
pub(crate) fn is_sts(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let form = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    method == Method::POST && uri.path() == "/" && form
}

/// Checks the parameters of `AssumeRole` and makes the credentials.
fn session(form: &HashMap<String, String>) -> Result<Session, Refusal> {
    let required = |name: &str| {
        form.get(name).cloned().ok_or_else(|| {
            Refusal::invalid(format!(
                "Value null at '{name}' failed to satisfy constraint: Member must not be null"
            ))
        })
    };
    let role_arn = required("RoleArn")?;
    let session_name = required("RoleSessionName")?;
    if !is_role_arn(&role_arn) {
        return Err(Refusal::invalid(format!("{role_arn} is invalid")));
    }
    let allowed = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
    };
    if !(2..=64).contains(&session_name.len()) || !allowed(&session_name) {
        return Err(Refusal::invalid(
            "Value at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]{2,64}",
        ));
    }
    let seconds = match form.get("DurationSeconds") {
        None => 3600,
        Some(text) => text.parse().ok().filter(|seconds| (900..=43_200).contains(seconds)).ok_or_else(|| {
            Refusal::invalid("Value at 'durationSeconds' failed to satisfy constraint: Member must have value between 900 and 43200")
        })?,
    };
    let external_id = form.get("ExternalId").cloned();
    let external = |id: &String| {
        (2..=1224).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&byte))
    };
    if external_id.as_ref().is_some_and(|id| !external(id)) {
        return Err(Refusal::invalid(
            "Value at 'externalId' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@:\\/-]{2,1224}",
        ));
    }
    let policy = form.get("Policy").cloned();
    if let Some(policy) = &policy
        && serde_json::from_str::<serde_json::Value>(policy).is_err()
    {
        return Err(Refusal::new(
            "MalformedPolicyDocument",
            "This policy contains invalid Json",
        ));
    }
    let random_text = || -> Result<_, crate::error::StorageError> {
        Ok((
            format!("ASIA{}", random::capitals(16)?),
            random::dotted(&random::bytes::<30>()?),
            random::dotted(&random::bytes::<144>()?),
            format!("AROA{}", random::capitals(17)?),
        ))
    };
    let (access_key_id, secret_access_key, token, role_id) =
        random_text().map_err(|error| Refusal {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "InternalFailure",
            message: error.to_string(),
        })?;
    Ok(Session {
        access_key_id,
        secret_access_key,
        token,
        expires: now_milliseconds() + seconds * 1000,
        role_arn,
        assumed_role_id: format!("{role_id}:{session_name}"),
        session_name,
        external_id,
        policy,
    })
}

/// `arn:aws:iam::<12 digits>:role/<path and name>`.
fn is_role_arn(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts.as_slice() else {
        return false;
    };
    let name = resource
        .strip_prefix("role/")
        .and_then(|path| path.rsplit('/').next())
        .unwrap_or_default();
    partition.starts_with("aws")
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && (1..=64).contains(&name.len())
        && resource
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@/-".contains(&byte))
}

fn assumed(session: &Session) -> String {
    format!(
        "<AssumeRoleResponse xmlns=\"{NAMESPACE}\"><AssumeRoleResult><AssumedRoleUser><AssumedRoleId>{}</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser><Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken><Expiration>{}</Expiration></Credentials></AssumeRoleResult><ResponseMetadata><RequestId>{{request id}}</RequestId></ResponseMetadata></AssumeRoleResponse>",
        session.assumed_role_id,
        session.assumed_role_arn(),
        session.access_key_id,
        session.secret_access_key,
        session.token,
        iso_seconds(session.expires),
    )
}

fn caller_identity(identity: &Identity, access_key: &str) -> String {
    let (arn, user, account) = match identity {
        Identity::Owner => (
            format!("arn:aws:iam::{ACCOUNT}:root"),
            access_key.to_owned(),
            ACCOUNT.to_owned(),
        ),
        Identity::Session(session) => (
            session.assumed_role_arn(),
            session.assumed_role_id.clone(),
            session.account().to_owned(),
        ),
    };
    format!(
        "<GetCallerIdentityResponse xmlns=\"{NAMESPACE}\"><GetCallerIdentityResult><Arn>{}</Arn><UserId>{}</UserId><Account>{}</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>{{request id}}</RequestId></ResponseMetadata></GetCallerIdentityResponse>",
        escape(&arn),
        escape(&user),
        escape(&account),
    )
}

fn parse_form(body: &[u8]) -> Result<HashMap<String, String>, Refusal> {
    let malformed = || Refusal::new("MalformedQueryString", "the form is not URL-encoded UTF-8");
    let text = std::str::from_utf8(body).map_err(|_source| malformed())?;
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_source| malformed())
    };
    let mut form = HashMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        form.insert(decode(name)?, decode(value)?);
    }
    Ok(form)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
