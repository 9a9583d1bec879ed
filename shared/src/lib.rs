//! What every Holdfast function has in common. In reading order:
//!
//! - [`config`]: settings from the environment, read once, every mistake in one message
//! - [`aws`]: what the clients of AWS services have in common
//! - [`database`]: connections to PostgreSQL, and a function's own tables
//! - [`deadline`]: how much time an invocation has
//! - [`queue`]: messages to another function
//! - [`s3`]: the objects, and the decisions a caller can take when S3 refuses
//! - [`secret`]: what is kept in Secrets Manager
//! - [`telemetry`]: logs and metrics
#![cfg_attr(
    feature = "http",
    doc = "- [`problem`]: what went wrong, told to a client of HTTP"
)]

pub mod aws;
pub mod config;
pub mod database;
pub mod deadline;
#[cfg(feature = "http")]
pub mod problem;
pub mod queue;
pub mod s3;
pub mod secret;
pub mod telemetry;
