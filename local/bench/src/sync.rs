//! Rows per second of document-sync against the floor: the same rows in one bare statement, in the same rounds.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use document_sync::{Config, DocumentSync};
use futures_util::future::try_join_all;
use private_postgres::Cluster;
use serde_json::json;
use shared::database::Url;
use shared::s3::Settings;
use tokio_postgres::{Client, NoTls};

use crate::Failure;
use crate::batch::{Batch, Columns, Kind};
use crate::figures::{median_rate, ratio};
use crate::machine::free_port;

/// What any synchronization has to do at the least. The table is a copy of `document`.
const FLOOR: &str = "
    insert into floor (uri, title, size, etag, version_id, last_modified)
    select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::timestamptz[])
    on conflict (uri) do update set
        title = excluded.title, size = excluded.size, etag = excluded.etag, version_id = excluded.version_id,
        last_modified = excluded.last_modified, updated_at = current_timestamp";

/// Objects that whole batches tell of, and the floor.
const WHOLE: &str = "reports";
/// Objects that reach the database part alone. As long a name, so that the rows are as large.
const STATES: &str = "letters";
/// Objects of concurrent instances, one folder each.
const INSTANCES: [&str; 4] = ["spring1", "summer2", "autumn3", "winter4"];

/// How long each size of batch is measured, and in how many rounds at most.
const EACH_SIZE: Duration = Duration::from_secs(22);
const MAX_ROUNDS: usize = 100;
/// How long concurrent instances are measured, and how many batches each applies in a round.
const CONCURRENT: Duration = Duration::from_secs(12);
const BATCHES_PER_ROUND: usize = 4;

/// Measures batches of 1,000 and of 10,000, then instances beside each other.
pub(crate) async fn run(folder: &Path) -> Result<(), Failure> {
    let mut cluster = Cluster::persistent(&folder.join("postgres"), free_port()?).await?;
    let url = cluster.url("holdfast");
    let sync = Sync::start(&url).await?;
    sync.sql
        .batch_execute("create table floor (like document including all)")
        .await?;
    println!(
        "document-sync, new rows/s: handler = JSON text to commit; database = Documents::apply alone;\n\
         floor = the same rows in one INSERT ... SELECT unnest ... ON CONFLICT. Durable PostgreSQL over TCP;\n\
         medians; ratios to the floor of the same round.\n"
    );
    println!(
        "{:>7} {:>6} {:>8} | {:>8} {:>5} | {:>8} {:>5} | {:>9} {:>9} {:>8}",
        "batch",
        "rounds",
        "floor",
        "handler",
        "ratio",
        "database",
        "ratio",
        "duplicate",
        "overwrite",
        "delete"
    );
    for size in [1_000, 10_000] {
        sequential(&sync, size).await?;
        sync.sql
            .batch_execute("truncate document, s3_object, floor")
            .await?;
    }
    concurrent(&url, &sync.sql, 1_000).await?;
    println!("targets: creates at >= 0.7 of the floor; duplicates cost less than creates\n");
    drop(sync);
    cluster.stop().await;
    Ok(())
}

/// document-sync in this process, and a session beside it.
struct Sync {
    function: DocumentSync,
    sql: Client,
}

impl Sync {
    async fn start(url: &str) -> Result<Self, Failure> {
        let config = Config::new(url.parse::<Url>()?.into(), Settings::default());
        let function = DocumentSync::new(config);
        function.documents.prepare().await?;
        let (sql, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection); // ends with the client
        Ok(Self { function, sql })
    }

    /// One invocation, from the text that Lambda sends to the answer.
    async fn handle(&self, payload: &str) -> Result<Duration, Failure> {
        let started = Instant::now();
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        let payload = serde_json::from_str(payload)?;
        let answer = self.function.handle(&payload, "", deadline).await?;
        let answer = serde_json::to_value(answer)?;
        let elapsed = started.elapsed();
        if answer == json!({ "batchItemFailures": [] }) {
            Ok(elapsed)
        } else {
            Err(format!("a batch failed: {answer}").into())
        }
    }

    async fn apply(&self, batch: Batch) -> Result<Duration, Failure> {
        let states = batch.states()?;
        let started = Instant::now();
        let applied = self.function.documents.apply(&states, &[]).await?;
        let elapsed = started.elapsed();
        if applied.changed == batch.size {
            Ok(elapsed)
        } else {
            Err(format!("{} of {} states were applied", applied.changed, batch.size).into())
        }
    }

    async fn floor(&self, columns: &Columns) -> Result<Duration, Failure> {
        let parameters = columns.parameters();
        let started = Instant::now();
        let written = self.sql.execute_typed(FLOOR, &parameters).await?;
        let elapsed = started.elapsed();
        if usize::try_from(written)? == columns.len() {
            Ok(elapsed)
        } else {
            Err(format!("the floor wrote {written} of {} rows", columns.len()).into())
        }
    }
}

