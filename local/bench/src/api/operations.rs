//! Every operation with an index, of few artifacts and of many.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use private_postgres::Cluster;
use tokio_postgres::types::Type;

use super::artifacts::{Mould, id, key};
use super::calls::{Call, Calls, Counts};
use super::filling::{fill_bucket, fill_index, index_bucket, put_files};
use super::floor::{self, Floor, SELECT, UPSERT};
use super::instance::{Instance, serve};
use super::load::{CONNECTIONS, Load, of_requests, repeat};
use super::relay::Relay;
use super::requests::Operation;
use super::waiting::Waiting;
use crate::Failure;
use crate::figures::{median, milliseconds, percentile};
use crate::lambda::connect;
use crate::machine::free_port;
use crate::server::Server;

/// Artifacts whose objects are in the bucket; the others are in the index alone, and not asked for by id.
const OBJECTS: usize = 1_000;
const ROUNDS: usize = 60;
/// The first ones only warm up.
const WARM_UP: usize = 10;
/// Connections that the floor of the database has, as many as the registry.
const SESSIONS: usize = 4;

/// What was measured of an operation.
struct Figures {
    operation: Operation,
    times: Vec<f64>,
    /// Of which storage was not asked.
    own: Vec<f64>,
    counts: Counts,
    statements: usize,
    load: Option<Load>,
}

/// Measures every operation with so many artifacts, the fewest first.
pub(crate) async fn run(folder: &Path, sizes: &[usize]) -> Result<(), Failure> {
    let mut cluster = Cluster::persistent(&folder.join("indexed"), free_port()?).await?;
    let server = Server::start(&folder.join("indexed-bucket")).await?;
    let mould = Arc::new(Mould::cast().await?);
    println!(
        "registry with an index: PostgreSQL and the embedded S3 over TCP, every commit and every object forced to the\n\
         disk. Milliseconds without a network in front; storage is the same calls made alone, one after the other, in\n\
         the same minute; overhead is the difference, below zero where the registry makes them at the same time. Own is\n\
         what is left of an answer when the time is taken off during which S3 or PostgreSQL was asked. A statement of each\n\
         operation counts the token's calls. CPU is that of the one thread that serves {CONNECTIONS} connections, for each\n\
         answer; it does not depend on who else computes.\n"
    );
    for artifacts in sizes {
        let url = cluster.database(&format!("artifacts_{artifacts}")).await?;
        let bucket = format!("artifacts-{artifacts}");
        fill_bucket(&server.client, &bucket, &mould, OBJECTS).await?;
        put_files(&server.client, &bucket, 1..=OBJECTS).await?;
        let started = Instant::now();
        index_bucket(&server.client, &bucket, &url).await?;
        fill_index(&url, &mould, OBJECTS, *artifacts).await?;
        let took = started.elapsed().as_secs_f64();
        println!(
            "{artifacts} artifacts, indexed in {took:.0} s; load average {}",
            crate::machine::load_average()
        );
        measure(&server, &bucket, &url, *artifacts).await?;
    }
    println!(
        "targets: overhead <= 1 ms; reading by id <= 1 call of S3 or 1 statement besides the token's; by name with\n\
         1,000,000 artifacts <= twice as long as with 1,000\n"
    );
    cluster.stop().await;
    Ok(())
}

