//! A PostgreSQL connection URL as libpq and its users write it.

use std::error::Error as _;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::config::{Host, SslMode};

/// Where the database is and how to reach it.
///
/// Accepts `sslmode=verify-ca`, `sslmode=verify-full` and `sslrootcert`, which libpq knows and tokio-postgres does
/// not. Without `sslmode`, a server on this machine is reached as it is and any other by verified TLS. Wherever TLS
/// is required, chain and host name are verified: `require` is as strict as `verify-full`.
#[derive(Clone)]
pub struct Url {
    /// Everything but TLS.
    pub(super) config: tokio_postgres::Config,
    /// The certificates a server may be signed by; `None` for the public ones.
    pub(super) root_certificates: Option<PathBuf>,
}

/// Why a URL is refused. Never repeats the URL, which holds a password.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// `sslmode` is none of libpq's.
    #[error("sslmode must be disable, allow, prefer, require, verify-ca or verify-full")]
    SslMode,
    /// Anything else. The parser's reason, which names options but not their values.
    #[error("not a PostgreSQL connection URL: {0}")]
    Syntax(String),
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let mut ssl_mode = None;
        let mut root_certificates = None;
        let mut others = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", mode)) => ssl_mode = Some(parse_ssl_mode(mode)?),
                Some(("sslrootcert", "system")) => root_certificates = None,
                Some(("sslrootcert", path)) => {
                    root_certificates = Some(PathBuf::from(
                        percent_decode_str(path).decode_utf8_lossy().into_owned(),
                    ));
                }
                _ => others.push(parameter),
            }
        }
        let url = if others.is_empty() {
            base.to_owned()
        } else {
            format!("{base}?{}", others.join("&"))
        };
        let mut config: tokio_postgres::Config =
            url.parse().map_err(|error: tokio_postgres::Error| {
                let reason = error
                    .source()
                    .map_or_else(|| error.to_string(), ToString::to_string);
                UrlError::Syntax(reason)
            })?;
        let ssl_mode = ssl_mode.unwrap_or_else(|| {
            if is_on_this_machine(&config) {
                SslMode::Disable
            } else {
                SslMode::Require
            }
        });
        config
            .ssl_mode(ssl_mode)
            .keepalives_idle(Duration::from_secs(30));
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(5));
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(20));
        }
        if config.get_application_name().is_none() {
            config.application_name("holdfast");
        }
        Ok(Self {
            config,
            root_certificates,
        })
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

fn parse_ssl_mode(mode: &str) -> Result<SslMode, UrlError> {
    match mode {
        "disable" => Ok(SslMode::Disable),
        "allow" | "prefer" => Ok(SslMode::Prefer),
        "require" | "verify-ca" | "verify-full" => Ok(SslMode::Require),
        _ => Err(UrlError::SslMode),
    }
}

fn is_on_this_machine(config: &tokio_postgres::Config) -> bool {
    let hosts_are = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse::<IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    });
    hosts_are && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
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
        assert_eq!(url.config.get_ssl_mode(), SslMode::Require);
        assert_eq!(
            url.root_certificates.as_deref(),
            Some(std::path::Path::new("/etc/rds.pem"))
        );
        assert_eq!(
            url.config.get_connect_timeout(),
            Some(&Duration::from_secs(9))
        );
    }

    #[test]
    fn plaintext_is_never_the_silent_choice_for_a_remote_server() {
        for (text, mode) in [
            ("postgresql://u@db.example.com/d", SslMode::Require),
            ("postgresql://u@10.0.0.1/d", SslMode::Require),
            (
                "postgresql://u@localhost,db.example.com/d",
                SslMode::Require,
            ),
            ("postgresql://u@127.0.0.1:5433/d", SslMode::Disable),
            ("postgresql:///d?host=/run/postgresql", SslMode::Disable),
            (
                "postgresql://u@db.example.com/d?sslmode=disable",
                SslMode::Disable,
            ),
            (
                "postgresql://u@127.0.0.1/d?sslmode=require",
                SslMode::Require,
            ),
        ] {
            assert_eq!(url(text).config.get_ssl_mode(), mode, "{text}");
        }
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
