//! A PostgreSQL connection URL as libpq and its users write it.

use std::error::Error as _;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::target::Target;

/// How long a server may take to accept a connection, unless the URL says otherwise.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the database is and how to reach it.
///
/// Accepts `sslmode=verify-ca`, `sslmode=verify-full` and `sslrootcert`, which libpq knows and tokio-postgres does
/// not. Without `sslmode`, a server on this machine is reached as it is and any other by verified TLS.
///
/// | `sslmode` | here |
/// |---|---|
/// | `disable` | no TLS. A server elsewhere is not given a password in clear text, only proof of it |
/// | `allow`, `prefer` | verified TLS if the server offers any, otherwise as `disable` |
/// | `require`, `verify-full` | TLS, with a certificate that is trusted and issued for this host |
/// | `verify-ca` | the certificate may be for another host, if `sslrootcert` names the file it must be signed by; without that file, anybody's certificate from a public authority would do, so it is as `verify-full` |
///
/// `sslrootcert=/file.pem` replaces all certificates that are trusted otherwise: the public ones and, for a host of
/// RDS, Amazon's for RDS. `sslrootcert=system` names these. A name of one's own for an RDS instance is in none of
/// RDS's certificates, so no root would help it: give the name of RDS as the host, and an address as `hostaddr` if
/// it has to be another, or use `verify-ca` with a file.
///
/// `connect_timeout`, in seconds, is 5 unless given, and covers all of connecting to one address: TCP, TLS and
/// password. Aurora Serverless takes some 15 s to wake from a capacity of zero: `connect_timeout=20`.
///
/// Several hosts are tried in turn, until one can be used: `target_session_attrs=read-write` skips replicas.
#[derive(Clone)]
pub struct Url {
    /// Everything but TLS.
    pub(super) config: tokio_postgres::Config,
    /// `sslmode`, if it is given.
    pub(super) ssl_mode: Option<SslMode>,
    pub(super) roots: Roots,
}

/// libpq's modes, as far as they differ here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SslMode {
    Disable,
    Prefer,
    VerifyCa,
    VerifyFull,
}

/// The certificates a server may be signed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Roots {
    /// The public ones, and Amazon's for a host of RDS.
    WellKnown,
    /// Those in this file, and no others.
    File(PathBuf),
}

/// Why a URL is refused. Never repeats the URL, which holds a password.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// `sslmode` is none of libpq's.
    #[error("sslmode must be disable, allow, prefer, require, verify-ca or verify-full")]
    SslMode,
    /// Not as many addresses or ports as there are hosts.
    #[error("there must be one hostaddr for each host, and one port for each or for all")]
    Counts,
    /// Anything else. The parser's reason, which names options but not their values.
    #[error("not a PostgreSQL connection URL: {0}")]
    Syntax(String),
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let mut ssl_mode = None;
        let mut roots = Roots::WellKnown;
        let mut others = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", mode)) => ssl_mode = Some(mode.parse()?),
                Some(("sslrootcert", "system" | "")) => roots = Roots::WellKnown,
                Some(("sslrootcert", path)) => {
                    let path = percent_decode_str(path).decode_utf8_lossy().into_owned();
                    roots = Roots::File(PathBuf::from(path));
                }
                _ => others.push(parameter),
            }
        }
        let url = if others.is_empty() {
            base.to_owned()
        } else {
            format!("{base}?{}", others.join("&"))
        };
        let config: tokio_postgres::Config =
            url.parse().map_err(|error: tokio_postgres::Error| {
                let reason = error
                    .source()
                    .map_or_else(|| error.to_string(), ToString::to_string);
                UrlError::Syntax(reason)
            })?;
        if Target::all(&config).is_none() {
            return Err(UrlError::Counts);
        }
        Ok(Self::new(config, ssl_mode, roots))
    }
}

impl Url {
    /// Fills in what the URL leaves open.
    pub(super) fn new(
        mut config: tokio_postgres::Config,
        ssl_mode: Option<SslMode>,
        roots: Roots,
    ) -> Self {
        config.keepalives_idle(Duration::from_secs(30));
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(20));
        }
        if config.get_application_name().is_none() {
            config.application_name("holdfast");
        }
        Self {
            config,
            ssl_mode,
            roots,
        }
    }

    /// The servers to try, in order. None if the URL does not say where the database is.
    pub(super) fn targets(&self) -> Vec<Target> {
        Target::all(&self.config).unwrap_or_default()
    }

    /// What is asked for, or what is right for where the servers are.
    pub(super) fn ssl_mode(&self) -> SslMode {
        match (self.ssl_mode, &self.roots) {
            (Some(SslMode::VerifyCa), Roots::WellKnown) => SslMode::VerifyFull,
            (Some(mode), _) => mode,
            (None, _) if self.targets().iter().all(Target::is_on_this_machine) => SslMode::Disable,
            (None, _) => SslMode::VerifyFull,
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Url")
            .field("hosts", &self.config.get_hosts())
            .field("database", &self.config.get_dbname())
            .finish_non_exhaustive()
    }
}

