//! Where a document's bytes are.

use std::fmt::{self, Display};
use std::str::FromStr;

/// An object: `s3://bucket/key`, the key as it is, not encoded.
///
/// Nothing else is a place to read from: no other scheme, and no endpoint or credentials within a URI, which whoever
/// writes a row could use to have the function read what is not his.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location {
    bucket: String,
    key: String,
}

/// Why a text is not the URI of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// It does not begin with `s3://`.
    #[error("it is not of the form s3://bucket/key, and only objects in S3 are read")]
    Scheme,
    /// Such a bucket cannot exist; perhaps there is an endpoint or a password where its name should be.
    #[error("what comes after s3:// is not the name of a bucket")]
    Bucket,
    /// No key, or one that S3 does not allow.
    #[error("it has no key, or one of more than 1024 bytes")]
    Key,
}

impl Location {
    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(uri: &str) -> Result<Self, LocationError> {
        let path = uri.strip_prefix("s3://").ok_or(LocationError::Scheme)?;
        let (bucket, key) = path.split_once('/').ok_or(LocationError::Key)?;
        if !is_bucket(bucket) {
            return Err(LocationError::Bucket);
        }
        if key.is_empty() || key.len() > 1024 || key.contains('\0') {
            return Err(LocationError::Key);
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        })
    }
}

impl Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "s3://{}/{}", self.bucket, self.key)
    }
}

/// Letters, digits, dots, hyphens and underscores, which the oldest buckets have: no character by which a host, a port
/// or credentials could be told.
fn is_bucket(name: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    (3..=255).contains(&name.len())
        && is_end(name.as_bytes().first())
        && is_end(name.as_bytes().last())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_taken_as_it_is() {
        for (uri, bucket, key) in [
            ("s3://notes/a", "notes", "a"),
            (
                "s3://my.bucket-1/a b+%2B?#//ä/",
                "my.bucket-1",
                "a b+%2B?#//ä/",
            ),
            ("s3://Old_Bucket/../x", "Old_Bucket", "../x"),
        ] {
            let location: Location = uri.parse().unwrap();
            assert_eq!((location.bucket(), location.key()), (bucket, key));
            assert_eq!(location.to_string(), uri);
        }
    }

    #[test]
    fn nothing_but_an_object_is_read() {
        let long = format!("s3://notes/{}", "k".repeat(1025));
        for (uri, error) in [
            ("", LocationError::Scheme),
            ("/etc/hostname", LocationError::Scheme),
            ("file:///etc/hostname", LocationError::Scheme),
            ("http://169.254.169.254/latest", LocationError::Scheme),
            ("S3://notes/a", LocationError::Scheme),
            ("s3://id:secret@host:9000@bucket/key", LocationError::Bucket),
            ("s3://id:secret@bucket/key", LocationError::Bucket),
            ("s3://host:9000/bucket", LocationError::Bucket),
            ("s3:///key", LocationError::Bucket),
            ("s3://ab/key", LocationError::Bucket),
            ("s3://bücket/key", LocationError::Bucket),
            ("s3://notes", LocationError::Key),
            ("s3://notes/", LocationError::Key),
            (&long, LocationError::Key),
        ] {
            assert_eq!(uri.parse::<Location>(), Err(error), "{uri}");
        }
    }
}
