//! Both sides in the order of the places, one place after the other.

use std::cmp::Ordering;
use std::collections::VecDeque;

use tokio_postgres::types::Type;

use super::Counts;
use crate::index::connections::Connections;
use crate::index::row::{FORMAT, Parameter, place, record_key};
use crate::index::{IndexError, PATIENCE};
use crate::key;
use crate::store::{Etag, Objects};

/// Objects listed at a time, as S3 has it.
const PAGE: usize = 1000;
/// Rows read at a time.
const CHUNK: i64 = 5_000;

/// Rows behind a place. What is no artifact is looked at again after a day: it may be a registration's that was given
/// up, whose place need not be barred any longer.
const ROWS: &str = "
    select place, etag, format, has_claim and (kind is not null or etag is null
        or settled_at > current_timestamp - interval '1 day')
    from registry_artifact where place > $1 order by place limit $2";

/// What a place seems to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// The index does not know the object.
    Missing,
    /// The index knows another object.
    Different,
    /// The index knows an object, and none is listed.
    Surplus,
    /// Both are the same; that may not be all there is to know.
    Unsure,
}

/// What is left of a comparison.
pub(super) struct Walk {
    listed: VecDeque<(String, Etag)>,
    /// The last key of the listing so far; `None` when it is over.
    after_key: Option<String>,
    known: VecDeque<Known>,
    /// The last place of the index so far; `None` when it is over.
    after_place: Option<String>,
    is_thorough: bool,
}

/// A row of the index.
struct Known {
    place: String,
    etag: Option<String>,
    format: i16,
    is_sure: bool,
}

impl Walk {
    /// From behind a place on.
    pub(super) fn from(position: Option<String>, is_thorough: bool) -> Self {
        let place = position.unwrap_or_default();
        Self {
            listed: VecDeque::new(),
            after_key: Some(record_key(&place)),
            known: VecDeque::new(),
            after_place: Some(place),
            is_thorough,
        }
    }

    /// Reads what the comparison needs to go on: a page of each side that has none. A page may hold no records.
    pub(super) async fn fill(
        &mut self,
        objects: &Objects,
        connections: &Connections,
    ) -> Result<(), IndexError> {
        if self.listed.is_empty()
            && let Some(after) = &self.after_key
        {
            let page = objects.list(key::ARTIFACTS, Some(after), PAGE).await?;
            let next = page.get(PAGE - 1).map(|last| last.key.clone());
            let records = page.into_iter().filter_map(|object| {
                let id = key::record_id(&object.key)?;
                Some((place(&id), object.etag))
            });
            self.listed.extend(records);
            self.after_key = next;
        }
        if self.known.is_empty()
            && let Some(after) = &self.after_place
        {
            let rows = connections.run(PATIENCE, |session| async move {
                let parameters: [Parameter<'_>; 2] = [(after, Type::TEXT), (&CHUNK, Type::INT8)];
                let rows = session.client().query_typed(ROWS, &parameters).await?;
                let known = rows.iter().map(|row| {
                    Ok(Known {
                        place: row.try_get(0)?,
                        etag: row.try_get(1)?,
                        format: row.try_get(2)?,
                        is_sure: row.try_get(3)?,
                    })
                });
                known.collect::<Result<VecDeque<Known>, tokio_postgres::Error>>()
            });
            self.known = rows.await?;
            let is_last = i64::try_from(self.known.len()).is_ok_and(|rows| rows < CHUNK);
            let last = self.known.back().map(|last| last.place.clone());
            self.after_place = last.filter(|_| !is_last);
        }
        Ok(())
    }

    /// The next place, and what it seems to be, if that is not what the index knows. `None` when a side has to be filled,
    /// or all is over.
    pub(super) fn next(&mut self, counts: &mut Counts) -> Option<(String, Option<Suspicion>)> {
        let order = match (self.listed.front(), self.known.front()) {
            (Some((listed, _)), Some(known)) => listed.cmp(&known.place),
            (Some(_), None) if self.after_place.is_none() => Ordering::Less,
            (None, Some(_)) if self.after_key.is_none() => Ordering::Greater,
            _ => return None,
        };
        let listed = if order.is_le() {
            self.listed.pop_front()
        } else {
            None
        };
        let known = if order.is_ge() {
            self.known.pop_front()
        } else {
            None
        };
        counts.listed += i64::from(listed.is_some());
        counts.known += i64::from(known.is_some());
        match (listed, known) {
            (Some((place, etag)), Some(known)) => {
                let suspicion = self.compare(&etag, &known);
                Some((place, suspicion))
            }
            (Some((place, _)), None) => Some((place, Some(Suspicion::Missing))),
            (None, Some(known)) => {
                let suspicion = known.etag.map(|_| Suspicion::Surplus);
                Some((known.place, suspicion))
            }
            (None, None) => None,
        }
    }

    /// Whether both sides have come to their end.
    pub(super) fn is_over(&self) -> bool {
        self.listed.is_empty()
            && self.known.is_empty()
            && self.after_key.is_none()
            && self.after_place.is_none()
    }

    fn compare(&self, listed: &Etag, known: &Known) -> Option<Suspicion> {
        match &known.etag {
            None => Some(Suspicion::Missing),
            Some(etag) if etag != listed.as_str() || known.format != FORMAT => {
                Some(Suspicion::Different)
            }
            Some(_) if self.is_thorough || !known.is_sure => Some(Suspicion::Unsure),
            Some(_) => None,
        }
    }
}
