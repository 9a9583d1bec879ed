//! One source: questions with a deadline, a limit, and an answer that says how it went.

use std::error::Error;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, ETAG, LOCATION, RETRY_AFTER, USER_AGENT,
};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::connect::{ConnectError, Connector};
use super::settings::{Endpoint, Reach, Token};
use crate::evidence::{Outcome, Request};

/// How many addresses one question may be passed on to.
const MAX_REDIRECTS: usize = 3;
/// How many questions one source is asked at a time: below the open files that Lambda grants.
const MAX_IN_FLIGHT: usize = 256;
/// What may stand in a segment of a path as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One source.
pub(super) struct Service {
    endpoint: Option<Url>,
    reach: Reach,
    token: Option<Token>,
    client: Client<Connector, Empty<Bytes>>,
    slots: Semaphore,
}

/// A question.
pub(super) struct Question<'a> {
    /// The path under the endpoint; each segment is encoded.
    pub(super) path: &'a [&'a str],
    /// The query, encoded.
    pub(super) query: Option<&'static str>,
    /// Which form of the answer is wanted.
    pub(super) accept: &'static str,
    /// The longest answer that is read, in bytes.
    pub(super) limit: usize,
}

/// How a question went, and the answer if there is one.
pub(super) struct Answer {
    pub(super) request: Request,
    pub(super) body: Option<Bytes>,
}

/// A question that went wrong.
struct Failure {
    outcome: Outcome,
    detail: String,
}

impl Service {
    pub(super) fn new(endpoint: &Endpoint, token: Option<&Token>) -> Self {
        Self {
            endpoint: endpoint.url.clone(),
            reach: endpoint.reach,
            token: token.cloned(),
            client: Client::builder(TokioExecutor::new()).build(Connector::new(endpoint.reach)),
            slots: Semaphore::new(MAX_IN_FLIGHT),
        }
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Asks, and is done at the deadline.
    pub(super) async fn ask(&self, question: &Question<'_>, deadline: Instant) -> Answer {
        let begin = Instant::now();
        let mut request = Request {
            at: Some(OffsetDateTime::now_utc()),
            ..Request::default()
        };
        let result = timeout_at(deadline, self.follow(question, &mut request)).await;
        // To the microsecond, which comes back from JSON as it went in.
        request.seconds = (begin.elapsed().as_secs_f64() * 1e6).round() / 1e6;
        let failure = match result {
            Ok(Ok(body)) => {
                request.outcome = Outcome::Found;
                request.sha256 = Some(hex::encode(Sha256::digest(&body)));
                return Answer {
                    request,
                    body: Some(body),
                };
            }
            Ok(Err(failure)) => failure,
            Err(_elapsed) => Failure::new(Outcome::Slow, "no complete answer before the deadline"),
        };
        request.outcome = failure.outcome;
        request.detail = Some(failure.detail);
        tracing::debug!(url = request.url, outcome = ?request.outcome, "a source did not answer");
        Answer {
            request,
            body: None,
        }
    }

    /// Asks, and follows the source to where it has moved things, as long as it stays the source.
    async fn follow(
        &self,
        question: &Question<'_>,
        request: &mut Request,
    ) -> Result<Bytes, Failure> {
        let mut url = self.address(question)?;
        request.url = url.to_string();
        let Ok(_slot) = self.slots.acquire().await else {
            return Err(Failure::new(Outcome::Unreachable, "shutting down"));
        };
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(&url, question).await?;
            request.status = Some(response.status().as_u16());
            if response.status().is_redirection() {
                url = self.moved(&url, &response)?;
                request.answered_by = Some(url.to_string());
                continue;
            }
            note(response.headers(), request);
            judge(&response, request)?;
            return read(response, question.limit).await;
        }
        Err(Failure::new(Outcome::Refused, "redirected too often"))
    }

    fn address(&self, question: &Question<'_>) -> Result<Url, Failure> {
        let refused = || {
            Failure::new(
                Outcome::Refused,
                "the name is not one that can be asked for",
            )
        };
        let mut url = self.endpoint.clone().ok_or_else(refused)?;
        let mut path = url.path().trim_end_matches('/').to_owned();
        for segment in question.path {
            // A URL's parser would climb up at these, encoded or not.
            if segment.is_empty() || segment.chars().all(|letter| letter == '.') {
                return Err(refused());
            }
            path.push('/');
            path.extend(utf8_percent_encode(segment, SEGMENT));
        }
        url.set_path(&path);
        url.set_query(question.query);
        Ok(url)
    }

