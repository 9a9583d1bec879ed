//! From what Lambda delivers to the S3 events inside: SQS, SNS and EventBridge in any sensible nesting.
//!
//! Every field is optional here, because services and senders differ; what is missing is judged where it is needed.

use std::borrow::Cow;
use std::ops::Deref;

use serde::Deserialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::change::{self, Change, Kind, Location, LocationError};
use crate::command::{Command, InvalidCommand};

/// How deep envelopes may lie in one another. SQS around SNS around EventBridge is three.
const MAX_DEPTH: usize = 4;

/// What an invocation asks for.
#[derive(Debug)]
pub enum Request<'a> {
    /// Events to apply.
    Events(Delivery<'a>),
    /// Something that an operator or a schedule wants done.
    Command(Result<Command, InvalidCommand>),
}

/// Events that Lambda delivered in one invocation.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// Whether each message is acknowledged by itself, as a queue's are.
    pub from_queue: bool,
    /// The messages; exactly one if there is no queue.
    pub messages: Vec<Message<'a>>,
}

/// What is acknowledged, or comes again, as a whole.
#[derive(Debug)]
pub struct Message<'a> {
    /// The SQS message id; `None` for what was delivered without a queue.
    pub id: Option<Cow<'a, str>>,
    /// The message as it came.
    pub body: Cow<'a, str>,
    /// What is in it.
    pub content: Content,
}

/// What a message's text holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The events that could be read.
    pub events: Vec<Event>,
    /// Why the message could not be read, or not all of it: the first reason.
    pub junk: Option<Junk>,
}

impl Content {
    /// Reads a message's text. `received_at` stands in where an event carries no time.
    pub fn read(json: &str, received_at: OffsetDateTime) -> Self {
        let mut content = Self::default();
        content.add_text(json, received_at, 1);
        content
    }

    fn add_text(&mut self, json: &str, received_at: OffsetDateTime, depth: usize) {
        if depth > MAX_DEPTH {
            self.add(Err(Junk::Depth));
            return;
        }
        match Envelope::read(json) {
            Ok(envelope) => envelope.add_to(self, received_at, depth),
            Err(junk) => self.add(Err(junk)),
        }
    }

    fn add(&mut self, event: Result<Event, Junk>) {
        match event {
            Ok(event) => self.events.push(event),
            Err(junk) => {
                self.junk.get_or_insert(junk);
            }
        }
    }
}

/// One S3 event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It concerns an object's content or presence.
    Change(Change),
    /// It does not: another event family, or S3's test event.
    Ignored(String),
}

/// Why a message can never be understood. Delivering it again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Junk {
    /// Not JSON, or fields of other types than S3 sends.
    #[error("it is not the JSON of an event: {0}")]
    Json(String),
    /// JSON of something else.
    #[error("it is neither an S3 event nor an SQS, SNS or EventBridge envelope of one")]
    Shape,
    /// Envelopes without end.
    #[error("its envelopes are nested more than {MAX_DEPTH} deep")]
    Depth,
    /// From a service whose events say nothing of objects.
    #[error("its source is {0:?}, not S3")]
    Source(String),
    /// A version of the format that does not exist yet.
    #[error("its event version is {0:?}, not 2.x")]
    Version(String),
    /// A field without which the event says nothing.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// The object cannot exist under this name.
    #[error(transparent)]
    Location(#[from] LocationError),
}

impl From<serde_json::Error> for Junk {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error.to_string())
    }
}

/// What Lambda hands over: JSON, not looked at yet.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Payload(Box<RawValue>);

impl Payload {
    /// Finds out what is asked for, and takes a delivery apart: each message of a queue by itself, or everything as
    /// one message.
    ///
    /// `received_at` stands in where an event carries no time.
    pub fn open(&self, received_at: OffsetDateTime) -> Request<'_> {
        let text = self.0.get();
        let mut content = Content::default();
        match Envelope::read(text) {
            Ok(Envelope {
                replay,
                reconcile,
                records: None,
                ..
            }) if replay.is_some() || reconcile.is_some() => {
                return Request::Command(Command::read(text));
            }
            Ok(Envelope {
                records: Some(records),
                ..
            }) if records.first().and_then(Record::source) == Some("aws:sqs") => {
                let messages = records.into_iter();
                return Request::Events(Delivery {
                    from_queue: true,
                    messages: messages.map(|record| record.message(received_at)).collect(),
                });
            }
            Ok(envelope) => envelope.add_to(&mut content, received_at, 0),
            Err(junk) => content.add(Err(junk)),
        }
        let message = Message {
            id: None,
            body: Cow::Borrowed(text),
            content,
        };
        Request::Events(Delivery {
            from_queue: false,
            messages: vec![message],
        })
    }
}

/// A string of a document that is there while it is read: copied only if it has escapes. Most of an event's strings
/// are looked at once.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<Text<'_>> for String {
    fn from(Text(text): Text<'_>) -> Self {
        text.into_owned()
    }
}

