//! Requests that do not go straight to an operation: STS, and reads with a range nobody understands.

use async_trait::async_trait;
use http::{Extensions, HeaderMap, Method, StatusCode, Uri, header};
use s3s::dto::Range;
use s3s::route::S3Route;
use s3s::service::S3Service;
use s3s::{Body, HttpRequest, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use crate::authentication::Authentication;
use crate::sts::Sts;

/// The routes beside S3's own.
#[derive(Debug, Clone)]
pub(crate) struct Routes {
    sts: Sts,
    authentication: Authentication,
    /// The same store without authentication, for requests that passed it here.
    open: S3Service,
}

impl Routes {
    pub(crate) fn new(sts: Sts, authentication: Authentication, open: S3Service) -> Self {
        Self {
            sts,
            authentication,
            open,
        }
    }

    /// Reads as if there were no `Range`: S3 ignores what it does not understand (RFC 9110,
    /// section 14.2), where `s3s` refuses it.
    async fn read_without_range(&self, mut request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let operation = if request.method == Method::HEAD {
            "HeadObject"
        } else {
            "GetObject"
        };
        self.authentication.faults().suffer(operation, None).await?;
        request.headers.remove(header::RANGE);
        let mut plain = HttpRequest::new(request.input);
        *plain.method_mut() = request.method;
        *plain.uri_mut() = request.uri;
        *plain.headers_mut() = request.headers;
        plain.headers_mut().remove(header::AUTHORIZATION);
        *plain.extensions_mut() = request.extensions;
        let answer = self
            .open
            .call(plain)
            .await
            .map_err(|error| S3Error::with_source(S3ErrorCode::InternalError, error.into()))?;
        let (head, body) = answer.into_parts();
        let mut response = S3Response::with_status(body, head.status);
        response.headers = head.headers;
        Ok(response)
    }
}

#[async_trait]
impl S3Route for Routes {
    fn is_match(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        extensions: &mut Extensions,
    ) -> bool {
        self.sts.is_match(method, uri, headers, extensions) || is_obscure(method, uri, headers)
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        if request.method == Method::POST {
            return self.sts.call(request).await;
        }
        if let Some(credentials) = &request.credentials {
            let identity = self.authentication.check_token(
                &credentials.access_key,
                &request.headers,
                &request.uri,
            );
            identity.await?;
        }
        self.read_without_range(request).await
    }
}

/// Whether this reads an object with a range that `s3s` cannot parse. Presigned requests are left
/// alone: without authentication their query would mean nothing.
fn is_obscure(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let presigned = uri
        .query()
        .is_some_and(|query| query.contains("X-Amz-Signature"));
    let range = headers
        .get(header::RANGE)
        .map(|value| value.to_str().unwrap_or_default());
    (method == Method::GET || method == Method::HEAD)
        && !presigned
        && range.is_some_and(|range| Range::parse(range).is_err())
}

/// Rewrites an error of S3's form into one of STS's. Signatures are checked before any route is
/// asked, so that a wrong one is answered in the wrong form.
pub(crate) fn sts_refusal(status: StatusCode, body: &str, request_id: &str) -> Option<String> {
    let between = |start: &str, end: &str| Some(body.split_once(start)?.1.split_once(end)?.0);
    let code = between("<Code>", "</Code>")?;
    let message = between("<Message>", "</Message>").unwrap_or_default();
    let code = if code == "InvalidAccessKeyId" {
        "InvalidClientTokenId"
    } else {
        code
    };
    let fault = if status.is_client_error() {
        "Sender"
    } else {
        "Receiver"
    };
    Some(format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>{fault}</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    ))
}
