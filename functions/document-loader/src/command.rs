//! What an invocation asks for.

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What Lambda hands over: JSON, not looked at yet.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Payload(Box<RawValue>);

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// By messages of a queue.
    Messages(Vec<Message>),
    /// By an operator or a schedule.
    Command(Command),
}

/// A message of a queue. Whatever it says, it says that there is something to do: what there is, the database knows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// What it is acknowledged by.
    pub(crate) id: Option<String>,
    /// The documents that can be loaded now, if it names any: of an order, or of S3 that tells of restored objects.
    pub(crate) uris: Vec<String>,
}

/// One invocation's order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Command {
    /// `load`: load what is due, or one document.
    Load(Load),
    /// `verify`: find out whether a source can be read, and by nobody else.
    Verify(Verify),
}

/// What to load: all that is due without a choice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Only this document, whatever its state.
    #[serde(default)]
    pub uri: Option<String>,
}

/// What to verify.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// The prefix of a source, or the URI of a document.
    pub source: String,
}

/// An invocation that asks for something this function does not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the invocation is invalid: {0}")]
pub struct InvalidCommand(String);

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Records")]
    records: Option<Vec<Record>>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "eventSource")]
    event_source: Option<String>,
    #[serde(rename = "messageId")]
    message_id: Option<String>,
    body: Option<String>,
}

impl Payload {
    /// Finds out what is asked for.
    ///
    /// # Errors
    ///
    /// It is neither a queue's delivery nor an order.
    pub(crate) fn open(&self) -> Result<Request, InvalidCommand> {
        let text = self.0.get();
        if let Ok(Envelope {
            records: Some(records),
        }) = serde_json::from_str(text)
        {
            if let Some(other) = records
                .iter()
                .find(|record| record.event_source.as_deref() != Some("aws:sqs"))
            {
                let source = other.event_source.as_deref().unwrap_or("nowhere");
                return Err(InvalidCommand(format!(
                    "it is an event of {source}, and only a queue's are understood"
                )));
            }
            return Ok(Request::Messages(
                records.into_iter().map(Record::message).collect(),
            ));
        }
        serde_json::from_str(text)
            .map(Request::Command)
            .map_err(|error| InvalidCommand(error.to_string()))
    }
}

impl Record {
    fn message(self) -> Message {
        let body = self.body.as_deref().unwrap_or_default();
        Message {
            id: self.message_id,
            uris: match serde_json::from_str(body) {
                Ok(Body::Order(Command::Load(Load { uri }))) => uri.into_iter().collect(),
                Ok(Body::Notification { records }) => {
                    records.iter().filter_map(Notified::restored).collect()
                }
                Ok(Body::Event(event)) => event.restored().into_iter().collect(),
                _ => Vec::new(),
            },
        }
    }
}

/// What a message may have as its body.
#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Order(Command),
    /// As S3 sends it to a queue.
    Notification {
        #[serde(rename = "Records")]
        records: Vec<Notified>,
    },
    /// As EventBridge does.
    Event(BridgeEvent),
}

#[derive(Deserialize)]
struct Notified {
    #[serde(rename = "eventName")]
    event_name: String,
    s3: Place,
}

#[derive(Deserialize)]
struct BridgeEvent {
    #[serde(rename = "detail-type")]
    detail_type: String,
    detail: Place,
}