/// Every field by which an envelope, an S3 event without one, or a command is told from the others.
#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "Records")]
    records: Option<Vec<Record<'a>>>,
    #[serde(borrow, rename = "detail-type")]
    detail_type: Option<Text<'a>>,
    #[serde(borrow)]
    source: Option<Text<'a>>,
    #[serde(borrow)]
    time: Option<Text<'a>>,
    /// Not every sender's `detail` is one of S3's, so it is read when the source is known.
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow, rename = "Type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, rename = "Message")]
    message: Option<Text<'a>>,
    #[serde(borrow, rename = "Event")]
    event: Option<Text<'a>>,
    #[serde(borrow)]
    replay: Option<&'a RawValue>,
    #[serde(borrow)]
    reconcile: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    /// A list of the fields, in which serde finds them as well, is none.
    fn read(json: &'a str) -> Result<Self, Junk> {
        let envelope = serde_json::from_str(json)?;
        if !json.trim_start().starts_with('{') {
            return Err(Junk::Shape);
        }
        Ok(envelope)
    }

    /// Adds what is inside. One bad record does not keep the others from being read.
    fn add_to(self, content: &mut Content, received_at: OffsetDateTime, depth: usize) {
        if let Some(records) = self.records {
            for record in records {
                record.add_to(content, received_at, depth);
            }
        } else if let (Some(detail_type), Some(detail)) = (&self.detail_type, self.detail) {
            let time = self.time.as_deref().and_then(instant);
            content.add(eventbridge_event(
                self.source.as_deref(),
                detail_type,
                detail,
                time.unwrap_or(received_at),
            ));
        } else if let (Some("Notification"), Some(message)) = (self.kind.as_deref(), &self.message)
        {
            content.add_text(message, received_at, depth + 1);
        } else if self.event.as_deref() == Some("s3:TestEvent") {
            content.add(Ok(Event::Ignored("s3:TestEvent".into())));
        } else {
            content.add(Err(Junk::Shape));
        }
    }
}

fn eventbridge_event(
    source: Option<&str>,
    detail_type: &str,
    detail: &RawValue,
    time: OffsetDateTime,
) -> Result<Event, Junk> {
    if source != Some("aws.s3") {
        return Err(Junk::Source(source.unwrap_or_default().to_owned()));
    }
    serde_json::from_str::<Detail<'_>>(detail.get())?.event(detail_type, time)
}

/// An element of `Records`, as SQS, SNS and S3 write it.
#[derive(Debug, Deserialize)]
struct Record<'a> {
    /// SNS spells it with a capital.
    #[serde(borrow, rename = "eventSource", alias = "EventSource")]
    event_source: Option<Text<'a>>,
    #[serde(borrow, rename = "messageId")]
    message_id: Option<Text<'a>>,
    #[serde(borrow)]
    body: Option<Text<'a>>,
    #[serde(borrow, rename = "Sns")]
    sns: Option<Sns<'a>>,
    #[serde(borrow, rename = "eventVersion")]
    event_version: Option<Text<'a>>,
    #[serde(borrow, rename = "eventName")]
    event_name: Option<Text<'a>>,
    #[serde(borrow, rename = "eventTime")]
    event_time: Option<Text<'a>>,
    #[serde(borrow)]
    s3: Option<Entity<'a>>,
}

#[derive(Debug, Deserialize)]
struct Sns<'a> {
    #[serde(borrow, rename = "Message")]
    message: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
struct Entity<'a> {
    #[serde(borrow)]
    bucket: Option<Bucket<'a>>,
    #[serde(borrow)]
    object: Option<Object<'a>>,
}

#[derive(Debug, Deserialize)]
struct Bucket<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
}

/// An object as classic notifications (camel case) and EventBridge (kebab case) describe it.
#[derive(Debug, Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    key: Option<Text<'a>>,
    size: Option<i64>,
    #[serde(borrow, rename = "eTag", alias = "etag")]
    etag: Option<Text<'a>>,
    #[serde(borrow, rename = "versionId", alias = "version-id")]
    version_id: Option<Text<'a>>,
    #[serde(borrow)]
    sequencer: Option<Text<'a>>,
}

