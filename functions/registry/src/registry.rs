//! What the registry does, whoever asks: no HTTP here, and no question of who may.
//!
//! **What is done is written down first.** The entry is in the audit trail before the artifact becomes visible, changes or
//! goes, and before what was asked for is answered. A process that dies in between leaves an entry of something that did not
//! happen, as the artifact shows; in the other order it would leave a change that nobody has made. For the same
//! reason an entry stays when what it tells of fails after all, because the store does, or because somebody else was faster.
//! What is refused before that, such as a URL that is registered already, is in no entry.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use time::OffsetDateTime;

use crate::artifact::{Id, Kind, Name};
use crate::audit::{Action, Actor, AuditError, Entry as AuditEntry, Subject, Trail};
use crate::catalogue::{Catalogue, Description, Entry, PARALLEL};
use crate::claim::{self, ClaimError, Held};
use crate::cursor::Cursor;
use crate::key;
use crate::pattern::{InvalidPattern, Pattern};
use crate::record::{self, Record, Stored, Unreadable};
use crate::source::Source;
use crate::store::{Etag, Objects, StoreError};

/// The most artifacts in one answer that is asked for as a whole.
pub const MOST_UNPAGED: usize = 10_000;
/// How often a change is tried that others make at the same moment.
const TRIES: usize = 16;

/// All artifacts of one store.
#[derive(Debug)]
pub struct Registry {
    objects: Objects,
    catalogue: Catalogue,
    trail: Trail,
}

/// An artifact to be registered.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Model, dataset or code.
    pub kind: Kind,
    /// What it is called; `None` for a name made from its source.
    pub name: Option<Name>,
    /// Where it comes from.
    pub source: Source,
    /// Who registers it.
    pub user: Actor,
}

/// A new source for an artifact.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which must be the artifact's: it cannot be renamed.
    pub name: String,
    /// Where it comes from now.
    pub source: Source,
    /// Who says so.
    pub user: Actor,
    /// Only if the artifact is still this one.
    pub etag: Option<Etag>,
}

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