#[derive(Deserialize)]
struct Place {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

impl Notified {
    /// The object that came out of an archive.
    fn restored(&self) -> Option<String> {
        let is_restored = self.event_name.trim_start_matches("s3:") == "ObjectRestore:Completed";
        // As a form encodes it: a plus sign of the key's own is `%2B`.
        let key = self.s3.object.key.replace('+', " ");
        let key = percent_decode_str(&key).decode_utf8().ok()?;
        is_restored.then(|| format!("s3://{}/{key}", self.s3.bucket.name))
    }
}

impl BridgeEvent {
    /// The same. Here keys are as they are.
    fn restored(&self) -> Option<String> {
        let Place { bucket, object } = &self.detail;
        (self.detail_type == "Object Restore Completed")
            .then(|| format!("s3://{}/{}", bucket.name, object.key))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn open(json: &str) -> Result<Request, InvalidCommand> {
        serde_json::from_str::<Payload>(json).unwrap().open()
    }

    #[test]
    fn orders_are_read() {
        let load = |uri: Option<&str>| {
            Ok(Request::Command(Command::Load(Load {
                uri: uri.map(ToOwned::to_owned),
            })))
        };
        assert_eq!(open(r#"{"load": {}}"#), load(None));
        assert_eq!(
            open(r#"{"load": {"uri": "s3://b/k"}}"#),
            load(Some("s3://b/k"))
        );
        assert_eq!(
            open(r#"{"verify": {"source": "s3://b/"}}"#),
            Ok(Request::Command(Command::Verify(Verify {
                source: "s3://b/".to_owned()
            })))
        );
    }

    #[test]
    fn what_is_not_understood_is_not_done() {
        for (json, problem) in [
            ("{}", "expected value"),
            ("[]", "expected value"),
            (r#"{"unload": {}}"#, "unknown variant"),
            (r#"{"load": {"url": "s3://b/k"}}"#, "unknown field"),
            (
                r#"{"load": {}, "verify": {"source": "s3://b/"}}"#,
                "expected",
            ),
            (r#"{"verify": {}}"#, "missing field"),
            (
                r#"{"Records": [{"eventSource": "aws:s3"}]}"#,
                "an event of aws:s3",
            ),
        ] {
            let error = open(json).unwrap_err().to_string();
            assert!(error.contains(problem), "{json}: {error}");
        }
    }

    #[test]
    fn every_message_of_a_queue_is_an_order_to_look() {
        let json = r#"{"Records": [
            {"eventSource": "aws:sqs", "messageId": "1", "body": "{\"load\": {}}"},
            {"eventSource": "aws:sqs", "messageId": "2", "body": "{\"load\": {\"uri\": \"s3://b/k\"}}"},
            {"eventSource": "aws:sqs", "messageId": "3", "body": "{\"Records\": []}"},
            {"eventSource": "aws:sqs", "messageId": "4", "body": "not JSON"},
            {"eventSource": "aws:sqs"}
        ]}"#;
        let Ok(Request::Messages(messages)) = open(json) else {
            panic!("no messages")
        };
        let uris: Vec<&[String]> = messages
            .iter()
            .map(|message| message.uris.as_slice())
            .collect();
        assert_eq!(uris, [&[][..], &["s3://b/k".to_owned()], &[], &[], &[]]);
        assert_eq!(messages.last().unwrap().id, None);
    }

    #[test]
    fn s3_tells_of_objects_that_were_restored() {
        let classic = |name: &str| {
            json!({ "Records": [
                { "eventName": name, "s3": { "bucket": { "name": "b" }, "object": { "key": "a+b%2Bc+%C3%A4" } } },
                { "eventName": name, "s3": { "bucket": { "name": "b" }, "object": { "key": "%FF" } } },
            ] })
        };
        let bridge = json!({
            "detail-type": "Object Restore Completed",
            "detail": { "bucket": { "name": "b" }, "object": { "key": "a+%2B", "size": 1 } },
        });
        for (body, expected) in [
            (classic("ObjectRestore:Completed"), vec!["s3://b/a b+c ä"]),
            (
                classic("s3:ObjectRestore:Completed"),
                vec!["s3://b/a b+c ä"],
            ),
            (classic("ObjectRestore:Post"), vec![]),
            (classic("ObjectCreated:Put"), vec![]),
            (bridge, vec!["s3://b/a+%2B"]),
        ] {
            let record = Record {
                event_source: None,
                message_id: None,
                body: Some(body.to_string()),
            };
            assert_eq!(record.message().uris, expected, "{body}");
        }
    }
}
