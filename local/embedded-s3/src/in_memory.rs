//! The AWS SDK's transport without a network: a request goes straight into the service.
//!
//! Of our own because the crate made for it brings a second TLS stack for everyone in the workspace.

use aws_sdk_s3::config::RuntimeComponents;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http::HeaderValue;
use http::header::HOST;

use crate::front::Front;

/// Answers the SDK's requests from the service.
#[derive(Debug, Clone)]
pub(crate) struct InMemory(pub(crate) Front);

impl HttpClient for InMemory {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for InMemory {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let service = self.0.clone();
        HttpConnectorFuture::new(async move { answer(&service, request).await })
    }
}

async fn answer(service: &Front, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let mut request = request.try_into_http1x().map_err(failed)?;
    // A connection would add it, and the signature covers it.
    if !request.headers().contains_key(HOST)
        && let Some(authority) = request.uri().authority()
    {
        let host = HeaderValue::from_str(authority.as_str()).map_err(failed)?;
        request.headers_mut().insert(HOST, host);
    }
    let answer = service.call(request.map(s3s::Body::http_body)).await;
    let answer = answer.map_err(|error| ConnectorError::other(error.into(), None))?;
    answer
        .map(SdkBody::from_body_1_x)
        .try_into()
        .map_err(failed)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> ConnectorError {
    ConnectorError::other(error.into(), None)
}
