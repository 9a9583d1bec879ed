//! One object against one row.

use std::cmp::Ordering;

use time::OffsetDateTime;

use super::objects::{Listing, Object, Objects};
use super::rows::{Document, Rows};
use super::run::Run;
use crate::change::{Content, Location};
use crate::table::Columns;

/// What a key's object and row come to.
#[derive(Debug)]
pub(super) enum Difference {
    /// They agree.
    None,
    /// A row without an object, by its URI.
    Surplus(String),
    /// Something that S3 has to be asked about.
    Suspicion(Suspicion),
}

/// An object that does not seem to be what the table says.
#[derive(Debug)]
pub(super) struct Suspicion {
    pub(super) location: Location,
    pub(super) kind: Kind,
    /// What the listing told.
    pub(super) listed: Content,
    pub(super) time: Option<OffsetDateTime>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// There is no row.
    Missing,
    /// The row, or the ledger, says something else.
    Different,
}

/// Takes the next key off one side or both, and counts what it finds. `None` when one side has to be filled first.
pub(super) fn next(
    objects: &mut Objects,
    rows: &mut Rows,
    listing: Listing,
    run: &mut Run,
) -> Option<Difference> {
    let columns = rows.columns();
    run.counts.listed += objects.take_listed();
    let order = match (objects.first(), rows.first()) {
        (Some(object), Some(row)) => object.location.key().cmp(&row.key),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => return None,
    };
    let object = if order.is_le() { objects.take() } else { None };
    let row = if order.is_ge() { rows.take() } else { None };
    run.counts.documents += i64::from(row.is_some());
    let difference = match (object, row) {
        (Some(object), Some(row)) => {
            run.position = Some(row.key.clone());
            if agree(&object.content, &row, columns, listing) {
                Difference::None
            } else {
                run.counts.different += 1;
                suspicion(object, Kind::Different)
            }
        }
        (Some(object), None) => {
            run.position = Some(object.location.key().to_owned());
            run.counts.missing += 1;
            suspicion(object, Kind::Missing)
        }
        (None, Some(row)) => {
            run.counts.surplus += 1;
            run.position = Some(row.key);
            Difference::Surplus(row.uri)
        }
        (None, None) => return None,
    };
    Some(difference)
}

fn suspicion(object: Object, kind: Kind) -> Difference {
    Difference::Suspicion(Suspicion {
        location: object.location,
        kind,
        listed: object.content,
        time: object.last_modified,
    })
}

/// Whether object, ledger and row say the same, each as far as it tells.
fn agree(listed: &Content, row: &Document, columns: Columns, listing: Listing) -> bool {
    let Some(known) = &row.known else {
        return false;
    };
    let (ledger, document) = (&known.content, &row.content);
    !known.deleted
        && (&listed.etag, listed.size) == (&ledger.etag, ledger.size)
        && (listing != Listing::Versions || listed.version_id == ledger.version_id)
        && (!columns.etag || document.etag == ledger.etag)
        && (!columns.size || document.size == ledger.size)
        && (!columns.version_id || document.version_id == ledger.version_id)
}
