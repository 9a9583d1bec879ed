//! document-loader against bare reads of the same objects, and extracting by format.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use document_loader::extract::{Extractor, Hint, Limits};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use private_postgres::Cluster;
use serde_json::{Value, json};
use testkit::{Function, RuntimeApi};
use tokio_postgres::{Client, NoTls};

use crate::Failure;
use crate::documents::{FORMATS, document, with_picture};
use crate::figures::{NOT_MEASURED, median_milliseconds, median_rate, megabytes, ratio};
use crate::machine::{executable, free_port};
use crate::process::Process;
use crate::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server};

const BUCKET: &str = "documents";
/// Small objects, and how many are read at a time: as many as the function does.
const SMALL: usize = 10_000;
const SMALL_BYTES: usize = 2 * 1024;
const AT_A_TIME: usize = 160;
/// Large objects, how many are read at a time, and in which parts: as the function does of one source with its memory.
const LARGE: usize = 4;
const LARGE_BYTES: usize = 64 * 1024 * 1024;
const LARGE_AT_A_TIME: usize = 2;
const PART: usize = 8 * 1024 * 1024;
const PARTS: usize = 4;
const MEMORY: &str = "2048";
const ROUNDS: usize = 3;
/// Text of the documents that are extracted, and how often.
const TEXT: usize = 4 * 1024 * 1024;
const EXTRACTIONS: usize = 5;
/// Between looks at the memory of a process that may end at any moment.
const LOOK: Duration = Duration::from_millis(1);

const ROLE: &str = "arn:aws:iam::000000000000:role/reader";
const EXTERNAL_ID: &str = "bench";

/// Measures small and large documents, then extracting.
pub(crate) async fn run(folder: &Path) -> Result<(), Failure> {
    measure(folder, true).await
}

/// Measures large documents alone.
pub(crate) async fn run_large(folder: &Path) -> Result<(), Failure> {
    measure(folder, false).await
}

async fn measure(folder: &Path, is_all: bool) -> Result<(), Failure> {
    let objects = folder.join("loader-objects");
    write_role(&objects)?;
    let server = Server::start(&objects).await?;
    server.client.create_bucket().bucket(BUCKET).send().await?;
    let mut cluster = Cluster::persistent(&folder.join("loader"), free_port()?).await?;
    println!(
        "document-loader as deployed, under the Lambda Runtime API with {MEMORY} MB, through an assumed role; durable\n\
         PostgreSQL over TCP; floor = bare GetObject of the same objects at the same concurrency, on one thread as well.\n"
    );
    let loader = Loader::start(cluster.url("holdfast"), &server).await?;
    if is_all {
        small(&loader, &server).await?;
    }
    large(&loader, &server).await?;
    loader.function.kill().await;
    if is_all {
        extraction().await?;
    }
    println!(
        "\ntargets: >= 0.5 of the floor for small documents, >= 0.8 for large ones; one question to STS for 10,000\n\
         documents; the memory of the function does not grow with its documents\n"
    );
    drop(loader);
    cluster.stop().await;
    Ok(())
}

/// A role as the store's own account has it.
fn write_role(objects: &Path) -> Result<(), Failure> {
    let roles = objects.join("iam/roles/000000000000");
    std::fs::create_dir_all(&roles)?;
    let role = json!({
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": { "AWS": "arn:aws:iam::000000000000:root" },
                "Action": "sts:AssumeRole",
                "Condition": { "StringEquals": { "sts:ExternalId": EXTERNAL_ID } },
            },
        },
        "Policies": { "read": {
            "Version": "2012-10-17",
            "Statement": { "Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*" },
        } },
    });
    Ok(std::fs::write(roles.join("reader.json"), role.to_string())?)
}

/// The executable, and its database.
struct Loader {
    function: Function,
    sql: Client,
}

impl Loader {
    async fn start(url: String, server: &Server) -> Result<Self, Failure> {
        let (sql, connection) = tokio_postgres::connect(&url, NoTls).await?;
        tokio::spawn(connection); // ends with the client
        sql.batch_execute(include_str!(
            "../../../functions/document-sync/migrations/document.sql"
        ))
        .await?;
        let endpoint = format!("http://{}", server.address);
        let variables = [
            ("DATABASE_URL", url.as_str()),
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
            ("AWS_LAMBDA_LOG_LEVEL", "WARN"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MEMORY),
        ];
        let function = RuntimeApi::start()
            .await
            .run(executable("document-loader")?, &variables);
        function.ready().await?;
        sql.execute(
            "select add_source($1, $2, $3, principal => 'arn:aws:iam::000000000000:root')",
            &[&format!("s3://{BUCKET}/"), &ROLE, &EXTERNAL_ID],
        )
        .await?;
        Ok(Self { function, sql })
    }

