//! The index, beside the bucket that it is of: whatever ends in between, and whoever else writes.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod absence;
mod counting;
mod deployment;
mod interruption;
mod rebuilding;
mod relations;
mod searching;
#[path = "../support/mod.rs"]
mod support;
mod watching;
mod world;
