//! The database away: for a while, or at the wrong moment.

use std::time::Duration;

use embedded_s3::Target;
use registry::artifact::Kind;
use registry::index::rebuild::Order;
use registry::registry::Error;
use testkit::{Fault, Postgres, Proxy};
use tokio::time::sleep;

use crate::support::{create, draft, named, tester};
use crate::world::{World, all, change, differences, rebuild};

const URL: &str = "https://example.com/1";
const OTHER: &str = "https://example.com/2";
/// Longer than an instance leaves a database alone that it could not reach.
const REST: Duration = Duration::from_millis(2_100);

/// A world whose instances reach the database through a network that fails.
async fn behind_a_network() -> (World, Proxy, String) {
    let world = World::with(Postgres::start_own().await).await;
    let proxy = Proxy::start(world.postgres.address()).await;
    let url = world.postgres.url_through(proxy.address());
    (world, proxy, url)
}

fn is_unavailable<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Index(_)))
}

#[tokio::test]
async fn without_the_database_artifacts_are_read_by_id_and_neither_found_nor_changed() {
    let (world, proxy, url) = behind_a_network().await;
    let registry = world.instance_at(&url);
    let id = create(&registry, named(Kind::Model, "a", URL)).await;
    all(&registry).await.unwrap();
    proxy.set(Fault::Refuse);
    proxy.cut();
    assert!(is_unavailable(&all(&registry).await));
    assert!(is_unavailable(
        &registry.by_name(&"a".parse().unwrap()).await
    ));
    assert!(is_unavailable(&registry.by_regex("a").await));
    assert!(is_unavailable(
        &registry.create(draft(Kind::Model, OTHER)).await
    ));
    assert!(is_unavailable(
        &registry.update(Kind::Model, &id, &change("a", OTHER)).await
    ));
    assert!(is_unavailable(
        &registry.delete(Kind::Model, &id, &tester()).await
    ));
    registry.read(Kind::Model, &id).await.unwrap();
    proxy.set(Fault::Pass);
    sleep(REST).await;
    // Nothing was changed, and nothing is barred.
    assert_eq!(world.truth().await.len(), 1);
    assert_eq!(all(&registry).await.unwrap(), world.truth().await);
    registry
        .update(Kind::Model, &id, &change("a", OTHER))
        .await
        .unwrap();
    create(&registry, draft(Kind::Model, URL)).await;
    registry.delete(Kind::Model, &id, &tester()).await.unwrap();
    assert_eq!(all(&registry).await.unwrap(), world.truth().await);
    assert_eq!(world.unsettled().await, 0);
}

#[tokio::test]
async fn what_the_store_has_taken_is_acknowledged_and_found_though_the_index_was_not_told() {
    let (world, proxy, url) = behind_a_network().await;
    let registry = world.instance_at(&url);
    let other = world.instance();
    let id = create(&registry, named(Kind::Model, "a", URL)).await;
    all(&registry).await.unwrap();
    for step in 0_usize..3 {
        // The announcement is answered when the store is asked; whatever comes then is not.
        let operation = ["PutObject", "PutObject", "DeleteObject"][step];
        world.store.faults().inject(
            embedded_s3::Fault::Delay(Duration::from_millis(500)),
            Target {
                operation: Some(operation.to_owned()),
                prefix: Some("artifacts/".to_owned()),
                requests: Some(1),
                ..Target::default()
            },
        );
        let watch = async {
            while world.store.faults().waiting() > 0 {
                tokio::task::yield_now().await;
            }
            proxy.set(Fault::Refuse);
            proxy.cut();
        };
        match step {
            0 => {
                let (created, ()) =
                    tokio::join!(registry.create(named(Kind::Model, "b", OTHER)), watch);
                created.unwrap();
            }
            1 => {
                let moved = change("a", "https://example.com/3");
                let (updated, ()) = tokio::join!(registry.update(Kind::Model, &id, &moved), watch);
                updated.unwrap();
            }
            _ => {
                let user = tester();
                let (deleted, ()) = tokio::join!(registry.delete(Kind::Model, &id, &user), watch);
                deleted.unwrap();
            }
        }
        assert_eq!(world.unsettled().await, 1, "step {step}");
        // Found by the next query of any instance, without anybody's help.
        assert_eq!(
            all(&other).await.unwrap(),
            world.truth().await,
            "step {step}"
        );
        world.make_final().await;
        assert_eq!(all(&other).await.unwrap(), world.truth().await);
        assert_eq!(world.unsettled().await, 0);
        assert_eq!(differences(&other).await, (0, 0, 0));
        proxy.set(Fault::Pass);
        sleep(REST).await;
    }
}