    /// Enters documents that are there.
    async fn enter(&self, objects: &[Object]) -> Result<(), Failure> {
        let uris: Vec<String> = objects
            .iter()
            .map(|object| format!("s3://{BUCKET}/{}", object.key))
            .collect();
        let etags: Vec<&str> = objects.iter().map(|object| object.etag.as_str()).collect();
        let sizes: Vec<i64> = objects.iter().map(|object| object.size).collect();
        self.sql
            .execute(
                "insert into document (uri, title, etag, size)
                select uri, '', etag, size from unnest($1::text[], $2::text[], $3::bigint[]) as object (uri, etag, size)",
                &[&uris, &etags, &sizes],
            )
            .await?;
        Ok(())
    }

    /// Loads all of them anew, and says how long it took.
    async fn load(&self, count: usize) -> Result<Duration, Failure> {
        self.sql
            .batch_execute("truncate document_chunk; update document_load set chunks = 0")
            .await?;
        self.sql.query("select requeue('%')", &[]).await?;
        let started = Instant::now();
        let patience = Duration::from_mins(10);
        let answer: Value = self
            .function
            .invoke_within(&json!({ "load": {} }), patience)
            .await?;
        let elapsed = started.elapsed();
        if answer["load"]["loaded"] == count {
            Ok(elapsed)
        } else {
            Err(format!("documents were not loaded: {answer}").into())
        }
    }

    fn peak(&self) -> String {
        let process = self.function.pid().map(Process);
        let peak = process.and_then(Process::peak_bytes);
        peak.map_or(NOT_MEASURED.to_owned(), |bytes| {
            format!("{:.0} MB", megabytes(bytes))
        })
    }

    /// How often STS was asked, as the function's metrics have it.
    fn roles_assumed(&self) -> f64 {
        let output = self.function.stdout();
        let lines = output
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|line| line["RolesAssumed"].as_f64()).sum()
    }
}

/// An object that is there.
#[derive(Debug, Clone)]
struct Object {
    key: String,
    etag: String,
    size: i64,
}

async fn put(server: &Server, key: String, body: Vec<u8>) -> Result<Object, Failure> {
    let size = i64::try_from(body.len())?;
    let put = server.client.put_object().bucket(BUCKET).key(&key);
    let put = put.body(ByteStream::from(body)).send().await?;
    let etag = put.e_tag.unwrap_or_default().trim_matches('"').to_owned();
    Ok(Object { key, etag, size })
}

async fn small(loader: &Loader, server: &Server) -> Result<(), Failure> {
    let words = "The quarterly figures exceed all expectations. ".repeat(SMALL_BYTES / 40);
    let objects: Vec<Object> = stream::iter(0..SMALL)
        .map(|number| {
            let mut text = format!("{number:06} {words}");
            text.truncate(SMALL_BYTES);
            put(server, format!("small/{number:06}.txt"), text.into_bytes())
        })
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await?;
    loader.enter(&objects).await?;
    // The first makes connections, and its rows are new.
    loader.load(SMALL).await?;
    let (mut floors, mut times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floors.push(bare(server, &objects, AT_A_TIME, SMALL_BYTES)?);
        times.push(loader.load(SMALL).await?);
    }
    println!(
        "{SMALL} texts of {SMALL_BYTES} bytes: {:.0} documents/s; floor {:.0}; ratio {:.2}; peak memory {}; questions to STS {:.0} in {} loads",
        median_rate(SMALL, &times),
        median_rate(SMALL, &floors),
        ratio(&floors, &times),
        loader.peak(),
        loader.roles_assumed(),
        ROUNDS + 1
    );
    loader.sql.batch_execute("truncate document").await?;
    Ok(())
}

async fn large(loader: &Loader, server: &Server) -> Result<(), Failure> {
    let body = with_picture(LARGE_BYTES)?;
    let mut objects = Vec::new();
    for number in 0..LARGE {
        objects.push(put(server, format!("large/{number}.docx"), body.clone()).await?);
    }
    loader.enter(&objects).await?;
    loader.load(LARGE).await?;
    let (mut floors, mut times) = (Vec::new(), Vec::new());
    let children = Children::of(loader.function.pid());
    for _ in 0..ROUNDS {
        floors.push(bare(server, &objects, LARGE_AT_A_TIME, PART)?);
        times.push(loader.load(LARGE).await?);
    }
    let bytes = LARGE * body.len() / 1_000_000;
    println!(
        "{LARGE} documents of 64 MiB: {:.0} MB/s; floor {:.0}; ratio {:.2}; peak memory {}, of a process that reads {}",
        median_rate(bytes, &times),
        median_rate(bytes, &floors),
        ratio(&floors, &times),
        loader.peak(),
        children.peak()
    );
    Ok(())
}

