//! The store on a port: presigned URLs, signatures, raw requests.
#![expect(clippy::expect_used, reason = "a test that cannot go on must stop")]

mod support;

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use support::{BUCKET, Fixture, pattern, refusal, start};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn over_tcp(fixture: &Fixture, endpoint: &str) -> aws_sdk_s3::Client {
    let http = aws_smithy_http_client::Builder::new().build_http();
    aws_sdk_s3::Client::from_conf(
        fixture
            .client
            .config()
            .to_builder()
            .endpoint_url(endpoint)
            .http_client(http)
            .build(),
    )
}

/// Sends a request as it is, and returns status and body.
async fn raw(
    endpoint: &str,
    method: &str,
    target: &str,
    headers: &str,
    body: &str,
) -> (u16, String) {
    let address = endpoint.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n"
    );
    stream
        .write_all(head.as_bytes())
        .await
        .expect("the request is sent");
    stream
        .write_all(body.as_bytes())
        .await
        .expect("the body is sent");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("the answer arrives");
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned())
        .unwrap_or_default();
    (status, body)
}

fn target(url: &str, endpoint: &str) -> String {
    url.strip_prefix(endpoint)
        .expect("a URL of this endpoint")
        .to_owned()
}

#[tokio::test]
async fn large_objects_go_both_ways() {
    let fixture = start().await;
    let (endpoint, _stop) = fixture.serve().await;
    let client = over_tcp(&fixture, &endpoint);
    let body = ByteStream::from(pattern(20_000_000));
    client
        .put_object()
        .bucket(BUCKET)
        .key("a b/ü+%")
        .body(body)
        .send()
        .await
        .unwrap();
    let got = client
        .get_object()
        .bucket(BUCKET)
        .key("a b/ü+%")
        .send()
        .await
        .unwrap();
    assert_eq!(
        got.body.collect().await.unwrap().to_vec(),
        pattern(20_000_000)
    );
    let wrong = aws_sdk_s3::config::Credentials::new("AKIAHOLDFAST", "wrong", None, None, "test");
    let wrong = aws_sdk_s3::Client::from_conf(
        client
            .config()
            .to_builder()
            .credentials_provider(wrong)
            .build(),
    );
    let refused = wrong.list_buckets().send().await;
    assert_eq!(refusal(refused), ("SignatureDoesNotMatch".to_owned(), 403));
}

#[tokio::test]
async fn presigned_urls_work_until_they_expire() {
    let fixture = start().await;
    let (endpoint, _stop) = fixture.serve().await;
    let client = over_tcp(&fixture, &endpoint);
    let soon = PresigningConfig::expires_in(Duration::from_mins(1)).unwrap();
    let put = client
        .put_object()
        .bucket(BUCKET)
        .key("a b")
        .presigned(soon.clone())
        .await
        .unwrap();
    let (status, _) = raw(
        &endpoint,
        "PUT",
        &target(put.uri(), &endpoint),
        "Content-Length: 5\r\n",
        "hello",
    )
    .await;
    assert_eq!(status, 200);
    let get = client
        .get_object()
        .bucket(BUCKET)
        .key("a b")
        .presigned(soon)
        .await
        .unwrap();
    let path = target(get.uri(), &endpoint);
    assert_eq!(
        raw(&endpoint, "GET", &path, "", "").await,
        (200, "hello".to_owned())
    );
    let other = path.replace("a%20b", "a%20c");
    assert_eq!(raw(&endpoint, "GET", &other, "", "").await.0, 403);
    let past = PresigningConfig::builder()
        .start_time(std::time::SystemTime::now() - Duration::from_mins(10))
        .expires_in(Duration::from_mins(5))
        .build()
        .unwrap();
    let get = client
        .get_object()
        .bucket(BUCKET)
        .key("a b")
        .presigned(past)
        .await
        .unwrap();
    let (status, body) = raw(&endpoint, "GET", &target(get.uri(), &endpoint), "", "").await;
    assert!(
        status == 403 && body.contains("Request has expired"),
        "{status} {body}"
    );
}

#[tokio::test]
async fn a_presigned_upload_has_the_checksum_that_was_signed() {
    const HELLO: &str = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    let fixture = start().await;
    let (endpoint, _stop) = fixture.serve().await;
    let client = over_tcp(&fixture, &endpoint);
    let soon = PresigningConfig::expires_in(Duration::from_mins(1)).unwrap();
    let put = client.put_object().bucket(BUCKET).key("a");
    let put = put.checksum_sha256(HELLO).presigned(soon).await.unwrap();
    assert_eq!(
        put.headers().collect::<Vec<_>>(),
        [("x-amz-checksum-sha256", HELLO)]
    );
    let path = target(put.uri(), &endpoint);
    let send = async |headers: &str, body: &str| {
        let headers = format!("Content-Length: 5\r\n{headers}");
        let (status, answer) = raw(&endpoint, "PUT", &path, &headers, body).await;
        let code = answer.split("<Code>").nth(1);
        let code = code.and_then(|rest| rest.split("</Code>").next());
        (status, code.map(ToOwned::to_owned))
    };
    let signed = format!("x-amz-checksum-sha256: {HELLO}\r\n");
    let mismatch = Some("SignatureDoesNotMatch".to_owned());
    assert_eq!(send("", "hello").await, (403, mismatch));
    let wrong = Some("BadDigest".to_owned());
    assert_eq!(send(&signed, "other").await, (400, wrong));
    let stray = format!("{signed}x-amz-meta-a: b\r\n");
    let denied = Some("AccessDenied".to_owned());
    assert_eq!(send(&stray, "hello").await, (403, denied));
    assert!(fixture.keys().await.is_empty());
    assert_eq!(send(&signed, "hello").await, (200, None));
    assert_eq!(fixture.get("a").await, b"hello");
}

