//! The registry's API, operation by operation, against the bare calls of storage that it needs.
//!
//! - `artifacts`: what is registered, and `filling`: the bucket and the index of it
//! - `requests`: what is asked, and `instance`: who answers
//! - `calls` of S3 and `relay` for statements count, and tell of their `waiting`; `floor` does the same calls and
//!   nothing else
//! - `operations`: with an index, `alone`: without one and with an S3 that is farther away
//! - `load`: many connections at a time
//! - `downloads`: large files, of which no byte passes the registry

mod alone;
mod artifacts;
mod calls;
mod downloads;
mod filling;
mod floor;
mod instance;
mod load;
mod operations;
mod relay;
mod requests;
mod waiting;

pub(crate) use alone::run as run_alone;
pub(crate) use downloads::run as run_downloads;
pub(crate) use operations::run as run_indexed;
