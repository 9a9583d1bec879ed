use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};

use crate::server::Server;

/// AWS SQS as far as sending goes, for the real sender: `SendMessage`, and refusals.
#[derive(Debug)]
pub struct Sqs {
    endpoint: String,
    state: Arc<Mutex<Sent>>,
    _server: Server,
}

#[derive(Debug, Default)]
struct Sent {
    messages: Vec<(String, String)>,
    refusal: Option<u16>,
}

impl Sqs {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// No port is free.
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(Sent::default()));
        let router = Router::new()
            .route("/", post(answer))
            .with_state(Arc::clone(&state));
        let server = Server::start(router).await;
        Self {
            endpoint: server.endpoint(),
            state,
            _server: server,
        }
    }

    /// For `AWS_ENDPOINT_URL_SQS`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The messages so far: the URL of the queue, and the body.
    pub fn messages(&self) -> Vec<(String, String)> {
        self.lock().messages.clone()
    }

    /// From now on every message is refused with this status.
    pub fn refuse(&self, status: u16) {
        self.lock().refusal = Some(status);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sent> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The protocol is JSON 1.0: the operation in a header, the error's name in the body.
async fn answer(
    State(state): State<Arc<Mutex<Sent>>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let signed = header("authorization").unwrap_or_default();
    let is_signed = signed.contains("/sqs/aws4_request")
        && ["content-type", "host", "x-amz-date", "x-amz-target"]
            .iter()
            .all(|name| signed.contains(name));
    let sent: Value = serde_json::from_str(&body).unwrap_or_default();
    let text = |name| {
        sent.get(name)
            .and_then(Value::as_str)
            .map(ToOwned::to_owned)
    };
    let refusal = |error: &str| json!({ "__type": format!("com.amazonaws.sqs#{error}") });
    let (status, answer) = match (state.refusal, text("QueueUrl"), text("MessageBody")) {
        (Some(status), ..) => (status, refusal("AccessDeniedException")),
        _ if header("x-amz-target") != Some("AmazonSQS.SendMessage") => {
            (400, refusal("UnknownOperationException"))
        }
        _ if !is_signed => (403, refusal("MissingAuthenticationToken")),
        (None, Some(queue), Some(body)) => {
            state.messages.push((queue, body));
            (200, json!({ "MessageId": "1", "MD5OfMessageBody": "" }))
        }
        _ => (400, refusal("MissingParameter")),
    };
    let status = StatusCode::from_u16(status).expect("tests refuse with a status of HTTP");
    let kind = [(CONTENT_TYPE, "application/x-amz-json-1.0")];
    (status, kind, answer.to_string()).into_response()
}
