//! Signatures of version 4: a request is signed again, with the key of whom it names, and must come out the same.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::request::Parts;
use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: &str = "x-amz-date";
/// How far the client's clock may be off; AWS allows as much.
const SKEW: Duration = Duration::from_mins(5);

/// Why a signature does not count.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SignatureError {
    /// There is none.
    #[error("Missing Authentication Token")]
    Missing,
    /// It cannot be read, or does not cover what it has to.
    #[error("{0}")]
    Malformed(&'static str),
    /// It is of another time.
    #[error("Signature expired: X-Amz-Date is more than five minutes from now")]
    Expired,
    /// It was made with another key or for another service, or for another request.
    #[error("{0}")]
    Wrong(String),
}

/// What a request says of its signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Whose key it says to be made with.
    pub access_key_id: &'a str,
    date: &'a str,
    /// For which region.
    pub region: &'a str,
    /// For which service.
    pub service: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    /// What the headers say; nothing of it is checked yet.
    ///
    /// # Errors
    ///
    /// There is no signature, or none that can be read.
    pub fn of(headers: &'a HeaderMap) -> Result<Self, SignatureError> {
        headers
            .get(header::AUTHORIZATION)
            .ok_or(SignatureError::Missing)?
            .to_str()
            .ok()
            .and_then(Self::parse)
            .ok_or(SignatureError::Malformed(
                "Authorization is not that of a request signed with version 4",
            ))
    }

    /// Checks that whoever has this secret signed this request, for this service, now and as it is.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn verify(
        &self,
        head: &Parts,
        body: &[u8],
        service: &str,
        secret_access_key: &str,
        now: OffsetDateTime,
    ) -> Result<(), SignatureError> {
        if self.service != service {
            return Err(SignatureError::Wrong(format!(
                "Credential should be scoped to correct service: '{service}'."
            )));
        }
        let time = text(&head.headers, DATE).and_then(parse_time);
        let time = time.ok_or(SignatureError::Malformed(
            "X-Amz-Date is missing, or not a date",
        ))?;
        if (now - time).unsigned_abs() > SKEW {
            return Err(SignatureError::Expired);
        }
        let signature = self.sign_again(head, body, secret_access_key, time).ok_or(
            SignatureError::Malformed("the signed headers are not those of the request"),
        )?;
        if is_same(&signature, self.signature) {
            Ok(())
        } else {
            Err(SignatureError::Wrong("The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.".to_owned()))
        }
    }

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

    /// The signature that the request should have; `None` where it cannot be made of what it says.
    fn sign_again(
        &self,
        head: &Parts,
        body: &[u8],
        secret_access_key: &str,
        time: OffsetDateTime,
    ) -> Option<String> {
        let host = text(&head.headers, "host")?;
        let must_be_signed = ["host", DATE];
        if must_be_signed
            .iter()
            .any(|name| !self.signed_headers.contains(name))
            || !text(&head.headers, DATE)?.starts_with(self.date)
        {
            return None;
        }
        // The date is added by the signing itself.
        let signed: Vec<(&str, &str)> = self
            .signed_headers
            .iter()
            .filter(|name| **name != DATE)
            .map(|name| Some((*name, text(&head.headers, name)?)))
            .collect::<Option<_>>()?;
        let path = head.uri.path_and_query()?;
        let uri = format!("http://{host}{path}");
        let request = SignableRequest::new(
            head.method.as_str(),
            uri,
            signed.into_iter(),
            SignableBody::Bytes(body),
        )
        .ok()?;
        let identity =
            Credentials::new(self.access_key_id, secret_access_key, None, None, "request").into();
        let mut settings = SigningSettings::default();
        // Which headers count is the client's choice.
        settings.excluded_headers = None;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(time.into())
            .settings(settings)
            .build()
            .ok()?;
        let (_, signature) = sign(request, &parameters.into()).ok()?.into_parts();
        Some(signature)
    }
}

