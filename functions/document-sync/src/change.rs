//! What one S3 event says about one object.

use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::sequencer::Sequencer;

/// The longest key S3 accepts, in bytes of UTF-8.
const MAX_KEY_BYTES: usize = 1024;
/// The longest name a bucket ever had, in bytes (63 today, 255 in us-east-1 before 2018).
const MAX_BUCKET_BYTES: usize = 255;

/// An object's place: the order of changes holds within one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    bucket: String,
    key: String,
    digest: Uuid,
}

impl Location {
    /// The object of this raw (decoded) key.
    ///
    /// # Errors
    ///
    /// [`LocationError`] for what cannot be the name of an object, or could not be stored as text.
    pub fn new(bucket: String, key: String) -> Result<Self, LocationError> {
        if bucket.is_empty() || bucket.len() > MAX_BUCKET_BYTES || bucket.contains(['\0', '/']) {
            return Err(LocationError::Bucket);
        }
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(LocationError::KeyLength);
        }
        if key.contains('\0') {
            return Err(LocationError::Nul);
        }
        let digest = digest(&bucket, &key);
        Ok(Self {
            bucket,
            key,
            digest,
        })
    }

    /// The object of a key as classic notifications carry it: form-urlencoded, `+` for a space.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and [`LocationError::Utf8`] when the decoded bytes are no text.
    pub fn decode(bucket: String, encoded_key: &str) -> Result<Self, LocationError> {
        // `+` first: a plus sign of the key itself arrives as %2B.
        let spaced = encoded_key.replace('+', " ");
        let key = percent_decode_str(&spaced)
            .decode_utf8()
            .map_err(|_invalid| LocationError::Utf8)?;
        Self::new(bucket, key.into_owned())
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The raw key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The first half of the SHA-256 of `bucket/key`: what the ledger knows the object by.
    ///
    /// A bucket's name has no slash, so no two objects share the text; that two share 128 bits of its digest is
    /// beyond accident, and who finds such a pair at will can only confuse two objects of his own.
    pub fn digest(&self) -> Uuid {
        self.digest
    }

    /// `s3://bucket/key`, the key not encoded: the form in which pgai and others read it.
    pub fn uri(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    /// The last segment of the key that is not empty; the whole key when it is all slashes.
    pub fn title(&self) -> &str {
        self.key
            .rsplit('/')
            .find(|segment| !segment.is_empty())
            .unwrap_or(&self.key)
    }

    /// Whether an object of this size is what consoles and file managers put in place of a folder.
    pub fn is_folder_marker(&self, size: Option<i64>) -> bool {
        self.key.ends_with('/') && size == Some(0)
    }
}

fn digest(bucket: &str, key: &str) -> Uuid {
    let digest = Sha256::new()
        .chain_update(bucket)
        .chain_update("/")
        .chain_update(key)
        .finalize();
    let mut half = [0; 16];
    half.iter_mut()
        .zip(digest)
        .for_each(|(half, byte)| *half = byte);
    Uuid::from_bytes(half)
}

/// Why a bucket and a key name no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Empty, too long or with characters no bucket has.
    #[error("the bucket's name is not a bucket's name")]
    Bucket,
    /// Empty or longer than S3 allows.
    #[error("the key is empty or longer than 1024 bytes")]
    KeyLength,
    /// PostgreSQL's text cannot hold it.
    #[error("the key contains a NUL character")]
    Nul,
    /// Decoding lossily would name another object.
    #[error("the key is not UTF-8 after decoding")]
    Utf8,
}

/// One object is, or may be, no longer what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The object.
    pub location: Location,
    /// Its place in the order of the object's events, where S3 gave one.
    pub sequencer: Option<Sequencer>,
    /// When it happened, by S3's clock.
    pub time: OffsetDateTime,
    /// What happened.
    pub kind: Kind,
}

/// What an event tells of its object's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// This content is there.
    Put(Content),
    /// Nothing is there.
    Removed,
    /// A lifecycle rule removed it. Such an event may carry the sequencer of the midnight the rule is computed for,
    /// so only a greater sequencer proves it newer than what is known.
    Expired,
    /// Something is there, or nothing: only S3 can tell. Deleting one version can leave an older one, reveal one
    /// that a delete marker hid, or change nothing, and no further event says which.
    Unknown,
}

/// The identity of an object's content. A document changes when, and only when, one of these does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// The entity tag without quotes.
    pub etag: Option<String>,
    /// Bytes.
    pub size: Option<i64>,
    /// `None` in a bucket without versions.
    pub version_id: Option<String>,
}

impl Content {
    /// The content an event describes. `"null"` is how S3 writes "no version".
    pub fn new(etag: Option<String>, size: Option<i64>, version_id: Option<String>) -> Self {
        Self {
            etag: etag.map(|etag| etag.trim_matches('"').to_owned()),
            size,
            version_id: version_id.filter(|version| version != "null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classic_keys_are_decoded_plus_first() {
        for (encoded, key) in [
            ("a+b%2Bc+%281%29.pdf", "a b+c (1).pdf"),
            ("%2B%2B++%2520.mp3", "++  %20.mp3"),
            ("100%", "100%"),
            ("notes/%C3%BC%F0%9F%98%80", "notes/ü😀"),
            ("//a//", "//a//"),
        ] {
            let location = Location::decode("b".into(), encoded).unwrap();
            assert_eq!(location.key(), key);
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let decode = |key: &str| Location::decode("b".into(), key).unwrap_err();
        assert_eq!(decode("%FF"), LocationError::Utf8);
        assert_eq!(decode("a%00b"), LocationError::Nul);
        assert_eq!(decode(""), LocationError::KeyLength);
        assert_eq!(decode(&"k".repeat(1025)), LocationError::KeyLength);
        assert_eq!(
            Location::new(String::new(), "k".into()),
            Err(LocationError::Bucket)
        );
    }

    #[test]
    fn the_digest_is_what_sql_computes_from_the_uri() {
        // printf 'bucket/a b.md' | sha256sum
        let location = Location::new("bucket".into(), "a b.md".into()).unwrap();
        assert_eq!(
            location.digest().to_string(),
            "0b6b3982-3d82-564d-c2dd-f9df185f02af"
        );
    }

    #[test]
    fn the_title_is_the_last_segment() {
        for (key, title) in [
            ("a/b.pdf", "b.pdf"),
            ("b.pdf", "b.pdf"),
            ("a/b/", "b"),
            ("//", "//"),
        ] {
            assert_eq!(
                Location::new("b".into(), key.into()).unwrap().title(),
                title
            );
        }
    }
}