impl FromStr for SslMode {
    type Err = UrlError;

    fn from_str(mode: &str) -> Result<Self, UrlError> {
        match mode {
            "disable" => Ok(Self::Disable),
            "allow" | "prefer" => Ok(Self::Prefer),
            "verify-ca" => Ok(Self::VerifyCa),
            "require" | "verify-full" => Ok(Self::VerifyFull),
            _ => Err(UrlError::SslMode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn libpq_options_unknown_to_the_driver_are_understood() {
        let url = url(
            "postgresql://u:p@db.example.com/d?sslmode=verify-full&sslrootcert=%2Fetc%2Frds.pem&connect_timeout=9",
        );
        assert_eq!(url.ssl_mode(), SslMode::VerifyFull);
        assert_eq!(url.roots, Roots::File("/etc/rds.pem".into()));
        assert_eq!(
            url.config.get_connect_timeout(),
            Some(&Duration::from_secs(9))
        );
    }

    #[test]
    fn plaintext_is_never_the_silent_choice_for_a_remote_server() {
        for (text, mode) in [
            ("postgresql://u@db.example.com/d", SslMode::VerifyFull),
            ("postgresql://u@10.0.0.1/d", SslMode::VerifyFull),
            ("postgresql://u@/d?hostaddr=10.0.0.1", SslMode::VerifyFull),
            (
                "postgresql://u@localhost/d?hostaddr=10.0.0.1",
                SslMode::VerifyFull,
            ),
            (
                "postgresql://u@localhost,db.example.com/d",
                SslMode::VerifyFull,
            ),
            ("postgresql://u@127.0.0.1:5433/d", SslMode::Disable),
            ("postgresql:///d?host=/run/postgresql", SslMode::Disable),
            (
                "postgresql://u@db.example.com/d?sslmode=disable",
                SslMode::Disable,
            ),
            (
                "postgresql://u@db.example.com/d?sslmode=allow",
                SslMode::Prefer,
            ),
            (
                "postgresql://u@127.0.0.1/d?sslmode=require",
                SslMode::VerifyFull,
            ),
        ] {
            assert_eq!(url(text).ssl_mode(), mode, "{text}");
        }
    }

    #[test]
    fn verify_ca_is_weaker_only_with_certificates_of_ones_own() {
        for (roots, mode) in [
            ("", SslMode::VerifyFull),
            ("&sslrootcert=system", SslMode::VerifyFull),
            ("&sslrootcert=/etc/ca.pem", SslMode::VerifyCa),
        ] {
            let text = format!("postgresql://u@db.example.com/d?sslmode=verify-ca{roots}");
            assert_eq!(url(&text).ssl_mode(), mode, "{text}");
        }
    }

    #[test]
    fn several_hosts_have_ports_and_addresses_of_their_own() {
        let targets = |text| {
            let targets: Vec<String> = url(text)
                .targets()
                .iter()
                .map(ToString::to_string)
                .collect();
            targets.join(" ")
        };
        assert_eq!(targets("postgresql://u@a:1,b:2/d"), "a:1 b:2");
        assert_eq!(targets("postgresql://u@A,b/d"), "a:5432 b:5432");
        assert_eq!(
            targets("postgresql://u@/d?hostaddr=10.0.0.1&port=7"),
            "10.0.0.1:7"
        );
        assert_eq!(
            targets("postgresql:///d?host=/run/postgresql"),
            "/run/postgresql/.s.PGSQL.5432"
        );
        assert_eq!(targets("postgresql:///d"), "");
        let error = "postgresql://u@a,b/d?hostaddr=10.0.0.1"
            .parse::<Url>()
            .unwrap_err();
        assert!(matches!(error, UrlError::Counts), "{error}");
    }

    #[test]
    fn secrets_stay_out_of_debug_output_and_errors() {
        assert!(!format!("{:?}", url("postgresql://u:geheim@127.0.0.1/d")).contains("geheim"));
        for text in [
            "postgresql://u:geheim@h:x/d",
            "postgresql://u:geheim@h/d?sslmode=on",
            "http://u:geheim@h",
        ] {
            let error = text.parse::<Url>().unwrap_err();
            assert!(!error.to_string().contains("geheim"), "{error}");
        }
    }
}
