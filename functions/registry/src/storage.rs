//! Which store it is: S3, or what is there instead of it.
//!
//! The order is S3, SQLite, memory; which of them may be used, the settings say. The first that works is taken when
//! the function starts. In production there is S3 and nothing else, unless the operator wants writes to be taken that
//! may vanish: an answer from an empty memory would say that artifacts do not exist which do.
//!
//! While S3 is not the one that answers, it is tried again every now and then. It is gone back to only as long as
//! nothing was written elsewhere: what was acknowledged must not be hidden.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared::database::{self, Database};
use shared::s3::{S3, Settings};
use shared::telemetry::chain;

use crate::access::settings::Settings as AccessSettings;
use crate::backend::Backend;
use crate::index::Index;
use crate::ingest::Ingest;
use crate::store::{BucketObjects, MemoryObjects, Objects, SqliteObjects, StoreKind};

/// How long a store that did not work is left alone.
const REST: Duration = Duration::from_secs(10);

/// Which stores may be used, in the order in which they are tried. Memory is the last one outside production.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    /// The bucket, if there is to be one.
    pub bucket: Option<String>,
    /// How S3 is reached.
    pub s3: Settings,
    /// The SQLite file, if it may be used; a file without a name is memory.
    pub sqlite: Option<PathBuf>,
    /// What is not in S3 may vanish with the instance, and nobody would notice.
    pub is_production: bool,
    /// In production, write to memory where S3 is not to be had.
    pub allow_volatile: bool,
    /// The database that holds an index of the bucket, if there is one.
    pub index: Option<database::Settings>,
}

/// The store in use, and how it came to be.
#[derive(Debug)]
pub struct Storage {
    chain: Chain,
    access: AccessSettings,
    s3: S3,
    ingest: Arc<Ingest>,
    index: Option<Arc<Index>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What is in use.
    backend: Option<Arc<Backend>>,
    /// What is on the wanted store, once that was there: what it remembers outlives an absence.
    wanted: Option<Arc<Backend>>,
    /// Something was written to a store that is not the wanted one.
    has_written: bool,
    /// A request could not be answered, so the store in use may be gone.
    is_doubted: bool,
    /// What went wrong last, and when.
    failure: Option<(String, Instant)>,
}

/// What can be said of the store in use.
#[derive(Debug, Clone)]
pub struct Report {
    /// `None` where nothing works.
    pub store: Option<StoreKind>,
    /// Which one there should be.
    pub wanted: StoreKind,
    /// What went wrong last with the wanted one.
    pub failure: Option<String>,
}

/// No store is to be had.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no store answers: {0}")]
pub struct NoStore(String);

impl Storage {
    /// The stores of a chain; none is opened yet.
    pub fn new(chain: Chain, access: AccessSettings) -> Self {
        let s3 = S3::new(chain.s3.clone());
        Self::with_s3(chain, access, s3)
    }

    /// As [`new`](Self::new), with an S3 that is there already.
    pub fn with_s3(chain: Chain, access: AccessSettings, s3: S3) -> Self {
        let index = chain.index.clone().zip(chain.bucket.as_ref());
        let index =
            index.map(|(settings, bucket)| Arc::new(Index::new(Database::new(settings), bucket)));
        Self {
            chain,
            access,
            s3,
            ingest: Arc::default(),
            index,
            state: Mutex::default(),
        }
    }

    /// The same, where artifacts are taken in like this.
    #[must_use]
    pub fn asking(self, ingest: Ingest) -> Self {
        Self {
            ingest: Arc::new(ingest),
            ..self
        }
    }

    /// The index of the bucket, if there is one. It counts for the bucket only, not for what takes its place.
    pub fn index(&self) -> Option<&Arc<Index>> {
        self.index.as_ref()
    }

