//! The executable that verifies the audit trail by schedule, and somebody who tampers with it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use registry::access::token::{Key, Keys};
use registry::artifact::Kind;
use registry::audit::{Action, Entry, Subject, Trail};
use registry::store::{MemoryObjects, Objects};
use serde_json::{Value, json};
use testkit::Function;
use time::macros::datetime;

use crate::deployment::{start, values};
use crate::support::tester;
use crate::world::World;

const BINARY: &str = env!("CARGO_BIN_EXE_registry-audit");
const KEY: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn a_good_trail_is_verified_in_silence_from_where_it_ended() {
    let world = World::start().await;
    let function = function(&world).await;
    let trail = trail(&world.objects());
    let answer = function.invoke(&scheduled()).await.unwrap();
    assert_eq!(
        (&answer["state"], &answer["entries"]),
        (&json!("finished"), &json!(0))
    );
    write(&trail, 1..=5).await;
    let answer = function.invoke(&scheduled()).await.unwrap();
    assert_eq!(
        (&answer["state"], &answer["entries"]),
        (&json!("finished"), &json!(5))
    );
    let head = trail.verify(None).await.unwrap().head;
    assert_eq!(answer["head"], head.to_string());
    // What nobody has folded yet is verified as well.
    trail.record(entry(6)).await.unwrap();
    let answer = function.invoke(&scheduled()).await.unwrap();
    assert_eq!(
        (&answer["state"], &answer["entries"]),
        (&json!("finished"), &json!(6))
    );
    assert!(answer["broken"].is_null(), "{answer}");
    assert_eq!(values(&function, "AuditEntries", 3).await, [0.0, 5.0, 6.0]);
    assert_eq!(values(&function, "AuditVerified", 3).await, [1.0; 3]);
    assert_eq!(values(&function, "AuditBroken", 3).await, [0.0; 3]);
    assert!(!function.stdout().contains(r#""level":"ERROR""#));
}

#[tokio::test]
async fn what_was_removed_changed_or_moved_is_told_with_its_place() {
    let world = World::start().await;
    let function = function(&world).await;
    let objects = world.objects();
    write(&trail(&objects), 1..=6).await;
    let third = read(&objects, 3).await;
    let fourth = read(&objects, 4).await;
    let text = String::from_utf8(third.clone()).unwrap();
    let (before, entry) = text.split_once(r#"{"user""#).unwrap();
    let (_, after) = entry.split_once(r#"],"batches""#).unwrap();
    let without_entry = format!(r#"{before}],"batches"{after}"#);
    let rated = text.replace("DOWNLOAD", "RATE");
    let cases = [
        (vec![(3, None)], "block 3 of the audit trail is missing"),
        (
            vec![(3, Some(rated.into_bytes()))],
            "block 3 of the audit trail was changed",
        ),
        (
            vec![(3, Some(without_entry.into_bytes()))],
            "block 3 of the audit trail was changed",
        ),
        (
            vec![(3, Some(fourth.clone())), (4, Some(third.clone()))],
            "block 3 of the audit trail is another block",
        ),
    ];
    for (number, (changes, expected)) in cases.into_iter().enumerate() {
        for (sequence, bytes) in changes {
            put(&objects, sequence, bytes).await;
        }
        let answer = function.invoke(&json!({ "restart": true })).await.unwrap();
        assert_eq!(answer["state"], "broken", "{expected}");
        assert_eq!(answer["broken"], json!([expected]));
        // It is told until it is gone.
        let answer = function.invoke(&scheduled()).await.unwrap();
        assert_eq!(answer["broken"], json!([expected]));
        let told = values(&function, "AuditBroken", 3 * number + 2).await;
        assert_eq!(told[3 * number..], [1.0, 1.0]);
        put(&objects, 3, Some(third.clone())).await;
        put(&objects, 4, Some(fourth.clone())).await;
        let answer = function.invoke(&scheduled()).await.unwrap();
        assert_eq!(
            (&answer["state"], &answer["entries"]),
            (&json!("finished"), &json!(6))
        );
    }
    let verified = values(&function, "AuditVerified", 12).await;
    assert_eq!(verified, [0.0, 0.0, 1.0].repeat(4));
    assert!(
        function
            .stdout()
            .contains("block 3 of the audit trail is missing")
    );
    // The anchor knows of nothing yet, and the end of a chain is not missed by it.
    put(&objects, 6, None).await;
    let answer = function.invoke(&scheduled()).await.unwrap();
    assert_eq!(
        answer["broken"],
        json!(["block 6 of the audit trail is missing"])
    );
}

#[tokio::test]
async fn what_was_verified_before_is_looked_at_again_in_rounds() {
    let world = World::start().await;
    let function = function(&world).await;
    let objects = world.objects();
    let trail = trail(&objects);
    write(&trail, 1..=4).await;
    function.invoke(&scheduled()).await.unwrap();
    let second = read(&objects, 2).await;
    put(&objects, 2, None).await;
    write(&trail, 5..=6).await;
    // The last round is younger than a day.
    let answer = function.invoke(&scheduled()).await.unwrap();
    assert_eq!(
        (&answer["state"], &answer["entries"]),
        (&json!("finished"), &json!(6))
    );
    let answer = function.invoke(&json!({})).await.unwrap();
    assert_eq!(
        answer["broken"],
        json!(["block 2 of the audit trail is missing"])
    );
    // What is broken does not hide what is new.
    write(&trail, 7..=7).await;
    let answer = function.invoke(&json!({})).await.unwrap();
    assert_eq!(
        (&answer["state"], &answer["entries"]),
        (&json!("broken"), &json!(7))
    );
    put(&objects, 2, Some(second)).await;
    let answer = function.invoke(&json!({})).await.unwrap();
    assert_eq!(
        (&answer["state"], &answer["entries"]),
        (&json!("finished"), &json!(7))
    );
    assert!(answer["broken"].is_null(), "{answer}");
}

#[tokio::test]
async fn a_long_trail_goes_on_where_it_was_left() {
    let world = World::start().await;
    let function = function(&world).await;
    let objects = world.objects();
    let memory = Objects::Memory(MemoryObjects::default());
    write(&trail(&memory), 1..=1_100).await;
    let listed = listed(&memory).await;
    for some in listed.chunks(64) {
        let copied = some.iter().map(async |key| {
            let (bytes, _) = memory.get(key).await.unwrap().unwrap();
            objects.create(key, bytes).await.unwrap();
        });
        join_all(copied).await;
    }
    // There is no time at all.
    let late = function
        .invoke_within(&scheduled(), Duration::from_secs(4))
        .await;
    let late = late.unwrap();
    assert_eq!(
        (&late["state"], &late["head"]),
        (&json!("unfinished"), &Value::Null)
    );
    let bytes = read(&objects, 1_090).await;
    put(&objects, 1_090, None).await;
    let answer = function.invoke(&scheduled()).await.unwrap();
    assert_eq!(
        answer["broken"],
        json!(["block 1090 of the audit trail is missing"])
    );
    let reached = answer["entries"].as_u64().unwrap();
    assert!((1_000..1_090).contains(&reached), "{answer}");
    put(&objects, 1_090, Some(bytes)).await;
    // It is not looked for again: what comes next is what comes after.
    put(&objects, 5, None).await;
    let answer = function.invoke(&scheduled()).await.unwrap();
    assert_eq!(
        (&answer["state"], &answer["entries"]),
        (&json!("finished"), &json!(1_100))
    );
    let answer = function.invoke(&json!({})).await.unwrap();
    assert_eq!(
        answer["broken"],
        json!(["block 5 of the audit trail is missing"])
    );
}

#[tokio::test]
async fn a_note_that_was_made_up_is_told_and_not_believed() {
    let world = World::start().await;
    let function = function(&world).await;
    let objects = world.objects();
    write(&trail(&objects), 1..=3).await;
    function.invoke(&scheduled()).await.unwrap();
    let note: String = note(&world).await;
    for made_up in [
        "{}".to_owned(),
        note.replacen("\"entries\":3", "\"entries\":4", 1),
    ] {
        assert_ne!(made_up, note);
        let update = "update registry_trail set note = $1";
        world.sql.execute(update, &[&made_up]).await.unwrap();
        let answer = function.invoke(&scheduled()).await.unwrap();
        assert_eq!(
            (&answer["state"], &answer["entries"]),
            (&json!("broken"), &json!(3))
        );
        let told = answer["broken"][0].as_str().unwrap();
        assert!(told.contains("note"), "{told}");
        let answer = function.invoke(&scheduled()).await.unwrap();
        assert_eq!(answer["state"], "finished");
    }
    // Without one, everything is verified.
    world
        .sql
        .batch_execute("delete from registry_trail")
        .await
        .unwrap();
    put(&objects, 1, None).await;
    let answer = function.invoke(&scheduled()).await.unwrap();
    assert_eq!(
        answer["broken"],
        json!(["block 1 of the audit trail is missing"])
    );
}

#[tokio::test]
async fn after_what_cannot_be_repaired_the_trail_begins_where_somebody_says() {
    let world = World::start().await;
    let function = function(&world).await;
    let objects = world.objects();
    let trail = trail(&objects);
    write(&trail, 1..=5).await;
    let last = trail.verify_some(None, None, 1).await.unwrap().head;
    assert_eq!(last.sequence, 5, "sixteen are read at a time");
    put(&objects, 2, None).await;
    let answer = function.invoke(&json!({})).await.unwrap();
    assert_eq!(answer["state"], "broken");
    let from = json!({ "from": last.to_string() });
    let answer = function.invoke(&from).await.unwrap();
    assert_eq!(
        (&answer["state"], &answer["broken"]),
        (&json!("finished"), &Value::Null)
    );
    write(&trail, 6..=7).await;
    let answer = function.invoke(&json!({})).await.unwrap();
    assert_eq!(
        (&answer["state"], &answer["entries"]),
        (&json!("finished"), &json!(2))
    );
    let other = json!({ "from": format!("5:{}", "0".repeat(64)) });
    let answer = function.invoke(&other).await.unwrap();
    assert_eq!(
        answer["broken"],
        json!(["block 5 of the audit trail was changed"])
    );
    for refused in [json!({ "from": "5" }), json!({ "every": 1 })] {
        assert!(function.invoke(&refused).await.is_err(), "{refused}");
    }
}

#[tokio::test]
async fn the_verification_says_that_it_needs_a_database() {
    let world = World::start().await;
    let secrets = [
        ("ADMIN_PASSWORD", "an admin's password"),
        ("JWT_SECRET_KEY", KEY),
    ];
    let function = start(&world, BINARY, &secrets).await;
    assert!(!function.exit_status().await.success());
    let said = format!("{}{}", function.stdout(), function.stderr());
    assert!(
        said.contains("DATABASE_URL and DATABASE_SECRET_ARN are not set"),
        "{said}"
    );
}

async fn function(world: &World) -> Function {
    let variables = [
        ("DATABASE_URL", world.postgres.url()),
        ("ADMIN_PASSWORD", "an admin's password"),
        ("JWT_SECRET_KEY", KEY),
    ];
    let function = start(world, BINARY, &variables).await;
    function.ready().await.unwrap();
    function
}

/// What the schedule sends.
fn scheduled() -> Value {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/registry.schedule-audit.json");
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn trail(objects: &Objects) -> Trail {
    let key = Key::new(KEY.as_bytes()).unwrap();
    Trail::new(
        objects.clone(),
        Keys::new(key, vec![], "registry", "registry"),
    )
}

fn entry(number: u64) -> Entry {
    Entry {
        user: tester(),
        date: datetime!(2026-11-02 09:15 UTC),
        artifact: Subject {
            name: number.to_string(),
            id: "1".parse().unwrap(),
            kind: Kind::Model,
        },
        action: Action::Download,
    }
}

/// Entries, each in a block of its own.
async fn write(trail: &Trail, numbers: std::ops::RangeInclusive<u64>) {
    let nobody = "nobody".parse().unwrap();
    for number in numbers {
        trail.record(entry(number)).await.unwrap();
        // Every reader folds.
        trail.entries(&nobody, u64::MAX - 1, 1).await.unwrap();
    }
}

fn block(sequence: u64) -> String {
    format!("audit/{sequence:020}.json")
}

async fn read(objects: &Objects, sequence: u64) -> Vec<u8> {
    let object = objects.get(&block(sequence)).await.unwrap();
    object.unwrap().0
}

/// Puts this in the place of a block, or nothing.
async fn put(objects: &Objects, sequence: u64, bytes: Option<Vec<u8>>) {
    objects.delete(&block(sequence)).await.unwrap();
    if let Some(bytes) = bytes {
        objects.create(&block(sequence), bytes).await.unwrap();
    }
}

async fn listed(objects: &Objects) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    loop {
        let after = keys.last().cloned();
        let page = objects
            .list("audit/", after.as_deref(), 1_000)
            .await
            .unwrap();
        if page.is_empty() {
            return keys;
        }
        keys.extend(page.into_iter().map(|object| object.key));
    }
}

async fn note(world: &World) -> String {
    let row = world
        .sql
        .query_one("select note from registry_trail", &[])
        .await;
    row.unwrap().get(0)
}
