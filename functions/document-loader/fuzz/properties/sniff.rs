//! What is true of the format of any bytes.
//!
//! For the fuzz target `sniff` and, on a stable compiler, for `tests/properties.rs`.

use document_loader::extract::encoding::{decode, is_text};
use document_loader::extract::format::detect;
use document_loader::extract::{Format, Hint, Limits, Refusal};

/// Small ones: what is said of an archive must not depend on how long one waits.
fn limits() -> Limits {
    Limits {
        uncompressed: 1024 * 1024,
        parts: 100,
        ..Limits::default()
    }
}

/// Checks the first line as the key of an object, and the rest as its content.
pub(crate) fn hold_for_bytes(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (key, content) = bytes.split_at(end);
    hold_for(
        &String::from_utf8_lossy(key),
        content.get(1..).unwrap_or(content),
    );
}

/// Checks what is said of an object.
pub(crate) fn hold_for(key: &str, content: &[u8]) {
    let hint = Hint::of_key(key);
    let detected = detect(content, &hint, &limits());
    assert_eq!(detected, detect(content, &hint, &limits()));
    match &detected {
        Ok(Format::Plain | Format::Markdown | Format::Html | Format::Csv | Format::Json) => {
            assert!(is_text(content));
        }
        Ok(Format::Pdf) => assert!(contains(content, b"%PDF-")),
        Ok(Format::Docx | Format::Xlsx | Format::Pptx | Format::Epub) => {
            assert!(content.starts_with(b"PK"));
        }
        Err(Refusal::Empty | Refusal::FolderMarker) => assert!(content.is_empty()),
        Err(
            Refusal::Crashed { .. }
            | Refusal::OutOfMemory
            | Refusal::TooSlow
            | Refusal::BrokenProtocol { .. },
        ) => {
            unreachable!("{detected:?}");
        }
        Err(refusal) => assert!(!refusal.to_string().contains(char::is_control)),
    }
    // The name does not make a document of what is none, nor one of another kind.
    let unnamed = detect(content, &Hint::default(), &limits());
    let is_text_format = |format: &Result<Format, Refusal>| {
        matches!(
            format,
            Ok(Format::Plain | Format::Markdown | Format::Html | Format::Csv | Format::Json)
        )
    };
    if !content.is_empty() && !is_text_format(&detected) {
        assert_eq!(unnamed, detected);
    }
    assert_eq!(is_text_format(&unnamed), is_text_format(&detected));
    text_stays(content);
}

/// What is valid as Unicode is read as what it is.
fn text_stays(content: &[u8]) {
    let decoded = decode(content, None);
    assert_eq!(decoded, decode(content, None));
    let Ok(text) = std::str::from_utf8(content) else {
        return;
    };
    if is_usual(text) {
        assert_eq!(decoded, text);
        assert!(is_text(content));
        let orders: [fn(u16) -> [u8; 2]; 2] = [u16::to_le_bytes, u16::to_be_bytes];
        for bytes in orders {
            let units = std::iter::once(0xfeff).chain(text.encode_utf16());
            let bytes: Vec<u8> = units.flat_map(bytes).collect();
            assert_eq!(decode(&bytes, None), text);
        }
    }
}

/// Nothing in it could be taken for another encoding.
fn is_usual(text: &str) -> bool {
    !text.starts_with('\u{feff}')
        && !text.contains(|character: char| character.is_control() && !"\t\n\r".contains(character))
}

fn contains(content: &[u8], part: &[u8]) -> bool {
    content.windows(part.len()).any(|window| window == part)
}
