//! The executables that are deployed, over the Lambda Runtime API, against one that does nothing.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use private_postgres::Cluster;
use serde_json::{Value, json};
use testkit::{Function, RuntimeApi};
use tokio_postgres::{Client, NoTls};

use crate::Failure;
use crate::batch::{Batch, Kind, version_deleted};
use crate::figures::{if_measured, median_milliseconds, megabytes, milliseconds};
use crate::machine::{executable, free_port};
use crate::process::Process;
use crate::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server};
use crate::start;
use crate::tls::TlsFront;

const FIRST_INVOCATIONS: usize = 15;
const WARM_INVOCATIONS: usize = 1_000;
/// A process that has answered or polled is asleep again by then, and the kernel has counted its work.
pub(crate) const SETTLED: Duration = Duration::from_millis(2);

const BUCKET: &str = "documents";
const KEY: &str = "asked.pdf";

/// Measures sizes, start-up, first and warm invocations.
pub(crate) async fn run(folder: &Path) -> Result<(), Failure> {
    let mut tcp = Cluster::persistent(&folder.join("lambda"), free_port()?).await?;
    let mut socket = Cluster::temporary().await?;
    let store = Server::start(&folder.join("asked")).await?;
    let front = TlsFront::start(store.address, folder).await?;
    println!(
        "the functions as deployed (release, fat LTO), under the Lambda Runtime API on this machine;\n\
         floor = idle-function, which answers null. CPU and memory as the kernel counts them.\n"
    );
    sizes()?;
    let urls = [
        "postgresql://nobody@127.0.0.1:1/nothing".to_owned(),
        socket.database("bench").await?,
        tcp.url("holdfast"),
    ];
    start::run(&urls, &store, &front).await?;
    first_invocations(tcp.url("holdfast"), &store, &front).await?;
    warm_invocations(tcp.url("holdfast")).await?;
    println!("target: first invocation with TLS <= 10 ms CPU\n");
    tcp.stop().await;
    socket.stop().await;
    Ok(())
}

fn sizes() -> Result<(), Failure> {
    println!("{:>44} {:>8} {:>8}", "", "MB", "zip MB");
    for name in ["idle-function", "document-sync", "registry"] {
        let bytes = std::fs::read(executable(name)?)?;
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&bytes)?;
        // The one entry of the archive: its two headers and the end record are some 130 bytes more.
        let compressed = encoder.finish()?;
        println!(
            "{name:>44} {:>8.2} {:>8.2}",
            megabytes(u64::try_from(bytes.len())?),
            megabytes(u64::try_from(compressed.len())?)
        );
    }
    Ok(())
}

/// The first invocation of a process, where it has to ask S3 over TLS; and the second, over the same connection.
async fn first_invocations(url: String, store: &Server, front: &TlsFront) -> Result<(), Failure> {
    store.client.create_bucket().bucket(BUCKET).send().await?;
    let object = store.client.put_object().bucket(BUCKET).key(KEY);
    let put = object.body(b"asked"[..].to_vec().into()).send().await?;
    let etag = put.e_tag().unwrap_or_default().trim_matches('"').to_owned();
    let sql = connect(&url).await?;
    let names = [
        "first, asks S3 over new TLS",
        "second, asks S3 over the same TLS",
    ];
    let mut wall: [Vec<Duration>; 2] = Default::default();
    let mut cpu: [Vec<Duration>; 2] = Default::default();
    for _ in 0..FIRST_INVOCATIONS {
        let function = document_sync(&url, Some(front)).await?;
        function.ready().await?;
        for subject in 0..names.len() {
            // What is known already is not asked again.
            sql.batch_execute("truncate document, s3_object").await?;
            let work = invoke(&function, &version_deleted(BUCKET, KEY)).await?;
            wall[subject].push(work.wall);
            cpu[subject].extend(work.cpu);
            // Only S3 could tell.
            let known: Vec<String> = sql
                .query("select etag from document", &[])
                .await?
                .iter()
                .map(|row| row.get(0))
                .collect();
            if known != [etag.clone()] {
                return Err(format!("S3 was not asked: {known:?} {}", function.stdout()).into());
            }
        }
        function.kill().await;
    }
    println!(
        "\n{:>44} {:>8} {:>8}",
        format!("invocation, HeadObject, {FIRST_INVOCATIONS} each"),
        "p50 ms",
        "CPU ms"
    );
    for (subject, name) in names.into_iter().enumerate() {
        println!(
            "{name:>44} {:>8.2} {:>8}",
            median_milliseconds(&wall[subject]),
            if_measured(&milliseconds(&cpu[subject]))
        );
    }
    Ok(())
}

