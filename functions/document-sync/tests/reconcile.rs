//! A bucket and the documents table brought in step, whatever came between them.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::time::Duration;

use document_sync::Failure;
use embedded_s3::{Fault, Target};
use serde_json::{Value, json};
use shared::config::{Env, FromEnv};
use support::{BUCKET, Store, Sync, delete, put, queue_of_records};
use tokio::time::Instant;

/// A bucket that tells nobody of its changes, and the function that can look.
struct Stored {
    sync: Sync,
    store: Store,
}

impl Stored {
    async fn start(versioned: bool) -> Self {
        let store = Store::start(versioned).await;
        Self {
            sync: Sync::with_s3(store.s3()).await,
            store,
        }
    }

    async fn put(&self, key: &str, body: &str) -> Option<String> {
        self.store.put(key, body).await
    }

    async fn put_many(&self, keys: impl Iterator<Item = String>) {
        let puts = keys.map(|key| async move { self.put(&key, "body").await });
        futures_util::future::join_all(puts).await;
    }

    async fn delete(&self, key: &str) {
        let delete = self.store.client.delete_object().bucket(BUCKET).key(key);
        delete.send().await.unwrap();
    }

    async fn try_reconcile(&self, command: Value, time: Duration) -> Result<Value, Failure> {
        let mut order = json!({ "bucket": BUCKET });
        for (name, value) in command.as_object().unwrap() {
            order[name] = value.clone();
        }
        let payload = support::payload(&json!({ "reconcile": order }));
        let function = &self.sync.function;
        let answer = function.handle(&payload, "request", Instant::now() + time);
        let answer = serde_json::to_value(answer.await?).unwrap();
        Ok(answer["reconcile"].clone())
    }

    async fn reconcile(&self, command: Value) -> Value {
        self.try_reconcile(command, Duration::from_mins(1))
            .await
            .unwrap()
    }

    async fn uris(&self) -> Vec<String> {
        let rows = self.sync.rows().await;
        rows.lines()
            .map(|line| line.split(" | ").next().unwrap().to_owned())
            .collect()
    }

