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

/// Breaks operations at each of their requests.
async fn break_all(operations: &[Operation], has_index: bool) {
    let universe = Universe::start(has_index).await;
    let report = Report::default();
    join_all(
        operations
            .iter()
            .map(|operation| break_s3(&universe, operation, &report)),
    )
    .await;
    if has_index {
        join_all(
            operations
                .iter()
                .map(|operation| break_database(&universe, operation, &report)),
        )
        .await;
    }
    report.end();
}

#[tokio::test]
async fn a_store_that_fails_while_it_is_asked_is_told_of() {
    break_all(&READING, false).await;
}

#[tokio::test]
async fn a_store_that_fails_while_artifacts_change_leaves_them_whole() {
    break_all(&CHANGING, false).await;
}

#[tokio::test]
async fn a_store_that_fails_while_files_change_leaves_them_whole() {
    break_all(&FILES, false).await;
}

#[tokio::test]
async fn a_store_that_fails_while_users_change_leaves_them_whole() {
    break_all(&USERS, false).await;
}

#[tokio::test]
async fn a_store_or_an_index_that_fails_while_it_is_asked_is_told_of() {
    break_all(&READING, true).await;
}

#[tokio::test]
async fn a_store_or_an_index_that_fails_while_artifacts_change_leaves_them_whole() {
    break_all(&CHANGING, true).await;
}

#[tokio::test]
async fn a_store_or_an_index_that_fails_while_files_change_leaves_them_whole() {
    break_all(&FILES, true).await;
}

#[tokio::test]
async fn a_store_or_an_index_that_fails_while_users_change_leaves_them_whole() {
    break_all(&USERS, true).await;
}
