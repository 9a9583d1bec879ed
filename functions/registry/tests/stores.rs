//! What every store promises, whichever it is.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::collections::BTreeSet;

use futures_util::future::join_all;
use registry::store::{BucketObjects, Etag, MemoryObjects, Objects, SqliteObjects, StoreError};
use shared::s3::{S3, Settings};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Keys that other programs trip over.
const ODD_KEYS: [&str; 12] = [
    "odd/a b.json",
    "odd/a+b",
    "odd/a%2Fb",
    "odd/a&b=c?d#e",
    "odd/..",
    "odd/../x",
    "odd//double",
    "odd/ends/",
    "odd/\u{7f}\u{1f}",
    "odd/ü/😀",
    "odd/\"quotes'",
    "odd/<xml>&amp;",
];

#[tokio::test(flavor = "multi_thread")]
async fn s3_in_memory_keeps_the_promises() {
    let (store, _folder) = support::embedded().await;
    let bucket = S3::with_client(store.client()).bucket("made-here");
    assert!(bucket.ensure().await.unwrap());
    assert!(!bucket.ensure().await.unwrap());
    keeps_the_promises(&Objects::S3(BucketObjects::new(bucket))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_over_tcp_keeps_the_promises() {
    let (store, _folder) = support::embedded().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { store.serve(listener, std::future::pending()).await });
    let settings = Settings {
        region: Some("us-east-1".to_owned()),
        endpoint: Some(endpoint),
        credentials: Some(aws_credential_types::Credentials::new(
            "test", "secret", None, None, "test",
        )),
    };
    let bucket = S3::new(settings).bucket("made-here");
    assert!(bucket.ensure().await.unwrap());
    keeps_the_promises(&Objects::S3(BucketObjects::new(bucket))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_promises() {
    let folder = TempDir::new().unwrap();
    let objects = SqliteObjects::open(&folder.path().join("registry.db"))
        .await
        .unwrap();
    keeps_the_promises(&Objects::Sqlite(objects)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_promises() {
    keeps_the_promises(&Objects::Memory(MemoryObjects::default())).await;
}

#[tokio::test]
async fn what_is_in_an_sqlite_file_is_there_for_the_next_process_and_for_another_one() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("registry.db");
    let first = Objects::Sqlite(SqliteObjects::open(&file).await.unwrap());
    let etag = first.create("a", b"1".to_vec()).await.unwrap();
    let second = Objects::Sqlite(SqliteObjects::open(&file).await.unwrap());
    second.replace("a", b"2".to_vec(), &etag).await.unwrap();
    assert!(matches!(
        first.replace("a", b"3".to_vec(), &etag).await,
        Err(StoreError::Changed)
    ));
    assert_eq!(first.get("a").await.unwrap().unwrap().0, b"2");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("registry.db");
    std::fs::write(&file, "this is a text, and long enough to be looked at").unwrap();
    let refused = SqliteObjects::open(&file).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
}

async fn keeps_the_promises(objects: &Objects) {
    reads_what_was_written(objects).await;
    one_of_many_creators_wins(objects).await;
    no_update_is_lost(objects).await;
    deletes_what_was_seen(objects).await;
    takes_odd_keys(objects).await;
    lists_in_order_and_by_page(objects).await;
}

async fn reads_what_was_written(objects: &Objects) {
    assert_eq!(objects.get("absent").await.unwrap(), None);
    let etag = objects.create("present", b"one".to_vec()).await.unwrap();
    assert_eq!(
        objects.get("present").await.unwrap(),
        Some((b"one".to_vec(), etag.clone()))
    );
    assert!(matches!(
        objects.create("present", b"two".to_vec()).await,
        Err(StoreError::Exists)
    ));
    let next = objects.replace("present", Vec::new(), &etag).await.unwrap();
    assert_ne!(next, etag);
    assert_eq!(
        objects.get("present").await.unwrap(),
        Some((Vec::new(), next))
    );
}

async fn one_of_many_creators_wins(objects: &Objects) {
    let creators = (0..16).map(|number: u8| {
        let objects = objects.clone();
        tokio::spawn(async move { (number, objects.create("raced", vec![number]).await) })
    });
    let mut winners = Vec::new();
    for creator in join_all(creators).await {
        match creator.unwrap() {
            (number, Ok(etag)) => winners.push((vec![number], etag)),
            (_, Err(error)) => assert!(matches!(error, StoreError::Exists), "{error:?}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(objects.get("raced").await.unwrap(), winners.pop());
}

async fn no_update_is_lost(objects: &Objects) {
    objects.create("sum", b"0".to_vec()).await.unwrap();
    let writers = (0..8).map(|_| {
        let objects = objects.clone();
        tokio::spawn(async move {
            for _ in 0..5 {
                add_one(&objects).await;
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    assert_eq!(objects.get("sum").await.unwrap().unwrap().0, b"40");
    let stale = Etag::new("0123456789abcdef0123456789abcdef");
    for key in ["sum", "absent"] {
        assert!(matches!(
            objects.replace(key, b"x".to_vec(), &stale).await,
            Err(StoreError::Changed)
        ));
    }
}

async fn add_one(objects: &Objects) {
    loop {
        let (bytes, etag) = objects.get("sum").await.unwrap().unwrap();
        let sum: u32 = String::from_utf8(bytes).unwrap().parse().unwrap();
        let next = (sum + 1).to_string().into_bytes();
        match objects.replace("sum", next, &etag).await {
            Ok(_) => return,
            Err(StoreError::Changed) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn deletes_what_was_seen(objects: &Objects) {
    let old = objects.create("gone", b"1".to_vec()).await.unwrap();
    let new = objects.replace("gone", b"2".to_vec(), &old).await.unwrap();
    assert!(matches!(
        objects.delete_if("gone", &old).await,
        Err(StoreError::Changed)
    ));
    objects.delete_if("gone", &new).await.unwrap();
    assert!(matches!(
        objects.delete_if("gone", &new).await,
        Err(StoreError::Changed)
    ));
    assert_eq!(objects.get("gone").await.unwrap(), None);
    objects.delete("gone").await.unwrap();
    objects.create("gone", b"3".to_vec()).await.unwrap();
    objects.delete("gone").await.unwrap();
    assert_eq!(objects.get("gone").await.unwrap(), None);
}

async fn takes_odd_keys(objects: &Objects) {
    for key in ODD_KEYS {
        objects.create(key, key.as_bytes().to_vec()).await.unwrap();
    }
    for key in ODD_KEYS {
        let (bytes, _) = objects.get(key).await.unwrap().unwrap();
        assert_eq!(bytes, key.as_bytes(), "{key}");
    }
    let listed: BTreeSet<String> = keys(objects, "odd/", None, 100).await.into_iter().collect();
    assert_eq!(listed, ODD_KEYS.map(ToOwned::to_owned).into());
}

async fn lists_in_order_and_by_page(objects: &Objects) {
    // '-' comes before '/', and 'Z' before 'a'; a character beyond 16 bits comes last, unlike in UTF-16.
    let ordered = [
        "list/",
        "list/Z",
        "list/a-b",
        "list/a/b",
        "list/\u{ffee}",
        "list/\u{10000}",
    ];
    for key in ordered.iter().rev() {
        objects.create(key, b"12345".to_vec()).await.unwrap();
    }
    for key in ["lis", "list0"] {
        objects.create(key, Vec::new()).await.unwrap();
    }
    assert_eq!(keys(objects, "list/", None, 100).await, ordered);
    assert_eq!(keys(objects, "list/", None, 2).await, ordered[..2]);
    assert_eq!(
        keys(objects, "list/", Some(ordered[1]), 2).await,
        ordered[2..4]
    );
    assert_eq!(
        keys(objects, "list/", Some("list/a"), 100).await,
        ordered[2..]
    );
    assert_eq!(keys(objects, "list/", Some("kist"), 100).await, ordered);
    assert!(keys(objects, "list/", Some("m"), 100).await.is_empty());
    assert!(keys(objects, "nothing/", None, 100).await.is_empty());
    let listed = objects.list("list/Z", None, 1).await.unwrap();
    let (_, etag) = objects.get("list/Z").await.unwrap().unwrap();
    assert_eq!((listed[0].size, &listed[0].etag), (5, &etag));
}

async fn keys(objects: &Objects, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let listed = objects.list(prefix, after, limit).await.unwrap();
    listed.into_iter().map(|object| object.key).collect()
}
