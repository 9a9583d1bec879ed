use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use shared::s3::{DateTime, Description};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::FilePath;

/// The user's metadata under which an upload in parts says what its whole SHA-256 is.
pub(super) const DECLARED: &str = "sha256";

/// What `filename*` takes as it is (RFC 8187, attr-char).
const ATTRIBUTE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// A file of an artifact, as clients are told of it and as the manifest keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// What it is called.
    pub path: FilePath,
    /// Bytes.
    pub size: u64,
    /// S3's tag of the content.
    pub etag: String,
    /// In hexadecimal: of the whole content, verified by S3 when it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// In hexadecimal: what whoever sent it in parts said. S3 has verified each part, and not this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared_sha256: Option<String>,
    /// What S3 has made or verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
    /// As its author named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// RFC 3339; of a file that was sent in parts, when that began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uploaded_at: Option<String>,
}

/// A checksum that S3 has made or verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// As S3 names it.
    pub algorithm: String,
    /// Base64.
    pub value: String,
    /// `FULL_OBJECT`, or `COMPOSITE`: made from those of the parts.
    #[serde(rename = "type")]
    pub kind: String,
}

impl File {
    pub(super) fn new(path: FilePath, described: Description) -> Self {
        let checksum = described.checksum.map(|checksum| Checksum {
            algorithm: checksum.algorithm.to_owned(),
            value: checksum.value,
            kind: if checksum.is_composite {
                "COMPOSITE".to_owned()
            } else {
                "FULL_OBJECT".to_owned()
            },
        });
        let mut metadata = described.metadata;
        Self {
            path,
            size: described.size,
            etag: described.etag,
            sha256: checksum.as_ref().and_then(Checksum::sha256),
            declared_sha256: metadata.remove(DECLARED),
            checksum,
            content_type: described.content_type,
            uploaded_at: described.last_modified.and_then(|time| moment(&time)),
        }
    }
}

impl Checksum {
    fn sha256(&self) -> Option<String> {
        let is_whole = self.algorithm == "SHA256" && self.kind == "FULL_OBJECT";
        let bytes = STANDARD.decode(&self.value).ok().filter(|_| is_whole)?;
        Some(hex::encode(bytes))
    }
}

/// A time of S3 to the second, as listings and descriptions agree on it.
pub(crate) fn moment(time: &DateTime) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(time.secs()).ok()?;
    time.format(&Rfc3339).ok()
}

/// Has browsers save what they get under this name, and never show it (RFC 6266). The name is there twice: as it is,
/// and for old programs with an underscore for what they may not understand.
pub(super) fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|character| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '-' | '_' | '.' | '(' | ')' | '+' | ',' => {
                character
            }
            _ => '_',
        })
        .collect();
    let exact = utf8_percent_encode(name, ATTRIBUTE);
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_saved_as_it_is_and_can_be_nothing_but_a_name() {
        for (name, header) in [
            (
                "model.bin",
                "attachment; filename=\"model.bin\"; filename*=UTF-8''model.bin",
            ),
            (
                "ü 😀.txt",
                "attachment; filename=\"_ _.txt\"; filename*=UTF-8''%C3%BC%20%F0%9F%98%80.txt",
            ),
            (
                "a\"; filename=\"b\r\nx: y",
                "attachment; filename=\"a__ filename__b__x_ y\"; filename*=UTF-8''a%22%3B%20filename%3D%22b%0D%0Ax%3A%20y",
            ),
        ] {
            assert_eq!(disposition(name), header);
        }
    }
}
