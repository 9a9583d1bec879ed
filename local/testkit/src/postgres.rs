use std::{env, net::SocketAddr, thread};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use private_postgres::Cluster;
use tokio_postgres::{Client, NoTls};

use crate::Issued;

/// The variable that points tests at a server of the user's own.
const TEST_DATABASE_URL: &str = "TEST_DATABASE_URL";

/// An empty database for one test, gone with it.
#[derive(Debug)]
pub struct Postgres {
    url: String,
    server: Server,
}

#[derive(Debug)]
enum Server {
    Own(Box<Cluster>),
    Given { url: String, database: String },
}

impl Postgres {
    /// A database on a server of its own, reached by a Unix socket; or, where `TEST_DATABASE_URL` is set, one
    /// of its own on that server, whose user must be allowed to create databases.
    ///
    /// # Panics
    ///
    /// There is no PostgreSQL, or it does not start.
    pub async fn start() -> Self {
        let Some(url) = env::var(TEST_DATABASE_URL)
            .ok()
            .filter(|url| !url.is_empty())
        else {
            return Self::own(
                Cluster::temporary()
                    .await
                    .unwrap_or_else(|error| panic!("{error}")),
            )
            .await;
        };
        let database = random_name();
        let client = connect(&url).await;
        let created = client
            .batch_execute(&format!("CREATE DATABASE {database}"))
            .await;
        created.unwrap_or_else(|error| {
            panic!("{TEST_DATABASE_URL} cannot make a database: {error:?}")
        });
        Self {
            url: with_database(&url, &database),
            server: Server::Given { url, database },
        }
    }

    /// A database on a server of its own in any case, on a port of 127.0.0.1, for tests that put a
    /// [`Proxy`](crate::Proxy) before it or stop it.
    ///
    /// # Panics
    ///
    /// There is no PostgreSQL, or it does not start.
    pub async fn start_own() -> Self {
        Self::own(
            Cluster::temporary_on_tcp()
                .await
                .unwrap_or_else(|error| panic!("{error}")),
        )
        .await
    }

    async fn own(cluster: Cluster) -> Self {
        let url = cluster
            .database("test")
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        Self {
            url,
            server: Server::Own(Box::new(cluster)),
        }
    }

    /// The libpq URL of the database.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The libpq URL of the database as reached through `address`, which a [`Proxy`](crate::Proxy) has.
    ///
    /// # Panics
    ///
    /// The server was not started by [`Postgres::start_own`].
    pub fn url_through(&self, address: SocketAddr) -> String {
        self.url
            .replacen(&self.address().to_string(), &address.to_string(), 1)
    }

    /// Where the server listens.
    ///
    /// # Panics
    ///
    /// The server was not started by [`Postgres::start_own`].
    pub fn address(&self) -> SocketAddr {
        match &self.server {
            Server::Own(cluster) => cluster.address(),
            Server::Given { .. } => None,
        }
        .expect("a server with an address of its own is started by `Postgres::start_own`")
    }

    /// A new session.
    ///
    /// # Panics
    ///
    /// The server does not accept it.
    pub async fn connect(&self) -> Client {
        connect(&self.url).await
    }

    /// Starts the server anew with TLS, and with this certificate.
    ///
    /// # Panics
    ///
    /// The server was not started by [`Postgres::start_own`], or does not take the certificate.
    pub async fn use_tls(&mut self, issued: &Issued) {
        let cluster = self.cluster();
        let mut settings = vec!["ssl=on".to_owned()];
        for (setting, name, content) in [
            ("ssl_cert_file", "server.crt", &issued.certificate),
            ("ssl_key_file", "server.key", &issued.key),
        ] {
            let file = cluster
                .place(name, content)
                .unwrap_or_else(|error| panic!("{error}"));
            settings.push(format!("{setting}={}", file.display()));
        }
        cluster
            .configure(settings)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Starts the server anew with these rules (lines of `pg_hba.conf`) for everybody but its superuser, whom
    /// [`Postgres::connect`] is.
    ///
    /// # Panics
    ///
    /// The server was not started by [`Postgres::start_own`], or does not understand the rules.
    pub async fn allow(&mut self, rules: &str) {
        let cluster = self.cluster();
        let rules = format!(
            "local all,replication all trust\nhost all holdfast 127.0.0.1/32 trust\n{rules}\n"
        );
        let file = cluster
            .place("rules.conf", &rules)
            .unwrap_or_else(|error| panic!("{error}"));
        cluster
            .configure([format!("hba_file={}", file.display())])
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// The server, to stop, restart or kill.
    ///
    /// # Panics
    ///
    /// The server was not started by [`Postgres::start_own`]: one that is the user's is not ours to stop.
    pub fn cluster(&mut self) -> &mut Cluster {
        match &mut self.server {
            Server::Own(cluster) => cluster,
            Server::Given { .. } => panic!("a server to stop is started by `Postgres::start_own`"),
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Server::Given { url, database } = &self.server else {
            return;
        };
        let (url, statement) = (
            url.clone(),
            format!("DROP DATABASE {database} WITH (FORCE)"),
        );
        // A thread, because a runtime cannot be entered from within another. A database that stays behind
        // harms no other test.
        let dropping = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime
                .expect("a runtime starts")
                .block_on(async { connect(&url).await.batch_execute(&statement).await })
        });
        let _ = dropping.join();
    }
}

async fn connect(url: &str) -> Client {
    let connected = tokio_postgres::connect(url, NoTls).await;
    let (client, connection) =
        connected.unwrap_or_else(|error| panic!("PostgreSQL does not answer: {error:?}"));
    tokio::spawn(connection); // ends with the client
    client
}

fn random_name() -> String {
    let mut random = [0; 8];
    getrandom::fill(&mut random).expect("the system has random bytes");
    format!("holdfast_test_{}", hex::encode(random))
}

/// The same server, another database: for `postgresql://user@host/database?options` and for `key=value` pairs.
fn with_database(url: &str, database: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return format!("{url} dbname={database}");
    };
    let (location, options) = rest
        .split_once('?')
        .map_or((rest, String::new()), |(location, options)| {
            (location, format!("?{options}"))
        });
    let server = location.split('/').next().unwrap_or_default();
    format!(
        "{scheme}://{server}/{}{options}",
        utf8_percent_encode(database, NON_ALPHANUMERIC)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_server() {
        assert_eq!(
            with_database("postgresql://u:p@h:1/old?sslmode=disable", "n"),
            "postgresql://u:p@h:1/n?sslmode=disable"
        );
        assert_eq!(with_database("postgres://h", "n"), "postgres://h/n");
        assert_eq!(
            with_database("postgresql://u@/old?host=/tmp/x", "n"),
            "postgresql://u@/n?host=/tmp/x"
        );
        assert_eq!(
            with_database("host=h dbname=old", "n"),
            "host=h dbname=old dbname=n"
        );
    }
}
