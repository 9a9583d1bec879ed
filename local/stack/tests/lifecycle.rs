//! Starting, stopping, starting again: same data, no process left, one clear line where it cannot be.
#![expect(clippy::expect_used, reason = "a test that cannot start must stop")]

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use aws_sdk_s3::primitives::ByteStream;
use support::{Place, Running, ended, processes_with, runs, signal, wait_for};

const ROW: [(&str, i64); 1] = [("s3://documents/kept", 4)];

#[tokio::test]
async fn a_restart_has_the_same_objects_rows_and_credentials() {
    let place = Place::new();
    let running = place.start().await;
    put(&running).await;
    running.wait_for_rows(&ROW).await;
    let before =
        ["AWS_SECRET_ACCESS_KEY", "DATABASE_URL"].map(|name| running.variable(name).to_owned());
    drop(running);

    let running = place.start().await;
    let after =
        ["AWS_SECRET_ACCESS_KEY", "DATABASE_URL"].map(|name| running.variable(name).to_owned());
    assert_eq!(before, after);
    assert_eq!(
        running.rows().await.unwrap(),
        [("s3://documents/kept".to_owned(), 4)]
    );
    let object = running
        .s3()
        .get_object()
        .bucket("documents")
        .key("kept")
        .send()
        .await
        .unwrap();
    assert_eq!(object.body.collect().await.unwrap().into_bytes(), "kept");
}

#[tokio::test]
async fn the_registrys_admin_of_the_contract_stays_logged_in_over_a_restart() {
    let place = Place::new();
    let running = place.start().await;
    let login = r#"{"user": {"name": "ece30861defaultadminuser", "is_admin": true},
        "secret": {"password": "correcthorsebatterystaple123(!__+@**(A'\"`;DROP TABLE artifacts;"}}"#;
    let (status, token) = ask(&place, "PUT", "/authenticate", "", login);
    assert_eq!(status, 200, "{token}");
    let model = r#"{"url": "https://example.com/model"}"#;
    let (status, _) = ask(&place, "POST", "/artifact/model", &token, model);
    assert_eq!(status, 201);
    drop(running);

    let _running = place.start().await;
    let (status, found) = ask(&place, "GET", "/artifact/byName/model", &token, "");
    assert_eq!(status, 200, "{found}");
    let (status, trail) = ask(&place, "GET", "/audit/verify", &token, "");
    assert_eq!(status, 200, "{trail}");
}

#[tokio::test]
async fn a_start_from_a_shell_that_has_read_the_env_file_finds_the_private_database() {
    let place = Place::new();
    let running = place.start().await;
    put(&running).await;
    running.wait_for_rows(&ROW).await;
    let url = running.variable("DATABASE_URL").to_owned();
    drop(running);

    let place = place.with("DATABASE_URL", &url);
    let running = place.start().await;
    running.wait_for_rows(&ROW).await;
}

#[tokio::test]
async fn each_signal_stops_everything_and_frees_the_ports() {
    let place = Place::new();
    for signals in [&["TERM"][..], &["INT"], &["INT", "TERM"]] {
        let running = place.start().await;
        let postmaster = place.postmaster();
        for name in signals {
            running.signal(name);
        }
        assert_eq!(running.ended().await.code(), Some(0), "{signals:?}");
        assert!(!runs(postmaster), "{signals:?}");
        assert_eq!(processes_with(&place.folder()), 0, "{signals:?}");
        for port in [&place.s3_port, &place.lambda_port, &place.postgres_port] {
            let port = port.number();
            assert!(
                TcpListener::bind(("127.0.0.1", port)).is_ok(),
                "{signals:?}: {port}"
            );
        }
    }
}

#[tokio::test]
async fn a_signal_while_it_starts_leaves_no_process() {
    let place = Place::new();
    let mut child = place.spawn();
    let log = place.folder().join("postgres/postgres.log");
    wait_for("initdb", async || log.exists().then_some(())).await;
    signal(child.id(), "INT");
    assert_eq!(ended(&mut child).await.code(), Some(0));
    wait_for("the end of all processes", async || {
        (processes_with(&place.folder()) == 0).then_some(())
    })
    .await;
    place.start().await;
}

