use std::{io, net::SocketAddr, time::Duration};

use axum::serve::ListenerExt as _;
use registry::{
    http::{Gate, router},
    storage::{Chain, Storage},
};
use shared::s3::S3;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};

use crate::{Error, store::Store};

/// Where its artifacts are: not documents, so document-sync is not told of them.
pub(crate) const BUCKET: &str = "registry";
/// After which connections that still have not ended are left alone.
const LONGEST_STOP: Duration = Duration::from_secs(7);

/// The registry, in this process, on this machine's S3, on a port of 127.0.0.1.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    server: JoinHandle<io::Result<()>>,
    shutdown: oneshot::Sender<()>,
}

impl Registry {
    /// Serves the API on `listener`.
    pub(crate) async fn start(listener: TcpListener, store: &Store) -> Result<Self, Error> {
        let address = listener.local_addr().map_err(served)?;
        let (shutdown, stopped) = oneshot::channel();
        let chain = Chain {
            bucket: Some(BUCKET.to_owned()),
            // As deployed: nothing but S3.
            is_production: true,
            ..Chain::default()
        };
        let storage = Storage::with_s3(chain, S3::with_client(store.s3.client()));
        if let Err(error) = storage.registry().await {
            tracing::warn!(%error, "starting the registry without a store");
        }
        let router = router(storage, Gate::closed());
        let listener = listener.tap_io(|stream| {
            // Small answers would otherwise wait for the client's delayed acknowledgement.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY could not be set");
            }
        });
        let server = tokio::spawn(async move {
            axum::serve(listener, router)
                // A sender that was dropped means the same as one that was used.
                .with_graceful_shutdown(async { drop(stopped.await) })
                .await
        });
        Ok(Self {
            address,
            server,
            shutdown,
        })
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
    pub(crate) async fn stop(mut self) {
        // An error means that the server has ended, which is what is wanted.
        let _ = self.shutdown.send(());
        if timeout(LONGEST_STOP, &mut self.server).await.is_err() {
            tracing::warn!("stopped while requests to the registry were still open");
            self.server.abort();
        }
    }
}

fn served(source: io::Error) -> Error {
    Error::Served {
        what: "the registry",
        source,
    }
}
