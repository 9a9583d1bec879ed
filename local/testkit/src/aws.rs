use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use embedded_iam::NewRole;
use embedded_s3::{Account, AccountId, Durability, EmbeddedS3, Fault, Options, Target};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::port::listen;

/// The region of everything that is not made elsewhere.
const REGION: &str = "us-east-1";

/// S3, IAM and STS of two accounts on a port of 127.0.0.1, in this process: ours, and a customer's.
///
/// Trust, external ids, session policies, policies of buckets, regions and expected owners count as on AWS. What is
/// switched by [`store`](Self::store)`().faults()` can be switched by [`fail_sts`](Self::fail_sts) and
/// [`fail_object`](Self::fail_object) more briefly; failures of the network are [`Proxy`](crate::Proxy)'s.
#[derive(Debug)]
pub struct Aws {
    store: EmbeddedS3,
    endpoint: String,
    server: JoinHandle<()>,
    _folder: TempDir,
}

/// A permanent key of one of the accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// That of the account 000000000000, which runs the functions.
    Own,
    /// That of the account 111122223333, which has the documents.
    Customer,
}

/// A role of the customer for us, until it is made wrong.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// What the role is called.
    pub role: String,
    /// What we have to know; `None` where the trust asks for nothing.
    pub external_id: Option<String>,
    /// What the role may do: statements of a policy.
    pub statements: Value,
    /// Seconds that its sessions last at most.
    pub max_session_duration: u32,
}

impl Keys {
    fn pair(self) -> (&'static str, &'static str) {
        match self {
            Self::Own => ("AKIAOWN", "the secret of our own"),
            Self::Customer => ("AKIACUSTOMER", "the secret of the customer"),
        }
    }

    /// As the SDK takes it.
    pub fn credentials(self) -> Credentials {
        let (id, secret) = self.pair();
        Credentials::new(id, secret, None, None, "testkit")
    }

    fn stored(self) -> embedded_s3::Credentials {
        let (id, secret) = self.pair();
        embedded_s3::Credentials {
            access_key_id: id.to_owned(),
            secret_access_key: secret.to_owned(),
        }
    }
}

