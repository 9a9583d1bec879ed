//! Lambda's Invoke API, spoken to over plain HTTP with signatures of the SDK's signer.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use aws_sdk_s3::{config::Credentials, primitives::ByteStream};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use serde_json::{Value, json};
use support::{Place, Running, wait_for};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_postgres::NoTls;

const PATH: &str = "/2015-03-31/functions/document-sync/invocations";

#[tokio::test]
async fn the_function_answers_whoever_waits_for_it() {
    let place = Place::new();
    let running = place.start().await;
    put(&running, "a b.md").await;
    let answer = Request::new(&place, &running)
        .body(&created("a+b.md"))
        .send()
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["x-amz-executed-version"], "$LATEST");
    assert_eq!(answer.headers["x-amzn-requestid"].len(), 36);
    assert!(!answer.headers.contains_key("x-amz-function-error"));
    // The event of S3 itself may have come first.
    let counts = ["changed", "confirmed", "stale", "duplicate"];
    let applied: u64 = counts
        .iter()
        .filter_map(|name| answer.json()[name].as_u64())
        .sum();
    assert_eq!(applied, 1, "{}", answer.body);
    running.wait_for_rows(&[("s3://documents/a b.md", 4)]).await;
}

#[tokio::test]
async fn a_failure_of_the_function_is_an_answer() {
    let place = Place::new();
    let running = place.start().await;
    let answer = Request::new(&place, &running)
        .body(r#"{"reconcile": {}}"#)
        .send()
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["x-amz-function-error"], "Unhandled");
    let failure = answer.json();
    assert_ne!(failure["errorMessage"].as_str().unwrap(), "");
    let kind = failure["errorType"].as_str().unwrap();
    assert!(kind.starts_with("document_sync::"), "{failure}");
}

#[tokio::test]
async fn an_event_is_taken_at_once_and_a_dry_run_changes_nothing() {
    let place = Place::new();
    let running = place.start().await;
    // Only the invocations tell of these objects.
    running
        .s3()
        .put_bucket_notification_configuration()
        .bucket("documents")
        .notification_configuration(aws_sdk_s3::types::NotificationConfiguration::builder().build())
        .send()
        .await
        .unwrap();
    put(&running, "dry").await;
    put(&running, "told").await;
    for (kind, key, status) in [("DryRun", "dry", 204), ("Event", "told", 202)] {
        let answer = Request::new(&place, &running)
            .header("x-amz-invocation-type", kind)
            .body(&created(key))
            .send()
            .await;
        assert_eq!((answer.status, &*answer.body), (status, ""), "{kind}");
    }
    running.wait_for_rows(&[("s3://documents/told", 4)]).await;
}

