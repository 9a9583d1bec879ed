//! Two accounts: that of the store, and a customer's, who has documents and a role to read them.

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;
use embedded_iam::{Account, AccountId, NewRole};
use serde_json::{Value, json};

use super::Fixture;

pub const OWN: &str = "000000000000";
pub const CUSTOMER: &str = "111122223333";
/// The customer's bucket.
pub const PAPERS: &str = "papers";
/// The customer's role for us.
pub const READER: &str = "arn:aws:iam::111122223333:role/reader";
pub const EXTERNAL_ID: &str = "tenant/4:b7";

pub fn customer() -> Account {
    Account {
        id: CUSTOMER.parse().expect("twelve digits"),
        credentials: embedded_s3::Credentials {
            access_key_id: "AKIACUSTOMER".to_owned(),
            secret_access_key: "customer's secret".to_owned(),
        },
    }
}

pub fn own_keys() -> Credentials {
    Credentials::new("AKIAHOLDFAST", "secret", None, None, "test")
}

pub fn customer_keys() -> Credentials {
    Credentials::new("AKIACUSTOMER", "customer's secret", None, None, "test")
}

/// A policy of one statement.
pub fn policy(statement: &Value) -> String {
    json!({ "Version": "2012-10-17", "Statement": statement }).to_string()
}

pub fn allow(action: &Value, resource: &Value) -> String {
    policy(&json!({ "Effect": "Allow", "Action": action, "Resource": resource }))
}

/// Everything in the customer's bucket.
pub fn everything() -> String {
    allow(&json!("s3:*"), &json!("*"))
}

/// Trust in an account, if it knows the external id.
pub fn trust(condition: &Value) -> String {
    policy(&json!({
        "Effect": "Allow",
        "Principal": { "AWS": OWN },
        "Action": "sts:AssumeRole",
        "Condition": condition,
    }))
}

pub fn external_id() -> Value {
    json!({ "StringEquals": { "sts:ExternalId": EXTERNAL_ID } })
}

impl Fixture {
    /// S3 as somebody else sees it.
    pub fn s3(&self, keys: Credentials) -> aws_sdk_s3::Client {
        self.s3_of("us-east-1", keys)
    }

    /// As [`s3`](Self::s3), signed for a region.
    pub fn s3_of(&self, region: &str, keys: Credentials) -> aws_sdk_s3::Client {
        let config = self
            .client
            .config()
            .to_builder()
            .region(Region::new(region.to_owned()))
            .credentials_provider(keys);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    pub fn sts(&self, keys: Credentials) -> aws_sdk_sts::Client {
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url("http://127.0.0.1")
            .credentials_provider(keys)
            .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
            .http_client(self.store.http_client());
        aws_sdk_sts::Client::from_conf(config.build())
    }

    /// Makes or changes a role.
    pub fn role(&self, account: &str, name: &str, trust: &str, policy: &str) -> String {
        let role = NewRole {
            account: account.parse::<AccountId>().expect("twelve digits"),
            name,
            trust,
            policy,
            max_session_duration: 7200,
        };
        self.store.iam().put_role(&role).expect("the role is right")
    }

    /// The customer's bucket, with these keys in it, and the role [`READER`] with this policy.
    pub async fn papers(&self, keys: &[&str], policy: &str) {
        let customer = self.s3(customer_keys());
        let create = customer.create_bucket().bucket(PAPERS);
        create.send().await.expect("the bucket is made");
        for key in keys {
            let body = ByteStream::from((*key).as_bytes().to_vec());
            let put = customer.put_object().bucket(PAPERS).key(*key).body(body);
            put.send().await.expect("the object is put");
        }
        self.role(CUSTOMER, "reader", &trust(&external_id()), policy);
    }

    /// Asks for a session of [`READER`] as it should be asked for.
    pub fn ask(&self) -> AssumeRoleFluentBuilder {
        self.sts(own_keys())
            .assume_role()
            .role_arn(READER)
            .role_session_name("loader")
            .external_id(EXTERNAL_ID)
    }

    /// A session of [`READER`].
    pub async fn reader(&self) -> Credentials {
        issued(self.ask()).await
    }
}

/// The credentials of a session.
pub async fn issued(asked: AssumeRoleFluentBuilder) -> Credentials {
    let output = asked.send().await.expect("a session");
    let issued = output.credentials().expect("credentials");
    Credentials::new(
        issued.access_key_id(),
        issued.secret_access_key(),
        Some(issued.session_token().to_owned()),
        None,
        "test",
    )
}
