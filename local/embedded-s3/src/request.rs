//! Who sent a request, and the ids its answer carries.

use std::net::IpAddr;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use crate::error::{Failure, StorageError};
use crate::grant::Grant;
use crate::notification::ACCOUNT;
use crate::random;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
const EXTENDED_ID: HeaderName = HeaderName::from_static("x-amz-id-2");
const CHARGED: HeaderName = HeaderName::from_static("x-amz-request-charged");

/// The sender of a request, for events and for the answer's headers.
#[derive(Debug, Clone)]
pub(crate) struct Requester {
    pub(crate) request_id: String,
    pub(crate) principal: String,
    pub(crate) account: String,
    pub(crate) address: String,
    /// What it may do; S3 itself, and what never passed the check of access, may everything.
    pub(crate) grant: Option<Grant>,
}

/// The address a TCP request came from; in-memory requests have none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The id of a request, given before it is parsed.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

impl RequestId {
    /// A new id.
    pub(crate) fn new() -> Result<Self, StorageError> {
        random::capitals(16).map(Self)
    }

    /// The id a request already has, or a new one.
    fn of(extensions: &Extensions) -> Result<Self, StorageError> {
        extensions
            .get::<Self>()
            .map_or_else(Self::new, |id| Ok(id.clone()))
    }

    /// Puts the ids into an answer's headers.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        for (name, text) in [
            (REQUEST_ID, self.0.clone()),
            (EXTENDED_ID, extended(&self.0)),
        ] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
    }
}

impl Requester {
    /// The sender of `request`.
    pub(crate) fn of<T>(request: &S3Request<T>) -> Result<Self, Failure> {
        let peer = request.extensions.get::<Peer>();
        let grant = request.extensions.get::<Grant>().cloned();
        Ok(Self {
            request_id: RequestId::of(&request.extensions)?.0,
            principal: grant.as_ref().map_or_else(
                || "Anonymous".to_owned(),
                |grant| format!("AWS:{}", grant.user_id()),
            ),
            account: grant
                .as_ref()
                .map_or_else(|| ACCOUNT.to_owned(), |grant| grant.account().to_string()),
            address: peer.map_or_else(|| "127.0.0.1".to_owned(), |peer| peer.0.to_string()),
            grant,
        })
    }

    /// S3 itself, carrying out a lifecycle rule.
    pub(crate) fn lifecycle() -> Result<Self, Failure> {
        Ok(Self {
            request_id: RequestId::new()?.0,
            principal: "AWS:s3.amazonaws.com".to_owned(),
            account: "s3.amazonaws.com".to_owned(),
            address: "s3.amazonaws.com".to_owned(),
            grant: None,
        })
    }

    /// `AccessDenied`, unless the sender may do this to an object whose key came with the request's body.
    pub(crate) fn check(
        &self,
        action: &'static str,
        key: &str,
        version_id: Option<&str>,
    ) -> Result<(), Failure> {
        let Some(grant) = &self.grant else {
            return Ok(());
        };
        Ok(grant.check_object(action, key, version_id)?)
    }

    /// Whoever may not list a bucket does not learn what is missing in it.
    fn hide(&self, error: S3Error) -> S3Error {
        let hides = self.grant.as_ref().is_some_and(|grant| grant.hides_missing);
        let is_missing = matches!(
            error.code(),
            S3ErrorCode::NoSuchKey | S3ErrorCode::NoSuchVersion
        );
        if hides && is_missing {
            S3Error::with_message(S3ErrorCode::AccessDenied, "Access Denied")
        } else {
            error
        }
    }

    /// The second id of an answer.
    pub(crate) fn extended_id(&self) -> String {
        extended(&self.request_id)
    }

    /// Makes the answer, with the request's ids.
    pub(crate) fn answer<T>(&self, result: Result<Reply<T>, Failure>) -> S3Result<S3Response<T>> {
        let id = RequestId(self.request_id.clone());
        match result {
            Ok(Reply {
                output,
                mut headers,
            }) => {
                id.add_to(&mut headers);
                if self.grant.as_ref().is_some_and(|grant| grant.is_charged) {
                    headers.insert(CHARGED, HeaderValue::from_static("requester"));
                }
                Ok(S3Response::with_headers(output, headers))
            }
            Err(failure) => {
                let mut error = self.hide(S3Error::from(failure));
                let mut headers = error.headers().cloned().unwrap_or_default();
                id.add_to(&mut headers);
                error.set_headers(headers);
                error.set_request_id(id.0);
                Err(error)
            }
        }
    }
}

/// The output of an operation, with headers the output type has no field for.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    pub(crate) output: T,
    pub(crate) headers: HeaderMap,
}

impl<T> From<T> for Reply<T> {
    fn from(output: T) -> Self {
        Self {
            output,
            headers: HeaderMap::new(),
        }
    }
}

fn extended(request_id: &str) -> String {
    hex::encode(request_id.as_bytes())
}
