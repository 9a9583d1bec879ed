//! What can be done with artifacts, without HTTP, in every store.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use registry::artifact::{Id, Kind};
use registry::registry::{Change, Error, Page, Registry, Span, Wanted};
use registry::store::{Objects, StoreError};
use serde_json::json;
use support::{
    Break, Counter, Indexes, create, draft, in_memory_indexed, is_not_found, named, stores, tester,
};

const URL: &str = "https://huggingface.co/google-bert/bert-base-uncased";
const OTHER: &str = "https://huggingface.co/openai/whisper-tiny";

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_identical_registrations_one_succeeds() {
    let stores = stores().await;
    for objects in &stores.all {
        let registry = Arc::new(stores.indexes.registry(objects));
        let creators = (0..50).map(|_| {
            let registry = Arc::clone(&registry);
            tokio::spawn(async move { registry.create(draft(Kind::Model, URL)).await })
        });
        let mut created = Vec::new();
        for creator in join_all(creators).await {
            match creator.unwrap() {
                Ok((record, _)) => created.push(record.id),
                Err(error) => assert!(matches!(error, Error::Exists(_)), "{error:?}"),
            }
        }
        assert_eq!(created.len(), 1, "{}", objects.kind());
        assert_eq!(ids(&everything(&registry).await), created);
        let again = registry.create(draft(Kind::Model, URL)).await.unwrap_err();
        assert!(matches!(again, Error::Exists(Some(id)) if id == created[0]));
    }
}

#[tokio::test]
async fn the_same_url_may_be_a_model_and_code_and_the_same_name_may_have_two_urls() {
    let (registry, _indexes) = in_memory_indexed().await;
    create(&registry, named(Kind::Model, "a", URL)).await;
    create(&registry, named(Kind::Code, "a", URL)).await;
    create(&registry, named(Kind::Model, "a", OTHER)).await;
    assert_eq!(
        registry.by_name(&"a".parse().unwrap()).await.unwrap().len(),
        3
    );
}

#[tokio::test]
async fn a_claim_whose_artifact_never_came_is_respected_for_a_minute_and_then_taken_over() {
    let stores = stores().await;
    for objects in &stores.all {
        let registry = stores.indexes.registry(objects);
        let lost: Id = "1111111111".parse().unwrap();
        claim(objects, &lost, URL, 30).await;
        let refused = registry.create(draft(Kind::Model, URL)).await.unwrap_err();
        assert!(matches!(refused, Error::Exists(None)), "{refused:?}");

        claim(objects, &lost, URL, 90).await;
        let id = create(&registry, draft(Kind::Model, URL)).await;
        assert_ne!(id, lost);
        // Whoever was that slow cannot finish after all.
        let late = objects.create(&record_key(&lost), b"{}".to_vec()).await;
        assert!(matches!(late, Err(StoreError::Exists)));
        assert!(is_not_found(&registry.read(Kind::Model, &lost).await));
        assert_eq!(ids(&everything(&registry).await), [id]);
    }
}

#[tokio::test]
async fn a_claim_of_an_update_that_never_came_is_taken_over_and_the_update_refused() {
    let stores = stores().await;
    for objects in &stores.all {
        let registry = stores.indexes.registry(objects);
        let (record, etag) = registry.create(draft(Kind::Model, URL)).await.unwrap();
        claim(objects, &record.id, OTHER, 90).await;
        create(&registry, draft(Kind::Model, OTHER)).await;
        let late = objects
            .replace(&record_key(&record.id), b"{}".to_vec(), &etag)
            .await;
        assert!(matches!(late, Err(StoreError::Changed)));
        assert_eq!(registry.find(&record.id).await.unwrap().0.url, URL);
    }
}

#[tokio::test]
async fn a_claim_that_is_no_claim_does_not_bar_its_url() {
    let (registry, _indexes) = in_memory_indexed().await;
    let key = claim_key(URL).await;
    registry
        .objects()
        .create(&key, b"\xff{".to_vec())
        .await
        .unwrap();
    create(&registry, draft(Kind::Model, URL)).await;
}

