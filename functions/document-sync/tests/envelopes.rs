//! The same event in every envelope is the same change.
#![expect(
    clippy::panic,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use document_sync::change::{Change, Kind};
use document_sync::envelope::{Content, Event, Junk, Request};
use serde_json::{Value, json};
use support::{notification, put, queue, queue_of_texts, record};
use time::OffsetDateTime;
use time::macros::datetime;

const RECEIVED_AT: OffsetDateTime = datetime!(2026-11-02 12:00 UTC);

#[test]
fn every_envelope_gives_the_same_change() {
    let classic = notification(&[put("a+b%2Bc.pdf", "0A", "e1")]);
    let expected = change(&open(&classic)[0]);
    assert_eq!(
        (expected.location.bucket(), expected.location.key()),
        ("documents", "a b+c.pdf")
    );
    assert_eq!(expected.time, datetime!(2026-11-02 09:15:01.157 UTC));

    let mut eventbridge = eventbridge(
        "Object Created",
        &json!({ "key": "a b+c.pdf", "size": 2, "etag": "e1", "sequencer": "0a" }),
    );
    eventbridge["time"] = json!("2026-11-02T09:15:01.157Z");
    for event in [classic, eventbridge] {
        let wrapped = sns_wrapped(&event);
        let direct_sns = json!({ "Records": [{ "EventSource": "aws:sns", "EventVersion": "1.0", "Sns": { "MessageId": "s", "Message": event.to_string() } }] });
        for delivery in [
            event.clone(),
            direct_sns.clone(),
            queue(&[event]),
            queue(std::slice::from_ref(&wrapped)),
            queue(&[direct_sns]),
            queue(&[sns_wrapped(&wrapped)]),
        ] {
            assert_eq!(change(&open(&delivery)[0]), expected, "{delivery}");
        }
    }
}

#[test]
fn eventbridge_keys_are_taken_as_they_are() {
    let event = eventbridge(
        "Object Created",
        &json!({ "key": "%2B++ %20.mp3", "sequencer": "1" }),
    );
    assert_eq!(change(&open(&event)[0]).location.key(), "%2B++ %20.mp3");
}

#[test]
fn each_message_of_a_queue_stands_for_itself() {
    let good = notification(&[put("a", "1", "e1")]).to_string();
    let messages = open(&queue_of_texts(&[
        good,
        "no".into(),
        json!({ "Records": [] }).to_string(),
    ]));
    assert!(matches!(messages[0].events.as_slice(), [Event::Change(_)]));
    assert!(matches!(messages[1].junk, Some(Junk::Json(_))));
    assert_eq!(messages[2], Content::default());
}

#[test]
fn deletions_are_certain_only_where_no_version_can_be_left() {
    let version = json!({ "versionId": "v1" });
    for (name, object, kind) in [
        ("ObjectRemoved:Delete", json!({}), Kind::Removed),
        (
            "ObjectRemoved:Delete",
            json!({ "versionId": null }),
            Kind::Removed,
        ),
        (
            "ObjectRemoved:Delete",
            json!({ "versionId": "null" }),
            Kind::Unknown,
        ),
        ("ObjectRemoved:Delete", version.clone(), Kind::Unknown),
        (
            "ObjectRemoved:DeleteMarkerCreated",
            version.clone(),
            Kind::Removed,
        ),
        ("ObjectRemoved:SomethingNew", json!({}), Kind::Unknown),
        ("ObjectCreated:SomethingNew", json!({}), Kind::Unknown),
        ("LifecycleExpiration:Delete", json!({}), Kind::Expired),
        ("LifecycleExpiration:Delete", version.clone(), Kind::Unknown),
        (
            "LifecycleExpiration:DeleteMarkerCreated",
            version,
            Kind::Expired,
        ),
    ] {
        let event = notification(&[record(name, "a", "1", &object)]);
        assert_eq!(change(&open(&event)[0]).kind, kind, "{name} {object}");
    }
    for (reason, deletion, version, kind) in [
        (
            "DeleteObject",
            "Permanently Deleted",
            Value::Null,
            Kind::Removed,
        ),
        (
            "DeleteObject",
            "Permanently Deleted",
            json!("v1"),
            Kind::Unknown,
        ),
        (
            "DeleteObject",
            "Delete Marker Created",
            json!("m1"),
            Kind::Removed,
        ),
        (
            "Lifecycle Expiration",
            "Permanently Deleted",
            Value::Null,
            Kind::Expired,
        ),
        (
            "Lifecycle Expiration",
            "Delete Marker Created",
            json!("m1"),
            Kind::Expired,
        ),
    ] {
        let mut event = eventbridge(
            "Object Deleted",
            &json!({ "key": "a", "version-id": version, "sequencer": "1" }),
        );
        event["detail"]["reason"] = json!(reason);
        event["detail"]["deletion-type"] = json!(deletion);
        assert_eq!(change(&open(&event)[0]).kind, kind, "{event}");
    }
}

