//! A local queue with the semantics of SQS: at-least-once delivery, visibility time-outs, dead
//! letters. Its tables lie in the same database as the objects, so that a change and its event are
//! one transaction.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::clock::{instant, now_milliseconds};
use crate::database::{Database, Write};
use crate::error::{Failure, StorageError};
use crate::random;
use crate::wake::Bells;

/// Why a queue did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Queue names are 1 to 80 letters, digits, `-` and `_`.
    #[error("{0:?} is not a queue name: use 1 to 80 letters, digits, '-' or '_'")]
    Name(String),
    /// The storage failed; the call may be repeated.
    #[error("the queue could not be read or written")]
    Storage(#[from] StorageError),
}

/// A handed-out message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The message's id, the same for every delivery.
    pub id: String,
    /// Names this delivery; the next one makes it stale.
    pub receipt_handle: String,
    /// What was sent.
    pub body: String,
    /// Deliveries so far, this one included.
    pub receive_count: u32,
    /// When it was sent.
    pub sent_at: OffsetDateTime,
    /// When it was delivered for the first time.
    pub first_received_at: OffsetDateTime,
}

/// A message that was delivered too often without being deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message's id.
    pub id: String,
    /// What was sent.
    pub body: String,
    /// When it was sent.
    pub sent_at: OffsetDateTime,
}

/// How many messages a queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Ready to be received.
    pub visible: u64,
    /// Handed out and neither deleted nor due again.
    pub in_flight: u64,
    /// Not ready yet, and never handed out.
    pub delayed: u64,
}

/// A queue, made when it is first used. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queue {
    name: String,
    database: Database,
    bells: Bells,
}

impl Queue {
    pub(crate) fn new(name: &str, database: Database, bells: Bells) -> Self {
        Self {
            name: name.to_owned(),
            database,
            bells,
        }
    }

    /// The queue's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a message and returns its id. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`QueueError`] where the name is not one or the storage fails.
    pub async fn send(&self, body: impl Into<String>) -> Result<String, QueueError> {
        let (name, body) = (self.checked_name()?, body.into());
        Ok(self
            .write(move |write| insert(write, &name, &body, now_milliseconds()))
            .await?)
    }

