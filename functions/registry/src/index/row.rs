//! What the index holds of an object at the place of a record.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};
use tokio_postgres::types::{ToSql, Type};

use crate::artifact::{Id, Kind};
use crate::key;
use crate::record::{Record, Stored};
use crate::relation::Member;
use crate::store::Etag;

/// Counts up when a row is made in another way from the same object: rebuilding then reads all objects once more.
pub(super) const FORMAT: i16 = 1;
/// Stands before a character that it changes the meaning of; a character that nobody uses.
const ESCAPE: char = '\u{F0000}';
/// The longest key of a relation, in bytes: an entry of an index has no room for more than 2,704.
const MAX_KEY: usize = 1024;

/// A parameter and its type: with the type told, a statement needs no preparation.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// An object, or that there is none.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) place: String,
    /// `None` where there is no object.
    pub(super) etag: Option<Etag>,
    /// `None` where the object is no artifact.
    pub(super) artifact: Option<Artifact>,
}

/// What queries ask of an artifact.
#[derive(Debug)]
pub(super) struct Artifact {
    name: String,
    kind: Kind,
    description: String,
    /// As JSON, with its keys and the keys by which it means others.
    member: Option<(String, Vec<String>, Vec<String>)>,
    pub(super) has_claim: bool,
}

impl Row {
    /// Of an object with these bytes.
    pub(super) fn read(id: &Id, bytes: &[u8], etag: Etag) -> Self {
        match Stored::parse(id, bytes) {
            Ok(Stored::Artifact(record)) => Self::of(&record, etag),
            Ok(Stored::Withdrawn { .. }) => Self::other(id, etag),
            Err(error) => {
                tracing::warn!(
                    %id,
                    error = %shared::telemetry::chain(&error),
                    "an artifact cannot be read, so queries leave it out"
                );
                Self::other(id, etag)
            }
        }
    }

    /// Of a record. Whether its URL is its own is not known yet.
    pub(super) fn of(record: &Record, etag: Etag) -> Self {
        let member = Some(Member::of(record)).and_then(|member| {
            let references = [&member.parents, &member.datasets, &member.code];
            let references = references.into_iter().flatten();
            let meant = references.flat_map(|reference| reference.keys.iter().cloned());
            let json = serde_json::to_string(&member).ok()?;
            Some((json, member.keys.clone(), meant.collect()))
        });
        Self {
            place: place(&record.id),
            etag: Some(etag),
            artifact: Some(Artifact {
                name: escaped(&record.name).into_owned(),
                kind: record.kind,
                description: escaped(&record.description()).into_owned(),
                member,
                has_claim: false,
            }),
        }
    }

    /// Of a place where no object is.
    pub(super) fn gone(id: &Id) -> Self {
        Self {
            place: place(id),
            etag: None,
            artifact: None,
        }
    }

    /// Notes that the artifact's URL is its own.
    pub(super) fn with_claim(mut self) -> Self {
        if let Some(artifact) = &mut self.artifact {
            artifact.has_claim = true;
        }
        self
    }

    /// About how many bytes it is.
    pub(super) fn size(&self) -> usize {
        let artifact = self.artifact.as_ref();
        artifact.map_or(0, |artifact| artifact.description.len())
    }

    fn other(id: &Id, etag: Etag) -> Self {
        Self {
            place: place(id),
            etag: Some(etag),
            artifact: None,
        }
    }
}

