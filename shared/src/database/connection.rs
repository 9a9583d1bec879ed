//! One connection to PostgreSQL.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode as DriverMode, SslNegotiation};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{Attempt, ConnectError, advice};
use super::iam::IamTokens;
use super::plain::Guard;
use super::target::Target;
use super::tls;
use super::url::{CONNECT_TIMEOUT, SslMode, Url};
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

/// What proves to the server who we are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Proof<'a> {
    /// The password in the URL, if any; and what to check when it is refused.
    Password(&'static str),
    /// A token, made for each server.
    Token(&'a IamTokens),
}

impl Connection {
    /// Opens a connection to the first server of the URL that can be used.
    ///
    /// The servers are taken one by one, not left to the driver: each has its own certificates, its own token and
    /// its own time, and each failure names its host.
    pub(super) async fn open(url: &Url, proof: Proof<'_>) -> Result<Self, ConnectError> {
        let mut targets = url.targets();
        if url.config.get_load_balance_hosts() == LoadBalanceHosts::Random {
            shuffle(&mut targets);
        }
        let mut errors = Vec::new();
        for target in targets {
            match connect_to(url, &target, proof).await {
                Ok(client) => {
                    return Ok(Self {
                        client,
                        used_at: SystemTime::now(),
                    });
                }
                // Every server of a database would say the same, and count it.
                Err(error) if error.is_about_credentials() => return Err(error),
                Err(error) => errors.push(error),
            }
        }
        Err(ConnectError::of_all(errors))
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

/// One host: its addresses in turn, each with the whole time for TCP, TLS and password.
async fn connect_to(url: &Url, target: &Target, proof: Proof<'_>) -> Result<Client, ConnectError> {
    let host = target.to_string();
    let unreachable = |source: io::Error| ConnectError::Unreachable {
        host: host.clone(),
        source: Box::new(source),
    };
    let mut config = common(&url.config);
    let (password, advice) = match proof {
        Proof::Password(advice) => (url.config.get_password().map(ToOwned::to_owned), advice),
        Proof::Token(tokens) => {
            let token = tokens.token(target, url.config.get_user().unwrap_or_default())?;
            (Some(token.into_bytes()), advice::IAM)
        }
    };
    if let Some(password) = &password {
        config.password(password);
    }
    let attempt = Attempt {
        host: &host,
        user: url.config.get_user(),
        has_password: password.is_some(),
        advice,
    };
    let limit = url
        .config
        .get_connect_timeout()
        .copied()
        .unwrap_or(CONNECT_TIMEOUT);
    let addresses = tokio::time::timeout(limit, target.addresses())
        .await
        .map_err(|elapsed| unreachable(elapsed.into()))?
        .map_err(unreachable)?;
    let mut last = None;
    for address in addresses {
        let config = at(&config, target, address);
        let connecting = Attempting {
            url,
            target,
            config,
            attempt,
        };
        match tokio::time::timeout(limit, connecting.connect()).await {
            Ok(Err(error)) if error.is_about_credentials() => return Err(error),
            Ok(Err(error)) => last = Some(error),
            Ok(connected) => return connected,
            Err(elapsed) => last = Some(unreachable(elapsed.into())),
        }
    }
    Err(last.unwrap_or_else(|| unreachable(io::ErrorKind::NotFound.into())))
}

/// One address of one host.
struct Attempting<'a> {
    url: &'a Url,
    target: &'a Target,
    config: Config,
    attempt: Attempt<'a>,
}

impl Attempting<'_> {
    async fn connect(mut self) -> Result<Client, ConnectError> {
        let ssl_mode = self.url.ssl_mode();
        // A Unix socket has no TLS, whatever is asked for: so has libpq.
        if ssl_mode == SslMode::Disable || self.target.name().is_none() {
            return self.connect_plainly().await;
        }
        self.config.ssl_mode(DriverMode::Require);
        let tls = tls::client_config(self.url, self.target)?;
        match self.try_connect(MakeRustlsConnect::new(tls)).await {
            Err(ConnectError::NoTls { .. }) if ssl_mode == SslMode::Prefer => {
                self.connect_plainly().await
            }
            connected => connected,
        }
    }

    async fn connect_plainly(mut self) -> Result<Client, ConnectError> {
        if self.target.is_on_this_machine() {
            self.config
                .ssl_mode(DriverMode::Disable)
                .ssl_negotiation(SslNegotiation::Postgres);
            return self.try_connect(NoTls).await;
        }
        self.config
            .ssl_mode(DriverMode::Require)
            .ssl_negotiation(SslNegotiation::Direct);
        self.try_connect(Guard).await
    }

    async fn try_connect<T>(&self, tls: T) -> Result<Client, ConnectError>
    where
        T: MakeTlsConnect<Socket, Stream: Send + 'static, TlsConnect: Send>,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let connected = self.config.connect(tls).await;
        let (client, connection) =
            connected.map_err(|error| ConnectError::new(self.attempt, error))?;
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
}

/// What is the same for all servers of a URL. No `options` and no settings of ours: RDS Proxy refuses the ones, and
/// keeps a session with any of the others to itself.
fn common(url: &Config) -> Config {
    let mut config = Config::new();
    if let Some(user) = url.get_user() {
        config.user(user);
    }
    if let Some(database) = url.get_dbname() {
        config.dbname(database);
    }
    if let Some(options) = url.get_options() {
        config.options(options);
    }
    if let Some(name) = url.get_application_name() {
        config.application_name(name);
    }
    if let Some(timeout) = url.get_connect_timeout() {
        config.connect_timeout(*timeout);
    }
    if let Some(timeout) = url.get_tcp_user_timeout() {
        config.tcp_user_timeout(*timeout);
    }
    if let Some(interval) = url.get_keepalives_interval() {
        config.keepalives_interval(interval);
    }
    if let Some(retries) = url.get_keepalives_retries() {
        config.keepalives_retries(retries);
    }
    config
        .keepalives(url.get_keepalives())
        .keepalives_idle(url.get_keepalives_idle())
        .ssl_negotiation(url.get_ssl_negotiation())
        .channel_binding(url.get_channel_binding())
        .target_session_attrs(url.get_target_session_attrs());
    config
}

fn at(common: &Config, target: &Target, address: Option<IpAddr>) -> Config {
    let mut config = common.clone();
    match &target.host {
        Host::Tcp(name) => config.host(name),
        #[cfg(unix)]
        Host::Unix(folder) => config.host_path(folder),
    };
    if let Some(address) = address {
        config.hostaddr(address);
    }
    config.port(target.port);
    config
}

/// Any order, another one each time: the standard library draws the keys of its hash maps at random.
fn shuffle(targets: &mut [Target]) {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new();
    targets.sort_by_cached_key(|target| random.hash_one(target.to_string()));
}
