//! Archives that S3 puts together, read by somebody else's program.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;
#[path = "support/web.rs"]
mod web;

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws_sdk_s3::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
    BeforeTransmitInterceptorContextRef,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use embedded_s3::{Fault, Target};
use futures_util::future::join_all;
use registry::artifact::Id;
use registry::content::{Aspect, Content, Error, Whole};
use registry::store::{BucketObjects, Objects};
use shared::s3::S3;
use support::BUCKET;
use web::{World, pattern, start};

const MIB: usize = 1 << 20;
const ENOUGH: Duration = Duration::from_mins(1);

type Files = BTreeMap<String, Vec<u8>>;

fn files(sizes: &[(&str, usize)]) -> Files {
    let seeds = 1_u8..;
    sizes
        .iter()
        .zip(seeds)
        .map(|((path, size), seed)| ((*path).to_owned(), pattern(*size, seed)))
        .collect()
}

/// Puts files into the bucket, past the API.
async fn store(world: &World, id: &Id, files: &Files) {
    let puts = files.iter().map(|(path, bytes)| {
        let key = format!("artifacts/{id}/files/{path}");
        let put = world.sdk.put_object().bucket(BUCKET).key(key);
        put.body(bytes.clone().into()).send()
    });
    for put in join_all(puts).await {
        put.unwrap();
    }
}

/// What is in an archive, by its directory, and by reading it from its first byte to its last. Both compare checksums.
fn unpack(archive: &[u8]) -> Files {
    let mut by_directory = Files::new();
    let mut zip = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    for number in 0..zip.len() {
        let mut file = zip.by_index(number).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        by_directory.insert(file.name().unwrap().into_owned(), bytes);
    }
    let (mut in_order, mut stream) = (Files::new(), archive);
    while let Some(mut file) = zip::read::read_zipfile_from_stream(&mut stream).unwrap() {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        in_order.insert(file.name().unwrap().into_owned(), bytes);
    }
    assert!(by_directory == in_order);
    by_directory
}

async fn get(world: &World, key: &str) -> Vec<u8> {
    let got = world.sdk.get_object().bucket(BUCKET).key(key);
    let got = got.send().await.unwrap();
    got.body.collect().await.unwrap().to_vec()
}

fn assert_same(found: &Files, expected: &Files) {
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    assert!(found == expected, "the bytes are others");
}