    /// What is on the store in use. Opens it where none is, and looks for a better one where that rested.
    ///
    /// # Errors
    ///
    /// [`NoStore`]: try again later.
    pub async fn backend(&self) -> Result<Arc<Backend>, NoStore> {
        if let Some(backend) = self.settled()? {
            return Ok(backend);
        }
        let opened = self.open().await;
        let mut state = self.state();
        state.is_doubted = false;
        match opened {
            Ok(objects) => {
                let is_wanted = objects.kind() == self.wanted();
                if is_wanted {
                    state.failure = None;
                }
                if let Some(backend) = &state.backend
                    && (backend.kind() == objects.kind() || state.has_written)
                {
                    return Ok(Arc::clone(backend)); // another request was faster
                }
                let index = self.index().filter(|_| objects.kind() == StoreKind::S3);
                let new = || {
                    let (access, ingest) = (self.access.clone(), Arc::clone(&self.ingest));
                    Arc::new(Backend::new(objects, access, ingest, index.cloned()))
                };
                let backend = if is_wanted {
                    Arc::clone(state.wanted.get_or_insert_with(new))
                } else {
                    new()
                };
                state.backend = Some(Arc::clone(&backend));
                Ok(backend)
            }
            Err(error) => {
                state.backend = None;
                Err(error)
            }
        }
    }

    /// Notes that the store in use did not answer: the next request looks which one does.
    pub fn doubt(&self) {
        self.state().is_doubted = true;
    }

    /// The same, for whoever wants to change something on it.
    ///
    /// # Errors
    ///
    /// [`NoStore`]: try again later.
    pub async fn backend_to_write(&self) -> Result<Arc<Backend>, NoStore> {
        loop {
            let backend = self.backend().await?;
            if backend.kind() == self.wanted() {
                return Ok(backend);
            }
            let mut state = self.state();
            // Not if another request has just gone back to the wanted one.
            let in_use = state.backend.as_ref();
            if in_use.is_some_and(|in_use| Arc::ptr_eq(in_use, &backend)) {
                state.has_written = true;
                return Ok(backend);
            }
        }
    }

    /// What is in use, and why.
    pub fn report(&self) -> Report {
        let state = self.state();
        Report {
            store: state.backend.as_ref().map(|backend| backend.kind()),
            wanted: self.wanted(),
            failure: state.failure.as_ref().map(|(failure, _)| failure.clone()),
        }
    }

    /// What there is to answer with, if no better one is to be looked for now.
    fn settled(&self) -> Result<Option<Arc<Backend>>, NoStore> {
        let state = self.state();
        let rests = state
            .failure
            .as_ref()
            .filter(|(_, when)| when.elapsed() < REST);
        if state.is_doubted {
            return Ok(None);
        }
        match (&state.backend, rests) {
            (Some(backend), rests)
                if rests.is_some() || backend.kind() == self.wanted() || state.has_written =>
            {
                Ok(Some(Arc::clone(backend)))
            }
            (None, Some((failure, _))) => Err(NoStore(failure.clone())),
            _ => Ok(None),
        }
    }

    fn wanted(&self) -> StoreKind {
        match (&self.chain.bucket, &self.chain.sqlite) {
            (Some(_), _) => StoreKind::S3,
            (None, Some(_)) => StoreKind::Sqlite,
            (None, None) => StoreKind::Memory,
        }
    }

    async fn open(&self) -> Result<Objects, NoStore> {
        let mut failures = Vec::new();
        if let Some(name) = &self.chain.bucket {
            let bucket = self.s3.bucket(name);
            match bucket.ensure().await {
                Ok(_) => {
                    tracing::info!("S3 storage initialized: bucket={name}");
                    return Ok(Objects::S3(BucketObjects::new(bucket)));
                }
                Err(error) => failures.push(self.failed(&error)),
            }
        }
        if self.chain.is_production {
            if !self.chain.allow_volatile {
                return Err(NoStore(failures.join("; ")));
            }
        } else if let Some(file) = &self.chain.sqlite {
            match SqliteObjects::open(file).await {
                Ok(objects) => {
                    tracing::info!("SQLite storage initialized: file={}", file.display());
                    return Ok(Objects::Sqlite(objects));
                }
                Err(error) => failures.push(self.failed(&error)),
            }
        }
        tracing::warn!("memory storage initialized: what is written vanishes with this process");
        Ok(Objects::Memory(MemoryObjects::default()))
    }

    fn failed(&self, error: &dyn std::error::Error) -> String {
        let failure = chain(error).to_string();
        tracing::warn!(error = failure, "a store cannot be used");
        self.state().failure = Some((failure.clone(), Instant::now()));
        failure
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Each change is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
