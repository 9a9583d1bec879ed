//! What went wrong, told to a client of HTTP as RFC 9457 has it.

use axum::body::to_bytes;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use crate::telemetry::chain;

/// The most of a foreign refusal that is read to explain it, in bytes.
const DETAIL: usize = 4096;

/// A problem: a status, and a sentence on what was wrong with this request. Its type is `about:blank`, so the title
/// is what the status is called.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    detail: Option<String>,
    extensions: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of the client's making, with what is wrong and what to do.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::bare(status)
        }
    }

    /// A problem of our own. The cause goes to the log; the client learns nothing of it.
    pub fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(error = %chain(cause), "a request failed");
        Self::bare(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Something that this depends on does not answer; it may in so many seconds. The cause goes to the log.
    pub fn unavailable(
        cause: &dyn std::error::Error,
        detail: impl Into<String>,
        seconds: u32,
    ) -> Self {
        tracing::warn!(error = %chain(cause), "a request could not be served");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            .header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// A further member for programs to read.
    #[must_use]
    pub fn extension(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// A header to go with it.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn bare(status: StatusCode) -> Self {
        Self {
            status,
            detail: None,
            extensions: Map::new(),
            headers: Vec::new(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = self.extensions;
        body.insert("type".into(), "about:blank".into());
        body.insert("status".into(), self.status.as_u16().into());
        let title = self.status.canonical_reason().unwrap_or("Error");
        body.insert("title".into(), title.into());
        if let Some(detail) = self.detail {
            body.insert("detail".into(), detail.into());
        }
        let mut response = (self.status, Value::Object(body).to_string()).into_response();
        response.headers_mut().extend(self.headers);
        response.headers_mut().insert(header::CONTENT_TYPE, TYPE);
        response
    }
}

const TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Makes a problem of a refusal that axum wrote itself, as a text: a wrong method, a wrong path, too large a body.
pub async fn describe(response: Response) -> Response {
    let status = response.status();
    let is_described = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind != "text/plain; charset=utf-8");
    if !(status.is_client_error() || status.is_server_error()) || is_described {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let text = to_bytes(body, DETAIL).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut problem = Problem::bare(status);
    if status.is_client_error() && !text.is_empty() {
        problem.detail = Some(text);
    }
    let described = problem.into_response();
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.insert(header::CONTENT_TYPE, TYPE);
    Response::from_parts(head, described.into_body())
}
