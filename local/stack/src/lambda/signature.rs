//! Signatures of version 4: a request is signed again with the one key there is, and must come out the same.

use std::time::Duration;

use aws_sdk_s3::config::Credentials as Key;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use axum::http::{HeaderMap, header, request::Parts};
use embedded_s3::Credentials;
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, PrimitiveDateTime, macros::format_description};

use super::Refusal;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "lambda";
const DATE: &str = "x-amz-date";
/// How far the client's clock may be off; AWS allows as much.
const SKEW: Duration = Duration::from_mins(5);

/// Checks that whoever has `credentials` signed this request, now and as it is.
pub(super) fn check(
    head: &Parts,
    body: &[u8],
    credentials: &Credentials,
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    let authorization = head
        .headers
        .get(header::AUTHORIZATION)
        .ok_or_else(Refusal::unsigned)?;
    let claim = authorization
        .to_str()
        .ok()
        .and_then(Claim::parse)
        .ok_or_else(|| {
            Refusal::malformed_signature(
                "Authorization is not that of a request signed with version 4",
            )
        })?;
    // Sessions of STS are for S3 alone here.
    if claim.access_key_id != credentials.access_key_id
        || head.headers.contains_key("x-amz-security-token")
    {
        return Err(Refusal::unknown_key());
    }
    if claim.service != SERVICE {
        return Err(Refusal::wrong_signature(
            "Credential should be scoped to correct service: 'lambda'.",
        ));
    }
    let time = text(&head.headers, DATE).and_then(parse_time);
    let time =
        time.ok_or_else(|| Refusal::malformed_signature("X-Amz-Date is missing, or not a date"))?;
    if (now - time).unsigned_abs() > SKEW {
        return Err(Refusal::wrong_signature(
            "Signature expired: X-Amz-Date is more than five minutes from now",
        ));
    }
    let signature = sign_again(head, body, &claim, credentials, time).ok_or_else(|| {
        Refusal::malformed_signature("the signed headers are not those of the request")
    })?;
    // Digests, because comparing these tells nothing of the signature by the time it takes.
    if Sha256::digest(signature) == Sha256::digest(claim.signature) {
        Ok(())
    } else {
        Err(Refusal::wrong_signature(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.",
        ))
    }
}

/// What a request says of its signature.
#[derive(Debug, PartialEq, Eq)]
struct Claim<'a> {
    access_key_id: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    /// `AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/<service>/aws4_request, SignedHeaders=<a;b>, Signature=<hex>`.
    fn parse(authorization: &'a str) -> Option<Self> {
        let fields: Vec<(&str, &str)> = authorization
            .strip_prefix(ALGORITHM)?
            .split(',')
            .filter_map(|field| field.trim().split_once('='))
            .collect();
        let field = |name: &str| {
            fields
                .iter()
                .find(|(field, _)| *field == name)
                .map(|(_, value)| *value)
        };
        let mut scope = field("Credential")?.rsplitn(5, '/');
        let ("aws4_request", service, region, date, access_key_id) = (
            scope.next()?,
            scope.next()?,
            scope.next()?,
            scope.next()?,
            scope.next()?,
        ) else {
            return None;
        };
        Some(Self {
            access_key_id,
            date,
            region,
            service,
            signed_headers: field("SignedHeaders")?.split(';').collect(),
            signature: field("Signature")?,
        })
    }
}

/// The signature that the request should have; `None` where it cannot be made of what it says.
fn sign_again(
    head: &Parts,
    body: &[u8],
    claim: &Claim<'_>,
    credentials: &Credentials,
    time: OffsetDateTime,
) -> Option<String> {
    let host = text(&head.headers, "host")?;
    let must_be_signed = ["host", DATE];
    if must_be_signed
        .iter()
        .any(|name| !claim.signed_headers.contains(name))
        || !text(&head.headers, DATE)?.starts_with(claim.date)
    {
        return None;
    }
    // The date is added by the signing itself.
    let signed: Vec<(&str, &str)> = claim
        .signed_headers
        .iter()
        .filter(|name| **name != DATE)
        .map(|name| Some((*name, text(&head.headers, name)?)))
        .collect::<Option<_>>()?;
    let uri = format!("http://{host}{}", head.uri.path_and_query()?);
    let request = SignableRequest::new(
        head.method.as_str(),
        uri,
        signed.into_iter(),
        SignableBody::Bytes(body),
    )
    .ok()?;
    let identity = Key::new(
        &credentials.access_key_id,
        &credentials.secret_access_key,
        None,
        None,
        "the local stack",
    )
    .into();
    let mut settings = SigningSettings::default();
    // Which headers count is the client's choice.
    settings.excluded_headers = None;
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(claim.region)
        .name(claim.service)
        .time(time.into())
        .settings(settings)
        .build()
        .ok()?;
    let (_, signature) = sign(request, &parameters.into()).ok()?.into_parts();
    Some(signature)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A time as signatures write it, `20260102T030405Z`.
fn parse_time(text: &str) -> Option<OffsetDateTime> {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    Some(PrimitiveDateTime::parse(text, format).ok()?.assume_utc())
}
