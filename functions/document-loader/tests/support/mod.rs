//! A function with its database, S3 and STS.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "every test file uses another part; a test that cannot start must stop"
)]

pub(crate) mod amazon;
pub(crate) mod deployed;
pub(crate) mod document;

use std::fmt::Write as _;
use std::time::Duration;

use document_loader::{Amazon, Answer, Config, DocumentLoader, Failure, Payload};
use serde_json::{Value, json};
use shared::database::Url;
use testkit::Postgres;
use tokio::time::Instant;

pub(crate) use amazon::{BUCKET, Store};

/// What document-sync makes.
pub(crate) const DOCUMENT: &str = include_str!("../../../document-sync/migrations/document.sql");

/// The role that customers trust.
pub(crate) const OWN_ROLE: &str = "arn:aws:iam::000000000000:root";

/// The function in this process, with a database and a store of its own.
pub(crate) struct Loader {
    pub(crate) store: Store,
    pub(crate) sql: tokio_postgres::Client,
    pub(crate) function: DocumentLoader,
    pub(crate) postgres: Postgres,
}

impl Loader {
    pub(crate) async fn start() -> Self {
        Self::at(Postgres::start().await, Store::start().await).await
    }

    pub(crate) async fn at(postgres: Postgres, store: Store) -> Self {
        let sql = postgres.connect().await;
        sql.batch_execute(DOCUMENT).await.unwrap();
        let function = function(postgres.url(), store.amazon());
        function.queue.prepare().await.expect("the tables are made");
        Self {
            store,
            sql,
            function,
            postgres,
        }
    }

    /// Puts an object, and its row into the documents table, as document-sync would.
    pub(crate) async fn put(&self, key: &str, body: impl Into<Vec<u8>>) -> String {
        let uri = format!("s3://{BUCKET}/{key}");
        let (etag, version_id, size) = self.store.put(key, body.into()).await;
        self.enter(&uri, Some(&etag), version_id.as_deref(), Some(size))
            .await;
        uri
    }

    /// Writes a row of the documents table.
    pub(crate) async fn enter(
        &self,
        uri: &str,
        etag: Option<&str>,
        version_id: Option<&str>,
        size: Option<i64>,
    ) {
        self.sql
            .execute(
                "insert into document (uri, title, size, etag, version_id) values ($1, 'title', $2, $3, $4)
                on conflict (uri) do update set size = excluded.size, etag = excluded.etag, version_id = excluded.version_id",
                &[&uri, &size, &etag, &version_id],
            )
            .await
            .unwrap();
    }

    /// Removes the row of a document, as document-sync would.
    pub(crate) async fn remove(&self, uri: &str) {
        let removed = self
            .sql
            .execute("delete from document where uri = $1", &[&uri])
            .await;
        removed.unwrap();
    }

    /// Loads all that is due, with plenty of time, and gives the report.
    pub(crate) async fn load(&self) -> Value {
        load(&self.function).await
    }

    /// Loads one document.
    pub(crate) async fn load_one(&self, uri: &str) -> Value {
        invoke(&self.function, &json!({ "load": { "uri": uri } }))
            .await
            .unwrap()
    }

    pub(crate) async fn verify(&self, source: &str) -> Value {
        invoke(&self.function, &json!({ "verify": { "source": source } }))
            .await
            .unwrap()
    }

    /// What the status view says, a line each: URI, state, reason, attempts.
    pub(crate) async fn states(&self) -> String {
        states(&self.sql).await
    }

    /// The state of one document.
    pub(crate) async fn state(&self, uri: &str) -> String {
        let query =
            "select state || coalesce(': ' || reason, '') from document_load_status where uri = $1";
        let row = self.sql.query_opt(query, &[&uri]).await.unwrap();
        row.map_or("unknown".to_owned(), |row| row.get(0))
    }

    /// The text of a document: its chunks in order, divided by `|`.
    pub(crate) async fn text(&self, uri: &str) -> String {
        text(&self.sql, uri).await
    }

    /// Makes everything due that is to be tried again or parked.
    pub(crate) async fn pass_time(&self) {
        self.sql
            .batch_execute(
                "update document_load set next_attempt_at = current_timestamp where next_attempt_at is not null;
                update document_source set blocked_until = current_timestamp where blocked_until is not null",
            )
            .await
            .unwrap();
    }

