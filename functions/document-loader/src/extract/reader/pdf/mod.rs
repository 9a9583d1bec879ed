//! PDF.
//!
//! `hayro` reads objects, fonts and encodings; what is done here is to follow the operators that show text
//! (`interpreter`), and to make words, lines and paragraphs of characters on a page (`layout`).

mod font;
mod interpreter;
mod layout;
mod matrix;

use hayro_syntax::{DecryptionError, LoadPdfError, Pdf};

use crate::extract::format::Format;
use crate::extract::limits::Limits;
use crate::extract::reader::pdf::font::Fonts;
use crate::extract::reader::pdf::interpreter::{Seen, interpret};
use crate::extract::refusal::Refusal;
use crate::extract::text::Text;
use crate::extract::writer::{Gap, Writer, characters};

/// Pages of pictures have fewer characters than this, on average: page numbers, or the stamp of a scanner.
const SCANNED: u64 = 20;

/// Reads a document.
pub(crate) fn read(bytes: Vec<u8>, limits: &Limits) -> Result<Text, Refusal> {
    let pdf = Pdf::new(bytes).map_err(|error| match error {
        LoadPdfError::Decryption(
            DecryptionError::PasswordProtected | DecryptionError::UnsupportedAlgorithm,
        ) => Refusal::Encrypted,
        LoadPdfError::Decryption(error) => Refusal::damaged(format!("{error:?}")),
        LoadPdfError::Invalid => Refusal::damaged("no PDF can be found in it"),
    })?;
    let mut writer = Writer::new(limits);
    let mut fonts = Fonts::default();
    let mut seen = Seen::default();
    let mut letters = 0;
    for (number, page) in (1..).zip(pdf.pages().iter()) {
        writer.page(number)?;
        let text = interpret(page, &mut fonts, &mut seen, limits)?;
        letters += characters(&text);
        writer.block(Gap::Paragraph, &text)?;
    }
    let pages = u64::try_from(pdf.pages().len()).unwrap_or(u64::MAX);
    if is_picture(letters, pages, &seen) {
        return Err(Refusal::NeedsOcr {
            detected: "application/pdf".to_owned(),
        });
    }
    writer.finish(Format::Pdf)
}

/// Whether a reader sees a text here that we do not: in images, in drawn shapes, or in fonts that do not say which
/// characters their shapes are.
fn is_picture(letters: u64, pages: u64, seen: &Seen) -> bool {
    let is_scanned = seen.images > 0 && letters < pages.saturating_mul(SCANNED);
    let is_drawn = seen.shapes > 0 && letters == 0;
    let is_unknown = seen.unknown > letters;
    is_scanned || is_drawn || is_unknown
}