async fn archive(content: &Content, aspect: Aspect) -> (String, bool) {
    match content.whole(aspect, ENOUGH).await.unwrap() {
        Whole::Archive { key, is_new } => (key, is_new),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn several_files_are_had_as_one_archive_that_every_reader_understands() {
    let world = start().await;
    let (artifact, id) = world.artifact("model", "owner/big model").await;
    let expected = files(&[
        ("README.md", 1000),
        ("config.json", 0),
        ("data/ü 😀.csv", 70_000),
        ("model-00001.bin", 12 * MIB + 1),
        ("model-00002.bin", 5 * MIB),
        ("model-00003.bin", 10 * MIB),
        ("model-00004.bin", 75 * MIB),
        ("tokenizer.json", 2 * MIB),
        ("vocab.txt", 4 * MIB),
    ]);
    store(&world, &id, &expected).await;
    let place = format!("{artifact}/download");
    let got = world.follow("GET", &place, &[], "").await;
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(got.header("content-type"), "application/zip");
    assert_eq!(
        got.header("content-disposition"),
        "attachment; filename=\"owner_big model.zip\"; filename*=UTF-8''owner_big%20model.zip"
    );
    assert_same(&unpack(&got.body), &expected);
    // The next one is shown the same object.
    let again = world.follow("GET", &place, &[], "").await;
    assert_eq!(again.header("etag"), got.header("etag"));
    let tail = world
        .follow("GET", &place, &[("range", "bytes=-22")], "")
        .await;
    assert_eq!(
        (tail.status.as_u16(), &tail.body[..4]),
        (206, &b"PK\x05\x06"[..])
    );
    for (aspect, wanted) in [("weights", "model-0"), ("datasets", "data/")] {
        let place = format!("{artifact}/download?aspect={aspect}");
        let got = world.follow("GET", &place, &[], "").await;
        assert_eq!(got.status, 200, "{}", got.text());
        if aspect == "datasets" {
            assert_eq!(got.body, expected["data/ü 😀.csv"]);
            continue;
        }
        let mut part = expected.clone();
        part.retain(|path, _| path.starts_with(wanted));
        assert_same(&unpack(&got.body), &part);
        assert!(
            got.header("content-disposition")
                .contains("owner_big model-weights.zip")
        );
    }
    // Nothing is left of the making.
    let folder = format!("archives/{id}/");
    let keys = world.keys(&folder).await;
    assert_eq!(keys.len(), 2, "{keys:?}");
    let uploads = world.sdk.list_multipart_uploads().bucket(BUCKET);
    assert!(uploads.send().await.unwrap().uploads().is_empty());
}

#[tokio::test]
async fn files_of_every_size_may_follow_each_other() {
    const SIZES: [usize; 5] = [0, 1, 5 * MIB - 1, 5 * MIB, 10 * MIB + 100];
    /// Each of the sizes behind each other one, and behind itself: a sequence of de Bruijn.
    const ORDER: [usize; 26] = [
        0, 0, 1, 0, 2, 0, 3, 0, 4, 1, 1, 2, 1, 3, 1, 4, 2, 2, 3, 2, 4, 3, 3, 4, 4, 0,
    ];
    let world = start().await;
    let (_, id) = world.artifact("model", "sizes").await;
    let names: Vec<String> = (0..ORDER.len()).map(|name| format!("{name:02}")).collect();
    let sizes = ORDER.into_iter().map(|place| SIZES[place]);
    let row: Vec<(&str, usize)> = names.iter().map(String::as_str).zip(sizes).collect();
    let expected = files(&row);
    store(&world, &id, &expected).await;
    let (key, _) = archive(&world.content(&id), Aspect::Full).await;
    assert_same(&unpack(&get(&world, &key).await), &expected);
}

#[tokio::test]
async fn an_archive_is_of_the_files_as_they_are_now() {
    let world = start().await;
    let (_, id) = world.artifact("model", "bert").await;
    let content = world.content(&id);
    let mut expected = files(&[("a.py", 10), ("b.py", 6 * MIB), ("c.bin", 10)]);
    store(&world, &id, &expected).await;
    let (first, _) = archive(&content, Aspect::Full).await;
    let (code, _) = archive(&content, Aspect::Code).await;
    expected.insert("b.py".to_owned(), pattern(6 * MIB, 99));
    expected.insert("d.py".to_owned(), pattern(1, 99));
    store(&world, &id, &expected).await;
    let (second, is_new) = archive(&content, Aspect::Full).await;
    assert!(is_new && second != first);
    assert_same(&unpack(&get(&world, &second).await), &expected);
    // Those that somebody may be about to get are kept for a while.
    for key in [&first, &code] {
        assert!(world.objects.get(key).await.unwrap().is_some());
    }
    let (again, is_new) = archive(&content, Aspect::Full).await;
    assert!(!is_new && again == second);
}

#[tokio::test]
async fn what_is_too_much_for_an_archive_is_to_be_had_from_the_list() {
    let world = start().await;
    let (artifact, id) = world.artifact("dataset", "many").await;
    for start in (0..10_001).step_by(500) {
        let puts = (start..(start + 500).min(10_001)).map(|number| {
            let key = format!("artifacts/{id}/files/{number}.csv");
            let objects = world.objects.clone();
            async move { objects.create(&key, b"1".to_vec()).await.unwrap() }
        });
        join_all(puts).await;
    }
    let refused = world
        .send("GET", &format!("{artifact}/download"), &[], "")
        .await;
    assert_eq!(refused.status, 413);
    assert_eq!(refused.json()["files"], format!("{artifact}/files"));
    // One less is taken, and has a directory of ten thousand.
    let last = format!("artifacts/{id}/files/10000.csv");
    world.objects.delete(&last).await.unwrap();
    let (key, _) = archive(&world.content(&id), Aspect::Full).await;
    assert_eq!(unpack(&get(&world, &key).await).len(), 10_000);
}

#[tokio::test]
async fn a_making_that_takes_too_long_is_gone_on_with() {
    let world = start().await;
    let (artifact, id) = world.artifact("model", "bert").await;
    let expected = files(&[
        ("a.bin", 11 * MIB),
        ("b.bin", 11 * MIB),
        ("c.txt", 4 * MIB),
        ("d.txt", 4 * MIB),
    ]);
    store(&world, &id, &expected).await;
    let content = world.content(&id);
    // There are more requests one after the other than the first tries have time for.
    world.s3.faults().set_latency(Duration::from_millis(100));
    let mut patience = Duration::from_millis(300);
    let (mut tries, mut most) = (1, 0);
    let key = loop {
        match content.whole(Aspect::Full, patience).await {
            Ok(Whole::Archive { key, is_new }) => {
                assert!(is_new);
                break key;
            }
            Err(Error::NotYet { done, parts }) => {
                assert!(parts.is_none_or(|parts| parts == 6));
                // What is done stays done. Where the time ended before S3 was asked, nobody knows of it.
                let done = done.unwrap_or_default();
                assert!(done == 0 || done >= most, "{done}, and {most} before");
                most = most.max(done);
            }
            other => panic!("{other:?}"),
        }
        tries += 1;
        patience += Duration::from_millis(100);
    };
    world.s3.faults().clear();
    assert!(tries > 2);
    assert_same(&unpack(&get(&world, &key).await), &expected);
    // Clients are told to ask again.
    world.put(&artifact, "e.txt", "new").await;
    let late = content.whole(Aspect::Full, Duration::ZERO).await;
    assert!(matches!(late, Err(Error::NotYet { .. })), "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_at_the_same_time_waits_for_one_archive() {
    let world = start().await;
    let (artifact, id) = world.artifact("model", "bert").await;
    let expected = files(&[("a.bin", 12 * MIB), ("b.bin", 12 * MIB), ("c.txt", 10)]);
    store(&world, &id, &expected).await;
    let place = format!("{artifact}/download");
    let clients = (0..100).map(|_| world.send("GET", &place, &[], ""));
    let mut places: Vec<String> = Vec::new();
    for shown in join_all(clients).await {
        assert_eq!(shown.status, 302, "{}", shown.text());
        places.push(shown.place());
    }
    places.dedup();
    assert_eq!(places.len(), 1);
    let got = world.follow("GET", &place, &[], "").await;
    assert_same(&unpack(&got.body), &expected);
    assert_eq!(world.keys(&format!("archives/{id}/")).await.len(), 1);
}

#[tokio::test]
async fn files_that_change_meanwhile_make_no_archive_of_both() {
    let world = start().await;
    let (_, id) = world.artifact("model", "bert").await;
    let mut expected = files(&[("a.bin", 20 * MIB), ("b.txt", 100), ("c.bin", 20 * MIB)]);
    store(&world, &id, &expected).await;
    let content = world.content(&id);
    // The first try notes what the files were, and gets no further.
    let failing = Target {
        operation: Some("UploadPartCopy".to_owned()),
        ..Target::default()
    };
    world.s3.faults().inject(Fault::AccessDenied, failing);
    let failed = content.whole(Aspect::Full, ENOUGH).await;
    assert!(matches!(failed, Err(Error::S3(_))), "{failed:?}");
    world.s3.faults().clear();
    let slow = Duration::from_millis(300);
    world.s3.faults().set_latency(slow);
    let changed = expected.get_mut("c.bin").unwrap();
    *changed = pattern(20 * MIB, 77);
    // Overwritten after it was listed, and before it is copied.
    let overwrite = async {
        tokio::time::sleep(slow * 2).await;
        store(&world, &id, &expected).await;
    };
    let (made, ()) = tokio::join!(content.whole(Aspect::Full, ENOUGH), overwrite);
    world.s3.faults().clear();
    match made {
        Ok(_) | Err(Error::Changed) => {}
        Err(other) => panic!("{other:?}"),
    }
    let (key, _) = archive(&content, Aspect::Full).await;
    assert_same(&unpack(&get(&world, &key).await), &expected);
}

#[tokio::test]
async fn an_artifact_deleted_meanwhile_leaves_no_archive() {
    let world = start().await;
    let (artifact, id) = world.artifact("model", "bert").await;
    let expected = files(&[("a.bin", 12 * MIB), ("b.txt", 100)]);
    store(&world, &id, &expected).await;
    world.s3.faults().set_latency(Duration::from_millis(100));
    let place = format!("{artifact}/download");
    let deletion = async {
        tokio::time::sleep(Duration::from_millis(450)).await;
        world.send("DELETE", &artifact, &[], "").await
    };
    let (shown, deleted) = tokio::join!(world.send("GET", &place, &[], ""), deletion);
    world.s3.faults().clear();
    assert_eq!(deleted.status, 200);
    assert!(
        [302, 404, 503].contains(&shown.status.as_u16()),
        "{}",
        shown.text()
    );
    let left = world.keys(&format!("archives/{id}/")).await;
    assert!(
        left.iter().all(|key| key.ends_with("/progress")),
        "{left:?}"
    );
}

#[tokio::test]
async fn where_s3_tells_no_checksums_of_copies_there_is_no_broken_archive() {
    let world = start().await;
    let (_, id) = world.artifact("model", "bert").await;
    store(&world, &id, &files(&[("a.bin", 12 * MIB), ("b.txt", 100)])).await;
    let config = world.sdk.config().to_builder().interceptor(Forgetful);
    let sdk = aws_sdk_s3::Client::from_conf(config.build());
    let objects = Objects::S3(BucketObjects::new(S3::with_client(sdk).bucket(BUCKET)));
    let content = Content::of(&objects, &id).unwrap();
    let refused = content.whole(Aspect::Full, ENOUGH).await;
    assert!(matches!(refused, Err(Error::NoChecksums)), "{refused:?}");
}

/// After each request of a making, the process may end: with the request on its way, or with its answer. Whatever it
/// was, no archive is visible that is not whole, and the next one makes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_making_that_is_killed_at_any_step_leaves_nothing_broken() {
    const STEPS: i64 = 20;
    let world = start().await;
    let expected = files(&[("a.bin", 10 * MIB + 1), ("b.txt", 100)]);
    let (world, expected) = (&world, &expected);
    let mut lived = 0;
    for after in [false, true] {
        let ended = join_all((0..STEPS).map(|step| kill_at(world, expected, step, after))).await;
        lived += ended.iter().filter(|was_killed| !**was_killed).count();
    }
    // There were no more steps than that.
    assert!(lived > 0);
}

/// Returns whether there was such a step.
async fn kill_at(world: &World, expected: &Files, step: i64, after: bool) -> bool {
    let (_, id) = world.artifact("model", &format!("{step}-{after}")).await;
    store(world, &id, expected).await;
    let mortal = Mortal(Arc::new(Life {
        left: AtomicI64::new(step),
        after,
    }));
    let config = world.sdk.config().to_builder().interceptor(mortal.clone());
    let sdk = aws_sdk_s3::Client::from_conf(config.build());
    let objects = Objects::S3(BucketObjects::new(S3::with_client(sdk).bucket(BUCKET)));
    let dying = Content::of(&objects, &id).unwrap();
    // How long it may take is how long others leave it alone.
    let killed = dying.whole(Aspect::Full, Duration::from_secs(5)).await;
    let was_killed = mortal.0.left.load(Ordering::SeqCst) < 0;
    let is_late = matches!(killed, Err(Error::NotYet { .. }));
    assert!(
        was_killed || is_late || killed.is_ok(),
        "step {step}: {killed:?}"
    );
    let archives = world.keys(&format!("archives/{id}/")).await;
    for key in archives.iter().filter(|key| !key.ends_with("/progress")) {
        assert_same(&unpack(&get(world, key).await), expected);
    }
    let (key, _) = archive(&world.content(&id), Aspect::Full).await;
    assert_same(&unpack(&get(world, &key).await), expected);
    was_killed
}

/// Does not ask for checksums of parts, as if it asked a store that knows none.
#[derive(Debug)]
struct Forgetful;

impl Intercept for Forgetful {
    fn name(&self) -> &'static str {
        "Forgetful"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        headers.remove("x-amz-checksum-algorithm");
        Ok(())
    }
}

/// A process that ends after so many requests.
#[derive(Debug, Clone)]
struct Mortal(Arc<Life>);

#[derive(Debug)]
struct Life {
    left: AtomicI64,
    /// The last request is carried out, and its answer lost.
    after: bool,
}

impl Intercept for Mortal {
    fn name(&self) -> &'static str {
        "Mortal"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let left = self.0.left.fetch_sub(1, Ordering::SeqCst);
        if left < 0 || (left == 0 && !self.0.after) {
            return Err("the process was ended by the test".into());
        }
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        _context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.0.left.load(Ordering::SeqCst) < 0 {
            return Err("the process was ended by the test".into());
        }
        Ok(())
    }
}
