//! The checksums S3 verifies and stores.
//!
//! Algorithms and the rules for multipart objects:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use s3s::S3ErrorCode;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::error::Failure;

/// An algorithm a client may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    #[serde(rename = "CRC32")]
    Crc32,
    #[serde(rename = "CRC32C")]
    Crc32c,
    #[serde(rename = "CRC64NVME")]
    Crc64Nvme,
    #[serde(rename = "SHA1")]
    Sha1,
    #[serde(rename = "SHA256")]
    Sha256,
    #[serde(rename = "SHA512")]
    Sha512,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 6] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
    ];

    /// The name in the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }

    /// The header or trailer that carries a value.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Sha512 => "x-amz-checksum-sha512",
        }
    }

    /// Finds an algorithm by its API name, in any case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of a value.
    fn width(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// Whether the value of a whole follows from the values of its parts.
    pub(crate) fn is_crc(self) -> bool {
        self.crc().is_some()
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 | Self::Sha512 => None,
        }
    }

    /// Refuses a value that is not Base64 of the right length.
    pub(crate) fn check_form(self, value: &str) -> Result<(), Failure> {
        match STANDARD.decode(value) {
            Ok(bytes) if bytes.len() == self.width() => Ok(()),
            _ => Err(Failure::answer(
                S3ErrorCode::InvalidRequest,
                format!("Value for {} header is invalid.", self.header()),
            )),
        }
    }
}

/// What a stored checksum covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Coverage {
    /// The bytes of the object.
    #[serde(rename = "FULL_OBJECT")]
    FullObject,
    /// The checksums of the parts, one after the other.
    #[serde(rename = "COMPOSITE")]
    Composite,
}

impl Coverage {
    /// The name in the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }
}

/// A verified checksum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksum {
    pub(crate) algorithm: Algorithm,
    /// Base64; composite values end in `-` and the number of parts.
    pub(crate) value: String,
    pub(crate) coverage: Coverage,
}

impl Checksum {
    /// The checksum of a multipart object from the checksums and sizes of its parts.
    pub(crate) fn of_parts(
        algorithm: Algorithm,
        coverage: Coverage,
        parts: &[(String, i64)],
    ) -> Option<Self> {
        let value = match coverage {
            Coverage::FullObject => full_object(algorithm, parts)?,
            Coverage::Composite => {
                let mut hasher = Hasher::new(algorithm);
                for (value, _) in parts {
                    hasher.update(&STANDARD.decode(value).ok()?);
                }
                format!("{}-{}", hasher.finish(), parts.len())
            }
        };
        Some(Self {
            algorithm,
            value,
            coverage,
        })
    }
}

/// Combines CRCs of parts without reading the bytes again.
fn full_object(algorithm: Algorithm, parts: &[(String, i64)]) -> Option<String> {
    let crc = algorithm.crc()?;
    let mut combined = None;
    for (value, size) in parts {
        let bytes = STANDARD.decode(value).ok()?;
        let part = bytes
            .iter()
            .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        combined = Some(match combined {
            None => part,
            Some(sum) => crc_fast::checksum_combine(crc, sum, part, u64::try_from(*size).ok()?),
        });
    }
    Some(crc_text(algorithm, combined?))
}

fn crc_text(algorithm: Algorithm, value: u64) -> String {
    let bytes = value.to_be_bytes();
    STANDARD.encode(
        bytes
            .get(bytes.len() - algorithm.width()..)
            .unwrap_or(&bytes),
    )
}

/// Computes one checksum over a stream.
pub(crate) struct Hasher {
    algorithm: Algorithm,
    state: State,
}

enum State {
    Crc(crc_fast::Digest),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Crc32 => State::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32IsoHdlc)),
            Algorithm::Crc32c => State::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi)),
            Algorithm::Crc64Nvme => State::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme)),
            Algorithm::Sha1 => State::Sha1(sha1::Sha1::new()),
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
        };
        Self { algorithm, state }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Crc(digest) => digest.update(bytes),
            State::Sha1(digest) => digest.update(bytes),
            State::Sha256(digest) => digest.update(bytes),
            State::Sha512(digest) => digest.update(bytes),
        }
    }

    /// The value in Base64.
    pub(crate) fn finish(self) -> String {
        match self.state {
            State::Crc(digest) => crc_text(self.algorithm, digest.finalize()),
            State::Sha1(digest) => STANDARD.encode(digest.finalize()),
            State::Sha256(digest) => STANDARD.encode(digest.finalize()),
            State::Sha512(digest) => STANDARD.encode(digest.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(algorithm: Algorithm, bytes: &[u8]) -> String {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    #[test]
    fn known_values_of_the_crcs() {
        // The check values of the CRC catalogue for "123456789".
        assert_eq!(
            of(Algorithm::Crc32, b"123456789"),
            STANDARD.encode(0xcbf4_3926_u32.to_be_bytes())
        );
        assert_eq!(
            of(Algorithm::Crc32c, b"123456789"),
            STANDARD.encode(0xe306_9283_u32.to_be_bytes())
        );
        assert_eq!(
            of(Algorithm::Crc64Nvme, b"123456789"),
            STANDARD.encode(0xae8b_1486_0a79_9888_u64.to_be_bytes())
        );
    }

    #[test]
    fn a_crc_of_the_whole_follows_from_its_parts() {
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            let parts = [(of(algorithm, b"12345"), 5), (of(algorithm, b"6789"), 4)];
            let whole = Checksum::of_parts(algorithm, Coverage::FullObject, &parts).unwrap();
            assert_eq!(whole.value, of(algorithm, b"123456789"));
        }
    }

    #[test]
    fn a_value_of_the_wrong_length_is_refused() {
        assert!(Algorithm::Sha256.check_form("AAAA").is_err());
        assert!(Algorithm::Crc32.check_form("AAAAAA==").is_ok());
    }
}
