//! One server out of a URL that may name several.

use std::fmt;
use std::io;
use std::net::IpAddr;

use tokio_postgres::config::Host;

/// One host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// A name, an address or the folder of a Unix socket.
    pub(super) host: Host,
    /// `hostaddr`: where the host is, without asking the name service.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
}

impl Target {
    /// All targets of a URL, in its order. A count that does not fit is `None`.
    pub(super) fn all(config: &tokio_postgres::Config) -> Option<Vec<Self>> {
        let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
        let ports = config.get_ports();
        let count = hosts.len().max(addresses.len());
        let fits = |length: usize| length == count || length == 0;
        if !fits(hosts.len()) || !fits(addresses.len()) || (ports.len() > 1 && !fits(ports.len())) {
            return None;
        }
        let targets = (0..count).filter_map(|index| {
            let address = addresses.get(index).copied();
            let host = match hosts.get(index) {
                // Names are compared, and signed, in one case.
                Some(Host::Tcp(name)) => Host::Tcp(name.to_ascii_lowercase()),
                #[cfg(unix)]
                Some(Host::Unix(folder)) => Host::Unix(folder.clone()),
                None => Host::Tcp(address?.to_string()),
            };
            let port = ports.get(index).or_else(|| ports.first());
            Some(Self {
                host,
                address,
                port: port.copied().unwrap_or(5432),
            })
        });
        Some(targets.collect())
    }

    /// The name that a certificate has to be for; none for a Unix socket.
    pub(super) fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Tcp(name) => Some(name),
            #[cfg(unix)]
            Host::Unix(_) => None,
        }
    }

    /// Whether what is sent there cannot leave this machine.
    pub(super) fn is_on_this_machine(&self) -> bool {
        let Some(name) = self.name() else {
            return true;
        };
        let is_loopback = name == "localhost"
            || name
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        is_loopback && self.address.is_none_or(|address| address.is_loopback())
    }

    /// The addresses to try one after the other. For a Unix socket one that is none.
    pub(super) async fn addresses(&self) -> io::Result<Vec<Option<IpAddr>>> {
        let Some(name) = self.name() else {
            return Ok(vec![None]);
        };
        if self.address.is_some() {
            return Ok(vec![self.address]);
        }
        let found = tokio::net::lookup_host((name, self.port)).await?;
        let addresses: Vec<_> = found.map(|address| Some(address.ip())).collect();
        if addresses.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the name has no address",
            ));
        }
        Ok(addresses)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Tcp(name) => write!(formatter, "{name}:{}", self.port),
            #[cfg(unix)]
            Host::Unix(folder) => {
                write!(formatter, "{}/.s.PGSQL.{}", folder.display(), self.port)
            }
        }
    }
}
