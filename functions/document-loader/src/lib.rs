//! Turns the objects that a documents table names into text that can be searched, whoever's account they are in.
//!
//! [`DocumentLoader::handle`] takes whatever Lambda delivers. In reading order:
//!
//! - [`command`]: what an invocation asks for
//! - [`queue`]: what there is to load, in the database, and where its text goes; [`table`]: the documents table, `schema`:
//!   how all that comes to be there
//! - `run`: an invocation's work, many documents at a time, and its `report`; `load`: one document; `state`: what becomes of it, by its
//!   [`reason`]
//! - [`source`]: with whose rights a document is read; [`amazon`]: clients for them, `role`: assumed roles, `policy`: what
//!   for; `verify`: whether that is set up well
//! - `read`: an object, from its [`location`]; `head`: what is said of it first; `body`: its bytes; `download`: those of a
//!   large one, by way of a `spool`, which is a file that is `unnamed`; `fault`: what S3 says instead; `budget` and
//!   `slots`: how much at a time
//! - [`extract`]: from bytes to text, by a process of its own; `extraction`: what for; [`splitter`]: from text to chunks,
//!   in the way that [`chunking`] says; `content`: as they are written
//! - [`config`]: what the function is told by its environment; `telemetry`: what it tells

mod body;
mod budget;
mod cache;
mod content;
mod download;
mod extraction;
mod fault;
mod handle;
mod head;
mod load;
mod policy;
mod read;
mod report;
mod role;
mod run;
mod schema;
mod slots;
mod spool;
mod state;
mod telemetry;
mod unnamed;
mod verify;

pub mod amazon;
pub mod chunking;
pub mod command;
pub mod config;
pub mod extract;
pub mod location;
pub mod queue;
pub mod reason;
pub mod source;
pub mod splitter;
pub mod table;

pub use amazon::Amazon;
pub use command::Payload;
pub use config::Config;
pub use content::Chunks;
pub use handle::{Answer, DocumentLoader, Done, Failure};
pub use queue::Queue;
pub use report::Report;
pub use state::State;
pub use verify::{Finding, Verified};
