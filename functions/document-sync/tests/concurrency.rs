//! Several instances of the function at one database.

mod support;

use std::collections::HashMap;

use shared::s3::{S3, Settings};
use support::{Sync, delete, deliver, function, put, queue_of_records, rows};
use testkit::Postgres;

#[tokio::test(flavor = "multi_thread")]
async fn ten_instances_that_start_together_create_the_tables_once() {
    let postgres = Postgres::start().await;
    let starts = (0..10).map(|_| {
        let function = function(postgres.url(), S3::new(Settings::default()));
        tokio::spawn(async move { function.documents.prepare().await })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.unwrap().unwrap();
    }
    let sql = postgres.connect().await;
    let migrations: i64 = sql
        .query_one("select count(*) from document_sync_migration", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(migrations, 3);
    assert_eq!(rows(&sql).await, "");
}

/// Four instances apply batches over the same objects, each in an order of its own, some of them in the middle of
/// another's transaction. Neither deadlocks nor overtaking may show.
#[tokio::test(flavor = "multi_thread")]
async fn overlapping_batches_end_as_the_last_events() {
    let sync = Sync::start().await;
    let objects = 50;
    let mut last: HashMap<usize, (u64, bool)> = HashMap::new();
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut events = Vec::new();
    for sequencer in 1..=4_000_u64 {
        let object = usize::try_from(next() % objects).unwrap();
        let deleted = next() % 3 == 0;
        let (key, sequencer_text) = (format!("k{object}"), format!("{sequencer:X}"));
        events.push(if deleted {
            delete(&key, &sequencer_text)
        } else {
            put(&key, &sequencer_text, &format!("e{sequencer}"))
        });
        last.insert(object, (sequencer, deleted));
    }
    let instances = (0..4).map(|_| {
        for index in (1..events.len()).rev() {
            let other = usize::try_from(next()).unwrap() % (index + 1);
            events.swap(index, other);
        }
        let events = events.clone();
        let function = function(sync.postgres.url(), S3::new(Settings::default()));
        tokio::spawn(async move {
            for batch in events.chunks(97) {
                let answer = deliver(&function, &queue_of_records(batch)).await.unwrap();
                assert_eq!(support::failed_ids(answer), [""; 0]);
            }
        })
    });
    for instance in instances.collect::<Vec<_>>() {
        instance.await.unwrap();
    }
    let mut expected: Vec<String> = last
        .iter()
        .filter(|(_, (_, deleted))| !deleted)
        .map(|(object, (sequencer, _))| {
            let etag = format!("e{sequencer}");
            format!(
                "s3://documents/k{object} | k{object} | {} | {etag} | -",
                etag.len()
            )
        })
        .collect();
    expected.sort();
    let mut found: Vec<String> = sync.rows().await.lines().map(ToOwned::to_owned).collect();
    found.sort();
    assert_eq!(found, expected);
}
