//! Connections to the sources, made to an address that was checked.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::guard;
use super::settings::Reach;

/// How long one address may take to answer before the next one is tried.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// All addresses of the host are inside.
    #[error("the host's name leads to an address that is not of the public internet")]
    Inside,
    /// A public service without TLS.
    #[error("a public service is asked by https only")]
    Plain,
    /// The address has no host.
    #[error("the address has no host")]
    NoHost,
    /// The host has no address.
    #[error("the host's name was not found")]
    Lookup(#[source] io::Error),
    /// No address answered.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// The certificate or the protocol is wrong.
    #[error("no TLS with the host")]
    Tls(#[source] io::Error),
}

/// Makes connections: resolves a name once, and connects to the addresses that it has checked.
#[derive(Clone)]
pub(super) struct Connector {
    reach: Reach,
    /// Made by the first connection.
    tls: Arc<OnceLock<Result<Arc<ClientConfig>, String>>>,
}

impl Connector {
    pub(super) fn new(reach: Reach) -> Self {
        Self {
            reach,
            tls: Arc::default(),
        }
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<Stream>, ConnectError> {
        let is_tls = uri.scheme_str() == Some("https");
        if self.reach == Reach::Public && !is_tls {
            return Err(ConnectError::Plain);
        }
        // An IPv6 address stands in brackets in a URL, and without them everywhere else.
        let host = uri.host().ok_or(ConnectError::NoHost)?;
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let addresses = lookup_host((host.as_str(), port))
            .await
            .map_err(ConnectError::Lookup)?;
        let addresses: Vec<SocketAddr> = addresses
            .filter(|address| self.reach == Reach::Operator || guard::is_public(address.ip()))
            .collect();
        if addresses.is_empty() {
            return Err(ConnectError::Inside);
        }
        let stream = first_that_answers(&addresses)
            .await
            .map_err(ConnectError::Connect)?;
        stream.set_nodelay(true).map_err(ConnectError::Connect)?;
        if !is_tls {
            return Ok(TokioIo::new(Stream(Box::new(stream))));
        }
        let invalid = |error: String| ConnectError::Tls(io::Error::other(error));
        let config = self.tls.get_or_init(tls).clone().map_err(invalid)?;
        let name = ServerName::try_from(host).map_err(|error| invalid(error.to_string()))?;
        let stream = TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(ConnectError::Tls)?;
        Ok(TokioIo::new(Stream(Box::new(stream))))
    }
}

async fn first_that_answers(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut problem = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => problem = error,
            Err(_elapsed) => problem = io::Error::from(io::ErrorKind::TimedOut),
        }
    }
    Err(problem)
}

fn tls() -> Result<Arc<ClientConfig>, String> {
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// A connection with or without TLS.
pub(super) struct Stream(Box<dyn Both>);

trait Both: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
