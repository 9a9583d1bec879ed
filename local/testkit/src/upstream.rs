use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::server::Server;

/// The Hugging Face Hub and GitHub in small, for the real client: they know what a test has put there, and answer
/// everything else as those services do for what does not exist.
///
/// The Hub is under [`hub`](Self::hub), GitHub under [`github`](Self::github), its files under [`raw`](Self::raw).
#[derive(Debug)]
pub struct Upstream {
    origin: String,
    shelf: Arc<Shelf>,
    _server: Server,
}

/// How a path answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A JSON document.
    Json(Value),
    /// A text.
    Text(String),
    /// Moved to this path or address.
    Moved(String),
    /// One must ask for access: a status and the Hub's own code for it.
    Gated(u16),
    /// Asked too often: 403 or 429, as GitHub says it.
    RateLimited(u16),
    /// A status without more.
    Status(u16),
    /// Never.
    Never,
    /// The headers and half of a body, then the connection is cut.
    Cut,
    /// A body of this many bytes, without its length in advance.
    Endless(usize),
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The path and the query.
    pub path: String,
    /// The header `Authorization`.
    pub authorization: Option<String>,
}

#[derive(Debug, Default)]
struct Shelf {
    replies: Mutex<BTreeMap<String, Reply>>,
    asked: Mutex<Vec<Asked>>,
    rounds: Mutex<Rounds>,
    /// Counts the rounds that are complete.
    complete: watch::Sender<usize>,
}

/// How many requests must wait at a time before all of them are answered.
#[derive(Debug, Default)]
struct Rounds {
    expected: VecDeque<usize>,
    waiting: usize,
}

impl Upstream {
    /// Listens on a free port of 127.0.0.1. It knows nothing yet.
    ///
    /// # Panics
    ///
    /// No port is free.
    pub async fn start() -> Self {
        let shelf = Arc::new(Shelf::default());
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&shelf));
        let server = Server::start(router).await;
        Self {
            origin: server.endpoint(),
            shelf,
            _server: server,
        }
    }

    /// For `HF_ENDPOINT`.
    pub fn hub(&self) -> String {
        format!("{}/hub", self.origin)
    }

    /// For `GITHUB_API_URL`.
    pub fn github(&self) -> String {
        format!("{}/github", self.origin)
    }

    /// For `GITHUB_RAW_URL`.
    pub fn raw(&self) -> String {
        format!("{}/raw", self.origin)
    }

    /// From now on a path answers like this. It begins with `/hub/`, `/github/` or `/raw/` and has no query.
    pub fn put(&self, path: impl Into<String>, reply: Reply) {
        lock(&self.shelf.replies).insert(path.into(), reply);
    }

    /// A model of the Hub: its entry without the id, its README and its `config.json`.
    pub fn model(&self, id: &str, entry: &Value, readme: &str, config: &Value) {
        self.put(
            format!("/hub/api/models/{id}"),
            Reply::Json(with_id(id, entry)),
        );
        self.put(
            format!("/hub/{id}/raw/main/README.md"),
            Reply::Text(readme.to_owned()),
        );
        self.put(
            format!("/hub/{id}/raw/main/config.json"),
            Reply::Json(config.clone()),
        );
    }

    /// A dataset of the Hub: its entry without the id, and its README.
    pub fn dataset(&self, id: &str, entry: &Value, readme: &str) {
        self.put(
            format!("/hub/api/datasets/{id}"),
            Reply::Json(with_id(id, entry)),
        );
        self.put(
            format!("/hub/datasets/{id}/raw/main/README.md"),
            Reply::Text(readme.to_owned()),
        );
    }

    /// A repository of GitHub: what is known of it under the paths below `repos/owner/name`, the empty one included.
    ///
    /// # Panics
    ///
    /// `parts` is no object.
    pub fn repository(&self, id: &str, parts: &Value) {
        let parts = parts
            .as_object()
            .expect("the parts of a repository by path");
        for (path, part) in parts {
            let path = format!("/github/repos/{id}/{path}");
            let reply = match part {
                Value::String(text) => Reply::Text(text.clone()),
                part => Reply::Json(part.clone()),
            };
            self.put(path.trim_end_matches('/'), reply);
        }
    }

    /// Answers in rounds: no request is answered before the first number of them wait, then those all at once, and
    /// so on. A client that does not ask so many at a time gets no answer.
    pub fn in_rounds(&self, expected: impl IntoIterator<Item = usize>) {
        let mut rounds = lock(&self.shelf.rounds);
        rounds.expected = expected.into_iter().collect();
        rounds.waiting = 0;
    }

    /// How many rounds are complete.
    pub fn rounds(&self) -> usize {
        *self.shelf.complete.borrow()
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shelf.asked).clone()
    }
}

