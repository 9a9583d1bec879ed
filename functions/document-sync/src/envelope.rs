//! From what Lambda delivers to the S3 events inside: SQS, SNS and EventBridge in any sensible nesting.
//!
//! Every field is optional here, because services and senders differ; what is missing is judged where it is needed.

use std::borrow::Cow;
use std::ops::Deref;

use serde::Deserialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::change::{Change, Content, Kind, Location, LocationError};

/// How deep envelopes may lie in one another. SQS around SNS around EventBridge is three.
const MAX_DEPTH: usize = 4;

/// What Lambda delivered in one invocation.
#[derive(Debug)]
pub struct Delivery {
    /// Whether each message is acknowledged by itself, as a queue's are.
    pub from_queue: bool,
    /// The messages; exactly one if there is no queue.
    pub messages: Vec<Message>,
}

/// What is acknowledged, or comes again, as a whole.
#[derive(Debug)]
pub struct Message {
    /// The SQS message id; `None` for what was delivered without a queue.
    pub id: Option<String>,
    /// The events inside, or why they cannot be read.
    pub events: Result<Vec<Event>, Junk>,
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

/// What Lambda hands over, read but not understood yet.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Payload(Envelope<String>);

impl Payload {
    /// Takes the payload apart: each message of a queue by itself, or everything as one message.
    ///
    /// `received_at` stands in where an event carries no time.
    pub fn open(self, received_at: OffsetDateTime) -> Delivery {
        let Self(envelope) = self;
        let from_queue = envelope
            .records
            .as_ref()
            .and_then(|records| records.first())
            .and_then(Record::source)
            == Some("aws:sqs");
        if !from_queue {
            let events = envelope.events(received_at, 0);
            return Delivery {
                from_queue,
                messages: vec![Message { id: None, events }],
            };
        }
        let records = envelope.records.unwrap_or_default();
        let messages = records
            .into_iter()
            .map(|record| Message {
                events: match &record.body {
                    Some(body) => events(body, received_at, 1),
                    None => Err(Junk::Missing("body")),
                },
                id: record.message_id,
            })
            .collect();
        Delivery {
            from_queue,
            messages,
        }
    }
}

fn events(json: &str, received_at: OffsetDateTime, depth: usize) -> Result<Vec<Event>, Junk> {
    if depth > MAX_DEPTH {
        return Err(Junk::Depth);
    }
    serde_json::from_str::<Envelope<Text<'_>>>(json)?.events(received_at, depth)
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

/// Every field by which an envelope, or an S3 event without one, is told from the others.
#[derive(Debug, Deserialize)]
struct Envelope<S> {
    #[serde(rename = "Records")]
    records: Option<Vec<Record<S>>>,
    #[serde(rename = "detail-type")]
    detail_type: Option<S>,
    source: Option<S>,
    time: Option<S>,
    /// Not every sender's `detail` is one of S3's, so it is read when the source is known.
    detail: Option<Box<RawValue>>,
    #[serde(rename = "Type")]
    kind: Option<S>,
    #[serde(rename = "Message")]
    message: Option<S>,
    #[serde(rename = "Event")]
    event: Option<S>,
}

impl<S: Deref<Target = str> + Into<String>> Envelope<S> {
    fn events(self, received_at: OffsetDateTime, depth: usize) -> Result<Vec<Event>, Junk> {
        if let Some(records) = self.records {
            let mut found = Vec::with_capacity(records.len());
            for record in records {
                match record.source() {
                    Some("aws:s3" | "minio:s3") => found.push(record.event(received_at)?),
                    Some("aws:sqs") => {
                        let body = record.body.as_deref().ok_or(Junk::Missing("body"))?;
                        found.extend(events(body, received_at, depth + 1)?);
                    }
                    Some("aws:sns") => {
                        let message = record.sns.as_ref().and_then(|sns| sns.message.as_deref());
                        found.extend(events(
                            message.ok_or(Junk::Missing("Sns.Message"))?,
                            received_at,
                            depth + 1,
                        )?);
                    }
                    Some(other) => return Err(Junk::Source(other.to_owned())),
                    None => return Err(Junk::Missing("eventSource")),
                }
            }
            return Ok(found);
        }
        if let (Some(detail_type), Some(detail)) = (&self.detail_type, &self.detail) {
            if self.source.as_deref() != Some("aws.s3") {
                return Err(Junk::Source(
                    self.source.map(Into::into).unwrap_or_default(),
                ));
            }
            let time = self
                .time
                .as_deref()
                .and_then(instant)
                .unwrap_or(received_at);
            return serde_json::from_str::<Detail<Text<'_>>>(detail.get())?
                .event(detail_type, time)
                .map(|event| vec![event]);
        }
        if let (Some("Notification"), Some(message)) = (self.kind.as_deref(), &self.message) {
            return events(message, received_at, depth + 1);
        }
        if self.event.as_deref() == Some("s3:TestEvent") {
            return Ok(vec![Event::Ignored("s3:TestEvent".into())]);
        }
        Err(Junk::Shape)
    }
}

/// An element of `Records`, as SQS, SNS and S3 write it.
#[derive(Debug, Deserialize)]
struct Record<S> {
    /// SNS spells it with a capital.
    #[serde(rename = "eventSource", alias = "EventSource")]
    event_source: Option<S>,
    #[serde(rename = "messageId")]
    message_id: Option<S>,
    body: Option<S>,
    #[serde(rename = "Sns")]
    sns: Option<Sns<S>>,
    #[serde(rename = "eventVersion")]
    event_version: Option<S>,
    #[serde(rename = "eventName")]
    event_name: Option<S>,
    #[serde(rename = "eventTime")]
    event_time: Option<S>,
    s3: Option<Entity<S>>,
}

#[derive(Debug, Deserialize)]
struct Sns<S> {
    #[serde(rename = "Message")]
    message: Option<S>,
}

#[derive(Debug, Deserialize)]
struct Entity<S> {
    bucket: Option<Bucket<S>>,
    object: Option<Object<S>>,
}

#[derive(Debug, Deserialize)]
struct Bucket<S> {
    name: Option<S>,
}

/// An object as classic notifications (camel case) and EventBridge (kebab case) describe it.
#[derive(Debug, Deserialize)]
struct Object<S> {
    key: Option<S>,
    size: Option<i64>,
    #[serde(rename = "eTag", alias = "etag")]
    etag: Option<S>,
    #[serde(rename = "versionId", alias = "version-id")]
    version_id: Option<S>,
    sequencer: Option<S>,
}

impl<S: Deref<Target = str> + Into<String>> Record<S> {
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
struct Detail<S> {
    bucket: Option<Bucket<S>>,
    object: Option<Object<S>>,
    reason: Option<S>,
    #[serde(rename = "deletion-type")]
    deletion_type: Option<S>,
}

impl<S: Deref<Target = str> + Into<String>> Detail<S> {
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
    fn change<S>(self, location: Location, object: Object<S>, time: OffsetDateTime) -> Change
    where
        S: Deref<Target = str> + Into<String>,
    {
        let kind = match self {
            Self::Put if location.is_folder_marker(object.size) => Kind::Removed,
            Self::Put => Kind::Put(Content::new(
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
