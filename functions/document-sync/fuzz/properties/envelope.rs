//! What is true of every payload and of every text of a message, whatever is in it.
//!
//! For the fuzz target `envelope` and, on a stable compiler, for `tests/envelopes_fuzz.rs`.

use document_sync::Payload;
use document_sync::change::{Change, Kind, Location};
use document_sync::command::Command;
use document_sync::envelope::{Content, Delivery, Event, Junk, Message, Request};
use document_sync::sequencer::Sequencer;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

const RECEIVED_AT: OffsetDateTime = datetime!(2026-11-02 12:00 UTC);

/// Checks the bytes as a payload of Lambda, as the text of a message, as a key and as a sequencer.
pub(crate) fn holds_for(bytes: &[u8]) {
    payload(bytes);
    let text = String::from_utf8_lossy(bytes);
    message(&text);
    key(&text);
    sequencer(&text);
}

fn payload(bytes: &[u8]) {
    let Ok(payload) = serde_json::from_slice::<Payload>(bytes) else {
        return; // Lambda's runtime refuses it before the function sees it
    };
    let request = payload.open(RECEIVED_AT);
    let again = payload.open(RECEIVED_AT);
    assert_eq!(format!("{request:?}"), format!("{again:?}"));
    match request {
        Request::Command(Ok(orders)) => command(&orders),
        Request::Command(Err(error)) => {
            assert!(
                error.to_string().starts_with("the invocation is invalid: "),
                "{error}"
            );
        }
        Request::Events(delivery) => deliver(&delivery, bytes),
    }
}

fn command(orders: &Command) {
    let Some(reconcile) = &orders.reconcile else {
        return;
    };
    assert!(!reconcile.bucket.is_empty() && !reconcile.bucket.contains(['/', '\0']));
    assert!(reconcile.prefix.len() <= 1024 && !reconcile.prefix.contains('\0'));
    let share = reconcile.max_deleted_share;
    assert!(
        share.is_none_or(|share| (0.0..=1.0).contains(&share)),
        "{share:?}"
    );
    assert_eq!(
        reconcile.interval().is_some(),
        reconcile.every_hours.is_some()
    );
}

fn deliver(delivery: &Delivery<'_>, bytes: &[u8]) {
    for message in &delivery.messages {
        content(&message.body, &message.content);
        as_kept(message, delivery.from_queue);
    }
    if delivery.from_queue {
        assert!(!delivery.messages.is_empty());
        return;
    }
    let [message] = delivery.messages.as_slice() else {
        unreachable!("without a queue there is one message: {delivery:?}")
    };
    assert_eq!(message.id, None);
    assert_eq!(message.body.as_bytes(), bytes.trim_ascii());
}

/// The quarantine keeps a message's body and no more: a replay has to find the same in it.
fn as_kept(message: &Message<'_>, from_queue: bool) {
    let replayed = Content::read(&message.body, RECEIVED_AT);
    if !from_queue {
        // A payload is an envelope less deep than the body of a message.
        is_found_deeper(&message.content, &replayed);
    } else if message.body.is_empty() {
        assert!(message.content.events.is_empty() && message.content.junk.is_some());
    } else {
        assert_eq!(message.content, replayed, "{:?}", message.body);
    }
}

/// The text of a message is read to the same end in every envelope.
fn message(text: &str) {
    let read = Content::read(text, RECEIVED_AT);
    assert_eq!(read, Content::read(text, RECEIVED_AT));
    content(text, &read);

    let record = |id: &str| json!({ "messageId": id, "eventSource": "aws:sqs", "body": text });
    let queue = json!({ "Records": [record("first"), record("second")] }).to_string();
    let payload: Payload = serde_json::from_str(&queue).unwrap();
    let Request::Events(delivery) = payload.open(RECEIVED_AT) else {
        unreachable!("a queue delivers events")
    };
    assert!(delivery.from_queue);
    let ids: Vec<_> = delivery
        .messages
        .iter()
        .map(|message| message.id.as_deref())
        .collect();
    assert_eq!(ids, [Some("first"), Some("second")]);
    for message in &delivery.messages {
        assert_eq!((&*message.body, &message.content), (text, &read));
    }

    for wrapped in [
        json!({ "Type": "Notification", "Message": text }),
        json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "Message": text } }] }),
        json!({ "Records": [record("third")] }),
    ] {
        is_found_deeper(&read, &Content::read(&wrapped.to_string(), RECEIVED_AT));
    }
}

