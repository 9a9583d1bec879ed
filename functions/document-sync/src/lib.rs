//! Keeps a table of documents in PostgreSQL in step with the objects of S3 buckets.
//!
//! [`handle()`] takes whatever Lambda delivers. In reading order:
//!
//! - [`envelope`]: from SQS, SNS, EventBridge or S3 itself to the S3 events inside
//! - [`change`]: what one event says about one object, and [`sequencer`]: in which order
//! - `batch`: one state per object, asking S3 where the events leave it open
//! - [`documents`]: the ledger of that order and the documents table, written in one transaction
//! - [`config`]: what it is told by its environment

mod batch;
mod deadline;
mod handle;

pub mod change;
pub mod config;
pub mod documents;
pub mod envelope;
pub mod sequencer;

pub use config::Config;
pub use deadline::time_left;
pub use documents::Documents;
pub use envelope::Payload;
pub use handle::{Answer, NotApplied, Report, handle};
