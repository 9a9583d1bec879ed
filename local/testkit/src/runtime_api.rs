use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path as Segment, State},
    http::StatusCode,
    response::IntoResponse,
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot, watch};

use crate::function::{Failure, Function};
use crate::server::Server;

/// Largest payload of Lambda, in either direction.
pub(crate) const PAYLOAD_LIMIT: usize = 6 * 1024 * 1024;

/// The Lambda Runtime API (version 2018-06-01) on a free port of 127.0.0.1, for one built binary.
///
/// Source: AWS Lambda developer guide, "Using the Lambda runtime API for custom runtimes".
#[derive(Debug)]
pub struct RuntimeApi {
    exchange: Arc<Exchange>,
    events: mpsc::UnboundedSender<Event>,
    sent: AtomicU64,
    server: Server,
}

/// One event on its way to the function.
#[derive(Debug)]
struct Event {
    request_id: String,
    payload: String,
    deadline: SystemTime,
}

/// What the function's requests and the test's calls meet in.
#[derive(Debug)]
struct Exchange {
    events: AsyncMutex<mpsc::UnboundedReceiver<Event>>,
    answers: Mutex<HashMap<String, oneshot::Sender<Result<Value, Failure>>>>,
    polls: watch::Sender<u64>,
    init_failure: watch::Sender<Option<Failure>>,
}

impl RuntimeApi {
    /// Listens; [`RuntimeApi::run`] starts the binary.
    ///
    /// # Panics
    ///
    /// No port of 127.0.0.1 is free.
    pub async fn start() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let exchange = Arc::new(Exchange {
            events: AsyncMutex::new(receiver),
            answers: Mutex::default(),
            polls: watch::Sender::new(0),
            init_failure: watch::Sender::new(None),
        });
        let server = Server::start(router(Arc::clone(&exchange))).await;
        Self {
            exchange,
            events: sender,
            sent: AtomicU64::new(0),
            server,
        }
    }

    /// The value for `AWS_LAMBDA_RUNTIME_API`, for a program that is started otherwise.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Starts a built binary as Lambda does: a clean environment with `PATH`, Lambda's variables and `variables`.
    ///
    /// # Panics
    ///
    /// The binary cannot be executed.
    pub fn run(self, binary: impl AsRef<Path>, variables: &[(&str, &str)]) -> Function {
        Function::spawn(self, binary.as_ref(), variables)
    }

    /// Queues an event; the receiver resolves when the function answers, and never if it dies before.
    pub(crate) fn send(
        &self,
        event: &Value,
        within: Duration,
    ) -> oneshot::Receiver<Result<Value, Failure>> {
        let (sender, receiver) = oneshot::channel();
        let request_id = format!(
            "00000000-0000-4000-8000-{:012}",
            self.sent.fetch_add(1, Ordering::Relaxed)
        );
        let mut answers = self
            .exchange
            .answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        answers.insert(request_id.clone(), sender);
        drop(answers);
        let event = Event {
            request_id,
            payload: event.to_string(),
            deadline: SystemTime::now() + within,
        };
        self.events
            .send(event)
            .expect("the exchange lives as long as this");
        receiver
    }

    /// How often the function asked for an event.
    pub(crate) fn polls(&self) -> watch::Receiver<u64> {
        self.exchange.polls.subscribe()
    }

    pub(crate) fn init_failure(&self) -> Option<Failure> {
        self.exchange.init_failure.borrow().clone()
    }
}

fn router(exchange: Arc<Exchange>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route(
            "/2018-06-01/runtime/invocation/{request_id}/response",
            post(response),
        )
        .route(
            "/2018-06-01/runtime/invocation/{request_id}/error",
            post(error),
        )
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .layer(DefaultBodyLimit::max(PAYLOAD_LIMIT))
        .with_state(exchange)
}

async fn next(State(exchange): State<Arc<Exchange>>) -> impl IntoResponse {
    exchange.polls.send_modify(|polls| *polls += 1);
    let event = exchange
        .events
        .lock()
        .await
        .recv()
        .await
        .ok_or(StatusCode::GONE)?;
    let deadline = event
        .deadline
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    Ok::<_, StatusCode>((
        [
            ("lambda-runtime-aws-request-id", event.request_id),
            ("lambda-runtime-deadline-ms", deadline.to_string()),
            (
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:us-east-1:123456789012:function:test".to_owned(),
            ),
            (
                "lambda-runtime-trace-id",
                "Root=1-00000000-000000000000000000000000;Sampled=0".to_owned(),
            ),
            ("content-type", "application/json".to_owned()),
        ],
        event.payload,
    ))
}

/// The runtime names no content type, so bodies are taken as text here and below.
async fn response(
    State(exchange): State<Arc<Exchange>>,
    Segment(request_id): Segment<String>,
    body: String,
) -> impl IntoResponse {
    let answer = serde_json::from_str(&body);
    exchange.answer(
        &request_id,
        answer.map_err(|error| Failure::not_json(&error, &body)),
    )
}

async fn error(
    State(exchange): State<Arc<Exchange>>,
    Segment(request_id): Segment<String>,
    report: String,
) -> impl IntoResponse {
    exchange.answer(&request_id, Err(Failure::from_report(&report)))
}

async fn init_error(State(exchange): State<Arc<Exchange>>, report: String) -> impl IntoResponse {
    exchange
        .init_failure
        .send_replace(Some(Failure::from_report(&report)));
    (StatusCode::ACCEPTED, Json(json!({"status": "OK"})))
}

impl Exchange {
    /// A request answered twice, or never made, is refused as Lambda refuses it.
    fn answer(
        &self,
        request_id: &str,
        outcome: Result<Value, Failure>,
    ) -> (StatusCode, Json<Value>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(receiver) = answers.remove(request_id) else {
            let report =
                json!({"errorType": "InvalidRequestID", "errorMessage": "Invalid request ID"});
            return (StatusCode::BAD_REQUEST, Json(report));
        };
        // A test that stopped waiting needs no answer.
        let _ = receiver.send(outcome);
        (StatusCode::ACCEPTED, Json(json!({"status": "OK"})))
    }
}