/// Rows as columns, in the order of their places: transactions with the same places then wait for each other and do not
/// deadlock.
pub(super) struct Columns<'a> {
    places: Vec<&'a str>,
    seen: Vec<i64>,
    etags: Vec<Option<&'a str>>,
    names: Vec<Option<&'a str>>,
    kinds: Vec<Option<&'a str>>,
    descriptions: Vec<&'a str>,
    members: Vec<Option<&'a str>>,
    have_claim: Vec<bool>,
    keys: Vec<Cow<'a, str>>,
    are_references: Vec<bool>,
    related: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    /// Of rows, each with the stamp that its author has seen.
    pub(super) fn of(rows: impl IntoIterator<Item = (&'a Row, i64)>) -> Self {
        let mut rows: Vec<(&Row, i64)> = rows.into_iter().collect();
        rows.sort_unstable_by(|(left, _), (right, _)| left.place.cmp(&right.place));
        let artifacts = || rows.iter().map(|(row, _)| row.artifact.as_ref());
        let relations = rows.iter().filter_map(|(row, _)| {
            let (_, keys, meant) = row.artifact.as_ref()?.member.as_ref()?;
            Some((row.place.as_str(), keys, meant))
        });
        let (mut keys, mut are_references, mut related) = (Vec::new(), Vec::new(), Vec::new());
        for (place, own, meant) in relations {
            for (key, is_reference) in own
                .iter()
                .map(|key| (key, false))
                .chain(meant.iter().map(|key| (key, true)))
            {
                keys.push(bounded(key));
                are_references.push(is_reference);
                related.push(place);
            }
        }
        Self {
            places: rows.iter().map(|(row, _)| row.place.as_str()).collect(),
            seen: rows.iter().map(|(_, seen)| *seen).collect(),
            etags: rows
                .iter()
                .map(|(row, _)| row.etag.as_ref().map(Etag::as_str))
                .collect(),
            names: artifacts()
                .map(|artifact| Some(artifact?.name.as_str()))
                .collect(),
            kinds: artifacts()
                .map(|artifact| Some(artifact?.kind.as_str()))
                .collect(),
            descriptions: artifacts()
                .map(|artifact| artifact.map_or("", |artifact| artifact.description.as_str()))
                .collect(),
            members: artifacts()
                .map(|artifact| Some(artifact?.member.as_ref()?.0.as_str()))
                .collect(),
            have_claim: artifacts()
                .map(|artifact| artifact.is_none_or(|artifact| artifact.has_claim))
                .collect(),
            keys,
            are_references,
            related,
        }
    }

    /// In the order in which the statement that writes them has them.
    pub(super) fn parameters(&self) -> [Parameter<'_>; 12] {
        [
            (&self.places, Type::TEXT_ARRAY),
            (&self.seen, Type::INT8_ARRAY),
            (&self.etags, Type::TEXT_ARRAY),
            (&self.names, Type::TEXT_ARRAY),
            (&self.kinds, Type::TEXT_ARRAY),
            (&self.descriptions, Type::TEXT_ARRAY),
            (&self.members, Type::TEXT_ARRAY),
            (&self.have_claim, Type::BOOL_ARRAY),
            (&FORMAT, Type::INT2),
            (&self.keys, Type::TEXT_ARRAY),
            (&self.are_references, Type::BOOL_ARRAY),
            (&self.related, Type::TEXT_ARRAY),
        ]
    }
}

/// The place of an artifact. Places are in the order of the keys of records.
pub(super) fn place(id: &Id) -> String {
    format!("{id}/")
}

/// Whose place it is; `None` for the one that tells of the whole index.
pub(super) fn id(place: &str) -> Option<Id> {
    place.strip_suffix('/')?.parse().ok()
}

/// The key of the record at a place; the beginning of all keys for the place before all others.
pub(super) fn record_key(place: &str) -> String {
    id(place).map_or_else(|| key::ARTIFACTS.to_owned(), |id| key::record(&id))
}

/// A text as the database has it, which takes no NUL. Different texts stay different, and a part of a text a part of
/// it.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 4);
    for character in text.chars() {
        match character {
            '\0' => escaped.extend([ESCAPE, '0']),
            ESCAPE => escaped.extend([ESCAPE, ESCAPE]),
            character => escaped.push(character),
        }
    }
    Cow::Owned(escaped)
}

/// The text that was escaped.
pub(super) fn unescaped(text: &str) -> String {
    if !text.contains(ESCAPE) {
        return text.to_owned();
    }
    let mut unescaped = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ESCAPE => unescaped.extend(characters.next().map(|escaped| match escaped {
                '0' => '\0',
                escaped => escaped,
            })),
            character => unescaped.push(character),
        }
    }
    unescaped
}

/// The key of a relation as the database has it: one that is too long for an index is known by its digest.
pub(super) fn bounded(key: &str) -> Cow<'_, str> {
    let bounded = escaped(key);
    if bounded.len() > MAX_KEY {
        return Cow::Owned(format!("sha256:{}", hex::encode(Sha256::digest(key))));
    }
    bounded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn places_are_in_the_order_of_the_keys_of_records() {
        let mut ids: Vec<Id> = ["a", "a-b", "a0", "A", "1", "10", "1-"]
            .iter()
            .map(|id| id.parse().unwrap())
            .collect();
        ids.sort_by_key(key::record);
        assert!(ids.iter().map(place).is_sorted());
        assert_eq!(
            ids.iter()
                .map(place)
                .filter_map(|place| id(&place))
                .collect::<Vec<_>>(),
            ids
        );
        assert_eq!(id(""), None);
        assert!(record_key("") < record_key("-/"));
    }

    proptest! {
        #[test]
        fn escaping_is_undone_and_keeps_parts_parts(text in "[ab\0\u{F0000}0]{0,8}", part in "[ab\0\u{F0000}0]{0,3}") {
            let there = escaped(&text).into_owned();
            prop_assert!(!there.contains('\0'));
            prop_assert_eq!(unescaped(&there), text.clone());
            if text.contains(&part) {
                prop_assert!(there.contains(&*escaped(&part)));
            }
            let keys = (bounded(&text).into_owned(), bounded(&part).into_owned());
            prop_assert_eq!(keys.0 == keys.1, text == part);
        }

        #[test]
        fn long_keys_fit_and_differ(one in "[a-c]{1020,1030}", other in "[a-c]{1020,1030}") {
            let (left, right) = (bounded(&one), bounded(&other));
            prop_assert!(left.len() <= MAX_KEY && right.len() <= MAX_KEY);
            prop_assert_eq!(left == right, one == other);
        }
    }
}
