//! Who sent a request, and the ids its answer carries.

use std::net::IpAddr;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use s3s::{S3Error, S3Request, S3Response, S3Result};

use crate::error::{Failure, StorageError};
use crate::notification::ACCOUNT;
use crate::random;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
const EXTENDED_ID: HeaderName = HeaderName::from_static("x-amz-id-2");

/// The sender of a request, for events and for the answer's headers.
#[derive(Debug, Clone)]
pub(crate) struct Requester {
    pub(crate) request_id: String,
    pub(crate) principal: String,
    pub(crate) account: String,
    pub(crate) address: String,
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
        let access_key = request
            .credentials
            .as_ref()
            .map_or("anonymous", |credentials| credentials.access_key.as_str());
        let peer = request.extensions.get::<Peer>();
        Ok(Self {
            request_id: RequestId::of(&request.extensions)?.0,
            principal: format!("AWS:{access_key}"),
            account: ACCOUNT.to_owned(),
            address: peer.map_or_else(|| "127.0.0.1".to_owned(), |peer| peer.0.to_string()),
        })
    }

    /// S3 itself, carrying out a lifecycle rule.
    pub(crate) fn lifecycle() -> Result<Self, Failure> {
        Ok(Self {
            request_id: RequestId::new()?.0,
            principal: "AWS:s3.amazonaws.com".to_owned(),
            account: "s3.amazonaws.com".to_owned(),
            address: "s3.amazonaws.com".to_owned(),
        })
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
                Ok(S3Response::with_headers(output, headers))
            }
            Err(failure) => {
                let mut error = S3Error::from(failure);
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