impl<'a> Record<'a> {
    /// The message of a queue.
    fn message(self, received_at: OffsetDateTime) -> Message<'a> {
        let mut content = Content::default();
        match &self.body {
            Some(body) => content.add_text(body, received_at, 1),
            None => content.add(Err(Junk::Missing("body"))),
        }
        Message {
            id: self.message_id.map(|Text(id)| id),
            body: self.body.map_or_else(Cow::default, |Text(body)| body),
            content,
        }
    }

    /// Adds what is inside, if this is an envelope, or the event that it is.
    fn add_to(self, content: &mut Content, received_at: OffsetDateTime, depth: usize) {
        let (name, inner) = match self.source() {
            Some("aws:s3" | "minio:s3") => {
                content.add(self.event(received_at));
                return;
            }
            Some("aws:sqs") => ("body", self.body.as_deref()),
            Some("aws:sns") => {
                let message = self.sns.as_ref().and_then(|sns| sns.message.as_deref());
                ("Sns.Message", message)
            }
            Some(other) => {
                content.add(Err(Junk::Source(other.to_owned())));
                return;
            }
            None => ("eventSource", None),
        };
        match inner {
            Some(text) => content.add_text(text, received_at, depth + 1),
            None => content.add(Err(Junk::Missing(name))),
        }
    }

    fn source(&self) -> Option<&str> {
        self.event_source.as_deref()
    }

    /// The event of a classic notification.
    fn event(self, received_at: OffsetDateTime) -> Result<Event, Junk> {
        if let Some(version) = self.event_version
            && version.split('.').next() != Some("2")
        {
            return Err(Junk::Version(version.into()));
        }
        let name = self.event_name.ok_or(Junk::Missing("eventName"))?;
        // MinIO keeps the prefix that AWS drops.
        let (family, action) = name
            .strip_prefix("s3:")
            .unwrap_or(&name)
            .split_once(':')
            .unwrap_or((&name, ""));
        let (bucket, object) = self
            .s3
            .map(|entity| (entity.bucket, entity.object))
            .unwrap_or_default();
        let versioned = object
            .as_ref()
            .is_some_and(|object| object.version_id.is_some());
        let meaning = match (family, action) {
            ("ObjectCreated", "Put" | "Post" | "Copy" | "CompleteMultipartUpload") => Meaning::Put,
            ("ObjectRemoved", "DeleteMarkerCreated") => Meaning::Removed,
            ("ObjectRemoved", "Delete") if !versioned => Meaning::Removed,
            ("LifecycleExpiration", "DeleteMarkerCreated") => Meaning::Expired,
            ("LifecycleExpiration", "Delete") if !versioned => Meaning::Expired,
            // A version is gone, or an action that did not exist when this was written.
            ("ObjectCreated" | "ObjectRemoved" | "LifecycleExpiration", _) => Meaning::Unknown,
            _ => return Ok(Event::Ignored(name.into())),
        };
        let object = object.ok_or(Junk::Missing("s3.object"))?;
        let bucket = bucket
            .and_then(|bucket| bucket.name)
            .ok_or(Junk::Missing("s3.bucket.name"))?
            .into();
        let key = object
            .key
            .as_deref()
            .ok_or(Junk::Missing("s3.object.key"))?;
        let location = Location::decode(bucket, key)?;
        let time = self
            .event_time
            .as_deref()
            .and_then(instant)
            .unwrap_or(received_at);
        Ok(Event::Change(meaning.change(location, object, time)))
    }
}

/// `detail` of an EventBridge event.
#[derive(Debug, Deserialize)]
struct Detail<'a> {
    #[serde(borrow)]
    bucket: Option<Bucket<'a>>,
    #[serde(borrow)]
    object: Option<Object<'a>>,
    #[serde(borrow)]
    reason: Option<Text<'a>>,
    #[serde(borrow, rename = "deletion-type")]
    deletion_type: Option<Text<'a>>,
}

impl Detail<'_> {
    fn event(self, detail_type: &str, time: OffsetDateTime) -> Result<Event, Junk> {
        let versioned = self
            .object
            .as_ref()
            .is_some_and(|object| object.version_id.is_some());
        let lifecycle = self.reason.as_deref() == Some("Lifecycle Expiration");
        let marker = self.deletion_type.as_deref() == Some("Delete Marker Created");
        let meaning = match detail_type {
            "Object Created" => Meaning::Put,
            "Object Deleted" if versioned && !marker => Meaning::Unknown,
            "Object Deleted" if lifecycle => Meaning::Expired,
            "Object Deleted" => Meaning::Removed,
            _ => return Ok(Event::Ignored(detail_type.to_owned())),
        };
        let object = self.object.ok_or(Junk::Missing("detail.object"))?;
        let bucket = self
            .bucket
            .and_then(|bucket| bucket.name)
            .ok_or(Junk::Missing("detail.bucket.name"))?
            .into();
        // EventBridge does not encode keys: decoding one would corrupt `+` and `%`.
        let key = object
            .key
            .as_deref()
            .ok_or(Junk::Missing("detail.object.key"))?;
        let location = Location::new(bucket, key.to_owned())?;
        Ok(Event::Change(meaning.change(location, object, time)))
    }
}

/// What an event's name says before its object is looked at.
#[derive(Clone, Copy)]
enum Meaning {
    Put,
    Removed,
    Expired,
    Unknown,
}

impl Meaning {
    fn change(self, location: Location, object: Object<'_>, time: OffsetDateTime) -> Change {
        let kind = match self {
            Self::Put if location.is_folder_marker(object.size) => Kind::Removed,
            Self::Put => Kind::Put(change::Content::new(
                object.etag.map(Into::into),
                object.size,
                object.version_id.map(Into::into),
            )),
            Self::Removed => Kind::Removed,
            Self::Expired => Kind::Expired,
            Self::Unknown => Kind::Unknown,
        };
        // A sequencer that is none leaves the order open, as a missing one does: S3 will be asked.
        let sequencer = object.sequencer.and_then(|text| text.parse().ok());
        Change {
            location,
            sequencer,
            time,
            kind,
        }
    }
}

fn instant(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}
