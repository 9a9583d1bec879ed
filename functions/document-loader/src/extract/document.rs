//! From the bytes of a document to its text, in this process.

use std::io::{Cursor, Read, Seek};

use bytes::Bytes;

use crate::extract::encoding;
use crate::extract::format::{self, Format, Hint};
use crate::extract::limits::Limits;
use crate::extract::reader::{docx, epub, html, markdown, pdf, plain, pptx, xlsx};
use crate::extract::refusal::{Refusal, Size};
use crate::extract::text::Text;

/// Reads a document.
///
/// Libraries for documents may crash, take all memory or never end, whatever they promise. So this belongs into a
/// process of its own: [`Extractor`](super::Extractor).
///
/// # Errors
/// The document has no text for us.
pub fn read(bytes: Vec<u8>, hint: &Hint, limits: &Limits) -> Result<Text, Refusal> {
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limits.document {
        return Err(Refusal::too_large(Size::Document, limits.document));
    }
    match format::detect(&bytes, hint, limits)? {
        format @ (Format::Plain | Format::Csv | Format::Json) => plain::read(bytes, format, limits),
        Format::Markdown => markdown::read(bytes, limits),
        Format::Html => {
            let declared = format::declared_encoding(&bytes);
            html::read(&encoding::decode(&bytes, declared), limits)
        }
        Format::Pdf => pdf::read(bytes, limits),
        format @ (Format::Docx | Format::Xlsx | Format::Pptx | Format::Epub) => {
            from_archive(Cursor::new(Bytes::from(bytes)), format, limits)
        }
    }
}

/// Reads a document that begins like an archive, and of it only the parts that have to do with its text.
///
/// # Errors
/// As of [`read`].
pub(crate) fn read_archive(
    source: impl Read + Seek + Clone + 'static,
    limits: &Limits,
) -> Result<Text, Refusal> {
    match format::in_archive(&source, limits)? {
        format @ Format::Plain => plain::read(format::all(&source)?, format, limits),
        format => from_archive(source, format, limits),
    }
}

fn from_archive(
    source: impl Read + Seek + Clone + 'static,
    format: Format,
    limits: &Limits,
) -> Result<Text, Refusal> {
    match format {
        Format::Xlsx => xlsx::read(source, limits),
        Format::Pptx => pptx::read(source, limits),
        Format::Epub => epub::read(source, limits),
        _ => docx::read(source, limits),
    }
}

/// Reads a document that is nothing but text, which takes no library that a document could lead astray; `None` if it is
/// anything else.
pub(crate) fn read_plain(
    bytes: Vec<u8>,
    hint: &Hint,
    limits: &Limits,
) -> Option<Result<Text, Refusal>> {
    let format = format::detect_plain(&bytes, hint)?;
    Some(format.and_then(|format| plain::read(bytes, format, limits)))
}
