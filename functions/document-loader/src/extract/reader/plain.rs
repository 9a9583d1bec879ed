//! Text that is what it says: plain text, CSV, JSON.

use std::borrow::Cow;

use crate::extract::encoding;
use crate::extract::format::Format;
use crate::extract::limits::Limits;
use crate::extract::refusal::{Refusal, Size};
use crate::extract::text::Text;

/// Reads a document.
pub(crate) fn read(bytes: Vec<u8>, format: Format, limits: &Limits) -> Result<Text, Refusal> {
    let text = decoded(bytes, limits)?;
    if text.trim().is_empty() {
        return Err(Refusal::Empty);
    }
    Ok(Text {
        format,
        text,
        marks: Vec::new(),
    })
}

/// The text, with line breaks as they are on Unix and without NUL. What is UTF-8 already is not copied.
pub(crate) fn decoded(bytes: Vec<u8>, limits: &Limits) -> Result<String, Refusal> {
    let text = match encoding::decode(&bytes, None) {
        Cow::Borrowed(text) if text.len() == bytes.len() => {
            String::from_utf8(bytes).map_err(|error| Refusal::damaged(error.utf8_error()))?
        }
        text => text.into_owned(),
    };
    let text = if text.contains(['\r', '\0']) {
        text.replace("\r\n", "\n")
            .replace('\r', "\n")
            .replace('\0', "")
    } else {
        text
    };
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > limits.text {
        return Err(Refusal::too_large(Size::Text, limits.text));
    }
    Ok(text)
}