/// Why the registry did not do what was asked: one variant per decision a caller can take.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such artifact, or it is of another kind.
    #[error("there is no such artifact")]
    NotFound,
    /// An artifact of this kind has this URL already. Its id is not known while it is being registered.
    #[error("an artifact of this type with this url {}", match .0 {
        Some(id) => format!("is registered already: {id}"),
        None => "is being registered by another request".to_owned(),
    })]
    Exists(Option<Id>),
    /// An update names another artifact than the one that is there.
    #[error("the name is not the artifact's")]
    OtherName,
    /// The artifact is no longer the one that the caller has seen.
    #[error("the artifact was changed since")]
    Changed,
    /// Others change the same artifact all the time.
    #[error("others are changing this artifact")]
    Busy,
    /// The regular expression cannot be searched for.
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
    /// The whole answer was asked for, and is too large.
    #[error("more than {MOST_UNPAGED} artifacts: ask for pages, without limit=all")]
    TooMany,
    /// What is stored of the artifact cannot be understood.
    #[error("what is stored of this artifact cannot be read")]
    Unreadable(#[source] Unreadable),
    /// The store does not answer; whether a change was made is not known.
    #[error(transparent)]
    Store(StoreError),
    /// The audit trail does not answer. What is not in it is not done.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The system has no random bytes.
    #[error("the system has no random bytes")]
    Random(#[source] getrandom::Error),
}

impl Registry {
    /// The registry of what is in a store, and the trail of what is done to it.
    pub fn new(objects: Objects, trail: Trail) -> Self {
        Self {
            objects,
            catalogue: Catalogue::default(),
            trail,
        }
    }

    /// Where it is kept.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// What was done to artifacts.
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Writes down that `user` does something to an artifact. When this returns, it is there for good: call it before
    /// the answer is given, and on a registry that is there to be written to.
    ///
    /// # Errors
    ///
    /// [`Error::Audit`].
    pub async fn audit(&self, user: &Actor, record: &Record, action: Action) -> Result<(), Error> {
        self.note(user, record.into(), action).await
    }

    async fn note(&self, user: &Actor, artifact: Subject, action: Action) -> Result<(), Error> {
        let entry = AuditEntry {
            user: user.clone(),
            date: OffsetDateTime::now_utc(),
            artifact,
            action,
        };
        Ok(self.trail.record(entry).await?)
    }

    /// What was done to an artifact, as [`Trail::entries`] has it; that somebody has asked is written down as well. Of an
    /// artifact that is gone, an admin may know.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Audit`].
    pub async fn history(
        &self,
        kind: Kind,
        id: &Id,
        user: &Actor,
        after: u64,
        enough: usize,
    ) -> Result<(Vec<AuditEntry>, Option<u64>), Error> {
        let artifact = match self.read(kind, id).await {
            Ok((record, _)) => Some(Subject::from(&record)),
            Err(Error::NotFound) if user.is_admin => None,
            Err(error) => return Err(error),
        };
        let (entries, next) = self.trail.entries(id, after, enough).await?;
        let last = || entries.last().map(|entry| entry.artifact.clone());
        let artifact = artifact.or_else(last).filter(|known| known.kind == kind);
        let artifact = artifact.ok_or(Error::NotFound)?;
        self.note(user, artifact, Action::Audit).await?;
        Ok((entries, next))
    }

    /// Registers an artifact under a new id.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] when the same kind has the same URL.
    pub async fn create(&self, draft: Draft) -> Result<(Record, Etag), Error> {
        let name = match &draft.name {
            Some(name) => name.as_str().to_owned(),
            None => draft.source.default_name(),
        };
        for _ in 0..TRIES {
            let id = Id::random().map_err(Error::Random)?;
            let held = claim::take(&self.objects, draft.kind, &draft.source, &id).await?;
            let key = key::record(&id);
            let user = draft.user.name.clone();
            let record = Record::new(id, name.clone(), draft.kind, &draft.source, user);
            let bytes = record.to_bytes();
            if let Err(error) = self.audit(&draft.user, &record, Action::Create).await {
                claim::release(&self.objects, held).await;
                return Err(error);
            }
            match self.objects.create(&key, bytes.clone()).await {
                Ok(etag) => return Ok((record, etag)),
                Err(StoreError::Exists) => {
                    if let Some(etag) = self.is_ours(&key, &bytes).await? {
                        return Ok((record, etag));
                    }
                    // Another artifact has the id, or we were so slow that our claim was taken over.
                    claim::release(&self.objects, held).await;
                }
                Err(error) => return self.undo(record, &key, &bytes, held, error).await,
            }
        }
        Err(Error::Busy)
    }

    /// The artifact.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], also for an artifact of another kind.
    pub async fn read(&self, kind: Kind, id: &Id) -> Result<(Record, Etag), Error> {
        let (record, etag) = self.find(id).await?;
        if record.kind == kind {
            Ok((record, etag))
        } else {
            Err(Error::NotFound)
        }
    }

    /// The artifact, whatever its kind.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    pub async fn find(&self, id: &Id) -> Result<(Record, Etag), Error> {
        let found = self.objects.get(&key::record(id)).await?;
        let (bytes, etag) = found.ok_or(Error::NotFound)?;
        match Stored::parse(id, &bytes).map_err(Error::Unreadable)? {
            Stored::Artifact(record) => Ok((*record, etag)),
            Stored::Withdrawn { .. } => Err(Error::NotFound),
        }
    }

    /// Gives an artifact another source.
    ///
    /// # Errors
    ///
    /// [`Error::OtherName`]; [`Error::Exists`] when another artifact has the new URL; [`Error::Changed`].
    pub async fn update(
        &self,
        kind: Kind,
        id: &Id,
        change: &Change,
    ) -> Result<(Record, Etag), Error> {
        let mut held = None;
        let updated = self.update_holding(kind, id, change, &mut held).await;
        if let (Err(error), Some(held)) = (&updated, held)
            && !matches!(error, Error::Store(_))
        {
            claim::release(&self.objects, held).await;
        }
        updated
    }

    async fn update_holding(
        &self,
        kind: Kind,
        id: &Id,
        change: &Change,
        held: &mut Option<Held>,
    ) -> Result<(Record, Etag), Error> {
        let mut is_noted = false;
        for _ in 0..TRIES {
            let (record, etag) = self.read(kind, id).await?;
            if change.etag.as_ref().is_some_and(|seen| *seen != etag) {
                return Err(Error::Changed);
            }
            if record.name != change.name {
                return Err(Error::OtherName);
            }
            let mut next = record.clone();
            next.revision += 1;
            next.updated_at = Some(record::now());
            next.updated_by = Some(change.user.name.clone());
            let mut old = None;
            if record.url != change.source.as_str() {
                old = self.claim_of(&record).await?;
                *held = Some(claim::take(&self.objects, kind, &change.source, id).await?);
                next.set_source(&change.source);
            }
            if !is_noted {
                self.audit(&change.user, &record, Action::Update).await?;
                is_noted = true;
            }
            let (key, bytes) = (key::record(id), next.to_bytes());
            let written = match self.objects.replace(&key, bytes.clone(), &etag).await {
                Ok(etag) => Some(etag),
                Err(StoreError::Changed) => self.is_ours(&key, &bytes).await?,
                // Perhaps only the answer was lost.
                Err(error) => match self.is_ours(&key, &bytes).await {
                    Ok(Some(etag)) => Some(etag),
                    _ => return Err(error.into()),
                },
            };
            if let Some(etag) = written {
                if let Some(old) = old {
                    claim::release(&self.objects, old).await;
                }
                return Ok((next, etag));
            }
        }
        Err(Error::Busy)
    }

    /// Removes an artifact: its record first, so that nobody sees it any more, then its files.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`].
    pub async fn delete(&self, kind: Kind, id: &Id, user: &Actor) -> Result<Record, Error> {
        let mut is_noted = false;
        for _ in 0..TRIES {
            let (record, etag) = self.read(kind, id).await?;
            if !is_noted {
                self.audit(user, &record, Action::Delete).await?;
                is_noted = true;
            }
            let held = self.claim_of(&record).await?;
            match self.objects.delete_if(&key::record(id), &etag).await {
                Ok(()) => {
                    if let Some(held) = held {
                        claim::release(&self.objects, held).await;
                    }
                    self.delete_all(&key::folder(id)).await?;
                    return Ok(record);
                }
                Err(StoreError::Changed) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Busy)
    }

    /// The artifacts that are wanted, by page. A page stays what it was while others write: what comes later is
    /// behind the place where the page ended, or is not seen.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] when all were asked for.
    pub async fn query(&self, wanted: &Wanted, span: &Span) -> Result<Page, Error> {
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
    /// [`Error::NotFound`] when there is none.
    pub async fn by_name(&self, name: &Name) -> Result<Vec<Arc<Entry>>, Error> {
        let wanted = Wanted::default().name(name.as_str(), &[]);
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

    /// Removes all artifacts and claims, but not the trail: each deletion is in it. Whoever registers one at the same
    /// moment may find it gone, or kept.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], [`Error::Audit`]: some may be left. Doing it again removes them.
    pub async fn reset(&self, user: &Actor) -> Result<(), Error> {
        let mut after = None;
        loop {
            let (entries, next) = self.catalogue.page(&self.objects, after.as_deref()).await?;
            // At once, for then they share blocks of the trail.
            let noted = entries.iter().map(|entry| {
                let artifact = Subject {
                    name: entry.name.clone(),
                    id: entry.id.clone(),
                    kind: entry.kind,
                };
                self.note(user, artifact, Action::Delete)
            });
            try_join_all(noted).await?;
            after = next;
            if after.is_none() {
                break;
            }
        }
        self.delete_all(key::ARTIFACTS).await?;
        self.delete_all(key::CLAIMS).await
    }

    /// The tag of an object, if it is the one that we tried to write: the answer to an earlier try was lost.
    async fn is_ours(&self, key: &str, bytes: &[u8]) -> Result<Option<Etag>, Error> {
        let found = self.objects.get(key).await?;
        Ok(found.and_then(|(found, etag)| (found == bytes).then_some(etag)))
    }

    /// After a record whose writing failed, perhaps only by its answer: bars its place, so that nothing comes of it
    /// later, and gives up the claim, so that the caller can try again at once.
    async fn undo(
        &self,
        record: Record,
        key: &str,
        bytes: &[u8],
        held: Held,
        error: StoreError,
    ) -> Result<(Record, Etag), Error> {
        match self.objects.create(key, Stored::withdrawn()).await {
            Ok(_) => claim::release(&self.objects, held).await,
            Err(StoreError::Exists) => {
                if let Some(etag) = self.is_ours(key, bytes).await? {
                    return Ok((record, etag));
                }
            }
            // The claim without an artifact is taken over in a minute.
            Err(_) => {}
        }
        Err(error.into())
    }

    async fn claim_of(&self, record: &Record) -> Result<Option<Held>, StoreError> {
        // Other writers may have put what we would not have taken; that has no claim.
        match record.url.parse::<Source>() {
            Ok(source) => claim::of(&self.objects, record.kind, &source, &record.id).await,
            Err(_invalid) => Ok(None),
        }
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

    async fn delete_all(&self, prefix: &str) -> Result<(), Error> {
        loop {
            let listed = self.objects.list(prefix, None, 1000).await?;
            if listed.is_empty() {
                return Ok(());
            }
            stream::iter(listed.into_iter().map(|object| {
                let objects = self.objects.clone();
                async move { objects.delete(&object.key).await }
            }))
            .buffer_unordered(PARALLEL)
            .try_collect::<Vec<()>>()
            .await?;
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

    fn has(&self, entry: &Entry) -> bool {
        let named = self.names.get(&entry.name);
        named
            .into_iter()
            .chain(&self.every_name)
            .any(|kinds| match kinds {
                Kinds::None => false,
                Kinds::These(these) => these.contains(&entry.kind),
                Kinds::All => true,
            })
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
        Ok(Stored::Artifact(record)) => record.readmes().any(|readme| pattern.is_in(readme)),
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

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ClaimError> for Error {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Taken(id) => Self::Exists(id),
            ClaimError::Store(error) => Self::Store(error),
            ClaimError::Random(error) => Self::Random(error),
        }
    }
}
