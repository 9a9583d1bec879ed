//! The database goes away, in every way a network has.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::time::Duration;

use document_sync::DocumentSync;
use serde_json::{Value, json};
use shared::s3::{S3, Settings};
use support::{Store, deliver, failed_ids, function, put, queue_of_records, queue_of_texts, rows};
use testkit::{Fault, Postgres, Proxy};
use tokio::time::Instant;

/// A function that reaches its database through a network that can fail.
struct Remote {
    postgres: Postgres,
    proxy: Proxy,
    function: DocumentSync,
}

impl Remote {
    async fn start() -> Self {
        let postgres = Postgres::start_own().await;
        let proxy = Proxy::start(postgres.address()).await;
        let function = function(
            &postgres.url_through(proxy.address()),
            S3::new(Settings::default()),
        );
        function.documents.prepare().await.unwrap();
        Self {
            postgres,
            proxy,
            function,
        }
    }

    async fn failures(&self, payload: &Value) -> Vec<String> {
        failed_ids(deliver(&self.function, payload).await.unwrap())
    }

    async fn rows(&self) -> usize {
        rows(&self.postgres.connect().await).await.lines().count()
    }
}

fn batch(size: usize) -> Value {
    let records: Vec<Value> = (0..size)
        .map(|index| put(&format!("k{index}"), "1", "e1"))
        .collect();
    queue_of_records(&records)
}

#[tokio::test]
async fn a_connection_lost_between_batches_is_made_again() {
    let remote = Remote::start().await;
    remote.proxy.cut();
    assert!(remote.failures(&batch(3)).await.is_empty());
    assert_eq!(remote.rows().await, 3);
}

