//! Batches on their way into the chain: many processes, deaths, and somebody who tampers with them.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_s3::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use embedded_s3::{EmbeddedS3, Fault, Target};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use registry::access::token::{Key, Keys};
use registry::artifact::Kind;
use registry::audit::{Action, Actor, Entry, FOLD_EVERY, Problem, Subject, Trail, VerifyError};
use registry::store::{BucketObjects, MemoryObjects, Objects};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use shared::s3::S3;
use support::{BUCKET, Break, Counter};
use time::macros::datetime;

const PENDING: &str = "audit/pending/";

/// At which request a process dies, and where on its way.
type Death = (Break, usize);

#[tokio::test]
async fn an_entry_is_one_request_in_a_process_that_has_asked_nothing_yet() {
    let (store, _folder) = support::embedded().await;
    for number in 0..3 {
        let counter = Counter::default();
        let trail = trail(&counter.bucket(&store));
        trail.record(entry(number)).await.unwrap();
        assert_eq!(counter.take(), (0, 1, 1));
    }
    check(&support::objects(&store), &["0", "1", "2"]).await;
}

#[tokio::test]
async fn a_history_has_at_once_what_any_process_has_acknowledged() {
    let stores = support::stores().await;
    for objects in &stores.all {
        let processes: Vec<_> = (0..3).map(|_| trail(objects)).collect();
        let mut expected = Vec::new();
        for number in 0..12_usize {
            let writer = processes.iter().cycle().nth(number).unwrap();
            writer.record(entry(number)).await.unwrap();
            expected.push(number.to_string());
            let reader = processes.iter().cycle().nth(number / 2).unwrap();
            assert_eq!(history(reader).await, expected);
        }
        let kept: Vec<_> = keys(objects, PENDING).await;
        assert_eq!(kept, Vec::<String>::new(), "what is folded is deleted");
    }
}

#[tokio::test]
async fn who_writes_much_folds_now_and_then() {
    let objects = memory();
    let trail = trail(&objects);
    let many = usize::try_from(FOLD_EVERY).unwrap();
    let names: Vec<_> = (0..2 * many + 5).map(|number| number.to_string()).collect();
    for number in 0..2 * many + 5 {
        trail.record(entry(number)).await.unwrap();
    }
    assert_eq!(keys(&objects, "audit/0").await.len(), 2);
    assert_eq!(keys(&objects, PENDING).await.len(), 5);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    check(&objects, &names).await;
}

#[tokio::test]
async fn more_batches_than_a_block_takes_become_several_blocks() {
    let objects = memory();
    let mut expected = Vec::new();
    for number in 0..2300 {
        // Each a process that never gets as far as folding.
        trail(&objects).record(entry(number)).await.unwrap();
        expected.push(number.to_string());
    }
    assert_eq!(history(&trail(&objects)).await, expected);
    assert_eq!(keys(&objects, "audit/0").await.len(), 3);
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check(&objects, &expected).await;
}

#[tokio::test]
async fn a_history_is_whole_while_nobody_can_fold() {
    let (store, _folder) = support::embedded().await;
    let objects = support::objects(&store);
    trail(&objects).record(entry(0)).await.unwrap();
    assert_eq!(history(&trail(&objects)).await, ["0"]);
    let target = Target {
        operation: Some("PutObject".to_owned()),
        prefix: Some("audit/0".to_owned()),
        ..Target::default()
    };
    store.faults().inject(Fault::AccessDenied, target);
    for number in 1..5 {
        trail(&objects).record(entry(number)).await.unwrap();
    }
    let reader = trail(&objects);
    assert_eq!(history(&reader).await, ["0", "1", "2", "3", "4"]);
    let (first, next) = reader.entries(&id(), 0, 1).await.unwrap();
    assert_eq!((users(&first), next), (vec!["0".to_owned()], Some(1)));
    let (rest, next) = reader.entries(&id(), 1, 1).await.unwrap();
    assert_eq!((users(&rest).len(), next), (4, None));
    assert_eq!(reader.verify(None).await.unwrap().entries, 1);
    store.faults().clear();
    check(&objects, &["0", "1", "2", "3", "4"]).await;
}

