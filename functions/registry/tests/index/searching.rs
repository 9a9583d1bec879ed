//! Patterns, with and without what the database knows of them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use registry::index::IndexError;
use registry::registry::{Error, Registry};

use crate::world::{World, all, foreign};

/// The ids that a pattern finds; `None` for a pattern that is refused.
async fn found(registry: &Registry, pattern: &str) -> Option<BTreeSet<String>> {
    match registry.by_regex(pattern).await {
        Ok(found) => {
            let ids: Vec<String> = found.iter().map(|entry| entry.id.to_string()).collect();
            assert!(ids.is_sorted());
            Some(ids.into_iter().collect())
        }
        Err(Error::NotFound) => Some(BTreeSet::new()),
        Err(Error::Pattern(_)) => None,
        error => error.map(|_| None).unwrap(),
    }
}

/// Words that names and descriptions are made of, and patterns of parts of them.
const WORDS: [&str; 10] = [
    "bert",
    "Bert",
    "base",
    "large_v2",
    "100%",
    "über",
    "模型训练",
    "K\u{212A}k",
    "a\\b",
    "x",
];

fn texts() -> impl Strategy<Value = String> {
    prop::collection::vec(
        (
            0..WORDS.len(),
            prop::sample::select(vec!["", " ", "-", "\n", "_"]),
        ),
        1..6,
    )
    .prop_map(|words| {
        words
            .iter()
            .flat_map(|(word, gap)| [WORDS[*word], gap])
            .collect()
    })
}

fn patterns() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => (0..WORDS.len(), 0_usize..4, 1_usize..8).prop_map(|(word, from, length)| {
            let part: String = WORDS[word].chars().skip(from).take(length).collect();
            escape(&part)
        }),
        1 => prop::sample::select(vec![".*", "^", "$", r"\b", "(?i)", "[a-z]", r"\w+", "[bB]", ".", r"\s"])
            .prop_map(ToOwned::to_owned),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            1 => prop::collection::vec(inner.clone(), 2..4).prop_map(|branches| format!("({})", branches.join("|"))),
            1 => inner.prop_map(|part| format!("(?:{part})+")),
        ]
    })
}

/// A text as a pattern that finds it.
fn escape(text: &str) -> String {
    let special = |character: char| "\\%.+*?()|[]{}^$-".contains(character);
    let escaped = text.chars().map(|character| {
        if special(character) && character != '%' {
            format!("\\{character}")
        } else {
            character.to_string()
        }
    });
    escaped.collect()
}

#[test]
fn a_pattern_finds_the_same_with_an_index_without_one_and_without_its_extension() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let (world, plain) = runtime.block_on(async {
        let (world, plain) = (World::start().await, World::start().await);
        let without = "create schema extensions; create extension pg_trgm schema extensions";
        plain.sql.batch_execute(without).await.unwrap();
        (world, plain)
    });
    let strategy = (
        prop::collection::vec((texts(), texts()), 1..10),
        prop::collection::vec(patterns(), 12),
    );
    let config = Config {
        cases: 24,
        max_shrink_iters: 30,
        ..Config::default()
    };
    let tried = TestRunner::new(config).run(&strategy, |(artifacts, patterns)| {
        runtime.block_on(async {
            let by_bucket = world.without_index();
            let by_index = world.instance();
            let by_reading = by_bucket_and(&world, &plain);
            for (number, (name, readme)) in artifacts.iter().enumerate() {
                let url = format!("https://example.com/{number}");
                let id = number.to_string();
                world.put(&id, &foreign("model", name, &url, readme)).await;
            }
            for registry in [&by_index, &by_reading] {
                let order = registry::index::rebuild::Order::default();
                crate::world::rebuild(registry, &order).await;
            }
            for pattern in &patterns {
                let expected = found(&by_bucket, pattern).await;
                prop_assert_eq!(&found(&by_index, pattern).await, &expected, "{}", pattern);
                prop_assert_eq!(&found(&by_reading, pattern).await, &expected, "{}", pattern);
            }
            for number in 0..artifacts.len() {
                world.remove(&number.to_string()).await;
            }
            Ok(())
        })
    });
    tried.unwrap();
    let has_index = |world: &World| {
        runtime.block_on(
            world.count("select count(*) from pg_class where relname = 'registry_artifact_text'"),
        )
    };
    assert_eq!((has_index(&world), has_index(&plain)), (1, 0));
}

/// A registry in the bucket of one world and with the index of another.
fn by_bucket_and(bucket: &World, database: &World) -> Registry {
    let index = crate::support::index(database.postgres.url(), crate::support::BUCKET);
    bucket
        .without_index()
        .with_index(Some(std::sync::Arc::new(index)))
}

#[tokio::test]
async fn a_search_that_finds_too_much_says_so() {
    let world = World::start().await;
    let registry = world.instance();
    all(&registry).await.unwrap();
    world
        .sql
        .batch_execute(
            "insert into registry_artifact
                select number || '/', 1, 'e', 'name-' || number, 'model', 'text', null, true, 1
                from generate_series(100001, 110001) as number",
        )
        .await
        .unwrap();
    for pattern in ["name", "text", ".*", "n.*m", "x?"] {
        let refused = registry.by_regex(pattern).await;
        assert!(
            matches!(refused, Err(Error::Index(IndexError::TooBroad))),
            "{pattern}: {refused:?}"
        );
    }
    assert_eq!(found(&registry, "name-110001").await.unwrap().len(), 1);
    assert_eq!(found(&registry, "^name-10100.$").await.unwrap().len(), 10);
    assert_eq!(found(&registry, "(a+)+$").await.unwrap().len(), 0);
    assert_eq!(
        found(&registry, "((a{0,5000}){0,5000}){0,5000}").await,
        None
    );
    let all_of_a_name = "update registry_artifact set name = 'same' where kind is not null";
    world.sql.batch_execute(all_of_a_name).await.unwrap();
    let refused = registry.by_name(&"same".parse().unwrap()).await;
    assert!(matches!(refused, Err(Error::TooMany)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_at_once_share_a_few_connections() {
    let world = World::with(testkit::Postgres::start_own().await).await;
    let proxy = testkit::Proxy::start(world.postgres.address()).await;
    let url = world.postgres.url_through(proxy.address());
    let registry = std::sync::Arc::new(world.instance_at(&url));
    world
        .put("1", &foreign("model", "a", "https://example.com/1", "text"))
        .await;
    all(&registry).await.unwrap();
    // Nobody gets anywhere before all are there.
    world
        .sql
        .batch_execute("begin; lock table registry_artifact in access exclusive mode")
        .await
        .unwrap();
    let searches: Vec<_> = (0..8)
        .map(|_| {
            let registry = std::sync::Arc::clone(&registry);
            tokio::spawn(async move { registry.by_regex("text").await.map(drop) })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    world.sql.batch_execute("rollback").await.unwrap();
    let requests: Vec<_> = (0..64)
        .map(|_| {
            let registry = std::sync::Arc::clone(&registry);
            tokio::spawn(async move { all(&registry).await.map(drop) })
        })
        .collect();
    for request in searches.into_iter().chain(requests) {
        request.await.unwrap().unwrap();
    }
    assert!(proxy.connections() <= 6, "{}", proxy.connections());
}
