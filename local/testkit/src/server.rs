//! A service of our own on a port.

use std::net::SocketAddr;

use axum::Router;
use tokio::{net::TcpListener, task::JoinHandle};

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
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port of 127.0.0.1 is free");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
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
