//! The database goes away, time runs out, and workers die, at every stage: nothing is lost, and nothing is told wrongly.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use document_loader::{Config, DocumentLoader, Payload};
use serde_json::{Value, json};
use support::amazon::Trouble;
use support::{BUCKET, DOCUMENT, Loader, Store, function, invoke, invoke_within, load};
use testkit::{Fault, Postgres, Proxy};
use tokio::time::Instant;

/// A function that reaches its database through a network that can fail.
struct Remote {
    store: Store,
    postgres: Postgres,
    proxy: Proxy,
    function: DocumentLoader,
    sql: tokio_postgres::Client,
}

impl Remote {
    async fn start(documents: usize) -> Self {
        let postgres = Postgres::start_own().await;
        let sql = postgres.connect().await;
        sql.batch_execute(DOCUMENT).await.unwrap();
        let proxy = Proxy::start(postgres.address()).await;
        let store = Store::start().await;
        let function = function(&postgres.url_through(proxy.address()), store.amazon());
        function.queue.prepare().await.unwrap();
        for number in 0..documents {
            let (etag, _, size) = store
                .put(&format!("k{number:03}"), text(number).into())
                .await;
            sql.execute(
                "insert into document (uri, title, size, etag) values ($1, '', $2, $3)",
                &[&format!("s3://{BUCKET}/k{number:03}"), &size, &etag],
            )
            .await
            .unwrap();
        }
        Self {
            store,
            postgres,
            proxy,
            function,
            sql,
        }
    }

    /// Loads until nothing is due any more, as schedule and leases would in the end.
    async fn load_to_the_end(&self) {
        for _ in 0..20 {
            if let Ok(answer) = invoke(&self.function, &json!({ "load": {} })).await
                && answer["load"]["finished"] == true
            {
                let waiting =
                    "select count(*) from document_load where next_attempt_at is not null";
                if self.count(waiting).await == 0 {
                    return;
                }
            }
            self.sql
                .batch_execute("update document_load set next_attempt_at = now() where next_attempt_at is not null")
                .await
                .unwrap();
        }
        panic!("{}", support::states(&self.sql).await);
    }

    async fn count(&self, query: &str) -> i64 {
        self.sql.query_one(query, &[]).await.unwrap().get(0)
    }

    /// Every document has its own text, once, and is said to be loaded.
    async fn check(&self, documents: usize, what: &str) {
        let rows = self
            .sql
            .query("select uri, string_agg(text, '|' order by chunk_order) from document_chunk group by uri order by uri", &[])
            .await
            .unwrap();
        let found: Vec<(String, String)> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let expected: Vec<(String, String)> = (0..documents)
            .map(|number| (format!("s3://{BUCKET}/k{number:03}"), text(number)))
            .collect();
        assert_eq!(found, expected, "{what}");
        let loaded = "select count(*) from document_load where state = 'loaded' and lease is null and chunks = 1";
        assert_eq!(
            self.count(loaded).await,
            i64::try_from(documents).unwrap(),
            "{what}"
        );
    }

    async fn forget(&self) {
        self.sql
            .batch_execute("delete from document_chunk; select requeue('%')")
            .await
            .unwrap();
    }
}

fn text(number: usize) -> String {
    format!("text of {number}")
}

#[tokio::test]
async fn the_network_breaks_at_any_byte_and_everything_is_loaded_in_the_end() {
    let remote = Remote::start(30).await;
    remote.load_to_the_end().await;
    for fault in [
        Fault::CutAfterRequestBytes(1),
        Fault::CutAfterRequestBytes(100),
        Fault::CutAfterRequestBytes(2_000),
        Fault::CutAfterRequestBytes(5_000),
        Fault::CutAfterRequestBytes(9_000),
        Fault::CutAfterAnswerBytes(10),
        Fault::CutAfterAnswerBytes(1_000),
        Fault::CutAfterAnswerBytes(4_000),
        Fault::LoseAnswerTo(b"commit".to_vec()),
        Fault::LoseAnswerTo(b"insert into document_chunk".to_vec()),
        Fault::LoseAnswerTo(b"update document_load".to_vec()),
        Fault::LoseAnswerTo(b"pg_advisory_xact_lock".to_vec()),
        Fault::LoseAnswerTo(b"for key share".to_vec()),
        Fault::Delay(Duration::from_millis(2)),
    ] {
        remote.forget().await;
        remote.proxy.set(fault.clone());
        remote.load_to_the_end().await;
        remote.check(30, &format!("{fault:?}")).await;
        remote.proxy.set(Fault::Pass);
    }
}

