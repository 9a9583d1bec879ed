//! What lives on one store: artifacts, users, and the trail of what was done.
//!
//! There is one of each per process and store, because they remember: what a catalogue has read, how often a token
//! was used, where the trail ends. [`Storage`](crate::storage::Storage) makes them anew when the store changes.

use std::sync::Arc;

use crate::access::settings::Settings;
use crate::access::{Access, Clock};
use crate::audit::Trail;
use crate::index::Index;
use crate::ingest::Ingest;
use crate::registry::Registry;
use crate::store::{Objects, StoreKind};

/// All that is kept in one store.
#[derive(Debug)]
pub struct Backend {
    /// Artifacts, and what was done to them.
    pub registry: Arc<Registry>,
    /// Users and their tokens.
    pub access: Arc<Access>,
}

impl Backend {
    /// What is in `objects`, for the admin and with the keys of `settings`, where artifacts are taken in by `ingest`
    /// and found by the index, if there is one. It asks nothing yet.
    pub fn new(
        objects: Objects,
        settings: Settings,
        ingest: Arc<Ingest>,
        index: Option<Arc<Index>>,
    ) -> Self {
        let trail = Trail::new(objects.clone(), settings.keys.clone());
        let registry = Registry::new(objects.clone(), trail)
            .asking(ingest)
            .with_index(index.clone());
        let access = Access::new(settings, objects, Clock::default()).counting_in(index);
        Self {
            registry: Arc::new(registry),
            access: Arc::new(access),
        }
    }

    /// Where it is kept.
    pub fn kind(&self) -> StoreKind {
        self.registry.objects().kind()
    }
}
