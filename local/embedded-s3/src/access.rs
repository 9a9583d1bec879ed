//! Who may do something. Every request passes here once its signature is checked, and before its operation.

use std::sync::Arc;

use async_trait::async_trait;
use embedded_iam::signature::Claim;
use embedded_iam::{Authority, Caller, Context, Iam, KeyError};
use http::{HeaderName, HeaderValue, StatusCode, Uri};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::error::{Failure, StorageError};
use crate::facts::{BucketFacts, Facts};
use crate::faults::Faults;
use crate::grant::Grant;
use crate::permission::{Asked, Need};
use crate::request::RequestId;

const TOKEN: &str = "x-amz-security-token";
const BUCKET_REGION: &str = "x-amz-bucket-region";
/// Seconds in a week.
const LONGEST_URL: u64 = 604_800;

/// Lets requests in. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) iam: Iam,
    pub(crate) facts: Facts,
    pub(crate) faults: Faults,
}

impl Access {
    /// Lets in a request that was signed with this key, or says why not.
    pub(crate) async fn admit(&self, asked: &Asked<'_>, access_key_id: &str) -> S3Result<Grant> {
        let token = asked.header(TOKEN);
        let caller = self
            .iam
            .caller(access_key_id, token.as_deref())
            .map_err(refused_key)?;
        self.faults.suffer(asked.operation, asked.key).await?;
        let authority = self.authority(caller).await?;
        let facts = match asked.bucket {
            Some(name) => self.facts.of(name).await?,
            None => None,
        };
        // Whoever makes a bucket that is there already hears so from the operation, whoever's it is.
        let facts = facts.filter(|_| asked.operation != "CreateBucket");
        let mut grant = Grant::new(authority, asked.bucket, facts.clone());
        let Some(facts) = facts else {
            // Said here: by the time of the operation there may be one, of somebody else's.
            if asked.bucket.is_some() && asked.operation != "CreateBucket" {
                return Err(no_bucket());
            }
            check(asked, &grant)?;
            return Ok(grant);
        };
        match self.check_bucket(asked, &facts, &mut grant).await {
            Ok(()) => Ok(grant),
            Err(error) => Err(with_region(error, &facts.region)),
        }
    }

    async fn check_bucket(
        &self,
        asked: &Asked<'_>,
        facts: &BucketFacts,
        grant: &mut Grant,
    ) -> S3Result<()> {
        check_region(asked, facts)?;
        check_owner(asked, "x-amz-expected-bucket-owner", facts)?;
        let is_of_policy = matches!(
            asked.operation,
            "GetBucketPolicy" | "PutBucketPolicy" | "DeleteBucketPolicy"
        );
        // As on AWS, an account cannot lock itself out of its own policy.
        if !(is_of_policy && grant.is_administrators()) {
            check(asked, grant)?;
        }
        charge(asked, facts, grant)?;
        grant.hides_missing = match asked.source() {
            Some((source, need)) => self.check_source(asked, &source, &need, grant).await?,
            None => asked.key.is_some() && !grant.may_list(),
        };
        Ok(())
    }

    /// A copy reads as well. Returns whether what is missing there is hidden.
    async fn check_source(
        &self,
        asked: &Asked<'_>,
        bucket: &str,
        need: &Need,
        grant: &Grant,
    ) -> S3Result<bool> {
        let facts = self.facts.of(bucket).await?.ok_or_else(no_bucket)?;
        check_owner(asked, "x-amz-source-expected-bucket-owner", &facts)?;
        let mut source = grant.elsewhere(bucket, Arc::clone(&facts));
        if !source.is_unquestioned() {
            source.check(need, &Context::default())?;
        }
        charge(asked, &facts, &mut source)?;
        Ok(!source.may_list())
    }

    async fn authority(&self, caller: Caller) -> S3Result<Arc<Authority>> {
        let iam = self.iam.clone();
        let authority = match caller {
            Caller::Administrator(_) => iam.authority(caller),
            // Reads the role's file.
            Caller::Session(_) => tokio::task::spawn_blocking(move || iam.authority(caller))
                .await
                .map_err(|_cancelled| Failure::from(StorageError::Closed))?,
        };
        Ok(Arc::new(authority))
    }
}

fn no_bucket() -> S3Error {
    S3Error::with_message(
        S3ErrorCode::NoSuchBucket,
        "The specified bucket does not exist",
    )
}

fn check(asked: &Asked<'_>, grant: &Grant) -> S3Result<()> {
    if grant.is_unquestioned() {
        return Ok(());
    }
    let context = asked.context();
    let needs = asked.needs();
    needs
        .iter()
        .try_for_each(|need| grant.check(need, &context))
}

