use std::collections::HashMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{Error, Registry};
use crate::artifact::{Id, Kind, Name};
use crate::catalogue::{Description, Entry, PARALLEL};
use crate::cursor::Cursor;
use crate::key;
use crate::pattern::Pattern;
use crate::record::Stored;
use crate::store::{Objects, StoreError};

/// The most artifacts in one answer that is asked for as a whole.
pub const MOST_UNPAGED: usize = 10_000;

/// Which artifacts are asked for: those of any of the queries.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// By name; an empty list is every kind.
    names: HashMap<String, Kinds>,
    every_name: Option<Kinds>,
}

#[derive(Debug, Clone, Default)]
enum Kinds {
    #[default]
    None,
    These(Vec<Kind>),
    All,
}

/// How much of an answer is asked for.
#[derive(Debug, Clone, Default)]
pub struct Span {
    /// Where to begin; `None` for the first page.
    pub after: Option<Cursor>,
    /// The most artifacts on the page; `None` for all there are.
    pub limit: Option<usize>,
}

/// Some artifacts, and where the next ones begin.
#[derive(Debug)]
pub struct Page {
    /// In the order in which pages go on.
    pub artifacts: Vec<Arc<Entry>>,
    /// `None` after the last.
    pub next: Option<Cursor>,
}

impl Registry {
    /// The artifacts that are wanted, by page. A page stays what it was while others write: what comes later is
    /// behind the place where the page ended, or is not seen.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] when all were asked for.
    pub async fn query(&self, wanted: &Wanted, span: &Span) -> Result<Page, Error> {
        if let Some(index) = &self.index {
            return Ok(index.page(&self.objects, wanted, span).await?);
        }
        let most = span.limit.unwrap_or(MOST_UNPAGED);
        let mut skip = span.after.as_ref().map_or(0, Cursor::skip);
        let mut after = span.after.as_ref().and_then(Cursor::key);
        let mut artifacts: Vec<Arc<Entry>> = Vec::new();
        loop {
            let (entries, next) = self.catalogue.page(&self.objects, after.as_deref()).await?;
            for entry in entries.into_iter().filter(|entry| wanted.has(entry)) {
                if skip > 0 {
                    skip -= 1;
                } else if artifacts.len() < most {
                    artifacts.push(entry);
                } else if span.limit.is_some() {
                    // There is one more, so there is another page.
                    let next = artifacts.last().map(|last| Cursor::behind(&last.id));
                    return Ok(Page { artifacts, next });
                } else {
                    return Err(Error::TooMany);
                }
            }
            after = next;
            if after.is_none() {
                return Ok(Page {
                    artifacts,
                    next: None,
                });
            }
        }
    }

    /// All artifacts of exactly this name.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is none, [`Error::TooMany`].
    pub async fn by_name(&self, name: &Name) -> Result<Vec<Arc<Entry>>, Error> {
        let wanted = Wanted::default().name(name.as_str(), &[]);
        if let Some(index) = &self.index {
            let all = index.page(&self.objects, &wanted, &Span::default()).await?;
            return some(all.artifacts);
        }
        let found = self.all(|entry| wanted.has(entry)).await?;
        some(found)
    }

    /// All artifacts in whose name or description the pattern is found.
    ///
    /// # Errors
    ///
    /// [`Error::Pattern`], or [`Error::NotFound`] when there is none.
    pub async fn by_regex(&self, pattern: &str) -> Result<Vec<Arc<Entry>>, Error> {
        let pattern = &Pattern::new(pattern)?;
        if let Some(index) = &self.index {
            return some(index.search(&self.objects, pattern).await?);
        }
        // What the catalogue cannot decide is decided below.
        let candidates = self
            .all(|entry| pattern.is_in(&entry.name) || entry.description.may_have(pattern))
            .await?;
        let decided: Vec<Option<Arc<Entry>>> = stream::iter(candidates.into_iter().map(|entry| {
            let (objects, pattern) = (self.objects.clone(), pattern.clone());
            async move {
                let is_found = pattern.is_in(&entry.name)
                    || matches!(entry.description, Description::Here(_))
                    || describes(&objects, &entry.id, &pattern).await?;
                Ok::<_, StoreError>(is_found.then_some(entry))
            }
        }))
        .buffered(PARALLEL)
        .try_collect()
        .await?;
        some(decided.into_iter().flatten().collect())
    }

    async fn all(&self, wanted: impl Fn(&Entry) -> bool) -> Result<Vec<Arc<Entry>>, StoreError> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let (entries, next) = self.catalogue.page(&self.objects, after.as_deref()).await?;
            found.extend(entries.into_iter().filter(|entry| wanted(entry)));
            if next.is_none() {
                return Ok(found);
            }
            after = next;
        }
    }
}

impl Wanted {
    /// These as well: of this name, and of one of these kinds; no kinds are all. The name `*` is every name.
    #[must_use]
    pub fn name(mut self, name: &str, kinds: &[Kind]) -> Self {
        let wanted = match name {
            "*" => self.every_name.get_or_insert_default(),
            name => self.names.entry(name.to_owned()).or_default(),
        };
        match wanted {
            Kinds::All => {}
            Kinds::These(_) | Kinds::None if kinds.is_empty() => *wanted = Kinds::All,
            Kinds::These(these) => these.extend(kinds),
            Kinds::None => *wanted = Kinds::These(kinds.to_vec()),
        }
        self
    }

    /// Names with a kind, and kinds of which every name is wanted; together each artifact once.
    pub(crate) fn pairs(&self) -> (Vec<(&str, Kind)>, Vec<Kind>) {
        let of_all = |kind: &Kind| {
            self.every_name
                .as_ref()
                .is_some_and(|kinds| kinds.has(*kind))
        };
        let every: Vec<Kind> = Kind::ALL.into_iter().filter(of_all).collect();
        let pairs = self.names.iter().flat_map(|(name, kinds)| {
            let wanted = Kind::ALL.into_iter().filter(|kind| kinds.has(*kind));
            wanted.map(move |kind| (name.as_str(), kind))
        });
        let pairs = pairs.filter(|(_, kind)| !every.contains(kind)).collect();
        (pairs, every)
    }

    fn has(&self, entry: &Entry) -> bool {
        let named = self.names.get(&entry.name);
        named
            .into_iter()
            .chain(&self.every_name)
            .any(|kinds| kinds.has(entry.kind))
    }
}

impl Kinds {
    fn has(&self, kind: Kind) -> bool {
        match self {
            Self::None => false,
            Self::These(these) => these.contains(&kind),
            Self::All => true,
        }
    }
}

impl Description {
    fn may_have(&self, pattern: &Pattern) -> bool {
        match self {
            Self::Here(text) => pattern.is_in(text),
            Self::Elsewhere => true,
        }
    }
}

/// Whether the pattern is in a description that there was no room for.
async fn describes(objects: &Objects, id: &Id, pattern: &Pattern) -> Result<bool, StoreError> {
    let Some((bytes, _)) = objects.get(&key::record(id)).await? else {
        return Ok(false);
    };
    Ok(match Stored::parse(id, &bytes) {
        Ok(Stored::Artifact(record)) => pattern.is_in(&record.description()),
        _ => false,
    })
}

fn some(found: Vec<Arc<Entry>>) -> Result<Vec<Arc<Entry>>, Error> {
    if found.is_empty() {
        Err(Error::NotFound)
    } else {
        Ok(found)
    }
}
