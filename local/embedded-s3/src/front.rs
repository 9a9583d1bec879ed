//! The door of the port: forms for IAM and STS are answered by them, everything else by S3.

use embedded_iam::{Form, Iam, Refusal, is_query};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use s3s::service::S3Service;
use s3s::{Body, HttpError, HttpRequest, HttpResponse};

use crate::faults::{Fault, Faults};
use crate::request::RequestId;

/// The longest form, in bytes: it holds a policy or two.
const LARGEST_FORM: usize = 64 * 1024;

/// S3, IAM and STS as one service. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    pub(crate) s3: S3Service,
    pub(crate) iam: Iam,
    pub(crate) faults: Faults,
}

impl Front {
    /// Answers a request.
    pub(crate) async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if !is_query(request.method(), request.uri(), request.headers()) {
            return self.s3.call(request).await;
        }
        let id = match request.extensions().get::<RequestId>() {
            Some(id) => id.clone(),
            None => RequestId::new().map_err(|error| HttpError::new(Box::new(error)))?,
        };
        let (head, body) = request.into_parts();
        let body = Limited::new(body, LARGEST_FORM).collect().await;
        let Ok(body) = body.map(http_body_util::Collected::to_bytes) else {
            let refusal = Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                "The form is incomplete, or larger than 64 KiB",
            );
            return Ok(answer(Iam::refuse(b"", refusal, &id.0), &id));
        };
        let action =
            Form::parse(&body).map_or_else(|_error| String::new(), |form| form.action().to_owned());
        if let Some(fault) = self.faults.strike(&action, None).await
            && let Some(refusal) = refusal(fault)
        {
            return Ok(answer(Iam::refuse(&body, refusal, &id.0), &id));
        }
        let (iam, request_id) = (self.iam.clone(), id.0.clone());
        let response =
            tokio::task::spawn_blocking(move || iam.answer(&head, &body, &request_id)).await;
        let response = response.map_err(|error| HttpError::new(Box::new(error)))?;
        Ok(answer(response, &id))
    }
}

fn answer(response: Response<String>, id: &RequestId) -> HttpResponse {
    let mut response = response.map(Body::from);
    id.add_to(response.headers_mut());
    response
}

/// A fault in the words of IAM and STS; `None` for those that only reads of objects suffer.
fn refusal(fault: Fault) -> Option<Refusal> {
    let (status, code, message) = match fault {
        Fault::SlowDown => (400, "Throttling", "Rate exceeded"),
        Fault::AccessDenied => (403, "AccessDenied", "Access denied on purpose"),
        Fault::InternalError => (500, "InternalFailure", "Failed on purpose"),
        Fault::Hang(_) => (503, "ServiceUnavailable", "Service is unavailable"),
        Fault::Refuse { status, code } => (status, code, "Refused on purpose"),
        Fault::Redirect(_)
        | Fault::Delay(_)
        | Fault::CutBody(_)
        | Fault::StallBody { .. }
        | Fault::CorruptBody(_) => return None,
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Some(Refusal::new(status, code, message))
}