#[tokio::test]
async fn without_a_database_nothing_is_begun_and_the_queue_delivers_again() {
    let mut remote = Remote::start(3).await;
    remote.postgres.cluster().stop().await;
    let messages = json!({ "Records": [
        { "eventSource": "aws:sqs", "messageId": "m0", "body": "{\"load\": {}}" },
        { "eventSource": "aws:sqs", "messageId": "m1", "body": "whatever" },
    ] });
    let answer = invoke(&remote.function, &messages).await.unwrap();
    assert_eq!(
        answer,
        json!({ "batchItemFailures": [{ "itemIdentifier": "m0" }, { "itemIdentifier": "m1" }] })
    );
    let error = invoke(&remote.function, &json!({ "load": {} }))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    assert!(remote.store.network.lines().is_empty());
    remote.postgres.cluster().start().await.unwrap();
    let answer = invoke(&remote.function, &messages).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
    remote.sql = remote.postgres.connect().await;
    remote.check(3, "after all").await;
}

#[tokio::test]
async fn a_database_that_goes_away_while_documents_are_read_finds_them_again() {
    let mut remote = Remote::start(20).await;
    // They are being read while the database restarts.
    remote
        .store
        .embedded
        .faults()
        .set_latency(Duration::from_millis(700));
    let order = json!({ "load": {} });
    let (answer, ()) = tokio::join!(invoke(&remote.function, &order), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        remote.postgres.cluster().restart().await.unwrap();
    });
    drop(answer);
    remote.store.embedded.faults().clear();
    remote.sql = remote.postgres.connect().await;
    remote.load_to_the_end().await;
    remote.check(20, "after the restart").await;
}

#[tokio::test]
async fn a_database_that_says_nothing_does_not_outlast_the_invocation() {
    let remote = Remote::start(3).await;
    remote.proxy.set(Fault::Stall);
    let time = Duration::from_millis(800);
    let started = Instant::now();
    let failed = invoke_within(&remote.function, &json!({ "load": {} }), time).await;
    assert!(failed.is_err());
    let message =
        json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m0", "body": "" }] });
    let answer = invoke_within(&remote.function, &message, time)
        .await
        .unwrap();
    assert_eq!(answer["batchItemFailures"][0]["itemIdentifier"], "m0");
    assert!(started.elapsed() < Duration::from_secs(20));
    remote.proxy.set(Fault::Pass);
    remote.load_to_the_end().await;
    remote.check(3, "after the silence").await;
}

