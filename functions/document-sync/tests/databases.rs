//! The databases that users have: with a standby, with a rotated password, busy, read-only or just starting.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;

use document_sync::DocumentSync;
use private_postgres::Cluster;
use serde_json::{Value, json};
use shared::s3::{S3, Settings};
use support::{deliver, failed_ids, function, put, queue_of_records, rows};
use testkit::{Authority, Postgres, Proxy, RuntimeApi, SecretsManager};
use tokio_postgres::{Client, NoTls};

const BINARY: &str = env!("CARGO_BIN_EXE_document-sync");
/// Batches of a storm, before and after the failover; and the objects in each.
const BATCHES: usize = 20;
const BATCH: usize = 25;

/// A primary whose commits wait for its standby, as those of Aurora wait for its storage: what was acknowledged is
/// on both.
struct Pair {
    primary: Postgres,
    standby: Cluster,
}

impl Pair {
    async fn start() -> Self {
        let mut primary = Postgres::start_own().await;
        let standby = primary.cluster().standby().await.unwrap();
        let sql = primary.connect().await;
        for statement in [
            "alter system set synchronous_standby_names = '*'",
            "select pg_reload_conf()",
        ] {
            sql.batch_execute(statement).await.unwrap();
        }
        Self { primary, standby }
    }

    /// Rows of the documents table, as the standby has them.
    async fn rows(&self) -> String {
        let (sql, connection) = tokio_postgres::connect(&self.standby.url("test"), NoTls)
            .await
            .unwrap();
        tokio::spawn(connection); // ends with the client
        rows(&sql).await
    }
}

fn s3() -> S3 {
    S3::new(Settings::default())
}

fn batch(number: usize) -> Value {
    let records: Vec<Value> = (0..BATCH)
        .map(|index| put(&format!("{number:03}/{index:03}"), "1", "e1"))
        .collect();
    queue_of_records(&records)
}

/// Delivers a batch as the queue does: again and again until no message of it fails. Returns how often it took.
async fn deliver_until_done(function: &DocumentSync, payload: &Value) -> usize {
    let mut deliveries = 1;
    while !failed_ids(deliver(function, payload).await.unwrap()).is_empty() {
        deliveries += 1;
        tokio::task::yield_now().await;
    }
    deliveries
}

/// Whether the table has each object of this many batches, once.
fn assert_complete(rows: &str, batches: usize) {
    let found: BTreeSet<&str> = rows
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    let expected: BTreeSet<String> = (0..batches)
        .flat_map(|number| {
            (0..BATCH).map(move |index| format!("s3://documents/{number:03}/{index:03}"))
        })
        .collect();
    assert_eq!(found, expected.iter().map(String::as_str).collect());
    assert_eq!(rows.lines().count(), expected.len());
}

#[tokio::test]
async fn a_primary_that_dies_is_replaced_by_its_standby_and_nothing_acknowledged_is_lost() {
    let mut pair = Pair::start().await;
    let proxy = Proxy::start(pair.primary.address()).await;
    let function = function(&pair.primary.url_through(proxy.address()), s3());
    let storm = async {
        for number in 0..2 * BATCHES {
            deliver_until_done(&function, &batch(number)).await;
        }
    };
    let failover = async {
        // In the middle of the storm, at no particular statement.
        while pair.rows_so_far().await < BATCHES * BATCH {
            tokio::task::yield_now().await;
        }
        pair.primary.cluster().kill().unwrap();
        pair.standby.promote().await.unwrap();
        proxy.redirect(pair.standby.address().unwrap());
    };
    tokio::join!(storm, failover);
    assert_complete(&pair.rows().await, 2 * BATCHES);
}

impl Pair {
    /// As the primary has them, 0 before there is a table.
    async fn rows_so_far(&self) -> usize {
        let sql = self.primary.connect().await;
        let count = sql.query_one("select count(*) from document", &[]).await;
        count.map_or(0, |row| usize::try_from(row.get::<_, i64>(0)).unwrap())
    }
}

#[tokio::test]
async fn a_url_that_names_both_servers_follows_the_failover_by_itself() {
    let mut pair = Pair::start().await;
    let both = format!(
        "{},{}",
        pair.primary.address(),
        pair.standby.address().unwrap()
    );
    let url = pair
        .primary
        .url()
        .replace(&pair.primary.address().to_string(), &both);
    let function = function(&format!("{url}?target_session_attrs=read-write"), s3());
    assert_eq!(deliver_until_done(&function, &batch(0)).await, 1);
    pair.primary.cluster().kill().unwrap();
    // Between the two there is nobody to write to.
    let failed = failed_ids(deliver(&function, &batch(1)).await.unwrap());
    assert_eq!(failed.len(), BATCH);
    pair.standby.promote().await.unwrap();
    assert_eq!(deliver_until_done(&function, &batch(1)).await, 1);
    assert_complete(&pair.rows().await, 2);
}

