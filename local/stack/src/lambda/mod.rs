//! Lambda's Invoke API, for the functions that run in this process.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>. Of the request's options the qualifier, the
//! client context and the tail of the log have no meaning here, and are ignored.

mod invocations;
mod name;
mod refusal;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Request, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::post,
};
use embedded_iam::signature::Claim;
use embedded_s3::Credentials;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::{net::TcpListener, sync::watch, time::timeout};

use crate::{
    Error,
    function::{Failure, Function, request_id},
    server::Server,
    store::REGION,
};
use invocations::Invocations;
use name::Name;
use refusal::Refusal;

/// After which connections that still have not ended are left alone.
const LONGEST_STOP: Duration = Duration::from_secs(7);
/// Lambda's limit for a payload, in bytes.
const LARGEST: usize = 6 * 1024 * 1024;
/// Lambda's limit for one of an invocation that nobody waits for.
const LARGEST_EVENT: usize = 1024 * 1024;
/// More of a request that is too large is not even read.
const LARGEST_READ: usize = 64 * 1024 * 1024;
/// What signatures call Lambda.
const SERVICE: &str = "lambda";
/// The account of everything on this machine.
const ACCOUNT: &str = "000000000000";

/// The API, on a port of 127.0.0.1.
#[derive(Debug)]
pub(crate) struct Lambda {
    server: Server,
    /// Every invocation holds a receiver until its end.
    stop: watch::Sender<bool>,
}

impl Lambda {
    /// Serves the functions to whoever signs with `credentials`.
    pub(crate) fn start(
        listener: TcpListener,
        credentials: Credentials,
        functions: Vec<Arc<Function>>,
    ) -> Result<Self, Error> {
        let (stop, stopping) = watch::channel(false);
        let router = Router::new()
            .route(
                "/2015-03-31/functions/{name}/invocations",
                post(invoke).fallback(unknown_operation),
            )
            .fallback(unknown_operation)
            .with_state(Api {
                credentials: Arc::new(credentials),
                invocations: functions
                    .into_iter()
                    .map(|function| Invocations {
                        function,
                        stopping: stopping.clone(),
                    })
                    .collect(),
            });
        Ok(Self {
            server: Server::start("Lambda's Invoke API", listener, router)?,
            stop,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Waits for the end of the server, which does not end by itself.
    pub(crate) async fn ended(&mut self) -> Error {
        self.server.ended().await
    }

    /// Takes no more requests. Invocations under way have a few seconds to finish.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        let ended = timeout(LONGEST_STOP, async {
            self.server.stop().await;
            self.stop.closed().await;
        });
        if ended.await.is_err() {
            tracing::warn!("stopped while connections to Lambda's Invoke API were still open");
        }
    }
}

/// What a request is answered with.
#[derive(Clone)]
struct Api {
    credentials: Arc<Credentials>,
    invocations: Vec<Invocations>,
}

async fn invoke(
    State(api): State<Api>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Response {
    let id = request_id();
    let mut response = outcome(api, &name, request, &id)
        .await
        .unwrap_or_else(Refusal::into_response);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

async fn outcome(
    api: Api,
    name: &str,
    request: Request<Body>,
    request_id: &str,
) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let body = read(body).await?;
    check_signature(&head, &body, &api.credentials)?;
    let name: Name = name.parse()?;
    let invocations = api
        .invocations
        .into_iter()
        .find(|invocations| invocations.function.name() == name.0)
        .ok_or_else(|| Refusal::unknown_function(&name))?;
    let kind = Kind::of(&head.headers)?;
    let payload = payload(&body, kind)?;
    Ok(match kind {
        Kind::RequestResponse => answer(invocations.once(request_id, payload).await),
        Kind::Event => {
            let request_id = request_id.to_owned();
            tokio::spawn(invocations.until_one_succeeds(request_id, payload));
            StatusCode::ACCEPTED.into_response()
        }
        Kind::DryRun => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Whether whoever has `credentials` signed this request, now and as it is. Sessions of STS are for S3 alone here.
fn check_signature(head: &Parts, body: &[u8], credentials: &Credentials) -> Result<(), Refusal> {
    let claim = Claim::of(&head.headers)?;
    if claim.access_key_id != credentials.access_key_id
        || head.headers.contains_key("x-amz-security-token")
    {
        return Err(Refusal::unknown_key());
    }
    let now = OffsetDateTime::now_utc();
    Ok(claim.verify(head, body, SERVICE, &credentials.secret_access_key, now)?)
}

async fn unknown_operation(request: Request<Body>) -> Refusal {
    Refusal::unknown_operation(request.method(), request.uri().path())
}

/// The body, read to its end even where it is too large: a client that is still sending does not hear a refusal.
async fn read(mut body: Body) -> Result<Bytes, Refusal> {
    let mut read = Vec::new();
    let mut size = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_error| Refusal::incomplete())?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        size = size.saturating_add(data.len());
        if size <= LARGEST {
            read.extend_from_slice(data);
        } else if size > LARGEST_READ {
            break;
        }
    }
    if size > LARGEST {
        return Err(Refusal::too_large(LARGEST));
    }
    Ok(read.into())
}

/// The JSON of an invocation. Without a payload it is an empty object.
fn payload(body: &[u8], kind: Kind) -> Result<String, Refusal> {
    if kind == Kind::Event && body.len() > LARGEST_EVENT {
        return Err(Refusal::too_large(LARGEST_EVENT));
    }
    if body.is_empty() {
        return Ok("{}".to_owned());
    }
    let text = std::str::from_utf8(body).map_err(|error| Refusal::not_json(&error))?;
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|error| Refusal::not_json(&error))?;
    Ok(text.to_owned())
}

/// Who waits for the end of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    RequestResponse,
    Event,
    DryRun,
}

impl Kind {
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        match headers
            .get("x-amz-invocation-type")
            .map(HeaderValue::as_bytes)
        {
            None | Some(b"RequestResponse") => Ok(Self::RequestResponse),
            Some(b"Event") => Ok(Self::Event),
            Some(b"DryRun") => Ok(Self::DryRun),
            Some(_) => Err(Refusal::unknown_invocation_type()),
        }
    }
}

/// What Lambda makes of an answer, or of a failure: both are 200.
fn answer(answer: Result<Value, Failure>) -> Response {
    let (failed, body) = match answer {
        Ok(value) => (false, value),
        Err(failure) => (
            true,
            json!({ "errorMessage": failure.message, "errorType": failure.kind }),
        ),
    };
    let mut response = respond(StatusCode::OK, &body);
    let headers = response.headers_mut();
    headers.insert(
        "x-amz-executed-version",
        HeaderValue::from_static("$LATEST"),
    );
    if failed {
        headers.insert(
            "x-amz-function-error",
            HeaderValue::from_static("Unhandled"),
        );
    }
    response
}

/// JSON of this status.
fn respond(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// The ARN of a function of this machine.
fn arn(function: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}")
}
