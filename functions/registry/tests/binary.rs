//! The function as it is deployed: the executable, over the Lambda Runtime API, in S3 over TCP.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;
use testkit::{Function, RuntimeApi};
use tokio::net::TcpListener;

const BINARY: &str = env!("CARGO_BIN_EXE_registry");

#[tokio::test]
async fn every_sample_event_is_answered() {
    let (store, _folder) = support::embedded().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { store.serve(listener, std::future::pending()).await });
    let function = run(&[
        ("AWS_ENDPOINT_URL_S3", &endpoint),
        ("S3_BUCKET_NAME", "made-at-start"),
    ])
    .await;
    function.ready().await.unwrap();
    let mut dialogue = String::new();
    let mut pages = String::new();
    for file in files() {
        let event: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let answer = function.invoke(&event).await.unwrap();
        let case = file.file_stem().unwrap().to_string_lossy().into_owned();
        if header(&answer, "content-type").starts_with("text/html") || is_redirect(&answer) {
            let (location, cookies) = (header(&answer, "location"), cookies(&answer));
            writeln!(pages, "{case}: {location} {cookies}").unwrap();
        } else {
            assert_eq!(
                header(&answer, "access-control-allow-origin"),
                "*",
                "{case}"
            );
        }
        let (status, store) = (&answer["statusCode"], header(&answer, "x-holdfast-store"));
        writeln!(dialogue, "{case}: {status} {store}").unwrap();
    }
    insta::assert_snapshot!(dialogue, @r"
    registry.function-url-odd-name: 403 
    registry.function-url-tracks: 200 
    registry.http-api-components: 200 s3
    registry.http-api-health: 200 
    registry.http-api-login: 303 s3
    registry.http-api-odd-name: 403 
    registry.http-api-query: 403 
    registry.rest-api-create: 403 
    registry.rest-api-health: 200 
    registry.rest-api-odd-name: 403 
    registry.rest-api-page: 303 s3
    ");
    // Behind a stage whose slash is missing, a link must bring it.
    insta::assert_snapshot!(pages, @r"
    registry.http-api-login: ./status __Host-holdfast; Max-Age=36000; Path=/; HttpOnly; SameSite=Strict; Secure
    registry.rest-api-page: prod/login
    ");
}

#[tokio::test]
async fn the_log_says_which_bucket_it_is_unless_only_warnings_are_wanted() {
    let (store, _folder) = support::embedded().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { store.serve(listener, std::future::pending()).await });
    for (level, is_told) in [("INFO", true), ("WARNING", false)] {
        let variables = [
            ("AWS_ENDPOINT_URL_S3", endpoint.as_str()),
            ("S3_BUCKET_NAME", "made-at-start"),
            ("LOG_LEVEL", level),
        ];
        let function = run(&variables).await;
        function.ready().await.unwrap();
        let log = function.stdout();
        let line = "S3 storage initialized: bucket=made-at-start";
        assert_eq!(log.contains(line), is_told, "{level}: {log}");
    }
}

async fn run(variables: &[(&str, &str)]) -> Function {
    let mut all = vec![
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH", "true"),
        ("ADMIN_PASSWORD", "admin password"),
        (
            "JWT_SECRET_KEY",
            "a key of a test, of many more than 32 bytes",
        ),
    ];
    all.extend(variables);
    RuntimeApi::start().await.run(BINARY, &all)
}

/// A header of an answer; the form for REST APIs has lists.
fn header<'a>(answer: &'a Value, name: &str) -> &'a str {
    let single = &answer["headers"][name];
    let value = if single.is_null() {
        &answer["multiValueHeaders"][name][0]
    } else {
        single
    };
    value.as_str().unwrap_or_default()
}

fn is_redirect(answer: &Value) -> bool {
    answer["statusCode"] == 303
}

/// The cookies of an answer without their values.
fn cookies(answer: &Value) -> String {
    let cookies = answer["cookies"].as_array().into_iter().flatten();
    let shown = cookies.filter_map(|cookie| {
        let (name, rest) = cookie.as_str()?.split_once('=')?;
        let (_value, rest) = rest.split_once(';')?;
        Some(format!("{name};{rest}"))
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn files() -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| {
            file.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("registry.")
        })
        .collect();
    files.sort();
    files
}