fn with_id(id: &str, entry: &Value) -> Value {
    let mut entry = entry.clone();
    if let Some(fields) = entry.as_object_mut() {
        fields.insert("id".to_owned(), json!(id));
    }
    entry
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(State(shelf): State<Arc<Shelf>>, request: Request) -> Response {
    let authorization = request.headers().get(header::AUTHORIZATION);
    lock(&shelf.asked).push(Asked {
        path: request.uri().to_string(),
        authorization: authorization
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
    });
    wait_for_round(&shelf).await;
    let reply = lock(&shelf.replies).get(request.uri().path()).cloned();
    match reply {
        None if request.uri().path().starts_with("/hub/") => missing_on_the_hub(),
        None => (StatusCode::NOT_FOUND, Json(json!({"message": "Not Found"}))).into_response(),
        Some(reply) => respond(reply).await,
    }
}

async fn wait_for_round(shelf: &Shelf) {
    let mut complete = shelf.complete.subscribe();
    let round = *complete.borrow_and_update();
    {
        let mut rounds = lock(&shelf.rounds);
        let Some(expected) = rounds.expected.front().copied() else {
            return;
        };
        rounds.waiting += 1;
        if rounds.waiting == expected {
            rounds.waiting = 0;
            rounds.expected.pop_front();
            shelf.complete.send_modify(|complete| *complete += 1);
            return;
        }
    }
    // The shelf lives as long as the server, so the sender does.
    let _ = complete.wait_for(|complete| *complete > round).await;
}

/// The Hub does not tell strangers whether something is missing or private.
fn missing_on_the_hub() -> Response {
    let headers = [
        ("x-error-code", "RepoNotFound"),
        ("x-error-message", "Repository not found"),
    ];
    (StatusCode::UNAUTHORIZED, headers, "Repository not found").into_response()
}

async fn respond(reply: Reply) -> Response {
    let status =
        |code: u16| StatusCode::from_u16(code).expect("tests answer with a status of HTTP");
    match reply {
        Reply::Json(document) => {
            let headers = [("etag", "\"e-tag\""), ("x-repo-commit", "0123abc")];
            (headers, Json(document)).into_response()
        }
        Reply::Text(text) => text.into_response(),
        Reply::Moved(to) => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
        }
        Reply::Gated(code) => {
            let headers = [
                ("x-error-code", "GatedRepo"),
                ("x-error-message", "Access is restricted"),
            ];
            (status(code), headers).into_response()
        }
        Reply::RateLimited(code) => {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .expect("it is after 1970");
            let mut headers = HeaderMap::new();
            headers.insert("x-ratelimit-remaining", 0.into());
            headers.insert("x-ratelimit-reset", (now.as_secs() + 600).into());
            (
                status(code),
                headers,
                Json(json!({"message": "API rate limit exceeded"})),
            )
                .into_response()
        }
        Reply::Status(code) => status(code).into_response(),
        Reply::Never => std::future::pending().await,
        Reply::Cut => {
            let pieces = [
                Ok("{\"id\": \"half".to_owned()),
                Err(io::Error::other("cut by the test")),
            ];
            Body::from_stream(stream::iter(pieces)).into_response()
        }
        Reply::Endless(bytes) => {
            const PIECE: usize = 64 * 1024;
            let pieces = std::iter::repeat_with(|| Ok::<_, io::Error>(vec![b' '; PIECE]));
            Body::from_stream(stream::iter(pieces.take(bytes / PIECE))).into_response()
        }
    }
}
