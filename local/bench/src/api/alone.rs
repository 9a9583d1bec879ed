//! Every operation without an index, with an S3 that is as far away as Amazon's.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::artifacts::Mould;
use super::calls::Calls;
use super::filling::{fill_bucket, put_files};
use super::floor::Floor;
use super::instance::{Instance, serve};
use super::load::of_requests;
use super::operations::{id_of, number, told};
use super::requests::Operation;
use crate::Failure;
use crate::figures::{median, milliseconds, percentile};
use crate::server::Server;

/// What each call of S3 takes longer than on this machine.
const DELAY: Duration = Duration::from_millis(15);
const SIZES: [usize; 2] = [500, 10_000];
/// With more than that, 64 connections that each want everything listed wait for minutes.
const MOST_LOADED: usize = 1_000;
/// New instances, each asked once.
const COLD: usize = 3;
const WARM: usize = 15;
/// So many artifacts have a file each: a few, that pages of the listing are full of artifacts.
const FILES: usize = 100;

/// Measures every operation with a few hundred and with ten thousand artifacts.
pub(crate) async fn run(folder: &Path) -> Result<(), Failure> {
    println!(
        "registry without an index: embedded S3, each call {} ms later. Cold is the first request of an instance, after\n\
         HeadBucket; warm are all later ones. Overhead is that of warm requests, over the same calls made alone, one\n\
         after the other; it is below zero where the registry makes them at the same time.\n",
        DELAY.as_millis()
    );
    let server = Server::start(&folder.join("alone")).await?;
    let mould = Mould::cast().await?;
    for artifacts in SIZES {
        let bucket = format!("alone-{artifacts}");
        fill_bucket(&server.client, &bucket, &mould, artifacts).await?;
        put_files(&server.client, &bucket, 1..=FILES).await?;
        println!(
            "{artifacts} artifacts; load average {}",
            crate::machine::load_average()
        );
        measure(&server, &bucket, artifacts).await?;
    }
    Ok(())
}

async fn measure(server: &Server, bucket: &str, artifacts: usize) -> Result<(), Failure> {
    let calls = Calls::default();
    let client = || calls.client(server.address, DELAY);
    let warm = Arc::new(Instance::start(client(), bucket, None).await?);
    let bare = Calls::default().client(server.address, DELAY);
    let mut floor = Floor::default();
    for round in 0..WARM {
        floor.measure(&bare, bucket, None, few(round)).await?;
    }
    println!(
        "{:>24} {:>9} {:<26} {:>8} {:>8} {:>8} {:>8}  {:<22} | {:>9} {:>8} {:>8} {:>7}",
        "",
        "cold ms",
        "S3 calls",
        "p50 ms",
        "p95 ms",
        "storage",
        "overhead",
        "S3 calls",
        "64: per s",
        "p50 ms",
        "p95 ms",
        "CPU ms"
    );
    let front = serve(client(), bucket, None).await?;
    let mut created = Vec::new();
    for operation in Operation::ALL {
        let mut cold = Vec::new();
        let mut cold_counts = Default::default();
        let mut times = Vec::new();
        let mut counts = Default::default();
        for round in 0..COLD + 1 + WARM {
            let of = match operation {
                Operation::Update | Operation::Delete => {
                    created.get(round).map_or("", String::as_str)
                }
                _ => "",
            };
            let request = operation.request(few(round), artifacts, of);
            let request = match operation {
                // Each is another one.
                Operation::Create | Operation::Update => operation.request(round, artifacts, of),
                _ => request,
            };
            let answered = if round < COLD {
                let instance = Instance::start(client(), bucket, None).await?;
                calls.take();
                let answered = instance.ask(&request).await?;
                cold.push(answered.took);
                cold_counts = calls.take();
                answered
            } else {
                calls.take();
                let answered = warm.ask(&request).await?;
                counts = calls.take();
                // The first one makes it warm.
                if round > COLD {
                    times.push(answered.took);
                }
                answered
            };
            if operation == Operation::Create {
                created.push(id_of(&answered.body)?);
            }
        }
        let load = if operation.changes_nothing() && artifacts <= MOST_LOADED {
            let request = move |task| operation.request(few(task), artifacts, "");
            let load = of_requests(&warm, front, request).await?;
            format!(
                "{:>9.0} {:>8.2} {:>8.2} {:>7.2}",
                load.rate, load.p50, load.p95, load.cpu
            )
        } else {
            String::new()
        };
        let times = milliseconds(&times);
        let (p50, storage) = (median(&times), floor.of(&counts, 0, 0));
        println!(
            "{:>24} {:>9.0} {:<26} {p50:>8.2} {:>8.2} {storage:>8.2} {:>8.2}  {:<22} | {load}",
            operation.name(),
            median(&milliseconds(&cold)),
            told(&cold_counts),
            percentile(&times, 95),
            p50 - storage,
            told(&counts),
        );
    }
    println!("floors, one at a time: {}\n", floor.told());
    Ok(())
}

/// One of the artifacts that have a file.
fn few(round: usize) -> usize {
    10 + number(round) % 90 / 10 * 10 + 1 + round % 9
}
