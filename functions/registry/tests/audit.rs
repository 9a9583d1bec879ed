//! The trail of what was done, with many writers, and with somebody who tampers with it.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{FusedFuture as _, join_all};
use proptest::prelude::*;
use registry::access::token::{Key, Keys};
use registry::artifact::Kind;
use registry::audit::{
    ANCHOR_EVERY, Action, Actor, Entry, Head, Problem, Subject, Trail, Verified, VerifyError,
};
use registry::store::{MemoryObjects, Objects};
use time::macros::datetime;

#[tokio::test]
async fn entries_are_found_by_artifact_in_the_order_they_were_written() {
    let trail = trail(&memory());
    assert_eq!(trail.verify(None).await.unwrap().head.sequence, 0);
    assert_eq!(of(&trail, "1").await, []);
    // More than the anchor's step, so that some are in the index and some are not.
    for number in 0..3 * ANCHOR_EVERY + 5 {
        let id = if number % 3 == 0 { "1" } else { "12" };
        trail.record(entry(id, number)).await.unwrap();
    }
    let own = of(&trail, "1").await;
    let expected: Vec<_> = (0..3 * ANCHOR_EVERY + 5)
        .filter(|number| number % 3 == 0)
        .map(|number| entry("1", number))
        .collect();
    assert_eq!(own, expected);
    let verified = trail.verify(None).await.unwrap();
    assert_eq!(verified.entries, 3 * ANCHOR_EVERY + 5);
}

#[tokio::test]
async fn an_entry_has_the_fields_of_the_contract() {
    let json = serde_json::to_value(entry("1", 7)).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "user": { "name": "7", "is_admin": false },
            "date": "2026-11-02T09:15:00Z",
            "artifact": { "name": "bert", "id": "1", "type": "model" },
            "action": "DOWNLOAD",
        })
    );
}

