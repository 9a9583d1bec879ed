//! An artifact registry for models, datasets and code, behind an HTTP API.
//!
//! In reading order:
//!
//! - [`artifact`]: what is registered, and [`source`]: where it comes from
//! - [`store`]: small objects by key, in S3, in a file or in memory
//! - [`record`]: what is stored of an artifact, under which `key`; `claim`: which artifact has a URL
//! - [`registry`]: what can be done with artifacts; `catalogue`: all of them, for queries; [`cursor`]: where a page
//!   ended; [`pattern`]: what is searched for
//! - [`access`]: who may do what, and [`audit`]: what was done
//! - [`backend`]: all that on one store, and [`storage`]: which store it is, and what is done when it is gone
//! - [`http`]: all that for clients of HTTP, and `page`: for people
//! - [`config`]: what the function is told by its environment
//!
//! What follows is not part of the API yet:
//!
//! - [`upstream`]: what those places are asked, and [`evidence`]: what they answered
//! - [`rating`]: how good a model is by that, and why
//! - [`license`]: what licences ask for, and which go together
//! - [`relation`]: how artifacts refer to each other, and what follows from it, [`lineage`] and [`cost`]

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
pub mod cost;
pub mod cursor;
pub mod evidence;
pub mod http;
pub mod ingest;
pub mod license;
pub mod lineage;
pub mod pattern;
pub mod rating;
pub mod record;
pub mod registry;
pub mod relation;
pub mod source;
pub mod storage;
pub mod store;
pub mod upstream;

pub use config::Config;
