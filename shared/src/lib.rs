//! What every Holdfast function has in common. In reading order:
//!
//! - [`config`]: settings from the environment, read once, every mistake in one message
//! - [`s3`]: the objects, and the decisions a caller can take when S3 refuses
//! - [`telemetry`]: logs and metrics

pub mod config;
pub mod s3;
pub mod telemetry;
