//! Objects read again, and what is found written to the index.

use std::collections::HashMap;

use futures_util::stream::{self, Stream, StreamExt as _};
use shared::telemetry::chain;
use time::{Duration, OffsetDateTime};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::row::{Columns, FORMAT, Parameter, Row, id, record_key};
use super::{DatabaseError, Index, IndexError, PATIENCE};
use crate::catalogue::PARALLEL;
use crate::claim::{self, ClaimError};
use crate::record::{Record, Stored};
use crate::source::Source;
use crate::store::{Etag, Objects, StoreError};

/// How often a row is written that others are changing.
const TRIES: usize = 16;
/// Rows written together, and about how many bytes.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 8 << 20;
/// How long the place of a registration that was given up stays barred.
pub(super) const BARRED: Duration = Duration::days(1);

/// Writes rows whose stamps are still the ones their author has seen, and what they relate to; takes back the
/// announcements of one writer, and those that were final at a time. Gives the places written.
///
/// One statement, so that it happens as a whole. It sees what was there when the last change of its rows was complete:
/// otherwise their stamps would be others.
pub(super) const WRITE: &str = "
    with given as (
        select * from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::boolean[])
            as given (place, seen, etag, name, kind, description, member, has_claim)
    ), wanted as (
        select distinct * from unnest($10::text[], $11::boolean[], $12::text[]) as wanted (key, is_reference, place)
    ), written as (
        insert into registry_artifact as known
            (place, stamp, etag, name, kind, description, member, has_claim, format)
        select place, seen + 1, etag, name, kind, description, member, has_claim, $9::smallint from given order by place
        on conflict (place) do update set
            stamp = excluded.stamp,
            etag = excluded.etag,
            name = excluded.name,
            kind = excluded.kind,
            description = excluded.description,
            member = excluded.member,
            has_claim = excluded.has_claim,
            format = excluded.format,
            settled_at = current_timestamp
        where known.stamp = excluded.stamp - 1
        returning place
    ), unrelated as (
        delete from registry_relation as relation using written
        where relation.place = written.place and not exists (
            select from wanted where (wanted.key, wanted.is_reference, wanted.place)
                = (relation.key, relation.is_reference, relation.place)
        )
    ), related as (
        insert into registry_relation (key, is_reference, place)
        select key, is_reference, place from wanted join written using (place) order by key, is_reference, place
        on conflict do nothing
    ), settled as (
        delete from registry_unsettled as unsettled using written
        where unsettled.place = written.place
            and (unsettled.writer = $13::uuid or unsettled.final_at < $14::timestamptz)
    )
    select place from written";

/// What the index knows of places, and the time by the database's clock.
pub(super) const KNOWN: &str = "
    select given.place, coalesce(known.stamp, 0), known.etag, coalesce(known.has_claim, false),
        coalesce(known.format, 0::smallint), current_timestamp,
        exists (select from registry_unsettled where registry_unsettled.place = given.place)
    from unnest($1::text[]) as given (place) left join registry_artifact as known using (place)";

/// Takes back the announcements at places that the index knows well, if they were final at a time.
const SETTLE: &str =
    "delete from registry_unsettled where place = any ($1::text[]) and final_at < $2::timestamptz";

/// How thoroughly places are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Whether the object is the one that the index knows.
    Tag,
    /// Also whether its URL is its own; if nobody has claimed that, it is claimed.
    Claim,
    /// As that, and the row is written whatever the index knows.
    Everything,
}

/// What became of places.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Healed {
    /// Written to the index.
    pub(super) written: i64,
    /// Claims made for artifacts of other writers.
    pub(super) claimed: i64,
    /// Left as they were: the store could not be asked, or the database does not take what it said.
    pub(super) failed: i64,
}

/// What the index knows of a place.
struct Known {
    seen: i64,
    etag: Option<String>,
    has_claim: bool,
    format: i16,
    is_unsettled: bool,
}