    /// Receives up to `max` messages, oldest first, and hides them for `visibility`. Where there
    /// are none it waits up to `wait` and returns as soon as one is committed or becomes visible.
    ///
    /// A message that was received as often as the queue allows goes to the dead letters instead.
    ///
    /// # Errors
    ///
    /// [`QueueError`] where the name is not one or the storage fails.
    pub async fn receive(
        &self,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> Result<Vec<Message>, QueueError> {
        let name = self.checked_name()?;
        let deadline = Instant::now() + wait;
        let mut bell = self.bells.listen(&name);
        loop {
            bell.mark_unchanged();
            let queue = name.clone();
            let next = self
                .database
                .read(move |connection| next_visible(connection, &queue))
                .await;
            let now = now_milliseconds();
            let next = next.map_err(StorageError::from)?;
            if next.is_some_and(|visible| visible <= now) {
                let queue = name.clone();
                let messages = self
                    .write(move |write| take(write, &queue, max, visibility))
                    .await?;
                if !messages.is_empty() {
                    return Ok(messages);
                }
            }
            let due = next.map(|visible| {
                Duration::from_millis(u64::try_from((visible - now).max(1)).unwrap_or(1))
            });
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Vec::new());
            }
            // Either outcome leads to another look.
            drop(tokio::time::timeout(due.unwrap_or(left).min(left), bell.changed()).await);
        }
    }

    /// Removes the messages of these receipts. A stale receipt removes nothing. Returns how many
    /// messages were removed.
    ///
    /// # Errors
    ///
    /// [`QueueError::Storage`] where the storage fails.
    pub async fn delete(&self, receipts: &[String]) -> Result<usize, QueueError> {
        let (queue, receipts) = (self.name.clone(), receipts.to_vec());
        Ok(self
            .write(move |write| {
                let mut statement = write
                    .connection
                    .prepare_cached("DELETE FROM message WHERE receipt = ?1 AND queue = ?2")?;
                let mut removed = 0;
                for receipt in &receipts {
                    removed += statement.execute((receipt, &queue))?;
                }
                Ok(removed)
            })
            .await?)
    }

    /// Makes the messages of these receipts visible at once. A stale receipt does nothing. Returns
    /// how many messages were released.
    ///
    /// # Errors
    ///
    /// [`QueueError::Storage`] where the storage fails.
    pub async fn release(&self, receipts: &[String]) -> Result<usize, QueueError> {
        self.extend(receipts, Duration::ZERO).await
    }

    /// Hides the messages of these receipts for `visibility` from now on. Returns how many.
    ///
    /// # Errors
    ///
    /// [`QueueError::Storage`] where the storage fails.
    pub async fn extend(
        &self,
        receipts: &[String],
        visibility: Duration,
    ) -> Result<usize, QueueError> {
        let (queue, receipts) = (self.name.clone(), receipts.to_vec());
        Ok(self
            .write(move |write| {
                let visible = now_milliseconds().saturating_add(whole_milliseconds(visibility));
                let mut changed = 0;
                for receipt in &receipts {
                    changed += write
                        .connection
                        .prepare_cached(
                            "UPDATE message SET visible = ?3 WHERE receipt = ?1 AND queue = ?2",
                        )?
                        .execute((receipt, &queue, visible))?;
                }
                write.ring(&queue);
                Ok(changed)
            })
            .await?)
    }

    /// Sends messages that were received `max_receive_count` times to `dead_letter_queue` when they
    /// become visible again. `None` keeps them for ever.
    ///
    /// # Errors
    ///
    /// [`QueueError`] where a name is not one or the storage fails.
    pub async fn set_redrive_policy(&self, policy: Option<(u32, &str)>) -> Result<(), QueueError> {
        let name = self.checked_name()?;
        let policy = match policy {
            Some((_, dead_letters)) if !is_name(dead_letters) => {
                return Err(QueueError::Name(dead_letters.to_owned()));
            }
            policy => policy.map(|(count, dead_letters)| (count.max(1), dead_letters.to_owned())),
        };
        Ok(self
            .write(move |write| {
                ensure(write.connection, &name)?;
                let (count, dead_letters) = policy.unzip();
                if let Some(dead_letters) = &dead_letters {
                    ensure(write.connection, dead_letters)?;
                }
                write
                    .connection
                    .prepare_cached("UPDATE queue SET max_receive_count = ?2, dead_letter_queue = ?3 WHERE name = ?1")?
                    .execute((&name, count, dead_letters))?;
                Ok(())
            })
            .await?)
    }

    /// The dead letters of this queue, oldest first, wherever its policy sent them.
    ///
    /// # Errors
    ///
    /// [`QueueError::Storage`] where the storage fails.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, QueueError> {
        let queue = self.name.clone();
        let letters = self.database.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT message_id, body, sent FROM message WHERE source_queue = ?1 ORDER BY id",
            )?;
            let letters = statement.query_map([&queue], |row| {
                Ok(DeadLetter {
                    id: row.get(0)?,
                    body: row.get(1)?,
                    sent_at: instant(row.get(2)?),
                })
            })?;
            Ok(letters.collect::<Result<Vec<_>, _>>()?)
        });
        Ok(letters.await.map_err(StorageError::from)?)
    }

    /// Moves the dead letters of this queue back, to be received anew. Returns how many.
    ///
    /// # Errors
    ///
    /// [`QueueError::Storage`] where the storage fails.
    pub async fn redrive(&self) -> Result<usize, QueueError> {
        let queue = self.name.clone();
        Ok(self
            .write(move |write| {
                let moved = write
                    .connection
                    .prepare_cached(
                        "UPDATE message SET queue = ?1, source_queue = NULL, visible = ?2, receive_count = 0,
                                            first_received = NULL, receipt = NULL WHERE source_queue = ?1",
                    )?
                    .execute((&queue, now_milliseconds()))?;
                write.ring(&queue);
                Ok(moved)
            })
            .await?)
    }

    /// How many messages there are.
    ///
    /// # Errors
    ///
    /// [`QueueError::Storage`] where the storage fails.
    pub async fn depth(&self) -> Result<Depth, QueueError> {
        let queue = self.name.clone();
        let depth = self.database.read(move |connection| {
            let now = now_milliseconds();
            let count = |condition: &str| -> Result<u64, Failure> {
                let sql = format!("SELECT count(*) FROM message WHERE queue = ?1 AND {condition}");
                let count: i64 = connection
                    .prepare_cached(&sql)?
                    .query_row((&queue, now), |row| row.get(0))?;
                Ok(u64::try_from(count).unwrap_or(0))
            };
            Ok(Depth {
                visible: count("visible <= ?2")?,
                in_flight: count("visible > ?2 AND receive_count > 0")?,
                delayed: count("visible > ?2 AND receive_count = 0")?,
            })
        });
        Ok(depth.await.map_err(StorageError::from)?)
    }

    fn checked_name(&self) -> Result<String, QueueError> {
        if is_name(&self.name) {
            Ok(self.name.clone())
        } else {
            Err(QueueError::Name(self.name.clone()))
        }
    }

    async fn write<T, W>(&self, work: W) -> Result<T, StorageError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Write<'_>) -> Result<T, Failure> + Send + 'static,
    {
        self.database.write(work).await.map_err(StorageError::from)
    }
}

