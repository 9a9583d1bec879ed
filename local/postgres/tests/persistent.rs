//! A persistent cluster: its data, its password, and one clear line for everything that stops it.
#![expect(clippy::expect_used, reason = "a test that cannot start must stop")]

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use private_postgres::{Cluster, Error};
use tempfile::TempDir;
use testkit::Port;
use tokio_postgres::{Client, NoTls};

#[tokio::test]
async fn data_and_password_outlive_the_process() {
    let (_parent, folder, port) = place();
    let cluster = Cluster::persistent(&folder, port).await.unwrap();
    let url = cluster.url("holdfast");
    connect(&url)
        .await
        .batch_execute("CREATE TABLE kept ()")
        .await
        .unwrap();
    let pid = cluster.pid().unwrap();
    drop(cluster);
    assert!(!runs(pid));
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());

    let cluster = Cluster::persistent(&folder, port).await.unwrap();
    assert_eq!(cluster.url("holdfast"), url);
    connect(&url)
        .await
        .batch_execute("TABLE kept")
        .await
        .unwrap();
}

#[tokio::test]
async fn nobody_enters_without_the_password_and_only_its_owner_reads_it() {
    let (_parent, folder, port) = place();
    let _cluster = Cluster::persistent(&folder, port).await.unwrap();
    let guess = format!("postgresql://holdfast:guess@127.0.0.1:{port}/holdfast");
    assert!(tokio_postgres::connect(&guess, NoTls).await.is_err());
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.join("password")), 0o600);
    assert_eq!(mode(folder.clone()), 0o700);
}

