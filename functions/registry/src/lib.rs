//! An artifact registry for models, datasets and code, behind an HTTP API.
//!
//! In reading order:
//!
//! - [`artifact`]: what is registered, and [`source`]: where it comes from
//! - [`upstream`]: what those places are asked, and [`evidence`]: what they answered
//! - [`rating`]: how good a model is by that, and why
//! - [`license`]: what licences ask for, and which go together
//! - [`relation`]: how artifacts refer to each other, and what follows from it, [`lineage`] and [`cost`]

pub mod artifact;
pub mod cost;
pub mod evidence;
pub mod license;
pub mod lineage;
pub mod rating;
pub mod relation;
pub mod source;
pub mod upstream;
