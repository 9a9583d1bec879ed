//! Identifiers nobody can guess.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::StorageError;

/// `N` random bytes of the operating system.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], StorageError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_source| StorageError::Random)?;
    Ok(bytes)
}

/// `2 * N` lower-case hexadecimal digits.
pub(crate) fn hexadecimal<const N: usize>() -> Result<String, StorageError> {
    Ok(hex::encode(bytes::<N>()?))
}

/// `length` capital letters and digits, as in access key ids and request ids.
pub(crate) fn capitals(length: usize) -> Result<String, StorageError> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        for byte in bytes::<16>()? {
            if let Some(&letter) = ALPHABET.get(usize::from(byte & 31))
                && text.len() < length
            {
                text.push(char::from(letter));
            }
        }
    }
    Ok(text)
}

/// URL-safe Base64 of `bytes` with dots for dashes, as version ids look.
pub(crate) fn dotted(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes).replace('-', ".")
}

/// A UUID of version 4, as SQS message ids and EventBridge ids are.
pub(crate) fn uuid() -> Result<String, StorageError> {
    let mut bytes = bytes::<16>()?;
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut bytes;
    *version = (*version & 0x0f) | 0x40;
    *variant = (*variant & 0x3f) | 0x80;
    let mut text = hex::encode(bytes);
    for place in [20, 16, 12, 8] {
        text.insert(place, '-');
    }
    Ok(text)
}
