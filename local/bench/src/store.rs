//! The embedded S3 over TCP, as a process of its own, against the network and the disk in the same rounds.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use crate::Failure;
use crate::connection::Connection;
use crate::figures::{NOT_MEASURED, median, megabytes, percentile, rate};
use crate::process::Process;
use crate::server::Server;

const BUCKET: &str = "bench";
const LARGE: usize = 64 * 1024 * 1024;
const SMALL: usize = 1024;
const ROUNDS: usize = 7;
/// How many connections ask for small objects at once, how long, and of how many objects each.
const CONNECTIONS: usize = 16;
const SMALL_FOR: Duration = Duration::from_secs(4);
const OBJECTS: usize = 256;
/// The parts in which 1 GiB is sent.
const CHUNK: usize = 1024 * 1024;
const CHUNKS: usize = 1024;

/// Measures large objects, small objects, and the memory that a very large one takes.
pub(crate) async fn run(folder: &Path) -> Result<(), Failure> {
    let server = Server::start(&folder.join("objects")).await?;
    server.client.create_bucket().bucket(BUCKET).send().await?;
    println!(
        "embedded S3, release build, over TCP, every object forced to the disk. The client is plain HTTP with\n\
         presigned URLs, because the SDK's own checksums would hide the server; the last two columns are the SDK.\n"
    );
    let at_start = resident(&server);
    large(&server, folder).await?;
    small(&server).await?;
    memory(&server, &at_start).await?;
    println!("targets: 64 MiB both ways at >= 200 MB/s; 1 KiB GETs at >= 3000/s");
    Ok(())
}

/// 64 MiB each way, in turn with what the network and the disk do alone.
async fn large(server: &Server, folder: &Path) -> Result<(), Failure> {
    let body = Bytes::from(pattern(LARGE)?);
    let put = server.put_target(BUCKET, "large").await?;
    let get = server.get_target(BUCKET, "large").await?;
    let mut connection = Connection::open(server.address).await?;
    let file = folder.join("floor");
    let mut rates: [Vec<f64>; 6] = Default::default();
    for round in 0..=ROUNDS {
        let mut times = [Duration::ZERO; 6];
        let (bytes, path) = (body.clone(), file.clone());
        times[0] = tokio::task::spawn_blocking(move || through_loopback(bytes)).await??;
        let bytes = body.clone();
        times[1] = tokio::task::spawn_blocking(move || to_disk(&bytes, path)).await??;

        let started = Instant::now();
        connection.put(&put, &body, 1).await?;
        times[2] = started.elapsed();

        if round == 0 && connection.get_whole(&get).await? != body {
            return Err("the object is not what was put".into());
        }
        let started = Instant::now();
        expect_length(LARGE, connection.get(&get).await?)?;
        times[3] = started.elapsed();

        let object = server.client.put_object().bucket(BUCKET).key("large");
        let started = Instant::now();
        object.body(ByteStream::from(body.clone())).send().await?;
        times[4] = started.elapsed();

        let object = server.client.get_object().bucket(BUCKET).key("large");
        let started = Instant::now();
        let mut output = object.send().await?;
        let mut length = 0;
        while let Some(bytes) = output.body.try_next().await? {
            length += u64::try_from(bytes.len())?;
        }
        times[5] = started.elapsed();
        expect_length(LARGE, length)?;

        // The first round warms up.
        if round > 0 {
            let size = megabytes(u64::try_from(LARGE)?);
            rates
                .iter_mut()
                .zip(times)
                .for_each(|(rates, time)| rates.push(size / time.as_secs_f64()));
        }
    }
    println!(
        "{:>20} {:>9} {:>12} | {:>6} {:>6} | {:>8} {:>8}",
        "64 MiB, MB/s", "loopback", "write+fsync", "PUT", "GET", "SDK PUT", "SDK GET"
    );
    for (name, percent) in [("median", 50), ("slowest tenth", 10)] {
        let [loopback, disk, put, get, sdk_put, sdk_get] =
            rates.each_ref().map(|rates| percentile(rates, percent));
        println!(
            "{name:>20} {loopback:>9.0} {disk:>12.0} | {put:>6.0} {get:>6.0} | {sdk_put:>8.0} {sdk_get:>8.0}"
        );
    }
    Ok(())
}

