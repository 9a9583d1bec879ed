use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// A certificate authority that signs servers directly. Its keys are ECDSA over P-256, with which a connection to
/// PostgreSQL can bind its password to the certificate; with Ed25519 it could not.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A server's certificate and its private key, as PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate, without those it is signed by.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// An authority of its own key.
    ///
    /// # Panics
    ///
    /// No key can be made.
    pub fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters
            .distinguished_name
            .push(DnType::CommonName, "Test Authority");
        let key = KeyPair::generate().expect("a key is made");
        let issuer =
            CertifiedIssuer::self_signed(parameters, key).expect("an authority signs itself");
        Self { issuer }
    }

    /// The authority's own certificate, as PEM: what trusts its servers.
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// Signs a server with these names, valid at any time.
    ///
    /// # Panics
    ///
    /// One of the names is none.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_until(names, 4096)
    }

    /// As [`Authority::issue`], until the beginning of a year.
    ///
    /// # Panics
    ///
    /// One of the names is none.
    pub fn issue_until(&self, names: &[&str], year: i32) -> Issued {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut parameters = CertificateParams::new(names).expect("names of hosts");
        parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key is made");
        let certificate = parameters
            .signed_by(&key, &self.issuer)
            .expect("an authority signs");
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
