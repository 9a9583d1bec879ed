//! The same batch of new objects in three forms: as a queue delivers it, as states, and as columns.

use document_sync::change::{Content, Location};
use document_sync::documents::State;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_postgres::types::{ToSql, Type};

use crate::Failure;

const BUCKET: &str = "example-documents";
const TIME: &str = "2026-11-02T09:15:01.157Z";
const SIZE: i64 = 482_117;

/// What the events of a batch tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    Duplicate,
    Overwrite,
    Delete,
}

/// Objects that no other batch of the same folder has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    /// The first segment of the keys.
    pub(crate) folder: &'static str,
    /// How many.
    pub(crate) size: usize,
    /// Which batch of the folder.
    pub(crate) number: usize,
}

impl Batch {
    /// A queue's delivery as Lambda hands it over, one record in each message.
    pub(crate) fn payload(self, kind: Kind) -> Value {
        let messages: Vec<_> = (0..self.size)
            .map(|index| message(index, &record(&self.key(index), index, kind)))
            .collect();
        json!({ "Records": messages })
    }

    /// The states that the events of [`Kind::Create`] come to.
    pub(crate) fn states(self) -> Result<Vec<State>, Failure> {
        let time = OffsetDateTime::parse(TIME, &Rfc3339)?;
        (0..self.size)
            .map(|index| {
                Ok(State {
                    location: Location::new(BUCKET.to_owned(), self.key(index))?,
                    sequencer: sequencer(Kind::Create).parse()?,
                    time,
                    content: Some(Content::new(
                        Some(etag(Kind::Create, index)),
                        Some(SIZE),
                        None,
                    )),
                })
            })
            .collect()
    }

    /// The rows that the events of [`Kind::Create`] come to, in the order of the index over the URIs.
    pub(crate) fn columns(self) -> Result<Columns, Failure> {
        let mut keys: Vec<(String, usize)> = (0..self.size)
            .map(|index| (self.key(index), index))
            .collect();
        keys.sort_unstable();
        let title = |key: &str| key.rsplit('/').next().unwrap_or(key).to_owned();
        Ok(Columns {
            uris: keys
                .iter()
                .map(|(key, _)| format!("s3://{BUCKET}/{key}"))
                .collect(),
            titles: keys.iter().map(|(key, _)| title(key)).collect(),
            sizes: vec![SIZE; self.size],
            etags: keys
                .iter()
                .map(|(_, index)| etag(Kind::Create, *index))
                .collect(),
            version_ids: vec![None; self.size],
            times: vec![OffsetDateTime::parse(TIME, &Rfc3339)?; self.size],
        })
    }

    /// Keys of one batch are not neighbours: in a bucket, batches are cut by time.
    fn key(self, index: usize) -> String {
        let spread = (self.number * 10_007 + index).wrapping_mul(2_654_435_761) & 0xffff_ffff;
        format!("{}/{spread:08x}/document {index}.pdf", self.folder)
    }
}

/// Rows of the documents table as columns.
#[derive(Debug)]
pub(crate) struct Columns {
    uris: Vec<String>,
    titles: Vec<String>,
    sizes: Vec<i64>,
    etags: Vec<String>,
    version_ids: Vec<Option<String>>,
    times: Vec<OffsetDateTime>,
}

impl Columns {
    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.uris.len()
    }

    /// The parameters of one statement: URIs, titles, sizes, entity tags, versions, times.
    pub(crate) fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 6] {
        [
            (&self.uris, Type::TEXT_ARRAY),
            (&self.titles, Type::TEXT_ARRAY),
            (&self.sizes, Type::INT8_ARRAY),
            (&self.etags, Type::TEXT_ARRAY),
            (&self.version_ids, Type::TEXT_ARRAY),
            (&self.times, Type::TIMESTAMPTZ_ARRAY),
        ]
    }
}

/// A queue's delivery of the deletion of one version. What is there now, only S3 can tell.
pub(crate) fn version_deleted(bucket: &str, key: &str) -> Value {
    let mut record = record(key, 0, Kind::Delete);
    record["s3"]["bucket"]["name"] = json!(bucket);
    record["s3"]["object"]["versionId"] = json!("3HL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY");
    json!({ "Records": [message(0, &record)] })
}

fn message(index: usize, record: &Value) -> Value {
    json!({
        "messageId": format!("eef0bffe-7acb-4707-b1f5-{index:012x}"),
        "receiptHandle": "JwkCYwbR2i0QBQACWFuGnkUktWLAgxmLE41jDGGQ",
        "body": json!({ "Records": [record] }).to_string(),
        "attributes": { "ApproximateReceiveCount": "1", "SentTimestamp": "1793610902194" },
        "messageAttributes": {},
        "md5OfBody": "ac3c0dd6ba57699a12f61ea10a599adc",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:111122223333:document-events",
        "awsRegion": "eu-central-1",
    })
}

fn record(key: &str, index: usize, kind: Kind) -> Value {
    let mut object = json!({ "key": key.replace(' ', "+"), "sequencer": sequencer(kind) });
    let name = if kind == Kind::Delete {
        "ObjectRemoved:Delete"
    } else {
        object["size"] = json!(SIZE);
        object["eTag"] = json!(etag(kind, index));
        "ObjectCreated:Put"
    };
    json!({
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": TIME,
        "eventName": name,
        "userIdentity": { "principalId": "AWS:AIDAJDPLRKLG7UEXAMPLE" },
        "requestParameters": { "sourceIPAddress": "203.0.113.7" },
        "responseElements": {
            "x-amz-request-id": "734AB64D7BA3777F",
            "x-amz-id-2": "cKC8sLvh56b5HuTMDVHEPYLZM4SSQoNw631jdU4d6Hh",
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "document-events",
            "bucket": {
                "name": BUCKET,
                "ownerIdentity": { "principalId": "A3NL1KOZZKExample" },
                "arn": "arn:aws:s3:::example-documents",
            },
            "object": object,
        },
    })
}

fn sequencer(kind: Kind) -> &'static str {
    match kind {
        Kind::Create | Kind::Duplicate => "0068AED6DCD9000001",
        Kind::Overwrite => "0068AED6DCD9000002",
        Kind::Delete => "0068AED6DCD9000003",
    }
}

fn etag(kind: Kind, index: usize) -> String {
    let version = if kind == Kind::Overwrite { 2 } else { 1 };
    format!("{version:016x}{index:016x}")
}
