//! The bucket compared with the index.

use std::time::Duration;

use registry::artifact::Kind;
use registry::index::rebuild::{Order, Progress};
use registry::registry::Error;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

use crate::support::{self, Counter, create, draft, named, tester};
use crate::world::{World, all, differences, foreign, rebuild, rebuild_within};

#[tokio::test]
async fn an_index_that_is_lost_or_wrong_is_made_anew_from_the_bucket() {
    let world = World::start().await;
    let registry = world.instance();
    for number in 0..30 {
        let url = format!("https://example.com/{number}");
        create(&registry, named(Kind::Model, &format!("n{number}"), &url)).await;
    }
    let truth = world.truth().await;
    assert_eq!(all(&registry).await.unwrap(), truth);

    // What was emptied is noticed by the next query.
    world
        .sql
        .batch_execute("truncate registry_artifact, registry_relation")
        .await
        .unwrap();
    assert_eq!(all(&registry).await.unwrap(), truth);
    assert_eq!(differences(&registry).await, (0, 0, 0));

    // So is a database that lost all tables, by the next connection.
    world
        .sql
        .batch_execute(
            "drop table registry_artifact, registry_relation, registry_unsettled, registry_rebuild,
                registry_token, registry_login, registry_trail, registry_migration",
        )
        .await
        .unwrap();
    assert_eq!(all(&registry).await.unwrap(), truth);
    assert_eq!(all(&world.instance()).await.unwrap(), truth);

    // What somebody has done to some rows, the next comparison notices.
    for damage in [
        "delete from registry_artifact where name like 'n1%'",
        "update registry_artifact set etag = 'other' where name like 'n2%'",
        "insert into registry_artifact select '99' || place, 1, etag, name, kind, '', null, true, 1 from registry_artifact
            where name like 'n3%'",
        "update registry_artifact set format = 0 where name = 'n4'",
        "update registry_artifact set etag = null, name = null, kind = null where name = 'n5'",
    ] {
        world.sql.batch_execute(damage).await.unwrap();
    }
    assert_eq!(differences(&registry).await, (12, 12, 1));
    let counts = rebuild(&registry, &Order::default()).await;
    assert_eq!(
        (counts.missing, counts.different, counts.surplus),
        (12, 12, 1)
    );
    assert_eq!((counts.written, counts.failed), (25, 0));
    assert_eq!(all(&registry).await.unwrap(), truth);

    // And if nothing tells of it, reading everything does.
    let damage = "update registry_artifact set name = 'x' where kind is not null";
    world.sql.batch_execute(damage).await.unwrap();
    let counts = rebuild(&registry, &Order::default()).await;
    assert_eq!(counts.written, 0);
    let thorough = Order {
        thorough: true,
        ..Order::default()
    };
    let counts = rebuild(&registry, &thorough).await;
    assert_eq!((counts.written, counts.different), (30, 0));
    assert_eq!(all(&registry).await.unwrap(), truth);
}

#[tokio::test]
async fn only_what_the_index_does_not_know_is_read() {
    let world = World::start().await;
    let counter = Counter::default();
    let index = std::sync::Arc::new(support::index(world.postgres.url(), support::BUCKET));
    let registry = support::registry(&counter.bucket(&world.store));
    let registry = registry.with_index(Some(index));
    for number in 0..20 {
        create(
            &registry,
            draft(Kind::Model, &format!("https://example.com/{number}")),
        )
        .await;
    }
    rebuild(&registry, &Order::default()).await;
    counter.take();
    let counts = rebuild(&registry, &Order::default()).await;
    assert_eq!((counts.listed, counts.known, counts.written), (20, 20, 0));
    assert_eq!(counter.take(), (1, 0, 1));
    // One that another registry has updated, which has no index: the record, and its claim.
    let other = world.without_index();
    let (id, (name, _)) = world.truth().await.pop_first().unwrap();
    let change = crate::world::change(&name, "https://example.com/new");
    other.update(Kind::Model, &id, &change).await.unwrap();
    let counts = rebuild(&registry, &Order::default()).await;
    assert_eq!(
        (counts.different, counts.written, counts.claimed),
        (1, 1, 0)
    );
    assert_eq!(counter.take(), (1, 2, 1));
}