/// In one more envelope the same is found, except what is too deep now: that is told, not dropped.
fn is_found_deeper(read: &Content, deeper: &Content) {
    if read == deeper {
        return;
    }
    assert!(deeper.junk.is_some(), "{read:?} became {deeper:?}");
    let mut events = read.events.iter();
    let are_in_order = deeper
        .events
        .iter()
        .all(|event| events.any(|other| other == event));
    assert!(are_in_order, "{read:?} became {deeper:?}");
}

fn content(text: &str, content: &Content) {
    // What says nothing at all must not pass for a message that has been applied.
    if content.events.is_empty() && content.junk.is_none() {
        assert!(says_nothing(text), "{text:?} was taken for no event");
    }
    if let Some(junk) = &content.junk {
        assert!(!junk.to_string().is_empty());
        assert!(
            *junk != Junk::Missing(""),
            "a reason names the missing field"
        );
    }
    for event in &content.events {
        if let Event::Change(event) = event {
            change(event);
        }
    }
}

/// Whether a text is nothing but envelopes around empty lists of records.
fn says_nothing(text: &str) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        // Somewhere in what is not looked at: a number too large, half of a surrogate pair, nesting without end.
        return text.contains("Records");
    };
    let records = value.get("Records").filter(|records| !records.is_null());
    if let Some(records) = records {
        return records.as_array().is_some_and(|records| {
            records.iter().all(|record| {
                // The fields of a record may also come as a list, in their order.
                let body = record.get("body").or_else(|| record.get(2));
                let sns = record.get("Sns").or_else(|| record.get(3));
                let message = sns.and_then(|sns| sns.get("Message").or_else(|| sns.get(0)));
                [body, message]
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .any(says_nothing)
            })
        });
    }
    let message = value.get("Message");
    message.and_then(Value::as_str).is_some_and(says_nothing)
}

fn change(change: &Change) {
    location(&change.location);
    if let Kind::Put(content) = &change.kind {
        assert_ne!(content.version_id.as_deref(), Some("null"));
        let etag = content.etag.as_deref().unwrap_or_default();
        assert!(!etag.starts_with('"') && !etag.ends_with('"'), "{etag:?}");
        assert!(!change.location.is_folder_marker(content.size));
    }
    if let Some(sequencer) = change.sequencer {
        assert_eq!(Sequencer::from_bytes(sequencer.to_bytes()), sequencer);
        assert!(sequencer.successor() >= sequencer);
    }
}

/// It can be stored, and is found again from what the documents table has of it.
fn location(location: &Location) {
    let (bucket, key) = (location.bucket(), location.key());
    assert!(!bucket.is_empty() && bucket.len() <= 255 && !bucket.contains(['/', '\0']));
    assert!(!key.is_empty() && key.len() <= 1024 && !key.contains('\0'));
    let title = location.title();
    assert!(!title.is_empty() && key.contains(title));

    let uri = location.uri();
    let parts = uri
        .strip_prefix("s3://")
        .and_then(|path| path.split_once('/'));
    assert_eq!(parts, Some((bucket, key)), "{uri:?}");
    let again = Location::new(bucket.to_owned(), key.to_owned());
    assert_eq!(again.as_ref(), Ok(location));
    assert_eq!(again.map(|again| again.digest()), Ok(location.digest()));
}

fn key(text: &str) {
    let bucket = || "bucket".to_owned();
    if let Ok(decoded) = Location::decode(bucket(), text) {
        location(&decoded);
    }
    let raw = Location::new(bucket(), text.to_owned());
    let is_storable = !text.is_empty() && text.len() <= 1024 && !text.contains('\0');
    assert_eq!(raw.is_ok(), is_storable, "{text:?}");
    let encoded = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    assert_eq!(Location::decode(bucket(), &encoded), raw);
    assert_eq!(
        Location::decode(bucket(), &encoded.replace("%20", "+")),
        raw
    );
}

fn sequencer(text: &str) {
    let is_number =
        (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let read = text.parse::<Sequencer>();
    assert_eq!(read.is_ok(), is_number, "{text:?}");
    if let Ok(sequencer) = read {
        let number = u128::from_be_bytes(sequencer.to_bytes());
        assert_eq!(u128::from_str_radix(text, 16), Ok(number));
    }
}
