//! A persistent, crash-safe S3 for one machine, behind the protocol of the `s3s` crate.
//!
//! It behaves like S3 where programs depend on it: versions and delete markers, atomic conditional
//! writes, multipart uploads, checksums, and notifications that are as durable as the change they
//! tell of. Tests use it in memory through the AWS SDK, the local stack serves it over TCP.
//!
//! # Layout, in reading order
//!
//! - `store`: [`EmbeddedS3`], what users hold; `options`, `server`, `folder` (lock, format, sweep).
//! - `front`: what is for IAM and STS goes to the crate `embedded-iam`. `access`: who is let in, by what is known of
//!   the bucket (`facts`), by what an operation needs (`permission`) and by what the sender may (`grant`).
//! - `operations`: the operations of S3, on top of rows (`bucket`, `version`, `content`, `upload`,
//!   `part`), `listing` and `completion`.
//! - `in_memory`: the SDK's transport of [`EmbeddedS3::client`].
//! - `intake` and `object_body`: bytes in and out, as streams; `checksum`, `integrity`, `condition`.
//! - `database`: one writer thread that commits many requests at once, and readers. `blobs`: files.
//! - `notification`, `event`, [`Queue`]: who is told, in which words, and how it waits for readers.
//! - [`Faults`]: failures on purpose, `troubled_body` among them.
//!
//! # Durability
//!
//! A blob file is written aside, forced to the disk and moved into place before the transaction
//! that refers to it; events are rows of that same transaction. So a killed process leaves the old
//! object or the new one, and no acknowledged event is lost.

mod access;
mod attributes;
mod blobs;
mod bucket;
mod checksum;
mod clock;
mod completion;
mod condition;
mod content;
mod database;
mod error;
mod event;
mod facts;
mod faults;
mod folder;
mod front;
mod grant;
mod in_memory;
mod intake;
mod integrity;
mod listing;
mod notification;
mod object_body;
mod operations;
mod options;
mod part;
mod permission;
mod queue;
mod random;
mod request;
mod routes;
mod server;
mod store;
mod troubled_body;
mod unread_body;
mod upload;
mod version;
mod wake;

pub use embedded_iam::{Account, AccountId, Credentials};
pub use error::StorageError;
pub use faults::{Fault, Faults, Target};
pub use folder::OpenError;
pub use options::{Durability, Options};
pub use queue::{DeadLetter, Depth, Message, Queue, QueueError};
pub use store::{EmbeddedS3, StoreError};
