//! `make bench`: what Holdfast costs, against floors measured in the same run.
//!
//! A figure alone tells of the machine; its ratio to a floor tells of the program. So each is measured in
//! turn with the least that could do the same work, and the medians are printed beside the targets.
//!
//! - `sync`: rows per second of document-sync, against one bare statement. `batch` makes the events.
//! - `reconcile`: objects per second and memory of comparing a large `bucket`, against listing it.
//! - `lambda`: start-up, memory, CPU and size of the executables that are deployed, against `idle-function`.
//!   `start` is from the process to its first poll, `process` reads what the kernel counted, `tls` puts the store behind HTTPS.
//! - `indexed`, `alone` and `downloads`: the operations of the registry's `api`, against the calls of storage they need.
//! - `loader`: documents and megabytes per second of document-loader, against bare reads; and of extracting, by format.
//!   `documents` makes them.
//! - `store`: the embedded S3 over TCP, against the network and the disk. `server` runs it, `connection`
//!   asks it.
//!
//! The executables lie beside this one, built by `tools/bench.sh`, which passes its `arguments` on: the names of what
//! to measure, all without any.
#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark prints its figures, and stops at its own mistakes"
)]

mod api;
mod arguments;
mod batch;
mod bucket;
mod connection;
mod documents;
mod figures;
mod lambda;
mod loader;
mod machine;
mod process;
mod reconcile;
mod server;
mod start;
mod store;
mod sync;
mod tls;

use std::time::Duration;

use arguments::Arguments;

/// A benchmark that cannot measure says why and stops.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// All of it takes some ten minutes; on a machine where it takes this long, something hangs.
const LIMIT: Duration = Duration::from_hours(1);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::read(std::env::args().skip(1))?;
    tokio::select! {
        outcome = tokio::time::timeout(LIMIT, measure(&arguments)) => outcome?,
        // Leaving by this way, and not by the signal, removes the folder and ends the servers.
        interrupt = tokio::signal::ctrl_c() => {
            interrupt?;
            Err("interrupted".into())
        }
    }
}

async fn measure(arguments: &Arguments) -> Result<(), Failure> {
    let folder = machine::folder()?;
    println!(
        "{}; load average at the start: {}\n",
        machine::description(folder.path()),
        machine::load_average()
    );
    if arguments.includes("sync") {
        sync::run(folder.path()).await?;
    }
    if arguments.includes("reconcile") {
        reconcile::run(folder.path(), arguments.keys).await?;
    }
    if arguments.includes("indexed") {
        api::run_indexed(folder.path(), &arguments.artifacts).await?;
    }
    if arguments.includes("alone") {
        api::run_alone(folder.path()).await?;
    }
    if arguments.includes("downloads") {
        api::run_downloads(folder.path()).await?;
    }
    if arguments.includes("loader") {
        loader::run(folder.path()).await?;
    } else if arguments.includes("large") {
        loader::run_large(folder.path()).await?;
    }
    if arguments.includes("lambda") {
        lambda::run(folder.path()).await?;
    }
    if arguments.includes("store") {
        store::run(folder.path()).await?;
    }
    println!(
        "\nload average at the end, the bench's own work included: {}",
        machine::load_average()
    );
    Ok(())
}
