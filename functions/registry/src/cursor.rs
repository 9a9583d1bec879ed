//! Where a page of a query ended.

use std::fmt;
use std::str::FromStr;

use crate::artifact::Id;
use crate::key;

/// Shorter numbers are no ids of ours.
const ID_DIGITS: usize = 10;
/// Before the id of an artifact that could be taken for a number of artifacts.
const BEHIND: &str = "after-";

/// A place between two artifacts, which clients hand back as it is.
///
/// What they should not rely on is that it is the id of the last artifact, which stays a place even when that
/// artifact is deleted. A small number is taken as well, for clients that count: so many artifacts are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// Behind this artifact.
    Behind(Id),
    /// Behind so many.
    Skip(usize),
}

/// What is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the offset must be one that an earlier answer gave")]
pub struct InvalidCursor;

impl Cursor {
    pub(crate) fn behind(id: &Id) -> Self {
        Self::Behind(id.clone())
    }

    pub(crate) fn skip(&self) -> usize {
        match self {
            Self::Behind(_) => 0,
            Self::Skip(artifacts) => *artifacts,
        }
    }

    pub(crate) fn key(&self) -> Option<String> {
        match self {
            Self::Behind(id) => Some(key::record(id)),
            Self::Skip(_) => None,
        }
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        if is_small_number(text) {
            return text
                .parse()
                .map(Self::Skip)
                .map_err(|_no_number| InvalidCursor);
        }
        let id = text.strip_prefix(BEHIND).unwrap_or(text);
        id.parse().map(Self::Behind).map_err(|_no_id| InvalidCursor)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skip(artifacts) => write!(formatter, "{artifacts}"),
            Self::Behind(id) if is_small_number(id.as_str()) || id.as_str().starts_with(BEHIND) => {
                write!(formatter, "{BEHIND}{id}")
            }
            Self::Behind(id) => write!(formatter, "{id}"),
        }
    }
}

fn is_small_number(text: &str) -> bool {
    !text.is_empty() && text.len() < ID_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        for id in ["3847247294", "1", "abc", "after-1", "after-after-x"] {
            let cursor = Cursor::behind(&id.parse().unwrap());
            assert_eq!(cursor.to_string().parse(), Ok(cursor), "{id}");
        }
        assert_eq!("0".parse(), Ok(Cursor::Skip(0)));
        assert_eq!("123456789".parse(), Ok(Cursor::Skip(123_456_789)));
        for text in ["", "-", "a/b", "ü", "1.5", "\0", "after-"] {
            let cursor: Result<Cursor, _> = text.parse();
            assert_eq!(cursor.is_ok(), text == "-", "{text:?}");
        }
    }
}
