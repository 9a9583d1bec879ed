//! Why there is no connection, in terms of what is to be done about it.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use rustls::CertificateError;
use rustls::pki_types::pem;
use tokio_postgres::error::SqlState;

use super::plain::CleartextDemanded;
use crate::secret::SecretError;
use crate::telemetry::chain;

/// Why there is no connection: one variant per thing to do. No text contains a password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// `sslrootcert` names no file of certificates.
    #[error("cannot read the certificates in {}, which sslrootcert names", path.display())]
    RootCertificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A root certificate cannot be used.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// Nothing that speaks PostgreSQL answered in time.
    #[error(
        "{host} does not answer: check its name, that it runs, and that subnets and security groups let the function through"
    )]
    Unreachable {
        /// Host and port.
        host: String,
        /// Name service, network or time-out.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server takes no connections at present: it starts, recovers, or has as many as it may.
    #[error(
        "{host} takes no connection at present: it should later; if not, lower the function's concurrency or raise max_connections"
    )]
    NotNow {
        /// Host and port.
        host: String,
        /// The server's words.
        source: tokio_postgres::Error,
    },
    /// The server may only be read, and `target_session_attrs` asks for one to write to (or the other way round).
    #[error(
        "{host} is not of the kind that target_session_attrs asks for, as a replica before its promotion"
    )]
    WrongRole {
        /// Host and port.
        host: String,
        /// What it is.
        source: tokio_postgres::Error,
    },
    /// TLS is required, and the server has none.
    #[error("{host} does not offer TLS: switch it on there, or allow plaintext by sslmode=disable")]
    NoTls {
        /// Host and port.
        host: String,
    },
    /// The server's certificate is not signed by anyone trusted, or not valid now.
    #[error(
        "the certificate of {host} is not trusted: name the certificates it is signed by with sslrootcert=/file.pem"
    )]
    Untrusted {
        /// Host and port.
        host: String,
        /// What is wrong with it.
        source: tokio_postgres::Error,
    },
    /// The server's certificate is for another host.
    #[error(
        "the certificate of {host} is for another name: use the name in it as the host (and hostaddr for the address), or sslmode=verify-ca with sslrootcert"
    )]
    WrongName {
        /// Host and port.
        host: String,
        /// Which names it is for.
        source: tokio_postgres::Error,
    },
    /// The server wants a password, and there is none.
    #[error("{host} wants a password for the user {user}, and none is given")]
    NoPassword {
        /// Host and port.
        host: String,
        /// Who asked.
        user: String,
    },
    /// The server wants the password in clear text, over a connection that others can read.
    #[error(
        "{host} wants the password in clear text without TLS, and does not get it: take sslmode out of the URL, or use scram-sha-256 there"
    )]
    Cleartext {
        /// Host and port.
        host: String,
    },
    /// User or password are wrong, or this user may not connect from here.
    #[error("{host} refused the user {user}: {advice}")]
    Credentials {
        /// Host and port.
        host: String,
        /// Who asked.
        user: String,
        /// What to check.
        advice: &'static str,
        /// The server's words.
        source: tokio_postgres::Error,
    },
    /// The password in the secret was refused a moment ago and is still the same.
    #[error(
        "the password in the secret {id} was refused a moment ago and has not changed: it is not tried again yet, lest the user be locked out"
    )]
    SecretRefused {
        /// The secret.
        id: String,
    },
    /// The secret cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The IAM token cannot be made.
    #[error("cannot sign a token for {host}")]
    Token {
        /// Host and port.
        host: String,
        /// What the signer says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server refused for another reason, such as that there is no such database.
    #[error("{host} refused the connection")]
    Refused {
        /// Host and port.
        host: String,
        /// The server's words.
        source: tokio_postgres::Error,
    },
    /// Not one of several hosts can be used.
    #[error("no host can be used: {}", list(.0))]
    NoHost(Vec<Self>),
}

/// What to check when credentials are refused, by where they come from.
pub(super) mod advice {
    pub(crate) const URL: &str = "check user and password in DATABASE_URL";
    pub(crate) const SECRET: &str =
        "check that the secret holds this user's present password, and that the user may log in";
    pub(crate) const IAM: &str = "grant rds_iam to this user in the database, and rds-db:connect for this user and database to the function's role";
}

/// Who asked whom, for the text of an error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) host: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) has_password: bool,
    pub(super) advice: &'static str,
}

impl ConnectError {
    /// Sorts what the driver reports.
    pub(super) fn new(attempt: Attempt<'_>, source: tokio_postgres::Error) -> Self {
        let host = attempt.host.to_owned();
        let user = || attempt.user.unwrap_or("of the operating system").to_owned();
        if let Some(state) = source.code() {
            return match *state {
                SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                    Self::Credentials {
                        host,
                        user: user(),
                        advice: attempt.advice,
                        source,
                    }
                }
                _ if is_for_now(state) => Self::NotNow { host, source },
                _ => Self::Refused { host, source },
            };
        }
        // The driver tells the following apart by words only; a test with a server stands behind each.
        let cause = source.source();
        let says = |words: &str| cause.is_some_and(|cause| cause.to_string() == words);
        if says("server does not support TLS") {
            return Self::NoTls { host };
        }
        if says("password missing") && !attempt.has_password {
            return Self::NoPassword { host, user: user() };
        }
        if says("database does not allow writes") || says("database is not read only") {
            return Self::WrongRole { host, source };
        }
        let inner = cause
            .and_then(|cause| cause.downcast_ref::<io::Error>())
            .and_then(io::Error::get_ref);
        if inner
            .and_then(|inner| inner.downcast_ref::<CleartextDemanded>())
            .is_some()
        {
            return Self::Cleartext { host };
        }
        match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Self::WrongName { host, source },
            Some(rustls::Error::InvalidCertificate(_)) => Self::Untrusted { host, source },
            _ => Self::Unreachable {
                host,
                source: Box::new(source),
            },
        }
    }

    /// All that failed, of one host or of several.
    pub(super) fn of_all(mut errors: Vec<Self>) -> Self {
        match (errors.pop(), errors.is_empty()) {
            (Some(error), true) => error,
            (last, _) => Self::NoHost(errors.into_iter().chain(last).collect()),
        }
    }

    /// Whether another server of the same database would say the same, as libpq has it.
    pub(super) fn is_about_credentials(&self) -> bool {
        matches!(self, Self::Credentials { .. })
    }
}

/// Resources are short (53), the server is about to stop or to start (57P01 to 57P03), or a proxy before it lost it (08)
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn is_for_now(state: &SqlState) -> bool {
    state.code().starts_with("53")
        || state.code().starts_with("08")
        || [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
        ]
        .contains(state)
}

fn list(errors: &[ConnectError]) -> String {
    let texts: Vec<String> = errors
        .iter()
        .map(|error| chain(error).to_string())
        .collect();
    texts.join("; ")
}
