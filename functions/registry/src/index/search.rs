//! Artifacts in whose name or description a pattern is found.
//!
//! The database tells which artifacts may have it, and every one of them is looked at here: so the answer is the same
//! as without an index, whatever the database takes for a letter. A pattern of which nothing is known must be looked for
//! everywhere, which is done as long as that takes no longer than a request may.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::connections::Session;
use super::literal::{self, Condition};
use super::query::entry;
use super::row::{escaped, place, unescaped};
use super::{DatabaseError, Index, IndexError};
use crate::artifact::Kind;
use crate::catalogue::Entry;
use crate::pattern::Pattern;
use crate::registry::MOST_UNPAGED;
use crate::store::Objects;

/// How long a search may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Artifacts that are looked at in one statement where all have to be: what the database does once nobody waits for it
/// any more.
const STRIDE: usize = 2_000;
/// What conditions are about, as the index has it.
const TEXT: &str = "lower(name || E'\\n' || description)";

/// What has been found so far.
struct Hits<'a> {
    pattern: &'a Pattern,
    artifacts: Vec<Arc<Entry>>,
}

impl Index {
    /// All artifacts that the pattern is found in, in the order of their places.
    ///
    /// # Errors
    ///
    /// [`IndexError::TooBroad`].
    pub(crate) async fn search(
        &self,
        objects: &Objects,
        pattern: &Pattern,
    ) -> Result<Vec<Arc<Entry>>, IndexError> {
        self.ask(objects, |_session| std::future::ready(Ok(())))
            .await?;
        let deadline = Instant::now() + PATIENCE;
        let (session, _permit) = self.connections.search(deadline).await?;
        let mut hits = Hits {
            pattern,
            artifacts: Vec::new(),
        };
        let abilities = session.abilities();
        let conditions = literal::conditions(pattern.as_str(), |character| {
            character.is_ascii_alphanumeric()
                || abilities.has_foreign_letters && character.is_alphanumeric()
        });
        let looked = async {
            if abilities.has_trigrams && !conditions.is_empty() {
                candidates(&session, &conditions, &mut hits).await
            } else {
                everything(&session, &conditions, &mut hits).await
            }
        };
        timeout_at(deadline, looked)
            .await
            .map_err(|_elapsed| IndexError::TooBroad)??;
        // Only now: a connection whose answer was not read to its end is of no more use.
        self.connections.keep(session);
        // The index gives them in no order.
        hits.artifacts
            .sort_by_cached_key(|artifact| place(&artifact.id));
        Ok(hits.artifacts)
    }
}

/// Looks at what fulfils the conditions, by the index.
async fn candidates(
    session: &Session,
    conditions: &[Condition],
    hits: &mut Hits<'_>,
) -> Result<(), IndexError> {
    let filter = Filter::new(conditions, 0);
    hits.look_at_all(session, &filter.candidates(), filter.texts)
        .await?;
    Ok(())
}

/// Looks at all artifacts, some at a time: whoever is told that it takes too long leaves no statement running.
async fn everything(
    session: &Session,
    conditions: &[Condition],
    hits: &mut Hits<'_>,
) -> Result<(), IndexError> {
    let filter = Filter::new(conditions, 2);
    let statement = filter.some_of_a_kind();
    for kind in Kind::ALL {
        let mut after = String::new();
        loop {
            let range = [kind.as_str().to_owned(), after];
            let parameters = range.into_iter().chain(filter.texts.iter().cloned());
            match hits
                .look_at_all(session, &statement, parameters.collect())
                .await?
            {
                (STRIDE, last) => after = last,
                _ => break,
            }
        }
    }
    Ok(())
}

impl Hits<'_> {
    /// Looks at the rows of an answer as they come, for together they may be larger than there is room for. Gives how many
    /// there were, and the place of the last one.
    async fn look_at_all(
        &mut self,
        session: &Session,
        statement: &str,
        texts: Vec<String>,
    ) -> Result<(usize, String), IndexError> {
        let parameters = texts.into_iter().map(|text| (text, Type::TEXT));
        let rows = session
            .client()
            .query_typed_raw(statement, parameters)
            .await;
        let mut rows = std::pin::pin!(rows.map_err(DatabaseError::from)?);
        let (mut number, mut last) = (0, String::new());
        while let Some(row) = rows.next().await {
            let row = row.map_err(DatabaseError::from)?;
            number += 1;
            last = row.try_get(0).map_err(DatabaseError::from)?;
            self.look_at(&row)?;
        }
        Ok((number, last))
    }

    /// Looks at a row of place, name, kind and description, of which the last is null where it need not be looked at.
    fn look_at(&mut self, row: &Row) -> Result<(), IndexError> {
        let description: Option<&str> = row.try_get(3).map_err(DatabaseError::from)?;
        let Some(description) = description else {
            return Ok(());
        };
        let Some(entry) = entry(row)? else {
            return Ok(());
        };
        if !self.pattern.is_in(&entry.name) && !self.pattern.is_in(&unescaped(description)) {
            return Ok(());
        }
        if self.artifacts.len() == MOST_UNPAGED {
            return Err(IndexError::TooBroad);
        }
        self.artifacts.push(entry);
        Ok(())
    }
}

/// Conditions as SQL, with what they look for.
pub(super) struct Filter {
    /// Begins with `and`, if there is anything.
    sql: String,
    pub(super) texts: Vec<String>,
}

impl Filter {
    /// `before`: parameters that the statement has already.
    pub(super) fn new(conditions: &[Condition], before: usize) -> Self {
        let mut texts = Vec::new();
        let clauses: Vec<String> = conditions
            .iter()
            .map(|condition| {
                let alternatives = condition.iter().map(|text| {
                    texts.push(containing(text));
                    format!("{TEXT} like ${}", before + texts.len())
                });
                let alternatives: Vec<String> = alternatives.collect();
                format!(" and ({})", alternatives.join(" or "))
            })
            .collect();
        Self {
            sql: clauses.concat(),
            texts,
        }
    }

    /// Everything that fulfils the conditions.
    pub(super) fn candidates(&self) -> String {
        format!(
            "select place, name, kind, description from registry_artifact where kind is not null{}",
            self.sql
        )
    }

    /// The next artifacts of a kind behind a place, with a description where they fulfil the conditions.
    pub(super) fn some_of_a_kind(&self) -> String {
        format!(
            "select place, name, kind, case when true{} then description end from (
                select place, name, kind, description from registry_artifact
                where (kind, place) > ($1, $2) and kind <= $1 and kind is not null order by kind, place limit {STRIDE}
            ) as chunk order by place",
            self.sql
        )
    }
}

/// What `like` takes for every text that has this one in it.
fn containing(text: &str) -> String {
    let mut like = String::from("%");
    for character in escaped(text).chars() {
        if matches!(character, '%' | '_' | '\\') {
            like.push('\\');
        }
        like.push(character);
    }
    like.push('%');
    like
}
