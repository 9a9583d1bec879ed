//! Messages to a queue of SQS: one request, which takes no client of its own.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::timeout::TimeoutConfig;
use serde_json::json;

use crate::aws::{self, Caller};
use crate::config::{Env, FromEnv};

/// How long sending may take: a message only says that there is something to do, which is found later without it.
const PATIENCE: Duration = Duration::from_secs(2);
/// For how long nothing is sent when nobody answered, as where a network has no way to SQS.
const REST: Duration = Duration::from_mins(1);

/// A queue to send to: `LOADER_QUEUE_URL`, and the variables that Lambda sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The queue.
    pub url: QueueUrl,
    /// SQS elsewhere than at the queue's own host.
    pub endpoint: Option<String>,
    /// Who sends.
    pub credentials: Option<Credentials>,
}

impl Settings {
    /// The queue of this variable, if it is set.
    pub fn from_env(env: &mut Env, variable: &'static str) -> Option<Option<Self>> {
        let url = env.optional::<QueueUrl>(variable);
        let endpoint = aws::endpoint(env, "AWS_ENDPOINT_URL_SQS");
        let caller = Caller::from_env(env);
        let (endpoint, credentials) = (endpoint?, caller?.credentials);
        Some(url?.map(|url| Self {
            url,
            endpoint,
            credentials,
        }))
    }
}

/// `https://sqs.eu-central-1.amazonaws.com/123456789012/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueUrl {
    text: String,
    origin: String,
    region: String,
}

/// No queue has such a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be https://sqs.REGION.amazonaws.com/ACCOUNT/NAME")]
pub struct InvalidQueueUrl;

impl FromStr for QueueUrl {
    type Err = InvalidQueueUrl;

    fn from_str(text: &str) -> Result<Self, InvalidQueueUrl> {
        let rest = text.strip_prefix("https://").ok_or(InvalidQueueUrl)?;
        let (host, path) = rest.split_once('/').ok_or(InvalidQueueUrl)?;
        let region = host
            .strip_prefix("sqs.")
            .and_then(|host| host.split_once(".amazonaws.com"))
            .filter(|(_, rest)| matches!(*rest, "" | ".cn"))
            .map(|(region, _)| region)
            .ok_or(InvalidQueueUrl)?;
        let is_region = !region.is_empty()
            && region
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_region || path.split('/').count() != 2 || path.contains(['?', '#']) {
            return Err(InvalidQueueUrl);
        }
        Ok(Self {
            text: text.to_owned(),
            origin: format!("https://{host}"),
            region: region.to_owned(),
        })
    }
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is nobody to send it.
    #[error("there are no credentials to send a message with")]
    NoCredentials,
    /// SQS did not answer a moment ago, and is not asked again yet.
    #[error("SQS did not answer a moment ago")]
    Resting,
    /// SQS refused.
    #[error("SQS refused the message with status {0}")]
    Refused(u16),
    /// SQS did not answer.
    #[error("SQS did not answer")]
    Unanswered(#[source] BoxError),
}

/// What an answer with another status than 200 is made.
#[derive(Debug, thiserror::Error)]
#[error("status {0}")]
struct Refusal(u16);

/// A queue that messages are sent to. The connection is made by the first.
pub struct Queue {
    send: Operation<String, (), Refusal>,
    has_credentials: bool,
    url: String,
    /// When nobody answered, by the wall clock, which goes on while an instance is frozen.
    unanswered: Mutex<Option<SystemTime>>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Queue")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Queue {
    /// The queue of these settings.
    pub fn new(settings: Settings) -> Self {
        let url = settings.url.text.clone();
        let origin = settings.endpoint.as_ref().unwrap_or(&settings.url.origin);
        let has_credentials = settings.credentials.is_some();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(PATIENCE)
            .operation_timeout(PATIENCE)
            .build();
        let operation = Operation::builder()
            .service_name("sqs")
            .operation_name("SendMessage")
            .behavior_version(
                aws_smithy_runtime_api::client::behavior_version::BehaviorVersion::latest(),
            )
            .http_client(aws::http_client(settings.endpoint.is_some()))
            .endpoint_url(origin)
            .no_auth()
            .no_retry()
            .timeout_config(timeouts)
            .serializer({
                let origin = origin.clone();
                move |body: String| request(&settings, &origin, &body)
            })
            .deserializer(read)
            .build();
        Self {
            send: operation,
            has_credentials,
            url,
            unanswered: Mutex::default(),
        }
    }