#[tokio::test]
async fn the_server_keeps_its_promises_about_durability() {
    let (_parent, folder, port) = place();
    let cluster = Cluster::persistent(&folder, port).await.unwrap();
    let client = connect(&cluster.url("holdfast")).await;
    for setting in [
        "fsync",
        "synchronous_commit",
        "full_page_writes",
        "data_checksums",
    ] {
        let row = client
            .query_one(&format!("SHOW {setting}"), &[])
            .await
            .unwrap();
        assert_eq!(row.get::<_, String>(0), "on", "{setting}");
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let (_parent, folder, port) = place();
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let error = Cluster::persistent(&folder, port).await.unwrap_err();
    assert!(matches!(error, Error::PortTaken { .. }), "{error}");
    assert!(error.to_string().contains(&port.to_string()), "{error}");
}

#[tokio::test]
async fn a_second_start_on_the_same_folder_harms_the_first_in_nothing() {
    let (_parent, folder, port) = place();
    let mut first = Cluster::persistent(&folder, port).await.unwrap();
    let error = Cluster::persistent(&folder, Port::free().number())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    assert!(first.is_running());
    connect(&first.url("holdfast")).await;
}

#[tokio::test]
async fn data_of_another_major_version_is_refused_by_its_number_and_left_alone() {
    let (_parent, folder, port) = place();
    drop(Cluster::persistent(&folder, port).await.unwrap());
    fs::write(folder.join("data/PG_VERSION"), "8\n").unwrap();
    let error = Cluster::persistent(&folder, port).await.unwrap_err();
    assert!(
        matches!(&error, Error::OtherMajor { data, .. } if data == "8"),
        "{error}"
    );
    assert!(!error.to_string().contains('\n'), "{error}");
    assert!(folder.join("data/global").exists());
}

#[tokio::test]
async fn a_lost_or_foreign_password_file_is_named() {
    let (_parent, folder, port) = place();
    drop(Cluster::persistent(&folder, port).await.unwrap());
    let file = folder.join("password");
    let password = fs::read(&file).unwrap();
    for wrong in [None, Some("0123456789abcdef")] {
        match wrong {
            None => fs::remove_file(&file).unwrap(),
            Some(wrong) => fs::write(&file, wrong).unwrap(),
        }
        let error = Cluster::persistent(&folder, port).await.unwrap_err();
        assert!(matches!(error, Error::Password { .. }), "{error}");
    }
    fs::write(&file, password).unwrap();
    Cluster::persistent(&folder, port).await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why_and_leaves_no_process() {
    let (_parent, folder, port) = place();
    drop(Cluster::persistent(&folder, port).await.unwrap());
    let configuration = folder.join("data/postgresql.conf");
    let text = fs::read_to_string(&configuration).unwrap();
    fs::write(&configuration, format!("{text}\nno_such_setting = 1\n")).unwrap();
    let error = Cluster::persistent(&folder, port).await.unwrap_err();
    assert!(error.to_string().contains("no_such_setting"), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");
    assert!(!folder.join("data/postmaster.pid").exists());
}

#[tokio::test]
async fn what_a_kill_left_of_an_unfinished_initdb_is_replaced() {
    let (_parent, folder, port) = place();
    fs::create_dir_all(folder.join("data.new/base")).unwrap();
    fs::write(folder.join("data.new/PG_VERSION"), "15\n").unwrap();
    let mut cluster = Cluster::persistent(&folder, port).await.unwrap();
    assert!(cluster.is_running());
}

#[tokio::test]
async fn a_server_left_over_from_a_killed_run_is_replaced() {
    let (_parent, folder, port) = place();
    let first = Cluster::persistent(&folder, port).await.unwrap();
    let (url, program) = (first.url("holdfast"), first.program("postgres"));
    connect(&url)
        .await
        .batch_execute("CREATE TABLE kept ()")
        .await
        .unwrap();
    drop(first);

    // As a run leaves it when its guardian was killed too.
    let mut command = Command::new(program);
    command
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-c", "unix_socket_directories="]);
    command
        .args(["-p", &port.to_string()])
        .current_dir("/")
        .stderr(Stdio::null());
    run_as_owner(&mut command, &folder);
    let mut left = command.spawn().unwrap();
    wait_until(|| {
        fs::read_to_string(folder.join("data/postmaster.pid"))
            .is_ok_and(|file| file.contains("ready"))
    });

    let cluster = Cluster::persistent(&folder, port).await.unwrap();
    wait_until(|| left.try_wait().unwrap().is_some());
    assert_ne!(cluster.pid(), Some(left.id()));
    connect(&url)
        .await
        .batch_execute("TABLE kept")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_stale_process_id_that_is_now_somebody_elses_is_not_killed() {
    let (_parent, folder, port) = place();
    drop(Cluster::persistent(&folder, port).await.unwrap());
    let mut stranger = Command::new("sleep").arg("300").spawn().unwrap();
    let file = folder.join("data/postmaster.pid");
    fs::write(
        &file,
        format!(
            "{}\n{}\n0\n{port}\n\n\n",
            stranger.id(),
            folder.join("data").display()
        ),
    )
    .unwrap();
    let started = Cluster::persistent(&folder, port).await;
    let alive = stranger.try_wait().unwrap().is_none();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(alive);
    started.unwrap();
}

#[tokio::test]
async fn as_root_a_folder_closed_to_the_servers_user_is_reported_so() {
    if !Command::new("id")
        .arg("-u")
        .output()
        .unwrap()
        .stdout
        .starts_with(b"0\n")
    {
        // Without root the server runs as ourselves and reaches what we reach.
        let (_parent, folder, port) = place();
        Cluster::persistent(&folder, port).await.unwrap();
        return;
    }
    let (parent, folder, port) = place();
    fs::set_permissions(parent.0.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let error = Cluster::persistent(&folder, port).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(!folder.exists());
}

/// A folder that any user may enter and a free port, kept as long as the first part; the cluster's place in it, and its port.
fn place() -> ((TempDir, Port), PathBuf, u16) {
    let parent = tempfile::tempdir_in("/tmp").expect("/tmp is writable");
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let folder = parent.path().join("postgres");
    let port = Port::free();
    let number = port.number();
    ((parent, port), folder, number)
}

fn run_as_owner(command: &mut Command, folder: &PathBuf) {
    use std::os::unix::{fs::MetadataExt, process::CommandExt};
    let owner = fs::metadata(folder).expect("the cluster made it");
    if owner.uid() != fs::metadata("/proc/self").map_or(owner.uid(), |own| own.uid()) {
        command.uid(owner.uid()).gid(owner.gid());
    }
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