/// A request signed for another region is sent there. Where a bucket is, anyone may ask from anywhere.
fn check_region(asked: &Asked<'_>, facts: &BucketFacts) -> S3Result<()> {
    let signed = signed_region(asked);
    if asked.operation == "GetBucketLocation" || signed.is_none_or(|region| region == facts.region)
    {
        return Ok(());
    }
    Err(S3Error::with_message(
        S3ErrorCode::PermanentRedirect,
        "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.",
    ))
}

/// The region a request was signed for, in its header or in the query of a presigned URL.
fn signed_region(asked: &Asked<'_>) -> Option<String> {
    if let Ok(claim) = Claim::of(asked.headers) {
        return Some(claim.region.to_owned());
    }
    let credential = asked.parameter("X-Amz-Credential")?;
    let region = credential.rsplit('/').nth(2)?;
    Some(region.to_owned())
}

fn check_owner(asked: &Asked<'_>, header: &str, facts: &BucketFacts) -> S3Result<()> {
    match asked.header(header) {
        Some(expected) if expected != facts.account.as_str() => Err(S3Error::with_message(
            S3ErrorCode::AccessDenied,
            "Access Denied",
        )),
        _ => Ok(()),
    }
}

/// Whoever reads another account's bucket that does not pay for it has to say that they do.
fn charge(asked: &Asked<'_>, facts: &BucketFacts, grant: &mut Grant) -> S3Result<()> {
    if !facts.requester_pays || !grant.is_foreign() {
        return Ok(());
    }
    if asked.header("x-amz-request-payer").as_deref() != Some("requester") {
        return Err(S3Error::with_message(
            S3ErrorCode::AccessDenied,
            "Access Denied: the bucket is one of Requester Pays",
        ));
    }
    grant.is_charged = true;
    Ok(())
}

/// Redirects say where to, and so do refusals of a bucket.
fn with_region(mut error: S3Error, region: &str) -> S3Error {
    let mut headers = error.headers().cloned().unwrap_or_default();
    if let Ok(region) = HeaderValue::from_str(region) {
        headers.insert(BUCKET_REGION, region);
    }
    error.set_headers(headers);
    error
}

fn refused_key(error: KeyError) -> S3Error {
    let code = match error {
        KeyError::Unknown => S3ErrorCode::InvalidAccessKeyId,
        KeyError::Expired => S3ErrorCode::ExpiredToken,
        KeyError::WrongToken => S3ErrorCode::InvalidToken,
    };
    S3Error::with_message(code, error.to_string())
}

/// Presigned URLs last a week at most.
fn check_lifetime(uri: &Uri) -> S3Result<()> {
    let mut pairs = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    let seconds = pairs
        .find(|(name, _)| *name == "X-Amz-Expires")
        .and_then(|(_, value)| value.parse::<u64>().ok());
    if seconds.is_none_or(|seconds| seconds <= LONGEST_URL) {
        return Ok(());
    }
    let code = S3ErrorCode::Custom("AuthorizationQueryParametersError".into());
    let mut error = S3Error::with_message(
        code,
        "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds",
    );
    error.set_status_code(StatusCode::BAD_REQUEST);
    Err(error)
}

/// A presigned URL says which headers it was signed with. Another one that means something to S3 could make the
/// request another than was signed, so S3 refuses it.
fn check_headers(asked: &Asked<'_>) -> S3Result<()> {
    let Some(signed) = asked.parameter("X-Amz-SignedHeaders") else {
        return Ok(());
    };
    let mut names = asked.headers.keys().map(HeaderName::as_str);
    if names.any(|name| name.starts_with("x-amz-") && signed.split(';').all(|other| other != name))
    {
        return Err(S3Error::with_message(
            S3ErrorCode::AccessDenied,
            "There were headers present in the request which were not signed",
        ));
    }
    Ok(())
}

#[async_trait]
impl S3Auth for Access {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let secret = self.iam.secret(access_key);
        let secret = secret.ok_or_else(|| refused_key(KeyError::Unknown))?;
        Ok(SecretKey::from(secret))
    }
}

#[async_trait]
impl S3Access for Access {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(credentials) = context.credentials() else {
            return Err(S3Error::with_message(
                S3ErrorCode::AccessDenied,
                "Access Denied: the request is not signed",
            ));
        };
        let access_key = credentials.access_key.clone();
        check_lifetime(context.uri())?;
        let path = context.s3_path();
        let asked = Asked {
            operation: context.s3_op().name(),
            bucket: path.get_bucket_name(),
            key: path.get_object_key(),
            headers: context.headers(),
            uri: context.uri(),
        };
        check_headers(&asked)?;
        let grant = self.admit(&asked, &access_key).await?;
        let extensions = context.extensions_mut();
        extensions.insert(grant);
        if extensions.get::<RequestId>().is_none() {
            extensions.insert(RequestId::new().map_err(Failure::from)?);
        }
        Ok(())
    }
}
