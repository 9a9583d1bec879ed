//! A PostgreSQL per test, with a server of its own or one that is given, and behind a failing network.
#![expect(clippy::expect_used, reason = "a test that cannot start must stop")]

use std::{
    fs,
    process::{Command, Output},
};

use testkit::{Fault, Postgres, Proxy};
use tokio_postgres::{Client, NoTls};

#[tokio::test]
async fn each_start_is_an_empty_database_of_its_own() {
    let (one, other) = tokio::join!(Postgres::start(), Postgres::start());
    one.connect()
        .await
        .batch_execute("CREATE TABLE only_here ()")
        .await
        .unwrap();
    assert!(
        other
            .connect()
            .await
            .batch_execute("TABLE only_here")
            .await
            .is_err()
    );
    one.connect()
        .await
        .batch_execute("TABLE only_here")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_given_server_gets_a_database_per_test_and_keeps_none() {
    let mut given = Postgres::start_own().await;
    let client = given.connect().await;
    client
        .batch_execute("ALTER SYSTEM SET log_statement = 'ddl'")
        .await
        .unwrap();
    client
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
    let output = run_with_given_server(given.url());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let log = fs::read_to_string(given.cluster().folder().join("postgres.log")).unwrap();
    assert_eq!(
        log.matches("CREATE DATABASE holdfast_test_").count(),
        2,
        "{log}"
    );
    let left = "SELECT count(*) FROM pg_database WHERE datname LIKE 'holdfast_test_%'";
    assert_eq!(
        client.query_one(left, &[]).await.unwrap().get::<_, i64>(0),
        0
    );
}

#[tokio::test]
async fn a_given_server_that_does_not_answer_fails_the_test() {
    let output = run_with_given_server("postgresql://holdfast@127.0.0.1:1/postgres");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("PostgreSQL does not answer"), "{said}");
}

#[tokio::test]
async fn a_lost_acknowledgement_is_a_commit_that_the_client_believes_failed() {
    let postgres = Postgres::start_own().await;
    postgres
        .connect()
        .await
        .batch_execute("CREATE TABLE entry (id int)")
        .await
        .unwrap();
    let proxy = Proxy::start(postgres.address()).await;
    let mut client = connect(&postgres.url_through(proxy.address())).await;
    proxy.set(Fault::LoseAnswerTo(b"COMMIT".to_vec()));
    let transaction = client.transaction().await.unwrap();
    transaction
        .execute("INSERT INTO entry VALUES (1)", &[])
        .await
        .unwrap();
    transaction.commit().await.unwrap_err();
    let count = postgres
        .connect()
        .await
        .query_one("SELECT count(*) FROM entry", &[])
        .await
        .unwrap();
    assert_eq!(count.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn a_server_of_ones_own_can_be_restarted_under_a_proxy() {
    let mut postgres = Postgres::start_own().await;
    let proxy = Proxy::start(postgres.address()).await;
    let url = postgres.url_through(proxy.address());
    let client = connect(&url).await;
    postgres.cluster().restart().await.unwrap();
    assert!(client.batch_execute("SELECT").await.is_err());
    connect(&url).await.batch_execute("SELECT").await.unwrap();
}

/// Runs the first test of this file in a process whose environment names the server.
fn run_with_given_server(url: &str) -> Output {
    Command::new(std::env::current_exe().expect("this program has a path"))
        .args(["--exact", "each_start_is_an_empty_database_of_its_own"])
        .env("TEST_DATABASE_URL", url)
        .output()
        .expect("this program runs again")
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("the server runs");
    tokio::spawn(connection);
    client
}
