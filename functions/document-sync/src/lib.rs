//! Keeps a table of documents in PostgreSQL in step with the objects of S3 buckets.
//!
//! [`DocumentSync::handle`] takes whatever Lambda delivers. In reading order:
//!
//! - [`envelope`]: from SQS, SNS, EventBridge or S3 itself to the S3 events inside
//! - [`change`]: what one event says about one object, and [`sequencer`]: in which order
//! - [`filter`]: which objects are documents
//! - `delivery`: a batch of events applied, message by message: `batch` has one state per object, `question` asks S3
//!   where the events leave it open, `quarantine` keeps what can never succeed, `loader` is told
//! - [`documents`]: where all that is written, in one `transaction`: `ledger` is the order of events, `table` the
//!   documents table, `schema` how both come to be there
//! - [`command`]: what else can be asked for: `replay` of the quarantine, [`reconcile`] of a whole bucket
//! - [`config`]: what the function is told by its environment

mod batch;
mod delivery;
mod handle;
mod ledger;
mod loader;
mod quarantine;
mod question;
mod replay;
mod schema;
mod transaction;

pub mod change;
pub mod command;
pub mod config;
pub mod documents;
pub mod envelope;
pub mod filter;
pub mod reconcile;
pub mod sequencer;
pub mod table;

pub use config::Config;
pub use delivery::Report;
pub use documents::Documents;
pub use envelope::Payload;
pub use handle::{Answer, DocumentSync, Done, Failure};
pub use quarantine::Quarantined;
pub use reconcile::Reconciled;
pub use replay::Replayed;
pub use shared::deadline::time_left;
