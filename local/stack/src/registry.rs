use std::{net::SocketAddr, time::Duration};

use aws_sdk_s3::Client;
use registry::{
    access::settings::Settings,
    http::router,
    ingest::{self, Ingest},
    storage::{Chain, Storage},
};
use shared::s3::S3;
use tokio::{net::TcpListener, time::timeout};

use crate::{Error, database::Database, folder::Folder, server::Server, store::Store};

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
        folder: &Folder,
        database: &Database,
        ingest: &ingest::Settings,
    ) -> Result<Self, Error> {
        // The admin whom clients of the contract know, and tokens that outlive a restart.
        let access = Settings::public(folder.token_key()?);
        let chain = Chain {
            bucket: Some(BUCKET.to_owned()),
            // As deployed: nothing but S3.
            is_production: true,
            index: Some(database.url.clone().into()),
            ..Chain::default()
        };
        // Clients are shown the way to S3, so its address must be the one where it listens.
        let config = store.s3.client().config().to_builder();
        let config = config.endpoint_url(format!("http://{}", store.address));
        let s3 = S3::with_client(Client::from_conf(config.build()));
        let storage = Storage::with_s3(chain, access, s3).asking(Ingest::new(ingest));
        if let Err(error) = storage.backend().await {
            tracing::warn!(%error, "starting the registry without a store");
        }
        let router = router(storage);
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
