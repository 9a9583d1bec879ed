//! Whom a server's certificate must convince, and of what.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslNegotiation;

use super::ConnectError;
use super::rds::{self, RdsHost};
use super::target::Target;
use super::url::{Roots, SslMode, Url};

/// TLS for one server of a URL. Not built before it is needed: certificates take time to read.
pub(super) fn client_config(url: &Url, target: &Target) -> Result<ClientConfig, ConnectError> {
    let roots = Arc::new(roots(&url.roots, target)?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(ConnectError::Tls)?;
    let mut config = match url.ssl_mode() {
        SslMode::VerifyCa => {
            let verifier = AnyName::new(roots, provider)?;
            config
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_no_client_auth()
        }
        _ => config.with_root_certificates(roots).with_no_client_auth(),
    };
    if url.config.get_ssl_negotiation() == SslNegotiation::Direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()]; // which servers ask of a direct start of TLS
    }
    Ok(config)
}

fn roots(which: &Roots, target: &Target) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    match which {
        Roots::WellKnown => {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            // Instances of RDS have certificates of RDS, its proxies public ones, and the name does not tell which.
            if let Some(rds) = target.name().and_then(RdsHost::parse) {
                let (_, refused) =
                    roots.add_parsable_certificates(rds::certificates(rds.region).flatten());
                if refused > 0 {
                    tracing::warn!(refused, "root certificates of RDS cannot be used");
                }
            }
        }
        Roots::File(path) => {
            let unreadable = |source| ConnectError::RootCertificates {
                path: path.clone(),
                source,
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
                roots
                    .add(certificate.map_err(unreadable)?)
                    .map_err(ConnectError::Tls)?;
            }
            if roots.is_empty() {
                return Err(unreadable(pem::Error::NoItemsFound));
            }
        }
    }
    Ok(roots)
}

/// libpq's `verify-ca`: the certificate has to be signed by one of the roots, and may be for any host.
#[derive(Debug)]
struct AnyName {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    /// For everything but the certificate itself.
    verifier: Arc<WebPkiServerVerifier>,
}

impl AnyName {
    fn new(roots: Arc<RootCertStore>, provider: Arc<CryptoProvider>) -> Result<Self, ConnectError> {
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .map_err(|error| ConnectError::Tls(rustls::Error::General(error.to_string())))?;
        Ok(Self {
            roots,
            provider,
            verifier,
        })
    }
}

impl ServerCertVerifier for AnyName {
    /// As [`WebPkiServerVerifier`] does it, without its last step, the name.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many certificates are trusted beside the public ones.
    fn beside_the_public(url: &str) -> usize {
        let url: Url = url.parse().unwrap();
        let roots = roots(&url.roots, &url.targets()[0]).unwrap();
        roots.len() - webpki_roots::TLS_SERVER_ROOTS.len()
    }

    #[test]
    fn certificates_of_rds_are_read_for_its_hosts_only_and_of_their_region_only() {
        let all = rds::certificates(None).count();
        for (url, expected) in [
            ("postgresql://db.example.com", 0),
            ("postgresql://db.example.com/?sslrootcert=system", 0),
            ("postgresql://10.0.0.1", 0),
            ("postgresql://db.x.eu-central-1.rds.amazonaws.com", 3),
            ("postgresql://DB.x.EU-central-1.rds.amazonaws.com", 3),
            (
                "postgresql://db.proxy-x.us-east-1.rds.amazonaws.com/?sslrootcert=system",
                3,
            ),
            (
                "postgresql://db.x.us-east-1.rds.amazonaws.com/?hostaddr=10.0.0.1",
                3,
            ),
            ("postgresql://db.global-x.global.rds.amazonaws.com", all),
            ("postgresql://db.x.xx-future-1.rds.amazonaws.com", 0),
        ] {
            assert_eq!(beside_the_public(url), expected, "{url}");
        }
    }

    #[test]
    fn a_file_replaces_all_other_certificates() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/roots/amazon_root_ca_1.pem"
        );
        let url: Url = format!("postgresql://db.x.us-east-1.rds.amazonaws.com/?sslrootcert={path}")
            .parse()
            .unwrap();
        assert_eq!(roots(&url.roots, &url.targets()[0]).unwrap().len(), 1);
    }
}