#[tokio::test]
async fn a_primary_that_became_read_only_is_left_at_once_for_the_new_one() {
    let pair = Pair::start().await;
    let proxy = Proxy::start(pair.primary.address()).await;
    let function = function(&pair.primary.url_through(proxy.address()), s3());
    assert_eq!(deliver_until_done(&function, &batch(0)).await, 1);
    // The connection stays with the old primary; the name already leads to the new one.
    demote(&pair.primary.connect().await).await;
    pair.standby.promote().await.unwrap();
    proxy.redirect(pair.standby.address().unwrap());
    assert_eq!(deliver_until_done(&function, &batch(1)).await, 1);
    assert_eq!(proxy.connections(), 2);
    assert_complete(&pair.rows().await, 2);
}

/// Whoever is connected may only read from now on, as after a failover of Aurora.
async fn demote(sql: &Client) {
    for statement in [
        "alter system set default_transaction_read_only = on",
        "select pg_reload_conf()",
    ] {
        sql.batch_execute(statement).await.unwrap();
    }
    let shown = "show default_transaction_read_only";
    while sql.query_one(shown, &[]).await.unwrap().get::<_, &str>(0) != "on" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_database_that_may_only_be_read_has_every_message_delivered_again() {
    let postgres = Postgres::start_own().await;
    let function = function(postgres.url(), s3());
    function.documents.prepare().await.unwrap();
    let sql = postgres.connect().await;
    demote(&sql).await;
    let failed = failed_ids(deliver(&function, &batch(0)).await.unwrap());
    assert_eq!(failed.len(), BATCH);
    // The session itself is bound by the setting, and must not be to lift it.
    sql.batch_execute("set default_transaction_read_only = off")
        .await
        .unwrap();
    for statement in [
        "alter system reset default_transaction_read_only",
        "select pg_reload_conf()",
    ] {
        sql.batch_execute(statement).await.unwrap();
    }
    deliver_until_done(&function, &batch(0)).await;
    assert_complete(&rows(&sql).await, 1);
}

#[tokio::test]
async fn a_database_out_of_connections_has_every_message_delivered_again() {
    let postgres = Postgres::start_own().await;
    let sql = postgres.connect().await;
    sql.batch_execute(
        "create role app login connection limit 1; grant create on schema public to app",
    )
    .await
    .unwrap();
    let url = postgres.url().replace("holdfast@", "app@");
    let (other, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let function = function(&url, s3());
    let failed = failed_ids(deliver(&function, &batch(0)).await.unwrap());
    assert_eq!(failed.len(), BATCH);
    drop(other);
    connection.await.unwrap().unwrap();
    deliver_until_done(&function, &batch(0)).await;
    assert_complete(&rows(&sql).await, 1);
}

/// The server's own words when a table cannot grow, which no test can make a disk say on every machine.
#[tokio::test]
async fn a_database_out_of_disk_has_every_message_delivered_again() {
    let postgres = Postgres::start().await;
    let function = function(postgres.url(), s3());
    function.documents.prepare().await.unwrap();
    let sql = postgres.connect().await;
    sql.batch_execute(
        "create function full_disk() returns trigger language plpgsql as $$
            begin
                raise exception 'could not extend file: No space left on device' using errcode = 'disk_full';
            end
        $$;
        create trigger full_disk after insert on document for each statement execute function full_disk()",
    )
    .await
    .unwrap();
    let failed = failed_ids(deliver(&function, &batch(0)).await.unwrap());
    assert_eq!(failed.len(), BATCH);
    assert_eq!(rows(&sql).await, "", "all of it or nothing");
    let kept = sql.query_one("select count(*) from quarantine", &[]).await;
    assert_eq!(kept.unwrap().get::<_, i64>(0), 0);
    sql.batch_execute("drop trigger full_disk on document")
        .await
        .unwrap();
    deliver_until_done(&function, &batch(0)).await;
    assert_complete(&rows(&sql).await, 1);
}

#[tokio::test]
async fn a_database_in_recovery_has_every_message_delivered_again() {
    let mut pair = Pair::start().await;
    let address = pair.standby.address().unwrap();
    let proxy = Proxy::start(address).await;
    let function = function(&pair.primary.url_through(proxy.address()), s3());
    // With this it takes nobody as long as it is a standby, and its start is never done.
    let starting = pair.standby.configure(["hot_standby=off".to_owned()]);
    let asking = async {
        while !is_in_recovery(&function).await {
            tokio::task::yield_now().await;
        }
        failed_ids(deliver(&function, &batch(0)).await.unwrap())
    };
    let failed = tokio::select! {
        started = starting => panic!("it takes connections: {started:?}"),
        failed = asking => failed,
    };
    assert_eq!(failed.len(), BATCH);
    // No commit waits for it any longer.
    let sql = pair.primary.connect().await;
    for statement in [
        "alter system reset synchronous_standby_names",
        "select pg_reload_conf()",
    ] {
        sql.batch_execute(statement).await.unwrap();
    }
    proxy.redirect(pair.primary.address());
    deliver_until_done(&function, &batch(0)).await;
    assert_complete(&rows(&sql).await, 1);
}

async fn is_in_recovery(function: &DocumentSync) -> bool {
    let error = function.documents.prepare().await.unwrap_err();
    shared::telemetry::chain(&error)
        .to_string()
        .contains("takes no connection at present")
}

/// What pins a session of RDS Proxy is anything that outlives a transaction
/// (<https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html>).
#[tokio::test]
async fn no_statement_leaves_anything_behind_in_the_session() {
    let mut postgres = Postgres::start_own().await;
    postgres
        .cluster()
        .configure(["log_statement=all".to_owned()])
        .await
        .unwrap();
    let function = function(postgres.url(), s3());
    for number in [0, 1, 0] {
        deliver_until_done(&function, &batch(number)).await;
    }
    let log = fs::read_to_string(postgres.cluster().folder().join("postgres.log")).unwrap();
    // What goes on in a further line, the log indents.
    let log = log.replace("\n\t", " ").to_lowercase();
    let ours: Vec<(&str, &str)> = log
        .lines()
        .filter_map(|line| line.split_once("log:  ")?.1.split_once(':'))
        .filter(|(kind, _)| *kind == "statement" || kind.starts_with("execute "))
        .collect();
    assert!(
        ours.iter().any(|(kind, _)| *kind == "execute <unnamed>"),
        "{log}"
    );
    for (kind, statement) in ours {
        assert!(
            matches!(kind, "statement" | "execute <unnamed>"),
            "a named statement: {kind}: {statement}"
        );
        let word = statement.split_whitespace().next().unwrap();
        let pins = [
            "set",
            "reset",
            "prepare",
            "deallocate",
            "discard",
            "listen",
            "declare",
        ];
        assert!(!pins.contains(&word), "{statement}");
        for call in ["set_config(", "pg_advisory_lock(", "nextval("] {
            assert!(!statement.contains(call), "{statement}");
        }
    }
}

#[tokio::test]
async fn the_deployed_function_lives_through_a_rotation_of_its_secret_over_tls() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    fs::write(&roots, authority.certificate()).unwrap();
    let mut postgres = Postgres::start_own().await;
    postgres
        .use_tls(&authority.issue(&["db.example.com"]))
        .await;
    postgres
        .allow("hostssl all app 127.0.0.1/32 scram-sha-256")
        .await;
    let sql = postgres.connect().await;
    sql.batch_execute("create role app login password 'alt'; grant create on schema public to app")
        .await
        .unwrap();
    let secrets = SecretsManager::start().await;
    let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:orders-AbCdEf";
    let put_password = |password: &str| {
        let secret = json!({
            "engine": "postgres",
            "host": "db.example.com",
            "port": postgres.address().port(),
            "username": "app",
            "password": password,
            "dbname": "test",
        });
        secrets.put(arn, &secret.to_string());
    };
    put_password("alt");
    // The secret tells all but how to get there on this machine.
    let url = format!(
        "postgresql://db.example.com:{}/?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={}",
        postgres.address().port(),
        roots.display()
    );
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("DATABASE_SECRET_ARN", arn),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.endpoint()),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ("AWS_LAMBDA_LOG_LEVEL", "TRACE"),
    ];
    let function = RuntimeApi::start().await.run(BINARY, &variables);
    let done = json!({ "batchItemFailures": [] });
    assert_eq!(
        function.invoke(&batch(0)).await.unwrap(),
        done,
        "{}",
        function.stdout()
    );
    assert_eq!(secrets.calls(), 1);

    // The rotation, after which the function's connection is lost.
    sql.batch_execute("alter role app password 'neuestes-geheimnis'")
        .await
        .unwrap();
    put_password("neuestes-geheimnis");
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'";
    sql.batch_execute(end).await.unwrap();
    assert_eq!(
        function.invoke(&batch(1)).await.unwrap(),
        done,
        "{}",
        function.stdout()
    );
    assert_eq!(secrets.calls(), 2);
    assert_complete(&rows(&sql).await, 2);
    let log = function.stdout() + &function.stderr();
    assert!(log.contains("the secret has a new one"), "{log}");
    assert!(!log.contains("neuestes-geheimnis"), "{log}");
    function.kill().await;
}
