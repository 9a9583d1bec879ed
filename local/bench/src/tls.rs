//! HTTPS before a server that speaks HTTP, with a certificate for `localhost` that one file vouches for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::Failure;

/// A listener on 127.0.0.1 that takes TLS off and passes the rest on. It ends with the value.
#[derive(Debug)]
pub(crate) struct TlsFront {
    /// Such as `https://localhost:12345`.
    pub(crate) endpoint: String,
    /// The certificate to trust, as PEM.
    pub(crate) certificate: PathBuf,
    listener: JoinHandle<()>,
}

impl TlsFront {
    /// Starts before the server at `target`, and writes the certificate into `folder`.
    pub(crate) async fn start(target: SocketAddr, folder: &Path) -> Result<Self, Failure> {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let certificate = folder.join("localhost.pem");
        tokio::fs::write(&certificate, certified.cert.pem()).await?;
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der())?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("https://localhost:{}", listener.local_addr()?.port());
        let listener = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                // Whoever is cut off reports it: here nothing is left to say.
                tokio::spawn(async move { pass(client, &acceptor, target).await.ok() });
            }
        });
        Ok(Self {
            endpoint,
            certificate,
            listener,
        })
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn pass(
    client: TcpStream,
    acceptor: &TlsAcceptor,
    target: SocketAddr,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = acceptor.accept(client).await?;
    let mut server = TcpStream::connect(target).await?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
