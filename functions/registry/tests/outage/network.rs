//! The way of one instance to S3, which breaks at one of its requests.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_s3::config::RuntimeComponents;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use embedded_s3::{EmbeddedS3, Fault, Target};
use shared::s3::S3;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What becomes of one request to S3, and of those after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// S3 refuses this one.
    Refused,
    /// S3 refuses this one and all others.
    Gone,
    /// S3 does what was asked, and its answer is lost.
    Unanswered,
    /// The same, and the SDK asks again.
    AskedAgain,
    /// S3 does what was asked, its answer is lost, and then it refuses all others.
    GoneUnanswered,
    /// S3 takes longer than the SDK waits, and does what was asked when all others are answered.
    Late,
    /// The same, and it is done when somebody else has looked, and has asked for it again.
    VeryLate,
    /// The body of the answer breaks off.
    Cut,
}

impl Trouble {
    /// What may become of requests that leave nothing behind but entries in the trail.
    pub(crate) const OF_READING: [Self; 4] =
        [Self::Refused, Self::Gone, Self::AskedAgain, Self::Cut];
    pub(crate) const ALL: [Self; 8] = [
        Self::Refused,
        Self::Gone,
        Self::Unanswered,
        Self::AskedAgain,
        Self::GoneUnanswered,
        Self::Late,
        Self::VeryLate,
        Self::Cut,
    ];
}

/// The way to S3.
#[derive(Debug, Clone)]
pub(crate) struct Network(Arc<Line>);

#[derive(Debug)]
struct Line {
    store: EmbeddedS3,
    client: SharedHttpClient,
    trouble: Trouble,
    /// The number of the request that it happens to.
    number: usize,
    is_armed: AtomicBool,
    sent: AtomicUsize,
    /// What S3 was asked, which it does though nobody waits for it any more.
    asked: Mutex<Vec<JoinHandle<()>>>,
    late: Mutex<Option<(SharedHttpConnector, HttpRequest)>>,
}

#[derive(Debug)]
struct Connector {
    line: Arc<Line>,
    inner: SharedHttpConnector,
}

impl Network {
    /// The way to this S3 on which this happens to the request of this number, counted from 1.
    pub(crate) fn new(store: &EmbeddedS3, trouble: Trouble, number: usize) -> Self {
        Self(Arc::new(Line {
            store: store.clone(),
            client: SharedHttpClient::new(store.http_client()),
            trouble,
            number,
            is_armed: AtomicBool::new(false),
            sent: AtomicUsize::new(0),
            asked: Mutex::default(),
            late: Mutex::default(),
        }))
    }

    /// S3 at its end.
    pub(crate) fn s3(&self) -> S3 {
        let retries = match self.0.trouble {
            Trouble::AskedAgain => {
                RetryConfig::standard().with_initial_backoff(Duration::from_millis(1))
            }
            // The SDK has tried in vain as often as it does.
            _ => RetryConfig::disabled(),
        };
        let config = self.0.store.client().config().to_builder();
        let config = config.http_client(self.clone()).retry_config(retries);
        S3::with_client(aws_sdk_s3::Client::from_conf(config.build()))
    }

    /// From now on requests are counted.
    pub(crate) fn begin(&self) {
        self.0.is_armed.store(true, Ordering::SeqCst);
    }

    /// Whether it has come to that request.
    pub(crate) fn is_broken(&self) -> bool {
        self.0.sent.load(Ordering::SeqCst) >= self.0.number
    }

    /// Waits until S3 has done what it was asked. From then on all is well.
    pub(crate) async fn end(&self) {
        let asked = std::mem::take(&mut *self.0.asked.lock().unwrap());
        for asked in asked {
            asked.await.unwrap();
        }
        self.0.store.faults().clear();
    }

    /// Lets the late request arrive, if there is one; whether there was.
    pub(crate) async fn deliver(&self) -> bool {
        let late = self.0.late.lock().unwrap().take();
        let Some((connector, request)) = late else {
            return false;
        };
        // Whatever S3 says to that, nobody hears it.
        drop(connector.call(request).await);
        true
    }
}

impl HttpClient for Network {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            line: Arc::clone(&self.0),
            inner: self.0.client.http_connector(settings, components),
        })
    }
}

impl Connector {
    /// Asks S3, which answers even if nobody waits for it.
    fn ask(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (sender, receiver) = oneshot::channel();
        let answer = self.inner.call(request);
        let asked = tokio::spawn(async move { drop(sender.send(answer.await)) });
        self.line.asked.lock().unwrap().push(asked);
        HttpConnectorFuture::new(async move { receiver.await.unwrap() })
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if !self.line.is_armed.load(Ordering::SeqCst) {
            return self.ask(request);
        }
        let number = self.line.sent.fetch_add(1, Ordering::SeqCst) + 1;
        if number != self.line.number {
            return self.ask(request);
        }
        let faults = self.line.store.faults();
        match self.line.trouble {
            Trouble::Refused => faults.fail_next(1, Fault::SlowDown),
            Trouble::Gone => faults.inject(Fault::InternalError, Target::default()),
            Trouble::Cut => faults.fail_next(1, Fault::CutBody(1)),
            Trouble::Late | Trouble::VeryLate => {
                *self.line.late.lock().unwrap() = Some((self.inner.clone(), request));
                return HttpConnectorFuture::ready(Err(ConnectorError::timeout(
                    "made late by the test".into(),
                )));
            }
            Trouble::Unanswered | Trouble::AskedAgain | Trouble::GoneUnanswered => {
                let (line, answer) = (Arc::clone(&self.line), self.ask(request));
                return HttpConnectorFuture::new(async move {
                    drop(answer.await);
                    if line.trouble == Trouble::GoneUnanswered {
                        let faults = line.store.faults();
                        faults.inject(Fault::InternalError, Target::default());
                    }
                    Err(ConnectorError::io("lost by the test".into()))
                });
            }
        }
        self.ask(request)
    }
}