/// One batch after the other, each kind in turn with the floor.
async fn sequential(sync: &Sync, size: usize) -> Result<(), Failure> {
    let (mut floor, mut database) = (Vec::new(), Vec::new());
    let mut handled: [Vec<Duration>; 4] = Default::default();
    let started = Instant::now();
    let mut round = 0;
    while round < MAX_ROUNDS && started.elapsed() < EACH_SIZE {
        let whole = Batch {
            folder: WHOLE,
            size,
            number: round,
        };
        let states = Batch {
            folder: STATES,
            ..whole
        };
        let payloads = [Kind::Create, Kind::Duplicate, Kind::Overwrite, Kind::Delete]
            .map(|kind| whole.payload(kind).to_string());
        let mut times = [Duration::ZERO; 3];
        // Whoever is first in a round finds the disk at rest, so each is first in its turn.
        for turn in 0..3 {
            let subject = (round + turn) % 3;
            times[subject] = match subject {
                0 => sync.floor(&whole.columns()?).await?,
                1 => sync.handle(&payloads[0]).await?,
                _ => sync.apply(states).await?,
            };
        }
        expect_rows(&sync.sql, whole, states).await?;
        let mut others = Vec::new();
        for payload in &payloads[1..] {
            others.push(sync.handle(payload).await?);
        }
        // The first round warms up.
        if round > 0 {
            floor.push(times[0]);
            database.push(times[2]);
            handled
                .iter_mut()
                .zip([times[1]].into_iter().chain(others))
                .for_each(|(times, time)| times.push(time));
        }
        round += 1;
    }
    let [create, duplicate, overwrite, delete] =
        handled.each_ref().map(|times| median_rate(size, times));
    println!(
        "{size:>7} {:>6} {:>8.0} | {create:>8.0} {:>5.2} | {:>8.0} {:>5.2} | {duplicate:>9.0} {overwrite:>9.0} {delete:>8.0}",
        floor.len(),
        median_rate(size, &floor),
        ratio(&floor, &handled[0]),
        median_rate(size, &database),
        ratio(&floor, &database),
    );
    let [create, others @ ..] = &handled;
    let [duplicate, overwrite, delete] = others.each_ref().map(|times| ratio(times, create));
    println!(
        "{:>14}   times of the handler: duplicate {duplicate:.2}, overwrite {overwrite:.2}, delete {delete:.2} of a create's",
        ""
    );
    Ok(())
}

/// Four instances beside each other, in turn with four floors, on the same tables.
async fn concurrent(url: &str, sql: &Client, size: usize) -> Result<(), Failure> {
    let instances: Vec<Arc<Sync>> = try_join_all(INSTANCES.map(|_| Sync::start(url)))
        .await?
        .into_iter()
        .map(Arc::new)
        .collect();
    let (mut floor, mut handled) = (Vec::new(), Vec::new());
    let started = Instant::now();
    let mut round = 0;
    while round < MAX_ROUNDS && started.elapsed() < CONCURRENT {
        let batches = |folder| {
            (0..BATCHES_PER_ROUND).map(move |index| Batch {
                folder,
                size,
                number: round * BATCHES_PER_ROUND + index,
            })
        };
        // All that is sent is made before the clock starts.
        let mut columns = Vec::new();
        let mut payloads = Vec::new();
        for folder in INSTANCES {
            columns.push(
                batches(folder)
                    .map(Batch::columns)
                    .collect::<Result<Vec<_>, _>>()?,
            );
            payloads.push(
                batches(folder)
                    .map(|batch| batch.payload(Kind::Create).to_string())
                    .collect::<Vec<_>>(),
            );
        }
        let floor_time = together(instances.iter().cloned().zip(columns).map(
            |(instance, columns)| async move {
                for columns in &columns {
                    instance.floor(columns).await?;
                }
                Ok(())
            },
        ))
        .await?;
        let handled_time = together(instances.iter().cloned().zip(payloads).map(
            |(instance, payloads)| async move {
                for payload in &payloads {
                    instance.handle(payload).await?;
                }
                Ok(())
            },
        ))
        .await?;
        if round > 0 {
            floor.push(floor_time);
            handled.push(handled_time);
        }
        round += 1;
    }
    let rows = INSTANCES.len() * BATCHES_PER_ROUND * size;
    let written: i64 = sql
        .query_one("select count(*) from document", &[])
        .await?
        .get(0);
    if usize::try_from(written)? != rows * round {
        return Err(format!("{written} of {} rows are there", rows * round).into());
    }
    println!(
        "4 x {size} {:>5} {:>8.0} | {:>8.0} {:>5.2} | four instances at once, rows/s together",
        floor.len(),
        median_rate(rows, &floor),
        median_rate(rows, &handled),
        ratio(&floor, &handled),
    );
    Ok(())
}

/// The time until the last of these is done, each in a task of its own.
async fn together<F>(instances: impl Iterator<Item = F>) -> Result<Duration, Failure>
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let started = Instant::now();
    let tasks: Vec<_> = instances.map(tokio::spawn).collect();
    for task in tasks {
        task.await??;
    }
    Ok(started.elapsed())
}

/// The figures count only if the rows are there: as many as the floor's, with the same contents.
async fn expect_rows(sql: &Client, whole: Batch, states: Batch) -> Result<(), Failure> {
    for batch in [whole, states] {
        let query = format!(
            "select count(*) from (
                select uri, title, size, etag, version_id, last_modified from document
                intersect
                select replace(uri, '/{WHOLE}/', '/{}/'), title, size, etag, version_id, last_modified from floor
            ) same",
            batch.folder
        );
        let same: i64 = sql.query_one(&query, &[]).await?.get(0);
        // What whole batches wrote is deleted again in each round; what states wrote stays.
        let expected = if batch.folder == WHOLE {
            batch.size
        } else {
            batch.size * (batch.number + 1)
        };
        if usize::try_from(same)? != expected {
            return Err(format!("{same} of {expected} rows of {} are right", batch.folder).into());
        }
    }
    Ok(())
}