#[tokio::test]
async fn an_update_moves_the_claim_with_the_url() {
    let stores = stores().await;
    for objects in &stores.all {
        let registry = stores.indexes.registry(objects);
        let id = create(&registry, named(Kind::Model, "a", URL)).await;
        update(&registry, &id, OTHER).await.unwrap();
        assert_eq!(registry.find(&id).await.unwrap().0.url, OTHER);
        let taken = registry
            .create(draft(Kind::Model, OTHER))
            .await
            .unwrap_err();
        assert!(matches!(taken, Error::Exists(Some(other)) if other == id));
        // There and back, and the same again.
        update(&registry, &id, URL).await.unwrap();
        update(&registry, &id, URL).await.unwrap();
        let second = create(&registry, named(Kind::Model, "a", OTHER)).await;
        let taken = update(&registry, &second, URL).await.unwrap_err();
        assert!(matches!(taken, Error::Exists(Some(other)) if other == id));
    }
}

#[tokio::test]
async fn an_update_must_name_the_artifact_and_may_ask_for_what_it_has_seen() {
    let (registry, _indexes) = in_memory_indexed().await;
    let (record, etag) = registry.create(named(Kind::Model, "a", URL)).await.unwrap();
    let change = |name: &str| Change {
        name: name.to_owned(),
        source: OTHER.parse().unwrap(),
        user: tester(),
        etag: Some(etag.clone()),
    };
    let update = async |kind, name| registry.update(kind, &record.id, &change(name)).await;
    assert!(matches!(
        update(Kind::Model, "b").await,
        Err(Error::OtherName)
    ));
    assert!(is_not_found(&update(Kind::Code, "a").await));
    update(Kind::Model, "a").await.unwrap();
    assert!(matches!(
        update(Kind::Model, "a").await,
        Err(Error::Changed)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_updates_all_happen_and_leave_one_artifact_per_url() {
    let stores = stores().await;
    for objects in &stores.all {
        let registry = Arc::new(stores.indexes.registry(objects));
        let (record, _) = registry.create(named(Kind::Model, "a", URL)).await.unwrap();
        let id = record.id;
        let writers = (0..6).map(|number| {
            let (registry, id) = (Arc::clone(&registry), id.clone());
            let url = format!("https://example.com/{}", number % 3);
            tokio::spawn(async move { update(&registry, &id, &url).await })
        });
        let mut revisions: Vec<u64> = Vec::new();
        for writer in join_all(writers).await {
            match writer.unwrap() {
                Ok(revision) => revisions.push(revision),
                Err(error) => assert!(matches!(error, Error::Busy), "{error:?}"),
            }
        }
        revisions.sort_unstable();
        revisions.dedup();
        let (record, _) = registry.find(&id).await.unwrap();
        assert_eq!(revisions.last(), Some(&record.revision));
        // The URL it has is taken; the others are free at once.
        for number in 0..3 {
            let url = format!("https://example.com/{number}");
            let created = registry.create(draft(Kind::Model, &url)).await;
            assert_eq!(created.is_err(), url == record.url, "{url}: {created:?}");
        }
    }
}

#[tokio::test]
async fn a_deletion_takes_the_artifact_its_files_and_its_claim_and_nothing_else() {
    let stores = stores().await;
    for objects in &stores.all {
        let registry = stores.indexes.registry(objects);
        let id = create(&registry, draft(Kind::Dataset, URL)).await;
        let other = create(&registry, draft(Kind::Dataset, OTHER)).await;
        for id in [&id, &other] {
            let file = format!("artifacts/{id}/files/a.bin");
            objects.create(&file, b"bytes".to_vec()).await.unwrap();
        }
        assert!(is_not_found(
            &registry.delete(Kind::Model, &id, &tester()).await
        ));
        registry
            .delete(Kind::Dataset, &id, &tester())
            .await
            .unwrap();
        assert!(is_not_found(
            &registry.delete(Kind::Dataset, &id, &tester()).await
        ));
        assert!(is_not_found(&registry.find(&id).await));
        let mut left = objects.list("", None, 100).await.unwrap();
        // What was done to it stays.
        left.retain(|object| !object.key.starts_with("audit/"));
        assert_eq!(left.len(), 3, "{left:?}");
        assert!(left.iter().all(|object| !object.key.contains(id.as_str())));
        let again = create(&registry, draft(Kind::Dataset, URL)).await;
        assert_eq!(ids(&everything(&registry).await), sorted([again, other]));
    }
}

#[tokio::test]
async fn queries_are_a_union_by_exact_name_and_kind() {
    let (registry, _indexes) = in_memory_indexed().await;
    assert!(everything(&registry).await.artifacts.is_empty());
    for (kind, name) in [
        (Kind::Model, "bert"),
        (Kind::Dataset, "bert"),
        (Kind::Code, "bert"),
        (Kind::Model, "Bert"),
        (Kind::Model, "bert-base"),
    ] {
        let url = format!("https://example.com/{kind}/{name}");
        create(&registry, named(kind, name, &url)).await;
    }
    let names = async |wanted: Wanted| {
        let page = registry.query(&wanted, &Span::default()).await.unwrap();
        let mut names: Vec<String> = page
            .artifacts
            .iter()
            .map(|entry| format!("{} {}", entry.kind, entry.name))
            .collect();
        names.sort();
        names.join(", ")
    };
    let none = Wanted::default;
    for (wanted, found) in [
        (none(), ""),
        (none().name("nothing", &[]), ""),
        (
            none().name("bert", &[]),
            "code bert, dataset bert, model bert",
        ),
        (none().name("bert", &[Kind::Code]), "code bert"),
        (
            none()
                .name("bert", &[Kind::Code])
                .name("bert", &[Kind::Model]),
            "code bert, model bert",
        ),
        (
            none()
                .name("bert", &[])
                .name("bert", &[Kind::Model])
                .name("Bert", &[]),
            "code bert, dataset bert, model Bert, model bert",
        ),
        (
            none()
                .name("*", &[Kind::Model, Kind::Model])
                .name("bert-base", &[]),
            "model Bert, model bert, model bert-base",
        ),
        (
            none().name("*", &[]),
            "code bert, dataset bert, model Bert, model bert, model bert-base",
        ),
    ] {
        assert_eq!(names(wanted.clone()).await, found, "{wanted:?}");
    }
    let exact = registry.by_name(&"Bert".parse().unwrap()).await.unwrap();
    assert_eq!(exact.len(), 1);
    assert!(is_not_found(
        &registry.by_name(&"ber".parse().unwrap()).await
    ));
}

#[tokio::test]
async fn pages_neither_repeat_nor_miss_what_was_there_while_others_write() {
    let stores = stores().await;
    for objects in &stores.all {
        let registry = stores.indexes.registry(objects);
        let mut there = Vec::new();
        for number in 0..25 {
            let url = format!("https://example.com/{number}");
            there.push(create(&registry, draft(Kind::Model, &url)).await);
        }
        let there = sorted(there);
        let wanted = Wanted::default().name("*", &[]);
        let mut span = Span {
            after: None,
            limit: Some(10),
        };
        let (mut seen, mut sizes) = (Vec::new(), Vec::new());
        loop {
            let page = registry.query(&wanted, &span).await.unwrap();
            sizes.push(page.artifacts.len());
            seen.extend(ids(&page));
            let Some(next) = page.next else { break };
            // The last one of the page goes, and another one comes.
            let last = seen.last().unwrap();
            registry.delete(Kind::Model, last, &tester()).await.unwrap();
            let url = format!("https://example.com/new/{}", seen.len());
            create(&registry, draft(Kind::Model, &url)).await;
            // A client hands the text back.
            span.after = Some(next.to_string().parse().unwrap());
        }
        assert!(
            sizes[..sizes.len() - 1].iter().all(|size| *size == 10),
            "{sizes:?}"
        );
        let mut once = seen.clone();
        once.dedup();
        assert_eq!(once, seen);
        assert!(there.iter().all(|id| seen.contains(id)));
        // Clients that count instead.
        let counted = Span {
            after: Some("20".parse().unwrap()),
            limit: Some(10),
        };
        let all = ids(&everything(&registry).await);
        let page = registry.query(&wanted, &counted).await.unwrap();
        assert_eq!(ids(&page), all[20..]);
    }
}

#[tokio::test]
async fn patterns_are_searched_in_names_and_descriptions() {
    let stores = stores().await;
    for objects in &stores.all {
        let registry = stores.indexes.registry(objects);
        let by_name = create(&registry, named(Kind::Model, "audience-classifier", URL)).await;
        let by_text = create(&registry, named(Kind::Model, "other", OTHER)).await;
        describe(
            objects,
            &by_text,
            "# Title\nbetter than audience-classifier",
        )
        .await;
        support::catch_up(&registry).await;
        let found = async |pattern: &str| match registry.by_regex(pattern).await {
            Err(Error::NotFound) => Vec::new(),
            found => found
                .unwrap()
                .iter()
                .map(|entry| entry.id.clone())
                .collect(),
        };
        assert_eq!(
            found("^audience-classifier$").await,
            std::slice::from_ref(&by_name)
        );
        assert_eq!(
            found(".*audience-classifier.*").await,
            sorted([by_name, by_text.clone()])
        );
        assert_eq!(found("better").await, [by_text]);
        assert!(found("nowhere").await.is_empty());
        assert!(matches!(
            registry.by_regex("(").await,
            Err(Error::Pattern(_))
        ));
    }
}

#[tokio::test]
async fn what_others_wrote_is_found_and_what_is_damaged_left_out() {
    let stores = stores().await;
    for objects in &stores.all {
        let registry = stores.indexes.registry(objects);
        for (id, text) in [
            (
                "0001",
                r#"{"metadata":{"name":"old","id":1,"type":"model"},"data":{"url":"https://a.example","hf_data":"[\"{\\\"readme_text\\\": \\\"found\\\"}\"]"}}"#,
            ),
            ("0002", "{"),
            ("0003", r#"{"metadata":{"name":"no type"}}"#),
        ] {
            let key = format!("artifacts/{id}/metadata.json");
            objects
                .create(&key, text.as_bytes().to_vec())
                .await
                .unwrap();
        }
        objects
            .create("artifacts/x y/metadata.json", b"{}".to_vec())
            .await
            .unwrap();
        let old: Id = "0001".parse().unwrap();
        assert_eq!(
            ids(&everything(&registry).await),
            std::slice::from_ref(&old)
        );
        assert_eq!(registry.by_regex("found").await.unwrap().len(), 1);
        let damaged = registry.find(&"0002".parse().unwrap()).await;
        assert!(matches!(damaged, Err(Error::Unreadable(_))));
        registry.delete(Kind::Model, &old, &tester()).await.unwrap();
        assert!(is_not_found(&registry.find(&old).await));
    }
}

#[tokio::test]
async fn a_reset_leaves_nothing_and_bars_nothing() {
    let stores = stores().await;
    for objects in &stores.all {
        let registry = stores.indexes.registry(objects);
        create(&registry, draft(Kind::Model, URL)).await;
        objects
            .create("users/admin.json", b"{}".to_vec())
            .await
            .unwrap();
        registry.reset(&tester()).await.unwrap();
        assert!(everything(&registry).await.artifacts.is_empty());
        // The registration and the deletion.
        assert_eq!(registry.trail().verify(None).await.unwrap().entries, 2);
        let left = objects.list("", None, 10).await.unwrap();
        let left: Vec<&str> = left.iter().map(|object| object.key.as_str()).collect();
        assert_eq!(
            left,
            ["audit/00000000000000000001.json", "users/admin.json"]
        );
        create(&registry, draft(Kind::Model, URL)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_artifacts_are_eight_rounds_cold_and_one_listing_warm() {
    let (store, _folder) = support::embedded().await;
    let indexes = Indexes::start().await;
    let writer = Arc::new(indexes.registry(&Counter::default().bucket(&store)));
    let writers = (0..500).map(|number| {
        let writer = Arc::clone(&writer);
        let draft = draft(Kind::Model, &format!("https://example.com/{number}"));
        tokio::spawn(async move { create(&writer, draft).await })
    });
    for created in join_all(writers).await {
        created.unwrap();
    }
    // Whoever asks first makes the index.
    everything(&writer).await;
    store.faults().set_latency(Duration::from_millis(15));
    let counter = Counter::default();
    let registry = indexes.registry(&counter.bucket(&store));
    assert_eq!(everything(&registry).await.artifacts.len(), 500);
    // With 64 at a time, 500 are eight rounds: with the listing, nine times the latency of S3. An index has it all.
    let (cold, listing, read) = if support::has_index() {
        ((0, 0, 0), (0, 0, 0), (0, 0, 0))
    } else {
        ((1, 500, 64), (1, 0, 1), (1, 1, 1))
    };
    assert_eq!(counter.take(), cold);
    assert_eq!(everything(&registry).await.artifacts.len(), 500);
    assert_eq!(counter.take(), listing);

    create(&writer, draft(Kind::Model, URL)).await;
    let all = ids(&everything(&registry).await);
    assert_eq!((all.len(), counter.take()), (501, read));
    registry.read(Kind::Model, &all[0]).await.unwrap();
    assert_eq!(counter.take(), (0, 1, 1));
}

#[tokio::test]
async fn a_write_that_breaks_off_leaves_nothing_half_made_and_bars_nothing() {
    let (store, _folder) = support::embedded().await;
    let counter = Counter::default();
    let indexes = Indexes::start().await;
    let registry = indexes.registry(&counter.bucket(&store));
    let mut registered = 0;
    for (number, (place, prefix, succeeds)) in [
        (Break::Request, "claims/", false),
        (Break::Answer, "claims/", true),
        (Break::Request, "artifacts/", false),
        (Break::Answer, "artifacts/", true),
    ]
    .into_iter()
    .enumerate()
    {
        let url = format!("https://example.com/{number}");
        counter.break_next(place, prefix);
        let first = registry.create(draft(Kind::Model, &url)).await;
        assert_eq!(first.is_ok(), succeeds, "{place:?} {prefix}: {first:?}");
        registered += usize::from(succeeds);
        assert_eq!(everything(&registry).await.artifacts.len(), registered);
        if !succeeds {
            create(&registry, draft(Kind::Model, &url)).await;
            registered += 1;
        }
    }
    let id = create(&registry, named(Kind::Model, "a", URL)).await;
    for place in [Break::Request, Break::Answer] {
        counter.break_next(place, "artifacts/");
        let first = update(&registry, &id, OTHER).await;
        assert_eq!(first.is_ok(), place == Break::Answer, "{first:?}");
        update(&registry, &id, OTHER).await.unwrap();
        update(&registry, &id, URL).await.unwrap();
    }
}

async fn everything(registry: &Registry) -> Page {
    let wanted = Wanted::default().name("*", &[]);
    registry.query(&wanted, &Span::default()).await.unwrap()
}

async fn update(registry: &Registry, id: &Id, url: &str) -> Result<u64, Error> {
    let change = Change {
        name: "a".to_owned(),
        source: url.parse().unwrap(),
        user: tester(),
        etag: None,
    };
    let updated = registry.update(Kind::Model, id, &change).await;
    updated.map(|(record, _)| record.revision)
}

fn ids(page: &Page) -> Vec<Id> {
    page.artifacts
        .iter()
        .map(|entry| entry.id.clone())
        .collect()
}

fn sorted(ids: impl Into<Vec<Id>>) -> Vec<Id> {
    let mut ids = ids.into();
    ids.sort();
    ids
}

fn record_key(id: &Id) -> String {
    format!("artifacts/{id}/metadata.json")
}

/// Where the claim to a model's URL is: told by the registry itself.
async fn claim_key(url: &str) -> String {
    let objects = Objects::Memory(registry::store::MemoryObjects::default());
    let registry = support::registry(&objects);
    create(&registry, draft(Kind::Model, url)).await;
    objects.list("claims/", None, 1).await.unwrap()[0]
        .key
        .clone()
}

/// Writes the claim that a crash left behind so many seconds ago.
async fn claim(objects: &Objects, id: &Id, url: &str, seconds: i64) {
    let key = claim_key(url).await;
    let then = time::OffsetDateTime::now_utc() - time::Duration::seconds(seconds);
    let then = then
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let claim = json!({ "id": id, "kind": "model", "url": url, "claimed_at": then, "nonce": "1" });
    objects.delete(&key).await.unwrap();
    objects
        .create(&key, claim.to_string().into_bytes())
        .await
        .unwrap();
}

/// Gives an artifact a description, as whoever registers it does.
async fn describe(objects: &Objects, id: &Id, readme: &str) {
    let (bytes, etag) = objects.get(&record_key(id)).await.unwrap().unwrap();
    let mut record: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    record["data"]["hf_data"] = json!([{ "readme_text": readme }]);
    let bytes = record.to_string().into_bytes();
    objects
        .replace(&record_key(id), bytes, &etag)
        .await
        .unwrap();
}
