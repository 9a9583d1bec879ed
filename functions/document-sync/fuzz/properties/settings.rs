//! What is true of the function's settings, whatever somebody writes into its environment.
//!
//! For the fuzz target `settings` and, on a stable compiler, for `tests/envelopes_fuzz.rs`.

use document_sync::change::Location;
use document_sync::filter::Filter;
use document_sync::table::TableName;
use shared::config::{Env, FromEnv};
use shared::database::Url;

const FILTERS: [&str; 6] = [
    "DOCUMENT_INCLUDE_PREFIXES",
    "DOCUMENT_EXCLUDE_PREFIXES",
    "DOCUMENT_INCLUDE_GLOBS",
    "DOCUMENT_EXCLUDE_GLOBS",
    "DOCUMENT_MIN_SIZE",
    "DOCUMENT_MAX_SIZE",
];

/// What no message and no log may contain.
const PASSWORD: &str = "geheimnis";

/// Checks the lines as values of the settings: six of the filter, then a key, then what comes after a URL's password.
pub(crate) fn hold_for(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let filters: Vec<(&str, &str)> = FILTERS.into_iter().zip(lines.by_ref()).collect();
    let key = lines.next().unwrap_or_default();
    filter(&filters, key);
    url(lines.next().unwrap_or(&text));
    let is_name = !text.contains('\0') && text.len() <= 300;
    assert_eq!(text.parse::<TableName>().is_ok(), is_name);
}

fn filter(settings: &[(&str, &str)], key: &str) {
    let read = || Filter::read(Env::new(settings.iter().copied()));
    let (filter, again) = match (read(), read()) {
        (Ok(filter), Ok(again)) => (filter, again),
        (Err(error), Err(again)) => {
            assert_eq!(error, again);
            let told = error.to_string();
            assert!(told.starts_with("invalid configuration: "), "{told}");
            return;
        }
        (first, second) => unreachable!("{first:?} and then {second:?}"),
    };
    let value = |name| {
        let mut found = settings.iter().filter(|(setting, _)| *setting == name);
        let text = found.next().map_or("", |(_, text)| text.trim());
        // As it is, or a list in JSON.
        (!text.is_empty() && !text.starts_with('[')).then_some(text)
    };
    assert_eq!(filter.admits_key(key), again.admits_key(key));
    if let Some(prefix) = value("DOCUMENT_EXCLUDE_PREFIXES") {
        assert!(!filter.admits_key(&format!("{prefix}{key}")));
    }
    if let Some(prefix) = value("DOCUMENT_INCLUDE_PREFIXES")
        && filter.admits_key(key)
    {
        assert!(key.starts_with(prefix));
    }
    let bound = |name| value(name).and_then(|text| text.parse::<i64>().ok());
    let (min, max) = (bound("DOCUMENT_MIN_SIZE"), bound("DOCUMENT_MAX_SIZE"));
    for size in [0, 1, i64::MAX].into_iter().chain(min).chain(max) {
        let is_within = min.is_none_or(|min| min <= size) && max.is_none_or(|max| size <= max);
        assert_eq!(filter.admits_size(Some(size)), is_within, "{size}");
        if let Ok(location) = Location::new("bucket".to_owned(), key.to_owned()) {
            let is_document =
                filter.admits_key(key) && is_within && !location.is_folder_marker(Some(size));
            assert_eq!(filter.admits(&location, Some(size)), is_document, "{size}");
        }
    }
    assert!(filter.admits_size(None));
}

/// Whatever the rest of a URL is, its password is not told.
fn url(rest: &str) {
    if rest.contains(PASSWORD) {
        return;
    }
    for text in [
        format!("postgresql://user:{PASSWORD}@{rest}"),
        format!("postgresql://user@host/name?password={PASSWORD}&{rest}"),
        format!("host=host password={PASSWORD} {rest}"),
    ] {
        let told = match text.parse::<Url>() {
            Ok(url) => format!("{url:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!told.contains(PASSWORD), "{told}");
    }
}
