//! Artifacts by name and kind, page by page.

use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::row::{self, Parameter, escaped, unescaped};
use super::{Index, IndexError};
use crate::artifact::Kind;
use crate::catalogue::Entry;
use crate::cursor::Cursor;
use crate::registry::{MOST_UNPAGED, Page, Span, Wanted};
use crate::store::Objects;

/// The first artifacts behind a place, of these names and kinds, and of these kinds whatever they are called. Each name
/// and kind is one range of an index, which is read as far as the page can need it.
///
/// Rows are compared, not columns: in an order that begins with columns which are equal anyway, the planner sees the
/// order of places only, goes by these, and leaves out what has another kind, be it everything.
pub(super) const PAGE: &str = "
    select place, name, kind from (
        select hit.* from unnest($1::text[], $2::text[]) as wanted (name, kind), lateral (
            select place, name, kind from registry_artifact
            where (left(name, 256), kind, place) > (left(wanted.name, 256), wanted.kind, $4)
                and (left(name, 256), kind) <= (left(wanted.name, 256), wanted.kind)
                and name = wanted.name and kind is not null
            order by left(name, 256), kind, place limit $5
        ) as hit
        union all
        select hit.* from unnest($3::text[]) as wanted (kind), lateral (
            select place, name, kind from registry_artifact
            where (kind, place) > (wanted.kind, $4) and kind <= wanted.kind and kind is not null
            order by kind, place limit $5
        ) as hit
    ) as found
    order by place offset $6 limit $7";

impl Index {
    /// The artifacts that are wanted, by page.
    ///
    /// # Errors
    ///
    /// [`IndexError::TooMany`] when all were asked for.
    pub(crate) async fn page(
        &self,
        objects: &Objects,
        wanted: &Wanted,
        span: &Span,
    ) -> Result<Page, IndexError> {
        let most = span.limit.unwrap_or(MOST_UNPAGED);
        let after = match &span.after {
            Some(Cursor::Behind(id)) => row::place(id),
            Some(Cursor::Skip(_)) | None => String::new(),
        };
        let skip = span.after.as_ref().map_or(0, Cursor::skip);
        let (pairs, kinds) = wanted.pairs();
        let (names, of_names): (Vec<_>, Vec<&str>) = pairs
            .into_iter()
            .map(|(name, kind)| (escaped(name), kind.as_str()))
            .unzip();
        let kinds: Vec<&str> = kinds.into_iter().map(Kind::as_str).collect();
        // One more tells whether there is another page.
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let page = most.saturating_add(1);
        let (reach, skip, page) = (
            number(skip.saturating_add(page)),
            number(skip),
            number(page),
        );
        let (names, of_names, kinds, after) = (&names, &of_names, &kinds, &after);
        let rows = self.ask(objects, |session| async move {
            let parameters: [Parameter<'_>; 7] = [
                (names, Type::TEXT_ARRAY),
                (of_names, Type::TEXT_ARRAY),
                (kinds, Type::TEXT_ARRAY),
                (after, Type::TEXT),
                (&reach, Type::INT8),
                (&skip, Type::INT8),
                (&page, Type::INT8),
            ];
            session.client().query_typed(PAGE, &parameters).await
        });
        let mut artifacts = entries(&rows.await?)?;
        let has_more = artifacts.len() > most;
        if has_more && span.limit.is_none() {
            return Err(IndexError::TooMany);
        }
        artifacts.truncate(most);
        let last = artifacts.last().filter(|_| has_more);
        let next = last.map(|last| Cursor::behind(&last.id));
        Ok(Page { artifacts, next })
    }
}

/// Artifacts from rows that begin with place, name and kind.
fn entries(rows: &[Row]) -> Result<Vec<Arc<Entry>>, IndexError> {
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        entries.extend(entry(row)?);
    }
    Ok(entries)
}

/// The artifact of a row that begins with place, name and kind; `None` for a row that nobody here has written.
pub(super) fn entry(row: &Row) -> Result<Option<Arc<Entry>>, IndexError> {
    let (place, name, kind): (&str, &str, &str) = (
        row.try_get(0).map_err(super::DatabaseError::from)?,
        row.try_get(1).map_err(super::DatabaseError::from)?,
        row.try_get(2).map_err(super::DatabaseError::from)?,
    );
    let id_and_kind = row::id(place).zip(kind.parse().ok());
    Ok(id_and_kind.map(|(id, kind)| Arc::new(Entry::named(id, unescaped(name), kind))))
}
