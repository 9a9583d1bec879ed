//! A PostgreSQL that is far away by name, and connections to it by what the environment says.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "every test file uses another part; a test that cannot start must stop"
)]

use shared::config::{Env, FromEnv};
use shared::database::{ConnectError, Connection, Database, Settings};
use tempfile::TempDir;
use testkit::{Authority, Postgres};

/// A name that no name service knows: it is reached by its address, and is not this machine's to the product.
pub(crate) const HOST: &str = "db.example.com";
pub(crate) const USER: &str = "app";
pub(crate) const PASSWORD: &str = "geheim";

/// A server with a certificate for [`HOST`], and the user [`USER`].
pub(crate) struct Remote {
    pub(crate) postgres: Postgres,
    pub(crate) authority: Authority,
    folder: TempDir,
}

impl Remote {
    /// Without TLS, and with these rules for connections.
    pub(crate) async fn start(rules: &str) -> Self {
        let mut postgres = Postgres::start_own().await;
        let create = format!("create role {USER} login password '{PASSWORD}'");
        postgres
            .connect()
            .await
            .batch_execute(&create)
            .await
            .unwrap();
        postgres.allow(rules).await;
        Self {
            postgres,
            authority: Authority::new(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// With TLS, without which the user is not let in.
    pub(crate) async fn start_with_tls() -> Self {
        let mut remote = Self::start("hostssl all app 127.0.0.1/32 scram-sha-256").await;
        let issued = remote.authority.issue(&[HOST]);
        remote.postgres.use_tls(&issued).await;
        remote
    }

    /// The URL with these options.
    pub(crate) fn url(&self, options: &str) -> String {
        let port = self.postgres.address().port();
        format!("postgresql://{USER}:{PASSWORD}@{HOST}:{port}/test?hostaddr=127.0.0.1{options}")
    }

    /// The option that trusts the server's authority.
    pub(crate) fn trust(&self) -> String {
        self.trust_in(&self.authority.certificate())
    }

    /// The option that trusts these certificates.
    pub(crate) fn trust_in(&self, certificates: &str) -> String {
        let path = self.folder.path().join("roots.pem");
        std::fs::write(&path, certificates).unwrap();
        format!("&sslrootcert={}", path.display())
    }
}

/// A database as the environment describes it.
pub(crate) fn database(values: &[(&str, &str)]) -> Database {
    let env = Env::new(values.iter().copied());
    Database::new(Settings::read(env).unwrap())
}

pub(crate) async fn open(url: &str) -> Result<Connection, ConnectError> {
    database(&[("DATABASE_URL", url)]).open().await
}

/// The error and its causes, without what differs from run to run.
pub(crate) fn text(error: &ConnectError, port: u16) -> String {
    shared::telemetry::chain(error)
        .to_string()
        .replace(&port.to_string(), "PORT")
}

/// Whether the server sees TLS on this connection.
pub(crate) async fn is_encrypted(connection: &Connection) -> bool {
    let query = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    let row = connection.client.query_typed_one(query, &[]).await.unwrap();
    row.get(0)
}
