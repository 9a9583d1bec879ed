//! An artifact registry for models, datasets and code, behind an HTTP API.
//!
//! In reading order:
//!
//! - [`artifact`]: what is registered, and [`source`]: where it comes from
//! - [`license`]: what licences ask for, and which go together

pub mod artifact;
pub mod license;
pub mod source;
