//! All artifacts removed.

use std::collections::HashSet;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio_postgres::types::Type;

use super::row::{Parameter, Row, place};
use super::{Index, IndexError, PATIENCE};
use crate::artifact::Id;
use crate::catalogue::PARALLEL;
use crate::key;
use crate::store::Objects;

/// Objects that are removed together.
const BATCH: usize = 1000;

/// What queries would still find.
const LEFT: &str = "
    select place from registry_artifact where kind is not null and place > $1 order by place limit 1000";

impl Index {
    /// Removes every object of every artifact, and what the index has of them. Who registers one at the same moment may
    /// find it gone or kept, but in both places.
    pub(crate) async fn remove_all(&self, objects: &Objects) -> Result<(), IndexError> {
        loop {
            let listed = objects.list(key::ARTIFACTS, None, BATCH).await?;
            if listed.is_empty() {
                break;
            }
            let ids: Vec<Id> = listed
                .iter()
                .filter_map(|object| key::record_id(&object.key))
                .collect();
            let places: Vec<String> = ids.iter().map(place).collect();
            let seen = self.announce_all(&places).await?;
            stream::iter(listed.into_iter().map(|object| {
                let objects = objects.clone();
                async move { objects.delete(&object.key).await }
            }))
            .buffer_unordered(PARALLEL)
            .try_collect::<Vec<()>>()
            .await?;
            let rows: Vec<Row> = ids.iter().map(Row::gone).collect();
            let stamped = rows.iter().map(|row| {
                let stamp = seen.stamps.get(&row.place);
                (row, stamp.copied().unwrap_or(0))
            });
            let written = self.write(stamped, Some(seen.writer), None).await?;
            let written: HashSet<String> = written.into_iter().collect();
            let is_late = |place: &String| !written.contains(place);
            let late: Vec<String> = places.into_iter().filter(is_late).collect();
            if !late.is_empty() {
                self.heal(objects, &late).await?;
                self.take_back(&late, seen.writer).await?;
            }
        }
        self.look_at_the_rest(objects).await
    }

    /// What the index has without an object.
    async fn look_at_the_rest(&self, objects: &Objects) -> Result<(), IndexError> {
        let mut after = String::new();
        loop {
            let from = &after;
            let left = self.connections.run(PATIENCE, |session| async move {
                let parameters: [Parameter<'_>; 1] = [(from, Type::TEXT)];
                let rows = session.client().query_typed(LEFT, &parameters).await?;
                rows.iter().map(|row| row.try_get(0)).collect()
            });
            let left: Vec<String> = left.await?;
            let Some(last) = left.last().cloned() else {
                return Ok(());
            };
            self.heal(objects, &left).await?;
            after = last;
        }
    }
}
