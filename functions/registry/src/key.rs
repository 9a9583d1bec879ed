//! What the registry's objects are called.
//!
//! `artifacts/{id}/metadata.json` is what is known of an artifact, `artifacts/{id}/files/…` what it holds,
//! `artifacts/{id}/manifest.json` what is known of that, `archives/{id}/…` all of it in one piece, and
//! `claims/{kind}/{digest of the URL}.json` says which artifact has a URL.

use sha2::{Digest as _, Sha256};

use crate::artifact::{Id, Kind};
use crate::content::{Aspect, FilePath};
use crate::source::Source;

/// All artifacts begin so.
pub(crate) const ARTIFACTS: &str = "artifacts/";
/// All archives begin so: what they are made of is elsewhere, so a rule of the bucket may delete any at any time.
pub(crate) const ARCHIVES: &str = "archives/";
/// All claims begin so.
pub(crate) const CLAIMS: &str = "claims/";
const RECORD: &str = "/metadata.json";
/// The last key in the folder of an artifact that may come before its record.
const MANIFEST: &str = "/manifest.json";
const PROGRESS: &str = "/progress";

/// What is known of an artifact.
pub(crate) fn record(id: &Id) -> String {
    format!("{ARTIFACTS}{id}{RECORD}")
}

/// What everything of an artifact begins with.
pub(crate) fn folder(id: &Id) -> String {
    format!("{ARTIFACTS}{id}/")
}

/// Of which artifact this is the record; `None` for any other object.
pub(crate) fn record_id(key: &str) -> Option<Id> {
    let id = key.strip_prefix(ARTIFACTS)?.strip_suffix(RECORD)?;
    id.parse().ok()
}

/// What all files of an artifact begin with.
pub(crate) fn files(id: &Id) -> String {
    format!("{ARTIFACTS}{id}/files/")
}

/// A file of an artifact.
pub(crate) fn file(id: &Id, path: &FilePath) -> String {
    format!("{ARTIFACTS}{id}/files/{path}")
}

/// What is known of the files of an artifact.
pub(crate) fn manifest(id: &Id) -> String {
    format!("{ARTIFACTS}{id}{MANIFEST}")
}

/// What all archives of an artifact begin with.
pub(crate) fn archives(id: &Id) -> String {
    format!("{ARCHIVES}{id}/")
}

/// What all archives of an aspect of an artifact begin with.
pub(crate) fn archives_of(id: &Id, aspect: Aspect) -> String {
    format!("{ARCHIVES}{id}/{aspect}-")
}

/// The archive of these files.
pub(crate) fn archive(id: &Id, aspect: Aspect, digest: &str) -> String {
    format!("{}{digest}.zip", archives_of(id, aspect))
}

/// How far an archive has been made.
pub(crate) fn progress(archive: &str) -> String {
    format!("{archive}{PROGRESS}")
}

/// Of which archive this is the progress; `None` for any other object.
pub(crate) fn unfinished(key: &str) -> Option<&str> {
    key.strip_suffix(PROGRESS)
}

/// Where to go on in a listing of artifacts: behind this key, or behind all the files of the artifact whose it is.
pub(crate) fn behind(key: &str) -> String {
    let id = key
        .strip_prefix(ARTIFACTS)
        .and_then(|rest| rest.split_once('/'))
        .and_then(|(id, _)| id.parse().ok());
    match id.map(|id: Id| manifest(&id)) {
        Some(last) if *key < *last => last,
        _ => key.to_owned(),
    }
}

/// Which artifact has this URL. A digest, because a URL may be longer than a key.
pub(crate) fn claim(kind: Kind, source: &Source) -> String {
    let digest = hex::encode(Sha256::digest(source.as_str()));
    format!("{CLAIMS}{kind}/{digest}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_from_what_lies_beside_them() {
        let id: Id = "48472749248".parse().unwrap();
        assert_eq!(record_id(&record(&id)), Some(id.clone()));
        for key in [
            "artifacts/1/files/metadata.json",
            "artifacts//metadata.json",
            "artifacts/metadata.json",
            "artifacts/a b/metadata.json",
            "users/1/metadata.json",
        ] {
            assert_eq!(record_id(key), None, "{key}");
        }
        assert!(record(&id).starts_with(&folder(&id)));
    }

    #[test]
    fn a_listing_of_artifacts_passes_over_their_files() {
        for (key, behind_it) in [
            ("artifacts/1/files/a", "artifacts/1/manifest.json"),
            ("artifacts/1/a", "artifacts/1/manifest.json"),
            ("artifacts/1/manifest.json", "artifacts/1/manifest.json"),
            ("artifacts/1/metadata.json", "artifacts/1/metadata.json"),
            ("artifacts/1/other", "artifacts/1/other"),
            ("artifacts/no id!/a", "artifacts/no id!/a"),
        ] {
            assert_eq!(behind(key), behind_it);
        }
    }

    #[test]
    fn claims_differ_by_kind_and_url() {
        let source: Source = "https://example.com/a".parse().unwrap();
        assert_eq!(
            claim(Kind::Model, &source),
            "claims/model/2dce0a4c50441bfccfa9caf4b58c3cba6e06c420505dd829f0436de1aa44baac.json"
        );
        assert_ne!(claim(Kind::Model, &source), claim(Kind::Code, &source));
    }
}
