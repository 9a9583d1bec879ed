//! What an object carries besides its bytes: headers, user metadata, tags.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use s3s::S3ErrorCode;
use s3s::dto::{Metadata, ServerSideEncryption, StorageClass, Tag, Timestamp, TimestampFormat};
use serde::{Deserialize, Serialize};

use crate::error::{Failure, StorageError};

/// User metadata of at most this many bytes, names and values together (S3's limit).
const METADATA_BYTES: usize = 2 * 1024;
const STORAGE_CLASSES: [&str; 9] = [
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "GLACIER_IR",
    "EXPRESS_ONEZONE",
];

/// The headers kept with an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Attributes {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_language: Option<String>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) storage_class: Option<String>,
    /// Until when an archived object can be read, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) restored_until: Option<i64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
}

/// The attribute fields that put, copy and multipart requests have in common.
macro_rules! attributes {
    ($input:expr) => {
        $crate::attributes::Attributes {
            content_type: $input.content_type.take(),
            cache_control: $input.cache_control.take(),
            content_disposition: $input.content_disposition.take(),
            content_encoding: $input.content_encoding.take(),
            content_language: $input.content_language.take(),
            expires: $input.expires.take().map($crate::attributes::seconds),
            storage_class: $input
                .storage_class
                .take()
                .map(|class| class.as_str().to_owned()),
            restored_until: None,
            metadata: $input
                .metadata
                .take()
                .unwrap_or_default()
                .into_iter()
                .collect(),
        }
        .checked()
    };
}
pub(crate) use attributes;

/// Seconds since 1970 of an `Expires` header.
pub(crate) fn seconds(expires: Timestamp) -> i64 {
    time::OffsetDateTime::from(expires).unix_timestamp()
}

impl Attributes {
    /// Refuses what S3 refuses, and drops `aws-chunked`, which describes the request only.
    pub(crate) fn checked(mut self) -> Result<Self, Failure> {
        let bytes: usize = self
            .metadata
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if bytes > METADATA_BYTES {
            let message = "Your metadata headers exceed the maximum allowed metadata size.";
            return Err(Failure::answer(S3ErrorCode::MetadataTooLarge, message));
        }
        if let Some(class) = &self.storage_class
            && !STORAGE_CLASSES.contains(&class.as_str())
        {
            return Err(Failure::answer(
                S3ErrorCode::InvalidStorageClass,
                "The storage class you specified is not valid.",
            ));
        }
        if let Some(encoding) = self.content_encoding.take() {
            let kept: Vec<_> = encoding
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty() && *name != "aws-chunked")
                .collect();
            self.content_encoding = (!kept.is_empty()).then(|| kept.join(","));
        }
        Ok(self)
    }

    /// `Content-Type`, or what S3 says where none was given.
    pub(crate) fn content_type(&self) -> String {
        self.content_type
            .clone()
            .unwrap_or_else(|| "binary/octet-stream".to_owned())
    }

    /// The class for listings, where it is always named.
    pub(crate) fn storage_class_name(&self) -> String {
        self.storage_class
            .clone()
            .unwrap_or_else(|| StorageClass::STANDARD.to_owned())
    }

    /// The class for GET and HEAD, where S3 leaves `STANDARD` out.
    pub(crate) fn storage_class_header(&self) -> Option<StorageClass> {
        self.storage_class
            .clone()
            .filter(|class| class != StorageClass::STANDARD)
            .map(StorageClass::from)
    }

    /// User metadata as the API wants it.
    pub(crate) fn user_metadata(&self) -> Option<Metadata> {
        (!self.metadata.is_empty()).then(|| self.metadata.clone().into_iter().collect())
    }

    /// `Expires` as the API wants it.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        Timestamp::parse(TimestampFormat::EpochSeconds, &self.expires?.to_string()).ok()
    }

    pub(crate) fn to_json(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|_source| StorageError::Damaged("attributes").into())
    }
}

/// Refuses encryption that is not there. SSE-S3 (`AES256`) is what S3 does anyway.
pub(crate) fn check_encryption(
    encryption: Option<&ServerSideEncryption>,
    customer_key: Option<&String>,
) -> Result<(), Failure> {
    if customer_key.is_some()
        || encryption.is_some_and(|kind| kind.as_str() != ServerSideEncryption::AES256)
    {
        let message = "only SSE-S3 (AES256) is accepted here; SSE-C and SSE-KMS are not";
        return Err(Failure::answer(S3ErrorCode::NotImplemented, message));
    }
    Ok(())
}

/// Parses the `x-amz-tagging` header, form-encoded pairs.
pub(crate) fn tags_of_header(header: &str) -> Result<Vec<(String, String)>, Failure> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
    };
    let mut tags = Vec::new();
    for pair in header.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Ok(key), Ok(value)) = (decode(key), decode(value)) else {
            return Err(Failure::answer(
                S3ErrorCode::InvalidArgument,
                "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
            ));
        };
        tags.push((key, value));
    }
    check_tags(&tags)?;
    Ok(tags)
}

/// Takes the tags out of a request's document.
pub(crate) fn tags_of_set(set: Vec<Tag>) -> Result<Vec<(String, String)>, Failure> {
    let tags: Vec<_> = set
        .into_iter()
        .map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default()))
        .collect();
    check_tags(&tags)?;
    Ok(tags)
}

fn check_tags(tags: &[(String, String)]) -> Result<(), Failure> {
    if tags.len() > 10 {
        return Err(Failure::bad_request(
            "BadRequest",
            "Object tags cannot be greater than 10",
        ));
    }
    for (index, (key, value)) in tags.iter().enumerate() {
        let count = |text: &str| text.chars().count();
        if key.is_empty() || count(key) > 128 {
            return Err(Failure::answer(
                S3ErrorCode::InvalidTag,
                "The TagKey you have provided is invalid",
            ));
        }
        if count(value) > 256 {
            return Err(Failure::answer(
                S3ErrorCode::InvalidTag,
                "The TagValue you have provided is invalid",
            ));
        }
        if tags.iter().take(index).any(|(other, _)| other == key) {
            return Err(Failure::answer(
                S3ErrorCode::InvalidTag,
                "Cannot provide multiple Tags with the same key",
            ));
        }
    }
    Ok(())
}
