//! The function as it is deployed: the executable, over the Lambda Runtime API.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use embedded_s3::{Credentials, Durability, EmbeddedS3, Fault, Options, Target};
use serde_json::{Value, json};
use support::{notification, put, queue_of_records, record, rows};
use testkit::{Function, FunctionError, Postgres, RuntimeApi};
use tokio::net::TcpListener;

const BINARY: &str = env!("CARGO_BIN_EXE_document-sync");

/// The executable with a database and a store around it.
struct Deployed {
    function: Function,
    postgres: Postgres,
    sql: tokio_postgres::Client,
    store: EmbeddedS3,
    endpoint: String,
    _folder: tempfile::TempDir,
}

impl Deployed {
    async fn start() -> Self {
        let postgres = Postgres::start().await;
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials {
            access_key_id: "test".into(),
            secret_access_key: "secret".into(),
        };
        let options = Options {
            durability: Durability::Relaxed,
            ..Options::new(folder.path(), credentials)
        };
        let store = EmbeddedS3::open(options).await.unwrap();
        for bucket in ["documents", "example-documents"] {
            store.create_bucket(bucket, true).await.unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let serving = store.clone();
        tokio::spawn(async move { serving.serve(listener, std::future::pending()).await });
        let sql = postgres.connect().await;
        let function = run(postgres.url(), &endpoint).await;
        function.ready().await.unwrap();
        Self {
            function,
            postgres,
            sql,
            store,
            endpoint,
            _folder: folder,
        }
    }

    async fn failures(&self, event: &Value) -> Vec<String> {
        let answer = self.function.invoke(event).await.unwrap();
        let failures = answer["batchItemFailures"]
            .as_array()
            .expect("an answer to a queue");
        failures
            .iter()
            .map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned())
            .collect()
    }
}

async fn run(database: &str, endpoint: &str) -> Function {
    let variables = [
        ("DATABASE_URL", database),
        ("AWS_ENDPOINT_URL_S3", endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
    ];
    RuntimeApi::start().await.run(BINARY, &variables)
}

#[tokio::test]
async fn every_sample_event_is_taken() {
    let deployed = Deployed::start().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut dialogue = String::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let Some(case) = name
            .strip_prefix("document-sync.")
            .and_then(|name| name.strip_suffix(".json"))
        else {
            continue;
        };
        let event: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let answer = deployed
            .function
            .invoke(&event)
            .await
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        writeln!(dialogue, "{case}: {answer}").unwrap();
        let rows = rows(&deployed.sql).await;
        let (shown, left_out) = (rows.lines().take(4), rows.lines().count().saturating_sub(4));
        shown.for_each(|row| writeln!(dialogue, "    {row}").unwrap());
        if left_out > 0 {
            writeln!(dialogue, "    and {left_out} more").unwrap();
        }
        deployed
            .sql
            .batch_execute("truncate document, s3_object")
            .await
            .unwrap();
    }
    insta::assert_snapshot!(dialogue);
}

#[tokio::test]
async fn logs_are_json_and_say_it_once() {
    let deployed = Deployed::start().await;
    deployed
        .failures(&queue_of_records(&[
            put("a", "1", "e1"),
            put("a", "1", "e1"),
        ]))
        .await;
    let lines = deployed.function.stdout();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let applied: Vec<&Value> = lines
        .iter()
        .filter(|line| line["fields"]["changes"].is_number())
        .collect();
    let [line] = applied.as_slice() else {
        panic!("{lines:?}")
    };
    assert_eq!(line["fields"]["message"], "1 of 2 changes applied");
    assert_eq!(
        (
            &line["fields"]["changed"],
            &line["fields"]["duplicate"],
            &line["level"]
        ),
        (&json!(1), &json!(1), &json!("INFO"))
    );
}

