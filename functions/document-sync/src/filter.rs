//! Which objects are documents.

use std::fmt;
use std::str::FromStr;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use shared::config::{Env, FromEnv};

use crate::change::Location;

/// Which objects are documents, by key and size.
///
/// Of the lists that are given, a document is in each list of what to include and in none of what to exclude. By
/// default every object is one, except folder markers
/// ([`Location::is_folder_marker`]).
#[derive(Debug, Clone, Default)]
pub struct Filter {
    include_prefixes: Prefixes,
    exclude_prefixes: Prefixes,
    include_globs: Globs,
    exclude_globs: Globs,
    min_size: Option<Bytes>,
    max_size: Option<Bytes>,
}

impl FromEnv for Filter {
    fn from_env(env: &mut Env) -> Option<Self> {
        let include_prefixes = env.or("DOCUMENT_INCLUDE_PREFIXES", Prefixes::default());
        let exclude_prefixes = env.or("DOCUMENT_EXCLUDE_PREFIXES", Prefixes::default());
        let include_globs = env.or("DOCUMENT_INCLUDE_GLOBS", Globs::default());
        let exclude_globs = env.or("DOCUMENT_EXCLUDE_GLOBS", Globs::default());
        let min_size = env.optional::<Bytes>("DOCUMENT_MIN_SIZE");
        let max_size = env.optional::<Bytes>("DOCUMENT_MAX_SIZE");
        if let (Some(Some(min)), Some(Some(max))) = (min_size, max_size)
            && min > max
        {
            env.problem("DOCUMENT_MIN_SIZE is greater than DOCUMENT_MAX_SIZE");
        }
        Some(Self {
            include_prefixes: include_prefixes?,
            exclude_prefixes: exclude_prefixes?,
            include_globs: include_globs?,
            exclude_globs: exclude_globs?,
            min_size: min_size?,
            max_size: max_size?,
        })
    }
}

impl Filter {
    /// Whether an object is a document.
    pub fn admits(&self, location: &Location, size: Option<i64>) -> bool {
        !location.is_folder_marker(size)
            && self.admits_key(location.key())
            && self.admits_size(size)
    }

    /// Whether an object of this key can be a document. That does not change while the settings do not.
    pub fn admits_key(&self, key: &str) -> bool {
        (self.include_prefixes.is_empty() || self.include_prefixes.matches(key))
            && (self.include_globs.is_empty() || self.include_globs.matches(key))
            && !self.exclude_prefixes.matches(key)
            && !self.exclude_globs.matches(key)
    }

    /// Whether an object of this size in bytes can be a document. One of unknown size can.
    pub fn admits_size(&self, size: Option<i64>) -> bool {
        size.is_none_or(|size| {
            self.min_size.is_none_or(|min| min.0 <= size)
                && self.max_size.is_none_or(|max| size <= max.0)
        })
    }
}

#[derive(Debug, Clone, Default)]
struct Prefixes(Vec<String>);

impl Prefixes {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn matches(&self, key: &str) -> bool {
        self.0.iter().any(|prefix| key.starts_with(prefix))
    }
}

impl FromStr for Prefixes {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        list(text).map(Self)
    }
}

#[derive(Debug, Clone, Default)]
struct Globs(GlobSet);

impl Globs {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn matches(&self, key: &str) -> bool {
        !self.0.is_empty() && self.0.is_match(key)
    }
}

impl FromStr for Globs {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let mut globs = GlobSetBuilder::new();
        for pattern in list(text)? {
            globs.add(glob(&pattern)?);
        }
        globs.build().map(Self).map_err(FilterError::Glob)
    }
}

/// As shells read it: `*` and `?` stay within a segment of the key, `**` does not.
fn glob(pattern: &str) -> Result<Glob, FilterError> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map_err(FilterError::Glob)
}

/// A JSON array of strings, or one string as it is.
fn list(text: &str) -> Result<Vec<String>, FilterError> {
    let entries = if text.starts_with('[') {
        serde_json::from_str(text).map_err(|_not_strings| FilterError::List)?
    } else {
        vec![text.to_owned()]
    };
    if entries.iter().any(String::is_empty) {
        return Err(FilterError::Empty);
    }
    Ok(entries)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Bytes(i64);

impl FromStr for Bytes {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let bytes = text.parse().map_err(|_not_a_number| FilterError::Bytes)?;
        if bytes < 0 {
            return Err(FilterError::Bytes);
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0)
    }
}

