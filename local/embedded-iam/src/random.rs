//! Identifiers and secrets nobody can guess.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// `length` capital letters and digits, as in access key ids.
pub(crate) fn capitals(length: usize) -> io::Result<String> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte & 31)))
        .map(|&letter| char::from(letter))
        .collect())
}

/// Base64 of `N` random bytes, with the signs that clients have to encode in a URL.
pub(crate) fn base64<const N: usize>() -> io::Result<String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(STANDARD.encode(bytes))
}
