//! Chunks are those that pgai makes, and say where they are.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use document_loader::extract::{Format, Hint, Limits, Mark, Place, Text};
use document_loader::splitter::{
    MARKDOWN_SEPARATORS, SEPARATORS, Splitter, SplitterError, TooManyChunks,
};
use serde::Deserialize;

/// What `fixtures/chunks.py` recorded.
#[derive(Deserialize)]
struct Recorded {
    texts: HashMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    size: usize,
    overlap: usize,
    separators: Vec<String>,
    chunks: Vec<String>,
}

#[test]
fn chunks_are_those_of_the_well_known_splitter() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chunks.json");
    let recorded: Recorded = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert!(recorded.cases.len() > 100);
    for case in recorded.cases {
        let text = plain(&recorded.texts[&case.text]);
        let splitter = Splitter::recursive(case.size, case.overlap, &case.separators).unwrap();
        let name = format!("{}, {}/{}", case.text, case.size, case.overlap);
        assert_eq!(texts(&splitter, &text), case.chunks, "{name}");
    }
}

#[test]
fn by_default_chunks_have_800_characters_and_share_400() {
    let text = plain(&"äbcd ".repeat(400));
    let default = Splitter::default();
    assert_eq!(
        Splitter::recursive(800, 400, SEPARATORS),
        Ok(default.clone())
    );
    let chunks = default.chunks(&text).unwrap();
    assert_eq!(chunks.len(), 5);
    assert_eq!(chunks[0].characters, 0..799);
    assert_eq!(chunks[0].bytes, 0..959);
    assert_eq!(chunks[1].characters, 400..1199);
}

#[test]
fn a_text_may_stay_whole() {
    let text = plain("  One.\n\nTwo.  ");
    assert_eq!(texts(&Splitter::whole(), &text), [text.text.as_str()]);
    assert_eq!(Splitter::whole().at_headings(), Splitter::whole());
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let splitter = |size, overlap| Splitter::recursive(size, overlap, SEPARATORS);
    assert_eq!(splitter(0, 0), Err(SplitterError::Size));
    assert_eq!(splitter(10, 11), Err(SplitterError::Overlap));
    assert!(splitter(10, 10).is_ok());
    let separators = |count| Splitter::recursive(10, 0, vec![" "; count]);
    assert_eq!(separators(0), Err(SplitterError::Separators));
    assert_eq!(separators(65), Err(SplitterError::Separators));
}

#[test]
fn too_many_chunks_are_refused() {
    let splitter = Splitter::recursive(10, 0, [""]).unwrap().at_most(10);
    assert_eq!(splitter.chunks(&plain(&"a".repeat(100))).unwrap().len(), 10);
    let refused = splitter.chunks(&plain(&"a".repeat(101)));
    assert_eq!(refused, Err(TooManyChunks(10)));
}

#[test]
fn a_chunk_knows_its_page_and_the_headings_above_it() {
    let mut text = plain(
        "# A\n\nfirst page\n\n## B\n\nsecond page\n\n### C\n\nthird\n\n## D\n\nfourth\n\n# E\n\nfifth",
    );
    let place = |mark: &str, place| Mark {
        offset: u64::try_from(text.text.find(mark).unwrap()).unwrap(),
        place,
    };
    let heading = |mark: &str, level| {
        let title = mark.trim_start_matches(['#', ' ']).to_owned();
        place(mark, Place::Heading { level, title })
    };
    text.marks = vec![
        place("# A", Place::Page(1)),
        heading("# A", 1),
        heading("## B", 2),
        place("second", Place::Page(2)),
        heading("### C", 3),
        heading("## D", 2),
        heading("# E", 1),
    ];
    let splitter = Splitter::recursive(14, 0, ["\n\n"]).unwrap();
    let found: Vec<String> = splitter
        .chunks(&text)
        .unwrap()
        .iter()
        .map(|chunk| {
            let page = chunk.page.unwrap_or_default();
            format!(
                "{page} {} | {}",
                chunk.headings.join(" > "),
                chunk.text(&text)
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            "1 A | # A",
            "1 A | first page",
            "1 A > B | ## B",
            "2 A > B | second page",
            "2 A > B > C | ### C\n\nthird",
            "2 A > D | ## D\n\nfourth",
            "2 E | # E\n\nfifth",
        ]
    );
}

#[test]
fn no_chunk_goes_on_over_a_heading() {
    let markdown = "Before.\n\n# One\n\n## Two\n\nShort.\n\n## Three\n\nAlso short.\n\n```\n# no heading\n```\n\n# Four\n";
    let text = document_loader::extract::document::read(
        markdown.as_bytes().to_vec(),
        &Hint::of_key("a.md"),
        &Limits::default(),
    );
    let text = text.unwrap();
    let splitter = Splitter::recursive(700, 150, MARKDOWN_SEPARATORS).unwrap();
    assert_eq!(texts(&splitter, &text).len(), 1);
    let splitter = splitter.at_headings();
    assert_eq!(
        texts(&splitter, &text),
        [
            "Before.",
            "# One\n\n## Two\n\nShort.",
            "## Three\n\nAlso short.\n\n```\n# no heading\n```",
            "# Four",
        ]
    );
    let small = Splitter::recursive(15, 0, [" "]).unwrap().at_headings();
    let chunks = small.chunks(&text).unwrap();
    let last = chunks.last().unwrap();
    assert_eq!(
        (last.text(&text), last.headings.as_ref()),
        ("# Four", &["Four".to_owned()][..])
    );
    for chunk in chunks {
        let before = text.text.get(..chunk.bytes.start).unwrap();
        assert_eq!(
            chunk.characters.start,
            u64::try_from(before.chars().count()).unwrap()
        );
    }
}

#[test]
fn a_long_text_without_any_separator_is_split_in_little_memory() {
    // Nothing but chunks may grow: a list of all parts would have ten million entries here.
    let text = plain(&"x".repeat(10_000_000));
    let chunks = Splitter::default().chunks(&text).unwrap();
    assert_eq!(chunks.len(), 24_999);
    let last = chunks.last().unwrap();
    assert_eq!(last.characters, 9_999_200..10_000_000);
}

fn plain(text: &str) -> Text {
    Text {
        format: Format::Plain,
        text: text.to_owned(),
        marks: Vec::new(),
    }
}

fn texts<'t>(splitter: &Splitter, text: &'t Text) -> Vec<&'t str> {
    let chunks = splitter.chunks(text).unwrap();
    chunks.iter().map(|chunk| chunk.text(text)).collect()
}
