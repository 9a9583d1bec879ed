//! An artifact registry for models, datasets and code, behind an HTTP API.
//!
//! In reading order:
//!
//! - [`artifact`]: what is registered, and [`source`]: where it comes from
//! - [`store`]: small objects by key, in S3, in a file or in memory

pub mod artifact;
pub mod source;
pub mod store;
