//! Events as AWS writes them, and a function with its database.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "every test file uses another part; a test that cannot start must stop"
)]

use std::fmt::Write as _;
use std::time::Duration;

use document_sync::{Answer, Config, DocumentSync, Failure, Payload};
use embedded_s3::{Credentials, Durability, EmbeddedS3, Options};
use serde_json::{Value, json};
use shared::database::Url;
use shared::s3::{S3, Settings};
use testkit::Postgres;
use tokio::time::Instant;

/// The bucket of every record that does not name another.
pub(crate) const BUCKET: &str = "documents";

/// The record of a classic notification. `key` is already encoded.
pub(crate) fn record(name: &str, key: &str, sequencer: &str, content: &Value) -> Value {
    let mut object = json!({ "key": key, "sequencer": sequencer });
    for (field, value) in content.as_object().into_iter().flatten() {
        object[field] = value.clone();
    }
    json!({
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-02T09:15:01.157Z",
        "eventName": name,
        "s3": { "s3SchemaVersion": "1.0", "configurationId": "test", "bucket": { "name": BUCKET }, "object": object },
    })
}

/// An object was put with this content.
pub(crate) fn put(key: &str, sequencer: &str, etag: &str) -> Value {
    record(
        "ObjectCreated:Put",
        key,
        sequencer,
        &json!({ "eTag": etag, "size": etag.len() }),
    )
}

/// An object was deleted in a bucket without versions.
pub(crate) fn delete(key: &str, sequencer: &str) -> Value {
    record("ObjectRemoved:Delete", key, sequencer, &json!({}))
}

/// An S3 notification with these records.
pub(crate) fn notification(records: &[Value]) -> Value {
    json!({ "Records": records })
}

/// What Lambda delivers from a queue: a message for each body, with ids `m0`, `m1`, …
pub(crate) fn queue(bodies: &[Value]) -> Value {
    queue_of_texts(&bodies.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// As [`queue`], for bodies that need not be JSON.
pub(crate) fn queue_of_texts(bodies: &[String]) -> Value {
    let records: Vec<Value> = bodies
        .iter()
        .enumerate()
        .map(|(index, body)| {
            json!({ "messageId": format!("m{index}"), "eventSource": "aws:sqs", "body": body })
        })
        .collect();
    json!({ "Records": records })
}

/// A queue's delivery of one notification per record, as S3 sends them.
pub(crate) fn queue_of_records(records: &[Value]) -> Value {
    queue(
        &records
            .iter()
            .map(|record| notification(std::slice::from_ref(record)))
            .collect::<Vec<_>>(),
    )
}

/// A store in this process, with the bucket of every record, which tells nobody of its changes.
pub(crate) struct Store {
    pub(crate) embedded: EmbeddedS3,
    pub(crate) client: aws_sdk_s3::Client,
    _folder: tempfile::TempDir,
}

impl Store {
    pub(crate) async fn start(versioned: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let credentials = Credentials {
            access_key_id: "test".into(),
            secret_access_key: "secret".into(),
        };
        let options = Options {
            durability: Durability::Relaxed,
            ..Options::new(folder.path(), credentials)
        };
        let embedded = EmbeddedS3::open(options).await.expect("it starts");
        let created = embedded.create_bucket(BUCKET, versioned).await;
        created.expect("the name is free");
        Self {
            client: embedded.client(),
            embedded,
            _folder: folder,
        }
    }

    /// What the function reaches it by.
    pub(crate) fn s3(&self) -> S3 {
        S3::with_client(self.client.clone())
    }

    /// Puts an object, and gives its version if there are any.
    pub(crate) async fn put(&self, key: &str, body: &str) -> Option<String> {
        let put = self.client.put_object().bucket(BUCKET).key(key);
        let put = put.body(body.as_bytes().to_vec().into()).send().await;
        put.expect("it is taken").version_id
    }
}

/// The function in this process, with a database of its own.
pub(crate) struct Sync {
    pub(crate) postgres: Postgres,
    pub(crate) sql: tokio_postgres::Client,
    pub(crate) function: DocumentSync,
}

impl Sync {
    /// A function whose S3 cannot be reached: whatever it applies, it applied without asking.
    pub(crate) async fn start() -> Self {
        let nowhere = Settings {
            endpoint: Some("http://127.0.0.1:1".into()),
            ..Settings::default()
        };
        Self::with_s3(S3::new(nowhere)).await
    }

    pub(crate) async fn with_s3(s3: S3) -> Self {
        Self::at(Postgres::start().await, s3).await
    }

    /// As [`start`](Self::start), with a server that can be stopped.
    pub(crate) async fn start_own() -> Self {
        let nowhere = S3::new(Settings::default());
        Self::at(Postgres::start_own().await, nowhere).await
    }

    async fn at(postgres: Postgres, s3: S3) -> Self {
        let sql = postgres.connect().await;
        let function = function(postgres.url(), s3);
        function
            .documents
            .prepare()
            .await
            .expect("the tables are created");
        Self {
            postgres,
            sql,
            function,
        }
    }

    /// Delivers a payload with plenty of time.
    pub(crate) async fn deliver(&self, payload: &Value) -> Result<Answer, Failure> {
        deliver(&self.function, payload).await
    }

    /// Delivers to a queue's function and returns the ids of the messages that failed.
    pub(crate) async fn failures(&self, payload: &Value) -> Vec<String> {
        failed_ids(
            self.deliver(payload)
                .await
                .expect("a queue's messages fail one by one"),
        )
    }

    /// The documents table, a line each.
    pub(crate) async fn rows(&self) -> String {
        rows(&self.sql).await
    }
}

/// The function with this database and S3, and no other settings.
pub(crate) fn function(url: &str, s3: S3) -> DocumentSync {
    let mut function = DocumentSync::new(config(url));
    function.s3 = s3;
    function
}

pub(crate) fn config(url: &str) -> Config {
    let url: Url = url.parse().expect("the test database has a URL");
    Config::new(url.into(), Settings::default())
}

pub(crate) async fn deliver(function: &DocumentSync, payload: &Value) -> Result<Answer, Failure> {
    function
        .handle(
            &self::payload(payload),
            "request",
            Instant::now() + Duration::from_mins(1),
        )
        .await
}

/// What Lambda's runtime makes of an event.
pub(crate) fn payload(event: &Value) -> Payload {
    serde_json::from_str(&event.to_string()).expect("any object is a payload")
}

pub(crate) fn failed_ids(answer: Answer) -> Vec<String> {
    let answer = serde_json::to_value(answer).expect("an answer is JSON");
    let failures = answer["batchItemFailures"]
        .as_array()
        .expect("an answer to a queue")
        .clone();
    failures
        .iter()
        .map(|failure| {
            failure["itemIdentifier"]
                .as_str()
                .expect("an id")
                .to_owned()
        })
        .collect()
}

/// The documents table, a line each: URI, title, size, etag, version.
pub(crate) async fn rows(sql: &tokio_postgres::Client) -> String {
    let query =
        "select uri, title, size, etag, version_id from document order by uri collate \"C\"";
    let mut text = String::new();
    for row in sql.query(query, &[]).await.expect("the table can be read") {
        let (uri, title): (String, String) = (row.get(0), row.get(1));
        let (size, etag, version): (Option<i64>, Option<String>, Option<String>) =
            (row.get(2), row.get(3), row.get(4));
        let size = size.map_or("-".to_owned(), |size| size.to_string());
        let (etag, version) = (etag.unwrap_or("-".into()), version.unwrap_or("-".into()));
        writeln!(text, "{uri} | {title} | {size} | {etag} | {version}")
            .expect("a string takes text");
    }
    text
}