/// The request that does not arrive, or whose answer does not, is each one in turn, until the folder survives.
#[tokio::test]
async fn a_folder_that_dies_anywhere_leaves_every_entry_once() {
    let (store, _folder) = support::embedded().await;
    let objects = support::objects(&store);
    for place in [Break::Request, Break::Answer] {
        let mut survived = false;
        for death in 1..60 {
            for key in keys(&objects, "audit/").await {
                objects.delete(&key).await.unwrap();
            }
            // Something in the chain whose batches are there still, and something that is not in it.
            for number in 0..3 {
                trail(&objects).record(entry(number)).await.unwrap();
            }
            let target = Target {
                operation: Some("DeleteObject".to_owned()),
                ..Target::default()
            };
            store.faults().inject(Fault::AccessDenied, target);
            assert_eq!(history(&trail(&objects)).await.len(), 3);
            store.faults().clear();
            assert_eq!(keys(&objects, PENDING).await.len(), 3);
            for number in 3..6 {
                trail(&objects).record(entry(number)).await.unwrap();
            }
            let dying = trail(&mortal(&store, Some((place, death))));
            survived = dying.entries(&id(), 0, usize::MAX).await.is_ok();
            trail(&objects).record(entry(6)).await.unwrap();
            check(&objects, &["0", "1", "2", "3", "4", "5", "6"]).await;
            if survived {
                break;
            }
        }
        assert!(survived, "{place:?}");
    }
}

/// One folder is held up, or left for good, somewhere on its way, while others write and fold.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_overtaken_anywhere_doubles_nothing() {
    for polls in (0..60).step_by(3) {
        let (store, _folder) = support::embedded().await;
        store.faults().set_latency(Duration::from_millis(1));
        let objects = support::objects(&store);
        let (slow, other) = (trail(&objects), trail(&objects));
        slow.record(entry(0)).await.unwrap();
        other.record(entry(1)).await.unwrap();
        let id = id();
        let mut held_up = slow.entries(&id, 0, usize::MAX).boxed();
        let mut is_done = false;
        for _ in 0..polls {
            is_done = is_done || (&mut held_up).now_or_never().is_some();
            if !is_done {
                tokio::time::sleep(Duration::from_micros(400)).await;
            }
        }
        other.record(entry(2)).await.unwrap();
        assert_eq!(history(&other).await.len(), 3);
        other.record(entry(3)).await.unwrap();
        if polls % 2 == 0 && !is_done {
            let (entries, _) = held_up.await.unwrap();
            let once: BTreeSet<_> = users(&entries).into_iter().collect();
            assert_eq!(once.len(), entries.len(), "{polls}");
            assert!(once.is_superset(&["0".to_owned(), "1".to_owned()].into()));
        } else {
            drop(held_up);
        }
        check(&objects, &["0", "1", "2", "3"]).await;
    }
}

#[test]
fn whatever_processes_do_and_whenever_they_die_nothing_is_lost_or_doubled() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let place = prop_oneof![Just(Break::Request), Just(Break::Answer)];
    let process = (
        prop::option::weighted(0.7, (place, 1..60_usize)),
        prop::collection::vec(0..4_u8, 1..12),
    );
    let processes = prop::collection::vec(process, 2..7);
    let cases = ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let run = TestRunner::new(cases).run(&processes, |processes| {
        runtime.block_on(live(processes));
        Ok(())
    });
    run.unwrap();
}

