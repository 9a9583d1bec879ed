//! Messages that can never succeed are kept, do not hold up the others, and are replayed once their cause is gone.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::fmt::Write as _;
use std::time::Duration;

use embedded_s3::{Fault, Target};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use support::{Store, Sync, delete, notification, put, queue_of_records, queue_of_texts, record};
use tokio::time::Instant;

fn good(key: &str) -> String {
    notification(&[put(key, "1", "e1")]).to_string()
}

fn with(record: Value) -> String {
    notification(&[record]).to_string()
}

/// One of every kind of message that can never succeed, with its reason.
fn poisons() -> Vec<(String, &'static str)> {
    let mut foreign = put("x", "1", "e1");
    foreign["eventSource"] = json!("aws:ses");
    let mut without_bucket = put("x", "1", "e1");
    without_bucket["s3"]["bucket"] = json!({});
    let mut without_object = put("x", "1", "e1");
    without_object["s3"]["object"] = Value::Null;
    let mut future = put("x", "1", "e1");
    future["eventVersion"] = json!("3.0");
    let mut size_of_text = put("x", "1", "e1");
    size_of_text["s3"]["object"]["size"] = json!("large");
    vec![
        ("not json".into(), "it is not the JSON of an event"),
        (String::new(), "it is not the JSON of an event"),
        ("{\"Records\": [".into(), "it is not the JSON of an event"),
        ("raw \0 nul".into(), "it is not the JSON of an event"),
        ("{}".into(), "it is neither an S3 event nor"),
        ("[]".into(), "it is not the JSON of an event"),
        ("\"text\"".into(), "it is not the JSON of an event"),
        (with(put("bad%FFutf8", "1", "e1")), "not UTF-8"),
        (with(put("nul%00", "1", "e1")), "a NUL character"),
        (with(put(&"k".repeat(1025), "1", "e1")), "longer than 1024"),
        (with(put("", "1", "e1")), "the key is empty"),
        (with(foreign), "its source is \"aws:ses\""),
        (with(without_bucket), "s3.bucket.name is missing"),
        (with(without_object), "s3.object is missing"),
        (with(future), "its event version is \"3.0\""),
        (with(size_of_text), "invalid type"),
    ]
}

/// The quarantine, a line each: message, reason.
async fn quarantine(sync: &Sync) -> String {
    let query = "select message_id, reason from quarantine order by id";
    let mut text = String::new();
    for row in sync.sql.query(query, &[]).await.expect("it can be read") {
        let (id, reason): (Option<String>, String) = (row.get(0), row.get(1));
        writeln!(text, "{} | {reason}", id.unwrap_or("-".into())).expect("a string takes text");
    }
    text
}

async fn replay(sync: &Sync, command: Value) -> Value {
    let answer = sync.deliver(&json!({ "replay": command })).await.unwrap();
    serde_json::to_value(answer).unwrap()["replay"].clone()
}

#[tokio::test]
async fn every_kind_of_poison_is_kept_with_its_reason_and_does_not_hold_up_the_rest() {
    let sync = Sync::start().await;
    let mut bodies = vec![good("first")];
    bodies.extend(poisons().into_iter().map(|(body, _)| body));
    bodies.push(good("last"));
    assert!(
        sync.failures(&queue_of_texts(&bodies)).await.is_empty(),
        "the messages are done"
    );
    insta::assert_snapshot!(sync.rows().await, @"
    s3://documents/first | first | 2 | e1 | -
    s3://documents/last | last | 2 | e1 | -
    ");
    let rows = sync
        .sql
        .query(
            "select message_id, reason, body from quarantine order by id",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), poisons().len());
    for ((index, (body, reason)), row) in (1..).zip(poisons()).zip(rows) {
        assert_eq!(row.get::<_, String>(0), format!("m{index}"));
        let found: String = row.get(1);
        assert!(found.contains(reason), "{found} has no {reason}");
        assert_eq!(row.get::<_, String>(2), body.replace('\0', "\\u0000"));
    }
}

