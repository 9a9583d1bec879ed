//! How artifacts refer to each other.

use std::collections::HashSet;
use std::time::Instant;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::row::{Parameter, bounded, place};
use super::{Index, IndexError};
use crate::artifact::Id;
use crate::relation::Member;
use crate::store::Objects;

pub(super) const BY_ID: &str = "
    select member from registry_artifact where place = any ($1::text[]) and member is not null order by place";

/// Of each key the first two: a reference means the first one that is not its author. What is left of rows that
/// somebody has deleted does not count.
pub(super) const BY_KEY: &str = "
    select member from registry_artifact
    where place in (
        select owner.place from unnest($1::text[]) as wanted (key), lateral (
            select place from registry_relation join registry_artifact using (place)
            where key = wanted.key and not is_reference and member is not null order by place limit 2
        ) as owner
    )
    order by place";

pub(super) const REFERRING: &str = "
    select member from registry_artifact
    where place in (
        select referring.place from unnest($1::text[]) as wanted (key), lateral (
            select place from registry_relation join registry_artifact using (place)
            where key = wanted.key and is_reference and member is not null and place > $2 order by place limit $3
        ) as referring
    )
    order by place limit $3";

impl Index {
    /// The members of these ids, as far as there are such artifacts, in the order of their places.
    ///
    /// # Errors
    ///
    /// [`IndexError`], if the index does not answer.
    pub async fn members(&self, objects: &Objects, ids: &[Id]) -> Result<Vec<Member>, IndexError> {
        let places: &Vec<String> = &ids.iter().map(place).collect();
        let rows = self.ask(objects, |session| async move {
            let parameters: [Parameter<'_>; 1] = [(places, Type::TEXT_ARRAY)];
            session.client().query_typed(BY_ID, &parameters).await
        });
        members(&rows.await?)
    }

    /// Whom references may mean by these keys: enough to tell for each key whom an artifact means that is not the
    /// artifact itself, which is the first one in the order of places; as they were at this moment or later.
    ///
    /// # Errors
    ///
    /// [`IndexError`], if the index does not answer.
    pub async fn members_by_keys<K: AsRef<str> + Sync>(
        &self,
        objects: &Objects,
        keys: &[K],
        moment: Instant,
    ) -> Result<Vec<Member>, IndexError> {
        let keys = &as_stored(keys);
        let rows = self.ask_since(objects, moment, |session| async move {
            let parameters: [Parameter<'_>; 1] = [(keys, Type::TEXT_ARRAY)];
            session.client().query_typed(BY_KEY, &parameters).await
        });
        members(&rows.await?)
    }

    /// Who refers to something by one of these keys, whomever that means: at most `limit` behind the artifact `after`, in
    /// the order of places; as they were at this moment or later.
    ///
    /// # Errors
    ///
    /// [`IndexError`], if the index does not answer.
    pub async fn members_referring<K: AsRef<str> + Sync>(
        &self,
        objects: &Objects,
        keys: &[K],
        (after, limit): (Option<&Id>, usize),
        moment: Instant,
    ) -> Result<Vec<Member>, IndexError> {
        let keys = &as_stored(keys);
        let after = &after.map(place).unwrap_or_default();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.ask_since(objects, moment, |session| async move {
            let parameters: [Parameter<'_>; 3] = [
                (keys, Type::TEXT_ARRAY),
                (after, Type::TEXT),
                (&limit, Type::INT8),
            ];
            session.client().query_typed(REFERRING, &parameters).await
        });
        members(&rows.await?)
    }
}

/// Keys as the database has them, each once.
fn as_stored<K: AsRef<str>>(keys: &[K]) -> Vec<String> {
    let keys: HashSet<String> = keys
        .iter()
        .map(|key| bounded(key.as_ref()).into_owned())
        .collect();
    keys.into_iter().collect()
}

/// What cannot be read was written by another version, and will be written anew.
fn members(rows: &[Row]) -> Result<Vec<Member>, IndexError> {
    let mut members = Vec::with_capacity(rows.len());
    for row in rows {
        let json: &str = row.try_get(0).map_err(super::DatabaseError::from)?;
        members.extend(serde_json::from_str(json).ok());
    }
    Ok(members)
}