#[tokio::test]
async fn without_its_settings_it_says_which_and_ends_before_anything_else() {
    let function = RuntimeApi::start()
        .await
        .run(BINARY, &[("AWS_REGION", "us-east-1")]);
    assert_eq!(function.exit_status().await.code(), Some(1));
    insta::assert_snapshot!(function.stderr().trim(), @"Error: invalid configuration: DATABASE_URL is not set, and neither is DATABASE_SECRET_ARN");
}

#[tokio::test]
async fn it_starts_without_its_database_and_finds_it_later() {
    let mut postgres = Postgres::start_own().await;
    postgres.cluster().stop().await;
    let function = run(postgres.url(), "http://127.0.0.1:1").await;
    let event = queue_of_records(&[put("a", "1", "e1")]);
    let answer = function.invoke(&event).await.unwrap();
    assert_eq!(
        answer,
        json!({ "batchItemFailures": [{ "itemIdentifier": "m0" }] })
    );
    postgres.cluster().start().await.unwrap();
    assert_eq!(
        function.invoke(&event).await.unwrap(),
        json!({ "batchItemFailures": [] })
    );
    assert_eq!(rows(&postgres.connect().await).await.lines().count(), 1);
}

#[tokio::test]
async fn a_direct_event_that_can_never_be_applied_is_kept_once() {
    let deployed = Deployed::start().await;
    let event = json!({ "Records": [{ "eventSource": "aws:kinesis" }] });
    let answer = deployed.function.invoke(&event).await.unwrap();
    assert_eq!(answer["quarantined"], 1, "{answer}");
    let rows = deployed
        .sql
        .query("select reason, body, message_id from quarantine", &[])
        .await
        .unwrap();
    let [row] = rows.as_slice() else {
        panic!("{} rows", rows.len())
    };
    let (reason, body, id): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(reason, "its source is \"aws:kinesis\", not S3");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), event);
    assert!(!id.is_empty(), "Lambda's own id of the request");
}

#[tokio::test]
async fn a_command_is_answered_and_a_wrong_one_refused() {
    let deployed = Deployed::start().await;
    let command = json!({ "replay": {}, "reconcile": { "bucket": "documents" } });
    let answer = deployed.function.invoke(&command).await.unwrap();
    assert_eq!(answer["replay"]["finished"], true, "{answer}");
    assert_eq!(answer["reconcile"]["state"], "finished", "{answer}");
    let wrong = json!({ "reconcile": { "bucket": "documents", "all": true } });
    let FunctionError::Handler(failure) = deployed.function.invoke(&wrong).await.unwrap_err()
    else {
        panic!("not the handler")
    };
    assert!(
        failure.error_message.contains("unknown field `all`"),
        "{}",
        failure.error_message
    );
    let gone = json!({ "reconcile": { "bucket": "not-there" } });
    let FunctionError::Handler(failure) = deployed.function.invoke(&gone).await.unwrap_err() else {
        panic!("not the handler")
    };
    assert!(
        failure.error_message.contains("reconciled"),
        "{}",
        failure.error_message
    );
}

