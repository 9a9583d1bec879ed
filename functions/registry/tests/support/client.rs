//! A client of the API, who logs in as every other does.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use embedded_s3::EmbeddedS3;
use lambda_http::tower::ServiceExt as _;
use registry::access::settings::Settings;
use registry::access::token::Key;
use registry::backend::Backend;
use registry::http::router;
use registry::storage::{Chain, Storage};
use serde_json::{Value, json};
use shared::s3::S3;

use super::BUCKET;

/// The default admin of the contract.
pub const ADMIN: &str = "ece30861defaultadminuser";
pub const PASSWORD: &str = "correcthorsebatterystaple123(!__+@**(A'\"`;DROP TABLE artifacts;";
/// The password of every other user.
pub const USER_PASSWORD: &str = "user password";

pub struct Client {
    pub router: Router,
    pub backend: Arc<Backend>,
    /// The default admin's token.
    pub admin: String,
}

/// A client of an API whose stores are in memory.
pub async fn start() -> Client {
    Client::of(Storage::new(Chain::default(), access())).await
}

/// The admin of the contract, and a key that all instances of a test share.
pub fn access() -> Settings {
    Settings::public(Key::new(&[7; 32]).unwrap())
}

/// A token of the default admin that is good wherever [`access`] is.
pub async fn admin() -> String {
    start().await.admin
}

impl Client {
    /// A client of the API on this storage.
    pub async fn of(storage: Storage) -> Self {
        let backend = storage.backend().await.unwrap();
        let router = router(storage);
        let admin = log_in(&router, ADMIN, PASSWORD).await;
        Self {
            router,
            backend,
            admin,
        }
    }

    /// A client of an instance of its own in production, on this S3.
    pub async fn on(store: &EmbeddedS3) -> Self {
        let chain = Chain {
            bucket: Some(BUCKET.to_owned()),
            is_production: true,
            ..Chain::default()
        };
        let s3 = S3::with_client(store.client());
        Self::of(Storage::with_s3(chain, access(), s3)).await
    }

    /// A token of a new user with these permissions.
    pub async fn user(&self, name: &str, permissions: &[&str]) -> String {
        let body = json!({
            "user": { "name": name, "is_admin": false },
            "secret": { "password": USER_PASSWORD },
            "permissions": permissions,
        });
        let (status, answer) = self.json("POST", "/users", &body).await;
        assert_eq!(status, 201, "{answer}");
        log_in(&self.router, name, USER_PASSWORD).await
    }

    /// Puts an artifact with an id of the test's choice.
    pub async fn put(&self, id: &str, name: &str, kind: &str) {
        let record = json!({
            "metadata": { "id": id, "name": name, "type": kind },
            "data": { "url": format!("https://example.com/{id}") },
        });
        let key = format!("artifacts/{id}/metadata.json");
        let bytes = record.to_string().into_bytes();
        let objects = self.backend.registry.objects();
        objects.create(&key, bytes).await.unwrap();
    }

    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        answer(&self.router, request).await
    }

    /// The status that somebody with this token gets.
    pub async fn status(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: impl ToString,
    ) -> u16 {
        let request = request(method, path, token, &body.to_string());
        self.answer(request).await.status().as_u16()
    }

    /// What an admin is answered, as text.
    pub async fn send(&self, method: &str, path: &str, body: &str) -> String {
        let request = request(method, path, Some(&self.admin), body);
        let answer = self.answer(request).await;
        let mut text = format!("{}\n", answer.status());
        for name in ["content-type", "location", "offset", "x-holdfast-store"] {
            if let Some(value) = answer.headers().get(name) {
                writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
            }
        }
        let body = String::from_utf8(body_of(answer).await).unwrap();
        format!("{text}\n{body}")
    }

    /// What an admin is answered, as JSON; null where that is nothing.
    pub async fn json(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.json_for(Some(&self.admin), method, path, body).await
    }

    /// The same for somebody with this token.
    pub async fn json_for(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: &Value,
    ) -> (u16, Value) {
        let answer = self
            .answer(request(method, path, token, &body.to_string()))
            .await;
        let status = answer.status().as_u16();
        let body = body_of(answer).await;
        let json = match body.as_slice() {
            [] => Value::Null,
            body => serde_json::from_slice(body).unwrap(),
        };
        (status, json)
    }

    pub async fn anonymous(&self, path: &str) -> (u16, Value) {
        self.json_for(None, "GET", path, &Value::Null).await
    }
}

/// A token, by `PUT /authenticate`.
pub async fn log_in(router: &Router, name: &str, password: &str) -> String {
    let body = json!({
        "user": { "name": name, "is_admin": false },
        "secret": { "password": password },
    });
    let request = request("PUT", "/authenticate", None, &body.to_string());
    let answer = answer(router, request).await;
    assert_eq!(answer.status(), 200, "{name}");
    serde_json::from_slice(&body_of(answer).await).unwrap()
}

pub async fn answer(router: &Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap()
}

pub fn request(method: &str, path: &str, token: Option<&str>, body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header("X-Authorization", token);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

pub async fn body_of(answer: Response<Body>) -> Vec<u8> {
    to_bytes(answer.into_body(), usize::MAX)
        .await
        .unwrap()
        .to_vec()
}
