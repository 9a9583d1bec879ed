//! What the fuzz targets assert, on a stable compiler: for random texts, and for documents after accidents.
#[path = "support/document.rs"]
mod support;

#[path = "../fuzz/properties/sniff.rs"]
mod sniff;
#[path = "../fuzz/properties/split.rs"]
mod split;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::Config;
use support::{READABLE, fixture};

/// A failure prints its input, which is worth a test of its own; nothing is kept in a file.
fn config(cases: u32) -> Config {
    Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    }
}

const SEPARATORS: [&str; 14] = [
    "\n\n", "\n", ".", "?", "!", " ", "", "|", "aa", "ab", "\n## ", "\n- ", "。", "..",
];

/// Words, separators and white space of all kinds.
fn text() -> impl Strategy<Value = String> {
    let word = select(vec!["a", "b", "aa", "Größe", "日本", "😀", "x", "#", "1."]);
    let glue = select(vec![
        " ", " ", ". ", "? ", "\n", "\n\n", "\n## ", "\n- ", "", "|", "。", "\u{a0}", "\u{1c}",
        "\u{3000}", "\t",
    ]);
    proptest::collection::vec((word, glue), 0..120).prop_map(|parts| {
        parts
            .into_iter()
            .flat_map(|(word, glue)| [word, glue])
            .collect()
    })
}

#[test]
fn chunks_of_any_text_have_the_properties_of_all_chunks() {
    let separators = prop_oneof![
        Just(SEPARATORS[..7].to_vec()),
        proptest::collection::vec(select(SEPARATORS.to_vec()), 0..8),
    ];
    let text = prop_oneof![text(), "\\PC{0,80}", "[ab. \n]{0,300}"];
    proptest!(config(3_000), |(text in text, separators in separators, size in 0_usize..60, overlap in 0_usize..40)| {
        let separators: Vec<String> = separators.into_iter().map(str::to_owned).collect();
        split::hold_for(size, overlap, &separators, &text);
    });
}

#[test]
fn the_splitter_that_a_text_describes_has_them_too() {
    for input in [
        "20\n5\n\\n\n.\n \n\"\"\n\nSome text. And more of it!\nNext line.",
        "1\n1\n\"\"\n\nüber",
        "0\n0\n\n\ntext",
        "no number",
    ] {
        split::hold_for_bytes(input.as_bytes());
    }
}

#[test]
fn documents_after_accidents_have_the_properties_of_all_content() {
    let documents: Vec<Vec<u8>> = READABLE
        .into_iter()
        .map(|name| {
            let mut document = fixture(name);
            document.truncate(6_000);
            document
        })
        .collect();
    let accident = (
        any::<Index>(),
        proptest::collection::vec(any::<u8>(), 0..4),
        0_usize..40,
    );
    let accidents = proptest::collection::vec(accident, 0..4);
    proptest!(config(300), |(document: Index, accidents in accidents, key in key())| {
        let mut bytes = document.get(&documents).clone();
        for (place, inserted, removed) in accidents {
            let at = place.index(bytes.len() + 1);
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, inserted);
        }
        sniff::hold_for(&key, &bytes);
    });
}

#[test]
fn any_bytes_have_the_properties_of_all_content() {
    let beginning = select(vec![
        "",
        "BM",
        "PK\x03\x04",
        "%PDF-",
        "<!DOCTYPE html>",
        "<svg",
        "{",
        "ID3",
        "{\\rtf",
        "\u{feff}",
        "\x1b$B",
    ]);
    let content = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        "\\PC{0,60}".prop_map(String::into_bytes),
        "[a-z ,.\n\t]{0,200}".prop_map(String::into_bytes),
    ];
    proptest!(config(3_000), |(beginning in beginning, content in content, key in key())| {
        let content = [beginning.as_bytes(), &content].concat();
        sniff::hold_for(&key, &content);
        let line = [key.as_bytes(), b"\n", &content].concat();
        sniff::hold_for_bytes(&line);
    });
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "", "a.md", "a.html", "a.csv", "a.json", "a.txt", "a.pdf", "a/b", "folder/", "a?.md#",
            "."
        ])
        .prop_map(str::to_owned),
        "\\PC{0,12}",
    ]
}