#[tokio::test]
async fn a_lost_answer_of_the_database_does_no_harm() {
    let (world, proxy, url) = behind_a_network().await;
    let registry = world.instance_at(&url);
    all(&registry).await.unwrap();
    for (number, statement) in [
        "insert into registry_unsettled",
        "insert into registry_artifact",
    ]
    .into_iter()
    .enumerate()
    {
        proxy.set(Fault::LoseAnswerTo(statement.as_bytes().to_vec()));
        let url = format!("https://example.com/{number}");
        create(&registry, draft(Kind::Model, &url)).await;
        assert_eq!(proxy.fault(), Fault::Pass, "the fault has happened");
        assert_eq!(all(&registry).await.unwrap(), world.truth().await);
        assert_eq!(world.unsettled().await, 0);
    }
    proxy.set(Fault::LoseAnswerTo(b"lateral".to_vec()));
    assert_eq!(all(&registry).await.unwrap(), world.truth().await);
    assert_eq!(proxy.fault(), Fault::Pass, "the fault has happened");
    proxy.set(Fault::LoseAnswerTo(
        b"insert into registry_rebuild".to_vec(),
    ));
    let order = Order::default();
    // Another instance may be at it, for all anybody knows.
    drop(
        registry
            .rebuild_index(&order, tokio::time::Instant::now() + REST)
            .await,
    );
    let free = "update registry_rebuild set leased_until = null";
    world.sql.batch_execute(free).await.unwrap();
    rebuild(&registry, &order).await;
    assert_eq!(differences(&registry).await, (0, 0, 0));
}

#[tokio::test]
async fn a_database_that_says_nothing_is_given_up() {
    let (world, proxy, url) = behind_a_network().await;
    let registry = world.instance_at(&url);
    let id = create(&registry, named(Kind::Model, "a", URL)).await;
    proxy.set(Fault::Stall);
    let (query, read) = tokio::join!(all(&registry), registry.read(Kind::Model, &id));
    assert!(is_unavailable(&query));
    read.unwrap();
    proxy.set(Fault::Pass);
    proxy.cut();
    sleep(REST).await;
    assert_eq!(all(&registry).await.unwrap(), world.truth().await);
}

#[tokio::test]
async fn a_restart_of_the_database_is_not_noticed() {
    let mut world = World::with(Postgres::start_own().await).await;
    let registry = world.instance();
    let id = create(&registry, named(Kind::Model, "a", URL)).await;
    all(&registry).await.unwrap();
    world.postgres.cluster().restart().await.unwrap();
    registry
        .update(Kind::Model, &id, &change("a", OTHER))
        .await
        .unwrap();
    world.postgres.cluster().restart().await.unwrap();
    assert_eq!(all(&registry).await.unwrap(), world.truth().await);
}

#[tokio::test]
async fn who_may_not_use_the_tables_is_told_which_rights_are_missing() {
    let world = World::start().await;
    let sql = &world.sql;
    sql.batch_execute("create role reader login").await.unwrap();
    let url = as_role(world.postgres.url(), "reader");
    let registry = world.instance_at(&url);
    let said = async || {
        let refused = all(&registry).await.unwrap_err();
        shared::telemetry::chain(&refused).to_string()
    };
    let refusal = said().await;
    assert!(
        refusal
            .contains("the role reader lacks rights: grant create on schema public to \"reader\";"),
        "{refusal}"
    );
    // Somebody else has made them.
    all(&world.instance()).await.unwrap();
    let grant_reading = "grant select on registry_migration to reader";
    sql.batch_execute(grant_reading).await.unwrap();
    let refusal = said().await;
    let grants = refusal.split("lacks rights: ").nth(1).unwrap();
    assert!(grants.starts_with("grant select, insert, update, delete on registry_artifact"));
    sql.batch_execute(grants).await.unwrap();
    all(&registry).await.unwrap();
}

/// The same database, for another role. The superuser's name is the part before the first `@`.
fn as_role(url: &str, role: &str) -> String {
    let (_, rest) = url.split_once("://").unwrap();
    let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
    format!("postgresql://{role}@{rest}")
}
