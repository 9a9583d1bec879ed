//! A built binary under the Runtime API: warm, failing, ended, killed.
#![expect(clippy::expect_used, reason = "a test that cannot start must stop")]

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{Function, FunctionError, RuntimeApi};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn one_warm_process_answers_several_events() {
    let function = start(&[]).await;
    function.ready().await.unwrap();
    let first = function.invoke(&json!({"n": 1})).await.unwrap();
    let second = function.invoke(&json!({"n": 2})).await.unwrap();
    assert_eq!(
        (&first["event"]["n"], &first["invocation"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        (&second["event"]["n"], &second["invocation"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(first["process"], second["process"]);
    assert_eq!(first["process"], json!(function.pid()));
    assert_ne!(first["request_id"], second["request_id"]);
}

#[tokio::test]
async fn the_function_is_told_its_deadline() {
    let function = start(&[]).await;
    let answer = function
        .invoke_within(&json!({}), Duration::from_mins(14))
        .await
        .unwrap();
    let remaining = answer["remaining_seconds"].as_u64().unwrap();
    assert!((700..=840).contains(&remaining), "{remaining}");
}

#[tokio::test]
async fn the_function_sees_lambdas_variables_and_those_given_and_no_others() {
    let function = start(&[("GIVEN", "1")]).await;
    let answer = function.invoke(&json!({})).await.unwrap();
    let names: Vec<&str> = answer["variables"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for expected in [
        "GIVEN",
        "PATH",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_REGION",
    ] {
        assert!(
            names.contains(&expected),
            "{expected} is missing in {names:?}"
        );
    }
    assert!(
        !names
            .iter()
            .any(|name| name.starts_with("CARGO") || *name == "HOME"),
        "{names:?}"
    );
}

#[tokio::test]
async fn a_handlers_error_is_reported_and_the_process_goes_on() {
    let function = start(&[]).await;
    let error = function.invoke(&json!({"do": "fail"})).await.unwrap_err();
    let FunctionError::Handler(failure) = error else {
        panic!("{error}")
    };
    assert_eq!(failure.error_message, "failed as told");
    assert_eq!(function.invoke(&json!({})).await.unwrap()["invocation"], 2);
}

#[tokio::test]
async fn a_function_that_does_not_start_shows_its_status_and_reason() {
    let function = start(&[("REFUSE_TO_START", "1")]).await;
    for error in [
        function.ready().await.unwrap_err(),
        function.invoke(&json!({})).await.unwrap_err(),
    ] {
        let FunctionError::Exited { status, stderr } = error else {
            panic!("{error}")
        };
        assert_eq!(status.code(), Some(1));
        assert!(stderr.contains("refused to start"), "{stderr}");
    }
}

#[tokio::test]
async fn a_failure_reported_at_initialisation_is_observed() {
    let api = RuntimeApi::start().await;
    let body = r#"{"errorType":"Configuration","errorMessage":"BUCKET is not set"}"#;
    let mut client = TcpStream::connect(api.address()).await.unwrap();
    let request = format!(
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");

    let function = api.run(
        env!("CARGO_BIN_EXE_sample-function"),
        &[("REFUSE_TO_START", "1")],
    );
    let error = function.ready().await.unwrap_err();
    let FunctionError::Init(failure) = error else {
        panic!("{error}")
    };
    assert_eq!(failure.error_type, "Configuration");
    assert_eq!(failure.error_message, "BUCKET is not set");
}

#[tokio::test]
async fn the_end_of_the_process_in_the_middle_of_an_event_is_no_answer() {
    let function = start(&[]).await;
    let error = function.invoke(&json!({"do": "end"})).await.unwrap_err();
    assert!(
        matches!(&error, FunctionError::Exited { status, .. } if status.code() == Some(7)),
        "{error}"
    );
}

#[tokio::test]
async fn a_kill_in_the_middle_of_an_event_ends_it() {
    let function = start(&[]).await;
    function.ready().await.unwrap();
    let event = json!({"do": "hang"});
    let (outcome, ()) = tokio::join!(function.invoke(&event), async {
        tokio::task::yield_now().await;
        function.kill().await;
    });
    let error = outcome.unwrap_err();
    assert!(
        matches!(&error, FunctionError::Exited { status, .. } if status.code().is_none()),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_that_does_not_come_ends_at_the_deadline() {
    let function = start(&[]).await;
    function.ready().await.unwrap();
    let error = function
        .invoke_within(&json!({"do": "hang"}), Duration::from_millis(50))
        .await
        .unwrap_err();
    assert!(matches!(error, FunctionError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn standard_output_and_error_are_kept_apart() {
    let function = start(&[]).await;
    function.invoke(&json!({"do": "write"})).await.unwrap();
    function.kill().await;
    assert_eq!(function.stdout(), "on standard output\n");
    assert!(
        function.stderr().contains("on standard error\n"),
        "{}",
        function.stderr()
    );
}

#[tokio::test]
async fn a_dropped_function_is_killed() {
    let function = start(&[]).await;
    function.ready().await.unwrap();
    let pid = function.pid().unwrap();
    drop(function);
    let start = Instant::now();
    while runs(pid) {
        assert!(start.elapsed() < Duration::from_mins(1), "it still runs");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn start(variables: &[(&str, &str)]) -> Function {
    RuntimeApi::start()
        .await
        .run(env!("CARGO_BIN_EXE_sample-function"), variables)
}

fn runs(pid: u32) -> bool {
    let signal = Command::new("kill")
        .args(["-0", &pid.to_string()])
        .stderr(Stdio::null())
        .status();
    signal.expect("kill is part of every Unix").success()
}