/// Whether `name` may name a queue.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=80).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Adds a message that is visible from `visible` on, and returns its id.
pub(crate) fn insert(
    write: &mut Write<'_>,
    queue: &str,
    body: &str,
    visible: i64,
) -> Result<String, Failure> {
    ensure(write.connection, queue)?;
    let id = random::uuid()?;
    write
        .connection
        .prepare_cached("INSERT INTO message (queue, message_id, body, sent, visible) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((queue, &id, body, now_milliseconds(), visible))?;
    write.ring(queue);
    Ok(id)
}

fn ensure(connection: &Connection, queue: &str) -> Result<(), Failure> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO queue (name) VALUES (?1)")?
        .execute([queue])?;
    Ok(())
}

fn next_visible(connection: &Connection, queue: &str) -> Result<Option<i64>, Failure> {
    Ok(connection
        .prepare_cached(
            "SELECT visible FROM message WHERE queue = ?1 ORDER BY visible, id LIMIT 1",
        )?
        .query_row([queue], |row| row.get(0))
        .optional()?)
}

fn whole_milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Hands out up to `max` visible messages, and buries those that were handed out often enough.
fn take(
    write: &mut Write<'_>,
    queue: &str,
    max: usize,
    visibility: Duration,
) -> Result<Vec<Message>, Failure> {
    let connection = write.connection;
    let now = now_milliseconds();
    let (limit, grave): (Option<i64>, Option<String>) = connection
        .prepare_cached("SELECT max_receive_count, dead_letter_queue FROM queue WHERE name = ?1")?
        .query_row([queue], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .unwrap_or((None, None));
    if let (Some(limit), Some(grave)) = (limit, grave) {
        let buried = connection
            .prepare_cached(
                "UPDATE message SET queue = ?3, source_queue = ?1, visible = ?2, receipt = NULL
                 WHERE queue = ?1 AND visible <= ?2 AND receive_count >= ?4",
            )?
            .execute((queue, now, &grave, limit))?;
        if buried > 0 {
            write.ring(&grave);
        }
    }
    let mut select = connection.prepare_cached(
        "SELECT id, message_id, body, receive_count, sent, first_received FROM message
         WHERE queue = ?1 AND visible <= ?2 ORDER BY visible, id LIMIT ?3",
    )?;
    let rows = select.query_map(
        (queue, now, i64::try_from(max).unwrap_or(i64::MAX)),
        |row| {
            let first_received: Option<i64> = row.get(5)?;
            let message = Message {
                id: row.get(1)?,
                receipt_handle: String::new(),
                body: row.get(2)?,
                receive_count: row.get::<_, u32>(3)?.saturating_add(1),
                sent_at: instant(row.get(4)?),
                first_received_at: instant(first_received.unwrap_or(now)),
            };
            Ok((row.get::<_, i64>(0)?, message))
        },
    )?;
    let mut messages = Vec::new();
    let visible = now.saturating_add(whole_milliseconds(visibility));
    for row in rows {
        let (row, mut message) = row?;
        message.receipt_handle = random::dotted(&random::bytes::<24>()?);
        connection
            .prepare_cached(
                "UPDATE message SET visible = ?2, receive_count = ?3, receipt = ?4,
                                    first_received = coalesce(first_received, ?5) WHERE id = ?1",
            )?
            .execute((
                row,
                visible,
                message.receive_count,
                &message.receipt_handle,
                now,
            ))?;
        messages.push(message);
    }
    Ok(messages)
}