#[tokio::test]
async fn a_presigned_head_is_for_no_bytes() {
    let fixture = start().await;
    fixture.put("a", "hello").await;
    let (endpoint, _stop) = fixture.serve().await;
    let client = over_tcp(&fixture, &endpoint);
    let soon = PresigningConfig::expires_in(Duration::from_mins(1)).unwrap();
    let head = client.head_object().bucket(BUCKET).key("a");
    let head = head.presigned(soon).await.unwrap();
    assert_eq!(head.headers().count(), 0);
    let path = target(head.uri(), &endpoint);
    assert_eq!(raw(&endpoint, "HEAD", &path, "", "").await.0, 200);
    assert_eq!(raw(&endpoint, "GET", &path, "", "").await.0, 403);
}

#[tokio::test]
async fn a_request_without_signature_is_refused() {
    let fixture = start().await;
    let (endpoint, _stop) = fixture.serve().await;
    let (status, body) = raw(&endpoint, "GET", &format!("/{BUCKET}?list-type=2"), "", "").await;
    assert!(
        status == 403 && body.contains("AccessDenied"),
        "{status} {body}"
    );
    let (status, _) = raw(
        &endpoint,
        "POST",
        "/",
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n",
        "",
    )
    .await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn the_server_stops_when_told() {
    let fixture = start().await;
    let (endpoint, stop) = fixture.serve().await;
    let client = over_tcp(&fixture, &endpoint);
    client.head_bucket().bucket(BUCKET).send().await.unwrap();
    drop(stop);
    let gone = async {
        while TcpStream::connect(endpoint.strip_prefix("http://").unwrap_or_default())
            .await
            .is_ok()
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_refused_upload_hears_why() {
    let fixture = start().await;
    let (endpoint, _stop) = fixture.serve().await;
    let body = "x".repeat(10_000_000);
    let length = format!("Content-Length: {}\r\n", body.len());
    for _ in 0..5 {
        let (status, answer) = raw(&endpoint, "PUT", &format!("/{BUCKET}/a"), &length, &body).await;
        assert!(
            status == 403 && answer.contains("AccessDenied"),
            "{status} {answer}"
        );
    }
}

#[tokio::test]
async fn a_range_nobody_understands_is_ignored() {
    let fixture = start().await;
    fixture.put("a", "hello").await;
    let get = fixture
        .client
        .get_object()
        .bucket(BUCKET)
        .key("a")
        .range("lines=1-2")
        .send()
        .await
        .unwrap();
    assert_eq!(get.content_range(), None);
    assert_eq!(get.body.collect().await.unwrap().to_vec(), b"hello");
}

#[tokio::test]
async fn a_stranger_is_refused_in_the_words_of_sts() {
    let fixture = start().await;
    let (endpoint, _stop) = fixture.serve().await;
    let client = |key: &str, secret: &str| {
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .region(aws_sdk_s3::config::Region::new("us-east-1"))
            .endpoint_url(&endpoint)
            .credentials_provider(aws_sdk_s3::config::Credentials::new(
                key, secret, None, None, "test",
            ))
            .http_client(aws_smithy_http_client::Builder::new().build_http());
        aws_sdk_sts::Client::from_conf(config.build())
    };
    let unknown = client("AKIANOBODY", "secret")
        .get_caller_identity()
        .send()
        .await;
    assert_eq!(refusal(unknown), ("InvalidClientTokenId".to_owned(), 403));
    let wrong = client("AKIAHOLDFAST", "wrong")
        .get_caller_identity()
        .send()
        .await;
    assert_eq!(refusal(wrong), ("SignatureDoesNotMatch".to_owned(), 403));
}

#[tokio::test]
async fn a_refused_upload_that_asked_first_is_told_that_the_connection_ends() {
    let fixture = start().await;
    let (endpoint, _stop) = fixture.serve().await;
    let address = endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "PUT /{BUCKET}/k HTTP/1.1\r\nHost: {address}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // Ends because the server closes: nothing else was said of it before.
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    let answer = answer.to_lowercase();
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(!answer.contains("100 continue"), "{answer}");
}
