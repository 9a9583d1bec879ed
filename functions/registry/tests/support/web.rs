//! The API and S3 as clients of HTTP reach them: each on a port of this machine.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "every test file uses another part; a test that cannot start must stop"
)]

use aws_sdk_s3::Client;
use axum::http::{HeaderMap, Request, StatusCode, Uri, header};
use bytes::Bytes;
use embedded_s3::EmbeddedS3;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use registry::artifact::Id;
use registry::content::Content;
use registry::storage::{Chain, Storage};
use registry::store::{BucketObjects, Objects};
use serde_json::{Value, json};
use shared::s3::S3;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::client::{Client as User, access};
use crate::support::{BUCKET, embedded};

/// An API on S3, and somebody who asks it.
pub struct World {
    /// Where the API is.
    pub api: String,
    pub s3: EmbeddedS3,
    /// The SDK, which signs for the place where S3 listens.
    pub sdk: Client,
    pub objects: Objects,
    /// Of an admin, of somebody who may only read, and of somebody who may only search.
    tokens: [(&'static str, String); 3],
    web: legacy::Client<HttpConnector, Full<Bytes>>,
    _folder: TempDir,
}

/// What was answered.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

pub async fn start() -> World {
    let (s3, folder) = embedded().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let served = s3.clone();
    tokio::spawn(async move { served.serve(listener, std::future::pending()).await });
    let config = s3.client().config().to_builder().endpoint_url(endpoint);
    let sdk = Client::from_conf(config.build());
    let chain = Chain {
        bucket: Some(BUCKET.to_owned()),
        is_production: true,
        ..Chain::default()
    };
    let storage = Storage::with_s3(chain, access(), S3::with_client(sdk.clone()));
    let admin = User::of(storage).await;
    let reader = admin.user("reader", &["download"]).await;
    let searcher = admin.user("searcher", &["search"]).await;
    let router = admin.router;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let bucket = S3::with_client(sdk.clone()).bucket(BUCKET);
    World {
        api,
        s3,
        sdk,
        objects: Objects::S3(BucketObjects::new(bucket)),
        tokens: [
            ("admin", admin.admin),
            ("reader", reader),
            ("searcher", searcher),
        ],
        web: legacy::Client::builder(TokioExecutor::new()).build_http(),
        _folder: folder,
    }
}

impl World {
    /// Registers an artifact and returns the address of what it holds.
    pub async fn artifact(&self, kind: &str, name: &str) -> (String, Id) {
        let url = format!("https://example.com/{kind}/{}", name.replace(' ', "-"));
        let body = json!({ "url": url, "name": name }).to_string();
        let created = self
            .send("POST", &format!("/artifact/{kind}"), &[], body)
            .await;
        assert_eq!(created.status, 201, "{}", created.text());
        let id: Id = created.json()["metadata"]["id"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        (format!("/artifacts/{kind}/{id}"), id)
    }

    /// Whoever is meant, by the token; what is nobody's name stays as it is.
    fn token<'a>(&'a self, name: &'a str) -> &'a str {
        let known = self.tokens.iter().find(|(user, _)| *user == name);
        known.map_or(name, |(_, token)| token)
    }

    pub fn content(&self, id: &Id) -> Content {
        Content::of(&self.objects, id).unwrap()
    }

    /// Asks as an admin, unless the headers say otherwise. `place` is a path of the API, or an address.
    pub async fn send(
        &self,
        method: &str,
        place: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let uri = if place.starts_with('/') {
            format!("{}{place}", self.api)
        } else {
            place.to_owned()
        };
        let mut request = Request::builder().method(method).uri(uri);
        if place.starts_with('/') && headers.iter().all(|(name, _)| *name != "x-authorization") {
            request = request.header("x-authorization", self.token("admin"));
        }
        for (name, value) in headers {
            request = request.header(*name, self.token(value));
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let answer = self.web.request(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    /// As [`send`](Self::send), and follows a redirect as programs do: with the same method, headers and body.
    pub async fn follow(
        &self,
        method: &str,
        place: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let body = body.into();
        let first = self.send(method, place, headers, body.clone()).await;
        if !first.status.is_redirection() {
            return first;
        }
        let location = first.location().to_owned();
        self.send(method, &location, headers, body).await
    }

    /// Sends a file and makes sure that it arrived.
    pub async fn put(&self, artifact: &str, path: &str, body: impl Into<Bytes>) {
        let put = self
            .follow("PUT", &format!("{artifact}/files/{path}"), &[], body)
            .await;
        assert_eq!(put.status, 200, "{path}: {}", put.text());
    }

    /// The whole list of files, as JSON.
    pub async fn files(&self, artifact: &str) -> Vec<Value> {
        let listed = self
            .send("GET", &format!("{artifact}/files"), &[], "")
            .await;
        assert_eq!(listed.status, 200, "{}", listed.text());
        listed.json()["files"].as_array().unwrap().clone()
    }

    /// All keys that begin so, in order.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let listed = self.objects.list(prefix, None, 10_000).await.unwrap();
        listed.into_iter().map(|object| object.key).collect()
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn location(&self) -> &str {
        self.header(header::LOCATION.as_str())
    }

    /// Where the redirect leads, without the signature.
    pub fn place(&self) -> String {
        let uri: Uri = self.location().parse().unwrap();
        uri.path().to_owned()
    }
}

/// Bytes that are not all the same, and other ones for each seed.
pub fn pattern(length: usize, seed: u8) -> Vec<u8> {
    // Of a prime length, so that no two stretches of a file are the same by accident.
    let block: Vec<u8> = (0..65_521_usize)
        .map(|index| u8::try_from((index * 31 + index / 251) % 256).unwrap() ^ seed)
        .collect();
    let mut bytes = Vec::with_capacity(length + block.len());
    while bytes.len() < length {
        bytes.extend_from_slice(&block);
    }
    bytes.truncate(length);
    bytes
}