#[tokio::test]
async fn killed_in_the_middle_of_a_batch_it_leaves_all_of_it_or_nothing() {
    let deployed = Deployed::start().await;
    let event = queue_of_records(
        &(0..200)
            .map(|index| put(&format!("k{index}"), "1", "e1"))
            .collect::<Vec<_>>(),
    );
    // The ledger is written and the documents are not when the batch meets this lock.
    let holder = deployed.postgres.connect().await;
    holder
        .batch_execute("begin; lock table document in exclusive mode")
        .await
        .unwrap();
    let waits = async {
        let waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock'";
        while deployed.sql.query(waiting, &[]).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        deployed.function.kill().await;
    };
    let (answer, ()) = tokio::join!(deployed.function.invoke(&event), waits);
    assert!(answer.is_err(), "nobody is left to answer");
    holder.batch_execute("rollback").await.unwrap();
    let ledger = "select (select count(*) from s3_object) = (select count(*) from document)";
    // The server may still be finishing what it had been sent.
    let next = run(deployed.postgres.url(), &deployed.endpoint).await;
    assert_eq!(
        next.invoke(&event).await.unwrap(),
        json!({ "batchItemFailures": [] })
    );
    assert!(
        deployed
            .sql
            .query_one(ledger, &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
    );
    assert_eq!(rows(&deployed.sql).await.lines().count(), 200);
}

#[tokio::test]
async fn what_s3_cannot_be_asked_comes_again_and_the_rest_is_applied() {
    let deployed = Deployed::start().await;
    let body = b"there".to_vec().into();
    let put_object = deployed
        .store
        .client()
        .put_object()
        .bucket("documents")
        .key("asked")
        .body(body)
        .send()
        .await
        .unwrap();
    let version_deleted = record(
        "ObjectRemoved:Delete",
        "asked",
        "2",
        &json!({ "versionId": "older" }),
    );
    let event = queue_of_records(&[put("plain", "1", "e1"), version_deleted]);
    for fault in [
        Fault::SlowDown,
        Fault::InternalError,
        Fault::Hang(Duration::from_mins(1)),
    ] {
        deployed.store.faults().inject(
            fault,
            Target {
                operation: Some("HeadObject".into()),
                ..Target::default()
            },
        );
        assert_eq!(deployed.failures(&event).await, ["m1"], "{fault:?}");
        assert_eq!(
            rows(&deployed.sql).await,
            "s3://documents/plain | plain | 2 | e1 | -\n"
        );
        deployed.store.faults().clear();
    }
    assert!(deployed.failures(&event).await.is_empty());
    let version = put_object.version_id().unwrap();
    assert!(
        rows(&deployed.sql)
            .await
            .starts_with("s3://documents/asked | asked | 5 | "),
        "{}",
        rows(&deployed.sql).await
    );
    assert!(
        rows(&deployed.sql)
            .await
            .lines()
            .next()
            .unwrap()
            .ends_with(version)
    );
}

#[tokio::test]
async fn an_expiration_of_uncertain_order_is_settled_by_asking() {
    let deployed = Deployed::start().await;
    let client = deployed.store.client();
    // A rule's events carry the midnight they are computed for, which may be before the last write.
    deployed
        .failures(&queue_of_records(&[
            put("gone", "20", "e1"),
            put("kept", "20", "e1"),
        ]))
        .await;
    client
        .put_object()
        .bucket("documents")
        .key("kept")
        .body(b"e1".to_vec().into())
        .send()
        .await
        .unwrap();
    let expired = |key: &str| {
        record(
            "LifecycleExpiration:DeleteMarkerCreated",
            key,
            "10",
            &json!({ "versionId": "m" }),
        )
    };
    assert!(
        deployed
            .failures(&queue_of_records(&[expired("gone"), expired("kept")]))
            .await
            .is_empty()
    );
    let rows = rows(&deployed.sql).await;
    assert!(
        rows.starts_with("s3://documents/kept ") && rows.lines().count() == 1,
        "{rows}"
    );
    // A write that happened before, told late, stays late.
    assert!(
        deployed
            .failures(&queue_of_records(&[put("gone", "20", "e1")]))
            .await
            .is_empty()
    );
    assert_eq!(support::rows(&deployed.sql).await.lines().count(), 1);
}

#[tokio::test]
async fn an_event_without_a_place_in_the_order_is_settled_by_asking() {
    let deployed = Deployed::start().await;
    deployed
        .failures(&queue_of_records(&[put("a", "20", "e1")]))
        .await;
    let mut unordered = notification(&[put("a", "", "e9")]);
    unordered["Records"][0]["s3"]["object"]["sequencer"] = Value::Null;
    assert!(
        deployed
            .failures(&support::queue(&[unordered]))
            .await
            .is_empty()
    );
    assert_eq!(rows(&deployed.sql).await, "", "S3 has no such object");
    assert!(
        deployed
            .failures(&queue_of_records(&[put("a", "22", "e2")]))
            .await
            .is_empty()
    );
    insta::assert_snapshot!(rows(&deployed.sql).await, @"s3://documents/a | a | 2 | e2 | -");
}
