//! What a client said about the bytes it sent, held against what arrived.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use s3s::{S3ErrorCode, TrailingHeaders, dto};

use crate::checksum::{Algorithm, Checksum};
use crate::error::Failure;
use crate::intake::Intake;

/// The checksum fields of an input, as pairs.
macro_rules! given {
    ($input:expr) => {
        [
            (
                $crate::checksum::Algorithm::Crc32,
                $input.checksum_crc32.take(),
            ),
            (
                $crate::checksum::Algorithm::Crc32c,
                $input.checksum_crc32c.take(),
            ),
            (
                $crate::checksum::Algorithm::Crc64Nvme,
                $input.checksum_crc64nvme.take(),
            ),
            (
                $crate::checksum::Algorithm::Sha1,
                $input.checksum_sha1.take(),
            ),
            (
                $crate::checksum::Algorithm::Sha256,
                $input.checksum_sha256.take(),
            ),
        ]
        .into_iter()
        .filter_map(|(algorithm, value)| value.map(|value| (algorithm, value)))
        .collect::<Vec<_>>()
    };
}

/// Puts a checksum into the fields of an output.
macro_rules! spread {
    ($output:expr, $checksum:expr) => {{
        let fields = $crate::integrity::fields($checksum);
        $output.checksum_crc32 = fields.checksum_crc32;
        $output.checksum_crc32c = fields.checksum_crc32c;
        $output.checksum_crc64nvme = fields.checksum_crc64nvme;
        $output.checksum_sha1 = fields.checksum_sha1;
        $output.checksum_sha256 = fields.checksum_sha256;
    }};
}
pub(crate) use {given, spread};

/// What a client promised about the bytes.
#[derive(Debug)]
pub(crate) struct Promise {
    pub(crate) algorithm: Algorithm,
    value: Option<String>,
    in_trailer: bool,
    md5: Option<Vec<u8>>,
    length: Option<i64>,
}

impl Promise {
    /// Reads the headers. `fallback` is computed where the client chose no algorithm.
    pub(crate) fn read(
        headers: &HeaderMap,
        mut given: Vec<(Algorithm, String)>,
        chosen: Option<&dto::ChecksumAlgorithm>,
        content_md5: Option<&str>,
        length: Option<i64>,
        fallback: Algorithm,
    ) -> Result<Self, Failure> {
        if let Some(value) = headers.get(Algorithm::Sha512.header()) {
            given.push((
                Algorithm::Sha512,
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            ));
        }
        let trailer = headers
            .get("x-amz-trailer")
            .and_then(|names| names.to_str().ok())
            .and_then(|names| {
                Algorithm::ALL.into_iter().find(|algorithm| {
                    names
                        .split(',')
                        .any(|name| name.trim().eq_ignore_ascii_case(algorithm.header()))
                })
            });
        if given.len() + usize::from(trailer.is_some()) > 1 {
            let message = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.";
            return Err(Failure::answer(S3ErrorCode::InvalidRequest, message));
        }
        let chosen = chosen.map(|name| named(name.as_str())).transpose()?;
        let (algorithm, value) = match (given.pop(), trailer) {
            (Some((algorithm, value)), _) => {
                algorithm.check_form(&value)?;
                (algorithm, Some(value))
            }
            (None, Some(algorithm)) => (algorithm, None),
            (None, None) => (chosen.unwrap_or(fallback), None),
        };
        let md5 = content_md5.map(|text| match STANDARD.decode(text) {
            Ok(bytes) if bytes.len() == 16 => Ok(bytes),
            _ => Err(Failure::answer(
                S3ErrorCode::InvalidDigest,
                "The Content-MD5 you specified was invalid.",
            )),
        });
        Ok(Self {
            algorithm,
            value,
            in_trailer: trailer.is_some(),
            md5: md5.transpose()?,
            length,
        })
    }

    /// `BadDigest` or `IncompleteBody`, unless the bytes are as promised.
    pub(crate) fn verify(
        mut self,
        intake: &Intake,
        trailers: Option<&TrailingHeaders>,
    ) -> Result<(), Failure> {
        if self.length.is_some_and(|length| length != intake.size) {
            let message = "You did not provide the number of bytes specified by the Content-Length HTTP header";
            return Err(Failure::answer(S3ErrorCode::IncompleteBody, message));
        }
        if self.md5.is_some_and(|md5| md5 != intake.md5) {
            let message = "The Content-MD5 you specified did not match what we received.";
            return Err(Failure::answer(S3ErrorCode::BadDigest, message));
        }
        if self.in_trailer {
            let header = self.algorithm.header();
            let value = trailers
                .and_then(|trailers| trailers.read(|headers| headers.get(header).cloned()).flatten())
                .map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
                .ok_or_else(|| Failure::bad_request("MalformedTrailerError", "The request contained trailing data that was not well-formed or did not conform to our published schema."))?;
            self.algorithm.check_form(&value)?;
            self.value = Some(value);
        }
        match self.value {
            Some(value) if value != intake.checksum => {
                let name = self.algorithm.name();
                let message =
                    format!("The {name} you specified did not match the calculated checksum.");
                Err(Failure::answer(S3ErrorCode::BadDigest, message))
            }
            _ => Ok(()),
        }
    }
}

/// The algorithm of an API name, or `InvalidRequest`.
pub(crate) fn named(name: &str) -> Result<Algorithm, Failure> {
    Algorithm::named(name).ok_or_else(|| {
        let message = "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256, SHA512]";
        Failure::answer(S3ErrorCode::InvalidRequest, message)
    })
}

/// A checksum as fields of the API. SHA-512 has none in `s3s` 0.14; see [`extra_headers`].
pub(crate) fn fields(checksum: Option<&Checksum>) -> dto::Checksum {
    let mut fields = dto::Checksum::default();
    if let Some(checksum) = checksum {
        let value = Some(checksum.value.clone());
        match checksum.algorithm {
            Algorithm::Crc32 => fields.checksum_crc32 = value,
            Algorithm::Crc32c => fields.checksum_crc32c = value,
            Algorithm::Crc64Nvme => fields.checksum_crc64nvme = value,
            Algorithm::Sha1 => fields.checksum_sha1 = value,
            Algorithm::Sha256 => fields.checksum_sha256 = value,
            Algorithm::Sha512 => {}
        }
        fields.checksum_type = Some(dto::ChecksumType::from_static(checksum.coverage.name()));
    }
    fields
}

/// The header for a SHA-512 checksum.
pub(crate) fn extra_headers(checksum: Option<&Checksum>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(checksum) = checksum.filter(|checksum| checksum.algorithm == Algorithm::Sha512)
        && let Ok(value) = http::HeaderValue::from_str(&checksum.value)
    {
        headers.insert(Algorithm::Sha512.header(), value);
    }
    headers
}