#[tokio::test]
async fn artifacts_of_other_writers_are_found_and_their_urls_become_theirs() {
    let world = World::start().await;
    let registry = world.instance();
    all(&registry).await.unwrap();
    let url = "https://example.com/foreign";
    world
        .put("f-1", &foreign("model", "foreign", url, "unheard of"))
        .await;
    // Ids in whose names one is the beginning of another.
    world.put("f", &foreign("code", "foreign", url, "")).await;
    world
        .put("f-", &foreign("code", "odd url", "ftp://odd", ""))
        .await;
    world.put("0", &json!({ "neither": "nor" })).await;
    assert!(all(&registry).await.unwrap().is_empty());
    let counts = rebuild(&registry, &Order::default()).await;
    assert_eq!((counts.listed, counts.missing, counts.written), (4, 4, 4));
    assert_eq!(counts.claimed, 2);
    assert_eq!(all(&registry).await.unwrap(), world.truth().await);
    assert_eq!(all(&registry).await.unwrap().len(), 3);
    assert_eq!(registry.by_regex("unheard").await.unwrap().len(), 1);
    let taken = registry.create(draft(Kind::Model, url)).await.unwrap_err();
    assert!(matches!(taken, Error::Exists(Some(id)) if id.as_str() == "f-1"));
    assert_eq!(differences(&registry).await, (0, 0, 0));
    let counts = rebuild(&registry, &Order::default()).await;
    assert_eq!((counts.written, counts.claimed), (0, 0));

    // A second one with the URL gets it when the first is gone.
    world.put("g", &foreign("model", "second", url, "")).await;
    let counts = rebuild(&registry, &Order::default()).await;
    assert_eq!((counts.written, counts.claimed), (1, 0));
    registry
        .delete(Kind::Model, &"f-1".parse().unwrap(), &tester())
        .await
        .unwrap();
    let counts = rebuild(&registry, &Order::default()).await;
    assert_eq!((counts.written, counts.claimed), (1, 1));
    let taken = registry.create(draft(Kind::Model, url)).await.unwrap_err();
    assert!(matches!(taken, Error::Exists(Some(id)) if id.as_str() == "g"));

    // What they delete is gone.
    for id in ["f", "f-", "g"] {
        world.remove(id).await;
    }
    let counts = rebuild(&registry, &Order::default()).await;
    assert_eq!((counts.surplus, counts.written), (3, 3));
    assert!(all(&registry).await.unwrap().is_empty());
}

#[tokio::test]
async fn texts_that_a_database_cannot_hold_are_found_all_the_same() {
    let world = World::start().await;
    let registry = world.instance();
    let long = "n".repeat(5_000);
    let big = format!("{}needle", "hay ".repeat(300_000));
    world
        .put(
            "1",
            &foreign("model", "a\0b", "https://example.com/1", "nul \0 inside"),
        )
        .await;
    world
        .put("2", &foreign("model", &long, "https://example.com/2", ""))
        .await;
    world
        .put(
            "3",
            &foreign("model", "\u{F0000}0", "https://example.com/3", ""),
        )
        .await;
    world
        .put("4", &foreign("model", "big", "https://example.com/4", &big))
        .await;
    let truth = world.truth().await;
    assert_eq!(truth.len(), 4);
    assert_eq!(all(&registry).await.unwrap(), truth);
    let wanted = |name: &str| registry::registry::Wanted::default().name(name, &[]);
    for name in ["a\0b", &long, "\u{F0000}0"] {
        let page = registry
            .query(&wanted(name), &registry::registry::Span::default())
            .await;
        assert_eq!(page.unwrap().artifacts.len(), 1, "{name:?}");
    }
    for (pattern, found) in [
        (r"nul \x00 ins", 1),
        ("n{900}", 1),
        ("needle", 1),
        (r"a\x00b", 1),
    ] {
        assert_eq!(
            registry.by_regex(pattern).await.unwrap().len(),
            found,
            "{pattern}"
        );
    }
}