#[tokio::test]
async fn a_message_delivered_again_is_kept_once() {
    let sync = Sync::start().await;
    let batch = queue_of_texts(&["not json".into(), good("a"), "not json either".into()]);
    for _ in 0..3 {
        assert!(sync.failures(&batch).await.is_empty());
    }
    insta::assert_snapshot!(quarantine(&sync).await, @"
    m0 | it is not the JSON of an event: expected ident at line 1 column 2
    m2 | it is not the JSON of an event: expected ident at line 1 column 2
    ");
}

#[tokio::test]
async fn the_good_records_of_a_bad_message_are_applied() {
    let sync = Sync::start().await;
    let mixed = notification(&[put("a", "1", "e1"), json!({}), put("b", "1", "e1")]);
    assert!(
        sync.failures(&queue_of_texts(&[mixed.to_string()]))
            .await
            .is_empty()
    );
    assert_eq!(sync.rows().await.lines().count(), 2);
    insta::assert_snapshot!(quarantine(&sync).await, @"m0 | the field eventSource is missing");
}

#[tokio::test]
async fn what_the_database_refuses_is_kept_and_replayed_when_it_no_longer_does() {
    let sync = Sync::start().await;
    let trigger = "
        create function refuse() returns trigger language plpgsql as $$
            begin
                if new.title = 'refused' then raise exception 'not this one'; end if;
                return new;
            end
        $$;
        create trigger refuse before insert on document for each row execute function refuse();
        alter table document add check (title <> 'unchecked');";
    sync.sql.batch_execute(trigger).await.unwrap();
    let mut bodies: Vec<String> = ["a", "refused", "b", "unchecked", "c"]
        .into_iter()
        .map(good)
        .collect();
    bodies.push("junk".into());
    assert!(sync.failures(&queue_of_texts(&bodies)).await.is_empty());
    insta::assert_snapshot!(sync.rows().await, @"
    s3://documents/a | a | 2 | e1 | -
    s3://documents/b | b | 2 | e1 | -
    s3://documents/c | c | 2 | e1 | -
    ");
    insta::assert_snapshot!(quarantine(&sync).await, @r#"
    m5 | it is not the JSON of an event: expected value at line 1 column 1
    m1 | the database refused a document: not this one (P0001)
    m3 | the database refused a document: new row for relation "document" violates check constraint "document_title_check" (23514)
    "#);

    sync.sql
        .batch_execute("drop trigger refuse on document")
        .await
        .unwrap();
    // The document still has to be there: S3 is asked, which cannot be reached here.
    let answer = replay(&sync, json!({})).await;
    assert_eq!(
        answer,
        json!({ "applied": 0, "failed": 3, "finished": true }),
        "without S3 nothing is certain"
    );
}

/// A store, and the function at it.
struct Stored {
    sync: Sync,
    store: Store,
}

impl Stored {
    async fn start() -> Self {
        let store = Store::start(false).await;
        Self {
            sync: Sync::with_s3(store.s3()).await,
            store,
        }
    }
}

#[tokio::test]
async fn a_replay_applies_what_is_true_now() {
    let stored = Stored::start().await;
    let sync = &stored.sync;
    sync.sql
        .batch_execute("alter table document add constraint none check (title = 'known')")
        .await
        .unwrap();
    stored.store.put("there", "body").await;
    let records = [
        put("there", "1", "e1"),
        put("gone since", "1", "e1"),
        put("known", "5", "e5"),
    ];
    assert!(sync.failures(&queue_of_records(&records)).await.is_empty());
    assert_eq!(quarantine(sync).await.lines().count(), 2);
    sync.sql
        .batch_execute("alter table document drop constraint none")
        .await
        .unwrap();
    let answer = replay(sync, json!({})).await;
    assert_eq!(
        answer,
        json!({ "applied": 2, "failed": 0, "finished": true })
    );
    insta::assert_snapshot!(sync.rows().await, @"
    s3://documents/known | known | 2 | e5 | -
    s3://documents/there | there | 4 | 841a2d689ad86bd1611447453c22c6fc | -
    ");
    assert_eq!(quarantine(sync).await, "");
}

#[tokio::test]
async fn a_replay_is_chosen_by_id_or_asked_for_in_sql() {
    let sync = Sync::start().await;
    let batch = queue_of_texts(&["one".into(), "two".into(), "three".into()]);
    sync.failures(&batch).await;
    let fix = "update quarantine set body = $1 where message_id = $2";
    for (message, key) in [("m0", "a"), ("m1", "b"), ("m2", "c")] {
        // Deletions of what the ledger knows need no question to S3.
        sync.failures(&queue_of_records(&[put(key, "1", "e1")]))
            .await;
        let body = with(delete(key, "2"));
        sync.sql.execute(fix, &[&body, &message]).await.unwrap();
    }
    let ids: Vec<i64> = sync
        .sql
        .query("select id from quarantine order by id", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let only = |applied| json!({ "applied": applied, "failed": 0, "finished": true });
    assert_eq!(replay(&sync, json!({ "requested": true })).await, only(0));
    assert_eq!(replay(&sync, json!({ "ids": [ids[1]] })).await, only(1));
    let asked: i64 = sync
        .sql
        .query_one("select replay_quarantine(array[$1::bigint])", &[&ids[0]])
        .await
        .unwrap()
        .get(0);
    assert_eq!(asked, 1);
    assert_eq!(replay(&sync, json!({ "requested": true })).await, only(1));
    insta::assert_snapshot!(sync.rows().await, @"s3://documents/c | c | 2 | e1 | -");
    let asked: i64 = sync
        .sql
        .query_one("select replay_quarantine()", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(asked, 1);
    assert_eq!(replay(&sync, json!({ "requested": true })).await, only(1));
    assert_eq!(quarantine(&sync).await, "");
}

#[tokio::test]
async fn a_replay_that_fails_notes_why_and_how_often() {
    let sync = Sync::start().await;
    sync.failures(&queue_of_texts(&["junk".into()])).await;
    sync.sql
        .batch_execute("update quarantine set body = '{}', replay_requested = true")
        .await
        .unwrap();
    for _ in 0..2 {
        let answer = replay(&sync, json!({})).await;
        assert_eq!(
            answer,
            json!({ "applied": 0, "failed": 1, "finished": true })
        );
    }
    let row = sync
        .sql
        .query_one(
            "select reason, attempts, replay_requested from quarantine",
            &[],
        )
        .await
        .unwrap();
    assert!(
        row.get::<_, String>(0)
            .starts_with("it is neither an S3 event")
    );
    assert_eq!((row.get::<_, i32>(1), row.get::<_, bool>(2)), (2, false));
}

#[tokio::test]
async fn a_large_quarantine_is_replayed_in_parts() {
    let sync = Sync::start().await;
    sync.failures(&queue_of_records(&[put("a", "1", "e1")]))
        .await;
    // Ten messages of a megabyte, and more small ones than one look takes.
    let body = with(delete("a", "2"));
    let fill = "
        insert into quarantine (reason, body) select 'test', $1 || repeat(' ', 1000000) from generate_series(1, 10);";
    sync.sql.execute(fill, &[&body]).await.unwrap();
    let fill =
        "insert into quarantine (reason, body) select 'test', $1 from generate_series(1, 2500)";
    sync.sql.execute(fill, &[&body]).await.unwrap();
    let answer = replay(&sync, json!({})).await;
    assert_eq!(
        answer,
        json!({ "applied": 2510, "failed": 0, "finished": true })
    );
    assert_eq!(sync.rows().await, "");
}

#[tokio::test]
async fn what_s3_refuses_is_kept_and_what_it_throttles_comes_again() {
    let stored = Stored::start().await;
    let sync = &stored.sync;
    stored.store.put("a", "body").await;
    let version_deleted = record(
        "ObjectRemoved:Delete",
        "a",
        "2",
        &json!({ "versionId": "older" }),
    );
    let batch = queue_of_records(&[put("b", "1", "e1"), version_deleted]);
    let head = || Target {
        operation: Some("HeadObject".into()),
        ..Target::default()
    };
    stored
        .store
        .embedded
        .faults()
        .inject(Fault::SlowDown, head());
    assert_eq!(sync.failures(&batch).await, ["m1"]);
    assert_eq!(quarantine(sync).await, "");
    stored.store.embedded.faults().clear();
    stored
        .store
        .embedded
        .faults()
        .inject(Fault::AccessDenied, head());
    assert!(sync.failures(&batch).await.is_empty());
    let kept = quarantine(sync).await;
    assert!(
        kept.starts_with("m1 | HeadObject of s3://documents/a failed with status 403"),
        "{kept}"
    );
    stored.store.embedded.faults().clear();
    assert_eq!(replay(sync, json!({})).await["applied"], 1);
    assert!(sync.rows().await.starts_with("s3://documents/a | a | 4 | "));
}

#[tokio::test]
async fn without_a_database_nothing_is_acknowledged() {
    let mut sync = Sync::start_own().await;
    sync.postgres.cluster().stop().await;
    let batch = queue_of_texts(&[good("a"), "junk".into()]);
    assert_eq!(sync.failures(&batch).await, ["m0", "m1"]);
    let payload = support::payload(&json!({ "Records": [{ "eventSource": "aws:kinesis" }] }));
    let deadline = Instant::now() + Duration::from_mins(1);
    let direct = sync.function.handle(&payload, "request", deadline).await;
    assert!(direct.is_err(), "nor is what came without a queue");
    sync.postgres.cluster().start().await.unwrap();
    sync.sql = sync.postgres.connect().await;
    assert!(sync.failures(&batch).await.is_empty());
    assert_eq!(quarantine(&sync).await.lines().count(), 1);
}

/// Poison of every kind at random places of batches of 1 to 10,000: every message ends in exactly one of the two
/// tables, and none comes again.
#[test]
fn poison_among_good_messages_costs_none_of_them() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let sync = runtime.block_on(Sync::start());
    let poisons = poisons();
    let mut runner = TestRunner::new(Config {
        cases: 24,
        ..Config::default()
    });
    let sizes = prop_oneof![1..20_usize, 20..500_usize, Just(10_000_usize)];
    let batches = (sizes, any::<u64>(), 0..=100_u64);
    runner
        .run(&batches, |(size, seed, percent)| {
            let mut random = seed | 1;
            let mut next = move || {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random
            };
            let mut bad = 0;
            let bodies: Vec<String> = (0..size)
                .map(|index| {
                    if next() % 100 < percent {
                        bad += 1;
                        let choice = usize::try_from(next()).unwrap() % poisons.len();
                        poisons[choice].0.clone()
                    } else {
                        good(&format!("k{index}"))
                    }
                })
                .collect();
            runtime.block_on(async {
                assert!(sync.failures(&queue_of_texts(&bodies)).await.is_empty());
                let query =
                    "select (select count(*) from document), (select count(*) from quarantine)";
                let row = sync.sql.query_one(query, &[]).await.unwrap();
                let counts: (i64, i64) = (row.get(0), row.get(1));
                let expected = (i64::try_from(size).unwrap() - bad, bad);
                assert_eq!(counts, expected);
                sync.sql
                    .batch_execute("truncate document, s3_object, quarantine")
                    .await
                    .unwrap();
            });
            Ok(())
        })
        .unwrap();
}
