//! What the executables tell CloudWatch: lines of their standard output, for alarms and the dashboard.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use embedded_s3::{EmbeddedS3, Fault, Target};
use serde_json::{Value, json};
use support::BUCKET;
use support::client::{ADMIN, PASSWORD};
use tempfile::TempDir;
use testkit::{Function, Reply, RuntimeApi, SecretsManager, Upstream};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

const BINARY: &str = env!("CARGO_BIN_EXE_registry");

/// An S3 over TCP.
struct Place {
    store: EmbeddedS3,
    endpoint: String,
    _folder: TempDir,
}

impl Place {
    async fn start() -> Self {
        let (store, folder) = support::embedded().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let served = store.clone();
        tokio::spawn(async move { served.serve(listener, std::future::pending()).await });
        Self {
            store,
            endpoint,
            _folder: folder,
        }
    }

    fn inject(&self, fault: Fault, operation: &str, key: Option<String>) {
        let target = Target {
            operation: Some(operation.to_owned()),
            key,
            ..Target::default()
        };
        self.store.faults().inject(fault, target);
    }
}

/// The registry as it is deployed, and an admin's token.
struct Deployed {
    function: Function,
    token: String,
}

impl Deployed {
    async fn start(endpoint: &str, variables: &[(&str, &str)]) -> Self {
        let mut all = vec![
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL_S3", endpoint),
            ("S3_BUCKET_NAME", BUCKET),
            ("ADMIN_PASSWORD", PASSWORD),
            (
                "JWT_SECRET_KEY",
                "a key of a test, of many more than 32 bytes",
            ),
            ("INGEST_SECONDS", "0"),
        ];
        all.retain(|(name, _)| !variables.iter().any(|(other, _)| other == name));
        all.extend(variables);
        let function = RuntimeApi::start().await.run(BINARY, &all);
        function.ready().await.unwrap();
        let mut deployed = Self {
            function,
            token: String::new(),
        };
        let (_, token) = deployed.log_in(PASSWORD).await;
        token
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut deployed.token);
        deployed
    }

    async fn log_in(&self, password: &str) -> (u64, Value) {
        let login = json!({ "user": { "name": ADMIN }, "secret": { "password": password } });
        self.send("PUT", "/authenticate", &login).await
    }

    /// Status and body of what is answered, through an HTTP API.
    async fn send(&self, method: &str, path: &str, body: &Value) -> (u64, Value) {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/registry.http-api-query.json");
        let mut event: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        event["rawQueryString"] = "".into();
        event["queryStringParameters"] = json!({});
        event["rawPath"] = path.into();
        event["requestContext"]["http"]["path"] = path.into();
        event["requestContext"]["http"]["method"] = method.into();
        event["headers"]["x-authorization"] = self.token.as_str().into();
        event["isBase64Encoded"] = false.into();
        event["body"] = body.to_string().into();
        event["headers"]["content-length"] = body.to_string().len().to_string().into();
        let answer = self.function.invoke(&event).await.unwrap();
        let body = answer["body"].as_str().unwrap_or_default();
        let body = serde_json::from_str(body).unwrap_or_default();
        (answer["statusCode"].as_u64().unwrap(), body)
    }

    /// Registers an artifact and returns its id.
    async fn create(&self, kind: &str, url: &str) -> String {
        let (status, created) = self
            .send("POST", &format!("/artifact/{kind}"), &json!({ "url": url }))
            .await;
        assert_eq!(status, 201, "{created}");
        created["metadata"]["id"].as_str().unwrap().to_owned()
    }

    /// The values of a metric so far, once there are as many.
    async fn values(&self, name: &str, count: usize) -> Vec<f64> {
        values(&self.function, name, count).await
    }

    async fn sum(&self, name: &str) -> f64 {
        self.values(name, 1).await.iter().sum()
    }
}