#[tokio::test]
async fn a_place_that_was_barred_is_free_after_a_day() {
    let world = World::start().await;
    let registry = world.instance();
    let withdrawn = async |id, hours| {
        let at = OffsetDateTime::now_utc() - time::Duration::hours(hours);
        let at = at.format(&Rfc3339).unwrap();
        world.put(id, &json!({ "withdrawn_at": at })).await;
    };
    withdrawn("1", 1).await;
    withdrawn("2", 25).await;
    rebuild(&registry, &Order::default()).await;
    let listed = world.objects().list("", None, 10).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].key, "artifacts/1/metadata.json");
    withdrawn("1", 25).await;
    let later = "update registry_artifact set settled_at = settled_at - interval '25 hours'";
    world.sql.batch_execute(later).await.unwrap();
    rebuild(&registry, &Order::default()).await;
    assert!(world.objects().list("", None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_comparison_that_runs_out_of_time_goes_on_where_it_ended() {
    let world = World::start().await;
    let registry = world.instance();
    let other = world.without_index();
    for number in 0..1_500 {
        let url = format!("https://example.com/{number}");
        world
            .put(&format!("{number:05}"), &foreign("code", "n", &url, ""))
            .await;
    }
    world.store.faults().set_latency(Duration::from_millis(10));
    let mut runs = 0;
    let counts = loop {
        runs += 1;
        // Longer each time: a machine that is busy gets to the end as well.
        let time = Duration::from_millis(400) + Duration::from_millis(50) * runs;
        let rebuilt = rebuild_within(&registry, &Order::default(), time).await;
        match rebuilt.state {
            Progress::Finished => break rebuilt.counts,
            Progress::Unfinished | Progress::Running if runs < 200 => {}
            state => panic!("{state:?}"),
        }
    };
    assert!(runs > 1);
    assert_eq!(counts.listed, 1_500);
    let claims = world.objects().list("claims/", None, 2_000).await.unwrap();
    assert_eq!(claims.len(), 1_500);
    world.store.faults().clear();
    assert_eq!(all(&registry).await.unwrap(), all(&other).await.unwrap());
    // Not again too soon, if that is what is asked for.
    let daily = Order {
        every_hours: Some(24),
        ..Order::default()
    };
    let rebuilt = rebuild_within(&registry, &daily, Duration::from_mins(1)).await;
    assert_eq!(rebuilt.state, Progress::NotDue);
    let earlier = "update registry_rebuild set finished_at = finished_at - interval '25 hours'";
    world.sql.batch_execute(earlier).await.unwrap();
    let rebuilt = rebuild_within(&registry, &daily, Duration::from_mins(1)).await;
    assert_eq!(rebuilt.state, Progress::Finished);
}

#[tokio::test]
async fn one_instance_at_a_time_compares_and_a_lost_one_is_waited_for_no_longer_than_it_had() {
    let world = World::start().await;
    let registry = world.instance();
    rebuild(&registry, &Order::default()).await;
    let leased = "update registry_rebuild set finished_at = null,
        leased_until = current_timestamp + interval '1 minute'";
    world.sql.batch_execute(leased).await.unwrap();
    let order = Order::default();
    let rebuilt = rebuild_within(&registry, &order, Duration::from_secs(5)).await;
    assert_eq!(rebuilt.state, Progress::Running);
    let over = "update registry_rebuild set leased_until = current_timestamp - interval '1 second'";
    world.sql.batch_execute(over).await.unwrap();
    let rebuilt = rebuild_within(&registry, &order, Duration::from_secs(5)).await;
    assert_eq!(rebuilt.state, Progress::Finished);
}

#[tokio::test]
async fn an_object_that_cannot_be_read_does_not_hold_up_the_others() {
    let world = World::start().await;
    let registry = world.instance();
    all(&registry).await.unwrap();
    for number in 0..5 {
        let url = format!("https://example.com/{number}");
        world
            .put(&number.to_string(), &foreign("code", "n", &url, ""))
            .await;
    }
    world.store.faults().inject(
        embedded_s3::Fault::AccessDenied,
        embedded_s3::Target {
            operation: Some("GetObject".to_owned()),
            key: Some(crate::world::key("3")),
            ..embedded_s3::Target::default()
        },
    );
    let counts = rebuild(&registry, &Order::default()).await;
    assert_eq!((counts.missing, counts.written, counts.failed), (5, 4, 1));
    world.store.faults().clear();
    let counts = rebuild(&registry, &Order::default()).await;
    assert_eq!((counts.missing, counts.written, counts.failed), (1, 1, 0));
}

#[tokio::test]
async fn the_index_of_another_bucket_is_neither_asked_nor_touched() {
    let world = World::start().await;
    let registry = world.instance();
    create(&registry, draft(Kind::Model, "https://example.com/1")).await;
    all(&registry).await.unwrap();
    let before = world.count("select count(*) from registry_artifact").await;
    let index = std::sync::Arc::new(support::index(world.postgres.url(), "another"));
    let stranger = support::registry(&world.objects()).with_index(Some(index));
    let draft = draft(Kind::Model, "https://example.com/2");
    let refusals = [
        all(&stranger).await.map(drop).unwrap_err(),
        stranger.create(draft).await.map(drop).unwrap_err(),
        stranger
            .rebuild_index(&Order::default(), Instant::now() + Duration::from_secs(5))
            .await
            .map(drop)
            .unwrap_err(),
    ];
    for refusal in refusals {
        assert!(
            refusal.to_string().contains("registry: give this"),
            "{refusal}"
        );
    }
    assert_eq!(
        world.count("select count(*) from registry_artifact").await,
        before
    );
    assert_eq!(world.truth().await.len(), 1);
}

#[tokio::test]
async fn what_nobody_needs_any_more_is_forgotten() {
    let world = World::start().await;
    let registry = world.instance();
    let mut ids = Vec::new();
    for number in 0..4 {
        let url = format!("https://example.com/{number}");
        ids.push(create(&registry, draft(Kind::Model, &url)).await);
    }
    all(&registry).await.unwrap();
    for id in &ids[..3] {
        registry.delete(Kind::Model, id, &tester()).await.unwrap();
    }
    let tend = async || {
        let tended = registry
            .tend_index(Instant::now() + Duration::from_secs(10))
            .await;
        tended.unwrap()
    };
    assert_eq!(tend().await.purged, 0);
    world
        .sql
        .batch_execute(
            "update registry_artifact set settled_at = settled_at - interval '25 hours';
            insert into registry_token values (gen_random_uuid(), 1, current_timestamp - interval '1 second'),
                (gen_random_uuid(), 1, current_timestamp + interval '1 hour');
            insert into registry_login values ('a', 1, current_timestamp, current_timestamp - interval '1 second'),
                ('b', 1, current_timestamp, current_timestamp + interval '1 hour');
            insert into registry_unsettled values ('1/', gen_random_uuid(), current_timestamp, current_timestamp)",
        )
        .await
        .unwrap();
    let tended = tend().await;
    assert_eq!((tended.looked_after, tended.purged), (1, 5));
    assert_eq!(
        world.count("select count(*) from registry_artifact").await,
        2
    );
    assert_eq!(world.unsettled().await, 0);
    assert_eq!(all(&registry).await.unwrap().len(), 1);
}
