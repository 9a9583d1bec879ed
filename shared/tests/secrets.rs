//! User and password from Secrets Manager, and what happens when they change.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use serde_json::json;
use shared::database::{ConnectError, Database};
use shared::secret::SecretError;
use support::{PASSWORD, Remote, database};
use testkit::{Proxy, SecretsManager};

const SECRET: &str = "orders/db";

/// A server behind a proxy that counts its connections, and a secret for it.
struct Deployed {
    remote: Remote,
    proxy: Proxy,
    secrets: SecretsManager,
    database: Database,
}

impl Deployed {
    /// `base` is `DATABASE_URL`, with `PLACE` for the server's host and port.
    async fn start(base: Option<&str>) -> Self {
        let remote = Remote::start("host all app 127.0.0.1/32 scram-sha-256").await;
        let proxy = Proxy::start(remote.postgres.address()).await;
        let secrets = SecretsManager::start().await;
        let url = base.map(|base| base.replace("PLACE", &proxy.address().to_string()));
        let mut values = vec![
            ("DATABASE_SECRET_ARN", SECRET),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.endpoint()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "example"),
        ];
        values.extend(url.as_deref().map(|url| ("DATABASE_URL", url)));
        let database = database(&values);
        Self {
            remote,
            proxy,
            secrets,
            database,
        }
    }

    /// With a secret that has only user and password.
    async fn start_managed() -> Self {
        let deployed = Self::start(Some("postgresql://PLACE/test")).await;
        deployed.put(PASSWORD);
        deployed
    }

    fn put(&self, password: &str) {
        let secret = json!({ "username": "app", "password": password });
        self.secrets.put(SECRET, &secret.to_string());
    }

    async fn change_password(&self, password: &str) {
        let statement = format!("alter role app password '{password}'");
        let sql = self.remote.postgres.connect().await;
        sql.batch_execute(&statement).await.unwrap();
    }

    /// Questions to Secrets Manager and connections to the database so far.
    fn counts(&self) -> (usize, usize) {
        (self.secrets.calls(), self.proxy.connections())
    }
}

#[tokio::test]
async fn every_shape_of_a_secret_opens_the_database() {
    let deployed = Deployed::start(None).await;
    let address = deployed.proxy.address();
    let full = json!({
        "engine": "postgres",
        "host": "127.0.0.1",
        "port": address.port(),
        "username": "app",
        "password": PASSWORD,
        "dbname": "test",
    });
    deployed.secrets.put(SECRET, &full.to_string());
    deployed.database.open().await.unwrap();

    let deployed = Deployed::start(None).await;
    let url = format!(
        "postgresql://app:{PASSWORD}@{}/test",
        deployed.proxy.address()
    );
    deployed.secrets.put(SECRET, &url);
    deployed.database.open().await.unwrap();

    let deployed = Deployed::start_managed().await;
    deployed.database.open().await.unwrap();
    assert_eq!(deployed.counts(), (1, 1));
}

#[tokio::test]
async fn a_secret_is_read_once_for_many_connections() {
    let deployed = Deployed::start_managed().await;
    for _ in 0..3 {
        deployed.database.open().await.unwrap();
    }
    assert_eq!(deployed.counts(), (1, 3));
}

#[tokio::test]
async fn a_rotated_password_is_read_again_once_and_works() {
    let deployed = Deployed::start_managed().await;
    deployed.database.open().await.unwrap();
    deployed.change_password("neu").await;
    deployed.put("neu");
    deployed.database.open().await.unwrap();
    assert_eq!(deployed.counts(), (2, 3), "refused, then accepted");
    deployed.database.open().await.unwrap();
    assert_eq!(deployed.counts(), (2, 4));
}

#[tokio::test]
async fn a_password_that_is_refused_and_stays_the_same_is_not_tried_again() {
    let deployed = Deployed::start_managed().await;
    deployed.database.open().await.unwrap();
    deployed.change_password("neu").await;
    let error = deployed.database.open().await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Credentials { .. }),
        "{error:?}"
    );
    assert_eq!(deployed.counts(), (2, 2));
    for round in 1..=3 {
        let error = deployed.database.open().await.unwrap_err();
        assert!(
            matches!(error, ConnectError::SecretRefused { .. }),
            "{error:?}"
        );
        assert_eq!(
            deployed.counts(),
            (2 + round, 2),
            "only the secret is looked at"
        );
    }
    // The rotation is done at last.
    deployed.put("neu");
    deployed.database.open().await.unwrap();
    assert_eq!(deployed.counts(), (6, 3));
}

#[tokio::test]
async fn a_new_password_that_is_refused_as_well_is_the_end_of_it() {
    let deployed = Deployed::start_managed().await;
    deployed.database.open().await.unwrap();
    deployed.change_password("neu").await;
    deployed.put("falsch");
    let error = deployed.database.open().await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Credentials { .. }),
        "{error:?}"
    );
    assert_eq!(deployed.counts(), (2, 3));
    let error = deployed.database.open().await.unwrap_err();
    assert!(
        matches!(error, ConnectError::SecretRefused { .. }),
        "{error:?}"
    );
    assert_eq!(deployed.counts(), (3, 3));
}

#[tokio::test]
async fn a_secret_that_cannot_be_had_says_why_and_leaves_the_database_alone() {
    let deployed = Deployed::start_managed().await;
    let mut texts = Vec::new();
    for (status, refusal) in [
        (400, "ResourceNotFoundException"),
        (400, "InvalidRequestException"),
        (400, "AccessDeniedException"),
        (400, "DecryptionFailure"),
        (400, "ThrottlingException"),
        (500, "InternalServiceError"),
    ] {
        deployed.secrets.refuse(status, refusal);
        let error = deployed.database.open().await.unwrap_err();
        let ConnectError::Secret(error) = error else {
            panic!("{error:?}")
        };
        let kind = match error {
            SecretError::Missing { .. } => "missing",
            SecretError::Denied { .. } => "denied",
            SecretError::Unavailable { .. } => "unavailable",
            SecretError::Unusable { .. } => "unusable",
        };
        texts.push(format!("{refusal} {kind}: {error}"));
    }
    for content in [
        "geheim",
        r#"{"username":"app"}"#,
        "postgresql://app:geheim@h:x/d",
    ] {
        deployed.secrets.put(SECRET, content);
        let error = deployed.database.open().await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Secret(SecretError::Unusable { .. })),
            "{error:?}"
        );
        texts.push(error.to_string());
    }
    deployed.secrets.put_bytes(SECRET);
    texts.push(deployed.database.open().await.unwrap_err().to_string());
    insta::assert_snapshot!(texts.join("\n"));
    assert_eq!(deployed.proxy.connections(), 0);
    // It may be had later.
    deployed.put(PASSWORD);
    deployed.database.open().await.unwrap();
}

#[tokio::test]
async fn the_database_of_another_name_than_the_secrets_is_the_one_of_the_url() {
    let deployed = Deployed::start(Some("postgresql://PLACE")).await;
    let secret = json!({
        "host": "127.0.0.1",
        "port": 1,
        "username": "app",
        "password": PASSWORD,
        "dbname": "test",
    });
    deployed.secrets.put(SECRET, &secret.to_string());
    deployed.database.open().await.unwrap();
    assert_eq!(deployed.counts(), (1, 1));
}
