//! The store as its users hold it.

use std::future::Future;
use std::sync::Arc;

use aws_sdk_s3::config::{
    BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use embedded_iam::{AccountId, Iam};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;

use crate::access::Access;
use crate::bucket::{Bucket, Versioning};
use crate::clock::now_milliseconds;
use crate::error::{Failure, StorageError};
use crate::facts::Facts;
use crate::faults::Faults;
use crate::folder::{Folder, OpenError};
use crate::front::Front;
use crate::in_memory::InMemory;
use crate::notification::Delivery;
use crate::operations::Store;
use crate::options::Options;
use crate::queue::Queue;
use crate::routes::Routes;
use crate::server;
use crate::wake::Bells;

/// A form upload is held in memory by `s3s` before it is handed on, hence less than S3's 5 GiB.
const LARGEST_FORM_UPLOAD: u64 = 64 * 1024 * 1024;

/// Why the store refused a call that did not come over HTTP.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// S3 would answer so.
    #[error("{code}: {message}")]
    Answer {
        /// The error code of the API, for example `NoSuchBucket`.
        code: String,
        /// Its message.
        message: String,
    },
    /// The storage failed; the call may be repeated.
    #[error("the store could not be read or written")]
    Storage(#[from] StorageError),
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Storage(error) => Self::Storage(error),
            Failure::Answer(error) => Self::Answer {
                code: error.code().as_str().to_owned(),
                message: error.message().unwrap_or_default().to_owned(),
            },
        }
    }
}

/// An S3 of our own: buckets, queues, sessions in one folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EmbeddedS3 {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    store: Store,
    bells: Bells,
    faults: Faults,
    front: Front,
    /// Held for as long as the store is open.
    lock: std::fs::File,
}

