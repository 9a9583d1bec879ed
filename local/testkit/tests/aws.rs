//! S3 and STS of two accounts, as the SDK sees them over TCP.
#![expect(
    clippy::expect_used,
    reason = "helpers of tests stop at what they do not expect"
)]

use std::time::Duration;

use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::error::ProvideErrorMetadata;
use embedded_s3::Fault;
use serde_json::json;
use testkit::{Aws, Keys, Tenant};

const BUCKET: &str = "papers";

async fn started() -> (Aws, Tenant, String) {
    let aws = Aws::start().await;
    aws.bucket(Keys::Customer, BUCKET, "us-east-1").await;
    aws.put(Keys::Customer, BUCKET, "a", "content").await;
    let tenant = Tenant::new("reader", BUCKET, "tenant-1");
    let arn = aws.role(&tenant);
    (aws, tenant, arn)
}

/// A session, or the error code.
async fn assume(aws: &Aws, arn: &str, external_id: Option<&str>) -> Result<Credentials, String> {
    let asked = aws.sts(Keys::Own.credentials()).assume_role();
    let asked = asked.role_arn(arn).role_session_name("test");
    let asked = asked.set_external_id(external_id.map(str::to_owned));
    match asked.send().await {
        Ok(output) => {
            let issued = output.credentials().expect("credentials");
            let expires = issued.expiration().to_owned().try_into().ok();
            let token = Some(issued.session_token().to_owned());
            let (id, secret) = (issued.access_key_id(), issued.secret_access_key());
            Ok(Credentials::new(id, secret, token, expires, "test"))
        }
        Err(error) => Err(error.code().unwrap_or("none").to_owned()),
    }
}

async fn read(aws: &Aws, credentials: &Credentials) -> Result<Vec<u8>, String> {
    let client = aws.s3(credentials.clone(), "us-east-1");
    match client.get_object().bucket(BUCKET).key("a").send().await {
        Ok(output) => match output.body.collect().await {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(_broken) => Err("body".to_owned()),
        },
        Err(error) => Err(error.code().unwrap_or("none").to_owned()),
    }
}

#[tokio::test]
async fn a_tenant_is_read_with_its_external_id() {
    let (aws, mut tenant, arn) = started().await;
    let session = assume(&aws, &arn, Some("tenant-1")).await.unwrap();
    assert_eq!(read(&aws, &session).await.unwrap(), b"content");
    let denied = Err("AccessDenied".to_owned());
    assert_eq!(read(&aws, &Keys::Own.credentials()).await, denied);
    for wrong in [None, Some("tenant-2")] {
        assert_eq!(assume(&aws, &arn, wrong).await.unwrap_err(), "AccessDenied");
    }
    assert_eq!(aws.calls("AssumeRole"), 3);
    tenant.external_id = None;
    aws.role(&tenant);
    assume(&aws, &arn, None).await.unwrap();
    tenant.statements = json!([{ "Effect": "Deny", "Action": "s3:*", "Resource": "*" }]);
    aws.role(&tenant);
    assert_eq!(read(&aws, &session).await, denied);
}

#[tokio::test]
async fn sessions_end_when_they_are_told_to() {
    let (aws, _, arn) = started().await;
    let session = assume(&aws, &arn, Some("tenant-1")).await.unwrap();
    aws.end_sessions();
    assert_eq!(read(&aws, &session).await, Err("ExpiredToken".to_owned()));
    aws.shorten_sessions(Duration::from_secs(20));
    let short = assume(&aws, &arn, Some("tenant-1")).await.unwrap();
    let left = short
        .expiry()
        .unwrap()
        .duration_since(std::time::SystemTime::now());
    assert!(left.is_ok_and(|left| left <= Duration::from_secs(20)));
    assert_eq!(read(&aws, &short).await.unwrap(), b"content");
}

#[tokio::test]
async fn sts_and_objects_fail_as_often_as_asked() {
    let (aws, _, arn) = started().await;
    aws.fail_sts(1, Fault::AccessDenied);
    let refused = assume(&aws, &arn, Some("tenant-1")).await;
    assert_eq!(refused.unwrap_err(), "AccessDenied");
    aws.fail_sts(1, Fault::Delay(Duration::from_millis(5)));
    let session = assume(&aws, &arn, Some("tenant-1")).await.unwrap();
    aws.fail_object("a", 1, Fault::AccessDenied);
    assert_eq!(read(&aws, &session).await, Err("AccessDenied".to_owned()));
    for fault in [Fault::CutBody(3), Fault::CorruptBody(3)] {
        aws.fail_object("a", 1, fault);
        assert_eq!(
            read(&aws, &session).await,
            Err("body".to_owned()),
            "{fault:?}"
        );
    }
    aws.fail_object("b", 1, Fault::AccessDenied);
    assert_eq!(read(&aws, &session).await.unwrap(), b"content");
}

#[tokio::test]
async fn a_bucket_of_another_region_says_where_it_is() {
    let aws = Aws::start().await;
    aws.bucket(Keys::Customer, BUCKET, "eu-west-1").await;
    let client = aws.s3(Keys::Customer.credentials(), "us-east-1");
    let error = client
        .head_bucket()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap_err();
    let answer = error.raw_response().unwrap();
    assert_eq!(answer.status().as_u16(), 301);
    assert_eq!(
        answer.headers().get("x-amz-bucket-region"),
        Some("eu-west-1")
    );
}