#[tokio::test]
async fn a_new_process_goes_on_where_the_last_one_stopped() {
    let objects = memory();
    for number in 0..40 {
        trail(&objects).record(entry("1", number)).await.unwrap();
    }
    let verified = trail(&objects).verify(None).await.unwrap();
    assert_eq!((verified.head.sequence, verified.entries), (40, 40));
    let entries = of(&trail(&objects), "1").await;
    assert_eq!(
        users(&entries),
        (0..40).map(|n| n.to_string()).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_thing_done_twice_at_the_same_time_is_there_twice() {
    let (objects, _folder) = support::bucket().await;
    let instances: Vec<_> = (0..4).map(|_| trail(&objects)).collect();
    for _ in 0..10 {
        let written = instances.iter().map(|trail| trail.record(entry("1", 7)));
        for written in join_all(written).await {
            written.unwrap();
        }
    }
    let entries = of(&trail(&objects), "1").await;
    assert_eq!(entries, vec![entry("1", 7); 40]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_at_once_share_blocks_and_lose_nothing() {
    let (objects, _folder) = support::bucket().await;
    let instances: Vec<_> = (0..8).map(|_| Arc::new(trail(&objects))).collect();
    let writers = (0..200).map(|number: u64| {
        let trail = Arc::clone(
            instances
                .iter()
                .cycle()
                .nth(usize::try_from(number).unwrap())
                .unwrap(),
        );
        tokio::spawn(async move { trail.record(entry(&(number % 5).to_string(), number)).await })
    });
    for written in join_all(writers).await {
        written.unwrap().unwrap();
    }
    let verified = trail(&objects).verify(None).await.unwrap();
    assert_eq!(verified.entries, 200);
    assert!(verified.head.sequence < 200, "entries share blocks");
    let mut found = BTreeSet::new();
    for id in 0..5 {
        found.extend(users(&of(&trail(&objects), &id.to_string()).await));
    }
    assert_eq!(found.len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_once_though_writers_are_interrupted() {
    let (objects, _folder) = support::bucket().await;
    let instances: Vec<_> = (0..3).map(|_| Arc::new(trail(&objects))).collect();
    let mut writers = Vec::new();
    for number in 0..240_u64 {
        let trail = Arc::clone(
            instances
                .iter()
                .cycle()
                .nth(usize::try_from(number).unwrap())
                .unwrap(),
        );
        let writer = tokio::spawn(async move { trail.record(entry("1", number)).await });
        for _ in 0..number % 7 {
            tokio::task::yield_now().await;
        }
        if number % 3 == 1 {
            // Somewhere in the middle, or before it began.
            writer.abort();
        }
        writers.push((number, writer));
    }
    let mut acknowledged = BTreeSet::new();
    for (number, writer) in writers {
        if let Ok(written) = writer.await {
            written.unwrap();
            acknowledged.insert(number.to_string());
        }
    }
    assert!(acknowledged.len() >= 160);
    trail(&objects).verify(None).await.unwrap();
    let found = users(&of(&trail(&objects), "1").await);
    let once: BTreeSet<_> = found.iter().cloned().collect();
    assert_eq!(found.len(), once.len(), "nothing is there twice");
    assert!(once.is_superset(&acknowledged));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_writer_that_is_interrupted_is_written_once() {
    let (objects, _folder) = support::bucket().await;
    for polls in 0..24 {
        let id = format!("{polls}");
        let trail = trail(&objects);
        let mut first = trail.record(entry("first", 0)).boxed().fuse();
        let mut interrupted = trail.record(entry(&id, 1)).boxed().fuse();
        let mut waiting = trail.record(entry(&id, 2)).boxed().fuse();
        // They come in this order. A store in this process may answer so fast that one is done at once.
        for future in [&mut first, &mut interrupted, &mut waiting] {
            if let Some(written) = future.now_or_never() {
                written.unwrap();
            }
        }
        if !first.is_terminated() {
            first.await.unwrap();
        }
        // It writes for both, and is left somewhere on the way: at the end, what it sent has arrived.
        for _ in 0..polls {
            if !interrupted.is_terminated() && (&mut interrupted).now_or_never().is_none() {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop(interrupted);
        if !waiting.is_terminated() {
            waiting.await.unwrap();
        }
        let found = users(&of(&trail, &id).await);
        assert_eq!(
            found.iter().filter(|user| *user == "2").count(),
            1,
            "{polls}"
        );
        assert!(
            found.iter().filter(|user| *user == "1").count() <= 1,
            "{polls}"
        );
        trail.verify(None).await.unwrap();
    }
}

#[tokio::test]
async fn a_cut_end_is_told_by_the_anchor_and_by_a_head_that_was_kept() {
    let objects = memory();
    let trail = trail(&objects);
    for number in 0..ANCHOR_EVERY + 3 {
        trail.record(entry("1", number)).await.unwrap();
    }
    let kept = trail.verify(None).await.unwrap().head;
    assert_eq!(kept.sequence, ANCHOR_EVERY + 3);
    objects.delete(&block(kept.sequence)).await.unwrap();
    // What nobody outside knows of looks as if it had never been.
    assert!(trail.verify(None).await.is_ok());
    assert_broken(
        &trail.verify(Some(&kept)).await,
        kept.sequence,
        Problem::Missing,
    );
    for sequence in ANCHOR_EVERY..kept.sequence {
        objects.delete(&block(sequence)).await.unwrap();
    }
    assert_broken(&trail.verify(None).await, ANCHOR_EVERY, Problem::Missing);
}

#[tokio::test]
async fn a_lost_or_older_anchor_is_told_by_the_blocks_that_knew_it() {
    let objects = memory();
    let trail = trail(&objects);
    let mut first = None;
    for number in 0..=2 * ANCHOR_EVERY {
        trail.record(entry("1", number)).await.unwrap();
        let anchor = objects.get("audit/head.json").await.unwrap();
        first = first.or(anchor.map(|(bytes, _)| bytes));
    }
    let (_, etag) = objects.get("audit/head.json").await.unwrap().unwrap();
    let older = first.unwrap();
    let etag = objects
        .replace("audit/head.json", older, &etag)
        .await
        .unwrap();
    assert_broken(
        &trail.verify(None).await,
        2 * ANCHOR_EVERY + 1,
        Problem::AnchorLost,
    );
    let made_up = br#"{"key":"x","code":"","content":{}}"#.to_vec();
    objects
        .replace("audit/head.json", made_up, &etag)
        .await
        .unwrap();
    assert!(matches!(trail.verify(None).await, Err(VerifyError::Anchor)));
    objects.delete("audit/head.json").await.unwrap();
    assert!(trail.verify(None).await.is_err());
}

#[tokio::test]
async fn a_long_trail_is_verified_piece_by_piece_and_each_is_tied_to_the_last() {
    let objects = memory();
    for number in 0..150 {
        // The first ones are sealed by a key that is not ours any more; those after them vouch for them.
        let signing = if number < 70 { 8 } else { 7 };
        let trail = Trail::new(objects.clone(), keys(signing, &[]));
        trail.record(entry("1", number)).await.unwrap();
    }
    let trail = trail(&objects);
    let whole = trail.verify(None).await.unwrap();
    let (mut pieces, mut entries, mut from) = (0, 0, None);
    let head = loop {
        let piece = trail.verify_some(from.as_ref(), None, 40).await.unwrap();
        (pieces, entries) = (pieces + 1, entries + piece.entries);
        if piece.is_complete {
            break piece.head;
        }
        from = Some(piece.head);
    };
    assert_eq!((&head, entries), (&whole.head, 150));
    assert!(pieces > 3);
    let from = from.unwrap();
    let text = from.to_string();
    assert_eq!(text.parse(), Ok(from.clone()));
    let other: Head = format!("{}:{}", from.sequence, "0".repeat(64))
        .parse()
        .unwrap();
    let answer = trail.verify_some(Some(&other), None, 40).await;
    assert_broken(&answer, from.sequence, Problem::Changed);
    for sequence in from.sequence..=head.sequence {
        objects.delete(&block(sequence)).await.unwrap();
    }
    let answer = trail.verify_some(Some(&from), None, 40).await;
    assert_broken(&answer, from.sequence, Problem::Missing);
    for text in ["", "1", "1:", "x:00", "-1:00", &text.to_uppercase()] {
        assert!(text.parse::<Head>().is_err(), "{text}");
    }
}

#[tokio::test]
async fn who_has_no_key_cannot_write_the_trail_anew() {
    let (objects, forged) = (memory(), memory());
    let other = Trail::new(forged.clone(), keys(8, &[]));
    for number in 0..5 {
        trail(&objects).record(entry("1", number)).await.unwrap();
        other.record(entry("2", number)).await.unwrap();
    }
    for sequence in 1..=5 {
        let (bytes, _) = forged.get(&block(sequence)).await.unwrap().unwrap();
        put(&objects, &block(sequence), bytes).await;
    }
    let answer = trail(&objects).verify(None).await;
    assert_broken(&answer, 1, Problem::UnknownKey);
}

#[tokio::test]
async fn blocks_of_a_key_that_is_gone_are_vouched_for_by_those_after_them() {
    let objects = memory();
    for number in 0..5 {
        trail(&objects).record(entry("1", number)).await.unwrap();
    }
    let later = Trail::new(objects.clone(), keys(8, &[7]));
    later.record(entry("1", 5)).await.unwrap();
    let latest = Trail::new(objects.clone(), keys(8, &[]));
    let verified = latest.verify(None).await.unwrap();
    assert_eq!(verified.entries, 6);
}

/// Every bit of a block with one before it and one after it, and of the last one.
#[tokio::test]
async fn no_bit_of_a_block_changes_unnoticed() {
    let objects = memory();
    let trail = trail(&objects);
    for number in 0..3 {
        trail.record(entry("1", number)).await.unwrap();
    }
    let kept = trail.verify(None).await.unwrap().head;
    for sequence in [2, 3] {
        let (good, _) = objects.get(&block(sequence)).await.unwrap().unwrap();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            *bytes.get_mut(bit / 8).unwrap() ^= 1 << (bit % 8);
            put(&objects, &block(sequence), bytes).await;
            let answer = trail.verify(Some(&kept)).await;
            let told = matches!(&answer, Err(VerifyError::Broken { sequence: told, .. }) if *told == sequence);
            assert!(told, "bit {bit} of {sequence}: {answer:?}");
        }
        put(&objects, &block(sequence), good).await;
    }
    assert!(trail.verify(Some(&kept)).await.is_ok());
}

#[test]
fn any_order_of_writers_makes_one_chain_and_any_tampering_breaks_it() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let tampering = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        0..4_u8,
        0..8_u32,
    );
    let turns = prop::collection::vec((0..4_usize, 1..6_u64), 2..40);
    let cases = ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(cases, |(turns in turns, (place, byte, kind, bit) in tampering)| {
        runtime.block_on(async {
            let objects = memory();
            let verified = write_in_turns(&objects, &turns).await;
            let length = usize::try_from(verified.head.sequence).unwrap();
            let sequence = 1 + u64::try_from(place.index(length)).unwrap();
            tamper(&objects, sequence, &verified.head, kind, byte, bit).await;
            let answer = trail(&objects).verify(Some(&verified.head)).await;
            // The first broken link is the one that was touched, or, of two that changed places, the first.
            let told = matches!(&answer, Err(VerifyError::Broken { sequence: told, .. }) if *told == sequence);
            assert!(told, "{sequence} of {length}, {kind}: {answer:?}");
        });
    });
}

/// Lets writers write in this order, each some entries at once.
async fn write_in_turns(objects: &Objects, turns: &[(usize, u64)]) -> Verified {
    let writers: Vec<_> = (0..4).map(|_| trail(objects)).collect();
    let mut number = 0;
    for (writer, count) in turns {
        let writer = writers.iter().cycle().nth(*writer).unwrap();
        let entries = (0..*count).map(|more| writer.record(entry("1", number + more)));
        for written in join_all(entries).await {
            written.unwrap();
        }
        number += count;
    }
    let verified = trail(objects).verify(None).await.unwrap();
    assert_eq!(verified.entries, number);
    let found = users(&of(&trail(objects), "1").await);
    assert_eq!(
        found,
        (0..number)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
    );
    verified
}

/// Does something to this block.
async fn tamper(
    objects: &Objects,
    sequence: u64,
    head: &Head,
    kind: u8,
    byte: prop::sample::Index,
    bit: u32,
) {
    let key = block(sequence);
    let (mut bytes, _) = objects.get(&key).await.unwrap().unwrap();
    match kind {
        0 => objects.delete(&key).await.unwrap(),
        // In place of it, and of the other, the other and it.
        1 if sequence < head.sequence => {
            let other = block(sequence + 1);
            let (others, _) = objects.get(&other).await.unwrap().unwrap();
            put(objects, &key, others).await;
            put(objects, &other, bytes).await;
        }
        2 => {
            for cut in sequence..=head.sequence {
                objects.delete(&block(cut)).await.unwrap();
            }
        }
        _ => {
            let place = byte.index(bytes.len());
            *bytes.get_mut(place).unwrap() ^= 1 << bit;
            put(objects, &key, bytes).await;
        }
    }
}

async fn put(objects: &Objects, key: &str, bytes: Vec<u8>) {
    let (_, etag) = objects.get(key).await.unwrap().unwrap();
    objects.replace(key, bytes, &etag).await.unwrap();
}

fn assert_broken(answer: &Result<Verified, VerifyError>, place: u64, expected: Problem) {
    assert!(
        matches!(answer, Err(VerifyError::Broken { sequence, problem }) if (*sequence, *problem) == (place, expected)),
        "{answer:?}"
    );
}

/// All entries of an artifact, in pages of as few as can be.
async fn of(trail: &Trail, id: &str) -> Vec<Entry> {
    let id = id.parse().unwrap();
    let (whole, next) = trail.entries(&id, 0, usize::MAX).await.unwrap();
    assert_eq!(next, None);
    let (mut entries, mut after) = (Vec::new(), 0);
    loop {
        let (page, next) = trail.entries(&id, after, 1).await.unwrap();
        entries.extend(page);
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(entries, whole);
    whole
}

fn users(entries: &[Entry]) -> Vec<String> {
    entries
        .iter()
        .map(|entry| entry.user.name.clone())
        .collect()
}

fn entry(id: &str, number: u64) -> Entry {
    Entry {
        user: Actor {
            name: number.to_string(),
            is_admin: false,
        },
        date: datetime!(2026-11-02 09:15 UTC),
        artifact: Subject {
            name: "bert".parse().unwrap(),
            id: id.parse().unwrap(),
            kind: Kind::Model,
        },
        action: Action::Download,
    }
}

fn block(sequence: u64) -> String {
    format!("audit/{sequence:020}.json")
}

fn keys(signing: u8, retiring: &[u8]) -> Keys {
    let key = |byte: u8| Key::new(&[byte; 32]).unwrap();
    let retiring = retiring.iter().map(|byte| key(*byte)).collect();
    Keys::new(key(signing), retiring, "registry", "registry")
}

fn trail(objects: &Objects) -> Trail {
    Trail::new(objects.clone(), keys(7, &[]))
}

fn memory() -> Objects {
    Objects::Memory(MemoryObjects::default())
}
