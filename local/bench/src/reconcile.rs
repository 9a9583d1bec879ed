//! A whole bucket compared with the documents table by the executable that is deployed, against listing it.

use std::path::Path;
use std::time::{Duration, Instant};

use aws_sdk_s3::config::Credentials;
use private_postgres::Cluster;
use serde_json::{Value, json};
use shared::s3::{S3, Settings};
use testkit::{Function, RuntimeApi};
use tokio_postgres::Client;

use crate::Failure;
use crate::bucket::{Calls, Store};
use crate::figures::{self, if_measured, megabytes, ratio};
use crate::lambda::{connect, process};
use crate::machine::{executable, free_port};
use crate::process::Process;
use crate::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

/// The size of the bucket that the others are compared with, where none is asked for.
pub(crate) const KEYS: usize = 1_000_000;

const BUCKETS: [&str; 2] = ["tenth", "whole"];
/// How often a bucket that is in step is compared, each time in turn with the floor.
const ROUNDS: usize = 3;
/// One of so many objects is deleted without an event, and another new or overwritten.
const STEP: usize = 100;
/// Lambda's longest, which the function is told.
const DEADLINE: Duration = Duration::from_mins(15);

/// Measures a bucket of a tenth of the keys, then one of all of them: whether memory grows is seen from the two.
pub(crate) async fn run(folder: &Path, keys: usize) -> Result<(), Failure> {
    let mut cluster = Cluster::persistent(&folder.join("reconcile"), free_port()?).await?;
    let url = cluster.url("holdfast");
    let store = Store::start(&folder.join("bucket")).await?;
    println!(
        "reconcile, objects/s: the executable under the Lambda Runtime API, a new process for each line, with S3 and\n\
         PostgreSQL over TCP; floor = listing the same bucket by the same client just before, and no more.\n\
         Memory is the most that was resident at any time. S3's answers take the time that the embedded S3 needs.\n"
    );
    for (bucket, keys) in BUCKETS.into_iter().zip([keys / 10, keys]) {
        let started = Instant::now();
        store.create(bucket).await?;
        store.put(bucket, (0..keys).map(key), "document").await?;
        println!(
            "{keys} objects, put in {:.0} s",
            started.elapsed().as_secs_f64()
        );
        let bench = Bench {
            store: &store,
            url: &url,
            bucket,
            sql: connect(&url).await?,
        };
        bench.run(keys).await?;
    }
    println!(
        "targets: in step at >= 0.7 of the floor; memory of the larger bucket like that of the smaller\n"
    );
    drop(store);
    cluster.stop().await;
    Ok(())
}

/// One bucket.
struct Bench<'a> {
    store: &'a Store,
    url: &'a str,
    bucket: &'static str,
    sql: Client,
}

/// What some comparisons of the same kind took, each with the floor before it.
#[derive(Default)]
struct Measured {
    floors: Vec<Duration>,
    times: Vec<Duration>,
    cpu: Vec<f64>,
    peaks: Vec<f64>,
    calls: Calls,
    invocations: usize,
}