/// Why a setting describes no filter.
#[derive(Debug, thiserror::Error)]
enum FilterError {
    #[error("what begins with [ must be a JSON array of strings")]
    List,
    #[error("an empty entry would match every object")]
    Empty,
    #[error("{0}")]
    Glob(globset::Error),
    #[error("it must be a whole number of bytes, 0 or more")]
    Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter<const N: usize>(settings: [(&str, &str); N]) -> Filter {
        Filter::read(Env::new(settings)).unwrap()
    }

    fn admitted<'a>(filter: &Filter, keys: &[&'a str]) -> Vec<&'a str> {
        let admitted = keys.iter().filter(|key| filter.admits_key(key));
        admitted.copied().collect()
    }

    #[test]
    fn without_settings_everything_is_a_document() {
        let filter = filter([]);
        assert!(filter.admits_key("any/thing") && filter.admits_size(Some(0)));
    }

    #[test]
    fn a_document_is_in_every_list_to_include_and_in_none_to_exclude() {
        let filter = filter([
            ("DOCUMENT_INCLUDE_PREFIXES", r#"["reports/", "notes/"]"#),
            ("DOCUMENT_INCLUDE_GLOBS", "**/*.{pdf,md}"),
            ("DOCUMENT_EXCLUDE_PREFIXES", "reports/drafts/"),
            ("DOCUMENT_EXCLUDE_GLOBS", r#"["**/.*", "**/~*"]"#),
        ]);
        let keys = [
            "reports/a.pdf",
            "notes/x/y/b.md",
            "reports/a.txt",
            "other/a.pdf",
            "reports/drafts/a.pdf",
            "notes/.hidden.md",
            "notes/~lock.md",
        ];
        assert_eq!(
            admitted(&filter, &keys),
            ["reports/a.pdf", "notes/x/y/b.md"]
        );
    }

    #[test]
    fn a_star_stays_within_a_segment() {
        let filter = filter([("DOCUMENT_INCLUDE_GLOBS", "a/*.txt")]);
        assert_eq!(
            admitted(&filter, &["a/b.txt", "a/b/c.txt", "A/b.txt", "a/ü 😀.txt"]),
            ["a/b.txt", "a/ü 😀.txt"]
        );
    }

    #[test]
    fn sizes_are_inclusive_and_an_unknown_one_passes() {
        let filter = filter([("DOCUMENT_MIN_SIZE", "1"), ("DOCUMENT_MAX_SIZE", "10")]);
        let admitted = [Some(0), Some(1), Some(10), Some(11), None];
        assert_eq!(
            admitted.map(|size| filter.admits_size(size)),
            [false, true, true, false, true]
        );
    }

    #[test]
    fn mistakes_are_told_together() {
        let error = Filter::read(Env::new([
            ("DOCUMENT_INCLUDE_PREFIXES", "[1]"),
            ("DOCUMENT_EXCLUDE_PREFIXES", r#"[""]"#),
            ("DOCUMENT_INCLUDE_GLOBS", "a{b"),
            ("DOCUMENT_MIN_SIZE", "10 MB"),
            ("DOCUMENT_MAX_SIZE", "-1"),
        ]));
        insta::assert_snapshot!(error.unwrap_err(), @"invalid configuration: DOCUMENT_INCLUDE_PREFIXES is invalid: what begins with [ must be a JSON array of strings; DOCUMENT_EXCLUDE_PREFIXES is invalid: an empty entry would match every object; DOCUMENT_INCLUDE_GLOBS is invalid: error parsing glob 'a{b': unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?); DOCUMENT_MIN_SIZE is invalid: it must be a whole number of bytes, 0 or more; DOCUMENT_MAX_SIZE is invalid: it must be a whole number of bytes, 0 or more");
        let error = Filter::read(Env::new([
            ("DOCUMENT_MIN_SIZE", "2"),
            ("DOCUMENT_MAX_SIZE", "1"),
        ]));
        insta::assert_snapshot!(error.unwrap_err(), @"invalid configuration: DOCUMENT_MIN_SIZE is greater than DOCUMENT_MAX_SIZE");
    }
}
