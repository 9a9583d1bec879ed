//! Which store it is: S3, or what is there instead of it.
//!
//! The order is S3, SQLite, memory; which of them may be used, the settings say. The first that works is taken when
//! the function starts. In production there is S3 and nothing else, unless the operator wants writes to be taken that
//! may vanish: an answer from an empty memory would say that artifacts do not exist which do.
//!
//! While S3 is not the one that answers, it is tried again every now and then. It is gone back to only as long as
//! nothing was written elsewhere: what was acknowledged must not be hidden.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared::database::{self, Database};
use shared::s3::{S3, Settings};
use shared::telemetry::chain;

use crate::index::Index;
use crate::registry::Registry;
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
    s3: S3,
    index: Option<Arc<Index>>,
    state: Mutex<State>,
    /// Something was written to a store that is not the wanted one.
    has_written: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    registry: Option<Arc<Registry>>,
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
    pub fn new(chain: Chain) -> Self {
        let s3 = S3::new(chain.s3.clone());
        Self::with_s3(chain, s3)
    }

    /// As [`new`](Self::new), with an S3 that is there already.
    pub fn with_s3(chain: Chain, s3: S3) -> Self {
        let index = chain.index.clone().zip(chain.bucket.as_ref());
        let index =
            index.map(|(settings, bucket)| Arc::new(Index::new(Database::new(settings), bucket)));
        Self {
            chain,
            s3,
            index,
            state: Mutex::default(),
            has_written: AtomicBool::new(false),
        }
    }

    /// The index of the bucket, if there is one. It counts for the bucket only, not for what takes its place.
    pub fn index(&self) -> Option<&Arc<Index>> {
        self.index.as_ref()
    }

    /// The registry of the store in use. Opens it where none is, and looks for a better one where that rested.
    ///
    /// # Errors
    ///
    /// [`NoStore`]: try again later.
    pub async fn registry(&self) -> Result<Arc<Registry>, NoStore> {
        if let Some(registry) = self.settled()? {
            return Ok(registry);
        }
        let opened = self.open().await;
        let mut state = self.state();
        state.is_doubted = false;
        match opened {
            Ok(objects) => {
                if objects.kind() == self.wanted() {
                    state.failure = None;
                }
                if let Some(registry) = &state.registry
                    && (registry.objects().kind() == objects.kind()
                        || self.has_written.load(Ordering::SeqCst))
                {
                    return Ok(Arc::clone(registry)); // another request was faster
                }
                let index = self.index().filter(|_| objects.kind() == StoreKind::S3);
                let registry = Arc::new(Registry::new(objects).with_index(index.cloned()));
                state.registry = Some(Arc::clone(&registry));
                Ok(registry)
            }
            Err(error) => {
                state.registry = None;
                Err(error)
            }
        }
    }

    /// Notes that the store in use did not answer: the next request looks which one does.
    pub fn doubt(&self) {
        self.state().is_doubted = true;
    }

    /// The registry, for whoever wants to change something in it.
    ///
    /// # Errors
    ///
    /// [`NoStore`]: try again later.
    pub async fn registry_to_write(&self) -> Result<Arc<Registry>, NoStore> {
        let registry = self.registry().await?;
        if registry.objects().kind() != self.wanted() {
            self.has_written.store(true, Ordering::SeqCst);
        }
        Ok(registry)
    }

    /// What is in use, and why.
    pub fn report(&self) -> Report {
        let state = self.state();
        Report {
            store: state
                .registry
                .as_ref()
                .map(|registry| registry.objects().kind()),
            wanted: self.wanted(),
            failure: state.failure.as_ref().map(|(failure, _)| failure.clone()),
        }
    }

    /// What there is to answer with, if no better one is to be looked for now.
    fn settled(&self) -> Result<Option<Arc<Registry>>, NoStore> {
        let state = self.state();
        let rests = state
            .failure
            .as_ref()
            .filter(|(_, when)| when.elapsed() < REST);
        if state.is_doubted {
            return Ok(None);
        }
        match (&state.registry, rests) {
            (Some(registry), rests)
                if rests.is_some()
                    || registry.objects().kind() == self.wanted()
                    || self.has_written.load(Ordering::SeqCst) =>
            {
                Ok(Some(Arc::clone(registry)))
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