/// A record at a time, many times, and what that leaves in memory.
async fn warm_invocations(url: String) -> Result<(), Failure> {
    let sql = connect(&url).await?;
    sql.batch_execute("truncate document, s3_object").await?;
    let names = ["floor", "one new document, durable commit"];
    let functions = [idle().await?, document_sync(&url, None).await?];
    let mut wall: [Vec<Duration>; 2] = Default::default();
    let mut cpu: [Vec<Duration>; 2] = Default::default();
    for function in &functions {
        function.ready().await?;
    }
    for number in 0..WARM_INVOCATIONS {
        let batch = Batch {
            folder: "reports",
            size: 1,
            number,
        };
        let event = batch.payload(Kind::Create);
        for (subject, function) in functions.iter().enumerate() {
            let work = invoke(function, &event).await?;
            wall[subject].push(work.wall);
            cpu[subject].extend(work.cpu);
        }
    }
    let rows: i64 = sql
        .query_one("select count(*) from document", &[])
        .await?
        .get(0);
    if usize::try_from(rows)? != WARM_INVOCATIONS {
        return Err(format!("{rows} of {WARM_INVOCATIONS} rows are there").into());
    }
    println!(
        "\n{:>44} {:>8} {:>8} {:>8}",
        format!("invocation, warm, {WARM_INVOCATIONS} each"),
        "p50 ms",
        "CPU ms",
        "MB after"
    );
    for (subject, name) in names.into_iter().enumerate() {
        let resident = process(&functions[subject]).and_then(Process::resident_bytes);
        println!(
            "{name:>44} {:>8.2} {:>8} {:>8}",
            median_milliseconds(&wall[subject]),
            if_measured(&milliseconds(&cpu[subject])),
            if_measured(&resident.map(megabytes).into_iter().collect::<Vec<_>>())
        );
        functions[subject].kill().await;
    }
    Ok(())
}

/// What one invocation took.
struct Work {
    wall: Duration,
    cpu: Option<Duration>,
}

async fn invoke(function: &Function, event: &Value) -> Result<Work, Failure> {
    tokio::time::sleep(SETTLED).await;
    let before = process(function).and_then(Process::cpu);
    let started = Instant::now();
    let answer = function.invoke(event).await?;
    let wall = started.elapsed();
    tokio::time::sleep(SETTLED).await;
    let after = process(function).and_then(Process::cpu);
    if answer != json!({ "batchItemFailures": [] }) && answer != Value::Null {
        return Err(format!("{answer}: {}", function.stdout()).into());
    }
    Ok(Work {
        wall,
        cpu: before
            .zip(after)
            .and_then(|(before, after)| after.checked_sub(before)),
    })
}

pub(crate) async fn idle() -> Result<Function, Failure> {
    Ok(RuntimeApi::start()
        .await
        .run(executable("idle-function")?, &[]))
}

/// With the variables that Lambda and the template set, and an S3 behind TLS where there is one.
pub(crate) async fn document_sync(
    url: &str,
    front: Option<&TlsFront>,
) -> Result<Function, Failure> {
    let certificate;
    let mut variables = vec![
        ("DATABASE_URL", url),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
    ];
    if let Some(front) = front {
        certificate = front.certificate.to_string_lossy();
        variables.push(("AWS_ENDPOINT_URL_S3", &front.endpoint));
        variables.push(("SSL_CERT_FILE", &certificate));
    }
    let binary = executable("document-sync")?;
    Ok(RuntimeApi::start().await.run(binary, &variables))
}

/// The process that a function is.
pub(crate) fn process(function: &Function) -> Option<Process> {
    function.pid().map(Process)
}

/// A session beside the one that is measured.
pub(crate) async fn connect(url: &str) -> Result<Client, Failure> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection); // ends with the client
    Ok(client)
}
