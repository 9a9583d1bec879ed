//! An artifact registry for models, datasets and code, behind an HTTP API.
//!
//! In reading order:
//!
//! - [`artifact`]: what is registered, and [`source`]: where it comes from
//! - [`store`]: small objects by key, in S3, in a file or in memory
//! - [`record`]: what is stored of an artifact, under which `key`, and `foreign`: how other writers put it; `claim`:
//!   which artifact has a URL
//! - [`upstream`]: what the sources are asked, [`evidence`]: what they answered, and [`ingest`]: how that is used for
//!   what is registered
//! - [`rating`]: how good a model is by that, and why
//! - [`license`]: what licences ask for, and which go together
//! - [`relation`]: how artifacts refer to each other, and what follows from it, [`lineage`] and [`cost`]
//! - [`registry`]: what can be done with artifacts; `catalogue`: all of them, for queries; [`cursor`]: where a page
//!   ended; [`pattern`]: what is searched for
//! - [`index`]: all artifacts in PostgreSQL, where there is one, for queries over many
//! - [`content`]: the files that artifacts hold, which clients send to S3 and get from there
//! - [`access`]: who may do what, and [`audit`]: what was done
//! - [`backend`]: all that on one store, and [`storage`]: which store it is, and what is done when it is gone
//! - [`schedule`]: what keeps the index in step, and [`watch`]: what verifies the trail, as functions of their own
//! - [`http`]: all that for clients of HTTP, and `page`: for people
//! - [`config`]: what the function is told by its environment

mod claim;
mod foreign;
mod key;
mod page;

pub mod access;
pub mod artifact;
pub mod audit;
pub mod backend;
pub mod catalogue;
pub mod config;
pub mod content;
pub mod cost;
pub mod cursor;
pub mod evidence;
pub mod http;
pub mod index;
pub mod ingest;
pub mod license;
pub mod lineage;
pub mod pattern;
pub mod rating;
pub mod record;
pub mod registry;
pub mod relation;
pub mod schedule;
pub mod source;
pub mod storage;
pub mod store;
pub mod upstream;
pub mod watch;

pub use config::Config;