async fn measure(
    server: &Server,
    bucket: &str,
    url: &str,
    artifacts: usize,
) -> Result<(), Failure> {
    let sql = connect(url).await?;
    floor::prepare(&sql).await?;
    let waiting = Waiting::default();
    let (calls, counted_calls) = (Calls::default(), Calls::of(&waiting));
    let near = |calls: &Calls| calls.client(server.address, Duration::ZERO);
    let bare = near(&Calls::default());
    let instance = Arc::new(Instance::start(near(&calls), bucket, Some(url)).await?);
    let relay = Relay::start(url, &waiting).await?;
    let counted = Instance::start(near(&counted_calls), bucket, Some(&relay.url)).await?;

    let mut floor = Floor::default();
    let mut all = Vec::new();
    let unchanging = Operation::ALL
        .into_iter()
        .filter(|one| one.changes_nothing());
    for operation in unchanging {
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            let request = operation.request(number(round), artifacts, "");
            // What is asked for the first time may be noted down, such as a rating.
            instance.ask(&request).await?;
            let answered = instance.ask(&request).await?;
            if round >= WARM_UP {
                times.push(answered.took);
                floor
                    .measure(&bare, bucket, Some(&sql), number(round))
                    .await?;
            }
        }
        counted
            .ask(&operation.request(number(0), artifacts, ""))
            .await?;
        counted_calls.take();
        relay.take();
        counted
            .ask(&operation.request(number(0), artifacts, ""))
            .await?;
        let (counts, statements) = (counted_calls.take(), relay.take());
        let mut own = Vec::new();
        for round in 0..ROUNDS {
            let request = operation.request(number(round), artifacts, "");
            waiting.take();
            let answered = counted.ask(&request).await?;
            if round >= WARM_UP {
                own.push(answered.took.saturating_sub(waiting.take()));
            }
        }
        all.push(Figures {
            operation,
            times: milliseconds(&times),
            own: milliseconds(&own),
            counts,
            statements,
            load: None,
        });
    }
    all.extend(changes(&instance, artifacts, 0, &Waiting::default()).await?);
    let watched = changes(&counted, artifacts, ROUNDS * 1_000, &waiting).await?;
    for (figures, watched) in all.iter_mut().rev().zip(watched.into_iter().rev()) {
        figures.own = watched.own;
    }
    let front = serve(near(&calls), bucket, Some(url)).await?;
    for figures in &mut all {
        if !figures.operation.changes_nothing() {
            continue;
        }
        let operation = figures.operation;
        let request = move |task| operation.request(number(task), artifacts, "");
        figures.load = Some(of_requests(&instance, front, request).await?);
    }
    // Changes are counted by whoever is alone, and creations come last: they change what pages hold.
    let mut created = String::new();
    // The first round finds the end of the audit trail.
    let changes = [Operation::Create, Operation::Update, Operation::Delete];
    for (round, operation) in changes.iter().chain(&changes).enumerate() {
        let (operation, round) = (*operation, round / changes.len());
        let request = operation.request(usize::MAX - round, artifacts, &created);
        counted_calls.take();
        relay.take();
        let answered = counted.ask(&request).await?;
        if operation == Operation::Create {
            created = id_of(&answered.body)?;
        }
        let figures = all
            .iter_mut()
            .find(|figures| figures.operation == operation);
        if let Some(figures) = figures {
            figures.counts = counted_calls.take();
            figures.statements = relay.take();
        }
    }
    let create = move |task: usize| Operation::Create.request(ROUNDS + task, artifacts, "");
    let load = of_requests(&instance, front, create).await?;
    for figures in &mut all {
        if figures.operation == Operation::Create {
            figures.load = Some(load);
        }
    }
    print(&all, &floor);
    floors_under_load(&bare, bucket, url).await
}

/// Creates, updates and deletes, again and again.
async fn changes(
    instance: &Instance,
    artifacts: usize,
    first: usize,
    waiting: &Waiting,
) -> Result<Vec<Figures>, Failure> {
    let changing = [Operation::Create, Operation::Update, Operation::Delete];
    let mut all = changing.map(|operation| Figures {
        operation,
        times: Vec::new(),
        own: Vec::new(),
        counts: Counts::default(),
        statements: 0,
        load: None,
    });
    for round in 0..ROUNDS {
        let mut created = String::new();
        for figures in &mut all {
            let request = figures
                .operation
                .request(first + round, artifacts, &created);
            waiting.take();
            let answered = instance.ask(&request).await?;
            let waited = waiting.take();
            if figures.operation == Operation::Create {
                created = id_of(&answered.body)?;
            }
            if round >= WARM_UP {
                figures.times.push(answered.took.as_secs_f64() * 1e3);
                let own = answered.took.saturating_sub(waited);
                figures.own.push(own.as_secs_f64() * 1e3);
            }
        }
    }
    Ok(all.into())
}

