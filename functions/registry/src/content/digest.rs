use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A SHA-256 that a client tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sha256([u8; 32]);

/// Why a text is no SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 has 32 bytes: in hexadecimal, or in Base64 where it is a header")]
pub struct InvalidDigest;

impl Sha256 {
    /// As programs print it.
    ///
    /// # Errors
    ///
    /// [`InvalidDigest`].
    pub fn from_hex(text: &str) -> Result<Self, InvalidDigest> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_no_digest| InvalidDigest)?;
        Ok(Self(bytes))
    }

    /// As S3 writes it.
    ///
    /// # Errors
    ///
    /// [`InvalidDigest`].
    pub fn from_base64(text: &str) -> Result<Self, InvalidDigest> {
        let bytes = STANDARD
            .decode(text.trim())
            .map_err(|_no_digest| InvalidDigest)?;
        bytes.try_into().map(Self).map_err(|_length| InvalidDigest)
    }

    /// As the headers `Repr-Digest` and `Content-Digest` have it (RFC 9530): `sha-256=:…:`, perhaps among others.
    /// `None` where there is none of this algorithm.
    ///
    /// # Errors
    ///
    /// [`InvalidDigest`].
    pub fn from_field(text: &str) -> Result<Option<Self>, InvalidDigest> {
        let value = text.split(',').find_map(|member| {
            let (algorithm, value) = member.split_once('=')?;
            algorithm
                .trim()
                .eq_ignore_ascii_case("sha-256")
                .then_some(value)
        });
        let Some(value) = value else { return Ok(None) };
        let value = value.trim().strip_prefix(':').ok_or(InvalidDigest)?;
        let value = value.strip_suffix(':').ok_or(InvalidDigest)?;
        Self::from_base64(value).map(Some)
    }

    /// In hexadecimal.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// In Base64.
    pub fn base64(&self) -> String {
        STANDARD.encode(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    const BASE64: &str = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";

    #[test]
    fn the_same_digest_comes_in_three_forms() {
        let digest = Sha256::from_hex(HEX).unwrap();
        assert_eq!((digest.hex(), digest.base64()), (HEX.into(), BASE64.into()));
        assert_eq!(Sha256::from_hex(&HEX.to_uppercase()), Ok(digest));
        assert_eq!(Sha256::from_base64(BASE64), Ok(digest));
        for field in [
            format!("sha-256=:{BASE64}:"),
            format!("sha-512=:AAAA:, SHA-256=:{BASE64}:"),
        ] {
            assert_eq!(Sha256::from_field(&field), Ok(Some(digest)), "{field}");
        }
        assert_eq!(Sha256::from_field("sha-512=:AAAA:"), Ok(None));
    }

    #[test]
    fn other_texts_are_no_digests() {
        for text in ["", "2cf2", "zz", BASE64, &format!("{HEX}00")] {
            assert_eq!(Sha256::from_hex(text), Err(InvalidDigest), "{text}");
        }
        for text in ["", "AAAA", HEX, "ü"] {
            assert_eq!(Sha256::from_base64(text), Err(InvalidDigest), "{text}");
        }
        for text in ["sha-256=", "sha-256=AAAA", "sha-256=:AAAA:", "sha-256=::"] {
            assert_eq!(Sha256::from_field(text), Err(InvalidDigest), "{text}");
        }
    }
}
