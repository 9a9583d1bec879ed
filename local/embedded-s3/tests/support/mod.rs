//! What every test of the store needs: a store in a temporary folder, and short ways to use it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::allow_attributes,
    reason = "each test binary uses a part of this module"
)]

pub mod accounts;

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use embedded_s3::{Credentials, Durability, EmbeddedS3, Message, Options, Queue};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub const BUCKET: &str = "documents";

/// A store in a folder of its own, with one bucket.
pub struct Fixture {
    pub store: EmbeddedS3,
    pub client: Client,
    pub folder: TempDir,
}

pub fn options(folder: &TempDir) -> Options {
    let credentials = Credentials {
        access_key_id: "AKIAHOLDFAST".to_owned(),
        secret_access_key: "secret".to_owned(),
    };
    let mut options = Options::new(folder.path(), credentials);
    options.durability = Durability::Relaxed;
    options.accounts = vec![accounts::customer()];
    options
}

/// Opens a store with one bucket without versions.
pub async fn start() -> Fixture {
    start_with(|_| {}).await
}

/// As [`start`], with other options.
pub async fn start_with(change: impl FnOnce(&mut Options)) -> Fixture {
    let folder = TempDir::new().expect("a temporary folder");
    let mut options = options(&folder);
    change(&mut options);
    let store = EmbeddedS3::open(options).await.expect("the store opens");
    store
        .create_bucket(BUCKET, false)
        .await
        .expect("the bucket is made");
    let client = store.client();
    Fixture {
        store,
        client,
        folder,
    }
}

/// As [`start`], with versions.
pub async fn start_versioned() -> Fixture {
    let fixture = start().await;
    fixture
        .store
        .create_bucket(BUCKET, true)
        .await
        .expect("versioning is switched on");
    fixture
}

impl Fixture {
    pub async fn put(&self, key: &str, body: impl Into<Vec<u8>>) -> PutObjectOutput {
        let body = ByteStream::from(body.into());
        self.client
            .put_object()
            .bucket(BUCKET)
            .key(key)
            .body(body)
            .send()
            .await
            .expect("the object is put")
    }

    pub async fn get(&self, key: &str) -> Vec<u8> {
        let output = self
            .client
            .get_object()
            .bucket(BUCKET)
            .key(key)
            .send()
            .await
            .expect("the object is there");
        output
            .body
            .collect()
            .await
            .expect("the body arrives")
            .to_vec()
    }

    pub async fn delete(&self, key: &str) {
        self.client
            .delete_object()
            .bucket(BUCKET)
            .key(key)
            .send()
            .await
            .expect("the object is deleted");
    }

    pub async fn keys(&self) -> Vec<String> {
        let output = self
            .client
            .list_objects_v2()
            .bucket(BUCKET)
            .send()
            .await
            .expect("the list arrives");
        output
            .contents()
            .iter()
            .filter_map(|object| object.key().map(str::to_owned))
            .collect()
    }

    pub async fn suspend_versioning(&self) {
        let configuration = VersioningConfiguration::builder()
            .status(BucketVersioningStatus::Suspended)
            .build();
        self.client
            .put_bucket_versioning()
            .bucket(BUCKET)
            .versioning_configuration(configuration)
            .send()
            .await
            .expect("versioning is suspended");
    }

    /// Serves the store on a free port, and returns its address and what stops it when dropped.
    pub async fn serve(&self) -> (String, oneshot::Sender<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let store = self.store.clone();
        tokio::spawn(async move { store.serve(listener, async { drop(stopped.await) }).await });
        (format!("http://{address}"), stop)
    }
}

/// The error code and the status of a refused request.
pub fn refusal<T, E>(result: Result<T, SdkError<E, HttpResponse>>) -> (String, u16)
where
    E: ProvideErrorMetadata + std::fmt::Debug,
    T: std::fmt::Debug,
{
    let error = result.expect_err("the request is refused");
    let status = error
        .raw_response()
        .map_or(0, |response| response.status().as_u16());
    (error.code().unwrap_or_default().to_owned(), status)
}

/// Takes every event that is in the queue now, and returns their records.
pub async fn records(queue: &Queue) -> Vec<Value> {
    drain(queue)
        .await
        .iter()
        .filter_map(|message| {
            let body: Value = serde_json::from_str(&message.body).expect("events are JSON");
            Some(body.get("Records")?.get(0)?.clone())
        })
        .collect()
}

/// Takes every message that is in the queue now.
pub async fn drain(queue: &Queue) -> Vec<Message> {
    let messages = queue
        .receive(1000, Duration::from_mins(1), Duration::ZERO)
        .await
        .expect("the queue can be read");
    let receipts: Vec<_> = messages
        .iter()
        .map(|message| message.receipt_handle.clone())
        .collect();
    queue
        .delete(&receipts)
        .await
        .expect("the queue can be written");
    messages
}

/// Bytes that are not all the same.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| u8::try_from((index * 31 + index / 251) % 256).unwrap_or(0))
        .collect()
}