impl Bench<'_> {
    async fn run(&self, keys: usize) -> Result<(), Failure> {
        println!(
            "{:>24} {:>8} | {:>8} {:>8} {:>5} {:>7} {:>7} | {:>6} {:>6} {:>6} | {:>4}",
            "",
            "floor/s",
            "seconds",
            "objects",
            "ratio",
            "CPU s",
            "peak MB",
            "List",
            "Head",
            "other",
            "inv."
        );
        let mut backfill = Measured::default();
        self.measure(&mut backfill, keys, [keys, 0, 0]).await?;
        backfill.print("into an empty table", keys);
        // Neither the planner nor the visibility of rows is left to chance: on a server that rests, autovacuum
        // does this within minutes.
        self.sql.batch_execute("vacuum analyze").await?;

        let mut in_step = Measured::default();
        for _ in 0..ROUNDS {
            self.measure(&mut in_step, keys, [0, 0, 0]).await?;
        }
        in_step.print("in step", keys);

        let (bucket, lost) = (self.bucket, keys / STEP);
        let new = lost / 2;
        let overwritten = lost - new;
        let deleted = (0..lost).map(|index| key(index * STEP));
        self.store.delete(bucket, deleted).await?;
        let created = (0..new).map(|index| format!("{} copy", key(index * STEP + 1)));
        self.store.put(bucket, created, "document").await?;
        let replaced = (new..lost).map(|index| key(index * STEP + 1));
        self.store.put(bucket, replaced, "another document").await?;
        let mut differing = Measured::default();
        let keys = keys + new - lost;
        self.measure(&mut differing, keys, [new, overwritten, lost])
            .await?;
        differing.print("1 % of both sides differ", keys);
        println!();
        Ok(())
    }

    /// Lists the bucket, then compares it: `missing`, `different` and `surplus` are to be found.
    async fn measure(
        &self,
        measured: &mut Measured,
        keys: usize,
        differences: [usize; 3],
    ) -> Result<(), Failure> {
        let floor = self.list(keys).await?;
        self.store.take_calls();

        let function = self.start().await?;
        let before = process(&function).and_then(Process::cpu);
        let event = json!({ "reconcile": { "bucket": self.bucket } });
        let started = Instant::now();
        let mut invocations = 0;
        let done = loop {
            invocations += 1;
            let answer = function.invoke_within(&event, DEADLINE).await?;
            let done = answer["reconcile"].clone();
            if done["state"] != "unfinished" {
                break done;
            }
        };
        let time = started.elapsed();
        let after = process(&function).and_then(Process::cpu);
        let peak = process(&function).and_then(Process::peak_bytes);
        function.kill().await;

        let [missing, different, surplus] = differences;
        let expected = json!({
            "state": "finished",
            "listed": keys,
            "missing": missing,
            "different": different,
            "surplus": surplus,
            "repaired": missing + different + surplus,
            "superseded": 0,
            "failed": 0,
        });
        expect(&done, &expected)?;
        self.expect_rows(keys).await?;
        measured.floors.push(floor);
        measured.times.push(time);
        let cpu = before
            .zip(after)
            .and_then(|(before, after)| after.checked_sub(before));
        measured.cpu.extend(cpu.map(|cpu| cpu.as_secs_f64()));
        measured.peaks.extend(peak.map(megabytes));
        measured.calls = self.store.take_calls();
        measured.invocations = invocations;
        Ok(())
    }

    /// The least that any comparison has to do, on a single thread as in the function.
    async fn list(&self, keys: usize) -> Result<Duration, Failure> {
        let settings = Settings {
            endpoint: Some(self.endpoint()),
            credentials: Some(Credentials::new(
                ACCESS_KEY_ID,
                SECRET_ACCESS_KEY,
                None,
                None,
                "bench",
            )),
            ..Settings::default()
        };
        let bucket = self.bucket;
        let (listed, time) = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let bucket = S3::new(settings).bucket(bucket);
                let started = Instant::now();
                let (mut listed, mut after) = (0, None);
                loop {
                    let page = bucket.list("", after.as_ref()).await?;
                    listed += page.objects.len();
                    after = page.next;
                    if after.is_none() {
                        return Ok::<_, Failure>((listed, started.elapsed()));
                    }
                }
            })
        })
        .await??;
        if listed == keys {
            Ok(time)
        } else {
            Err(format!("{listed} of {keys} objects are there").into())
        }
    }

    async fn start(&self) -> Result<Function, Failure> {
        let endpoint = self.endpoint();
        let variables = [
            ("DATABASE_URL", self.url),
            ("AWS_ENDPOINT_URL_S3", &endpoint),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
            ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
        ];
        let binary = executable("document-sync")?;
        let function = RuntimeApi::start().await.run(binary, &variables);
        function.ready().await?;
        Ok(function)
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.store.address)
    }

    async fn expect_rows(&self, keys: usize) -> Result<(), Failure> {
        let query = "select count(*) from document where uri like $1";
        let uris = format!("s3://{}/%", self.bucket);
        let rows: i64 = self.sql.query_one(query, &[&uris]).await?.get(0);
        if usize::try_from(rows)? == keys {
            Ok(())
        } else {
            Err(format!("{rows} of {keys} rows are there").into())
        }
    }
}

impl Measured {
    fn print(&self, name: &str, keys: usize) {
        let seconds: Vec<f64> = self.times.iter().map(Duration::as_secs_f64).collect();
        println!(
            "{name:>24} {:>8.0} | {:>8.1} {:>8.0} {:>5.2} {:>7} {:>7} | {} | {:>4}",
            figures::median_rate(keys, &self.floors),
            figures::median(&seconds),
            figures::median_rate(keys, &self.times),
            ratio(&self.floors, &self.times),
            if_measured(&self.cpu),
            if_measured(&self.peaks),
            self.calls,
            self.invocations,
        );
    }
}

/// Keys as a bucket of reports has them, in the order of S3.
fn key(index: usize) -> String {
    format!("reports/{:05}/document {index:08}.pdf", index / 1_000)
}

fn expect(done: &Value, expected: &Value) -> Result<(), Failure> {
    for (name, value) in expected.as_object().into_iter().flatten() {
        if done[name] != *value {
            return Err(format!("{name} is not {value}: {done}").into());
        }
    }
    Ok(())
}