#[test]
fn other_families_and_the_test_event_are_ignored() {
    let test_event =
        json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "documents" });
    let tagging = notification(&[record("ObjectTagging:Put", "a", "", &json!({}))]);
    let nothing_but_a_name =
        json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "SomethingNew:Ever" }] });
    let restore = eventbridge("Object Restore Completed", &json!({ "key": "a" }));
    for event in [
        &test_event,
        &sns_wrapped(&test_event),
        &tagging,
        &nothing_but_a_name,
        &restore,
    ] {
        assert!(
            matches!(open(event)[0].events.as_slice(), [Event::Ignored(_)]),
            "{event}"
        );
    }
}

#[test]
fn minio_is_understood() {
    let mut created = record(
        "s3:ObjectCreated:Put",
        "a%2Fb.txt",
        "17A0B1C2D3E4F506",
        &json!({ "eTag": "e1", "size": 5 }),
    );
    created["eventSource"] = json!("minio:s3");
    created["eventVersion"] = json!("2.0");
    let created = change(&open(&notification(&[created]))[0]);
    assert_eq!(created.location.key(), "a/b.txt");
    assert!(matches!(created.kind, Kind::Put(_)));
    // It files changes of metadata under creation: whether anything changed is for the store to say.
    let mut tagged = record(
        "s3:ObjectCreated:PutTagging",
        "a",
        "17A0B1C2D3E4F506",
        &json!({}),
    );
    tagged["eventSource"] = json!("minio:s3");
    assert_eq!(
        change(&open(&notification(&[tagged]))[0]).kind,
        Kind::Unknown
    );
}

#[test]
fn what_an_event_lacks_is_made_up_for_where_it_can_be() {
    let mut event = put("a", "not a sequencer", "\"quoted\"");
    event["eventTime"] = json!("yesterday");
    let change = change(&open(&notification(&[event]))[0]);
    assert_eq!((change.sequencer, change.time), (None, RECEIVED_AT));
    let Kind::Put(content) = change.kind else {
        panic!("{:?}", change.kind)
    };
    assert_eq!(content.etag.as_deref(), Some("quoted"));
}

#[test]
fn junk_is_named() {
    let mut endless = notification(&[put("a", "1", "e1")]);
    for _ in 0..6 {
        endless = sns_wrapped(&endless);
    }
    let foreign =
        json!({ "detail-type": "EC2 Instance State-change", "source": "aws.ec2", "detail": {} });
    let no_source = json!({ "Records": [{}] });
    let no_key = notification(&[record(
        "ObjectCreated:Put",
        "a",
        "1",
        &json!({ "key": null }),
    )]);
    let problems: Vec<String> = [
        endless,
        foreign,
        json!({ "Records": [{ "eventSource": "aws:kinesis" }] }),
        no_source,
        no_key,
        json!({}),
    ]
    .iter()
    .map(|event| open(event)[0].junk.as_ref().expect("junk").to_string())
    .collect();
    insta::assert_snapshot!(problems.join("\n"), @r#"
    its envelopes are nested more than 4 deep
    its source is "aws.ec2", not S3
    its source is "aws:kinesis", not S3
    the field eventSource is missing
    the field s3.object.key is missing
    it is neither an S3 event nor an SQS, SNS or EventBridge envelope of one
    "#);
}

fn open(event: &Value) -> Vec<Content> {
    let payload = support::payload(event);
    let Request::Events(delivery) = payload.open(RECEIVED_AT) else {
        panic!("a command: {event}")
    };
    delivery
        .messages
        .into_iter()
        .map(|message| message.content)
        .collect()
}

fn change(content: &Content) -> Change {
    match (content.events.as_slice(), &content.junk) {
        ([Event::Change(change)], None) => change.clone(),
        other => panic!("not one change: {other:?}"),
    }
}

fn sns_wrapped(event: &Value) -> Value {
    json!({ "Type": "Notification", "MessageId": "s", "TopicArn": "arn:aws:sns:us-east-1:111122223333:t", "Message": event.to_string() })
}

fn eventbridge(detail_type: &str, object: &Value) -> Value {
    json!({
        "version": "0", "id": "i", "detail-type": detail_type, "source": "aws.s3", "account": "111122223333",
        "time": "2026-11-02T09:15:01Z", "region": "us-east-1", "resources": ["arn:aws:s3:::documents"],
        "detail": { "version": "0", "bucket": { "name": "documents" }, "object": object, "reason": "PutObject" },
    })
}
