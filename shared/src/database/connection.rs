//! One connection to PostgreSQL.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::Url;
use crate::telemetry::chain;

/// A server may have dropped a connection that rested longer than this; Lambda freezes the process in between.
const RESTED: Duration = Duration::from_secs(30);
/// How long a server that is there takes to answer an empty query, generously.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// An open connection and when it was last used.
#[derive(Debug)]
pub struct Connection {
    /// What statements are sent by.
    pub client: Client,
    /// Wall clock, not [`std::time::Instant`]: that may stand still while the process is frozen.
    used_at: SystemTime,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// `sslrootcert` names no file of certificates.
    #[error("cannot read the root certificates named by sslrootcert")]
    RootCertificates(#[source] rustls::pki_types::pem::Error),
    /// A certificate of that file is none.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// Unreachable, or not to be trusted, or it refused the user.
    #[error("cannot connect to the database")]
    Database(#[from] tokio_postgres::Error),
}

impl Connection {
    /// Opens a connection.
    pub(super) async fn open(url: &Url) -> Result<Self, ConnectError> {
        let client = match url.config.get_ssl_mode() {
            SslMode::Disable => connect(&url.config, NoTls).await?,
            _ => connect(&url.config, MakeRustlsConnect::new(tls(url)?)).await?,
        };
        Ok(Self {
            client,
            used_at: SystemTime::now(),
        })
    }

    /// Whether a statement can be sent: open, and answering if it has rested for long.
    pub(super) async fn is_usable(&self) -> bool {
        if self.client.is_closed() {
            return false;
        }
        // A clock set back counts as rested: checking once too often costs one round trip.
        if self.used_at.elapsed().is_ok_and(|rested| rested < RESTED) {
            return true;
        }
        matches!(
            tokio::time::timeout(CHECK_TIMEOUT, self.client.check_connection()).await,
            Ok(Ok(()))
        )
    }

    /// Notes that the server has just answered.
    pub(super) fn touch(&mut self) {
        self.used_at = SystemTime::now();
    }
}

async fn connect<T>(
    config: &tokio_postgres::Config,
    tls: T,
) -> Result<Client, tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket, Stream: Send + 'static, TlsConnect: Send>,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let (client, connection) = config.connect(tls).await?;
    tokio::spawn(async move {
        // The statement in flight reports the failure to whoever waits for it.
        if let Err(error) = connection.await {
            tracing::debug!(
                error = %chain(&error),
                "the database connection ended"
            );
        }
    });
    Ok(client)
}

fn tls(url: &Url) -> Result<rustls::ClientConfig, ConnectError> {
    let mut roots = RootCertStore::empty();
    match &url.root_certificates {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            for certificate in
                CertificateDer::pem_file_iter(path).map_err(ConnectError::RootCertificates)?
            {
                roots.add(certificate.map_err(ConnectError::RootCertificates)?)?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
