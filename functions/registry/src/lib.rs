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
//! - [`storage`]: which store it is, and what is done when it is gone
//! - [`http`]: all that for clients of HTTP
//! - [`config`]: what the function is told by its environment

mod claim;
mod key;

pub mod access;
pub mod artifact;
pub mod audit;
pub mod catalogue;
pub mod config;
pub mod cursor;
pub mod http;
pub mod pattern;
pub mod record;
pub mod registry;
pub mod source;
pub mod storage;
pub mod store;

pub use config::Config;
