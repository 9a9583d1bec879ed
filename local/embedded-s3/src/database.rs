//! The metadata database: one writer thread that commits many requests at once, and readers that
//! never wait for it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::blobs::{Blobs, Staged};
use crate::clock::{Clock, Moment};
use crate::error::{Failure, StorageError};
use crate::wake::Bells;

/// Requests that share one commit at most. It bounds how long the first of them waits.
const COMMIT_SIZE: usize = 256;
/// Reader connections; more do not help, since reads are short.
const READERS: usize = 8;

type After = Box<dyn FnOnce(Result<(), StorageError>) + Send>;
type Job = Box<dyn FnOnce(&mut Write<'_>) -> Result<After, After> + Send>;

/// The metadata of a store. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    readers: Mutex<Vec<Connection>>,
    permits: Semaphore,
    jobs: Mutex<Option<mpsc::UnboundedSender<Job>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// What a request sees while it writes: the shared transaction, the clock, and what is to happen
/// once it is committed.
pub(crate) struct Write<'transaction> {
    /// The writer's connection, inside the request's savepoint.
    pub(crate) connection: &'transaction Connection,
    clock: &'transaction mut Clock,
    effects: Effects,
}

#[derive(Default)]
struct Effects {
    kept: Vec<Staged>,
    discarded: Vec<String>,
    ringing: Vec<String>,
    last: Vec<Box<dyn FnOnce() + Send>>,
}

impl Write<'_> {
    /// The instant of this change, with the next sequencer.
    pub(crate) fn moment(&mut self) -> Moment {
        self.clock.moment()
    }

    /// Keeps a blob file if, and only if, this write is committed.
    pub(crate) fn keep(&mut self, staged: Staged) {
        self.effects.kept.push(staged);
    }

    /// Removes a blob file after the commit.
    pub(crate) fn discard(&mut self, blob: String) {
        self.effects.discarded.push(blob);
    }

    /// Does something after the commit, and before anyone is answered.
    pub(crate) fn then(&mut self, effect: impl FnOnce() + Send + 'static) {
        self.effects.last.push(Box::new(effect));
    }

    /// Wakes the receivers of a queue after the commit.
    pub(crate) fn ring(&mut self, queue: &str) {
        self.effects.ringing.push(queue.to_owned());
    }
}

impl Database {
    /// Starts the writer on `writer`, which has the schema already.
    pub(crate) fn start(
        path: &Path,
        writer: Connection,
        clock: Clock,
        blobs: Blobs,
        bells: Bells,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("embedded-s3-writer".to_owned())
            .spawn(move || {
                Writer {
                    connection: writer,
                    clock,
                    blobs,
                    bells,
                    queue,
                }
                .run();
            })?;
        Ok(Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                readers: Mutex::default(),
                permits: Semaphore::new(READERS),
                jobs: Mutex::new(Some(jobs)),
                thread: Mutex::new(Some(thread)),
            }),
        })
    }

    /// Runs `work` on the writer thread and answers after it is durable. An `Err` of `work` undoes
    /// what it did, and nothing else.
    pub(crate) async fn write<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnOnce(&mut Write<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        // The receiver may be gone (a client that hung up): then nobody needs the answer.
        let job: Job = Box::new(move |write| match work(write) {
            Ok(value) => Ok(Box::new(move |committed: Result<(), StorageError>| {
                drop(sender.send(committed.map(|()| value).map_err(Failure::Storage)));
            })),
            Err(failure) => Err(Box::new(move |_| drop(sender.send(Err(failure))))),
        });
        {
            let jobs = self
                .inner
                .jobs
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let Some(jobs) = jobs.as_ref() else {
                return Err(StorageError::Closed.into());
            };
            jobs.send(job).map_err(|_rejected| StorageError::Closed)?;
        }
        answer
            .await
            .unwrap_or(Err(Failure::Storage(StorageError::Closed)))
    }

    /// Runs `work` on a reader connection, in one consistent snapshot, off the async threads.
    pub(crate) async fn read<T, W>(&self, work: W) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let _permit = self
            .inner
            .permits
            .acquire()
            .await
            .map_err(|_closed| StorageError::Closed)?;
        let run = move || {
            let idle = inner
                .readers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => reader(&inner.path)?,
            };
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
            let result = work(&transaction);
            drop(transaction);
            inner
                .readers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
            result
        };
        tokio::task::spawn_blocking(run)
            .await
            .unwrap_or(Err(Failure::Storage(StorageError::Closed)))
    }

    /// Commits what is queued, stops the writer and closes every connection.
    pub(crate) fn close(&self) {
        drop(
            self.inner
                .jobs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let thread = self
            .inner
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the writer thread had panicked");
        }
        self.inner.permits.close();
        self.inner
            .readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

fn reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "query_only", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

struct Writer {
    connection: Connection,
    clock: Clock,
    blobs: Blobs,
    bells: Bells,
    queue: mpsc::UnboundedReceiver<Job>,
}

impl Writer {
    fn run(mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            let mut jobs = vec![first];
            while jobs.len() < COMMIT_SIZE
                && let Ok(next) = self.queue.try_recv()
            {
                jobs.push(next);
            }
            self.commit(jobs);
        }
    }

    /// Runs the jobs in one transaction, each in a savepoint of its own, and answers them all.
    fn commit(&mut self, jobs: Vec<Job>) {
        let mut answers = Vec::with_capacity(jobs.len());
        let mut effects = Effects::default();
        let before = self.clock.last();
        let result = self.transact(jobs, &mut answers, &mut effects, before);
        if let Err(error) = &result {
            tracing::error!(%error, "a commit failed");
            if !self.connection.is_autocommit()
                && let Err(error) = self.connection.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "a rollback failed");
            }
        }
        if result.is_ok() {
            for staged in effects.kept {
                staged.keep();
            }
            self.blobs.discard(effects.discarded);
            for queue in effects.ringing {
                self.bells.ring(&queue);
            }
            for effect in effects.last {
                effect();
            }
        }
        let message = result.err().map(|error| error.to_string());
        for answer in answers {
            answer(match &message {
                None => Ok(()),
                Some(message) => Err(StorageError::Io(std::io::Error::other(message.clone()))),
            });
        }
    }

    fn transact(
        &mut self,
        jobs: Vec<Job>,
        answers: &mut Vec<After>,
        effects: &mut Effects,
        before: i64,
    ) -> Result<(), rusqlite::Error> {
        let connection = &self.connection;
        let execute = |sql: &str| connection.prepare_cached(sql)?.execute([]).map(drop);
        let mut jobs = jobs.into_iter();
        let begun = execute("BEGIN IMMEDIATE");
        for job in jobs.by_ref() {
            if begun.is_err() {
                break;
            }
            execute("SAVEPOINT request")?;
            let mut write = Write {
                connection,
                clock: &mut self.clock,
                effects: Effects::default(),
            };
            match job(&mut write) {
                Ok(answer) => {
                    answers.push(answer);
                    effects.kept.append(&mut write.effects.kept);
                    effects.discarded.append(&mut write.effects.discarded);
                    effects.ringing.append(&mut write.effects.ringing);
                    effects.last.append(&mut write.effects.last);
                }
                Err(answer) => {
                    answers.push(answer);
                    execute("ROLLBACK TO request")?;
                }
            }
            execute("RELEASE request")?;
        }
        begun?;
        if self.clock.last() != before {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO setting (name, value) VALUES ('sequencer', ?1)",
                )?
                .execute([self.clock.last()])?;
        }
        execute("COMMIT")
    }
}
