//! What every request has to know of its bucket, kept in memory: one process has the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use embedded_iam::{AccountId, Kind, Policy};
use rusqlite::OptionalExtension as _;

use crate::database::{Database, Write};
use crate::error::{Failure, StorageError};

/// More buckets than these are looked up again.
const MOST: usize = 10_000;

/// Who may do what with a bucket, and where it is.
#[derive(Debug, Clone)]
pub(crate) struct BucketFacts {
    pub(crate) account: AccountId,
    pub(crate) region: String,
    pub(crate) policy: Option<Policy>,
    pub(crate) requester_pays: bool,
}

/// The facts of all buckets. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    database: Database,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Counts the changes, so that what was read before one is not remembered after it.
    changes: u64,
    buckets: HashMap<String, Arc<BucketFacts>>,
}

impl Facts {
    pub(crate) fn new(database: Database) -> Self {
        Self {
            database,
            known: Arc::default(),
        }
    }

    /// Those of a bucket; `None` where there is none of this name.
    pub(crate) async fn of(&self, bucket: &str) -> Result<Option<Arc<BucketFacts>>, Failure> {
        let changes = {
            let known = self.known();
            if let Some(facts) = known.buckets.get(bucket) {
                return Ok(Some(Arc::clone(facts)));
            }
            known.changes
        };
        let name = bucket.to_owned();
        let found = self
            .database
            .read(move |connection| BucketFacts::look_up(connection, &name))
            .await?
            .map(Arc::new);
        let mut known = self.known();
        if let Some(facts) = &found
            && known.changes == changes
        {
            if known.buckets.len() >= MOST {
                known.buckets.clear();
            }
            known.buckets.insert(bucket.to_owned(), Arc::clone(facts));
        }
        Ok(found)
    }

    /// Forgets what is known of a bucket, once `write` is committed.
    pub(crate) fn forget(&self, write: &mut Write<'_>, bucket: &str) {
        let (facts, bucket) = (self.clone(), bucket.to_owned());
        write.then(move || {
            let mut known = facts.known();
            known.changes += 1;
            known.buckets.remove(&bucket);
        });
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BucketFacts {
    fn look_up(connection: &rusqlite::Connection, bucket: &str) -> Result<Option<Self>, Failure> {
        type Row = (String, String, Option<String>, bool);
        let row: Option<Row> = connection
            .prepare_cached(
                "SELECT account, region, policy, requester_pays FROM bucket WHERE name = ?1",
            )?
            .query_row([bucket], |row| row.try_into())
            .optional()?;
        let Some((account, region, policy, requester_pays)) = row else {
            return Ok(None);
        };
        let parse = |text: String| Policy::parse(&text, Kind::Resource);
        Ok(Some(Self {
            account: account
                .parse()
                .map_err(|_source| StorageError::Damaged("account"))?,
            region,
            policy: policy
                .map(parse)
                .transpose()
                .map_err(|_source| StorageError::Damaged("policy"))?,
            requester_pays,
        }))
    }
}
