//! What a batch of events does to the documents table.
#![expect(
    clippy::expect_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use serde_json::json;
use support::{Sync, delete, notification, put, queue, queue_of_records, record};

#[tokio::test]
async fn a_put_becomes_a_row_and_a_delete_removes_it() {
    let sync = Sync::start().await;
    assert!(
        sync.failures(&queue_of_records(&[put(
            "reports/annual+report+%2B1.pdf",
            "0A1",
            "e1"
        )]))
        .await
        .is_empty()
    );
    insta::assert_snapshot!(sync.rows().await, @"s3://documents/reports/annual report +1.pdf | annual report +1.pdf | 2 | e1 | -");
    let row = sync
        .sql
        .query_one(
            "select last_modified::text, updated_at > last_modified from document",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "2026-11-02 09:15:01.157+00");
    assert!(row.get::<_, bool>(1));
    assert!(
        sync.failures(&queue_of_records(&[delete(
            "reports/annual+report+%2B1.pdf",
            "0A2"
        )]))
        .await
        .is_empty()
    );
    assert_eq!(sync.rows().await, "");
}

#[tokio::test]
async fn every_record_of_every_message_is_applied() {
    let sync = Sync::start().await;
    let batch = queue(&[
        notification(&[put("a", "1", "e1"), put("b", "1", "e2")]),
        notification(&[put("c", "1", "e3")]),
    ]);
    assert!(sync.failures(&batch).await.is_empty());
    insta::assert_snapshot!(sync.rows().await, @"
    s3://documents/a | a | 2 | e1 | -
    s3://documents/b | b | 2 | e2 | -
    s3://documents/c | c | 2 | e3 | -
    ");
}

#[tokio::test]
async fn late_and_repeated_events_change_nothing() {
    let sync = Sync::start().await;
    count_writes(&sync).await;
    sync.failures(&queue_of_records(&[
        put("a", "10", "new"),
        put("b", "10", "new"),
        delete("b", "11"),
    ]))
    .await;
    let (rows, writes) = (sync.rows().await, writes(&sync).await);
    let again = [
        put("a", "10", "new"),
        put("a", "9", "old"),
        delete("a", "8"),
        delete("b", "11"),
        put("b", "9", "old"),
    ];
    for event in again {
        assert!(sync.failures(&queue_of_records(&[event])).await.is_empty());
        assert_eq!(sync.rows().await, rows);
    }
    assert_eq!(writes, ["INSERT s3://documents/a"]);
    assert_eq!(
        self::writes(&sync).await,
        writes,
        "no trigger of the user's fired"
    );
}

#[tokio::test]
async fn a_late_create_does_not_bring_a_deleted_document_back() {
    let sync = Sync::start().await;
    sync.failures(&queue_of_records(&[delete("a", "20")])).await;
    sync.failures(&queue_of_records(&[put("a", "1F", "e1")]))
        .await;
    assert_eq!(sync.rows().await, "");
    sync.failures(&queue_of_records(&[put("a", "21", "e2")]))
        .await;
    insta::assert_snapshot!(sync.rows().await, @"s3://documents/a | a | 2 | e2 | -");
}

#[tokio::test]
async fn a_row_is_written_only_when_the_content_changed() {
    let sync = Sync::start().await;
    count_writes(&sync).await;
    for event in [
        put("a", "1", "same"),
        put("a", "2", "same"),
        put("a", "3", "other"),
        delete("a", "4"),
        delete("a", "5"),
        put("a", "6", "other"),
    ] {
        sync.failures(&queue_of_records(&[event])).await;
    }
    insta::assert_snapshot!(writes(&sync).await.join("\n"), @"
    INSERT s3://documents/a
    UPDATE s3://documents/a
    DELETE s3://documents/a
    INSERT s3://documents/a
    ");
    // The order is kept of what did not change the row, too: an event before it is late.
    sync.failures(&queue_of_records(&[
        put("b", "1", "same"),
        put("b", "9", "same"),
    ]))
    .await;
    sync.failures(&queue_of_records(&[delete("b", "5")])).await;
    assert!(sync.rows().await.contains("s3://documents/b "));
}

#[tokio::test]
async fn several_events_of_one_object_in_one_batch_end_as_the_last_of_them() {
    let sync = Sync::start().await;
    let batch = [
        put("a", "2", "e2"),
        put("a", "3", "e3"),
        put("a", "1", "e1"),
        put("a", "3", "e3"),
        put("b", "1", "e1"),
        delete("b", "2"),
    ];
    assert!(sync.failures(&queue_of_records(&batch)).await.is_empty());
    insta::assert_snapshot!(sync.rows().await, @"s3://documents/a | a | 2 | e3 | -");
}

#[tokio::test]
async fn what_is_no_document_is_ignored_and_acknowledged() {
    let sync = Sync::start().await;
    let test_event = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-02T09:15:01.157Z", "Bucket": "documents" });
    let mut bodies = vec![test_event, notification(&[put("folder/", "1", "")])];
    for family in [
        "ObjectTagging:Put",
        "ObjectTagging:Delete",
        "ObjectAcl:Put",
        "ObjectRestore:Post",
        "ObjectRestore:Completed",
        "ObjectRestore:Delete",
        "LifecycleTransition",
        "IntelligentTiering",
        "Replication:OperationFailedReplication",
        "ReducedRedundancyLostObject",
        "ObjectAnnotation:Put",
        "ObjectRetention:Put",
        "SomethingNew:Ever",
    ] {
        bodies.push(notification(&[record(family, "a", "1", &json!({}))]));
    }
    assert!(sync.failures(&queue(&bodies)).await.is_empty());
    assert_eq!(sync.rows().await, "");
    // An object with a body is a document under any name, until a folder takes its place.
    sync.failures(&queue_of_records(&[put("folder/", "2", "body")]))
        .await;
    insta::assert_snapshot!(sync.rows().await, @"s3://documents/folder/ | folder | 4 | body | -");
    sync.failures(&queue_of_records(&[put("folder/", "3", "")]))
        .await;
    assert_eq!(sync.rows().await, "");
}

#[tokio::test]
async fn a_lifecycle_expiration_is_a_deletion() {
    let sync = Sync::start().await;
    sync.failures(&queue_of_records(&[
        put("a", "10", "e1"),
        put("b", "10", "e1"),
    ]))
    .await;
    let expirations = [
        record("LifecycleExpiration:Delete", "a", "20", &json!({})),
        record(
            "LifecycleExpiration:DeleteMarkerCreated",
            "b",
            "20",
            &json!({ "versionId": "marker" }),
        ),
    ];
    assert!(
        sync.failures(&queue_of_records(&expirations))
            .await
            .is_empty()
    );
    assert_eq!(sync.rows().await, "");
}

#[tokio::test]
async fn without_a_queue_a_failure_fails_the_invocation_after_the_rest_is_applied() {
    let sync = Sync::start().await;
    let answer = sync
        .deliver(&notification(&[put("a", "1", "e1")]))
        .await
        .unwrap();
    let answer = serde_json::to_string(&answer).unwrap();
    insta::assert_snapshot!(answer, @r#"{"changed":1,"confirmed":0,"stale":0,"duplicate":0,"ignored":0,"quarantined":0,"failed":0}"#);
    // S3 cannot be asked what became of b.
    let version_deleted = record(
        "ObjectRemoved:Delete",
        "b",
        "2",
        &json!({ "versionId": "v1" }),
    );
    let error = sync
        .deliver(&notification(&[put("c", "1", "e1"), version_deleted]))
        .await
        .unwrap_err();
    insta::assert_snapshot!(error, @"the event was not applied: S3 could not be asked for an object's state");
    assert!(sync.rows().await.contains("s3://documents/c "));
}

#[tokio::test]
async fn documents_from_before_the_ledger_are_taken_over() {
    let sync = Sync::start().await;
    let earlier = "
        insert into document (uri, title, size, etag, updated_at) values
            ('s3://documents/right', 'right', 2, 'e1', '2020-01-01'),
            ('s3://documents/wrong', 'old title', 1, 'e0', '2020-01-01'),
            ('s3://documents/gone', 'gone', 1, 'e0', '2020-01-01')";
    sync.sql.batch_execute(earlier).await.unwrap();
    let batch = [
        put("right", "1", "e1"),
        put("wrong", "1", "e1"),
        put("new", "1", "e1"),
        delete("gone", "1"),
    ];
    assert!(sync.failures(&queue_of_records(&batch)).await.is_empty());
    insta::assert_snapshot!(sync.rows().await, @"
    s3://documents/new | new | 2 | e1 | -
    s3://documents/right | right | 2 | e1 | -
    s3://documents/wrong | wrong | 2 | e1 | -
    ");
    let untouched = "select uri from document where updated_at = '2020-01-01'";
    assert_eq!(
        sync.sql
            .query_one(untouched, &[])
            .await
            .unwrap()
            .get::<_, String>(0),
        "s3://documents/right"
    );
}

#[tokio::test]
async fn a_batch_of_any_size_is_one_transaction_of_the_same_statements() {
    let sync = Sync::start().await;
    count_statements(&sync).await;
    let mut counts = Vec::new();
    for size in [1_usize, 100, 10_000] {
        let batch: Vec<_> = (0..size)
            .map(|index| put(&format!("{size}/{index}"), "1", "e1"))
            .collect();
        assert!(sync.failures(&queue_of_records(&batch)).await.is_empty());
        counts.push(statements(&sync).await);
    }
    assert_eq!(counts[0], counts[1]);
    assert_eq!(counts[0], counts[2]);
    assert!(counts[0].starts_with("1 transaction"), "{}", counts[0]);
    let documents: i64 = sync
        .sql
        .query_one("select count(*) from document", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(documents, 10_101);
}

/// Notes every row written to the documents table.
async fn count_writes(sync: &Sync) {
    let trigger = "
        create table written (id serial, what text);
        create function note() returns trigger language plpgsql as $$
            begin
                insert into written (what) values (tg_op || ' ' || coalesce(new.uri, old.uri));
                return null;
            end
        $$;
        create trigger note after insert or update or delete on document for each row execute function note();";
    sync.sql
        .batch_execute(trigger)
        .await
        .expect("a user may have triggers");
}

async fn writes(sync: &Sync) -> Vec<String> {
    let rows = sync
        .sql
        .query("select what from written order by id", &[])
        .await
        .expect("a table to read");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Notes every statement on either table, and the transaction it ran in.
async fn count_statements(sync: &Sync) {
    let trigger = "
        create table executed (id serial, transaction bigint default txid_current(), what text);
        create function note() returns trigger language plpgsql as $$
            begin
                insert into executed (what) values (tg_op || ' ' || tg_table_name);
                return null;
            end
        $$;
        create trigger note after insert or update or delete on document for each statement execute function note();
        create trigger note after insert or update or delete on s3_object for each statement execute function note();";
    sync.sql
        .batch_execute(trigger)
        .await
        .expect("a user may have triggers");
}

/// The statements since the last call: `1 transaction: INSERT s3_object, …`
async fn statements(sync: &Sync) -> String {
    let query = "
        with gone as (delete from executed returning *)
        select count(distinct transaction) || ' transaction: ' || string_agg(what, ', ' order by id) from gone";
    sync.sql
        .query_one(query, &[])
        .await
        .expect("a table to read")
        .get(0)
}
