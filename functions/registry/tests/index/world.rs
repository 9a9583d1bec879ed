//! A bucket and a database, and instances of the registry that share them.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_credential_types::Credentials;
use embedded_s3::EmbeddedS3;
use registry::artifact::{Id, Kind};
use registry::index::rebuild::{Counts, Order, Progress, Rebuilt};
use registry::registry::{Change, Error, Registry, Span, Wanted};
use registry::store::{BucketObjects, Objects};
use serde_json::{Value, json};
use shared::s3::{S3, Settings};
use tempfile::TempDir;
use testkit::Postgres;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::{self, BUCKET, tester};

pub(crate) struct World {
    pub(crate) store: EmbeddedS3,
    pub(crate) postgres: Postgres,
    pub(crate) sql: tokio_postgres::Client,
    /// The store over TCP: what it is asked, it does, whether anybody waits for it or not.
    remote: S3,
    _folder: TempDir,
}

/// Ids with name and kind.
pub(crate) type Listed = BTreeMap<Id, (String, Kind)>;

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Postgres::start().await).await
    }

    pub(crate) async fn with(postgres: Postgres) -> Self {
        let (store, folder) = support::embedded().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let remote = S3::new(Settings {
            region: None,
            endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
            credentials: Some(Credentials::new("test", "secret", None, None, "test")),
        });
        let server = store.clone();
        tokio::spawn(async move { server.serve(listener, std::future::pending()).await });
        Self {
            store,
            remote,
            sql: postgres.connect().await,
            postgres,
            _folder: folder,
        }
    }

    pub(crate) fn objects(&self) -> Objects {
        Objects::S3(BucketObjects::new(
            S3::with_client(self.store.client()).bucket(BUCKET),
        ))
    }

    /// An instance of the registry.
    pub(crate) fn instance(&self) -> Registry {
        self.instance_at(self.postgres.url())
    }

    /// An instance that asks the store over TCP.
    pub(crate) fn remote_instance(&self) -> Registry {
        let objects = Objects::S3(BucketObjects::new(self.remote.bucket(BUCKET)));
        let index = std::sync::Arc::new(support::index(self.postgres.url(), BUCKET));
        support::registry(&objects).with_index(Some(index))
    }

    /// An instance that reaches the database by this URL.
    pub(crate) fn instance_at(&self, url: &str) -> Registry {
        let index = std::sync::Arc::new(support::index(url, BUCKET));
        support::registry(&self.objects()).with_index(Some(index))
    }

    /// A registry that asks nobody but the bucket.
    pub(crate) fn without_index(&self) -> Registry {
        support::registry(&self.objects())
    }

    /// What is in the bucket.
    pub(crate) async fn truth(&self) -> Listed {
        all(&self.without_index()).await.unwrap()
    }

    /// Lets two seconds pass for all announcements.
    pub(crate) async fn make_due(&self) {
        let due = "update registry_unsettled set due_at = current_timestamp";
        self.sql.batch_execute(due).await.unwrap();
    }

    /// Lets a quarter of an hour pass for all announcements.
    pub(crate) async fn make_final(&self) {
        let due = "update registry_unsettled set due_at = current_timestamp,
            final_at = current_timestamp - interval '1 second'";
        self.sql.batch_execute(due).await.unwrap();
    }

    pub(crate) async fn unsettled(&self) -> i64 {
        self.count("select count(*) from registry_unsettled").await
    }

    /// The one number that a statement gives.
    pub(crate) async fn count(&self, statement: &str) -> i64 {
        self.sql.query_one(statement, &[]).await.unwrap().get(0)
    }

    /// Puts a record as other writers do.
    pub(crate) async fn put(&self, id: &str, record: &Value) {
        let client = self.store.client();
        let put = client.put_object().bucket(BUCKET).key(key(id));
        let body = record.to_string().into_bytes();
        put.body(body.into()).send().await.unwrap();
    }

    /// Deletes a record as other writers do.
    pub(crate) async fn remove(&self, id: &str) {
        let client = self.store.client();
        let delete = client.delete_object().bucket(BUCKET).key(key(id));
        delete.send().await.unwrap();
    }
}

pub(crate) fn key(id: &str) -> String {
    format!("artifacts/{id}/metadata.json")
}

/// A record as other writers have it.
pub(crate) fn foreign(kind: &str, name: &str, url: &str, readme: &str) -> Value {
    json!({
        "metadata": { "name": name, "type": kind },
        "data": { "url": url, "hf_data": [{ "readme_text": readme }] },
    })
}

/// All that a registry finds, by pages.
pub(crate) async fn all(registry: &Registry) -> Result<Listed, Error> {
    let wanted = Wanted::default().name("*", &[]);
    let mut span = Span {
        after: None,
        limit: Some(100),
    };
    let mut found = Listed::new();
    loop {
        let page = registry.query(&wanted, &span).await?;
        for entry in page.artifacts {
            let name_and_kind = (entry.name.clone(), entry.kind);
            assert_eq!(found.insert(entry.id.clone(), name_and_kind), None);
        }
        if page.next.is_none() {
            return Ok(found);
        }
        span.after = page.next;
    }
}

pub(crate) fn change(name: &str, url: &str) -> Change {
    Change {
        name: name.to_owned(),
        source: url.parse().unwrap(),
        user: tester(),
        etag: None,
    }
}

/// Compares to the end, and gives what was found.
pub(crate) async fn rebuild(registry: &Registry, order: &Order) -> Counts {
    let rebuilt = rebuild_within(registry, order, Duration::from_mins(1)).await;
    assert_eq!(rebuilt.state, Progress::Finished);
    rebuilt.counts
}

pub(crate) async fn rebuild_within(registry: &Registry, order: &Order, time: Duration) -> Rebuilt {
    let rebuilt = registry.rebuild_index(order, Instant::now() + time).await;
    rebuilt.unwrap()
}

/// What a comparison would find to do.
pub(crate) async fn differences(registry: &Registry) -> (i64, i64, i64) {
    let order = Order {
        dry_run: true,
        ..Order::default()
    };
    let counts = rebuild(registry, &order).await;
    (counts.missing, counts.different, counts.surplus)
}
