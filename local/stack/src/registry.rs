use std::{net::SocketAddr, time::Duration};

use registry::{
    http::{Gate, router},
    storage::{Chain, Storage},
};
use shared::s3::S3;
use tokio::{net::TcpListener, time::timeout};

use crate::{Error, database::Database, server::Server, store::Store};

/// Where its artifacts are: not documents, so document-sync is not told of them.
pub(crate) const BUCKET: &str = "registry";
/// After which connections that still have not ended are left alone.
const LONGEST_STOP: Duration = Duration::from_secs(7);

/// The registry, in this process, on this machine's S3, on a port of 127.0.0.1.
#[derive(Debug)]
pub(crate) struct Registry {
    server: Server,
}

impl Registry {
    /// Serves the API on `listener`, with an index in the database.
    pub(crate) async fn start(
        listener: TcpListener,
        store: &Store,
        database: &Database,
    ) -> Result<Self, Error> {
        let chain = Chain {
            bucket: Some(BUCKET.to_owned()),
            // As deployed: nothing but S3.
            is_production: true,
            index: Some(database.url.clone().into()),
            ..Chain::default()
        };
        let storage = Storage::with_s3(chain, S3::with_client(store.s3.client()));
        if let Err(error) = storage.registry().await {
            tracing::warn!(%error, "starting the registry without a store");
        }
        let router = router(storage, Gate::closed());
        Ok(Self {
            server: Server::start("the registry", listener, router)?,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Waits for the end of the server, which does not end by itself.
    pub(crate) async fn ended(&mut self) -> Error {
        self.server.ended().await
    }

    /// Takes no more requests, and lets the open ones finish for a few seconds.
    pub(crate) async fn stop(mut self) {
        if timeout(LONGEST_STOP, self.server.stop()).await.is_err() {
            tracing::warn!("stopped while requests to the registry were still open");
            self.server.abort();
        }
    }
}
