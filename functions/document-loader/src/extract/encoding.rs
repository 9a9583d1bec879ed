//! From bytes to text, whatever its encoding.
//!
//! In this order: a byte order mark, UTF-8, UTF-16 that is known by its shape, what the document says of itself, and
//! for the rest the detector of Firefox (`chardetng`).

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE};

/// How many bytes are looked at to guess.
const SAMPLE: usize = 64 * 1024;

/// The text of these bytes, without a byte order mark. What is no text in its encoding becomes U+FFFD.
///
/// `declared` is what the document says of itself; it is asked when the bytes leave a choice.
pub fn decode<'b>(bytes: &'b [u8], declared: Option<&'static Encoding>) -> Cow<'b, str> {
    if let Some(text) = utf_32(bytes) {
        return Cow::Owned(text);
    }
    let (encoding, text) = match Encoding::for_bom(bytes) {
        Some((encoding, length)) => (encoding, bytes.get(length..).unwrap_or_default()),
        None => (guess(bytes, declared), bytes),
    };
    encoding.decode_without_bom_handling(text).0
}

/// Whether these bytes are text in an encoding that [`decode`] knows, rather than something that only begins like one.
pub fn is_text(bytes: &[u8]) -> bool {
    if utf_32(bytes).is_some() {
        return true;
    }
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        let text = bytes.get(length..).unwrap_or_default();
        let sample = encoding.decode_without_bom_handling(sample(text)).0;
        return is_readable(&sample, 10);
    }
    if is_utf_8(bytes) || utf_16(bytes).is_some() {
        return true;
    }
    if sample(bytes).contains(&0) {
        return false;
    }
    let (text, _, _) = guess(bytes, None).decode(sample(bytes));
    is_readable(&text, 200)
}

/// Whether at most one of so many characters, as decoded, is a control character or no character at all.
fn is_readable(text: &str, one_in: usize) -> bool {
    is_rare(text, one_in, |character| {
        character == char::REPLACEMENT_CHARACTER || is_control(character)
    })
}

/// Whether at most one of so many characters is strange. Two are nothing: a text may begin like an archive.
fn is_rare(text: &str, one_in: usize, is_strange: impl Fn(char) -> bool) -> bool {
    let strange = text.chars().filter(|character| is_strange(*character));
    strange.count() <= (text.chars().count() / one_in).max(2)
}

/// Control characters that texts do not have. Escape belongs to colours and to Japanese.
fn is_control(character: char) -> bool {
    character.is_control()
        && !matches!(
            character,
            '\t' | '\n' | '\x0b' | '\x0c' | '\r' | '\x1b' | '\u{85}'
        )
}

fn guess(bytes: &[u8], declared: Option<&'static Encoding>) -> &'static Encoding {
    if is_utf_8(bytes) {
        // Japanese in seven bits is valid UTF-8, too, but nobody could read it.
        return if is_iso_2022_jp(bytes) {
            ISO_2022_JP
        } else {
            UTF_8
        };
    }
    if let Some(encoding) = utf_16(bytes) {
        return encoding;
    }
    if is_mostly_utf_8(bytes) {
        return UTF_8;
    }
    if let Some(encoding) = declared {
        return encoding;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(sample(bytes), true);
    detector.guess(None, Utf8Detection::Deny)
}

/// Valid UTF-8 that is a text. UTF-16 may be valid, too, but then half of it are control characters.
fn is_utf_8(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| is_rare(text, 10, is_control))
}

fn sample(bytes: &[u8]) -> &[u8] {
    bytes.get(..SAMPLE).unwrap_or(bytes)
}

/// Whether bytes of seven bits switch to Japanese characters.
fn is_iso_2022_jp(bytes: &[u8]) -> bool {
    let sample = sample(bytes);
    let mut switches = sample
        .windows(3)
        .filter(|window| matches!(window, [0x1b, b'$', b'@' | b'B']));
    switches.next().is_some() && !ISO_2022_JP.decode(sample).2
}

/// Whether these are bytes of UTF-8 with an accident: cut off in the middle of a character, or with a few foreign bytes.
fn is_mostly_utf_8(bytes: &[u8]) -> bool {
    let (mut errors, mut characters) = (0_usize, 0_usize);
    for chunk in sample(bytes).utf8_chunks() {
        errors += usize::from(!chunk.invalid().is_empty());
        characters += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
    }
    errors > 0 && characters >= errors.saturating_mul(10)
}

/// UTF-16 without a byte order mark.
///
/// Text has spaces, line breaks and punctuation of ASCII or of East Asia; read in the wrong order, these become rare
/// characters. And text has neither lone surrogates nor control characters.
fn utf_16(bytes: &[u8]) -> Option<&'static Encoding> {
    let sample = sample(bytes);
    if bytes.len() < 4 || !bytes.len().is_multiple_of(2) {
        return None;
    }
    let weight = |encoding: &'static Encoding, unit: fn([u8; 2]) -> u16| {
        let (pairs, _) = sample.as_chunks::<2>();
        let usual = pairs.iter().filter(|pair| is_usual(unit(**pair))).count();
        let text = encoding.decode_without_bom_handling(sample).0;
        let is_text = is_readable(&text, 1000) && !text.contains(['\u{fffe}', '\u{ffff}']);
        (is_text && usual.saturating_mul(20) >= pairs.len()).then_some(usual)
    };
    let little = weight(UTF_16LE, u16::from_le_bytes);
    let big = weight(UTF_16BE, u16::from_be_bytes);
    match (little, big) {
        (None, None) => None,
        _ if little > big => Some(UTF_16LE),
        _ if big > little => Some(UTF_16BE),
        _ => None,
    }
}

/// Spaces, line breaks, letters and punctuation of ASCII, and the punctuation of Chinese and Japanese.
fn is_usual(unit: u16) -> bool {
    matches!(
        unit,
        0x09 | 0x0a | 0x0d | 0x20..=0x7e | 0x3001 | 0x3002 | 0xff0c
    )
}

/// UTF-32 with a byte order mark, which is not among the encodings of the web.
fn utf_32(bytes: &[u8]) -> Option<String> {
    let unit: fn([u8; 4]) -> u32 = match bytes {
        [0xff, 0xfe, 0, 0, ..] => u32::from_le_bytes,
        [0, 0, 0xfe, 0xff, ..] => u32::from_be_bytes,
        _ => return None,
    };
    let (units, []) = bytes.get(4..)?.as_chunks::<4>() else {
        return None;
    };
    units
        .iter()
        .map(|bytes| char::from_u32(unit(*bytes)))
        .collect()
}
