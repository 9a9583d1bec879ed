//! S3 and STS: the embedded ones behind a network that says no as AWS does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials as Key;
use aws_sdk_s3::config::{BehaviorVersion, Region, RuntimeComponents};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use document_loader::Amazon;
use embedded_iam::NewRole;
use embedded_s3::{Account, AccountId, Credentials, Durability, EmbeddedS3, Options};
use serde_json::json;

/// The bucket of every object that is not said to be elsewhere.
pub(crate) const BUCKET: &str = "documents";

/// A store in this process, and STS beside it.
pub(crate) struct Store {
    pub(crate) embedded: EmbeddedS3,
    pub(crate) client: aws_sdk_s3::Client,
    pub(crate) customer: aws_sdk_s3::Client,
    pub(crate) network: Network,
    _folder: tempfile::TempDir,
}

impl Store {
    pub(crate) async fn start() -> Self {
        Self::start_with(false).await
    }

    pub(crate) async fn start_with(is_versioned: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let credentials = Credentials {
            access_key_id: "test".into(),
            secret_access_key: "secret".into(),
        };
        let customer = Account {
            id: AccountId::CUSTOMER,
            credentials: Credentials {
                access_key_id: "customer".into(),
                secret_access_key: "their secret".into(),
            },
        };
        let options = Options {
            durability: Durability::Relaxed,
            accounts: vec![customer],
            ..Options::new(folder.path(), credentials)
        };
        let embedded = EmbeddedS3::open(options).await.expect("it starts");
        let created = embedded.create_bucket(BUCKET, is_versioned).await;
        created.expect("the name is free");
        let client = embedded.client();
        let key = Key::new("customer", "their secret", None, None, "test");
        let config = client.config().to_builder().credentials_provider(key);
        Self {
            customer: aws_sdk_s3::Client::from_conf(config.build()),
            client,
            network: Network::new(SharedHttpClient::new(embedded.http_client())),
            embedded,
            _folder: folder,
        }
    }

    /// What the function reaches it by.
    pub(crate) fn amazon(&self) -> Amazon {
        let s3 = self
            .client
            .config()
            .to_builder()
            .http_client(self.network.clone())
            .build();
        let sts = self.sts_config();
        Amazon::with_configs(&s3, &sts, "loader".to_owned())
    }

    /// Puts an object, and gives its etag, its version if there are any, and its size.
    pub(crate) async fn put(&self, key: &str, body: Vec<u8>) -> (String, Option<String>, i64) {
        self.put_into(BUCKET, key, body).await
    }

    pub(crate) async fn put_into(
        &self,
        bucket: &str,
        key: &str,
        body: Vec<u8>,
    ) -> (String, Option<String>, i64) {
        put(&self.client, bucket, key, body).await
    }

    /// Makes a bucket in the customer's account.
    pub(crate) async fn customers_bucket(&self, bucket: &str) {
        let made = self.customer.create_bucket().bucket(bucket).send().await;
        made.expect("the name is free");
    }

    /// As [`put_into`](Self::put_into), by the customer.
    pub(crate) async fn put_as_customer(
        &self,
        bucket: &str,
        key: &str,
        body: Vec<u8>,
    ) -> (String, Option<String>, i64) {
        put(&self.customer, bucket, key, body).await
    }

    /// There is this role in the customer's account, with these policies.
    pub(crate) fn role(&self, role: &str, trust: &str, policy: &str) {
        let name = role.rsplit('/').next().expect("it has a name");
        let role = NewRole {
            account: AccountId::CUSTOMER,
            name,
            trust,
            policy,
            max_session_duration: 3600,
        };
        self.embedded.iam().put_role(&role).expect("it can be made");
    }

