use std::{fs::DirBuilder, io, net::SocketAddr, os::unix::fs::DirBuilderExt, path::Path};

use embedded_s3::{Account, AccountId, EmbeddedS3, OpenError, Options, Queue};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{Error, keys::Keys};

/// Region of everything on this machine.
pub(crate) const REGION: &str = "us-east-1";
/// The queue between S3 and document-sync, named for its reader.
pub(crate) const QUEUE: &str = "document-sync";
/// The queue that says that there is something to load.
pub(crate) const LOADS: &str = "document-loader";
/// Where messages go that failed [`DELIVERIES`] times.
const DEAD_LETTERS: &str = "document-sync-dead-letters";
/// With the poller's pauses, about an hour: a database that is away for a while loses nothing. On AWS a few are
/// enough, because there the pause is the visibility time-out.
const DELIVERIES: u32 = 130;
/// The buckets there are from the start, and whether they keep versions.
const BUCKETS: [(&str, bool); 2] = [("documents", false), ("documents-versioned", true)];
/// What document-sync has to hear of.
pub(crate) const EVENTS: [&str; 3] = [
    "s3:ObjectCreated:*",
    "s3:ObjectRemoved:*",
    "s3:LifecycleExpiration:*",
];
/// What document-loader has to hear of.
pub(crate) const RESTORED: [&str; 1] = ["s3:ObjectRestore:Completed"];

/// The embedded S3, IAM and STS, on a port of 127.0.0.1.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) s3: EmbeddedS3,
    pub(crate) address: SocketAddr,
    server: JoinHandle<io::Result<()>>,
    shutdown: oneshot::Sender<()>,
}

fn served(source: io::Error) -> Error {
    Error::Served { what: "S3", source }
}

/// Makes a folder that only its owner may enter: others may pass through the one above it.
fn private(folder: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(Error::io("make", folder)),
    }
}

impl Store {
    /// Opens the store and serves it on `listener`.
    pub(crate) async fn start(
        folder: &Path,
        keys: &Keys,
        listener: TcpListener,
    ) -> Result<Self, Error> {
        let folder = folder.join("s3");
        private(&folder)?;
        let customer = Account {
            id: AccountId::CUSTOMER,
            credentials: keys.customer.clone(),
        };
        let options = Options {
            region: REGION.to_owned(),
            accounts: vec![customer],
            ..Options::new(folder, keys.own.clone())
        };
        let s3 = EmbeddedS3::open(options)
            .await
            .map_err(|error| match error {
                OpenError::NoSpace(folder) => Error::NoSpace { folder },
                OpenError::InUse(folder) => Error::InUse { folder },
                error => Error::Store(error),
            })?;
        for (bucket, versioned) in BUCKETS {
            let failed = |source| Error::Bucket { bucket, source };
            s3.create_bucket(bucket, versioned).await.map_err(failed)?;
            for (queue, events) in [(QUEUE, &EVENTS[..]), (LOADS, &RESTORED)] {
                s3.notify_queue(bucket, queue, events)
                    .await
                    .map_err(failed)?;
            }
        }
        let queue = s3.queue(QUEUE);
        queue
            .set_redrive_policy(Some((DELIVERIES, DEAD_LETTERS)))
            .await?;
        let revived = queue.redrive().await?;
        if revived > 0 {
            tracing::info!(
                messages = revived,
                "trying dead letters of an earlier run again"
            );
        }
        let address = listener.local_addr().map_err(served)?;
        let (shutdown, stopped) = oneshot::channel();
        let serving = s3.clone();
        let server = tokio::spawn(async move {
            // A sender that was dropped means the same as one that was used.
            serving.serve(listener, async { drop(stopped.await) }).await
        });
        Ok(Self {
            s3,
            address,
            server,
            shutdown,
        })
    }

    pub(crate) fn queue(&self) -> Queue {
        self.s3.queue(QUEUE)
    }

    pub(crate) fn loads(&self) -> Queue {
        self.s3.queue(LOADS)
    }

    /// Waits for the end of the server, which does not end by itself.
    pub(crate) async fn ended(&mut self) -> Error {
        served(match (&mut self.server).await {
            Ok(Ok(())) => io::Error::other("it stopped listening"),
            Ok(Err(error)) => error,
            Err(error) => io::Error::other(error),
        })
    }

    /// Takes no more requests, and lets the open ones finish for a few seconds.
    pub(crate) async fn stop_serving(self) -> EmbeddedS3 {
        // An error means that the server has ended, which is what is wanted.
        let _ = self.shutdown.send(());
        let _ = self.server.await;
        self.s3
    }
}
