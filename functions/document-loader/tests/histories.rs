//! Documents change while several workers load them. Whatever happens, in the end each has the chunks of what it is.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use document_loader::queue::{Claim, Content, Lane, Outcome, Queue, Request};
use document_loader::reason::{Problem, Reason};
use document_loader::splitter::Chunk;
use document_loader::{Chunks, DocumentLoader};
use proptest::prelude::*;
use support::{DOCUMENT, Store, function};
use testkit::Postgres;
use tokio::time::sleep;

/// What somebody does to documents, with a pause after it.
#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    Touch(u8),
    Delete(u8),
    Replace(u8, u8),
    Requeue(u8),
    Expire,
    Pause,
}

/// How a worker treats what it has claimed.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Loads,
    Fails,
    Dies,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let document = 0..8_u8;
    let step = prop_oneof![
        5 => document.clone().prop_map(Step::Put),
        1 => document.clone().prop_map(Step::Touch),
        2 => document.clone().prop_map(Step::Delete),
        1 => (document.clone(), document.clone()).prop_map(|(one, other)| Step::Replace(one, other)),
        1 => document.prop_map(Step::Requeue),
        1 => Just(Step::Expire),
        3 => Just(Step::Pause),
    ];
    prop::collection::vec(step, 20..60)
}

/// Who has what in hand, over all workers.
#[derive(Debug, Default)]
struct Hands {
    /// Versions of documents that somebody loads.
    held: Mutex<HashSet<(String, String)>>,
    loads: Mutex<HashMap<(String, String), u32>>,
    /// What two had at a time.
    shared: Mutex<Vec<(String, String)>>,
}

impl Hands {
    fn take(&self, claim: &Claim) {
        let version = version(claim);
        *self
            .loads
            .lock()
            .unwrap()
            .entry(version.clone())
            .or_default() += 1;
        if !self.held.lock().unwrap().insert(version.clone()) {
            self.shared.lock().unwrap().push(version);
        }
    }

    fn release(&self, claim: &Claim) {
        self.held.lock().unwrap().remove(&version(claim));
    }
}

fn version(claim: &Claim) -> (String, String) {
    let etag = claim
        .document
        .as_ref()
        .and_then(|document| document.etag.clone());
    (claim.uri.clone(), etag.unwrap_or_default())
}

#[test]
fn every_document_has_the_chunks_of_its_present_version() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let (postgres, workers) = runtime.block_on(async {
        let postgres = Postgres::start().await;
        let sql = postgres.connect().await;
        sql.batch_execute(DOCUMENT).await.unwrap();
        sql.batch_execute("create table dead (lease uuid)")
            .await
            .unwrap();
        let store = Store::start().await;
        let workers: Vec<Arc<Queue>> = (0..4)
            .map(|_| function(postgres.url(), store.amazon()))
            .map(|DocumentLoader { queue, .. }| queue)
            .collect();
        for worker in &workers {
            worker.prepare().await.unwrap();
        }
        sql.batch_execute("select add_source('s3://bucket/', retries => 100)")
            .await
            .unwrap();
        (postgres, workers)
    });
    let config = ProptestConfig {
        cases: 24,
        failure_persistence: None,
        max_shrink_iters: 20,
        ..ProptestConfig::default()
    };
    proptest!(config, |(steps in steps(), fates in prop::collection::vec(prop_oneof![6 => Just(Fate::Loads), 1 => Just(Fate::Fails), 1 => Just(Fate::Dies)], 40))| {
        runtime.block_on(history(&postgres, &workers, &steps, &fates))?;
    });
}

async fn history(
    postgres: &Postgres,
    workers: &[Arc<Queue>],
    steps: &[Step],
    fates: &[Fate],
) -> Result<(), TestCaseError> {
    let sql = Arc::new(postgres.connect().await);
    sql.batch_execute("truncate document; delete from document_load; delete from document_change; delete from document_load_error")
        .await
        .unwrap();
    let hands = Arc::new(Hands::default());
    let running: Vec<_> = workers
        .iter()
        .enumerate()
        .map(|(number, queue)| {
            let fates: Vec<Fate> = fates
                .iter()
                .copied()
                .skip(number)
                .step_by(workers.len())
                .collect();
            let sql = Arc::clone(&sql);
            tokio::spawn(work(Arc::clone(queue), sql, Arc::clone(&hands), fates))
        })
        .collect();
    for (number, step) in steps.iter().enumerate() {
        apply(&sql, step, number).await;
    }
    for worker in running {
        worker.await.unwrap();
    }
    // Leases run out, and one worker goes on alone.
    for _ in 0..50 {
        expire(&sql).await;
        work(
            Arc::clone(&workers[0]),
            Arc::clone(&sql),
            Arc::clone(&hands),
            vec![Fate::Loads; 200],
        )
        .await;
        let due = sql
            .query_one("select (select count(*) from document_load where next_attempt_at is not null) + (select count(*) from document_change)", &[])
            .await
            .unwrap();
        if due.get::<_, i64>(0) == 0 {
            break;
        }
    }
    let rows = sql
        .query(
            "select coalesce(document.uri, chunk.uri, load.uri), document.etag, chunk.text, load.state
            from document
            full join (select uri, string_agg(text, '|' order by chunk_order) as text from document_chunk group by uri) as chunk on chunk.uri = document.uri
            full join document_load as load on load.uri = coalesce(document.uri, chunk.uri)",
            &[],
        )
        .await
        .unwrap();
    for row in &rows {
        let uri: String = row.get(0);
        let (etag, text, state): (Option<String>, Option<String>, Option<String>) =
            (row.get(1), row.get(2), row.get(3));
        prop_assert_eq!(state.as_deref(), Some("loaded"), "{}", uri);
        let expected = etag.map(|etag| texts(&etag).join("|"));
        prop_assert_eq!(expected, text, "{}", uri);
    }
    let shared = hands.shared.lock().unwrap().clone();
    prop_assert!(shared.is_empty(), "two had {shared:?} at a time");
    let most = hands
        .loads
        .lock()
        .unwrap()
        .values()
        .copied()
        .max()
        .unwrap_or_default();
    prop_assert!(most <= 12, "a version was loaded {most} times");
    Ok(())
}