/// 1 KiB objects from 16 connections at once: all are put, then asked for, each connection its own.
async fn small(server: &Server) -> Result<(), Failure> {
    let body = Bytes::from(pattern(SMALL)?);
    let (mut puts, mut gets) = (Vec::new(), Vec::new());
    for connection in 0..CONNECTIONS {
        let (mut put, mut get) = (Vec::new(), Vec::new());
        for object in 0..OBJECTS {
            let key = format!("small/{connection}/{object}");
            put.push(server.put_target(BUCKET, &key).await?);
            get.push(server.get_target(BUCKET, &key).await?);
        }
        puts.push(put);
        gets.push(get);
    }
    let put = repeat(server, puts, Some(body)).await?;
    let get = repeat(server, gets, None).await?;
    println!(
        "\n{:>20} {:>8} {:>8} {:>8}",
        "1 KiB, 16 connections", "per s", "p50 ms", "p99 ms"
    );
    for (name, (rate, latencies)) in [("PUT", put), ("GET", get)] {
        println!(
            "{name:>21} {rate:>8.0} {:>8.2} {:>8.2}",
            median(&latencies),
            percentile(&latencies, 99)
        );
    }
    Ok(())
}

/// Each connection repeats its own requests for a while, the whole list once at the least. Gives the requests per
/// second of all together and their latencies in milliseconds.
async fn repeat(
    server: &Server,
    targets: Vec<Vec<String>>,
    body: Option<Bytes>,
) -> Result<(f64, Vec<f64>), Failure> {
    let mut connections = Vec::new();
    for targets in targets {
        connections.push((Connection::open(server.address).await?, targets));
    }
    let started = Instant::now();
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|(mut connection, targets)| {
            let body = body.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                for (sent, target) in targets.iter().cycle().enumerate() {
                    if sent >= targets.len() && started.elapsed() >= SMALL_FOR {
                        break;
                    }
                    let sent_at = Instant::now();
                    match &body {
                        Some(body) => connection.put(target, body, 1).await?,
                        None => expect_length(SMALL, connection.get(target).await?)?,
                    }
                    latencies.push(sent_at.elapsed().as_secs_f64() * 1e3);
                }
                Ok::<_, Failure>(latencies)
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    Ok((rate(latencies.len(), started.elapsed()), latencies))
}

/// What 1 GiB leaves in the server's memory on its way in and out.
async fn memory(server: &Server, at_start: &str) -> Result<(), Failure> {
    let mut connection = Connection::open(server.address).await?;
    let before = resident(server);
    let chunk = Bytes::from(pattern(CHUNK)?);
    let target = server.put_target(BUCKET, "very large").await?;
    connection.put(&target, &chunk, CHUNKS).await?;
    let after_put = resident(server);
    let target = server.get_target(BUCKET, "very large").await?;
    expect_length(CHUNK * CHUNKS, connection.get(&target).await?)?;
    println!(
        "\nresident memory of the server: {at_start} at its start, {before} after all of the above,\n\
         {after_put} after an upload of 1 GiB, {} after its download\n",
        resident(server)
    );
    Ok(())
}

fn resident(server: &Server) -> String {
    let bytes = server.process().and_then(Process::resident_bytes);
    bytes.map_or(NOT_MEASURED.to_owned(), |bytes| {
        format!("{:.1} MB", megabytes(bytes))
    })
}

fn expect_length(expected: usize, length: u64) -> Result<(), Failure> {
    if length == u64::try_from(expected)? {
        Ok(())
    } else {
        Err(format!("{length} of {expected} bytes arrived").into())
    }
}

/// The least a transfer takes: from one thread to another through a socket.
fn through_loopback(bytes: Bytes) -> Result<Duration, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let length = bytes.len();
    let started = Instant::now();
    let writer = thread::spawn(move || TcpStream::connect(address)?.write_all(&bytes));
    let (mut stream, _) = listener.accept()?;
    let mut buffer = vec![0; CHUNK];
    let mut arrived = 0;
    while let read @ 1.. = stream.read(&mut buffer)? {
        arrived += read;
    }
    let elapsed = started.elapsed();
    writer.join().map_err(|_panic| "the writer panicked")??;
    expect_length(length, u64::try_from(arrived)?)?;
    Ok(elapsed)
}

/// The least a durable write takes: a new file, forced to the disk.
fn to_disk(bytes: &[u8], path: PathBuf) -> Result<Duration, Failure> {
    let started = Instant::now();
    let mut file = File::create(&path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let elapsed = started.elapsed();
    std::fs::remove_file(path)?;
    Ok(elapsed)
}

/// Bytes that are not all the same.
fn pattern(length: usize) -> Result<Vec<u8>, Failure> {
    (0..length)
        .map(|index| Ok(u8::try_from((index * 31 + index / 251) % 256)?))
        .collect()
}
