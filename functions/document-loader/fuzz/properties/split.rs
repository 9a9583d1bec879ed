//! What is true of the chunks of any text.
//!
//! For the fuzz target `split` and, on a stable compiler, for `tests/properties.rs`.

use document_loader::extract::{Format, Text};
use document_loader::splitter::{Chunk, Splitter};

/// Checks the lines as a splitter and a text: the size of chunks, their overlap, the separators one by one until an empty
/// line, and the rest is the text. The empty separator is written as `""`.
pub(crate) fn hold_for_bytes(bytes: &[u8]) {
    let input = String::from_utf8_lossy(bytes);
    let mut parts = input.splitn(3, '\n');
    let mut number = || parts.next().and_then(|line| line.parse().ok());
    let (Some(size), Some(overlap)) = (number(), number()) else {
        return;
    };
    let rest = parts.next().unwrap_or_default();
    let (separators, text) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let separators: Vec<String> = separators
        .split('\n')
        .map(|line| if line == "\"\"" { "" } else { line })
        .map(|line| line.replace("\\n", "\n"))
        .collect();
    hold_for(size, overlap, &separators, text);
}

/// Checks the chunks of a text.
pub(crate) fn hold_for(size: usize, overlap: usize, separators: &[String], text: &str) {
    let makes_sense = size > 0 && overlap <= size && (1..=64).contains(&separators.len());
    let splitter = match Splitter::recursive(size, overlap, separators) {
        Ok(splitter) => splitter.at_most(usize::MAX),
        Err(error) => {
            assert!(!makes_sense, "{error}");
            return;
        }
    };
    assert!(makes_sense);
    let text = Text {
        format: Format::Plain,
        text: text.to_owned(),
        marks: Vec::new(),
    };
    let chunks = splitter.chunks(&text).unwrap_or_default();
    let texts: Vec<&str> = chunks.iter().map(|chunk| chunk.text(&text)).collect();
    assert_eq!(texts, split(&text.text, size, overlap, separators));
    places_are_true(&chunks, &text);
    nothing_is_lost(&chunks, &text);
    let can_be_short = separators.last().is_some_and(String::is_empty);
    for (chunk, text) in chunks.iter().zip(texts) {
        let length = chunk.characters.end - chunk.characters.start;
        assert!(!can_be_short || length <= number(size), "{text:?}");
    }
    let limited = splitter.at_most(chunks.len().saturating_sub(1));
    assert_eq!(limited.chunks(&text).is_err(), !chunks.is_empty());
}

/// Chunks are where they say, and each begins and ends behind the one before.
fn places_are_true(chunks: &[Chunk], text: &Text) {
    for (order, chunk) in chunks.iter().enumerate() {
        assert_eq!(u64::from(chunk.order), number(order));
        let before = text.text.get(..chunk.bytes.start).unwrap_or_default();
        assert_eq!(number(before.chars().count()), chunk.characters.start);
        let length = number(chunk.text(text).chars().count());
        assert_eq!(chunk.characters.end - chunk.characters.start, length);
        assert!(length > 0);
    }
    for pair in chunks.windows(2) {
        let [first, second] = pair else { continue };
        assert!(first.bytes.start <= second.bytes.start);
        assert!(first.bytes.end <= second.bytes.end);
    }
}

/// Whatever is between chunks is white space.
fn nothing_is_lost(chunks: &[Chunk], text: &Text) {
    let mut end = 0;
    let last = text.text.len()..text.text.len();
    for bytes in chunks.iter().map(|chunk| chunk.bytes.clone()).chain([last]) {
        if let Some(between) = text.text.get(end..bytes.start) {
            assert!(between.chars().all(is_white_space), "{between:?}");
        }
        end = end.max(bytes.end);
    }
}

fn number(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The same chunks in the plainest way, with copies of everything.
fn split(text: &str, size: usize, overlap: usize, separators: &[String]) -> Vec<String> {
    let mut separator = separators.last().map_or("", String::as_str);
    let mut weaker = separators;
    while let [first, others @ ..] = weaker {
        weaker = if first.is_empty() { &[] } else { others };
        if text.contains(first.as_str()) {
            separator = first;
            break;
        }
    }
    let mut parts: Vec<String> = if separator.is_empty() {
        text.chars().map(String::from).collect()
    } else {
        let mut parts = text.split(separator);
        let first = parts.next().map(str::to_owned);
        let others = parts.map(|part| format!("{separator}{part}"));
        first.into_iter().chain(others).collect()
    };
    parts.retain(|part| !part.is_empty());
    let (mut chunks, mut short) = (Vec::new(), Vec::new());
    for part in parts {
        if part.chars().count() < size {
            short.push(part);
            continue;
        }
        chunks.extend(merge(&std::mem::take(&mut short), size, overlap));
        if weaker.is_empty() {
            chunks.push(part);
        } else {
            chunks.extend(split(&part, size, overlap, weaker));
        }
    }
    chunks.extend(merge(&short, size, overlap));
    chunks
}

fn merge(parts: &[String], size: usize, overlap: usize) -> Vec<String> {
    let length = |parts: &[String]| parts.iter().map(|part| part.chars().count()).sum::<usize>();
    let mut chunks = Vec::new();
    let mut open: Vec<String> = Vec::new();
    for part in parts {
        if length(&open) + part.chars().count() > size {
            chunks.push(open.concat());
            while length(&open) > overlap
                || (length(&open) > 0 && length(&open) + part.chars().count() > size)
            {
                open.remove(0);
            }
        }
        open.push(part.clone());
    }
    chunks.push(open.concat());
    chunks.retain_mut(|chunk| {
        *chunk = chunk.trim_matches(is_white_space).to_owned();
        !chunk.is_empty()
    });
    chunks
}

fn is_white_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}
