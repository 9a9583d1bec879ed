//! Servers that refuse, are away, may not be written to, or are several.

mod support;

use std::net::SocketAddr;

use shared::database::ConnectError;
use support::{PASSWORD, Remote, open, text};
use testkit::{Fault, Proxy};

const RULES: &str = "host all app 127.0.0.1/32 scram-sha-256";
const NOBODY: &str = "127.0.0.1:1";

fn url(hosts: &str, options: &str) -> String {
    format!("postgresql://app:{PASSWORD}@{hosts}/test?{options}")
}

async fn start() -> (Remote, SocketAddr) {
    let remote = Remote::start(RULES).await;
    let address = remote.postgres.address();
    (remote, address)
}

#[tokio::test]
async fn a_refused_password_says_what_to_check_and_not_what_it_is() {
    let (_remote, address) = start().await;
    let url = format!("postgresql://app:falsch@{address}/test");
    let error = open(&url).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Credentials { .. }),
        "{error:?}"
    );
    insta::assert_snapshot!(text(&error, address.port()), @r#"127.0.0.1:PORT refused the user app: check user and password in DATABASE_URL: db error: FATAL: password authentication failed for user "app""#);
    assert!(!format!("{error:?}").contains("falsch"));
}

#[tokio::test]
async fn a_missing_password_a_missing_database_and_a_missing_rule_are_told_apart() {
    let (remote, address) = start().await;
    let error = open(&format!("postgresql://app@{address}/test"))
        .await
        .unwrap_err();
    insta::assert_snapshot!(text(&error, address.port()), @"127.0.0.1:PORT wants a password for the user app, and none is given");
    let error = open(&format!("postgresql://app:{PASSWORD}@{address}/other"))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    insta::assert_snapshot!(text(&error, address.port()), @r#"127.0.0.1:PORT refused the connection: db error: FATAL: database "other" does not exist"#);
    let error = open(&format!("postgresql://stranger:{PASSWORD}@{address}/test"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::Credentials { .. }),
        "{error:?}"
    );
    insta::assert_snapshot!(text(&error, address.port()), @r#"127.0.0.1:PORT refused the user stranger: check user and password in DATABASE_URL: db error: FATAL: no pg_hba.conf entry for host "127.0.0.1", user "stranger", database "test", no encryption"#);
    drop(remote);
}

#[tokio::test]
async fn a_server_that_is_away_or_silent_is_unreachable() {
    let error = open(&url(NOBODY, "")).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Unreachable { .. }),
        "{error:?}"
    );

    let (remote, address) = start().await;
    for fault in [Fault::Stall, Fault::Refuse, Fault::CutAfterAnswerBytes(3)] {
        let proxy = Proxy::start(address).await;
        proxy.set(fault.clone());
        let url = url(&proxy.address().to_string(), "connect_timeout=1");
        let error = open(&url).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Unreachable { .. }),
            "{fault:?}: {error:?}"
        );
    }
    let error = open(&url("no-such-host.invalid", "sslmode=disable"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::Unreachable { .. }),
        "{error:?}"
    );
    drop(remote);
}

#[tokio::test]
async fn a_server_with_as_many_connections_as_it_may_have_is_asked_later() {
    let (remote, address) = start().await;
    let limit = "alter role app connection limit 1";
    remote
        .postgres
        .connect()
        .await
        .batch_execute(limit)
        .await
        .unwrap();
    let url = url(&address.to_string(), "");
    let first = open(&url).await.unwrap();
    let error = open(&url).await.unwrap_err();
    assert!(matches!(error, ConnectError::NotNow { .. }), "{error:?}");
    insta::assert_snapshot!(text(&error, address.port()), @r#"127.0.0.1:PORT takes no connection at present: it should later; if not, lower the function's concurrency or raise max_connections: db error: FATAL: too many connections for role "app""#);
    drop(first);
    while open(&url).await.is_err() {
        tokio::task::yield_now().await; // until the server has seen the end of the first
    }
}

#[tokio::test]
async fn a_server_in_recovery_that_takes_nobody_yet_is_asked_later() {
    let (mut remote, _) = start().await;
    let mut standby = remote.postgres.cluster().standby().await.unwrap();
    let url = url(&standby.address().unwrap().to_string(), "");
    open(&url).await.unwrap();
    // It never answers its own start with these settings: only connecting tells of it.
    let starting = standby.configure(["hot_standby=off".to_owned()]);
    let asking = async {
        loop {
            match open(&url).await {
                Err(error @ ConnectError::NotNow { .. }) => return error,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let error = tokio::select! {
        started = starting => panic!("it takes connections: {started:?}"),
        error = asking => error,
    };
    assert!(
        error.to_string().contains("takes no connection at present"),
        "{error}"
    );
}

#[tokio::test]
async fn of_several_hosts_the_first_that_can_be_written_to_is_used() {
    let (mut remote, primary) = start().await;
    let standby = remote.postgres.cluster().standby().await.unwrap();
    let replica = standby.address().unwrap();
    let hosts = format!("{NOBODY},{replica},{primary}");
    let connection = open(&url(&hosts, "target_session_attrs=read-write"))
        .await
        .unwrap();
    let port = |connection: shared::database::Connection| async move {
        let query = "select current_setting('port')::int";
        let row = connection.client.query_typed_one(query, &[]).await.unwrap();
        u16::try_from(row.get::<_, i32>(0)).unwrap()
    };
    assert_eq!(port(connection).await, primary.port());
    let connection = open(&url(&hosts, "target_session_attrs=read-only"))
        .await
        .unwrap();
    assert_eq!(port(connection).await, replica.port());
    let connection = open(&url(&hosts, "")).await.unwrap();
    assert_eq!(port(connection).await, replica.port());

    let hosts = format!("{NOBODY},{replica}");
    let error = open(&url(&hosts, "target_session_attrs=read-write"))
        .await
        .unwrap_err();
    let ConnectError::NoHost(errors) = &error else {
        panic!("{error:?}")
    };
    assert!(
        matches!(
            errors.as_slice(),
            [
                ConnectError::Unreachable { .. },
                ConnectError::WrongRole { .. }
            ]
        ),
        "{errors:?}"
    );
    insta::assert_snapshot!(text(&errors[1], replica.port()), @"127.0.0.1:PORT is not of the kind that target_session_attrs asks for, as a replica before its promotion: error connecting to server: database does not allow writes");
    assert!(error.to_string().contains(" does not answer: "), "{error}");
}

#[tokio::test]
async fn random_order_reaches_every_host() {
    let (remote, address) = start().await;
    let proxies = [Proxy::start(address).await, Proxy::start(address).await];
    let hosts = format!("{},{}", proxies[0].address(), proxies[1].address());
    let url = url(&hosts, "load_balance_hosts=random");
    while proxies.iter().any(|proxy| proxy.connections() == 0) {
        open(&url).await.unwrap();
    }
    drop(remote);
}

#[tokio::test]
async fn refused_credentials_are_not_tried_at_the_next_host() {
    let (remote, address) = start().await;
    let second = Proxy::start(address).await;
    let url = format!(
        "postgresql://app:falsch@{address},{}/test",
        second.address()
    );
    let error = open(&url).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Credentials { .. }),
        "{error:?}"
    );
    assert_eq!(second.connections(), 0);
    drop(remote);
}