fn print(all: &[Figures], floor: &Floor) {
    println!(
        "{:>24} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}  {:<22} {:>4} | {:>9} {:>8} {:>8} {:>7}",
        "",
        "p10 ms",
        "p50 ms",
        "p95 ms",
        "storage",
        "overhead",
        "own p10",
        "own p50",
        "S3 calls",
        "SQL",
        "64: per s",
        "p50 ms",
        "p95 ms",
        "CPU ms"
    );
    for figures in all {
        // One statement counts the call, and each change is announced and settled; of the others, each question goes
        // with one about the index itself, in one round trip.
        let writes = if figures.operation.changes_nothing() {
            1
        } else {
            3
        };
        let reads = figures.statements.saturating_sub(writes).div_ceil(2);
        let storage = floor.of(&figures.counts, reads, writes);
        let p50 = median(&figures.times);
        let load = figures.load.map_or_else(String::new, |load| {
            format!(
                "{:>9.0} {:>8.2} {:>8.2} {:>7.2}",
                load.rate, load.p50, load.p95, load.cpu
            )
        });
        println!(
            "{:>24} {:>8.2} {p50:>8.2} {:>8.2} {storage:>8.2} {:>8.2} {:>8.2} {:>8.2}  {:<22} {:>4} | {load}",
            figures.operation.name(),
            percentile(&figures.times, 10),
            percentile(&figures.times, 95),
            p50 - storage,
            percentile(&figures.own, 10),
            median(&figures.own),
            told(&figures.counts),
            figures.statements,
        );
    }
    println!("floors, one at a time: {}", floor.told());
}

/// The bare calls, by as many at a time as there are connections.
async fn floors_under_load(
    client: &aws_sdk_s3::Client,
    bucket: &str,
    url: &str,
) -> Result<(), Failure> {
    let workers = vec![(client.clone(), bucket.to_owned()); CONNECTIONS];
    let get = repeat(workers, |(client, bucket), task| async move {
        let get = client.get_object().bucket(&bucket).key(key(number(task)));
        get.send().await?.body.collect().await?;
        Ok((client, bucket))
    });
    let get = get.await?;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(Arc::new(connect(url).await?));
    }
    let workers: Vec<_> = sessions.iter().cycle().take(CONNECTIONS).cloned().collect();
    let select = repeat(workers.clone(), |sql, task| async move {
        let place = format!("{}/", id(number(task)));
        sql.query_typed(SELECT, &[(&place, Type::TEXT)]).await?;
        Ok(sql)
    });
    let select = select.await?;
    let upsert = repeat(workers, |sql, task| async move {
        let token = (task % CONNECTIONS).to_string();
        sql.query_typed(UPSERT, &[(&token, Type::TEXT)]).await?;
        Ok(sql)
    });
    let upsert = upsert.await?;
    for (name, load) in [
        ("GetObject", get),
        ("SELECT by key", select),
        ("durable upsert by key", upsert),
    ] {
        println!(
            "floor, {CONNECTIONS} at a time: {name:>24} {:>9.0} {:>8.2} {:>8.2}",
            load.rate, load.p50, load.p95
        );
    }
    println!();
    Ok(())
}

/// Calls of S3, those that were made.
pub(super) fn told(counts: &Counts) -> String {
    let made = Call::ALL
        .into_iter()
        .zip(counts)
        .filter(|(_, count)| **count > 0);
    let made: Vec<String> = made
        .map(|(call, count)| format!("{count} {}", call.name()))
        .collect();
    if made.is_empty() {
        "none".to_owned()
    } else {
        made.join(", ")
    }
}

/// The id in an answer.
pub(super) fn id_of(body: &str) -> Result<String, Failure> {
    let artifact: serde_json::Value = serde_json::from_str(body)?;
    let id = artifact["metadata"]["id"].as_str();
    Ok(id.ok_or("an artifact has an id")?.to_owned())
}

/// An artifact whose object is in the bucket, and that is made from another one.
pub(super) fn number(round: usize) -> usize {
    let family = 1 + round * 37 % (OBJECTS / 10 - 1);
    family * 10 + 1 + round % 9
}