/// The same objects read by nothing but `GetObject`, in parts of so many bytes, on a thread of its own.
fn bare(
    server: &Server,
    objects: &[Object],
    at_a_time: usize,
    part: usize,
) -> Result<Duration, Failure> {
    let (client, objects) = (server.client.clone(), objects.to_vec());
    let reading = std::thread::spawn(move || -> Result<Duration, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let started = Instant::now();
        runtime.block_on(async {
            stream::iter(&objects)
                .map(|object| read(&client, object, part))
                .buffer_unordered(at_a_time)
                .try_collect::<Vec<()>>()
                .await
        })?;
        Ok(started.elapsed())
    });
    reading.join().map_err(|_panic| "reading failed")?
}

async fn read(client: &aws_sdk_s3::Client, object: &Object, part: usize) -> Result<(), Failure> {
    let size = usize::try_from(object.size)?;
    let starts: Vec<usize> = (0..size.div_ceil(part))
        .map(|number| number * part)
        .collect();
    stream::iter(starts)
        .map(|start| async move {
            let end = (start + part).min(size) - 1;
            let range = (size > part).then(|| format!("bytes={start}-{end}"));
            let get = client.get_object().bucket(BUCKET).key(&object.key);
            let mut body = get.set_range(range).send().await?.body;
            while let Some(bytes) = body.next().await {
                bytes?;
            }
            Ok::<(), Failure>(())
        })
        .buffered(PARTS)
        .try_collect()
        .await
}

/// Text per second of one process, by format.
async fn extraction() -> Result<(), Failure> {
    let program = executable("document-loader")?;
    println!(
        "\n{:>8} {:>9} {:>9} {:>9} {:>9}",
        "extract", "MB", "text MB", "MB/s", "peak MB"
    );
    let empty = Extractor::new(&program, Limits::default());
    let mut starts = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        empty
            .extract(Cursor::new(b"text"), &Hint::of_key("a.txt"))
            .await?;
        starts.push(started.elapsed());
    }
    for format in FORMATS {
        let bytes = document(format, TEXT)?;
        let hint = Hint::of_key(&format!("a.{format}"));
        let children = Children::of(Some(std::process::id()));
        let mut times = Vec::new();
        let mut length = 0;
        for _ in 0..EXTRACTIONS {
            let started = Instant::now();
            let text = empty.extract(Cursor::new(&bytes), &hint).await?;
            times.push(started.elapsed());
            length = text.text.len();
        }
        let size = bytes.len();
        println!(
            "{format:>8} {:>9.2} {:>9.2} {:>9.1} {:>9}",
            megabytes(u64::try_from(size)?),
            megabytes(u64::try_from(length)?),
            median_rate(size, &times) / 1e6,
            children.peak()
        );
    }
    println!(
        "a process takes {:.1} ms to begin and end",
        median_milliseconds(&starts)
    );
    Ok(())
}

/// The memory of the processes that one starts, looked at until the value goes.
struct Children {
    is_over: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
}

impl Children {
    fn of(parent: Option<u32>) -> Self {
        let (is_over, peak) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let watched = Self {
            is_over: Arc::clone(&is_over),
            peak: Arc::clone(&peak),
        };
        std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                for child in parent.map(children).unwrap_or_default() {
                    let bytes = Process(child).peak_bytes().unwrap_or_default();
                    peak.fetch_max(bytes, Ordering::Relaxed);
                }
                std::thread::sleep(LOOK);
            }
        });
        watched
    }

    fn peak(&self) -> String {
        match self.peak.load(Ordering::Relaxed) {
            0 => NOT_MEASURED.to_owned(),
            bytes => format!("{:.0} MB", megabytes(bytes)),
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// The processes that read documents for this one, by their command lines.
fn children(parent: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task"));
    let lists = tasks
        .into_iter()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let ids: Vec<u32> = lists
        .flat_map(|list| {
            let ids = list.split_whitespace().filter_map(|id| id.parse().ok());
            ids.collect::<Vec<u32>>()
        })
        .collect();
    ids.into_iter()
        .filter(|id| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).nth(1) == Some(b"extract")
        })
        .collect()
}
