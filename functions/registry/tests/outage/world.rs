//! A bucket, perhaps with an index, and instances of the registry that share them.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use embedded_s3::EmbeddedS3;
use registry::ingest::Ingest;
use registry::storage::{Chain, Storage};
use registry::store::Objects;
use serde_json::{Value, json};
use shared::database::Url;
use shared::s3::S3;
use tempfile::TempDir;
use testkit::{Postgres, Proxy, Upstream};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::support::api::{put_bert, settings};
use crate::support::client::{self, Client, access};
use crate::support::{BUCKET, embedded, in_schema, objects};

/// What all worlds of a test share: the sources, and a database if there is an index.
pub(crate) struct Universe {
    sources: Upstream,
    postgres: Option<Postgres>,
    /// How many worlds there were. They are made one after the other, lest the last wait for the tables of all others.
    worlds: Mutex<usize>,
}

/// A bucket with its index.
pub(crate) struct World<'a> {
    universe: &'a Universe,
    pub(crate) store: EmbeddedS3,
    pub(crate) objects: Objects,
    /// An instance of which nothing is ever in the way.
    pub(crate) observer: Client,
    sql: Option<tokio_postgres::Client>,
    schema: String,
    _folder: TempDir,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Universe {
    pub(crate) async fn start(has_index: bool) -> Self {
        let sources = Upstream::start().await;
        put_bert(&sources);
        let postgres = if has_index {
            let postgres = Postgres::start_own().await;
            let sql = postgres.connect().await;
            sql.batch_execute("create extension pg_trgm").await.unwrap();
            Some(postgres)
        } else {
            None
        };
        Self {
            sources,
            postgres,
            worlds: Mutex::default(),
        }
    }

    pub(crate) async fn world(&self) -> World<'_> {
        let (store, folder) = embedded().await;
        let mut worlds = self.worlds.lock().await;
        *worlds += 1;
        let schema = format!("world{worlds}");
        let sql = match &self.postgres {
            Some(postgres) => {
                let sql = postgres.connect().await;
                let prepare = format!("create schema {schema}; set search_path = {schema}, public");
                sql.batch_execute(&prepare).await.unwrap();
                Some(sql)
            }
            None => None,
        };
        let url = self.postgres.as_ref().map(Postgres::url);
        if let Some(url) = url {
            let index = crate::support::index(&in_schema(url, &schema), BUCKET);
            index.prepare().await.unwrap();
        }
        let s3 = S3::with_client(store.client());
        let observer = Client::of(self.storage(&schema, url, s3)).await;
        settled(&observer.router, &observer.admin).await;
        World {
            universe: self,
            objects: objects(&store),
            store,
            observer,
            sql,
            schema,
            _folder: folder,
        }
    }

    pub(crate) fn has_index(&self) -> bool {
        self.postgres.is_some()
    }

    /// A way to the database that can break.
    pub(crate) async fn proxy(&self) -> Proxy {
        Proxy::start(self.postgres.as_ref().unwrap().address()).await
    }

    /// What an instance in production keeps its artifacts in.
    fn storage(&self, schema: &str, database: Option<&str>, s3: S3) -> Storage {
        let database = database.map(|url| {
            let url: Url = in_schema(url, schema).parse().unwrap();
            url.into()
        });
        let chain = Chain {
            bucket: Some(BUCKET.to_owned()),
            is_production: true,
            index: database,
            ..Chain::default()
        };
        Storage::with_s3(chain, access(), s3).asking(Ingest::new(&settings(&self.sources)))
    }
}

impl World<'_> {
    /// An instance that has not been asked anything, with ways of its own to S3 and to the database.
    pub(crate) fn instance(&self, s3: S3, proxy: Option<&Proxy>) -> Router {
        let url = match (&self.universe.postgres, proxy) {
            (Some(postgres), Some(proxy)) => Some(postgres.url_through(proxy.address())),
            (Some(postgres), None) => Some(postgres.url().to_owned()),
            (None, _) => None,
        };
        let storage = self.universe.storage(&self.schema, url.as_deref(), s3);
        registry::http::router(storage)
    }

    /// What the observer is answered.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.observer.json(method, path, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, &Value::Null).await
    }

    /// The artifacts of this name, by id, as a query finds them.
    pub(crate) async fn found(&self, name: &str) -> BTreeMap<String, Value> {
        let query = json!([{ "name": name }]);
        let (status, found) = self.ask("POST", "/artifacts?limit=all", &query).await;
        assert_eq!(status, 200, "{found}");
        let found = found.as_array().unwrap().iter();
        found
            .map(|entry| (entry["id"].as_str().unwrap().to_owned(), entry.clone()))
            .collect()
    }

    /// Lets two seconds pass for whoever looks after changes that were interrupted.
    pub(crate) async fn let_changes_fall_due(&self) {
        if let Some(sql) = &self.sql {
            let due = "update registry_unsettled set due_at = current_timestamp
                where due_at < current_timestamp + interval '2 seconds'";
            sql.batch_execute(due).await.unwrap();
        }
    }

    /// Lets so much time pass for them that the store cannot be at work on any of those changes any more.
    pub(crate) async fn let_a_minute_pass(&self) {
        if let Some(sql) = &self.sql {
            let due = "update registry_unsettled set due_at = current_timestamp,
                final_at = current_timestamp - interval '1 second'";
            sql.batch_execute(due).await.unwrap();
        }
    }

    /// Lets a minute pass for all claims.
    pub(crate) async fn age_claims(&self) {
        for key in self.keys("claims/").await {
            let mut claim = self.object(&key).await.unwrap();
            claim["claimed_at"] = "2026-01-01T00:00:00Z".into();
            self.objects.delete(&key).await.unwrap();
            let bytes = claim.to_string().into_bytes();
            self.objects.create(&key, bytes).await.unwrap();
        }
    }

    pub(crate) async fn keys(&self, prefix: &str) -> Vec<String> {
        let listed = self.objects.list(prefix, None, 10_000).await.unwrap();
        listed.into_iter().map(|object| object.key).collect()
    }

    /// An object of the bucket, as JSON.
    pub(crate) async fn object(&self, key: &str) -> Option<Value> {
        let (bytes, _) = self.objects.get(key).await.unwrap()?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }
}

/// Waits for an instance to find artifacts: on a slow machine its first connection to the database may take longer than
/// a login waits for it, and then the database is left alone for a while.
pub(crate) async fn settled(router: &Router, token: &str) {
    loop {
        let query = client::request("POST", "/artifacts", Some(token), "[]");
        let answer = answer(router, query).await;
        if answer.status == 200 {
            return;
        }
        assert_eq!(answer.status, 503, "{}", answer.text);
        sleep(Duration::from_millis(100)).await;
    }
}

/// What an instance answers.
pub(crate) async fn answer(router: &Router, request: Request<Body>) -> Answer {
    let answered = client::answer(router, request).await;
    Answer {
        status: answered.status().as_u16(),
        headers: answered.headers().clone(),
        text: String::from_utf8(client::body_of(answered).await).unwrap(),
    }
}