impl EmbeddedS3 {
    /// Opens the store in `options.folder`, and makes it where there is none.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says in one line what to do.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let folder = {
            let options = options.clone();
            let place = options.folder.clone();
            tokio::task::spawn_blocking(move || Folder::open(&options))
                .await
                .map_err(|error| OpenError::Io {
                    folder: place,
                    source: std::io::Error::other(error),
                })??
        };
        let Folder {
            database,
            blobs,
            bells,
            iam,
            lock,
        } = folder;
        let faults = Faults::default();
        let delivery = Delivery {
            event_bridge_queue: options.event_bridge_queue.clone(),
            faults: faults.clone(),
        };
        let facts = Facts::new(database.clone());
        let access = Access {
            iam: iam.clone(),
            facts: facts.clone(),
            faults: faults.clone(),
        };
        let store = Store {
            database,
            facts,
            blobs,
            delivery,
            region: options.region.clone(),
            inline: options.inline_bytes,
        };
        let configuration = Arc::new(StaticConfigProvider::new(Arc::new(protocol())));
        let open = S3ServiceBuilder::new(store.clone()).build();
        let mut builder = S3ServiceBuilder::new(store.clone());
        builder.set_config(configuration);
        builder.set_auth(access.clone());
        builder.set_access(access.clone());
        builder.set_route(Routes::new(access, open));
        let front = Front {
            s3: builder.build(),
            iam,
            faults: faults.clone(),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                options,
                store,
                bells,
                faults,
                front,
                lock,
            }),
        })
    }

    /// S3 alone as an HTTP service, for a server of one's own.
    pub fn http(&self) -> S3Service {
        self.inner.front.s3.clone()
    }

    /// IAM and STS: roles and sessions.
    pub fn iam(&self) -> &Iam {
        &self.inner.front.iam
    }

    /// Serves S3, IAM and STS on `listener` until `shutdown`, then lets open requests finish for a
    /// few seconds.
    ///
    /// # Errors
    ///
    /// Those of accepting connections, where they do not pass.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> std::io::Result<()> {
        server::serve(self.inner.front.clone(), listener, shutdown).await
    }

    /// The AWS SDK for S3, signed as the owner, over the in-memory transport.
    pub fn client(&self) -> aws_sdk_s3::Client {
        let options = &self.inner.options;
        let keys = aws_sdk_s3::config::Credentials::new(
            &options.credentials.access_key_id,
            &options.credentials.secret_access_key,
            None,
            None,
            "embedded-s3",
        );
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(options.region.clone()))
            .endpoint_url("http://127.0.0.1")
            .force_path_style(true)
            .credentials_provider(keys)
            .request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
            .response_checksum_validation(ResponseChecksumValidation::WhenSupported)
            .http_client(self.http_client())
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// The in-memory transport, for SDK clients of one's own (IAM, STS, other credentials). Give them
    /// any endpoint URL.
    pub fn http_client(&self) -> impl aws_smithy_runtime_api::client::http::HttpClient + 'static {
        InMemory(self.inner.front.clone())
    }

    /// Makes a bucket where it does not exist, and switches versioning on where asked. Does nothing
    /// where all of it is so already.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the name is not a bucket name or the storage fails.
    pub async fn create_bucket(&self, name: &str, versioned: bool) -> Result<(), StoreError> {
        if !s3s::path::check_bucket_name(name) {
            return Err(StoreError::Answer {
                code: "InvalidBucketName".to_owned(),
                message: format!("{name:?} is not a bucket name"),
            });
        }
        let (name, region) = (name.to_owned(), self.inner.options.region.clone());
        let facts = self.inner.store.facts.clone();
        Ok(self
            .inner
            .store
            .database
            .write(move |write| {
                if Bucket::look_up(write.connection, &name)?.is_none() {
                    let now = now_milliseconds();
                    Bucket::insert(write.connection, &name, &region, now, &AccountId::OWN)?;
                    facts.forget(write, &name);
                }
                let bucket = Bucket::find(write.connection, &name)?;
                if versioned && bucket.versioning != Versioning::Enabled {
                    bucket.set_versioning(write.connection, Versioning::Enabled)?;
                }
                Ok(())
            })
            .await?)
    }

    /// Sends events of a bucket to a queue. The queue first gets an `s3:TestEvent`, as from S3; a
    /// repeated call with the same events does nothing.
    ///
    /// `events` are names of the API, for example `s3:ObjectCreated:*`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the bucket is missing, a name is wrong, another rule overlaps or the
    /// storage fails.
    pub async fn notify_queue(
        &self,
        bucket: &str,
        queue: &str,
        events: &[&str],
    ) -> Result<(), StoreError> {
        Ok(self.inner.store.notify_queue(bucket, queue, events).await?)
    }

    /// The queue of this name; it is made when it is first used.
    pub fn queue(&self, name: &str) -> Queue {
        Queue::new(
            name,
            self.inner.store.database.clone(),
            self.inner.bells.clone(),
        )
    }

    /// The switchboard of faults.
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// Plays a lifecycle rule that expires the current version of an object: a delete marker where
    /// versions are kept, a delete where they are not. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the bucket is missing or the storage fails.
    pub async fn expire(&self, bucket: &str, key: &str) -> Result<bool, StoreError> {
        Ok(self.inner.store.expire(bucket, key).await?)
    }

    /// Plays a lifecycle rule that removes one version, or an expired delete marker, for good.
    /// Returns whether it was there.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the bucket is missing, the id is not a version id or the storage fails.
    pub async fn expire_noncurrent(
        &self,
        bucket: &str,
        key: &str,
        version_id: &str,
    ) -> Result<bool, StoreError> {
        Ok(self
            .inner
            .store
            .expire_version(bucket, key, version_id)
            .await?)
    }

    /// Commits what is queued, closes the database and unlocks the folder. Later calls, of clones
    /// too, fail with [`StorageError::Closed`].
    pub async fn close(self) {
        let inner = Arc::clone(&self.inner);
        let closing = tokio::task::spawn_blocking(move || {
            inner.store.database.close();
            if let Err(error) = inner.lock.unlock() {
                tracing::warn!(%error, "the folder could not be unlocked");
            }
        });
        if let Err(error) = closing.await {
            tracing::error!(%error, "the store could not be closed");
        }
    }
}

fn protocol() -> S3Config {
    let mut config = S3Config::default();
    config.post_object_max_file_size = LARGEST_FORM_UPLOAD;
    config
}
