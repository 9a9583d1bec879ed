//! A large bucket, and a store that counts what is asked of it.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use embedded_s3::{Credentials, Durability, EmbeddedS3, Options};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::{Service, service_fn};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::Failure;
use crate::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

/// Requests that are under way at once while the bucket is filled. More gain nothing: one thread writes.
const WRITERS: usize = 64;
/// Objects in one request to delete.
const DELETED_AT_ONCE: usize = 1_000;

/// The embedded S3 in this process, on a free port of 127.0.0.1. It ends with the value.
///
/// Not as durable as usual: how long filling it takes is none of the figures, and reading does not force anything.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) address: SocketAddr,
    calls: Arc<Counters>,
    client: Client,
    listener: JoinHandle<()>,
}

/// How often S3 was asked over TCP, by operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    /// `ListObjectsV2`
    pub(crate) lists: usize,
    /// `HeadObject`
    pub(crate) heads: usize,
    /// Anything else: `GetBucketVersioning`.
    pub(crate) others: usize,
}

#[derive(Debug, Default)]
struct Counters {
    lists: AtomicUsize,
    heads: AtomicUsize,
    others: AtomicUsize,
}

impl Store {
    /// Starts with its objects in `folder`.
    pub(crate) async fn start(folder: &Path) -> Result<Self, Failure> {
        let credentials = Credentials {
            access_key_id: ACCESS_KEY_ID.to_owned(),
            secret_access_key: SECRET_ACCESS_KEY.to_owned(),
        };
        let mut options = Options::new(folder, credentials);
        options.durability = Durability::Relaxed;
        let store = EmbeddedS3::open(options).await?;
        let calls = Arc::new(Counters::default());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok(Self {
            address: listener.local_addr()?,
            client: store.client(),
            calls: Arc::clone(&calls),
            listener: tokio::spawn(serve(listener, store, calls)),
        })
    }

    /// What was asked over TCP since this was last asked.
    pub(crate) fn take_calls(&self) -> Calls {
        let take = |counter: &AtomicUsize| counter.swap(0, Ordering::Relaxed);
        Calls {
            lists: take(&self.calls.lists),
            heads: take(&self.calls.heads),
            others: take(&self.calls.others),
        }
    }

    /// Makes a bucket.
    pub(crate) async fn create(&self, bucket: &str) -> Result<(), Failure> {
        self.client.create_bucket().bucket(bucket).send().await?;
        Ok(())
    }

    /// Puts an object under each key, through the SDK but not through the network.
    pub(crate) async fn put<K>(
        &self,
        bucket: &'static str,
        keys: K,
        body: &'static str,
    ) -> Result<(), Failure>
    where
        K: Iterator<Item = String> + Clone + Send + 'static,
    {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let client = self.client.clone();
                let keys = keys.clone().skip(writer).step_by(WRITERS);
                tokio::spawn(async move {
                    for key in keys {
                        let object = client.put_object().bucket(bucket).key(key);
                        let body = body.as_bytes().to_vec();
                        object.body(body.into()).send().await?;
                    }
                    Ok::<(), Failure>(())
                })
            })
            .collect();
        for writer in writers {
            writer.await??;
        }
        Ok(())
    }

    /// Deletes the objects of these keys.
    pub(crate) async fn delete(
        &self,
        bucket: &str,
        keys: impl Iterator<Item = String>,
    ) -> Result<(), Failure> {
        let objects = keys
            .map(|key| ObjectIdentifier::builder().key(key).build())
            .collect::<Result<Vec<_>, _>>()?;
        for objects in objects.chunks(DELETED_AT_ONCE) {
            let delete = Delete::builder().set_objects(Some(objects.to_vec()));
            let request = self.client.delete_objects().bucket(bucket);
            let deleted = request.delete(delete.build()?).send().await?;
            if !deleted.errors().is_empty() {
                return Err(format!("objects were not deleted: {:?}", deleted.errors()).into());
            }
        }
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            lists,
            heads,
            others,
        } = self;
        write!(formatter, "{lists:>6} {heads:>6} {others:>6}")
    }
}

impl Counters {
    fn count(&self, request: &Request<Incoming>) {
        let query = request.uri().query().unwrap_or_default();
        let is_list = query.split('&').any(|parameter| parameter == "list-type=2");
        let counter = if request.method() == Method::HEAD {
            &self.heads
        } else if is_list {
            &self.lists
        } else {
            &self.others
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

async fn serve(listener: TcpListener, store: EmbeddedS3, calls: Arc<Counters>) {
    let service = store.http();
    while let Ok((stream, _)) = listener.accept().await {
        let (service, calls) = (service.clone(), Arc::clone(&calls));
        let counted = service_fn(move |request| {
            calls.count(&request);
            Service::call(&service, request)
        });
        tokio::spawn(async move {
            // A small answer would otherwise wait for the client's delayed acknowledgement.
            stream.set_nodelay(true).ok();
            // Whoever is cut off reports it.
            Builder::new()
                .serve_connection(TokioIo::new(stream), counted)
                .await
                .ok();
        });
    }
}