impl Index {
    /// Brings the index in step with the objects at some places.
    ///
    /// # Errors
    ///
    /// [`IndexError::Store`] where an object cannot be read, as well as the database's.
    pub(super) async fn heal(
        &self,
        objects: &Objects,
        places: &[String],
    ) -> Result<(), IndexError> {
        let mut failure = None;
        self.look_again(objects, places, Look::Tag, &mut failure)
            .await?;
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    /// As [`heal`](Self::heal), but goes on where an object cannot be read.
    pub(super) async fn look(
        &self,
        objects: &Objects,
        places: &[String],
        look: Look,
    ) -> Result<Healed, IndexError> {
        self.look_again(objects, places, look, &mut None).await
    }

    async fn look_again(
        &self,
        objects: &Objects,
        places: &[String],
        look: Look,
        failure: &mut Option<StoreError>,
    ) -> Result<Healed, IndexError> {
        let mut healed = Healed::default();
        let mut open = places.to_vec();
        for _ in 0..TRIES {
            let (known, now) = self.known(&open).await?;
            let mut found = std::pin::pin!(found(objects, &open, look));
            let (mut settled, mut changed, mut late) = (Vec::new(), Vec::new(), Vec::new());
            let mut bytes = 0;
            while let Some(read) = found.next().await {
                match read {
                    Err(error) => {
                        healed.failed += 1;
                        tracing::warn!(error = %chain(&error), "an object cannot be looked at");
                        *failure = Some(error);
                        continue;
                    }
                    Ok(None) => continue,
                    Ok(Some(Found { row, claimed })) => {
                        healed.claimed += i64::from(claimed);
                        let known = known.get(&row.place);
                        if known.is_some_and(|known| known.agrees(&row, look)) {
                            settled.push(row.place);
                            continue;
                        }
                        bytes += row.size();
                        changed.push((row, known.map_or(0, |known| known.seen)));
                    }
                }
                if changed.len() >= BATCH || bytes >= BATCH_BYTES {
                    bytes = 0;
                    late.extend(
                        self.write_or_refuse(std::mem::take(&mut changed), now, &mut healed)
                            .await?,
                    );
                }
            }
            late.extend(self.write_or_refuse(changed, now, &mut healed).await?);
            self.settle(&settled, now).await?;
            if late.is_empty() {
                return Ok(healed);
            }
            open = late;
        }
        Err(IndexError::Behind)
    }

    /// Of these places, those where the index knows something else than the store has, and nobody is at work.
    pub(super) async fn differing(
        &self,
        objects: &Objects,
        places: &[String],
    ) -> Result<Vec<String>, IndexError> {
        let (before, _) = self.known(places).await?;
        let mut suspects: Vec<String> = found(objects, places, Look::Tag)
            .filter_map(|read| {
                let suspect = read.ok().flatten().filter(|found| {
                    let known = before.get(&found.row.place);
                    !known.is_some_and(|known| known.agrees(&found.row, Look::Tag))
                });
                std::future::ready(suspect.map(|found| found.row.place))
            })
            .collect()
            .await;
        // Changes of this moment are no differences.
        let (after, _) = self.known(&suspects).await?;
        suspects.retain(|place| match (before.get(place), after.get(place)) {
            (Some(before), Some(after)) => before.seen == after.seen && !after.is_unsettled,
            _ => false,
        });
        Ok(suspects)
    }

    /// Writes rows whose stamps are the ones that were seen. Gives the places that were written.
    pub(super) async fn write(
        &self,
        rows: impl IntoIterator<Item = (&Row, i64)>,
        writer: Option<Uuid>,
        final_at: Option<OffsetDateTime>,
    ) -> Result<Vec<String>, DatabaseError> {
        let columns = &Columns::of(rows);
        self.connections
            .run(PATIENCE, |session| async move {
                let mut parameters: Vec<Parameter<'_>> = columns.parameters().into();
                parameters.push((&writer, Type::UUID));
                parameters.push((&final_at, Type::TIMESTAMPTZ));
                let rows = session.client().query_typed(WRITE, &parameters).await?;
                rows.iter().map(|row| row.try_get(0)).collect()
            })
            .await
    }

    /// Writes rows, and gives the places that others have changed meanwhile. What the database does not take as part of
    /// many is tried alone, so that it does not hold up the others.
    async fn write_or_refuse(
        &self,
        rows: Vec<(Row, i64)>,
        now: OffsetDateTime,
        healed: &mut Healed,
    ) -> Result<Vec<String>, IndexError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let all = || rows.iter().map(|(row, seen)| (row, *seen));
        let mut refused = Vec::new();
        let written = match self.write(all(), None, Some(now)).await {
            Err(DatabaseError::Failed(error)) if is_about_a_row(&error) => {
                let mut written = Vec::new();
                for (row, seen) in all() {
                    match self.write([(row, seen)], None, Some(now)).await {
                        Err(DatabaseError::Failed(error)) if is_about_a_row(&error) => {
                            tracing::error!(place = row.place, error = %chain(&error), "the database refuses an artifact, so queries leave it out");
                            refused.push(row.place.clone());
                        }
                        one => written.extend(one?),
                    }
                }
                written
            }
            written => written?,
        };
        let count = |places: &Vec<String>| i64::try_from(places.len()).unwrap_or(i64::MAX);
        healed.written += count(&written);
        healed.failed += count(&refused);
        self.settle(&refused, now).await?;
        let done = |place: &String| written.contains(place) || refused.contains(place);
        let places = rows.into_iter().map(|(row, _)| row.place);
        Ok(places.filter(|place| !done(place)).collect())
    }

