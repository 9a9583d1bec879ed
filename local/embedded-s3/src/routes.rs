//! Requests that do not go straight to an operation: reads with a range nobody understands.

use async_trait::async_trait;
use embedded_iam::pairs;
use http::{Extensions, HeaderMap, Method, Uri, header};
use percent_encoding::percent_decode_str;
use s3s::dto::Range;
use s3s::path::{S3Path, parse_path_style};
use s3s::route::S3Route;
use s3s::service::S3Service;
use s3s::{Body, HttpRequest, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use crate::access::Access;
use crate::permission::Asked;

/// The routes beside S3's own.
#[derive(Debug, Clone)]
pub(crate) struct Routes {
    access: Access,
    /// The same store without authentication, for requests that passed it here.
    open: S3Service,
}

impl Routes {
    pub(crate) fn new(access: Access, open: S3Service) -> Self {
        Self { access, open }
    }

    /// Reads as if there were no `Range`: S3 ignores what it does not understand (RFC 9110,
    /// section 14.2), where `s3s` refuses it.
    async fn read_without_range(&self, mut request: S3Request<Body>) -> S3Result<S3Response<Body>> {
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
        _extensions: &mut Extensions,
    ) -> bool {
        is_obscure(method, uri, headers)
    }

    async fn call(&self, mut request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        if let Some(credentials) = &request.credentials {
            let path = object_of(&request.uri);
            let asked = Asked {
                operation: if request.method == Method::HEAD {
                    "HeadObject"
                } else {
                    "GetObject"
                },
                bucket: path.as_ref().and_then(S3Path::get_bucket_name),
                key: path.as_ref().and_then(S3Path::get_object_key),
                headers: &request.headers,
                uri: &request.uri,
            };
            let grant = self.access.admit(&asked, &credentials.access_key).await?;
            request.extensions.insert(grant);
        }
        self.read_without_range(request).await
    }
}

/// Whether this reads an object, and nothing else, with a range that `s3s` cannot parse: no other operation may come
/// in this way. Presigned requests are left alone: without authentication their query would mean nothing.
fn is_obscure(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let is_plain_read = pairs(uri.query().unwrap_or_default()).all(|pair| {
        pair.is_some_and(|(name, _)| {
            matches!(name.as_str(), "versionId" | "partNumber" | "x-id")
                || name.starts_with("response-")
        })
    });
    let range = headers
        .get(header::RANGE)
        .map(|value| value.to_str().unwrap_or_default());
    (method == Method::GET || method == Method::HEAD)
        && is_plain_read
        && object_of(uri).is_some()
        && range.is_some_and(|range| Range::parse(range).is_err())
}

/// The object that a path names, as `s3s` reads it.
fn object_of(uri: &Uri) -> Option<S3Path> {
    let path = percent_decode_str(uri.path()).decode_utf8().ok()?;
    let path = parse_path_style(&path).ok()?;
    path.get_object_key().is_some().then_some(path)
}