    async fn send(
        &self,
        url: &Url,
        question: &Question<'_>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = http::Request::get(url.as_str())
            .header(ACCEPT, question.accept)
            .header(USER_AGENT, concat!("holdfast/", env!("CARGO_PKG_VERSION")));
        // `moved` has made sure that this is the token's own host.
        if let Some(Token(token)) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request
            .body(Empty::new())
            .map_err(|error| Failure::of(Outcome::Refused, &error))?;
        let response = self.client.request(request).await;
        response.map_err(|error| Failure::of(refused_or_unreachable(&error), &error))
    }

    /// Where a redirect leads, if it is the same source.
    fn moved(&self, from: &Url, response: &Response<Incoming>) -> Result<Url, Failure> {
        let refused = |detail: &str| Failure::new(Outcome::Refused, detail);
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| refused("redirected to nowhere"))?;
        let to = from
            .join(location)
            .map_err(|_no_url| refused("redirected to what is no URL"))?;
        let is_home = self
            .endpoint
            .as_ref()
            .is_some_and(|home| home.origin() == to.origin());
        let is_anonymous = to.username().is_empty() && to.password().is_none();
        if !is_home || !is_anonymous || (self.reach == Reach::Public && to.scheme() != "https") {
            return Err(refused("redirected to another host"));
        }
        Ok(to)
    }
}

impl Failure {
    fn new(outcome: Outcome, detail: &str) -> Self {
        Self {
            outcome,
            detail: detail.to_owned(),
        }
    }

    /// With the whole chain of causes.
    fn of(outcome: Outcome, error: &dyn Error) -> Self {
        let mut detail = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            detail = format!("{detail}: {error}");
            cause = error.source();
        }
        Self { outcome, detail }
    }
}

/// A connection that was not allowed is another matter than one that failed.
fn refused_or_unreachable(error: &dyn Error) -> Outcome {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(ConnectError::Inside | ConnectError::Plain) = error.downcast_ref() {
            return Outcome::Refused;
        }
        cause = error.source();
    }
    Outcome::Unreachable
}

fn text(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn note(headers: &HeaderMap, request: &mut Request) {
    request.etag = text(headers, ETAG).map(ToOwned::to_owned);
    request.commit = text(headers, "x-repo-commit").map(ToOwned::to_owned);
}

/// What a status means at these sources.
fn judge(response: &Response<Incoming>, request: &mut Request) -> Result<(), Failure> {
    let headers = response.headers();
    // The Hub says by this header what a 401 is about: it gives one for what does not exist, too.
    let code = text(headers, "x-error-code").unwrap_or_default();
    let message = text(headers, "x-error-message").unwrap_or_default();
    let number = |name: &str| text(headers, name).and_then(|text| text.trim().parse::<i64>().ok());
    // GitHub answers 403 as well as 429 to who has asked too much.
    let is_exhausted = number("x-ratelimit-remaining") == Some(0);
    let status = response.status();
    let outcome = match status {
        _ if status.is_success() => return Ok(()),
        StatusCode::TOO_MANY_REQUESTS => Outcome::RateLimited,
        StatusCode::FORBIDDEN if is_exhausted || headers.contains_key(RETRY_AFTER) => {
            Outcome::RateLimited
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => Outcome::Missing,
        StatusCode::UNAUTHORIZED if code == "RepoNotFound" => Outcome::Missing,
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => Outcome::Gated,
        _ if status.is_server_error() => Outcome::Unreachable,
        _ => Outcome::Malformed,
    };
    if outcome == Outcome::RateLimited {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let until = number("x-ratelimit-reset").map(|reset| reset.saturating_sub(now));
        let seconds = number(RETRY_AFTER.as_str()).or(until);
        request.retry_after = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    }
    let detail: String = [status.as_str(), code, message].join(" ");
    Err(Failure::new(outcome, detail.trim()))
}

async fn read(response: Response<Incoming>, limit: usize) -> Result<Bytes, Failure> {
    let too_large = || {
        Failure::new(
            Outcome::TooLarge,
            &format!("the answer has more than {limit} bytes"),
        )
    };
    let announced =
        text(response.headers(), CONTENT_LENGTH).and_then(|text| text.parse::<usize>().ok());
    let mut body = response.into_body();
    if announced.is_some_and(|length| length > limit)
        || body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX)
    {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::of(Outcome::Unreachable, &error))?;
        if let Some(piece) = frame.data_ref() {
            if bytes.len() + piece.len() > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(piece);
        }
    }
    Ok(bytes.freeze())
}