#[tokio::test]
async fn a_connection_lost_at_any_byte_of_a_batch_costs_a_second_try() {
    let remote = Remote::start().await;
    // The batch is some 15 kB of requests: before, within and after each of its statements.
    for cut in [1, 30, 500, 4_000, 8_000, 12_000] {
        remote.proxy.set(Fault::CutAfterRequestBytes(cut));
        assert!(
            remote.failures(&batch(100)).await.is_empty(),
            "cut after {cut} bytes"
        );
        assert_eq!(
            remote.proxy.fault(),
            Fault::Pass,
            "the cut after {cut} bytes happened"
        );
        let sql = remote.postgres.connect().await;
        assert_eq!(
            rows(&sql).await.lines().count(),
            100,
            "cut after {cut} bytes"
        );
        sql.batch_execute("truncate document, s3_object")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_lost_acknowledgement_of_the_commit_does_no_harm() {
    let remote = Remote::start().await;
    remote.proxy.set(Fault::LoseAnswerTo(b"commit".to_vec()));
    assert!(remote.failures(&batch(10)).await.is_empty());
    assert_eq!(remote.proxy.fault(), Fault::Pass);
    assert_eq!(remote.rows().await, 10);
}

#[tokio::test]
async fn a_database_that_is_away_fails_every_message_and_loses_none() {
    let mut remote = Remote::start().await;
    remote.postgres.cluster().stop().await;
    assert_eq!(remote.failures(&batch(3)).await, ["m0", "m1", "m2"]);
    remote.postgres.cluster().start().await.unwrap();
    assert!(
        remote.failures(&batch(3)).await.is_empty(),
        "delivered again, it is applied"
    );
    assert_eq!(remote.rows().await, 3);
}

#[tokio::test]
async fn a_server_restarted_in_the_middle_of_a_batch_is_found_again() {
    let mut remote = Remote::start().await;
    let holder = remote.postgres.connect().await;
    // The batch waits for this lock while the server restarts.
    holder
        .batch_execute("begin; lock table document in exclusive mode")
        .await
        .unwrap();
    let payload = batch(50);
    let waiting = deliver(&remote.function, &payload);
    let restarting = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        remote.postgres.cluster().restart().await.unwrap();
    };
    let (answer, ()) = tokio::join!(waiting, restarting);
    // Either the second try found the server up again, or the messages come again.
    if !failed_ids(answer.unwrap()).is_empty() {
        assert!(failed_ids(deliver(&remote.function, &payload).await.unwrap()).is_empty());
    }
    assert_eq!(remote.rows().await, 50);
}

#[tokio::test]
async fn a_server_that_says_nothing_does_not_outlast_the_invocation() {
    let remote = Remote::start().await;
    remote.proxy.set(Fault::Stall);
    let payload = support::payload(&batch(2));
    let deadline = Instant::now() + Duration::from_millis(500);
    let answer = remote
        .function
        .handle(&payload, "request", deadline)
        .await
        .unwrap();
    assert_eq!(failed_ids(answer), ["m0", "m1"]);
    remote.proxy.set(Fault::Pass);
    assert!(remote.failures(&batch(2)).await.is_empty());
    assert_eq!(remote.rows().await, 2);
}

#[tokio::test]
async fn a_lost_acknowledgement_keeps_a_message_in_quarantine_once() {
    let remote = Remote::start().await;
    let bodies = ["junk".to_owned(), "more junk".to_owned()];
    remote.proxy.set(Fault::LoseAnswerTo(b"commit".to_vec()));
    let failures = remote.failures(&queue_of_texts(&bodies)).await;
    assert!(failures.is_empty());
    assert_eq!(remote.proxy.fault(), Fault::Pass, "it was lost");
    let sql = remote.postgres.connect().await;
    let kept = sql.query_one("select count(*) from quarantine", &[]).await;
    assert_eq!(kept.unwrap().get::<_, i64>(0), 2);
}

/// A bucket with objects that nobody was told of, compared through a network that breaks in every way: cut at any
/// byte, acknowledgements lost, slow. However often it has to be begun again, in the end the table is the bucket.
#[tokio::test]
async fn a_comparison_survives_whatever_the_network_does_to_it() {
    let store = Store::start(false).await;
    for number in 0..1_200 {
        store.put(&format!("k{number:05}"), "").await;
    }
    let mut remote = Remote::start().await;
    remote.function.s3 = store.s3();
    let surplus: Vec<Value> = (0..300)
        .map(|number| put(&format!("l{number:05}"), "1", "e1"))
        .collect();
    let faults = [
        Fault::CutAfterRequestBytes(300),
        Fault::CutAfterRequestBytes(5_000),
        Fault::CutAfterRequestBytes(60_000),
        Fault::CutAfterAnswerBytes(200),
        Fault::CutAfterAnswerBytes(20_000),
        Fault::LoseAnswerTo(b"commit".to_vec()),
        Fault::LoseAnswerTo(b"insert into s3_object".to_vec()),
        Fault::LoseAnswerTo(b"reconcile_surplus".to_vec()),
        Fault::Delay(Duration::from_millis(5)),
        Fault::Refuse,
    ];
    let command = json!({ "reconcile": { "bucket": "documents", "max_deleted_share": 1 } });
    for fault in faults {
        assert!(
            remote
                .failures(&queue_of_records(&surplus))
                .await
                .is_empty()
        );
        remote.proxy.cut();
        remote.proxy.set(fault.clone());
        let mut attempts = 0;
        loop {
            attempts += 1;
            assert!(attempts < 10, "{fault:?}: it does not end");
            let answer = deliver(&remote.function, &command).await;
            if !matches!(fault, Fault::Delay(_) | Fault::Refuse) {
                assert_eq!(remote.proxy.fault(), Fault::Pass, "{fault:?} happened");
            }
            remote.proxy.set(Fault::Pass);
            if let Ok(answer) = answer {
                let answer = serde_json::to_value(answer).unwrap();
                match answer["reconcile"]["state"].as_str().unwrap() {
                    "finished" => break,
                    // An instance that cannot be told of the end of its lease holds it; here it is over.
                    "running" => release(&remote).await,
                    other => panic!("{fault:?}: {other}"),
                }
            }
        }
        assert_eq!(remote.rows().await, 1_200, "{fault:?}");
        let sql = remote.postgres.connect().await;
        sql.batch_execute("truncate document, s3_object")
            .await
            .unwrap();
    }
}

async fn release(remote: &Remote) {
    let sql = remote.postgres.connect().await;
    sql.batch_execute("update reconcile_run set leased_until = null")
        .await
        .unwrap();
}
