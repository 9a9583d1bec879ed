//! A browser that does nothing by itself, and a registry in memory for it.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::request::Builder;
use axum::http::{HeaderMap, Request};
use lambda_http::tower::ServiceExt as _;
use registry::access::password::Password;
pub use registry::access::settings::{PUBLIC_NAME, PUBLIC_PASSWORDS};
use registry::access::user::Permission;
use registry::access::{Caller, NewUser};
use registry::backend::Backend;
use registry::http::router;
use registry::storage::{Chain, Storage};
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

pub use super::client::access;

/// The password of whoever is registered.
pub const PASSWORD: &str = "a password of a test";

/// Sees pages of a registry whose store is in memory.
pub struct Browser {
    pub router: Router,
    pub backend: Arc<Backend>,
    /// How the registry is reached.
    pub host: &'static str,
    pub cookie: Option<String>,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

pub async fn start() -> Browser {
    on(Storage::new(Chain::default(), access())).await
}

/// A browser at a registry on this storage.
pub async fn on(storage: Storage) -> Browser {
    let backend = storage.backend().await.unwrap();
    Browser {
        router: router(storage),
        backend,
        host: "127.0.0.1:9010",
        cookie: None,
    }
}

pub async fn admin(backend: &Backend) -> Caller {
    let token = backend
        .access
        .authenticate(PUBLIC_NAME, PUBLIC_PASSWORDS[0])
        .await
        .unwrap();
    backend.access.check(Some(token.as_str())).await.unwrap()
}

impl Browser {
    /// Puts an artifact with an id of the test's choice, as somebody else may have written it.
    pub async fn put(&self, id: &str, name: &str, kind: &str, told: &Value) {
        let mut record = told.as_object().cloned().unwrap_or_default();
        let metadata = json!({ "id": id, "name": name, "type": kind });
        record.insert("metadata".to_owned(), metadata);
        record
            .entry("data")
            .or_insert(json!({ "url": format!("https://example.com/{id}") }));
        let key = format!("artifacts/{id}/metadata.json");
        let bytes = Value::Object(record).to_string().into_bytes();
        self.backend
            .registry
            .objects()
            .create(&key, bytes)
            .await
            .unwrap();
    }

    pub async fn register(&self, name: &str, permission: Permission) {
        let new = NewUser {
            name: name.parse().unwrap(),
            password: Password::chosen(PASSWORD).unwrap(),
            permissions: [permission].into_iter().collect(),
        };
        let admin = admin(&self.backend).await;
        self.backend.access.register(&admin, new).await.unwrap();
    }

    pub async fn log_in(&mut self) {
        let answer = self.log_in_to("", PUBLIC_NAME, PUBLIC_PASSWORDS[0]).await;
        self.keep(&answer);
    }

    pub async fn log_in_to(&self, to: &str, name: &str, password: &str) -> Answer {
        self.post(
            "/login",
            &[("name", name), ("password", password), ("to", to)],
        )
        .await
    }

    /// Keeps the cookie of an answer.
    pub fn keep(&mut self, answer: &Answer) {
        let cookie = answer.header("set-cookie").split(';').next().unwrap();
        self.cookie = Some(cookie.to_owned());
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path), &[]).await
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let request = self.form(path).header("sec-fetch-site", "same-origin");
        self.send(request, form).await
    }

    pub fn form(&self, path: &str) -> Builder {
        let request = self.request("POST", path);
        request.header("content-type", "application/x-www-form-urlencoded")
    }

    pub fn request(&self, method: &str, path: &str) -> Builder {
        let mut request = Request::builder().method(method).uri(path);
        request = request
            .header("host", self.host)
            .header("accept", "text/html,*/*;q=0.8");
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        request
    }

    pub async fn send(&self, request: Builder, form: &[(&str, &str)]) -> Answer {
        let body = Serializer::new(String::new()).extend_pairs(form).finish();
        let request = request.body(Body::from(body)).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body).unwrap(),
        }
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }
}
