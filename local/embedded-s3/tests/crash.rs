//! The binary: killed in the middle of writes, started again; refused folders; a clean stop.
#![expect(clippy::expect_used, reason = "a test that cannot go on must stop")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;
use embedded_s3::{EmbeddedS3, OpenError};
use support::{BUCKET, records, start};
use tempfile::TempDir;

const KEY: &str = "AKIAHOLDFAST";
const SECRET: &str = "secret";

/// The running binary. It is killed when dropped.
struct Running {
    child: Child,
    endpoint: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_embedded-s3"));
    command.arg("--folder").arg(folder).args([
        "--address",
        "127.0.0.1:0",
        "--notify",
        "documents=events",
    ]);
    command
        .env("HOLDFAST_ACCESS_KEY_ID", KEY)
        .env("HOLDFAST_SECRET_ACCESS_KEY", SECRET);
    command
}

fn run(folder: &Path) -> Running {
    let mut child = command(folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output"))
        .read_line(&mut line)
        .expect("a line");
    let endpoint = line
        .trim()
        .rsplit(' ')
        .next()
        .expect("an address")
        .to_owned();
    Running { child, endpoint }
}

fn client(endpoint: &str) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .credentials_provider(Credentials::new(KEY, SECRET, None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    aws_sdk_s3::Client::from_conf(config.build())
}

/// A body that names its writer all over, small ones for the database and large ones for files.
fn body(writer: u64, round: u64) -> Vec<u8> {
    let lengths = [100, 20_000, 400_000];
    let place = usize::try_from((writer + round) % 3).unwrap_or(0);
    format!("{writer:08}-{round:08};")
        .into_bytes()
        .repeat(lengths.get(place).copied().unwrap_or(1) / 18)
}

#[tokio::test]
async fn a_killed_server_keeps_every_acknowledged_object_whole() {
    let folder = TempDir::new().unwrap();
    for round in 0..3_u64 {
        let mut running = run(folder.path());
        let acknowledged: Vec<Arc<AtomicU64>> = (0..6).map(|_| Arc::default()).collect();
        let writers: Vec<_> = (0..6_u64)
            .zip(&acknowledged)
            .map(|(writer, last)| {
                let (client, last) = (client(&running.endpoint), Arc::clone(last));
                tokio::spawn(async move {
                    for number in 1_u64.. {
                        let put = client
                            .put_object()
                            .bucket(BUCKET)
                            .key(format!("{round}/{writer}"));
                        if put
                            .body(ByteStream::from(body(writer, number)))
                            .send()
                            .await
                            .is_err()
                        {
                            return;
                        }
                        last.store(number, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        while acknowledged
            .iter()
            .any(|last| last.load(Ordering::SeqCst) < 3 + round)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        for writer in writers {
            writer.await.unwrap();
        }
        let running = run(folder.path());
        for (writer, last) in (0..6_u64).zip(&acknowledged) {
            let last = last.load(Ordering::SeqCst);
            let got = client(&running.endpoint)
                .get_object()
                .bucket(BUCKET)
                .key(format!("{round}/{writer}"));
            let bytes = got
                .send()
                .await
                .unwrap()
                .body
                .collect()
                .await
                .unwrap()
                .to_vec();
            // The put that was cut off may have been committed without an answer.
            assert!(
                bytes == body(writer, last) || bytes == body(writer, last + 1),
                "{round}/{writer}: neither old nor new"
            );
        }
    }
    let mut options = support::options(&folder);
    options.inline_bytes = 0;
    let store = EmbeddedS3::open(options).await.unwrap();
    let listed = store
        .client()
        .list_objects_v2()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap();
    let mut records = Vec::new();
    loop {
        let more = self::records(&store.queue("events")).await;
        if more.is_empty() {
            break;
        }
        records.extend(more);
    }
    for object in listed.contents() {
        let tag = object.e_tag().unwrap().trim_matches('"');
        let told = records.iter().any(|record| {
            let told = &record["s3"]["object"];
            told["key"] == object.key().unwrap() && told["eTag"] == tag
        });
        assert!(told, "{} is not announced", object.key().unwrap());
    }
    let files: usize = std::fs::read_dir(folder.path().join("blobs"))
        .unwrap()
        .map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count())
        .sum();
    let large = listed
        .contents()
        .iter()
        .filter(|object| object.size() > Some(16 * 1024))
        .count();
    assert_eq!(files, large, "no file is left over");
}

#[tokio::test]
async fn a_folder_is_open_once() {
    let fixture = start().await;
    let again = EmbeddedS3::open(support::options(&fixture.folder)).await;
    assert!(matches!(again, Err(OpenError::InUse(_))));
    let output = command(fixture.folder.path()).output().unwrap();
    assert!(!output.status.success());
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaint.contains("in use by another process") && complaint.lines().count() == 1,
        "{complaint}"
    );
    fixture.store.close().await;
    EmbeddedS3::open(support::options(&fixture.folder))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_folder_of_another_format_is_refused() {
    let fixture = start().await;
    fixture.store.clone().close().await;
    let database =
        rusqlite::Connection::open(fixture.folder.path().join("metadata.sqlite")).unwrap();
    database.pragma_update(None, "user_version", 999).unwrap();
    let opened = EmbeddedS3::open(support::options(&fixture.folder)).await;
    assert!(matches!(opened, Err(OpenError::Format { found: 999, .. })));
}

#[tokio::test]
async fn a_folder_of_the_first_format_is_brought_up_to_date() {
    let fixture = start().await;
    fixture.put("kept", "x").await;
    fixture.store.clone().close().await;
    let database =
        rusqlite::Connection::open(fixture.folder.path().join("metadata.sqlite")).unwrap();
    // What format 2 added is taken away, and what it dropped is put back.
    database
        .execute_batch(
            "ALTER TABLE bucket DROP COLUMN account;
             ALTER TABLE bucket DROP COLUMN policy;
             ALTER TABLE bucket DROP COLUMN requester_pays;
             CREATE TABLE session (access_key_id TEXT PRIMARY KEY) WITHOUT ROWID;
             PRAGMA user_version = 1;",
        )
        .unwrap();
    drop(database);
    let store = EmbeddedS3::open(support::options(&fixture.folder))
        .await
        .unwrap();
    let list = store.client().list_buckets().send().await.unwrap();
    assert_eq!(list.buckets().len(), 1);
    let head = store.client().head_object().bucket(BUCKET).key("kept");
    assert_eq!(head.send().await.unwrap().content_length(), Some(1));
}

#[tokio::test]
async fn it_stops_on_sigterm_and_says_what_is_missing() {
    let folder = TempDir::new().unwrap();
    let mut running = run(folder.path());
    client(&running.endpoint)
        .head_bucket()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap();
    let kill = Command::new("kill")
        .args(["-TERM", &running.child.id().to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
    assert!(running.child.wait().unwrap().success());
    let output = command(folder.path())
        .env_remove("HOLDFAST_ACCESS_KEY_ID")
        .output()
        .unwrap();
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("HOLDFAST_ACCESS_KEY_ID is not set")
    );
}
