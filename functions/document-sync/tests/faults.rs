//! The database goes away, in every way a network has.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::time::Duration;

use document_sync::DocumentSync;
use serde_json::Value;
use shared::s3::{S3, Settings};
use support::{deliver, failed_ids, function, put, queue_of_records, rows};
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
