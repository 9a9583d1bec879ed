//! A temporary cluster: there for its owner, gone with it, and it takes every fault a test asks for.
#![expect(clippy::expect_used, reason = "a test that cannot start must stop")]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use private_postgres::Cluster;
use tokio_postgres::{Client, NoTls};

#[tokio::test]
async fn databases_are_separate_and_reached_by_their_url() {
    let cluster = Cluster::temporary().await.unwrap();
    let one = connect(&cluster.database("one").await.unwrap()).await;
    let other = connect(&cluster.database("öther \"two\"").await.unwrap()).await;
    one.batch_execute("CREATE TABLE only_here ()")
        .await
        .unwrap();
    assert!(other.batch_execute("TABLE only_here").await.is_err());
    assert_eq!(cluster.address(), None);
    let rows = one.query("SHOW listen_addresses", &[]).await.unwrap();
    assert_eq!(rows[0].get::<_, String>(0), "");
}

#[tokio::test]
async fn a_standby_follows_its_primary_and_takes_over() {
    let mut primary = Cluster::temporary_on_tcp().await.unwrap();
    let url = primary.database("kept").await.unwrap();
    let client = connect(&url).await;
    client
        .batch_execute("CREATE TABLE before ()")
        .await
        .unwrap();
    let standby = primary.standby().await.unwrap();
    client.batch_execute("CREATE TABLE after ()").await.unwrap();
    let replica = connect(&standby.url("kept")).await;
    replica.batch_execute("TABLE before").await.unwrap();
    while replica.batch_execute("TABLE after").await.is_err() {
        tokio::task::yield_now().await; // replication takes its time
    }
    let refused = replica.batch_execute("CREATE TABLE here ()").await;
    assert_eq!(refused.unwrap_err().code().unwrap().code(), "25006");

    primary.kill().unwrap();
    standby.promote().await.unwrap();
    replica.batch_execute("CREATE TABLE here ()").await.unwrap();
    let error = standby.promote().await.unwrap_err();
    assert!(error.to_string().contains("promote"), "{error}");
}

#[tokio::test]
async fn files_and_settings_come_with_a_new_start() {
    let mut cluster = Cluster::temporary().await.unwrap();
    let rules = cluster
        .place("rules.conf", "local all all trust\n")
        .unwrap();
    let settings = [
        format!("hba_file={}", rules.display()),
        "work_mem=77kB".to_owned(),
    ];
    cluster.configure(settings).await.unwrap();
    let client = connect(&cluster.url("postgres")).await;
    for (setting, value) in [("hba_file", rules.to_str().unwrap()), ("work_mem", "77kB")] {
        let row = client
            .query_one(&format!("SHOW {setting}"), &[])
            .await
            .unwrap();
        assert_eq!(row.get::<_, &str>(0), value);
    }
}

#[tokio::test]
async fn data_and_address_outlive_a_restart_and_a_kill() {
    let mut cluster = Cluster::temporary_on_tcp().await.unwrap();
    let url = cluster.database("kept").await.unwrap();
    let before = cluster.pid();
    let client = connect(&url).await;
    client
        .batch_execute("CREATE TABLE kept (); CHECKPOINT")
        .await
        .unwrap();

    cluster.restart().await.unwrap();
    assert_ne!(cluster.pid(), before);
    assert!(
        client.batch_execute("SELECT").await.is_err(),
        "the restart broke no session"
    );
    connect(&url)
        .await
        .batch_execute("TABLE kept")
        .await
        .unwrap();

    let _session = connect(&url).await;
    cluster.kill().unwrap();
    assert!(!cluster.is_running());
    assert!(tokio_postgres::connect(&url, NoTls).await.is_err());
    cluster.start().await.unwrap();
    assert!(cluster.is_running());
    connect(&url)
        .await
        .batch_execute("TABLE kept")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_stopped_cluster_refuses_connections_until_it_is_started() {
    let mut cluster = Cluster::temporary().await.unwrap();
    let url = cluster.url("postgres");
    cluster.stop().await;
    assert!(tokio_postgres::connect(&url, NoTls).await.is_err());
    assert_eq!(cluster.pid(), None);
    cluster.start().await.unwrap();
    cluster.start().await.unwrap(); // and a second time changes nothing
    connect(&url).await;
}

#[tokio::test]
async fn nothing_is_left_of_a_dropped_cluster() {
    let cluster = Cluster::temporary().await.unwrap();
    let (folder, pid) = (cluster.folder().to_owned(), cluster.pid().unwrap());
    assert!(folder.exists());
    drop(cluster);
    assert!(!folder.exists());
    assert!(!runs(pid));
}

#[tokio::test]
async fn nothing_is_left_of_a_cluster_whose_owner_was_killed() {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_temporary-postgres"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let folder = lines.next().unwrap().unwrap();
    let pid = lines.next().unwrap().unwrap().parse().unwrap();
    assert!(runs(pid));
    assert!(Path::new(&folder).exists());
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until(|| !runs(pid) && !Path::new(&folder).exists());
}

/// A zombie has ended; it waits for whoever adopted it.
fn runs(pid: u32) -> bool {
    let listing = Command::new("ps")
        .args(["-o", "stat=", "-p", &pid.to_string()])
        .output();
    let state = listing.expect("ps (of the package procps) is there").stdout;
    !state.is_empty() && !state.starts_with(b"Z")
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_mins(1),
            "it did not happen within a minute"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("the cluster runs");
    tokio::spawn(connection);
    client
}