    /// When each row was last written.
    async fn written(&self) -> Vec<(String, String)> {
        let query = "select uri, updated_at::text from document order by uri";
        let rows = self.sync.sql.query(query, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

/// What a run found and did, the zeros left out.
fn counts(answer: &Value) -> String {
    let counts = answer.as_object().unwrap().iter();
    let counts: Vec<String> = counts
        .filter(|(_, value)| value.as_i64().is_some_and(|number| number != 0))
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    counts.join(", ")
}

#[tokio::test]
async fn a_bucket_that_was_full_before_becomes_rows() {
    for versioned in [false, true] {
        let stored = Stored::start(versioned).await;
        let keys = [
            "a/b c+d.pdf",
            "plain.txt",
            "ü/e\u{301}😀?#&.md",
            "ue\u{fffd}",
            "100%41%.txt",
            "//odd//",
            "+",
            "control \u{1}\u{1f}.txt",
            "\u{ffff}",
            "😀",
        ];
        for key in keys {
            stored.put(key, key).await;
        }
        stored.put("folder/", "").await;
        stored.put("deleted", "x").await;
        stored.delete("deleted").await;
        let answer = stored.reconcile(json!({})).await;
        assert_eq!(answer["state"], "finished");
        assert_eq!(
            counts(&answer),
            "listed 11, missing 10, repaired 10",
            "versioned: {versioned}"
        );
        let mut expected: Vec<String> = keys.map(|key| format!("s3://{BUCKET}/{key}")).into();
        expected.sort();
        assert_eq!(stored.uris().await, expected);
        let versions = "select count(*) from document where version_id is not null";
        let versions: i64 = stored
            .sync
            .sql
            .query_one(versions, &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(versions, if versioned { 10 } else { 0 });

        let written = stored.written().await;
        let answer = stored.reconcile(json!({})).await;
        assert_eq!(counts(&answer), "documents 10, listed 11");
        assert_eq!(stored.written().await, written, "no row was touched");
    }
}

#[tokio::test]
async fn lost_events_are_made_up_for() {
    for versioned in [false, true] {
        let stored = Stored::start(versioned).await;
        for key in ["kept", "changed", "deleted", "same"] {
            stored.put(key, "one").await;
        }
        stored.reconcile(json!({})).await;
        stored.put("created", "one").await;
        stored.put("changed", "two").await;
        let version = stored.put("same", "one").await;
        stored.delete("deleted").await;
        let before = stored.written().await;
        let answer = stored.reconcile(json!({})).await;
        let expected = if versioned {
            "different 2, documents 4, listed 4, missing 1, repaired 4, surplus 1"
        } else {
            "different 1, documents 4, listed 4, missing 1, repaired 3, surplus 1"
        };
        assert_eq!(counts(&answer), expected, "versioned: {versioned}");
        let rows = stored.sync.rows().await;
        let row = |key: &str| rows.lines().find(|row| row.contains(key)).unwrap();
        assert!(row("changed").contains("b8a9f715dbb64fd5c56e7783c6820a61"));
        assert!(row("same").ends_with(version.as_deref().unwrap_or("-")));
        assert_eq!(rows.lines().count(), 4);
        let after = stored.written().await;
        let kept =
            |rows: &[(String, String)]| rows.iter().find(|(uri, _)| uri.ends_with("kept")).cloned();
        assert_eq!(kept(&before), kept(&after), "what was right is not touched");
    }
}

#[tokio::test]
async fn events_go_on_from_what_was_reconciled() {
    let stored = Stored::start(false).await;
    stored.put("a", "one").await;
    stored.reconcile(json!({})).await;
    // The event that was lost or late arrives after all, and then the next one.
    let first = put(
        "a",
        "0055AED6DCD90281E5",
        "f97c5d29941bfb1b2fdab0874906ab82",
    );
    assert!(
        stored
            .sync
            .failures(&queue_of_records(&[first]))
            .await
            .is_empty()
    );
    let second = delete("a", "0055AED6DCD90281E6");
    assert!(
        stored
            .sync
            .failures(&queue_of_records(&[second]))
            .await
            .is_empty()
    );
    assert_eq!(stored.sync.rows().await, "");
    // The bucket still has it: the next run finds that out.
    stored.reconcile(json!({})).await;
    assert_eq!(stored.uris().await, ["s3://documents/a"]);
}

#[tokio::test]
async fn rows_that_somebody_changed_by_hand_are_put_right() {
    let stored = Stored::start(false).await;
    for key in ["removed", "edited", "kept"] {
        stored.put(key, "one").await;
    }
    stored.reconcile(json!({})).await;
    stored
        .sync
        .sql
        .batch_execute(
            "delete from document where title = 'removed';
             update document set etag = 'wrong' where title = 'edited';
             insert into document (uri, title) values ('s3://documents/invented', 'invented')",
        )
        .await
        .unwrap();
    let answer = stored.reconcile(json!({})).await;
    assert_eq!(
        counts(&answer),
        "different 1, documents 3, listed 3, missing 1, repaired 3, surplus 1"
    );
    insta::assert_snapshot!(stored.sync.rows().await, @"
    s3://documents/edited | edited | 3 | f97c5d29941bfb1b2fdab0874906ab82 | -
    s3://documents/kept | kept | 3 | f97c5d29941bfb1b2fdab0874906ab82 | -
    s3://documents/removed | removed | 3 | f97c5d29941bfb1b2fdab0874906ab82 | -
    ");
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let stored = Stored::start(false).await;
    stored.put("missing", "one").await;
    stored
        .sync
        .failures(&queue_of_records(&[put("surplus", "1", "e1")]))
        .await;
    let before = stored.sync.rows().await;
    let dry = json!({ "dry_run": true, "max_deleted_share": 1 });
    let answer = stored.reconcile(dry).await;
    assert_eq!(answer["dry_run"], true);
    assert_eq!(
        counts(&answer),
        "documents 1, listed 1, missing 1, surplus 1"
    );
    assert_eq!(stored.sync.rows().await, before);
}

#[tokio::test]
async fn too_many_deletions_are_refused_until_they_are_allowed() {
    let stored = Stored::start(false).await;
    let records: Vec<Value> = (0..10)
        .map(|number| put(&format!("k{number}"), "1", "e1"))
        .collect();
    stored.sync.failures(&queue_of_records(&records)).await;
    for number in 0..4 {
        stored.put(&format!("k{number}"), "one").await;
    }
    let answer = stored.reconcile(json!({})).await;
    assert_eq!(answer["state"], "refused");
    insta::assert_snapshot!(answer["reason"].as_str().unwrap(), @"6 of 10 documents have no object, more than the allowed share of 0.5: nothing was removed; if that is right, allow more by max_deleted_share");
    assert_eq!(stored.uris().await.len(), 10, "what differed was repaired");
    assert!(stored.sync.rows().await.contains("k0 | 3 | f97c"));
    let answer = stored.reconcile(json!({ "max_deleted_share": 0.6 })).await;
    assert_eq!(answer["state"], "finished");
    assert_eq!(
        counts(&answer),
        "documents 10, listed 4, repaired 6, surplus 6"
    );
    assert_eq!(stored.uris().await.len(), 4);
}

#[tokio::test]
async fn a_listing_that_leaves_objects_out_removes_none_of_them() {
    let stored = Stored::start(false).await;
    for number in 0..4 {
        stored.put(&format!("k{number}"), "one").await;
    }
    stored.reconcile(json!({})).await;
    // What a store says that has lost half of its index: it is asked about each object once more.
    let surplus = "
        insert into reconcile_surplus (bucket, prefix, uri)
        select 'documents', '', uri from document where title in ('k0', 'k1');
        update reconcile_run set state = 'unfinished', compared = true, surplus = 2, documents = 4";
    stored.sync.sql.batch_execute(surplus).await.unwrap();
    let answer = stored.reconcile(json!({})).await;
    assert_eq!(answer["state"], "finished");
    assert_eq!(stored.uris().await.len(), 4);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_no_empty_bucket() {
    let stored = Stored::start(false).await;
    stored
        .sync
        .failures(&queue_of_records(&[put("a", "1", "e1")]))
        .await;
    for (fault, expected) in [
        (None, "there is no such bucket"),
        (Some(Fault::AccessDenied), "status 403"),
        (Some(Fault::SlowDown), "status 503"),
    ] {
        let bucket = if fault.is_none() { "other" } else { BUCKET };
        if let Some(fault) = fault {
            stored
                .store
                .embedded
                .faults()
                .inject(fault, Target::default());
        }
        let failure = stored
            .try_reconcile(
                json!({ "bucket": bucket, "max_deleted_share": 1 }),
                Duration::from_mins(1),
            )
            .await
            .unwrap_err();
        let text = shared::telemetry::chain(&failure).to_string();
        assert!(text.contains(expected), "{text}");
        assert_eq!(stored.uris().await.len(), 1);
        stored.store.embedded.faults().clear();
    }
    // A failed run leaves no lease behind.
    let answer = stored.reconcile(json!({ "max_deleted_share": 1 })).await;
    assert_eq!(counts(&answer), "documents 1, repaired 1, surplus 1");
}

#[tokio::test]
async fn only_the_prefix_is_touched() {
    let stored = Stored::start(false).await;
    for key in ["a", "b", "b/1", "b/2", "b0", "c"] {
        stored.put(key, "one").await;
    }
    let records = ["b/gone", "bx", "d"].map(|key| put(key, "1", "e1"));
    stored.sync.failures(&queue_of_records(&records)).await;
    let answer = stored
        .reconcile(json!({ "prefix": "b/", "max_deleted_share": 1 }))
        .await;
    assert_eq!(
        counts(&answer),
        "documents 1, listed 2, missing 2, repaired 3, surplus 1"
    );
    assert_eq!(
        stored.uris().await,
        ["b/1", "b/2", "bx", "d"].map(|key| format!("s3://documents/{key}"))
    );
}

#[tokio::test]
async fn what_the_filter_excludes_is_no_document() {
    let mut stored = Stored::start(false).await;
    for (key, body) in [
        ("a.pdf", "one"),
        ("b.tmp", "one"),
        ("large.pdf", "0123456789"),
    ] {
        stored.put(key, body).await;
    }
    stored.reconcile(json!({})).await;
    assert_eq!(stored.uris().await.len(), 3);
    let settings = [
        ("DOCUMENT_EXCLUDE_GLOBS", "**/*.tmp"),
        ("DOCUMENT_MAX_SIZE", "5"),
    ];
    stored.sync.function.filter = document_sync::filter::Filter::read(Env::new(settings)).unwrap();
    let answer = stored.reconcile(json!({ "max_deleted_share": 1 })).await;
    assert_eq!(
        counts(&answer),
        "documents 3, listed 3, repaired 2, surplus 2"
    );
    assert_eq!(stored.uris().await, ["s3://documents/a.pdf"]);
    // An object that outgrows the filter goes, one that no longer does comes.
    let records = [
        put("a.pdf", "F1", "0123456789"),
        put("large.pdf", "F2", "tiny"),
    ];
    stored.sync.failures(&queue_of_records(&records)).await;
    assert_eq!(stored.uris().await, ["s3://documents/large.pdf"]);
    stored.sync.function.filter = document_sync::filter::Filter::default();
    stored.reconcile(json!({})).await;
    assert_eq!(stored.uris().await.len(), 3, "and back again");
}

#[tokio::test]
async fn a_run_without_time_is_taken_up_where_it_stopped() {
    let stored = Stored::start(false).await;
    stored
        .put_many((0..3_500).map(|number| format!("k{number:05}")))
        .await;
    let surplus: Vec<Value> = (0..1_500)
        .map(|number| put(&format!("l{number:05}"), "1", "e1"))
        .collect();
    stored.sync.failures(&queue_of_records(&surplus)).await;
    stored
        .store
        .embedded
        .faults()
        .set_latency(Duration::from_millis(100));
    let mut states = Vec::new();
    let mut time = Duration::from_millis(800);
    let answer = loop {
        let order = json!({ "max_deleted_share": 1 });
        let answer = stored.try_reconcile(order, time).await.unwrap();
        // A machine too slow to get anywhere in that time gets more.
        time += Duration::from_millis(200);
        states.push(answer["state"].as_str().unwrap().to_owned());
        if answer["state"] == "finished" {
            break answer;
        }
        assert_eq!(answer["state"], "unfinished", "{answer}");
        assert!(states.len() < 100, "it gets nowhere: {answer}");
    };
    assert!(states.len() > 1, "it was interrupted");
    assert_eq!(answer["missing"], 3_500);
    assert_eq!(answer["surplus"], 1_500);
    assert_eq!(stored.uris().await.len(), 3_500);
}

#[tokio::test]
async fn two_instances_do_not_walk_together() {
    let stored = Stored::start(false).await;
    stored.put("a", "one").await;
    stored
        .store
        .embedded
        .faults()
        .set_latency(Duration::from_secs(1));
    let leased = "select exists (select from reconcile_run where leased_until > now())";
    let (first, second) = tokio::join!(stored.reconcile(json!({})), async {
        while !stored
            .sync
            .sql
            .query_one(leased, &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
        {
            tokio::task::yield_now().await;
        }
        stored.reconcile(json!({})).await
    });
    assert_eq!(first["state"], "finished");
    assert_eq!(second["state"], "running");
    let dry = stored.reconcile(json!({ "dry_run": true })).await;
    assert_eq!(dry["state"], "finished", "a run of its own");
}

#[tokio::test]
async fn a_schedule_begins_no_run_before_its_time() {
    let stored = Stored::start(false).await;
    stored.put("a", "one").await;
    let scheduled = json!({ "every_hours": 24 });
    let first = stored.reconcile(scheduled.clone()).await;
    assert_eq!(first["state"], "finished");
    let second = stored.reconcile(scheduled.clone()).await;
    assert_eq!(second["state"], "not_due");
    assert_eq!(second["listed"], 1, "what the last one found");
    let yesterday = "update reconcile_run set finished_at = finished_at - interval '25 hours'";
    stored.sync.sql.batch_execute(yesterday).await.unwrap();
    assert_eq!(stored.reconcile(scheduled).await["state"], "finished");
    assert_eq!(stored.reconcile(json!({})).await["state"], "finished");
}

#[tokio::test]
async fn deleted_objects_are_forgotten_when_no_event_can_be_on_its_way() {
    let stored = Stored::start(false).await;
    let records: Vec<Value> = (0..3)
        .map(|number| delete(&format!("k{number}"), "2"))
        .collect();
    stored.sync.failures(&queue_of_records(&records)).await;
    let age = "
        update s3_object set event_time = now() - interval '31 days' where uri like '%k0';
        update s3_object set event_time = now() - interval '29 days' where uri like '%k1';
        update s3_object set event_time = now() where uri like '%k2'";
    stored.sync.sql.batch_execute(age).await.unwrap();
    stored.put("old", "one").await;
    stored.reconcile(json!({})).await;
    stored
        .sync
        .sql
        .batch_execute("update s3_object set event_time = '2020-01-01' where not deleted")
        .await
        .unwrap();
    let answer = stored.reconcile(json!({})).await;
    let left: i64 = stored
        .sync
        .sql
        .query_one("select count(*) from s3_object", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(
        (left, &answer["forgotten"]),
        (3, &json!(0)),
        "forgotten by the first run"
    );
    let late = [put("k1", "1", "e1"), put("k2", "1", "e1")];
    stored.sync.failures(&queue_of_records(&late)).await;
    assert_eq!(stored.uris().await, ["s3://documents/old"]);
}

#[tokio::test]
async fn the_comparison_reads_the_tables_index() {
    let stored = Stored::start(false).await;
    let sql = &stored.sync.sql;
    sql.batch_execute(
        "insert into document (uri, title) select 's3://documents/' || number, 'x' from generate_series(1, 20000) as number;
         analyze document",
    )
    .await
    .unwrap();
    let plan = sql
        .query(
            "explain select uri from document where uri::text collate \"C\" > 's3://documents/5' and uri::text collate \"C\" < 's3://documents0'
             order by uri::text collate \"C\" limit 1000",
            &[],
        )
        .await
        .unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    assert!(
        plan.contains("document_uri_key") && !plan.contains("Sort"),
        "{plan}"
    );
}