/// The values of a metric so far, once there are as many: what is written is read a moment later.
async fn values(function: &Function, name: &str, count: usize) -> Vec<f64> {
    let enough = async {
        loop {
            let mut metrics = metrics(&function.stdout());
            let values = metrics.remove(name).unwrap_or_default();
            if values.len() >= count {
                return values;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let values = timeout(Duration::from_secs(20), enough).await;
    values.unwrap_or_else(|_| panic!("no {count} of {name}: {}", function.stdout()))
}

/// All metrics in a log, each as CloudWatch takes it.
fn metrics(log: &str) -> BTreeMap<String, Vec<f64>> {
    let mut metrics: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    for line in lines.filter(|line: &Value| line["_aws"].is_object()) {
        let told = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(told["Namespace"], "Holdfast");
        assert_eq!(told["Dimensions"], json!([["FunctionName"]]));
        assert_eq!(line["FunctionName"], "test");
        for metric in told["Metrics"].as_array().unwrap() {
            let name = metric["Name"].as_str().unwrap();
            let value = line[name].as_f64().unwrap();
            metrics.entry(name.to_owned()).or_default().push(value);
        }
    }
    metrics
}

#[tokio::test]
async fn every_request_is_counted_by_its_kind_and_by_what_became_of_it() {
    let place = Place::start().await;
    let deployed = Deployed::start(&place.endpoint, &[]).await;
    let id = deployed.create("model", "https://example.com/a").await;
    let none = Value::Null;
    for (method, path, status) in [
        ("GET", format!("/artifacts/model/{id}"), 200),
        ("GET", "/artifacts/model/0000000000".to_owned(), 404),
        ("GET", "/artifact/byName/a".to_owned(), 200),
        ("GET", format!("/artifact/model/{id}/rate"), 200),
        ("GET", format!("/artifacts/model/{id}/files"), 200),
        ("GET", "/health".to_owned(), 200),
        ("GET", "/nowhere".to_owned(), 404),
    ] {
        assert_eq!(
            deployed.send(method, &path, &none).await.0,
            status,
            "{path}"
        );
    }
    let key = format!("artifacts/{id}/metadata.json");
    place.inject(Fault::AccessDenied, "GetObject", Some(key));
    let path = format!("/artifacts/model/{id}");
    assert_eq!(deployed.send("GET", &path, &none).await.0, 503);
    // A login, a registration, and the eight above.
    let requests = deployed.values("Requests", 10).await;
    assert_eq!(requests, [1.0; 10]);
    let counted = deployed.values("RequestsRefused", 10).await;
    let counted = counted.iter().filter(|value| **value > 0.0);
    assert_eq!(counted.count(), 2);
    let counted = deployed.values("RequestsFailed", 10).await;
    let counted = counted.iter().filter(|value| **value > 0.0);
    assert_eq!(counted.count(), 1);
    assert_eq!(deployed.values("FallbackAnswers", 10).await, [0.0; 10]);
    let mut counted = Vec::new();
    for (name, count) in [
        ("LoginDuration", 1),
        ("ChangeDuration", 1),
        ("ReadDuration", 3),
        ("SearchDuration", 1),
        ("RatingDuration", 1),
        ("FileDuration", 1),
        ("OtherDuration", 2),
    ] {
        let durations = deployed.values(name, count).await;
        assert_eq!(durations.len(), count, "{name}");
        assert!(durations.iter().all(|duration| *duration > 0.0), "{name}");
        counted.extend(durations);
    }
    assert_eq!(counted.len(), requests.len());
    assert!(deployed.sum("StoreFailures").await >= 1.0);
}

#[tokio::test]
async fn what_another_store_answers_is_counted() {
    let variables = [("ALLOW_VOLATILE_WRITES", "true")];
    let deployed = Deployed::start("http://127.0.0.1:1", &variables).await;
    deployed.create("model", "https://example.com/a").await;
    assert_eq!(deployed.values("FallbackAnswers", 2).await, [1.0, 1.0]);
    assert!(deployed.sum("StoreFailures").await >= 1.0);
}

#[tokio::test]
async fn what_the_database_does_not_do_is_counted() {
    let place = Place::start().await;
    let nowhere = ("DATABASE_URL", "postgresql://somebody@127.0.0.1:1/nothing");
    let deployed = Deployed::start(&place.endpoint, &[nowhere]).await;
    let (status, _) = deployed
        .send("GET", "/artifact/byName/a", &Value::Null)
        .await;
    assert_eq!(status, 503);
    assert!(deployed.sum("IndexFailures").await >= 1.0);
}

#[tokio::test]
async fn guessing_a_password_is_counted_once_it_is_slowed_down() {
    let place = Place::start().await;
    let deployed = Deployed::start(&place.endpoint, &[]).await;
    let mut refused = 0;
    while deployed.log_in("a wrong password").await.0 == 401 {
        refused += 1;
        assert!(refused < 100);
    }
    assert_eq!(deployed.values("LoginsThrottled", 1).await, [1.0]);
}

#[tokio::test]
async fn a_trail_that_somebody_has_touched_is_counted() {
    let place = Place::start().await;
    let deployed = Deployed::start(&place.endpoint, &[]).await;
    deployed.create("model", "https://example.com/a").await;
    deployed.create("model", "https://example.com/b").await;
    let verify = async || deployed.send("GET", "/audit/verify", &Value::Null).await;
    assert_eq!(verify().await.0, 200);
    let client = place.store.client();
    let audit = client
        .list_objects_v2()
        .bucket(BUCKET)
        .prefix("audit/0")
        .send();
    let blocks = audit.await.unwrap();
    let first = blocks.contents()[0].key().unwrap();
    let touched = client.put_object().bucket(BUCKET).key(first);
    touched.body(b"{}".to_vec().into()).send().await.unwrap();
    assert_eq!(verify().await.0, 409);
    assert_eq!(deployed.values("AuditBroken", 1).await, [1.0]);
}

#[tokio::test]
async fn sources_that_are_late_or_fail_are_counted_and_asked_with_the_tokens_of_the_secret() {
    let place = Place::start().await;
    let (sources, secrets) = (Upstream::start().await, SecretsManager::start().await);
    let kept = json!({
        "admin_password": PASSWORD,
        "jwt_secret_key": "another key, of many more than 32 bytes",
        "huggingface_token": "token-of-the-hub",
        "github_token": "token-of-github",
    });
    secrets.put("access", &kept.to_string());
    let (hub, github) = (sources.hub(), sources.github());
    let deployed = Deployed::start(
        &place.endpoint,
        &[
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.endpoint()),
            ("ACCESS_SECRET_ARN", "access"),
            ("ADMIN_PASSWORD", ""),
            ("JWT_SECRET_KEY", ""),
            ("HF_ENDPOINT", &hub),
            ("GITHUB_API_URL", &github),
            ("INGEST_SECONDS", "1"),
        ],
    )
    .await;
    sources.put("/hub/api/models/a/b", Reply::Never);
    sources.put("/github/repos/a/b", Reply::Status(503));
    deployed.create("model", "https://huggingface.co/a/b").await;
    deployed.create("code", "https://github.com/a/b").await;
    let asked = sources.asked();
    for (place, token) in [
        ("/hub/", "token-of-the-hub"),
        ("/github/", "token-of-github"),
    ] {
        let mut asked = asked.iter().filter(|asked| asked.path.starts_with(place));
        let bearer = format!("Bearer {token}");
        assert!(
            asked.any(|asked| asked.authorization.as_ref() == Some(&bearer)),
            "{place}"
        );
    }
    assert!(
        deployed
            .values("SourcesAsked", 2)
            .await
            .iter()
            .all(|asked| *asked >= 1.0)
    );
    assert!(deployed.values("SourcesLate", 2).await[0] >= 1.0);
    assert!(deployed.values("SourcesFailed", 2).await[1] >= 1.0);
    let log = deployed.function.stdout() + &deployed.function.stderr();
    assert!(!log.contains("token-of"), "{log}");
}

#[tokio::test]
async fn ratings_that_are_not_kept_or_made_without_a_look_around_are_counted() {
    let place = Place::start().await;
    let deployed = Deployed::start(&place.endpoint, &[]).await;
    // Another writer's, who has not rated it. It refers to something that may be registered.
    let url = "https://huggingface.co/a/b";
    let record = json!({
        "metadata": { "id": "7", "name": "7", "type": "model" },
        "data": { "url": url, "hf_data": [{ "repo_id": "a/b", "card_yaml": { "datasets": ["bookcorpus"] } }] },
    });
    let key = "artifacts/7/metadata.json".to_owned();
    let written = place.store.client().put_object().bucket(BUCKET).key(&key);
    let written = written.body(record.to_string().into_bytes().into()).send();
    written.await.unwrap();
    let rate = "/artifact/model/7/rate";
    place.inject(Fault::AccessDenied, "PutObject", Some(key));
    assert_eq!(deployed.send("GET", rate, &Value::Null).await.0, 200);
    assert_eq!(deployed.values("RatingsNotKept", 1).await, [1.0]);
    place.store.faults().clear();
    // An instance that knows where the trail ends, and not yet what there is.
    let deployed = Deployed::start(&place.endpoint, &[]).await;
    let trail = deployed.send("GET", "/artifact/model/7/audit", &Value::Null);
    assert_eq!(trail.await.0, 200);
    place.inject(Fault::Hang(Duration::from_hours(1)), "ListObjectsV2", None);
    assert_eq!(deployed.send("GET", rate, &Value::Null).await.0, 200);
    assert_eq!(deployed.values("RatingsIncomplete", 1).await, [1.0]);
}