    /// Why a document was not loaded, in words.
    pub(crate) async fn last_error(&self, uri: &str) -> String {
        let query = "select last_error from document_load_status where uri = $1";
        let row = self.sql.query_one(query, &[&uri]).await.unwrap();
        row.get::<_, Option<String>>(0).unwrap_or_default()
    }

    /// A bucket in the customer's account, its source, and the role with the policies to paste; gives the external id.
    pub(crate) async fn tenant(&self, bucket: &str) -> String {
        self.store.customers_bucket(bucket).await;
        let role = role(bucket);
        let row = self
            .sql
            .query_one(
                "select sts_external_id, trust_policy::text, permission_policy::text from add_source($1, $2)",
                &[&format!("s3://{bucket}/"), &role],
            )
            .await
            .unwrap();
        self.store.role(&role, row.get(1), row.get(2));
        row.get(0)
    }

    /// Puts an object into a tenant's bucket, and its row into the documents table.
    pub(crate) async fn put_into(&self, bucket: &str, key: &str, body: &str) -> String {
        let uri = format!("s3://{bucket}/{key}");
        let (etag, version_id, size) = self.store.put_as_customer(bucket, key, body.into()).await;
        self.enter(&uri, Some(&etag), version_id.as_deref(), Some(size))
            .await;
        uri
    }

    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.sql.query_one(query, &[]).await.unwrap().get(0)
    }
}

/// Lines of text that do not repeat.
pub(crate) fn lines(count: u32) -> String {
    let mut text = String::new();
    for number in 0..count {
        writeln!(text, "line {number:07}").expect("a string takes text");
    }
    text
}

/// The role of a tenant with this bucket.
pub(crate) fn role(bucket: &str) -> String {
    format!("arn:aws:iam::111122223333:role/reader-{bucket}")
}

/// The function with this database and AWS, and no other settings than the role that customers trust.
pub(crate) fn function(url: &str, amazon: Amazon) -> DocumentLoader {
    DocumentLoader::with_amazon(config(url), amazon)
}

pub(crate) fn config(url: &str) -> Config {
    let url: Url = url.parse().expect("the test database has a URL");
    Config {
        role_arn: Some(OWN_ROLE.to_owned()),
        program: Some(env!("CARGO_BIN_EXE_document-loader").into()),
        ..Config::new(url.into(), document_loader::amazon::Settings::default())
    }
}

pub(crate) async fn load(function: &DocumentLoader) -> Value {
    invoke(function, &json!({ "load": {} })).await.unwrap()["load"].clone()
}

pub(crate) async fn invoke(function: &DocumentLoader, event: &Value) -> Result<Value, Failure> {
    invoke_within(function, event, Duration::from_mins(2)).await
}

pub(crate) async fn invoke_within(
    function: &DocumentLoader,
    event: &Value,
    time: Duration,
) -> Result<Value, Failure> {
    let payload: Payload = serde_json::from_str(&event.to_string()).expect("any JSON is a payload");
    let answer: Answer = function.handle(&payload, Instant::now() + time).await?;
    Ok(serde_json::to_value(answer).expect("an answer is JSON"))
}

pub(crate) async fn states(sql: &tokio_postgres::Client) -> String {
    let query =
        "select uri, state, reason, attempts from document_load_status order by uri collate \"C\"";
    let mut text = String::new();
    for row in sql.query(query, &[]).await.expect("the view can be read") {
        let (uri, state): (String, String) = (row.get(0), row.get(1));
        let (reason, attempts): (Option<String>, i32) = (row.get(2), row.get(3));
        let reason = reason.unwrap_or("-".into());
        writeln!(text, "{uri} | {state} | {reason} | {attempts}").expect("a string takes text");
    }
    text
}

pub(crate) async fn text(sql: &tokio_postgres::Client, uri: &str) -> String {
    let query = "select text from document_chunk where uri = $1 order by chunk_order";
    let rows = sql.query(query, &[&uri]).await.unwrap();
    let texts: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    texts.join("|")
}