/// Killed means: whatever was under way is dropped, at some point in time, and never comes back.
#[tokio::test]
async fn a_worker_killed_at_any_moment_loses_nothing() {
    let remote = Remote::start(25).await;
    remote.load_to_the_end().await;
    let payload: Payload = serde_json::from_str(r#"{"load": {}}"#).unwrap();
    let started = Instant::now();
    remote.forget().await;
    load(&remote.function).await;
    let whole = started.elapsed();
    for part in 1..=16 {
        remote.forget().await;
        let deadline = Instant::now() + Duration::from_mins(1);
        let killed = tokio::time::timeout(
            whole * part / 14,
            remote.function.handle(&payload, deadline),
        );
        let is_finished = killed.await.is_ok();
        // What is there is whole, and what is said to be loaded is there.
        let torn = "select count(*) from document_load where state = 'loaded' and content_sha256 is not null
            and chunks <> (select count(*) from document_chunk where document_chunk.uri = document_load.uri)";
        assert_eq!(remote.count(torn).await, 0, "killed after {part} parts");
        remote.load_to_the_end().await;
        remote
            .check(
                25,
                &format!("killed after {part} parts; finished: {is_finished}"),
            )
            .await;
    }
    let most = "select max(attempts)::bigint from document_load";
    assert!(remote.count(most).await <= 3);
}

#[tokio::test]
async fn time_that_runs_out_gives_documents_back_without_blame() {
    let loader = Loader::start().await;
    for number in 0..40 {
        loader.put(&format!("k{number:03}"), "text").await;
    }
    loader
        .store
        .network
        .trouble("GET", 999, Trouble::Hang(Duration::ZERO));
    let started = Instant::now();
    let time = Duration::from_secs(4);
    let answer = invoke_within(&loader.function, &json!({ "load": {} }), time)
        .await
        .unwrap();
    assert!(started.elapsed() < time);
    let report = &answer["load"];
    assert_eq!(
        (&report["finished"], &report["loaded"]),
        (&json!(false), &json!(0))
    );
    assert_ne!(report["returned"], 0, "{report}");
    let held = "select count(*) from document_load where lease is not null or attempts > 0";
    assert_eq!(loader.count(held).await, 0);
    // And whoever comes next begins at once.
    loader.store.network.clear();
    assert_eq!(loader.load().await["loaded"], 40);
}

#[tokio::test]
async fn a_large_document_that_takes_all_the_time_there_is_has_had_a_try() {
    let loader = Loader::start().await;
    loader.put("slow", "text".repeat(5 * 1024 * 1024)).await;
    loader
        .store
        .network
        .trouble("GET", 999, Trouble::Hang(Duration::ZERO));
    for tries in 1..=2 {
        let time = Duration::from_secs(4);
        let answer = invoke_within(&loader.function, &json!({ "load": {} }), time)
            .await
            .unwrap();
        assert_eq!(answer["load"]["retried"], 1, "{answer}");
        let counted = "select count(*) from document_load
            where state = 'retry' and reason = 'timed_out' and lease is null and attempts = ";
        assert_eq!(loader.count(&format!("{counted}{tries}")).await, 1);
        loader.pass_time().await;
    }
}

#[tokio::test]
async fn a_document_at_which_workers_die_is_tried_alone_and_fails_in_the_end() {
    let loader = Loader::start().await;
    let poison = loader.put("poison", "text").await;
    let good: Vec<String> = {
        let mut uris = Vec::new();
        for number in 0..99 {
            uris.push(loader.put(&format!("good{number:02}"), "text").await);
        }
        uris
    };
    // Whoever reads it dies at it, together with all that he has in hand.
    loader
        .store
        .network
        .trouble("GET /documents/poison", 999, Trouble::Hang(Duration::ZERO));
    let payload: Payload = serde_json::from_str(r#"{"load": {}}"#).unwrap();
    for _ in 0..12 {
        let deadline = Instant::now() + Duration::from_mins(1);
        let dying = loader.function.handle(&payload, deadline);
        let _ = tokio::time::timeout(Duration::from_secs(3), dying).await;
        loader
            .sql
            .batch_execute(
                "update document_load set next_attempt_at = now() where state = 'loading'",
            )
            .await
            .unwrap();
    }
    loader.load().await;
    assert_eq!(loader.state(&poison).await, "failed: crashed");
    for uri in &good {
        assert_eq!(loader.state(uri).await, "loaded", "{uri}");
    }
}

#[tokio::test]
async fn a_text_that_the_database_refuses_fails_alone() {
    let loader = Loader::start().await;
    loader
        .sql
        .batch_execute(
            "alter table document_chunk add constraint decent check (text not like '%rude%')",
        )
        .await
        .unwrap();
    for number in 0..50 {
        loader
            .put(
                &format!("k{number}"),
                if number == 33 { "rude" } else { "fine" },
            )
            .await;
    }
    let report = loader.load().await;
    assert_eq!(
        (&report["loaded"], &report["failed"]),
        (&json!(49), &json!(1))
    );
    assert_eq!(loader.state("s3://documents/k33").await, "failed: refused");
    let error = loader.last_error("s3://documents/k33").await;
    assert!(
        error.contains("violates check constraint \"decent\""),
        "{error}"
    );
}

#[tokio::test]
async fn one_poison_among_a_hundred_is_the_only_one_that_fails() {
    let loader = Loader::start().await;
    for number in 0..100_u8 {
        let body = if number == 50 {
            vec![0, 159, 146, 150]
        } else {
            format!("text {number}").into_bytes()
        };
        loader.put(&format!("k{number:03}"), body).await;
    }
    let report = loader.load().await;
    assert_eq!(
        (&report["loaded"], &report["failed"]),
        (&json!(99), &json!(1)),
        "{report}"
    );
    let bad: Vec<Value> = vec![report["reasons"].clone()];
    assert_eq!(bad, [json!({ "unsupported": 1 })]);
    assert_eq!(
        loader.state("s3://documents/k050").await,
        "failed: unsupported"
    );
}

#[tokio::test]
async fn documents_that_take_all_the_time_they_may_hold_up_no_other_source() {
    let postgres = Postgres::start().await;
    let sql = postgres.connect().await;
    sql.batch_execute(DOCUMENT).await.unwrap();
    let store = Store::start().await;
    // It reads nothing, at once, but never ends where it finds this word.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("reader");
    let script = "#!/bin/sh\ncase $(cat) in *endless*) while :; do :; done;; *) exit 1;; esac\n";
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let config = Config {
        program: Some(program),
        ..support::config(postgres.url())
    };
    let function = DocumentLoader::with_amazon(config, store.amazon());
    function.queue.prepare().await.unwrap();
    sql.batch_execute(
        "select add_source('s3://documents/endless/'), add_source('s3://documents/good/')",
    )
    .await
    .unwrap();
    for (folder, text) in [("endless", "<html>endless"), ("good", "<html>good")] {
        for number in 0..20 {
            let key = format!("{folder}/{number}.html");
            let (etag, _, size) = store.put(&key, text.into()).await;
            let insert = "insert into document (uri, title, size, etag) values ($1, '', $2, $3)";
            let uri = format!("s3://{BUCKET}/{key}");
            sql.execute(insert, &[&uri, &size, &etag]).await.unwrap();
        }
    }
    let time = Duration::from_secs(20);
    let answer = invoke_within(&function, &json!({ "load": {} }), time).await;
    // All the others had their turn, and one had all the time there was.
    let report = answer.unwrap()["load"].clone();
    assert_eq!(
        report["reasons"],
        json!({ "parse_failure": 20, "timed_out": 1 }),
        "{report}"
    );
    let endless = "select count(*) from document_load where uri like '%endless%' and (lease is not null or attempts > 0)";
    let endless: i64 = sql.query_one(endless, &[]).await.unwrap().get(0);
    assert_eq!(endless, 1, "the others are given back without blame");
}