async fn apply(sql: &tokio_postgres::Client, step: &Step, number: usize) {
    let uri = |document: &u8| format!("s3://bucket/{document}");
    let put = |document: &u8| {
        format!(
            "insert into document (uri, title, etag) values ('{}', '', 'v{number}')
            on conflict (uri) do update set etag = excluded.etag",
            uri(document)
        )
    };
    let statement = match step {
        Step::Put(document) => put(document),
        Step::Touch(document) => format!(
            "update document set title = title where uri = '{}'",
            uri(document)
        ),
        Step::Delete(document) => format!("delete from document where uri = '{}'", uri(document)),
        Step::Replace(one, other) => format!(
            "begin; delete from document where uri = '{}'; {}; commit",
            uri(one),
            put(other)
        ),
        Step::Requeue(document) => format!("select requeue('{}')", uri(document)),
        Step::Expire => return expire(sql).await,
        Step::Pause => return sleep(Duration::from_millis(4)).await,
    };
    sql.batch_execute(&statement).await.unwrap();
}

/// The leases of the dead run out; those of the living never do. And what is to be tried again is.
async fn expire(sql: &tokio_postgres::Client) {
    sql.batch_execute(
        // Locked in the order in which the function locks them.
        "with due as (
            select uri from document_load
            where state = 'retry' or lease in (select lease from dead) order by uri for update
        )
        update document_load set next_attempt_at = now() from due where document_load.uri = due.uri",
    )
    .await
    .unwrap();
}

async fn work(
    queue: Arc<Queue>,
    sql: Arc<tokio_postgres::Client>,
    hands: Arc<Hands>,
    fates: Vec<Fate>,
) {
    let mut idle = 0;
    for fate in fates {
        while queue.notice().await.unwrap().seen > 0 {}
        let mut claims = Vec::new();
        for lane in [Lane::Unproven, Lane::Suspect] {
            let request = Request {
                limit: 3,
                lane,
                each: 3,
                in_hand: &[],
                proven: &[],
            };
            claims.extend(queue.claim(request).await.unwrap());
        }
        if claims.is_empty() {
            idle += 1;
            if idle > 8 {
                return;
            }
            sleep(Duration::from_millis(3)).await;
            continue;
        }
        for claim in &claims {
            hands.take(claim);
        }
        sleep(Duration::from_millis(2)).await;
        // From here on it may be another's: when it is written, or when its lease is over.
        for claim in &claims {
            hands.release(claim);
        }
        if matches!(fate, Fate::Dies) {
            let leases: Vec<uuid::Uuid> = claims.iter().map(|claim| claim.lease).collect();
            sql.execute("insert into dead select unnest($1::uuid[])", &[&leases])
                .await
                .unwrap();
            continue;
        }
        let mut left: Vec<(Claim, Outcome)> = claims
            .into_iter()
            .map(|claim| {
                let outcome = outcome(&claim, fate);
                (claim, outcome)
            })
            .collect();
        for _ in 0..50 {
            let settled = queue.settle(&left).await.unwrap();
            left.retain(|(claim, _)| settled.busy.contains(&claim.uri));
            if left.is_empty() {
                break;
            }
            sleep(Duration::from_millis(2)).await;
        }
    }
}

fn outcome(claim: &Claim, fate: Fate) -> Outcome {
    let Some(document) = &claim.document else {
        return Outcome::Released;
    };
    if matches!(fate, Fate::Fails) {
        return Outcome::Failed(Problem::new(Reason::Unavailable, "by the test"));
    }
    let etag = document.etag.clone().unwrap_or_default();
    let content = Content {
        etag: document.etag.clone(),
        ..Content::default()
    };
    Outcome::Loaded(content, chunks(&etag))
}

/// As many chunks as the version's number has it, all different from other versions' but the first.
fn texts(etag: &str) -> Vec<String> {
    let count = etag.bytes().last().map_or(0, |digit| digit % 4);
    let others = (1..=count).map(|order| format!("{etag} {order}"));
    std::iter::once("first".to_owned()).chain(others).collect()
}

fn chunks(etag: &str) -> Chunks {
    let texts = texts(etag);
    let mut start = 0;
    let mut chunks = Vec::new();
    for (order, text) in (0..).zip(&texts) {
        let bytes = start..start + text.len();
        start = bytes.end;
        chunks.push(Chunk {
            order,
            bytes,
            characters: order.into()..(order + 1).into(),
            page: None,
            headings: Arc::new([]),
        });
    }
    Chunks::new(texts.concat(), chunks)
}
