//! A change of one record, told to the index before and after.

use std::collections::HashMap;
use std::time::Duration;

use shared::telemetry::chain;
use tokio::time::{Instant, sleep};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::row::{Parameter, Row, place, unescaped};
use super::{Index, IndexError, PATIENCE};
use crate::artifact::Id;
use crate::record::Record;
use crate::store::{Etag, Objects};

/// How long queries leave a change to its author.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// How long an author may be at work: the longest that Lambda lets a function run.
const LIFETIME: Duration = Duration::from_mins(15);
/// How long the store may still be at work on a change whose author has given up.
const AFTERMATH: Duration = Duration::from_mins(1);
/// Between two tries to settle.
const PAUSE: Duration = Duration::from_millis(200);

/// Announces changes, and tells the stamps of the places before them and whose index it is.
pub(super) const ANNOUNCE: &str = "
    with given as (select unnest($1::text[]) as place), announced as (
        insert into registry_unsettled (place, writer, due_at, final_at)
        select place, $2::uuid, current_timestamp + make_interval(secs => $3),
            current_timestamp + make_interval(secs => $4)
        from given order by place
        on conflict do nothing
    )
    select given.place, coalesce(known.stamp, 0), (select name from registry_artifact where place = '')
    from given left join registry_artifact as known using (place)";

pub(super) const TAKE_BACK: &str =
    "delete from registry_unsettled where place = any ($1::text[]) and writer = $2::uuid";

const GIVE_UP: &str = "
    update registry_unsettled set due_at = current_timestamp,
        final_at = current_timestamp + make_interval(secs => $3)
    where place = any ($1::text[]) and writer = $2::uuid";

/// A change that the index knows is coming, if there is an index. Whoever drops it leaves it to be settled by others.
#[derive(Debug)]
#[must_use = "a change that is made has to be settled"]
pub(crate) struct Announcement<'a>(Option<Announced<'a>>);

#[derive(Debug)]
struct Announced<'a> {
    index: &'a Index,
    objects: &'a Objects,
    id: &'a Id,
    writer: Uuid,
    seen: i64,
    at: Instant,
}

/// Places whose changes are announced, with the stamps that they had.
pub(super) struct Seen {
    pub(super) writer: Uuid,
    pub(super) stamps: HashMap<String, i64>,
}

impl<'a> Announcement<'a> {
    /// For a registry without an index.
    pub(crate) fn to_nobody() -> Self {
        Self(None)
    }

    /// This is what the record is now.
    pub(crate) async fn written(self, record: &Record, etag: &Etag) {
        if let Some(announced) = self.0 {
            announced
                .settle(Row::of(record, etag.clone()).with_claim())
                .await;
        }
    }

    /// There is no record any more.
    pub(crate) async fn gone(self) {
        if let Some(announced) = self.0 {
            announced.settle(Row::gone(announced.id)).await;
        }
    }

    /// Nothing was changed, and will not be.
    pub(crate) async fn nothing(self) {
        if let Some(announced) = self.0 {
            announced.note(TAKE_BACK, None).await;
        }
    }

    /// Whether something was changed is not known, and its author says so: whoever asks next looks, and so do all others
    /// as long as the store may still be at work.
    pub(crate) async fn unknown(self) {
        if let Some(announced) = self.0 {
            announced.note(GIVE_UP, Some(AFTERMATH.as_secs_f64())).await;
        }
    }

    fn new(announced: Announced<'a>) -> Self {
        Self(Some(announced))
    }
}