    async fn settle(&self, places: &[String], now: OffsetDateTime) -> Result<(), IndexError> {
        if !places.is_empty() {
            let settled = self.connections.run(PATIENCE, |session| async move {
                let parameters: [Parameter<'_>; 2] =
                    [(&places, Type::TEXT_ARRAY), (&now, Type::TIMESTAMPTZ)];
                session.client().execute_typed(SETTLE, &parameters).await
            });
            settled.await?;
        }
        Ok(())
    }

    async fn known(
        &self,
        places: &[String],
    ) -> Result<(HashMap<String, Known>, OffsetDateTime), IndexError> {
        let read = self.connections.run(PATIENCE, |session| async move {
            let parameters: [Parameter<'_>; 1] = [(&places, Type::TEXT_ARRAY)];
            let rows = session.client().query_typed(KNOWN, &parameters).await?;
            let mut now = OffsetDateTime::UNIX_EPOCH;
            let mut known = HashMap::with_capacity(rows.len());
            for row in &rows {
                now = row.try_get(5)?;
                let entry = Known {
                    seen: row.try_get(1)?,
                    etag: row.try_get(2)?,
                    has_claim: row.try_get(3)?,
                    format: row.try_get(4)?,
                    is_unsettled: row.try_get(6)?,
                };
                known.insert(row.try_get(0)?, entry);
            }
            Ok((known, now))
        });
        Ok(read.await?)
    }
}

impl Known {
    /// Whether the index need not be told.
    fn agrees(&self, row: &Row, look: Look) -> bool {
        let artifact = row.artifact.as_ref();
        // Nothing was ever there, and nothing is: no row is needed for that.
        let is_nothing = self.seen == 0 && row.etag.is_none();
        is_nothing
            || look != Look::Everything
                && self.etag.as_deref() == row.etag.as_ref().map(Etag::as_str)
                && (self.format == FORMAT || row.etag.is_none())
                && (look == Look::Tag
                    || artifact.is_none_or(|artifact| artifact.has_claim == self.has_claim))
    }
}

/// An object as it was found.
struct Found {
    row: Row,
    /// Its URL was claimed for it.
    claimed: bool,
}

/// Reads the objects at some places, in no order.
fn found(
    objects: &Objects,
    places: &[String],
    look: Look,
) -> impl Stream<Item = Result<Option<Found>, StoreError>> + use<> {
    let reads: Vec<_> = places
        .iter()
        .map(|place| {
            let (objects, place) = (objects.clone(), place.clone());
            async move { read(&objects, &place, look).await }
        })
        .collect();
    stream::iter(reads).buffer_unordered(PARALLEL)
}

/// Reads the object at a place; `None` for a place that no artifact can have.
async fn read(objects: &Objects, place: &str, look: Look) -> Result<Option<Found>, StoreError> {
    let Some(id) = id(place) else {
        return Ok(None);
    };
    let found = |row| {
        Ok(Some(Found {
            row,
            claimed: false,
        }))
    };
    let key = record_key(place);
    let Some((bytes, etag)) = objects.get(&key).await? else {
        return found(Row::gone(&id));
    };
    if look == Look::Tag {
        return found(Row::read(&id, &bytes, etag));
    }
    match Stored::parse(&id, &bytes) {
        Ok(Stored::Artifact(record)) => {
            let (has_claim, claimed) = claimed(objects, &record).await?;
            let row = Row::of(&record, etag);
            let row = if has_claim { row.with_claim() } else { row };
            Ok(Some(Found { row, claimed }))
        }
        // Whoever was to be barred has long been ended.
        Ok(Stored::Withdrawn { at })
            if at.is_none_or(|at| OffsetDateTime::now_utc() - at > BARRED) =>
        {
            match objects.delete_if(&key, &etag).await {
                Ok(()) => found(Row::gone(&id)),
                Err(StoreError::Changed) => found(Row::read(&id, &bytes, etag)),
                Err(error) => Err(error),
            }
        }
        _ => found(Row::read(&id, &bytes, etag)),
    }
}

/// Whether an artifact has a claim to its URL, and whether it got it just now. An artifact of other writers may have a
/// URL that is another one's: then it has none until that one is gone.
async fn claimed(objects: &Objects, record: &Record) -> Result<(bool, bool), StoreError> {
    // What we would not have taken needs no claim: nobody can register it a second time.
    let Ok(source) = record.url.parse::<Source>() else {
        return Ok((true, false));
    };
    if claim::of(objects, record.kind, &source, &record.id)
        .await?
        .is_some()
    {
        return Ok((true, false));
    }
    match claim::take(objects, record.kind, &source, &record.id).await {
        Ok(_) => Ok((true, true)),
        Err(ClaimError::Taken(other)) => {
            tracing::warn!(id = %record.id, other = ?other, "two artifacts have the same URL");
            Ok((false, false))
        }
        Err(ClaimError::Store(error)) => Err(error),
        Err(ClaimError::Random(error)) => Err(StoreError::unavailable(error)),
    }
}

/// Whether the row is to blame: its data, or what the database can hold.
fn is_about_a_row(error: &tokio_postgres::Error) -> bool {
    /// Data exception, integrity constraint, program limit
    /// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    const CLASSES: [&str; 3] = ["22", "23", "54"];
    error
        .code()
        .is_some_and(|code| CLASSES.iter().any(|class| code.code().starts_with(class)))
}
