//! What the registry's objects are called.
//!
//! `artifacts/{id}/metadata.json` is what is known of an artifact, `artifacts/{id}/files/…` what it holds, and
//! `claims/{kind}/{digest of the URL}.json` says which artifact has a URL.

use sha2::{Digest as _, Sha256};

use crate::artifact::{Id, Kind};
use crate::source::Source;

/// All artifacts begin so.
pub(crate) const ARTIFACTS: &str = "artifacts/";
/// All claims begin so.
pub(crate) const CLAIMS: &str = "claims/";
const RECORD: &str = "/metadata.json";

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
    fn claims_differ_by_kind_and_url() {
        let source: Source = "https://example.com/a".parse().unwrap();
        assert_eq!(
            claim(Kind::Model, &source),
            "claims/model/2dce0a4c50441bfccfa9caf4b58c3cba6e06c420505dd829f0436de1aa44baac.json"
        );
        assert_ne!(claim(Kind::Model, &source), claim(Kind::Code, &source));
    }
}
