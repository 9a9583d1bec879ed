use std::fmt::Display;

use axum::{
    http::{HeaderName, HeaderValue, Method, StatusCode},
    response::{IntoResponse, Response},
};
use embedded_iam::signature::SignatureError;
use serde_json::json;

use super::{Name, arn, respond};

/// Where the protocol of AWS's JSON services has the name of an error.
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// A request that is not served, in the form of AWS's REST services that speak JSON.
///
/// Names and statuses: <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors> and
/// <https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html>.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            message: message.into(),
        }
    }

    pub(super) fn unknown_operation(method: &Method, path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "UnknownOperationException",
            format!("{method} {path}: only Invoke is served here"),
        )
    }

    pub(super) fn unknown_function(name: &Name) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "ResourceNotFoundException",
            format!("Function not found: {}", arn(&name.0)),
        )
    }

    pub(super) fn invalid_name(text: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "ValidationException",
            format!("{text:?} is neither the name nor the ARN of a function"),
        )
    }

    pub(super) fn unknown_invocation_type() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "InvalidParameterValueException",
            "X-Amz-Invocation-Type must be RequestResponse, Event or DryRun",
        )
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestTooLargeException",
            format!("Request must be smaller than {limit} bytes for the InvokeFunction operation"),
        )
    }

    pub(super) fn not_json(reason: &dyn Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContentException",
            format!("Could not parse request body into json: {reason}"),
        )
    }

    pub(super) fn incomplete() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContentException",
            "the request's body is incomplete",
        )
    }

    pub(super) fn unknown_key() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "UnrecognizedClientException",
            "The security token included in the request is invalid: the key of the local stack is asked for",
        )
    }
}

impl From<SignatureError> for Refusal {
    fn from(error: SignatureError) -> Self {
        let (status, kind) = match error {
            SignatureError::Missing => {
                (StatusCode::FORBIDDEN, "MissingAuthenticationTokenException")
            }
            SignatureError::Malformed(_) => {
                (StatusCode::BAD_REQUEST, "IncompleteSignatureException")
            }
            SignatureError::Expired | SignatureError::Wrong(_) => {
                (StatusCode::FORBIDDEN, "InvalidSignatureException")
            }
        };
        Self::new(status, kind, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        // Lambda writes the name of the member in both ways; clients read either.
        let body = json!({ "Type": "User", "message": self.message, "Message": self.message });
        let mut response = respond(self.status, &body);
        response
            .headers_mut()
            .insert(ERROR_TYPE, HeaderValue::from_static(self.kind));
        response
    }
}
