//! Requests that others make in this function's name: of one method, for one object, until they expire. Signing costs
//! no request.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_smithy_types::DateTime;

use super::multipart::Upload;
use super::{Bucket, Error};

/// A request that anybody may make who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presigned {
    /// The method, which is part of the signature.
    pub method: String,
    /// The address, signature included: a secret until it expires.
    pub url: String,
    /// Headers that must be sent just like that.
    pub headers: Vec<(String, String)>,
    /// When it is no longer taken. It ends earlier if the function's own credentials do; a transfer that has begun
    /// goes on.
    pub expires_at: DateTime,
}

/// What must be true of an upload that is signed for.
#[derive(Debug, Clone, Default)]
pub struct Condition<'a> {
    /// The SHA-256 of the content in Base64, which S3 compares with what it gets. It goes as a header: in the query
    /// S3 does not look at it (<https://github.com/aws/aws-sdk/issues/480>).
    pub sha256: Option<&'a str>,
    /// There must be no such object yet.
    pub is_new: bool,
}

impl Bucket {
    /// Signs the reading of an object, which is sent with this `Content-Disposition`.
    ///
    /// # Errors
    ///
    /// [`Error::Other`]: there are no credentials.
    pub async fn presign_get(
        &self,
        key: &str,
        disposition: &str,
        lifetime: Duration,
    ) -> Result<Presigned, Error> {
        let get = self.client.get_object().bucket(&self.name).key(key);
        let signed = get
            .response_content_disposition(disposition)
            .presigned(self.lasting("GetObject", key, lifetime)?)
            .await
            .map_err(|error| self.classify("GetObject", key, error))?;
        Ok(presigned(&signed, lifetime))
    }

    /// Signs the question what an object is like: the request for its bytes does not answer it.
    ///
    /// # Errors
    ///
    /// [`Error::Other`]: there are no credentials.
    pub async fn presign_head(
        &self,
        key: &str,
        disposition: &str,
        lifetime: Duration,
    ) -> Result<Presigned, Error> {
        let head = self.client.head_object().bucket(&self.name).key(key);
        let signed = head
            .response_content_disposition(disposition)
            .presigned(self.lasting("HeadObject", key, lifetime)?)
            .await
            .map_err(|error| self.classify("HeadObject", key, error))?;
        Ok(presigned(&signed, lifetime))
    }

    /// Signs the writing of an object of at most 5 GiB.
    ///
    /// # Errors
    ///
    /// [`Error::Other`]: there are no credentials.
    pub async fn presign_put(
        &self,
        key: &str,
        condition: &Condition<'_>,
        lifetime: Duration,
    ) -> Result<Presigned, Error> {
        let put = self.client.put_object().bucket(&self.name).key(key);
        let signed = put
            .set_checksum_sha256(condition.sha256.map(ToOwned::to_owned))
            .set_if_none_match(condition.is_new.then(|| "*".to_owned()))
            .presigned(self.lasting("PutObject", key, lifetime)?)
            .await
            .map_err(|error| self.classify("PutObject", key, error))?;
        Ok(presigned(&signed, lifetime))
    }

    /// Signs the writing of one part of an upload, whose SHA-256 in Base64 is `sha256`.
    ///
    /// # Errors
    ///
    /// [`Error::Other`]: there are no credentials.
    pub async fn presign_part(
        &self,
        upload: &Upload<'_>,
        number: u16,
        sha256: &str,
        lifetime: Duration,
    ) -> Result<Presigned, Error> {
        let put = self.client.upload_part().bucket(&self.name);
        let signed = put
            .key(upload.key)
            .upload_id(upload.id)
            .part_number(number.into())
            .checksum_sha256(sha256)
            .presigned(self.lasting("UploadPart", upload.key, lifetime)?)
            .await
            .map_err(|error| self.classify("UploadPart", upload.key, error))?;
        Ok(presigned(&signed, lifetime))
    }

    fn lasting(
        &self,
        action: &'static str,
        key: &str,
        lifetime: Duration,
    ) -> Result<PresigningConfig, Error> {
        PresigningConfig::expires_in(lifetime).map_err(|error| self.other(action, key, error))
    }
}

fn presigned(signed: &PresignedRequest, lifetime: Duration) -> Presigned {
    Presigned {
        method: signed.method().to_owned(),
        url: signed.uri().to_owned(),
        headers: signed
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        expires_at: (SystemTime::now() + lifetime).into(),
    }
}
