//! Stores of every kind, and registries in them.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "every test file uses another part; a test that cannot start must stop"
)]

pub mod api;
pub mod browser;
pub mod client;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_s3::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
    FinalizerInterceptorContextRef,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use embedded_s3::{Credentials, Durability, EmbeddedS3, Options};
use registry::access::token::{Key, Keys};
use registry::artifact::{Id, Kind};
use registry::audit::{Actor, Trail};
use registry::index::Index;
use registry::index::rebuild::Order;
use registry::registry::{Draft, Error, Registry};
use registry::store::{BucketObjects, MemoryObjects, Objects, SqliteObjects};
use shared::database::{Database, Url};
use shared::s3::S3;
use tempfile::TempDir;
use testkit::Postgres;

pub const BUCKET: &str = "registry";

/// A store of each kind, and what they live in.
pub struct Stores {
    pub all: Vec<Objects>,
    pub s3: EmbeddedS3,
    pub folder: TempDir,
    pub indexes: Indexes,
}

/// Whether the tests of this file are about registries with an index.
pub fn has_index() -> bool {
    env!("CARGO_CRATE_NAME").contains("index")
}

/// A database with an index for each kind of store; none where registries have no index.
pub struct Indexes(Option<Postgres>);

impl Indexes {
    pub async fn start() -> Self {
        if !has_index() {
            return Self(None);
        }
        let postgres = Postgres::start().await;
        let sql = postgres.connect().await;
        sql.batch_execute(
            "create schema s3; create schema sqlite; create schema memory; create extension pg_trgm",
        )
        .await
        .unwrap();
        Self(Some(postgres))
    }

    /// An instance of the registry in this store. All of one kind of store share their index.
    pub fn registry(&self, objects: &Objects) -> Registry {
        let index = self.0.as_ref().map(|postgres| {
            let schema = objects.kind().as_str();
            Arc::new(index(&in_schema(postgres.url(), schema), schema))
        });
        registry(objects).with_index(index)
    }
}

/// Lets an index, if there is one, know what others have written past the registry.
pub async fn catch_up(registry: &Registry) {
    if has_index() {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_mins(1);
        let order = Order::default();
        registry.rebuild_index(&order, deadline).await.unwrap();
    }
}

/// The index of a store of this name in this database.
pub fn index(url: &str, store: &str) -> Index {
    let url: Url = url.parse().unwrap();
    Index::new(Database::new(url.into()), store)
}

/// The same database, where tables are made in this schema.
pub fn in_schema(url: &str, schema: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}options=-csearch_path%3D{schema}%2Cpublic")
}

pub async fn stores() -> Stores {
    let (s3, folder) = embedded().await;
    let sqlite = SqliteObjects::open(&folder.path().join("registry.db"))
        .await
        .unwrap();
    Stores {
        all: vec![
            objects(&s3),
            Objects::Sqlite(sqlite),
            Objects::Memory(MemoryObjects::default()),
        ],
        s3,
        folder,
        indexes: Indexes::start().await,
    }
}

/// An S3 of this process with a bucket.
pub async fn embedded() -> (EmbeddedS3, TempDir) {
    let folder = TempDir::new().unwrap();
    let credentials = Credentials {
        access_key_id: "test".to_owned(),
        secret_access_key: "secret".to_owned(),
    };
    let options = Options {
        durability: Durability::Relaxed,
        ..Options::new(folder.path(), credentials)
    };
    let store = EmbeddedS3::open(options).await.unwrap();
    store.create_bucket(BUCKET, false).await.unwrap();
    (store, folder)
}

/// The same, as a store of objects.
pub async fn bucket() -> (Objects, TempDir) {
    let (store, folder) = embedded().await;
    (objects(&store), folder)
}

pub fn objects(store: &EmbeddedS3) -> Objects {
    let bucket = S3::with_client(store.client()).bucket(BUCKET);
    Objects::S3(BucketObjects::new(bucket))
}

pub fn in_memory() -> Registry {
    registry(&Objects::Memory(MemoryObjects::default()))
}

pub fn registry(objects: &Objects) -> Registry {
    let keys = Keys::new(Key::new(&[7; 32]).unwrap(), vec![], "registry", "registry");
    Registry::new(objects.clone(), Trail::new(objects.clone(), keys))
}

pub fn tester() -> Actor {
    Actor {
        name: "tester".to_owned(),
        is_admin: false,
    }
}

/// A registry in memory, and where its index is.
pub async fn in_memory_indexed() -> (Registry, Indexes) {
    let indexes = Indexes::start().await;
    let registry = indexes.registry(&Objects::Memory(MemoryObjects::default()));
    (registry, indexes)
}

pub fn draft(kind: Kind, url: &str) -> Draft {
    Draft {
        kind,
        name: None,
        source: url.parse().unwrap(),
        user: tester(),
    }
}

pub fn named(kind: Kind, name: &str, url: &str) -> Draft {
    Draft {
        name: Some(name.parse().unwrap()),
        ..draft(kind, url)
    }
}

pub async fn create(registry: &Registry, draft: Draft) -> Id {
    registry.create(draft).await.unwrap().0.id
}

pub fn is_not_found<T: fmt::Debug>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::NotFound))
}

/// Where a request breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// S3 never hears of it.
    Request,
    /// S3 does what was asked, and its answer is lost.
    Answer,
}

/// Counts what the SDK sends, and breaks what it is told to.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    sent: Mutex<Vec<String>>,
    open: AtomicUsize,
    most_open: AtomicUsize,
    answer_is_lost: AtomicBool,
    broken: Mutex<Option<(Break, &'static str)>>,
}

impl Counter {
    /// A bucket whose requests are counted here.
    pub fn bucket(&self, store: &EmbeddedS3) -> Objects {
        Objects::S3(BucketObjects::new(self.s3(store).bucket(BUCKET)))
    }

    /// An S3 whose requests are counted here.
    pub fn s3(&self, store: &EmbeddedS3) -> S3 {
        let config = store
            .client()
            .config()
            .to_builder()
            .interceptor(self.clone());
        S3::with_client(aws_sdk_s3::Client::from_conf(config.build()))
    }

    /// Breaks the next writing of a key that begins so.
    pub fn break_next(&self, place: Break, prefix: &'static str) {
        *self.0.broken.lock().unwrap() = Some((place, prefix));
    }

    /// Listings and other requests since the last call, and how many there were at a time.
    pub fn take(&self) -> (usize, usize, usize) {
        let sent = std::mem::take(&mut *self.0.sent.lock().unwrap());
        let listings = sent.iter().filter(|uri| uri.contains("list-type")).count();
        let most_open = self.0.most_open.swap(0, Ordering::SeqCst);
        (listings, sent.len() - listings, most_open)
    }
}

impl Intercept for Counter {
    fn name(&self) -> &'static str {
        "Counter"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let uri = context.request().uri().to_owned();
        self.0.sent.lock().unwrap().push(uri);
        let open = self.0.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_open.fetch_max(open, Ordering::SeqCst);
        let request = context.request();
        let mut broken = self.0.broken.lock().unwrap();
        match *broken {
            Some((place, prefix))
                if request.method() == "PUT" && request.uri().contains(prefix) =>
            {
                *broken = None;
                if place == Break::Request {
                    return Err("broken by the test".into());
                }
                self.0.answer_is_lost.store(true, Ordering::SeqCst);
            }
            _ => {}
        }
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        _context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.0.answer_is_lost.swap(false, Ordering::SeqCst) {
            return Err("broken by the test".into());
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        _context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}