impl Tenant {
    /// A role that may read and list one bucket, for whoever knows the external id.
    pub fn new(role: &str, bucket: &str, external_id: &str) -> Self {
        Self {
            role: role.to_owned(),
            external_id: Some(external_id.to_owned()),
            statements: json!([
                {
                    "Effect": "Allow",
                    "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                    "Resource": format!("arn:aws:s3:::{bucket}/*"),
                },
                {
                    "Effect": "Allow",
                    "Action": ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation"],
                    "Resource": format!("arn:aws:s3:::{bucket}"),
                },
            ]),
            max_session_duration: 3600,
        }
    }

    fn trust(&self) -> String {
        let mut statement = json!({
            "Effect": "Allow",
            "Principal": { "AWS": format!("arn:aws:iam::{}:root", AccountId::OWN) },
            "Action": "sts:AssumeRole",
        });
        if let (Some(id), Some(statement)) = (&self.external_id, statement.as_object_mut()) {
            let condition = json!({ "StringEquals": { "sts:ExternalId": id } });
            statement.insert("Condition".to_owned(), condition);
        }
        document(&statement)
    }
}

fn document(statements: &Value) -> String {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

impl Aws {
    /// Listens on a free port of 127.0.0.1. There are no buckets and no roles yet.
    ///
    /// # Panics
    ///
    /// No port is free, or the folder for temporary files cannot be written.
    pub async fn start() -> Self {
        let folder = TempDir::new().expect("the folder for temporary files is writable");
        let mut options = Options::new(folder.path(), Keys::Own.stored());
        options.durability = Durability::Relaxed;
        options.accounts = vec![Account {
            id: AccountId::CUSTOMER,
            credentials: Keys::Customer.stored(),
        }];
        let store = EmbeddedS3::open(options).await.expect("an empty folder");
        let (listener, address) = listen().await;
        let serving = store.clone();
        let server = tokio::spawn(async move {
            serving
                .serve(listener, std::future::pending())
                .await
                .expect("a server serves until it is dropped");
        });
        Self {
            store,
            endpoint: format!("http://{address}"),
            server,
            _folder: folder,
        }
    }

    /// For `AWS_ENDPOINT_URL`, and for a [`Proxy`](crate::Proxy) in front of it.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What a function's executable is told to reach it with our own key.
    pub fn environment(&self) -> [(&'static str, &str); 4] {
        let (id, secret) = Keys::Own.pair();
        [
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_ACCESS_KEY_ID", id),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_REGION", REGION),
        ]
    }

    /// The store behind it, with its faults, counts, sessions and in-memory transport.
    pub fn store(&self) -> &EmbeddedS3 {
        &self.store
    }

    /// S3 for these credentials, over TCP, signed for a region.
    pub fn s3(&self, credentials: Credentials, region: &str) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(&self.endpoint)
            .force_path_style(true)
            .region(Region::new(region.to_owned()))
            .credentials_provider(credentials);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// STS for these credentials, over TCP.
    pub fn sts(&self, credentials: Credentials) -> aws_sdk_sts::Client {
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(&self.endpoint)
            .region(Region::new(REGION))
            .credentials_provider(credentials);
        aws_sdk_sts::Client::from_conf(config.build())
    }

    /// Makes a bucket of an account, in a region.
    ///
    /// # Panics
    ///
    /// There is one of this name, or the region is none.
    pub async fn bucket(&self, keys: Keys, name: &str, region: &str) {
        let constraint = (region != REGION).then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(region))
                .build()
        });
        self.s3(keys.credentials(), region)
            .create_bucket()
            .bucket(name)
            .set_create_bucket_configuration(constraint)
            .send()
            .await
            .expect("the bucket is new");
    }

    /// Puts an object into a bucket of an account, in [`us-east-1`](Self::bucket).
    ///
    /// # Panics
    ///
    /// The bucket is missing, or not this account's.
    pub async fn put(&self, keys: Keys, bucket: &str, key: &str, body: impl Into<Vec<u8>>) {
        self.s3(keys.credentials(), REGION)
            .put_object()
            .bucket(bucket)
            .key(key)
            .body(ByteStream::from(body.into()))
            .send()
            .await
            .expect("the bucket is there");
    }

    /// Makes the customer's role, or changes the one of this name. Returns its ARN. Sessions it has feel the change.
    ///
    /// # Panics
    ///
    /// The name or the statements are wrong.
    pub fn role(&self, tenant: &Tenant) -> String {
        let role = NewRole {
            account: AccountId::CUSTOMER,
            name: &tenant.role,
            trust: &tenant.trust(),
            policy: &document(&tenant.statements),
            max_session_duration: tenant.max_session_duration,
        };
        self.store.iam().put_role(&role).expect("the role is right")
    }

    /// How many requests of an operation came so far, such as `AssumeRole` or `GetObject`, failed ones included.
    pub fn calls(&self, operation: &str) -> u64 {
        self.store.faults().count(operation)
    }

    /// The next `times` sessions are refused, or come late, in this way.
    pub fn fail_sts(&self, times: u64, fault: Fault) {
        let target = Target {
            operation: Some("AssumeRole".to_owned()),
            requests: Some(times),
            ..Target::default()
        };
        self.store.faults().inject(fault, target);
    }

    /// The next `times` reads of an object, whose key this is, fail in this way. `HeadObject` counts as none.
    pub fn fail_object(&self, key: &str, times: u64, fault: Fault) {
        let target = Target {
            operation: Some("GetObject".to_owned()),
            key: Some(key.to_owned()),
            requests: Some(times),
            ..Target::default()
        };
        self.store.faults().inject(fault, target);
    }

    /// From now on all requests of the sessions that were issued hear that they have expired.
    pub fn end_sessions(&self) {
        self.store.iam().end_sessions();
    }

    /// From now on sessions end so soon, and say so, whatever was asked for.
    pub fn shorten_sessions(&self, longest: Duration) {
        self.store.iam().limit_sessions(Some(longest));
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        self.server.abort();
    }
}