/// Compares secrets by their digests, so that the time it takes tells nothing of them.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    Sha256::digest(one) == Sha256::digest(other)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A time as signatures write it, `20260102T030405Z`.
fn parse_time(text: &str) -> Option<OffsetDateTime> {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    Some(PrimitiveDateTime::parse(text, format).ok()?.assume_utc())
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "secret/with+signs";
    const NOW: i64 = 1_800_000_000;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(NOW + seconds).unwrap()
    }

    /// A request to STS, signed as the SDK signs it.
    fn signed(body: &str, extra: (&str, &str)) -> Parts {
        let identity = Credentials::new("AKIA/1", SECRET, None, None, "test").into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name("sts")
            .time(at(0).into())
            .settings(SigningSettings::default())
            .build()
            .unwrap();
        let headers = [("host", "127.0.0.1:9001"), extra];
        let signable = SignableRequest::new(
            "POST",
            "http://127.0.0.1:9001/",
            headers.into_iter(),
            SignableBody::Bytes(body.as_bytes()),
        );
        let (instructions, _) = sign(signable.unwrap(), &parameters.into())
            .unwrap()
            .into_parts();
        let mut request = Request::post("/").body(()).unwrap();
        for (name, value) in headers {
            let name = http::HeaderName::try_from(name).unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        instructions.apply_to_request_http1x(&mut request);
        request.into_parts().0
    }

    fn verify(head: &Parts, body: &str, now: OffsetDateTime) -> Result<(), SignatureError> {
        Claim::of(&head.headers)?.verify(head, body.as_bytes(), "sts", SECRET, now)
    }

    #[test]
    fn what_was_signed_is_taken_and_nothing_else() {
        let head = signed("Action=a", ("x-amz-security-token", "t"));
        let claim = Claim::of(&head.headers).unwrap();
        assert_eq!(
            (claim.access_key_id, claim.region, claim.service),
            ("AKIA/1", "eu-west-1", "sts")
        );
        assert_eq!(verify(&head, "Action=a", at(0)), Ok(()));
        assert_eq!(verify(&head, "Action=a", at(299)), Ok(()));
        assert_eq!(
            verify(&head, "Action=a", at(301)),
            Err(SignatureError::Expired)
        );
        assert_eq!(
            verify(&head, "Action=a", at(-301)),
            Err(SignatureError::Expired)
        );
        let is_wrong = |result| matches!(result, Err(SignatureError::Wrong(_)));
        assert!(is_wrong(verify(&head, "Action=b", at(0))));
        assert!(is_wrong(claim.verify(
            &head,
            b"Action=a",
            "iam",
            SECRET,
            at(0)
        )));
        assert!(is_wrong(claim.verify(
            &head,
            b"Action=a",
            "sts",
            "other",
            at(0)
        )));
        let changed = |change: &dyn Fn(&mut Parts)| {
            let mut head = signed("Action=a", ("x-amz-security-token", "t"));
            change(&mut head);
            verify(&head, "Action=a", at(0))
        };
        assert!(is_wrong(changed(
            &|head| head.uri = "/other".parse().unwrap()
        )));
        assert!(is_wrong(changed(&|head| head.method = http::Method::PUT)));
        assert!(is_wrong(changed(&|head| {
            let token = "x-amz-security-token";
            head.headers.insert(token, "u".parse().unwrap());
        })));
        let is_malformed = |result| matches!(result, Err(SignatureError::Malformed(_)));
        assert!(is_malformed(changed(&|head| {
            head.headers.remove("x-amz-security-token");
        })));
        assert!(is_malformed(changed(&|head| {
            head.headers.remove("x-amz-date");
        })));
        assert!(is_malformed(changed(&|head| {
            head.headers.remove("host");
        })));
        let missing = changed(&|head| {
            head.headers.remove("authorization");
        });
        assert_eq!(missing, Err(SignatureError::Missing));
    }

    proptest! {
        #[test]
        fn any_header_is_a_claim_or_none(text in "(AWS4-HMAC-SHA256 )?(Credential=|SignedHeaders=|Signature=|[a-z/,;= ]){0,12}") {
            let claim = Claim::parse(&text);
            prop_assert!(claim.is_none_or(|claim| text.contains(claim.signature)));
        }

        #[test]
        fn a_claim_is_read_as_it_was_written(key in "[A-Z0-9/]{1,20}", region in "[a-z0-9-]{1,12}", signature in "[0-9a-f]{64}") {
            let text = format!(
                "AWS4-HMAC-SHA256 Credential={key}/20260102/{region}/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature={signature}"
            );
            let claim = Claim::parse(&text).unwrap();
            prop_assert_eq!(claim.access_key_id, key);
            prop_assert_eq!(claim.region, region);
            prop_assert_eq!(claim.signed_headers, vec!["host", "x-amz-date"]);
            prop_assert_eq!(claim.signature, signature);
        }
    }
}