    /// Sends a message. It is not tried again.
    ///
    /// # Errors
    ///
    /// [`SendError`]; it may have been sent all the same.
    pub async fn send(&self, body: &str) -> Result<(), SendError> {
        if !self.has_credentials {
            return Err(SendError::NoCredentials);
        }
        if self.is_resting() {
            return Err(SendError::Resting);
        }
        // Should this future be dropped in the middle, nobody has answered.
        self.note(Some(SystemTime::now()));
        let sent = self.send.invoke(body.to_owned()).await;
        let sent = sent.map_err(|error| match error.as_service_error() {
            Some(Refusal(status)) => SendError::Refused(*status),
            None => SendError::Unanswered(error.into()),
        });
        if !matches!(sent, Err(SendError::Unanswered(_))) {
            self.note(None);
        }
        sent
    }

    fn is_resting(&self) -> bool {
        let unanswered = self
            .unanswered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // A clock set back ends the rest: asking once too often costs two seconds.
        unanswered.is_some_and(|at| at.elapsed().is_ok_and(|rested| rested < REST))
    }

    fn note(&self, unanswered: Option<SystemTime>) {
        *self
            .unanswered
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = unanswered;
    }
}

/// The request, as SQS takes it in its protocol of JSON:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>.
fn request(settings: &Settings, origin: &str, body: &str) -> Result<HttpRequest, BoxError> {
    let text = json!({ "QueueUrl": settings.url.text, "MessageBody": body }).to_string();
    let mut request = HttpRequest::new(SdkBody::from(text.as_str()));
    request.set_method("POST")?;
    request.set_uri("/")?;
    for (name, value) in [
        ("content-type", "application/x-amz-json-1.0"),
        ("x-amz-target", "AmazonSQS.SendMessage"),
    ] {
        request.headers_mut().insert(name, value);
    }
    let credentials = settings.credentials.clone().ok_or("no credentials")?;
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(&settings.url.region)
        .name("sqs")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()?
        .into();
    let headers: Vec<(String, String)> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let signable = SignableRequest::new(
        "POST",
        format!("{origin}/"),
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
        SignableBody::Bytes(text.as_bytes()),
    )?;
    let (instructions, _signature) = sign(signable, &parameters)?.into_parts();
    let (headers, _query) = instructions.into_parts();
    for header in headers {
        request
            .headers_mut()
            .insert(header.name(), header.value().to_owned());
    }
    Ok(request)
}

fn read(response: &HttpResponse) -> Result<(), OrchestratorError<Refusal>> {
    match response.status().as_u16() {
        200 => Ok(()),
        status => Err(OrchestratorError::operation(Refusal(status))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_tells_its_region() {
        for (url, region) in [
            (
                "https://sqs.eu-central-1.amazonaws.com/123456789012/loads",
                "eu-central-1",
            ),
            (
                "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/loads",
                "cn-north-1",
            ),
        ] {
            assert_eq!(url.parse::<QueueUrl>().unwrap().region, region);
        }
        for url in [
            "",
            "http://sqs.eu-central-1.amazonaws.com/123456789012/loads",
            "https://sqs.eu-central-1.amazonaws.com/loads",
            "https://sqs.eu-central-1.amazonaws.com.example.com/123456789012/loads",
            "https://sqs..amazonaws.com/123456789012/loads",
            "https://example.com/123456789012/loads",
        ] {
            assert_eq!(url.parse::<QueueUrl>(), Err(InvalidQueueUrl), "{url}");
        }
    }
}
