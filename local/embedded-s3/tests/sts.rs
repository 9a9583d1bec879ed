//! STS: temporary credentials, and what they are good for.
#![expect(clippy::expect_used, reason = "a test that cannot go on must stop")]

mod support;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;
use support::{BUCKET, Fixture, refusal, start};

const ROLE: &str = "arn:aws:iam::123456789012:role/team/reader";

fn keys() -> Credentials {
    Credentials::new("AKIAHOLDFAST", "secret", None, None, "test")
}

fn sts(fixture: &Fixture, credentials: Credentials) -> aws_sdk_sts::Client {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url("http://127.0.0.1")
        .credentials_provider(credentials)
        .http_client(fixture.store.http_client());
    aws_sdk_sts::Client::from_conf(config.build())
}

fn s3(fixture: &Fixture, credentials: Credentials) -> aws_sdk_s3::Client {
    let config = fixture
        .client
        .config()
        .to_builder()
        .credentials_provider(credentials);
    aws_sdk_s3::Client::from_conf(config.build())
}

async fn assume(fixture: &Fixture) -> Credentials {
    let assume = sts(fixture, keys())
        .assume_role()
        .role_arn(ROLE)
        .role_session_name("tester");
    let output = assume
        .external_id("outside")
        .duration_seconds(900)
        .send()
        .await
        .expect("a session");
    let issued = output.credentials().expect("credentials");
    assert!(issued.access_key_id().starts_with("ASIA"));
    let user = output.assumed_role_user().expect("a user");
    assert_eq!(
        user.arn(),
        "arn:aws:sts::123456789012:assumed-role/reader/tester"
    );
    let token = Some(issued.session_token().to_owned());
    Credentials::new(
        issued.access_key_id(),
        issued.secret_access_key(),
        token,
        None,
        "test",
    )
}

#[tokio::test]
async fn a_session_reads_and_writes_with_its_token_only() {
    let fixture = start().await;
    let session = assume(&fixture).await;
    let put = |credentials: Credentials| {
        s3(&fixture, credentials)
            .put_object()
            .bucket(BUCKET)
            .key("a")
            .body(ByteStream::from_static(b"x"))
            .send()
    };
    put(session.clone()).await.unwrap();
    let without = Credentials::new(
        session.access_key_id(),
        session.secret_access_key(),
        None,
        None,
        "test",
    );
    assert_eq!(
        refusal(put(without).await),
        ("InvalidToken".to_owned(), 400)
    );
    let wrong = Some("forged".to_owned());
    let wrong = Credentials::new(
        session.access_key_id(),
        session.secret_access_key(),
        wrong,
        None,
        "test",
    );
    assert_eq!(refusal(put(wrong).await), ("InvalidToken".to_owned(), 400));
    let secret = session.session_token().map(str::to_owned);
    let secret = Credentials::new(session.access_key_id(), "wrong", secret, None, "test");
    assert_eq!(
        refusal(put(secret).await),
        ("SignatureDoesNotMatch".to_owned(), 403)
    );
    let unknown = Credentials::new("ASIANOBODY", "wrong", None, None, "test");
    assert_eq!(
        refusal(put(unknown).await),
        ("InvalidAccessKeyId".to_owned(), 403)
    );
}

#[tokio::test]
async fn sessions_survive_a_restart_and_end() {
    let fixture = start().await;
    let session = assume(&fixture).await;
    fixture.store.clone().close().await;
    let database =
        rusqlite::Connection::open(fixture.folder.path().join("metadata.sqlite")).unwrap();
    let store = embedded_s3::EmbeddedS3::open(support::options(&fixture.folder))
        .await
        .unwrap();
    let config = store
        .client()
        .config()
        .to_builder()
        .credentials_provider(session);
    let client = aws_sdk_s3::Client::from_conf(config.build());
    client.head_bucket().bucket(BUCKET).send().await.unwrap();
    store.close().await;
    database
        .execute("UPDATE session SET expires = 1000", [])
        .unwrap();
    let store = embedded_s3::EmbeddedS3::open(support::options(&fixture.folder))
        .await
        .unwrap();
    let client = aws_sdk_s3::Client::from_conf(
        client
            .config()
            .to_builder()
            .http_client(store.http_client())
            .build(),
    );
    let list = client.list_objects_v2().bucket(BUCKET).send().await;
    assert_eq!(refusal(list), ("ExpiredToken".to_owned(), 400));
}

#[tokio::test]
async fn the_caller_is_named() {
    let fixture = start().await;
    let owner = sts(&fixture, keys())
        .get_caller_identity()
        .send()
        .await
        .unwrap();
    assert_eq!(owner.arn(), Some("arn:aws:iam::000000000000:root"));
    let session = assume(&fixture).await;
    let caller = sts(&fixture, session)
        .get_caller_identity()
        .send()
        .await
        .unwrap();
    assert_eq!(
        caller.arn(),
        Some("arn:aws:sts::123456789012:assumed-role/reader/tester")
    );
    assert_eq!(caller.account(), Some("123456789012"));
}

#[tokio::test]
async fn wrong_parameters_are_refused() {
    let fixture = start().await;
    let client = sts(&fixture, keys());
    let assume = || {
        client
            .assume_role()
            .role_arn(ROLE)
            .role_session_name("tester")
    };
    let refused = ("ValidationError".to_owned(), 400);
    assert_eq!(
        refusal(assume().duration_seconds(899).send().await),
        refused
    );
    assert_eq!(
        refusal(assume().duration_seconds(43_201).send().await),
        refused
    );
    assert_eq!(
        refusal(assume().role_arn("arn:aws:iam::1:role/x").send().await),
        refused
    );
    assert_eq!(
        refusal(assume().role_session_name("a b").send().await),
        refused
    );
    assert_eq!(refusal(assume().external_id("!").send().await), refused);
    assert_eq!(
        refusal(assume().policy("{").send().await),
        ("MalformedPolicyDocument".to_owned(), 400)
    );
    assume()
        .policy("{\"Version\":\"2012-10-17\"}")
        .duration_seconds(43_200)
        .send()
        .await
        .unwrap();
}
