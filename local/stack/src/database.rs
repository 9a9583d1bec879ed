use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use private_postgres::Cluster;
use sha2::{Digest, Sha256};
use shared::{database::Url, telemetry::chain};

use crate::{Config, Error, folder::Folder};

/// Where PostgreSQL's files go when its user cannot enter the data folder.
const ELSEWHERE: &str = "/var/lib/holdfast";
/// How often the private server is looked after.
const LOOK: Duration = Duration::from_millis(250);
/// Pause after a restart that failed.
const PAUSE: Duration = Duration::from_secs(5);

/// PostgreSQL: ours, or the user's.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) text: String,
    pub(crate) url: Url,
    cluster: Option<Cluster>,
}

impl Database {
    /// Starts the private cluster, unless the user has a database.
    pub(crate) async fn start(config: &Config, folder: &Folder) -> Result<Self, Error> {
        if let Some(given) = &config.database
            && !is_private(&given.text, config.postgres_port)
        {
            return Ok(Self {
                text: given.text.clone(),
                url: given.url.clone(),
                cluster: None,
            });
        }
        let cluster = start_private(folder.path(), config.postgres_port)
            .await
            .map_err(|error| match error {
                private_postgres::Error::PortTaken { port } => Error::PortTaken {
                    port,
                    what: "PostgreSQL",
                    variable: "HOLDFAST_POSTGRES_PORT",
                },
                private_postgres::Error::NoSpace { folder } => Error::NoSpace { folder },
                private_postgres::Error::InUse { folder } => Error::InUse { folder },
                error => Error::Postgres(error),
            })?;
        let text = cluster.url("holdfast");
        let url = text
            .parse()
            .map_err(|_error| Error::Postgres(private_postgres::Error::NotRunning))?;
        Ok(Self {
            text,
            url,
            cluster: Some(cluster),
        })
    }

    /// The private cluster's folder.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.cluster.as_ref().map(Cluster::folder)
    }

    /// Where the private cluster's `psql` is, which need not be in the `PATH`.
    pub(crate) fn psql(&self) -> Option<PathBuf> {
        self.cluster.as_ref().map(|cluster| cluster.program("psql"))
    }

    /// Starts the private server again whenever it ended by itself. Never returns.
    pub(crate) async fn look_after(&mut self) {
        let Some(cluster) = &mut self.cluster else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(LOOK).await;
            if cluster.is_running() {
                continue;
            }
            tracing::error!("PostgreSQL ended by itself; starting it again");
            if let Err(error) = cluster.start().await {
                tracing::error!(error = %chain(&error), "PostgreSQL does not start");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    pub(crate) async fn stop(mut self) {
        if let Some(cluster) = &mut self.cluster {
            cluster.stop().await;
        }
    }
}

/// Whether a URL is the one that this program wrote for its private cluster. A shell that has read the `env` file
/// holds it, and the next start from there must not take it for a database of the user's.
fn is_private(url: &str, port: u16) -> bool {
    url.starts_with("postgresql://holdfast:")
        && url.ends_with(&format!("@127.0.0.1:{port}/holdfast"))
}

/// In the data folder, or elsewhere when we are root and the data folder is closed to PostgreSQL's user.
async fn start_private(folder: &Path, port: u16) -> Result<Cluster, private_postgres::Error> {
    let (here, elsewhere) = (folder.join("postgres"), elsewhere(folder));
    // Data made elsewhere stays there, even when the folder has been opened since.
    let settled = elsewhere.join("data").exists() && !here.join("data").exists();
    if !settled {
        match Cluster::persistent(&here, port).await {
            Err(private_postgres::Error::Unreachable { .. }) => {}
            outcome => return outcome,
        }
    }
    Cluster::persistent(&elsewhere, port).await
}

/// One place per data folder.
fn elsewhere(folder: &Path) -> PathBuf {
    let digest = hex::encode(Sha256::digest(folder.as_os_str().as_encoded_bytes()));
    Path::new(ELSEWHERE)
        .join(digest.get(..16).unwrap_or(&digest))
        .join("postgres")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_url_of_ones_own_making_is_private() {
        assert!(is_private(
            "postgresql://holdfast:x@127.0.0.1:9005/holdfast",
            9005
        ));
        for other in [
            "postgresql://holdfast:x@127.0.0.1:5432/holdfast",
            "postgresql://me:x@127.0.0.1:9005/holdfast",
            "postgresql://holdfast:x@db.example.com:9005/holdfast",
        ] {
            assert!(!is_private(other, 9005), "{other}");
        }
    }

    #[test]
    fn each_folder_has_its_place_elsewhere() {
        let one = elsewhere(Path::new("/srv/one/.holdfast"));
        assert_eq!(one, elsewhere(Path::new("/srv/one/.holdfast")));
        assert_ne!(one, elsewhere(Path::new("/srv/two/.holdfast")));
        assert!(one.starts_with(ELSEWHERE) && one.ends_with("postgres"));
    }
}
