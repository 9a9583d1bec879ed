//! What the fuzz targets assert, on a stable compiler: for the sample events, and for what is left of them after
//! thousands of accidents.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

#[path = "../fuzz/properties/envelope.rs"]
mod envelope;
#[path = "../fuzz/properties/settings.rs"]
mod settings;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::Config;
use serde_json::{Value, json};

/// A failure prints its input, which is worth a test of its own; nothing is kept in a file.
fn config() -> Config {
    Config {
        failure_persistence: None,
        ..Config::with_cases(2_000)
    }
}

#[test]
fn the_sample_events_have_the_properties_of_every_payload() {
    let seeds = seeds();
    assert!(seeds.len() > 20, "{} samples are there", seeds.len());
    for seed in &seeds {
        envelope::holds_for(seed);
    }
}

#[test]
fn events_with_broken_text_have_the_properties_of_every_payload() {
    let (seeds, tokens) = (seeds(), tokens());
    let accidents = proptest::collection::vec(accident(tokens), 1..8);
    proptest!(config(), |(seed: Index, accidents in accidents)| {
        let mut bytes = seed.get(&seeds).clone();
        for accident in &accidents {
            accident.happen_to(&mut bytes);
        }
        envelope::holds_for(&bytes);
    });
}

#[test]
fn events_with_strange_values_have_the_properties_of_every_payload() {
    let seeds: Vec<Value> = seeds()
        .iter()
        .map(|seed| serde_json::from_slice(seed).unwrap())
        .collect();
    let changes = proptest::collection::vec((any::<Index>(), strange_value()), 1..4);
    proptest!(config(), |(seed: Index, changes in changes)| {
        let mut event = seed.get(&seeds).clone();
        for (place, value) in &changes {
            let count = places(&mut event, None);
            places(&mut event, Some((place.index(count), value)));
        }
        envelope::holds_for(event.to_string().as_bytes());
    });
}

#[test]
fn settings_of_any_text_have_the_properties_of_every_setting() {
    let tokens = tokens();
    let line = prop_oneof![
        Just(String::new()),
        proptest::sample::select(SETTINGS.map(str::to_owned).to_vec()),
        proptest::sample::select(tokens).prop_map(|token| String::from_utf8_lossy(&token).into()),
        "[a-z/*?{}\\[\\]!,\\\\\" %&=:@.-]{0,12}",
        "\\PC{0,8}",
    ];
    let lines = proptest::collection::vec(line, 1..9);
    proptest!(config(), |(lines in lines)| {
        settings::hold_for(lines.join("\n").as_bytes());
    });
}

/// Some that are valid, so that more than refusals is seen.
const SETTINGS: [&str; 8] = [
    "reports/",
    r#"["reports/", "notes/"]"#,
    "**/*.{pdf,md}",
    r#"["**/.*", "**/~*"]"#,
    "10",
    "reports/2026/a b.pdf",
    "db.example.com:5432/name?sslmode=verify-full",
    "notes/",
];

/// The sample events, and the text of each message in them.
fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort_unstable();
    let mut seeds = Vec::new();
    for path in paths {
        let event = fs::read(path).unwrap();
        let value: Value = serde_json::from_slice(&event).unwrap();
        let records = value.get("Records").and_then(Value::as_array);
        let bodies = records
            .into_iter()
            .flatten()
            .filter_map(|record| record.get("body")?.as_str());
        // The poison among them is no JSON.
        seeds.extend(
            bodies
                .filter(|body| serde_json::from_str::<Value>(body).is_ok())
                .map(|body| body.as_bytes().to_vec()),
        );
        seeds.push(event);
    }
    seeds
}

/// The entries of the fuzzer's dictionary.
fn tokens() -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/dictionary.txt");
    let text = fs::read_to_string(path).unwrap();
    let entries = text.lines().filter(|line| !line.starts_with('#'));
    entries
        .map(|entry| {
            let quoted = entry.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
            let token = quoted.replace("\\\"", "\"").replace("\\\\", "\\");
            token.into_bytes()
        })
        .collect()
}

/// What can befall a text on its way.
#[derive(Debug, Clone)]
enum Accident {
    Byte(Index, u8),
    Inserted(Index, Vec<u8>),
    Removed(Index, usize),
    Repeated(Index, usize),
    CutOff(Index),
}

fn accident(tokens: Vec<Vec<u8>>) -> impl Strategy<Value = Accident> {
    let place = any::<Index>;
    let piece = || (place(), 1..64_usize);
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(place, byte)| Accident::Byte(place, byte)),
        (place(), proptest::sample::select(tokens))
            .prop_map(|(place, token)| Accident::Inserted(place, token)),
        piece().prop_map(|(place, length)| Accident::Removed(place, length)),
        piece().prop_map(|(place, length)| Accident::Repeated(place, length)),
        place().prop_map(Accident::CutOff),
    ]
}

impl Accident {
    fn happen_to(&self, bytes: &mut Vec<u8>) {
        let at = |place: &Index| place.index(bytes.len() + 1);
        match self {
            Self::Byte(place, byte) => {
                let at = at(place);
                bytes.splice(at..(at + 1).min(bytes.len()).max(at), [*byte]);
            }
            Self::Inserted(place, token) => {
                let at = at(place);
                bytes.splice(at..at, token.iter().copied());
            }
            Self::Removed(place, length) => {
                let at = at(place);
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            Self::Repeated(place, length) => {
                let at = at(place);
                bytes.extend_from_within(at..(at + length).min(bytes.len()));
            }
            Self::CutOff(place) => {
                let at = at(place);
                bytes.truncate(at);
            }
        }
    }
}

/// Values that are none of S3's, or at the edge of what is.
fn strange_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        proptest::sample::select(vec![
            json!([]),
            json!({}),
            json!(""),
            json!("null"),
            json!("\0"),
            json!("a%00b"),
            json!("%FF"),
            json!("a+b%2Bc"),
            json!("folder/"),
            json!("k".repeat(1024)),
            json!("k".repeat(1025)),
            json!("ü".repeat(513)),
            json!("\"quoted\""),
            json!("aws:s3"),
            json!("aws:sqs"),
            json!("aws:sns"),
            json!("ObjectRemoved:Delete"),
            json!("LifecycleExpiration:Delete"),
            json!("ffffffffffffffffffffffffffffffff"),
            json!("9999-12-31T23:59:59Z"),
            json!({ "Records": [] }),
            json!(r#"{"Records":[]}"#),
        ]),
        "\\PC{0,16}".prop_map(Value::from),
    ]
}

/// Counts the places of a document at which a value stands, those within the JSON of texts included; and puts another
/// value at one of them.
fn places(value: &mut Value, put: Option<(usize, &Value)>) -> usize {
    let mut seen = 1;
    if let Some((0, other)) = put {
        *value = other.clone();
        return seen;
    }
    let mut visit = |part: &mut Value| {
        let put = put.and_then(|(place, other)| Some((place.checked_sub(seen)?, other)));
        seen += places(part, put);
    };
    match value {
        Value::Array(parts) => parts.iter_mut().for_each(visit),
        Value::Object(parts) => parts.values_mut().for_each(visit),
        Value::String(text) => {
            if let Ok(mut inner @ (Value::Array(_) | Value::Object(_))) = serde_json::from_str(text)
            {
                visit(&mut inner);
                *text = inner.to_string();
            }
        }
        _ => {}
    }
    seen
}