    /// The role trusts whoever knows this external id; anybody without one.
    pub(crate) fn trust(&self, role: &str, external_id: Option<&str>) {
        let mut statement = json!({
            "Effect": "Allow", "Principal": { "AWS": super::OWN_ROLE }, "Action": "sts:AssumeRole",
        });
        if let Some(id) = external_id {
            statement["Condition"] = json!({ "StringEquals": { "sts:ExternalId": id } });
        }
        let trust = json!({ "Version": "2012-10-17", "Statement": statement });
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow", "Resource": "*",
                "Action": ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"],
            },
        });
        self.role(role, &trust.to_string(), &policy.to_string());
    }

    /// The role trusts nobody who knows less than this.
    pub(crate) fn distrust(&self, role: &str) {
        self.trust(role, Some("something else"));
    }

    /// S3 with a session that is asked for in the same way as this one was.
    pub(crate) async fn assume(&self, form: &HashMap<String, String>) -> aws_sdk_s3::Client {
        let issued = self.sts().assume_role();
        let issued = issued
            .role_arn(&form["RoleArn"])
            .role_session_name("test")
            .external_id(&form["ExternalId"])
            .policy(&form["Policy"])
            .send()
            .await
            .expect("the role trusts");
        let issued = issued.credentials.expect("STS has answered");
        let key = Key::new(
            issued.access_key_id,
            issued.secret_access_key,
            Some(issued.session_token),
            None,
            "test",
        );
        let config = self.client.config().to_builder().credentials_provider(key);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    fn sts_config(&self) -> aws_sdk_sts::Config {
        aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url("http://sts.local")
            .credentials_provider(Key::new("test", "secret", None, None, "test"))
            .http_client(self.network.clone())
            .build()
    }

    fn sts(&self) -> aws_sdk_sts::Client {
        aws_sdk_sts::Client::from_conf(self.sts_config())
    }

    pub(crate) async fn delete(&self, key: &str) {
        let deleted = self
            .client
            .delete_object()
            .bucket(BUCKET)
            .key(key)
            .send()
            .await;
        deleted.expect("it is deleted");
    }
}

async fn put(
    client: &aws_sdk_s3::Client,
    bucket: &str,
    key: &str,
    body: Vec<u8>,
) -> (String, Option<String>, i64) {
    let size = i64::try_from(body.len()).unwrap();
    let put = client.put_object().bucket(bucket).key(key);
    let put = put.body(body.into()).send().await.expect("it is taken");
    let etag = put.e_tag.unwrap().trim_matches('"').to_owned();
    (etag, put.version_id, size)
}

/// What happens to a request instead of what should.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// An answer with this status and code, and perhaps the region where the bucket is.
    Refuse(u16, &'static str, Option<&'static str>),
    /// No answer for so long, then none at all.
    Hang(Duration),
    /// The first byte of the body is another.
    Garble,
    /// The body stops coming after so many bytes.
    Stall(usize),
}

/// The transport of all clients of a test. It counts requests, and does to them what a test wants.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    inside: SharedHttpClient,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Requests whose line has this in it: so many of them, and what happens to them.
    troubles: Mutex<Vec<(String, usize, Trouble)>>,
    lines: Mutex<Vec<String>>,
    last_headers: Mutex<HashMap<String, String>>,
    /// Seconds until the end of credentials that are issued from now on.
    lifetime: Mutex<Option<i64>>,
    assumed: Mutex<Vec<HashMap<String, String>>>,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
}

impl Network {
    fn new(inside: SharedHttpClient) -> Self {
        Self {
            inside,
            state: Arc::default(),
        }
    }

    /// Requests whose line, `GET /bucket/key?query range`, or for STS the role, has `part` in it are in trouble, so many
    /// of them.
    pub(crate) fn trouble(&self, part: &str, times: usize, trouble: Trouble) {
        self.state
            .troubles
            .lock()
            .unwrap()
            .push((part.to_owned(), times, trouble));
    }

    pub(crate) fn clear(&self) {
        self.state.troubles.lock().unwrap().clear();
    }

    /// Credentials that are issued from now on say that they end in so many seconds.
    pub(crate) fn issue_for(&self, seconds: i64) {
        *self.state.lifetime.lock().unwrap() = Some(seconds);
    }

    /// The requests that came so far with this in their line.
    pub(crate) fn requests(&self, part: &str) -> usize {
        let lines = self.state.lines.lock().unwrap();
        lines.iter().filter(|line| line.contains(part)).count()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.state.lines.lock().unwrap().clone()
    }

    /// Of the last request to S3.
    pub(crate) fn last_headers(&self) -> HashMap<String, String> {
        self.state.last_headers.lock().unwrap().clone()
    }

    /// The forms of all that asked to assume a role.
    pub(crate) fn assumed(&self) -> Vec<HashMap<String, String>> {
        self.state.assumed.lock().unwrap().clone()
    }

    /// The most requests that were under way at a time.
    pub(crate) fn most_under_way(&self) -> usize {
        self.state.most_under_way.load(Ordering::Relaxed)
    }
}

impl HttpClient for Network {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Wire {
            inside: self.inside.http_connector(settings, components),
            state: Arc::clone(&self.state),
        })
    }
}

