//! What an invocation asks for.

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
    /// The document it names, if it does.
    pub(crate) uri: Option<String>,
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
        let order = self.body.as_deref().map(serde_json::from_str::<Command>);
        let uri = match order {
            Some(Ok(Command::Load(Load { uri }))) => uri,
            _ => None,
        };
        Message {
            id: self.message_id,
            uri,
        }
    }
}

#[cfg(test)]
mod tests {
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
        let uris: Vec<Option<&str>> = messages
            .iter()
            .map(|message| message.uri.as_deref())
            .collect();
        assert_eq!(uris, [None, Some("s3://b/k"), None, None, None]);
        assert_eq!(messages.last().unwrap().id, None);
    }
}