/// Each process does its steps until it dies. Then somebody looks at what they have left.
async fn live(processes: Vec<(Option<Death>, Vec<u8>)>) {
    let (store, _folder) = support::embedded().await;
    let lives = processes
        .into_iter()
        .enumerate()
        .map(|(own, (death, steps))| {
            let trail = trail(&mortal(&store, death));
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for (number, step) in steps.into_iter().enumerate() {
                    let number = 1000 * own + number;
                    let is_alive = match step {
                        0 => {
                            // All that this process was told is in what it reads.
                            let read = trail.entries(&id(), 0, usize::MAX).await;
                            let read = read.map(|(entries, _)| users(&entries));
                            if let Ok(read) = &read {
                                let all = acknowledged.iter().all(|own| read.contains(own));
                                assert!(all, "{acknowledged:?} in {read:?}");
                            }
                            read.is_ok()
                        }
                        1 => trail.verify(None).await.is_ok(),
                        _ => {
                            let written = trail.record(entry(number)).await.is_ok();
                            if written {
                                acknowledged.push(number.to_string());
                            }
                            written
                        }
                    };
                    if !is_alive {
                        break;
                    }
                }
                acknowledged
            })
        });
    let lives = join_all(lives).await;
    let objects = support::objects(&store);
    let found = whole(&objects).await;
    for life in lives {
        let acknowledged = life.unwrap();
        let own: Vec<_> = found
            .iter()
            .filter(|user| acknowledged.contains(user))
            .collect();
        assert_eq!(own, acknowledged.iter().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_batch_that_comes_back_after_it_was_folded_is_there_once() {
    let objects = memory();
    let mut old = BTreeMap::new();
    for number in 0..40 {
        trail(&objects).record(entry(number)).await.unwrap();
        for key in keys(&objects, PENDING).await {
            let (bytes, _) = objects.get(&key).await.unwrap().unwrap();
            old.insert(key, bytes);
        }
        assert_eq!(history(&trail(&objects)).await.len(), number + 1);
    }
    assert_eq!(old.len(), 40);
    // Requests that were late.
    for (key, bytes) in old {
        objects.create(&key, bytes).await.unwrap();
        let process = trail(&objects);
        assert_eq!(history(&process).await.len(), 40, "{key}");
        assert_eq!(process.verify(None).await.unwrap().entries, 40);
        assert_eq!(keys(&objects, PENDING).await.len(), 0);
    }
}

#[tokio::test]
async fn a_batch_that_was_tampered_with_is_told_and_stops_nobody() {
    for kind in 0..5 {
        let objects = memory();
        for number in 0..3 {
            trail(&objects).record(entry(number)).await.unwrap();
        }
        let waiting = keys(&objects, PENDING).await;
        let key = waiting.get(1).unwrap();
        let (bytes, etag) = objects.get(key).await.unwrap().unwrap();
        let mut expected = vec!["0", "1", "2"];
        let (told, problem) = match kind {
            0 => {
                let forged = String::from_utf8(bytes).unwrap();
                let forged = forged.replace("bert", "gpt2").into_bytes();
                objects.replace(key, forged, &etag).await.unwrap();
                expected.remove(1);
                (aside(key), Problem::Changed)
            }
            1 => {
                // As if it had been written twice.
                let digit = if key.ends_with("0.json") { '1' } else { '0' };
                let (same, _) = key.split_at(key.len() - "0.json".len());
                let other = format!("{same}{digit}.json");
                objects.create(&other, bytes).await.unwrap();
                (aside(&other), Problem::Changed)
            }
            2 => {
                let other = Trail::new(objects.clone(), keys_of(8, &[]));
                other.record(entry(9)).await.unwrap();
                let key = keys(&objects, PENDING).await.pop().unwrap();
                (aside(&key), Problem::Foreign)
            }
            3 => {
                let key = format!("{PENDING}0junk");
                objects.create(&key, b"{}".to_vec()).await.unwrap();
                (key, Problem::Changed)
            }
            _ => {
                let large = vec![b' '; 5 << 20];
                objects.replace(key, large, &etag).await.unwrap();
                expected.remove(1);
                (key.clone(), Problem::Changed)
            }
        };
        let process = trail(&objects);
        assert_eq!(history(&process).await, expected, "{kind}");
        let answer = process.verify(None).await;
        let Err(VerifyError::Batch {
            key,
            problem: found,
            verified,
        }) = answer
        else {
            panic!("{kind}: {answer:?}");
        };
        assert_eq!((&key, found), (&told, problem), "{kind}");
        let count = u64::try_from(expected.len()).unwrap();
        assert_eq!(verified.entries, count);
        // Nor those who come after it.
        process.record(entry(7)).await.unwrap();
        expected.push("7");
        assert_eq!(history(&process).await, expected, "{kind}");
        objects.delete(&told).await.unwrap();
        check(&objects, &expected).await;
    }
}

#[tokio::test]
async fn what_was_put_aside_for_want_of_a_key_gets_into_the_chain_with_it() {
    let objects = memory();
    let old = Trail::new(objects.clone(), keys_of(8, &[]));
    old.record(entry(0)).await.unwrap();
    let wrong = trail(&objects);
    wrong.record(entry(1)).await.unwrap();
    assert_eq!(history(&wrong).await, ["1"]);
    assert!(matches!(
        wrong.verify(None).await,
        Err(VerifyError::Batch { .. })
    ));
    let right = Trail::new(objects.clone(), keys_of(7, &[8]));
    assert_eq!(right.verify(None).await.unwrap().entries, 2);
    check(&objects, &["1", "0"]).await;
}

#[tokio::test]
async fn a_block_without_a_known_key_takes_nothing_away() {
    let objects = memory();
    trail(&objects).record(entry(0)).await.unwrap();
    let waiting = keys(&objects, PENDING).await.pop().unwrap();
    let batch = waiting.strip_prefix(PENDING).unwrap();
    let mut content = block_of_old(1, &"0".repeat(64), &[]);
    let batch = batch.strip_suffix(".json").unwrap();
    content["batches"] = json!([batch]);
    content["latest"] = json!(batch);
    objects
        .create(&block(1), sealed("audit block", &content, 9))
        .await
        .unwrap();
    assert_eq!(history(&trail(&objects)).await, ["0"]);
}

/// Blocks as they were written before there were batches: by the words of the format, not by this code.
#[tokio::test]
async fn a_trail_from_before_there_were_batches_is_read_verified_and_continued() {
    for length in [1, 5, 40] {
        let objects = memory();
        let mut previous = "0".repeat(64);
        let mut kept = String::new();
        for sequence in 1..=length {
            let number = usize::try_from(sequence).unwrap();
            let content = block_of_old(sequence, &previous, &[entry(number)]);
            let bytes = sealed("audit block", &content, 7);
            previous = hex::encode(Sha256::digest(&bytes));
            objects.create(&block(sequence), bytes).await.unwrap();
            if sequence <= 16 {
                let note = format!("audit/index/{}/{sequence:020}", id());
                objects.create(&note, Vec::new()).await.unwrap();
            }
            if sequence == length.min(16) {
                let head = json!({ "head": { "sequence": sequence, "hash": previous } });
                let anchor = sealed("audit anchor", &head, 7);
                objects.create("audit/head.json", anchor).await.unwrap();
            }
            kept = format!("{sequence}:{previous}");
        }
        let mut expected: Vec<_> = (1..=length).map(|number| number.to_string()).collect();
        let kept = kept.parse().unwrap();
        let process = trail(&objects);
        let verified = process.verify(Some(&kept)).await.unwrap();
        assert_eq!((verified.head, verified.entries), (kept.clone(), length));
        assert_eq!(history(&process).await, expected);
        for number in 100..103 {
            trail(&objects).record(entry(number)).await.unwrap();
            expected.push(number.to_string());
            assert_eq!(history(&trail(&objects)).await, expected);
        }
        let verified = trail(&objects).verify(Some(&kept)).await.unwrap();
        assert_eq!(verified.head.sequence, length + 3);
        assert_eq!(verified.entries, length + 3);
    }
}

/// A block as the first version wrote it.
fn block_of_old(sequence: u64, previous: &str, entries: &[Entry]) -> Value {
    json!({
        "sequence": sequence,
        "previous": previous,
        "anchored": 0,
        "nonce": "00ff00ff00ff00ff",
        "entries": entries,
    })
}

/// `content` with the code of a key.
fn sealed(purpose: &str, content: &Value, key: u8) -> Vec<u8> {
    let key = Key::new(&[key; 32]).unwrap();
    let content = content.to_string();
    let code = key.code(purpose, &[content.as_bytes()]);
    let id = key.id();
    format!(r#"{{"key":"{id}","code":"{code}","content":{content}}}"#).into_bytes()
}

/// The trail is whole, and has exactly these entries.
async fn check(objects: &Objects, expected: &[&str]) {
    let found: BTreeSet<String> = whole(objects).await.into_iter().collect();
    let expected: BTreeSet<String> = expected.iter().map(|user| (*user).to_owned()).collect();
    assert_eq!(found, expected);
}

/// All entries of a trail that is whole, where each is once and nothing waits any more.
async fn whole(objects: &Objects) -> Vec<String> {
    let process = trail(objects);
    let verified = process.verify(None).await.unwrap();
    let found = history(&process).await;
    let (others, _) = process
        .entries(&other().artifact.id, 0, usize::MAX)
        .await
        .unwrap();
    let count = u64::try_from(found.len() + others.len()).unwrap();
    assert_eq!(verified.entries, count);
    let once: BTreeSet<_> = found.iter().collect();
    assert_eq!(once.len(), found.len(), "{found:?}");
    // What a folder who died has not deleted is deleted by the next one who has something to do.
    process.record(other()).await.unwrap();
    process.verify(None).await.unwrap();
    assert_eq!(keys(objects, PENDING).await, Vec::<String>::new());
    assert_eq!(history(&trail(objects)).await, found);
    found
}

async fn history(trail: &Trail) -> Vec<String> {
    let (entries, _) = trail.entries(&id(), 0, usize::MAX).await.unwrap();
    users(&entries)
}

fn users(entries: &[Entry]) -> Vec<String> {
    let entries = entries.iter();
    entries.map(|entry| entry.user.name.clone()).collect()
}

async fn keys(objects: &Objects, prefix: &str) -> Vec<String> {
    let listed = objects.list(prefix, None, 10_000).await.unwrap();
    listed.into_iter().map(|object| object.key).collect()
}

fn aside(key: &str) -> String {
    key.replace(PENDING, "audit/pending/aside/")
}

fn block(sequence: u64) -> String {
    format!("audit/{sequence:020}.json")
}

fn id() -> registry::artifact::Id {
    "1".parse().unwrap()
}

fn entry(number: usize) -> Entry {
    Entry {
        user: Actor {
            name: number.to_string(),
            is_admin: false,
        },
        date: datetime!(2025-11-02 09:15 UTC),
        artifact: Subject {
            name: "bert".parse().unwrap(),
            id: id(),
            kind: Kind::Model,
        },
        action: Action::Download,
    }
}

/// An entry of another artifact.
fn other() -> Entry {
    let mut entry = entry(0);
    entry.artifact.id = "2".parse().unwrap();
    entry
}

fn keys_of(signing: u8, retiring: &[u8]) -> Keys {
    let key = |byte: u8| Key::new(&[byte; 32]).unwrap();
    let retiring = retiring.iter().map(|byte| key(*byte)).collect();
    Keys::new(key(signing), retiring, "registry", "registry")
}

fn trail(objects: &Objects) -> Trail {
    Trail::new(objects.clone(), keys_of(7, &[]))
}

fn memory() -> Objects {
    Objects::Memory(MemoryObjects::default())
}

/// The bucket as a process sees it that dies at its n-th request.
fn mortal(store: &EmbeddedS3, death: Option<Death>) -> Objects {
    let mortal = Mortal {
        death,
        sent: Arc::default(),
    };
    let config = store.client().config().to_builder();
    let config = config
        .retry_config(RetryConfig::disabled())
        .interceptor(mortal);
    let s3 = S3::with_client(aws_sdk_s3::Client::from_conf(config.build()));
    Objects::S3(BucketObjects::new(s3.bucket(BUCKET)))
}

#[derive(Debug)]
struct Mortal {
    death: Option<Death>,
    sent: Arc<AtomicUsize>,
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
        let sent = self.sent.fetch_add(1, Ordering::SeqCst) + 1;
        match self.death {
            Some((_, death)) if sent > death => Err("dead".into()),
            Some((Break::Request, death)) if sent == death => Err("dying".into()),
            _ => Ok(()),
        }
    }

    fn read_before_deserialization(
        &self,
        _context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        match self.death {
            Some((Break::Answer, death)) if self.sent.load(Ordering::SeqCst) >= death => {
                Err("dying".into())
            }
            _ => Ok(()),
        }
    }
}
