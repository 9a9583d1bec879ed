//! The function as it is deployed: the executable, over the Lambda Runtime API.
mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::deployed::{BINARY, Deployed, FUNCTION_ROLE};
use support::document::fixture;
use support::{states, text};
use testkit::RuntimeApi;

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
            .strip_prefix("document-loader.")
            .and_then(|name| name.strip_suffix(".json"))
        else {
            continue;
        };
        deployed
            .sql
            .batch_execute(
                "truncate document; delete from document_load; delete from document_change",
            )
            .await
            .unwrap();
        deployed.put("notes/first draft.md", "A first draft").await;
        let event: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let answer = deployed
            .function
            .invoke(&event)
            .await
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        writeln!(dialogue, "{case}: {answer}").unwrap();
        writeln!(dialogue, "    {}", states(&deployed.sql).await.trim_end()).unwrap();
    }
    insta::assert_snapshot!(dialogue);
}

#[tokio::test]
async fn it_stays_warm_and_logs_json_without_secrets() {
    let deployed = Deployed::start().await;
    let uri = deployed.put("a", "first").await;
    deployed
        .function
        .invoke(&json!({ "load": {} }))
        .await
        .unwrap();
    deployed.put("a", "second").await;
    deployed
        .function
        .invoke(&json!({ "load": {} }))
        .await
        .unwrap();
    assert_eq!(text(&deployed.sql, &uri).await, "second");
    let output = deployed.function.stdout();
    assert!(!output.contains("secret"), "{output}");
    let lines: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let loaded: Vec<&Value> = lines
        .iter()
        .filter(|line| line["fields"]["loaded"].is_number())
        .collect();
    assert_eq!(loaded.len(), 2, "once for each invocation");
    let metrics: Vec<&Value> = lines
        .iter()
        .filter(|line| line["_aws"].is_object())
        .collect();
    assert_eq!(
        (metrics.len(), &metrics[0]["DocumentsLoaded"]),
        (2, &json!(1.0))
    );
    // Whom customers have to trust.
    let row = deployed
        .sql
        .query_one(
            "select value from document_loader_setting where name = 'function_role_arn'",
            &[],
        )
        .await;
    assert_eq!(row.unwrap().get::<_, String>(0), FUNCTION_ROLE);
}

/// The kernel's signal, to the executable, wherever it is: looking for work, reading, extracting, writing.
#[tokio::test]
async fn killed_at_any_moment_it_loses_nothing_and_tells_the_truth() {
    let deployed = Deployed::start().await;
    let documents = 24;
    for number in 0..documents {
        let (key, body) = match number % 3 {
            0 => (format!("{number}.docx"), fixture("report.docx")),
            1 => (format!("{number}.pdf"), fixture("letter.pdf")),
            _ => (format!("{number}.txt"), b"text".to_vec()),
        };
        deployed.put(&key, body).await;
    }
    deployed
        .store
        .embedded
        .faults()
        .set_latency(Duration::from_millis(30));
    let event = json!({ "load": {} });
    let mut killed = 0;
    for milliseconds in [1, 5, 15, 30, 50, 80, 120, 180, 260, 400, 700, 1200] {
        let function = deployed.another().await;
        let (answer, ()) = tokio::join!(function.invoke(&event), async {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            function.kill().await;
        });
        killed += u32::from(answer.is_err());
        // What is said to be loaded is there, whole, and nothing else is.
        let torn = "select count(*) from document_load as load
            where chunks <> (select count(*) from document_chunk as chunk where chunk.uri = load.uri)
                or (state = 'loaded') <> (chunks > 0)
                or (state = 'loading') <> (lease is not null)";
        let torn: i64 = deployed.sql.query_one(torn, &[]).await.unwrap().get(0);
        assert_eq!(
            torn,
            0,
            "killed after {milliseconds} ms\n{}",
            states(&deployed.sql).await
        );
        // The leases run out; every other time, all begins anew.
        let expire = "update document_load set next_attempt_at = now() where lease is not null";
        deployed.sql.batch_execute(expire).await.unwrap();
        if killed % 2 == 0 {
            let anew = "delete from document_chunk; update document_load set chunks = 0;
                update document_load set state = 'pending', lease = null, next_attempt_at = now(), crashes = 0, attempts = 0, content_sha256 = null";
            deployed.sql.batch_execute(anew).await.unwrap();
        }
    }
    assert!(
        killed >= 3,
        "it was killed {killed} times before it had answered"
    );
    deployed.store.embedded.faults().clear();
    for _ in 0..30 {
        let expire =
            "update document_load set next_attempt_at = now() where next_attempt_at is not null";
        deployed.sql.batch_execute(expire).await.unwrap();
        let answer = deployed.function.invoke(&event).await.unwrap();
        let waiting = "select count(*) from document_load where state <> 'loaded'";
        let waiting: i64 = deployed.sql.query_one(waiting, &[]).await.unwrap().get(0);
        if answer["load"]["finished"] == true && waiting == 0 {
            break;
        }
    }
    let loaded = "select count(*) from document_load where state = 'loaded' and chunks > 0";
    let loaded: i64 = deployed.sql.query_one(loaded, &[]).await.unwrap().get(0);
    assert_eq!(loaded, documents, "{}", states(&deployed.sql).await);
}

#[tokio::test]
async fn without_its_settings_it_says_which_and_ends_before_anything_else() {
    let function = RuntimeApi::start()
        .await
        .run(BINARY, &[("LOADER_CONCURRENCY", "none")]);
    let status = function.exit_status().await;
    assert!(!status.success());
    insta::assert_snapshot!(function.stderr(), @"Error: invalid configuration: DATABASE_URL is not set, and neither is DATABASE_SECRET_ARN; LOADER_CONCURRENCY is invalid: it must be a number from 1 to 1000");
}
