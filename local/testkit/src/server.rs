//! A service of our own on a port.

use std::net::SocketAddr;

use axum::Router;
use tokio::task::JoinHandle;

use crate::port::listen;

/// Serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Server {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// No port is free.
    pub(crate) async fn start(router: Router) -> Self {
        let (listener, address) = listen().await;
        let serving = tokio::spawn(async move {
            axum::serve(listener, router)
                .await
                .expect("a server serves until it is dropped");
        });
        Self { address, serving }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