impl Announced<'_> {
    /// Tries until queries would do it. What the store has taken stays taken, whatever becomes of the index.
    async fn settle(&self, row: Row) {
        loop {
            let Err(error) = self.try_to_settle(&row).await else {
                return;
            };
            if self.at.elapsed() >= GRACE {
                tracing::warn!(
                    id = %self.id,
                    error = %chain(&error),
                    "the index was not told of a change; the next query or the next comparison will"
                );
                return;
            }
            sleep(PAUSE).await;
        }
    }

    async fn try_to_settle(&self, row: &Row) -> Result<(), IndexError> {
        let written = self
            .index
            .write([(row, self.seen)], Some(self.writer), None);
        if written.await?.is_empty() {
            // Somebody else has changed the row meanwhile: what counts is what the store has now.
            self.index
                .heal(self.objects, std::slice::from_ref(&row.place))
                .await?;
            let places = std::slice::from_ref(&row.place);
            self.index
                .note(TAKE_BACK, places, self.writer, None)
                .await?;
        }
        Ok(())
    }

    /// Should it fail, the next query looks.
    async fn note(&self, statement: &str, seconds: Option<f64>) {
        let places = [place(self.id)];
        if let Err(error) = self
            .index
            .note(statement, &places, self.writer, seconds)
            .await
        {
            tracing::debug!(id = %self.id, error = %chain(&error), "an announcement stays");
        }
    }
}

impl Index {
    /// Announces a change of one record.
    ///
    /// # Errors
    ///
    /// [`IndexError::Unavailable`], [`IndexError::Foreign`] or [`IndexError::Random`]: the change must not be made.
    pub(crate) async fn announce<'a>(
        &'a self,
        objects: &'a Objects,
        id: &'a Id,
    ) -> Result<Announcement<'a>, IndexError> {
        let seen = self.announce_all(&[place(id)]).await?;
        Ok(Announcement::new(Announced {
            index: self,
            objects,
            id,
            writer: seen.writer,
            seen: seen.stamps.get(&place(id)).copied().unwrap_or(0),
            at: Instant::now(),
        }))
    }

    /// Announces changes of many records.
    pub(super) async fn announce_all(&self, places: &[String]) -> Result<Seen, IndexError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(IndexError::Random)?;
        let writer = Uuid::from_bytes(bytes);
        let (grace, lifetime) = (GRACE.as_secs_f64(), LIFETIME.as_secs_f64());
        let announced = self.connections.run(PATIENCE, |session| async move {
            let parameters: [Parameter<'_>; 4] = [
                (&places, Type::TEXT_ARRAY),
                (&writer, Type::UUID),
                (&grace, Type::FLOAT8),
                (&lifetime, Type::FLOAT8),
            ];
            let rows = session.client().query_typed(ANNOUNCE, &parameters).await?;
            let seen = rows.iter().map(|row| {
                let store: Option<&str> = row.try_get(2)?;
                Ok((row.try_get(0)?, row.try_get(1)?, store.map(unescaped)))
            });
            seen.collect::<Result<Vec<(String, i64, Option<String>)>, tokio_postgres::Error>>()
        });
        let mut stamps = HashMap::with_capacity(places.len());
        for (place, stamp, store) in announced.await? {
            // An index that is not made yet is anybody's.
            if let Some(store) = store.filter(|store| *store != self.store) {
                return Err(IndexError::Foreign(store));
            }
            stamps.insert(place, stamp);
        }
        Ok(Seen { writer, stamps })
    }

    /// Takes announcements back.
    pub(super) async fn take_back(
        &self,
        places: &[String],
        writer: Uuid,
    ) -> Result<(), IndexError> {
        self.note(TAKE_BACK, places, writer, None).await
    }

    async fn note(
        &self,
        statement: &str,
        places: &[String],
        writer: Uuid,
        seconds: Option<f64>,
    ) -> Result<(), IndexError> {
        let noted = self.connections.run(PATIENCE, |session| async move {
            let mut parameters: Vec<Parameter<'_>> =
                vec![(&places, Type::TEXT_ARRAY), (&writer, Type::UUID)];
            if let Some(seconds) = &seconds {
                parameters.push((seconds, Type::FLOAT8));
            }
            session.client().execute_typed(statement, &parameters).await
        });
        noted.await?;
        Ok(())
    }
}