#[derive(Debug)]
struct Wire {
    inside: SharedHttpConnector,
    state: Arc<State>,
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let is_sts = request.uri().contains("sts.local");
        let form = form(request.body().bytes().unwrap_or_default());
        let line = if is_sts {
            self.state.assumed.lock().unwrap().push(form.clone());
            format!("STS {}", form.get("RoleArn").cloned().unwrap_or_default())
        } else {
            let headers = request.headers().iter();
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
            *self.state.last_headers.lock().unwrap() = headers.collect();
            let range = request.headers().get("range").unwrap_or_default();
            let path = request
                .uri()
                .split_once("://")
                .map_or(request.uri(), |(_, rest)| rest);
            let path = path.split_once('/').map_or("", |(_, path)| path);
            format!("{} /{path} {range}", request.method())
        };
        self.state.lines.lock().unwrap().push(line.clone());
        let trouble = self.trouble(&line);
        let answer = self.inside.call(request);
        let state = Arc::clone(&self.state);
        HttpConnectorFuture::new(async move {
            let under_way = state.under_way.fetch_add(1, Ordering::Relaxed) + 1;
            state.most_under_way.fetch_max(under_way, Ordering::Relaxed);
            let answer = async {
                match trouble {
                    Some(Trouble::Refuse(status, code, region)) => {
                        Ok(refusal(status, code, region, is_sts))
                    }
                    Some(Trouble::Hang(time)) => {
                        tokio::time::sleep(time).await;
                        std::future::pending().await
                    }
                    Some(Trouble::Garble) => Ok(changed(answer.await?, |mut bytes| {
                        if let Some(first) = bytes.first_mut() {
                            *first ^= 1;
                        }
                        SdkBody::from(bytes)
                    })
                    .await),
                    Some(Trouble::Stall(after)) => Ok(changed(answer.await?, |mut bytes| {
                        bytes.truncate(after);
                        stalled(bytes)
                    })
                    .await),
                    None if is_sts => {
                        let lifetime = *state.lifetime.lock().unwrap();
                        Ok(changed(answer.await?, |bytes| ending_in(bytes, lifetime)).await)
                    }
                    None => answer.await,
                }
            }
            .await;
            state.under_way.fetch_sub(1, Ordering::Relaxed);
            answer
        })
    }
}

impl Wire {
    fn trouble(&self, line: &str) -> Option<Trouble> {
        let mut troubles = self.state.troubles.lock().unwrap();
        let (_, times, trouble) = troubles
            .iter_mut()
            .find(|(part, times, _)| *times > 0 && line.contains(part.as_str()))?;
        *times -= 1;
        Some(trouble.clone())
    }
}

fn refusal(status: u16, code: &str, region: Option<&str>, is_sts: bool) -> HttpResponse {
    let error = format!("<Error><Code>{code}</Code><Message>by the test</Message></Error>");
    let body = if is_sts {
        format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">{error}</ErrorResponse>"
        )
    } else {
        error
    };
    let mut response =
        HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body));
    if let Some(region) = region {
        response
            .headers_mut()
            .insert("x-amz-bucket-region", region.to_owned());
    }
    response
}

async fn changed(
    mut response: HttpResponse,
    change: impl FnOnce(Vec<u8>) -> SdkBody,
) -> HttpResponse {
    let body = std::mem::replace(response.body_mut(), SdkBody::taken());
    let bytes = aws_sdk_s3::primitives::ByteStream::new(body)
        .collect()
        .await
        .unwrap();
    *response.body_mut() = change(bytes.to_vec());
    response
}

/// An answer of STS with another end of the credentials.
fn ending_in(bytes: Vec<u8>, seconds: Option<i64>) -> SdkBody {
    let text = String::from_utf8(bytes).unwrap();
    let Some((before, (_, after))) = seconds.and_then(|_| {
        let (before, rest) = text.split_once("<Expiration>")?;
        Some((before, rest.split_once("</Expiration>")?))
    }) else {
        return SdkBody::from(text);
    };
    let end = std::time::SystemTime::now()
        + Duration::from_secs(u64::try_from(seconds.unwrap()).unwrap());
    let end = aws_smithy_types::DateTime::from(end)
        .fmt(aws_smithy_types::date_time::Format::DateTime)
        .unwrap();
    SdkBody::from(format!("{before}<Expiration>{end}</Expiration>{after}"))
}

/// A body that gives these bytes, and then neither more nor an end.
fn stalled(bytes: Vec<u8>) -> SdkBody {
    use futures_util::StreamExt as _;
    let first = futures_util::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from(bytes))]);
    let stream = first.chain(futures_util::stream::pending());
    SdkBody::from_body_1_x(http_body_util::StreamBody::new(
        stream.map(|piece| piece.map(hyper::body::Frame::data)),
    ))
}

fn form(body: &[u8]) -> HashMap<String, String> {
    let text = String::from_utf8_lossy(body).into_owned();
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text)
            .decode_utf8_lossy()
            .into_owned()
    };
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}