#[tokio::test]
async fn the_function_is_known_by_its_name_and_by_its_arns() {
    let place = Place::new();
    let running = place.start().await;
    for path in [
        "/2015-03-31/functions/document-sync%3Alive/invocations",
        "/2015-03-31/functions/document-sync/invocations?Qualifier=%24LATEST",
        "/2015-03-31/functions/000000000000%3Afunction%3Adocument-sync/invocations",
        "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Adocument-sync/invocations",
    ] {
        let answer = Request::new(&place, &running)
            .path(path)
            .header("x-amz-invocation-type", "DryRun")
            .send()
            .await;
        assert_eq!(answer.status, 204, "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_by_the_name_that_lambda_has_for_it() {
    let place = Place::new();
    let running = place.start().await;
    let request = || Request::new(&place, &running);
    let large = format!("\"{}\"", "x".repeat(6 * 1024 * 1024));
    let large_event = format!("\"{}\"", "x".repeat(1024 * 1024));
    let refusals = [
        (
            request().path("/2015-03-31/functions/document-synk/invocations"),
            404,
            "ResourceNotFoundException",
        ),
        (
            request().path("/2015-03-31/functions/document%20sync/invocations"),
            400,
            "ValidationException",
        ),
        (
            request().path("/2015-03-31/functions/"),
            404,
            "UnknownOperationException",
        ),
        (
            request().header("x-amz-invocation-type", "Later"),
            400,
            "InvalidParameterValueException",
        ),
        (request().body("{"), 400, "InvalidRequestContentException"),
        (request().body(&large), 413, "RequestTooLargeException"),
        (
            request()
                .header("x-amz-invocation-type", "Event")
                .body(&large_event),
            413,
            "RequestTooLargeException",
        ),
    ];
    for (request, status, name) in refusals {
        let answer = request.send().await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        assert_eq!(answer.headers["x-amzn-errortype"], name);
        assert!(answer.json()["message"].is_string(), "{}", answer.body);
    }
}

#[tokio::test]
async fn only_requests_signed_with_the_key_of_the_stack_are_served() {
    let place = Place::new();
    let running = place.start().await;
    let request = || Request::new(&place, &running);
    let (hour, minutes) = (Duration::from_hours(1), Duration::from_mins(4));
    let now = SystemTime::now();
    let cases = [
        (request().at(now - minutes), 200, ""),
        (request().at(now - hour), 403, "InvalidSignatureException"),
        (request().at(now + hour), 403, "InvalidSignatureException"),
        (
            request().key("HOLDFASTSOMEBODYELSE", "geheim"),
            403,
            "UnrecognizedClientException",
        ),
        (
            request().key(running.variable("AWS_ACCESS_KEY_ID"), "geheim"),
            403,
            "InvalidSignatureException",
        ),
        (
            request().unsigned_header("x-amz-security-token", "token"),
            403,
            "UnrecognizedClientException",
        ),
        (request().service("s3"), 403, "InvalidSignatureException"),
        (
            request().send_instead("{\"other\": 1}"),
            403,
            "InvalidSignatureException",
        ),
        (
            request().authorization(""),
            403,
            "MissingAuthenticationTokenException",
        ),
        (
            request().authorization("Basic aG9sZDpmYXN0"),
            400,
            "IncompleteSignatureException",
        ),
        (
            request()
                .authorization("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0"),
            400,
            "IncompleteSignatureException",
        ),
    ];
    for (number, (request, status, name)) in cases.into_iter().enumerate() {
        let answer = request.send().await;
        assert_eq!(answer.status, status, "{number}: {}", answer.body);
        let named = answer.headers.get("x-amzn-errortype");
        assert_eq!(named.map_or("", String::as_str), name, "{number}");
        assert!(!answer.body.contains("geheim"));
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_long_invocation() {
    let place = Place::new();
    let running = place.start().await;
    put(&running, "kept").await;
    running.wait_for_rows(&[("s3://documents/kept", 4)]).await;
    let (client, connection) = tokio_postgres::connect(running.variable("DATABASE_URL"), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    // An invocation needs both tables, and waits for them as long as this transaction lives.
    client
        .batch_execute("begin; lock table document, s3_object")
        .await
        .unwrap();
    let request = Request::new(&place, &running).body(&created("kept"));
    let invocation = tokio::spawn(request.send());
    wait_for("the invocation to wait for the lock", async || {
        let waiting = client
            .query("select 1 from pg_locks where not granted", &[])
            .await;
        (!waiting.ok()?.is_empty()).then_some(())
    })
    .await;
    running.signal("TERM");
    let answer = invocation.await.unwrap();
    assert_eq!(answer.headers["x-amz-function-error"], "Unhandled");
    assert_eq!(answer.json()["errorType"], "Runtime.ExitError");
    assert_eq!(running.ended().await.code(), Some(0));
}

async fn put(running: &Running, key: &str) {
    let put = running
        .s3()
        .put_object()
        .bucket("documents")
        .key(key)
        .body(ByteStream::from_static(b"kept"));
    put.send().await.unwrap();
}

/// S3's event without a sequencer: the function asks S3 what is there.
fn created(key: &str) -> String {
    json!({
        "Records": [{
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventTime": "2026-01-01T00:00:00.000Z",
            "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": "documents" }, "object": { "key": key } },
        }],
    })
    .to_string()
}

/// An invocation, right until it is made wrong.
struct Request {
    address: String,
    path: String,
    key: (String, String),
    service: &'static str,
    time: SystemTime,
    headers: Vec<(&'static str, String)>,
    unsigned: Vec<(&'static str, String)>,
    body: String,
    sent: Option<String>,
    /// Instead of the right one; empty for none at all.
    authorization: Option<&'static str>,
}

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Request {
    fn new(place: &Place, running: &Running) -> Self {
        let address = format!("127.0.0.1:{}", place.lambda_port.number());
        assert_eq!(
            running.variable("AWS_ENDPOINT_URL_LAMBDA"),
            format!("http://{address}")
        );
        let key = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
            .map(|name| running.variable(name).to_owned());
        Self {
            address,
            path: PATH.to_owned(),
            key: key.into(),
            service: "lambda",
            time: SystemTime::now(),
            headers: Vec::new(),
            unsigned: Vec::new(),
            body: String::new(),
            sent: None,
            authorization: None,
        }
    }

    fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    fn key(mut self, id: &str, secret: &str) -> Self {
        self.key = (id.to_owned(), secret.to_owned());
        self
    }

    fn service(mut self, service: &'static str) -> Self {
        self.service = service;
        self
    }

    fn at(mut self, time: SystemTime) -> Self {
        self.time = time;
        self
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn unsigned_header(mut self, name: &'static str, value: &str) -> Self {
        self.unsigned.push((name, value.to_owned()));
        self
    }

    fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    /// Another body than the one that was signed.
    fn send_instead(mut self, body: &str) -> Self {
        self.sent = Some(body.to_owned());
        self
    }

    fn authorization(mut self, value: &'static str) -> Self {
        self.authorization = Some(value);
        self
    }

    fn signed_headers(&self) -> Vec<(String, String)> {
        let identity = Credentials::new(&self.key.0, &self.key.1, None, None, "test").into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-central-1") // any will do
            .name(self.service)
            .time(self.time)
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let headers = self.headers.iter();
        let request = SignableRequest::new(
            "POST",
            format!("http://{}{}", self.address, self.path),
            headers.map(|(name, value)| (*name, value.as_str())),
            SignableBody::Bytes(self.body.as_bytes()),
        );
        let (instructions, _) = sign(request.unwrap(), &parameters).unwrap().into_parts();
        let signed = instructions.headers();
        signed
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    async fn send(self) -> Answer {
        let mut headers = self.signed_headers();
        if let Some(authorization) = self.authorization {
            headers.retain(|(name, _)| name != "authorization");
            if !authorization.is_empty() {
                headers.push(("authorization".to_owned(), authorization.to_owned()));
            }
        }
        let given = self.headers.iter().chain(&self.unsigned);
        headers.extend(given.map(|(name, value)| ((*name).to_owned(), value.clone())));
        let body = self.sent.as_ref().unwrap_or(&self.body);
        let lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let lines = lines.concat();
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n{lines}\r\n{body}",
            self.path,
            self.address,
            body.len(),
        );
        let mut stream = TcpStream::connect(&self.address).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer of HTTP");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        Answer {
            status: status.and_then(|status| status.parse().ok()).unwrap(),
            headers: lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }
}
