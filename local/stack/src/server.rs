use std::{io, net::SocketAddr};

use axum::{Router, serve::ListenerExt as _};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::Error;

/// An API served over HTTP on a port of 127.0.0.1.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// What errors call it.
    what: &'static str,
    task: JoinHandle<io::Result<()>>,
    shutdown: Option<oneshot::Sender<()>>,
}

impl Server {
    /// Serves `router` on `listener`.
    pub(crate) fn start(
        what: &'static str,
        listener: TcpListener,
        router: Router,
    ) -> Result<Self, Error> {
        let served = |source| Error::Served { what, source };
        let address = listener.local_addr().map_err(served)?;
        let (shutdown, stopped) = oneshot::channel();
        let listener = listener.tap_io(|stream| {
            // Small answers would otherwise wait for the client's delayed acknowledgement.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY could not be set");
            }
        });
        let task = tokio::spawn(async move {
            axum::serve(listener, router)
                // A sender that was dropped means the same as one that was used.
                .with_graceful_shutdown(async { drop(stopped.await) })
                .await
        });
        Ok(Self {
            address,
            what,
            task,
            shutdown: Some(shutdown),
        })
    }

    /// Waits for the end of the server, which does not end by itself.
    pub(crate) async fn ended(&mut self) -> Error {
        let source = match (&mut self.task).await {
            Ok(Ok(())) => io::Error::other("it stopped listening"),
            Ok(Err(error)) => error,
            Err(error) => io::Error::other(error),
        };
        Error::Served {
            what: self.what,
            source,
        }
    }

    /// Takes no more requests, and waits for the open ones.
    pub(crate) async fn stop(&mut self) {
        // Dropping it is the signal.
        self.shutdown = None;
        // An error means that the server has ended, which is what is wanted.
        let _ = (&mut self.task).await;
    }

    /// Ends open requests as well.
    pub(crate) fn abort(&self) {
        self.task.abort();
    }
}
