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

use serde_json::{Value, json};
use testkit::{Function, RuntimeApi, SecretsManager};
use tokio::net::TcpListener;

/// What the sample events log in with.
const PASSWORD: &str = "correcthorsebatterystaple123(!__+@**(A'\"`;DROP TABLE artifacts;";
const BINARY: &str = env!("CARGO_BIN_EXE_registry");

#[tokio::test]
async fn every_sample_event_is_answered() {
    let endpoint = s3().await;
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
    registry.function-url-authenticate: 200 s3
    registry.function-url-create: 403 
    registry.function-url-odd-name: 403 
    registry.function-url-tracks: 200 
    registry.http-api-authenticate: 200 s3
    registry.http-api-components: 200 s3
    registry.http-api-create: 403 
    registry.http-api-health: 200 
    registry.http-api-login: 303 s3
    registry.http-api-odd-name: 403 
    registry.http-api-query: 403 
    registry.rest-api-authenticate: 200 s3
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
async fn users_log_in_and_register_through_every_gateway() {
    let endpoint = s3().await;
    let variables = [
        ("AWS_ENDPOINT_URL_S3", endpoint.as_str()),
        ("S3_BUCKET_NAME", "made-at-start"),
    ];
    let (first, second) = (run(&variables).await, run(&variables).await);
    for function in [&first, &second] {
        function.ready().await.unwrap();
    }
    for gateway in ["http-api", "rest-api", "function-url"] {
        let login = sample(&format!("{gateway}-authenticate"));
        let answer = first.invoke(&serde_json::from_str(&login).unwrap()).await;
        let token: String = serde_json::from_str(body(&answer.unwrap())).unwrap();
        assert!(token.starts_with("bearer "));
        let create = sample(&format!("{gateway}-create")).replace("bearer sample", &token);
        let create: Value = serde_json::from_str(&create).unwrap();
        // A token is good on every instance.
        let answer = second.invoke(&create).await.unwrap();
        let artifact: Value = serde_json::from_str(body(&answer)).unwrap();
        if gateway == "http-api" {
            assert_eq!(answer["statusCode"], 201, "{gateway}: {answer}");
            assert_eq!(artifact["metadata"]["name"], "bert-base-uncased");
        } else {
            assert_eq!(answer["statusCode"], 409, "{gateway}: {answer}");
        }
        let answer = first.invoke(&create).await.unwrap();
        assert_eq!(answer["statusCode"], 409, "{gateway}: {answer}");
        let log = first.stdout() + &second.stdout();
        assert!(!log.contains(&token) && !log.contains("eyJ"), "{log}");
    }
}

#[tokio::test]
async fn who_may_log_in_is_fetched_from_the_secret_before_the_first_request() {
    let endpoint = s3().await;
    let secrets = SecretsManager::start().await;
    let kept = json!({
        "admin_password": PASSWORD,
        "jwt_secret_key": "another key, of many more than 32 bytes",
    });
    secrets.put("access", &kept.to_string());
    let variables = [
        ("AWS_ENDPOINT_URL_S3", endpoint.as_str()),
        ("S3_BUCKET_NAME", "made-at-start"),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.endpoint()),
        ("ACCESS_SECRET_ARN", "access"),
        ("ADMIN_PASSWORD", ""),
        ("JWT_SECRET_KEY", ""),
    ];
    let function = run(&variables).await;
    function.ready().await.unwrap();
    assert_eq!(secrets.calls(), 1);
    let login: Value = serde_json::from_str(&sample("http-api-authenticate")).unwrap();
    let answer = function.invoke(&login).await.unwrap();
    assert_eq!(answer["statusCode"], 200, "{answer}");
    assert_eq!(secrets.calls(), 1);

    secrets.refuse(400, "AccessDeniedException");
    let function = run(&variables).await;
    let ended = function.ready().await.unwrap_err();
    let told = "the function may not read the secret access";
    assert!(format!("{ended:?}").contains(told), "{ended:?}");
}

#[tokio::test]
async fn the_log_says_which_bucket_it_is_unless_only_warnings_are_wanted() {
    let endpoint = s3().await;
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

/// An S3 over TCP. Its folder goes with it.
async fn s3() -> String {
    let (store, folder) = support::embedded().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let _folder = folder;
        store.serve(listener, std::future::pending()).await
    });
    endpoint
}

/// The text of a sample event.
fn sample(name: &str) -> String {
    let file = format!("../../events/registry.{name}.json");
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The body of an answer, which none of ours encodes.
fn body(answer: &Value) -> &str {
    assert_eq!(answer["isBase64Encoded"], false);
    answer["body"].as_str().unwrap()
}

async fn run(variables: &[(&str, &str)]) -> Function {
    let mut all = vec![
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH", "true"),
        ("ADMIN_PASSWORD", PASSWORD),
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
            let name = file.file_name().unwrap().to_string_lossy();
            // What a schedule sends is for the other executable.
            name.starts_with("registry.") && !name.starts_with("registry.schedule")
        })
        .collect();
    files.sort();
    files
}
