//! A PostgreSQL for an afternoon: prints folder, process id and URL, and is gone when it is killed.
use std::{
    future::pending,
    io::{Write, stdout},
};

use private_postgres::{Cluster, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let cluster = Cluster::temporary().await?;
    let pid = cluster.pid().unwrap_or_default();
    let written = writeln!(
        stdout(),
        "{}\n{pid}\n{}",
        cluster.folder().display(),
        cluster.url("postgres")
    );
    // Without a reader there is nobody to use the cluster.
    if written.is_ok() {
        pending::<()>().await;
    }
    Ok(())
}
