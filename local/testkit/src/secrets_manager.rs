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

/// AWS Secrets Manager with one secret, for the real client: `GetSecretValue`, and refusals.
#[derive(Debug)]
pub struct SecretsManager {
    endpoint: String,
    vault: Arc<Mutex<Vault>>,
    _server: Server,
}

#[derive(Debug, Default)]
struct Vault {
    id: String,
    content: Content,
    calls: usize,
}

#[derive(Debug, Default)]
enum Content {
    #[default]
    None,
    Text(String),
    Bytes(String),
    Refused(u16, String),
}

impl SecretsManager {
    /// Listens on a free port of 127.0.0.1. There is no secret yet.
    ///
    /// # Panics
    ///
    /// No port is free.
    pub async fn start() -> Self {
        let vault = Arc::new(Mutex::new(Vault::default()));
        let router = Router::new()
            .route("/", post(answer))
            .with_state(Arc::clone(&vault));
        let server = Server::start(router).await;
        Self {
            endpoint: server.endpoint(),
            vault,
            _server: server,
        }
    }

    /// For `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// From now on the secret of this name or ARN has this text.
    pub fn put(&self, id: &str, text: &str) {
        self.set(id, Content::Text(text.to_owned()));
    }

    /// From now on the secret has bytes instead of a text.
    pub fn put_bytes(&self, id: &str) {
        self.set(id, Content::Bytes("AAEC".to_owned()));
    }

    /// From now on every question is refused with this status and error, such as 400 and `AccessDeniedException`.
    pub fn refuse(&self, status: u16, error: &str) {
        self.set("", Content::Refused(status, error.to_owned()));
    }

    /// How often it was asked.
    pub fn calls(&self) -> usize {
        self.vault().calls
    }

    fn set(&self, id: &str, content: Content) {
        let mut vault = self.vault();
        id.clone_into(&mut vault.id);
        vault.content = content;
    }

    fn vault(&self) -> std::sync::MutexGuard<'_, Vault> {
        self.vault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The protocol is JSON 1.1: the operation in a header, the error's name in the body.
async fn answer(
    State(vault): State<Arc<Mutex<Vault>>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let mut vault = vault.lock().unwrap_or_else(PoisonError::into_inner);
    vault.calls += 1;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is_signed =
        header("authorization").is_some_and(|text| text.contains("/secretsmanager/aws4_request"));
    let asked: Value = serde_json::from_str(&body).unwrap_or_default();
    let is_asked = asked.get("SecretId").and_then(Value::as_str) == Some(vault.id.as_str());
    let (status, answer) = match &vault.content {
        _ if header("x-amz-target") != Some("secretsmanager.GetSecretValue") => {
            (400, refusal("UnknownOperationException"))
        }
        _ if !is_signed => (400, refusal("MissingAuthenticationTokenException")),
        Content::Refused(status, error) => (*status, refusal(error)),
        Content::Text(text) if is_asked => (200, secret("SecretString", &vault.id, text)),
        Content::Bytes(base64) if is_asked => (200, secret("SecretBinary", &vault.id, base64)),
        _ => (400, refusal("ResourceNotFoundException")),
    };
    let status = StatusCode::from_u16(status).expect("tests refuse with a status of HTTP");
    let kind = [(CONTENT_TYPE, "application/x-amz-json-1.1")];
    (status, kind, answer.to_string()).into_response()
}

fn refusal(error: &str) -> Value {
    json!({ "__type": error, "Message": "refused by the test" })
}

fn secret(field: &str, id: &str, content: &str) -> Value {
    json!({
        "ARN": format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{id}-AbCdEf"),
        "Name": id,
        field: content,
        "VersionId": "EXAMPLE1-90ab-cdef-fedc-ba987EXAMPLE",
        "VersionStages": ["AWSCURRENT"],
        "CreatedDate": 1_763_700_000.0,
    })
}
