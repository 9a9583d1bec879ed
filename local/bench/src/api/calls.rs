//! Calls of S3, counted by the client that makes them, and made to wait as if S3 were farther away.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, RuntimeComponents};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

use super::waiting::Waiting;
use crate::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

/// What S3 is asked for, as far as it costs differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Get,
    Head,
    List,
    Write,
    Delete,
}

impl Call {
    /// In the order in which they are declared.
    pub(super) const ALL: [Self; 5] =
        [Self::Get, Self::Head, Self::List, Self::Write, Self::Delete];

    /// As people call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::List => "LIST",
            Self::Write => "PUT",
            Self::Delete => "DELETE",
        }
    }

    fn of(request: &HttpRequest) -> Self {
        match request.method() {
            "GET" if request.uri().contains("list-type") => Self::List,
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "DELETE" => Self::Delete,
            _ => Self::Write,
        }
    }
}

/// How often each call was made.
pub(super) type Counts = [usize; 5];

/// The calls of one client, repeated ones included.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls {
    counts: Arc<[AtomicUsize; 5]>,
    waiting: Waiting,
}

impl Calls {
    /// Those of somebody whose waiting is measured.
    pub(super) fn of(waiting: &Waiting) -> Self {
        Self {
            waiting: waiting.clone(),
            ..Self::default()
        }
    }

    /// Calls since the last time this was asked.
    pub(super) fn take(&self) -> Counts {
        self.counts
            .each_ref()
            .map(|count| count.swap(0, Ordering::Relaxed))
    }

    /// A client of the S3 there whose calls are counted here and begin after this delay.
    pub(super) fn client(&self, address: SocketAddr, delay: Duration) -> Client {
        let credentials = Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "bench");
        let inner = aws_smithy_http_client::Builder::new().build_http();
        let http = Counting {
            inner,
            calls: self.clone(),
            delay,
        };
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(format!("http://{address}"))
            .force_path_style(true)
            .credentials_provider(credentials)
            .http_client(http)
            .build();
        Client::from_conf(config)
    }
}

#[derive(Debug, Clone)]
struct Counting<T> {
    inner: T,
    calls: Calls,
    delay: Duration,
}

impl HttpClient for Counting<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Counting {
            inner: self.inner.http_connector(settings, components),
            calls: self.calls.clone(),
            delay: self.delay,
        })
    }
}

impl<T: HttpConnector + Clone + fmt::Debug + 'static> HttpConnector for Counting<T> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = Call::of(&request);
        for (known, count) in Call::ALL.iter().zip(self.calls.counts.iter()) {
            count.fetch_add(usize::from(*known == call), Ordering::Relaxed);
        }
        let (inner, delay) = (self.inner.clone(), self.delay);
        let open = self.calls.waiting.begin();
        HttpConnectorFuture::new(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let answer = inner.call(request).await;
            drop(open);
            answer
        })
    }
}