#[tokio::test]
async fn a_killed_run_leaves_nothing_that_the_next_start_minds() {
    let place = Place::new();
    let running = place.start().await;
    put(&running).await;
    running.wait_for_rows(&ROW).await;
    let postmaster = place.postmaster();
    running.kill();

    let running = place.start().await;
    assert!(!runs(postmaster));
    assert_eq!(
        running.rows().await.unwrap(),
        [("s3://documents/kept".to_owned(), 4)]
    );
    running
        .s3()
        .delete_object()
        .bucket("documents")
        .key("kept")
        .send()
        .await
        .unwrap();
    running.wait_for_rows(&[]).await;
}

#[tokio::test]
async fn a_killed_run_that_is_not_started_again_leaves_no_process() {
    let place = Place::new();
    place.start().await.kill();
    wait_for("the end of all processes", async || {
        (processes_with(&place.folder()) == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_variable_that_changes_it() {
    let place = Place::new();
    for (port, variable) in [
        (&place.s3_port, "HOLDFAST_S3_PORT"),
        (&place.lambda_port, "HOLDFAST_LAMBDA_PORT"),
        (&place.registry_port, "HOLDFAST_REGISTRY_PORT"),
        (&place.postgres_port, "HOLDFAST_POSTGRES_PORT"),
    ] {
        let port = port.number();
        let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let line = place.fails().await;
        assert!(
            line.contains(&format!("port {port} ")) && line.contains(variable),
            "{line}"
        );
        assert_eq!(processes_with(&place.folder()), 0);
    }
}

#[tokio::test]
async fn a_second_start_on_the_same_folder_harms_the_first_in_nothing() {
    let place = Place::new();
    let running = place.start().await;
    let line = place.fails().await;
    assert!(
        line.contains("is in use") && line.contains("HOLDFAST_DATA"),
        "{line}"
    );
    put(&running).await;
    running.wait_for_rows(&ROW).await;
}

#[tokio::test]
async fn a_database_of_another_major_version_is_refused_by_its_number() {
    let place = Place::new();
    drop(place.start().await);
    let file = place.folder().join("postgres/data/PG_VERSION");
    let version = fs::read(&file).unwrap();
    fs::write(&file, "8\n").unwrap();
    let line = place.fails().await;
    assert!(line.contains("was written by PostgreSQL 8"), "{line}");
    fs::write(&file, version).unwrap();
    place.start().await;
}

#[tokio::test]
async fn wrong_variables_come_in_one_line_before_anything_is_made() {
    let place = Place::new()
        .with("HOLDFAST_S3_PORT", "http")
        .with("DATABASE_URL", "postgresql://u:geheim@h:p/d");
    let line = place.fails().await;
    assert!(
        line.contains("HOLDFAST_S3_PORT is invalid") && line.contains("DATABASE_URL is invalid"),
        "{line}"
    );
    assert!(!line.contains("geheim"), "{line}");
    assert!(!place.folder().exists());
}

#[tokio::test]
async fn given_credentials_are_the_ones_that_count() {
    let place = Place::new()
        .with("HOLDFAST_ACCESS_KEY_ID", "mine")
        .with("HOLDFAST_SECRET_ACCESS_KEY", "my secret's");
    let running = place.start().await;
    assert!(running.welcome.contains("my secret's"));
    let kept = fs::read_to_string(place.folder().join("credentials")).unwrap();
    assert!(
        !kept.contains("[default]") && !kept.contains("my secret's"),
        "{kept}"
    );
    let env = fs::metadata(place.folder().join("env")).unwrap();
    assert_eq!(env.permissions().mode() & 0o777, 0o600);
    // A shell reads the file as it is meant, which the line-wise reading of these tests does not.
    let script = format!(
        ". {}/env; printf %s \"$AWS_SECRET_ACCESS_KEY\"",
        place.folder().display()
    );
    assert_eq!(
        shell(&script, Path::new("/usr/bin:/bin")).stdout,
        b"my secret's"
    );
}

#[tokio::test]
async fn the_printed_lines_show_the_row() {
    let place = Place::new();
    let running = place.start().await;
    let path = PathBuf::from(std::env::var_os("PATH").unwrap());
    lines_show_the_row(&running.welcome, &path);
}

#[tokio::test]
async fn the_printed_lines_show_the_row_where_only_curl_is() {
    let programs = tempfile::tempdir().unwrap();
    for program in ["curl", "sh", "sleep"] {
        let found = shell(
            &format!("command -v {program}"),
            &PathBuf::from(std::env::var_os("PATH").unwrap()),
        );
        assert!(
            found.status.success(),
            "{program} is missing on this machine"
        );
        symlink(
            String::from_utf8(found.stdout).unwrap().trim(),
            programs.path().join(program),
        )
        .unwrap();
    }
    // Without `psql` in the PATH its own is named.
    let place = Place::new().with("PATH", programs.path().to_str().unwrap());
    let running = place.start().await;
    assert!(running.welcome.contains("curl"), "{}", running.welcome);
    lines_show_the_row(&running.welcome, programs.path());
}

#[tokio::test]
async fn as_root_a_closed_folder_sends_postgresql_elsewhere_and_says_so() {
    let place = Place::new().closed();
    let running = place.start().await;
    put(&running).await;
    running.wait_for_rows(&ROW).await;
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let elsewhere = running
        .welcome
        .lines()
        .find(|line| line.contains("its user cannot enter"));
    assert_eq!(elsewhere.is_some(), root, "{}", running.welcome);
    let Some(elsewhere) = elsewhere else { return };

    let folder = PathBuf::from(elsewhere.trim().split("  ").next().unwrap());
    assert!(
        folder.starts_with("/var/lib/holdfast"),
        "{}",
        folder.display()
    );
    drop(running);
    let running = place.start().await;
    let rows = running.rows().await.unwrap();
    drop(running);
    fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    assert_eq!(rows, [("s3://documents/kept".to_owned(), 4)]);
}

async fn put(running: &Running) {
    let put = running
        .s3()
        .put_object()
        .bucket("documents")
        .key("kept")
        .body(ByteStream::from_static(b"kept"));
    let put = put.send().await;
    assert!(put.is_ok(), "{put:?}");
}

/// Runs the line that invokes the function, and then those that show a row: each in a shell of its own, in another folder, as somebody does who opens a terminal.
fn lines_show_the_row(welcome: &str, path: &Path) {
    let invoke = welcome
        .lines()
        .find(|line| line.contains("reconcile"))
        .unwrap_or_default();
    let output = shell(invoke, path);
    let answer = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && answer.contains('{'),
        "{invoke}: {output:?}"
    );
    let lines: Vec<&str> = welcome.trim_end().lines().rev().take(3).collect();
    let mut shown = String::new();
    for line in lines.iter().rev() {
        let output = shell(line, path);
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        shown = String::from_utf8_lossy(&output.stdout).into_owned();
    }
    assert!(shown.contains("s3://documents/hello.txt"), "{shown}");
    assert!(shown.contains("(1 row)"), "{shown}");
}

fn shell(script: &str, path: &Path) -> Output {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script])
        .env_clear()
        .env("PATH", path)
        .env("HOME", std::env::var_os("HOME").unwrap_or_default());
    command
        .current_dir("/")
        .output()
        .expect("every Unix has /bin/sh")
}

/// The status and the body of what the registry answers.
fn ask(place: &Place, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
    let address = ("127.0.0.1", place.registry_port.number());
    let mut connection = TcpStream::connect(address).expect("the registry listens");
    write!(
        connection,
        "{method} {path} HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n\
         X-Authorization: {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the registry reads");
    let mut answer = String::new();
    connection
        .read_to_string(&mut answer)
        .expect("the registry answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("it is HTTP");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.expect("it has a status"), body.to_owned())
}
