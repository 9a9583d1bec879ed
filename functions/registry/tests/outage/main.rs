//! S3 and the database failing, slow or back again, in the middle of each operation of the API: whatever request it is
//! that fails, the client gets what was asked for or is told to come back, and others see all of it or nothing.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod effect;
mod effect_on_files;
mod invariant;
mod network;
mod operation;
mod report;
#[path = "../support/mod.rs"]
mod support;
mod trial;
mod world;

use futures_util::future::join_all;
use operation::{CHANGING, FILES, Operation, READING, USERS};
use report::Report;
use trial::{break_database, break_s3};
use world::Universe;

/// Breaks operations at each of their requests to S3.
async fn break_without_index(operations: &[Operation]) {
    let (universe, report) = (Universe::start(false).await, Report::default());
    let broken = operations.iter();
    join_all(broken.map(|operation| break_s3(&universe, operation, &report))).await;
    report.end();
}

/// Breaks operations at each of their requests to the database, and to S3 those that ask it otherwise than without an
/// index.
async fn break_with_index(operations: &[Operation], otherwise: &[Operation]) {
    let (universe, report) = (Universe::start(true).await, Report::default());
    let broken = otherwise.iter();
    join_all(broken.map(|operation| break_s3(&universe, operation, &report))).await;
    let broken = operations.iter();
    join_all(broken.map(|operation| break_database(&universe, operation, &report))).await;
    report.end();
}

#[tokio::test]
async fn a_store_that_fails_while_it_is_asked_is_told_of() {
    break_without_index(&READING).await;
}

#[tokio::test]
async fn a_store_that_fails_while_artifacts_change_leaves_them_whole() {
    break_without_index(&CHANGING).await;
}

#[tokio::test]
async fn a_store_that_fails_while_files_change_leaves_them_whole() {
    break_without_index(&FILES).await;
}

#[tokio::test]
async fn a_store_that_fails_while_users_change_leaves_them_whole() {
    break_without_index(&USERS).await;
}

#[tokio::test]
async fn a_store_or_an_index_that_fails_while_it_is_asked_is_told_of() {
    break_with_index(&READING, &READING[..7]).await;
}

#[tokio::test]
async fn a_store_or_an_index_that_fails_while_artifacts_change_leaves_them_whole() {
    break_with_index(&CHANGING, &CHANGING).await;
}

#[tokio::test]
async fn an_index_that_fails_while_files_change_leaves_them_whole() {
    break_with_index(&FILES, &[]).await;
}

#[tokio::test]
async fn an_index_that_fails_while_users_change_leaves_them_whole() {
    break_with_index(&USERS, &[]).await;
}
