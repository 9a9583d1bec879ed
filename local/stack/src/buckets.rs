use std::{collections::BTreeSet, time::Duration};

use aws_sdk_s3::{
    Client,
    error::{DisplayErrorContext, SdkError},
    types::Object,
};
use embedded_s3::{EmbeddedS3, StoreError};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

use crate::registry;
use crate::store::{EVENTS, LOADS, QUEUE, REGION, RESTORED};

/// How long a bucket may exist before it is noticed.
const LOOK: Duration = Duration::from_millis(200);
/// What S3 leaves as it is when it encodes a key for an event.
const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'/');

/// Buckets that the user makes: each gets the notification to document-sync, unless it has one of its own
/// when it is first seen. One that the user changes or removes later stays so until the next start.
#[derive(Debug)]
pub(crate) struct Buckets {
    s3: EmbeddedS3,
    client: Client,
    seen: BTreeSet<String>,
}

/// Why a bucket was not set up; it is tried again.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The store refused a request. The SDK's own text leaves the causes out.
    #[error("{0}")]
    Request(String),
    #[error("the notification was refused")]
    Notification(#[from] StoreError),
    #[error("the queue refused a message")]
    Queue(#[from] embedded_s3::QueueError),
}

impl<E: std::error::Error + Send + Sync + 'static, R: std::fmt::Debug + Send + Sync + 'static>
    From<SdkError<E, R>> for Failure
{
    fn from(error: SdkError<E, R>) -> Self {
        Self::Request(DisplayErrorContext(error).to_string())
    }
}

impl Buckets {
    pub(crate) fn new(s3: EmbeddedS3) -> Self {
        Self {
            client: s3.client(),
            s3,
            seen: BTreeSet::new(),
        }
    }

    /// Works until `stop` is set.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            if let Err(error) = self.look().await {
                tracing::error!(error = %shared::telemetry::chain(&error), "a new bucket is not watched yet");
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                _ = stop.changed() => {}
            }
        }
    }

    async fn look(&mut self) -> Result<(), Failure> {
        let listed = self.client.list_buckets().send().await?;
        let names: BTreeSet<String> = listed
            .buckets
            .unwrap_or_default()
            .into_iter()
            // As on AWS, a queue hears of the buckets of its own region.
            .filter(|bucket| bucket.bucket_region() == Some(REGION))
            .filter_map(|bucket| bucket.name)
            .filter(|name| name != registry::BUCKET)
            .collect();
        // A bucket that was removed and made again is a new one.
        self.seen.retain(|name| names.contains(name));
        for name in names {
            if !self.seen.contains(&name) {
                self.welcome(&name).await?;
                self.seen.insert(name);
            }
        }
        Ok(())
    }

    async fn welcome(&self, bucket: &str) -> Result<(), Failure> {
        let set = self
            .client
            .get_bucket_notification_configuration()
            .bucket(bucket)
            .send()
            .await?;
        let has_own = set
            .queue_configurations
            .is_some_and(|queues| !queues.is_empty())
            || set
                .topic_configurations
                .is_some_and(|topics| !topics.is_empty())
            || set
                .lambda_function_configurations
                .is_some_and(|functions| !functions.is_empty())
            || set.event_bridge_configuration.is_some();
        if has_own {
            return Ok(());
        }
        self.s3.notify_queue(bucket, QUEUE, &EVENTS).await?;
        self.s3.notify_queue(bucket, LOADS, &RESTORED).await?;
        tracing::info!(bucket, "watching the bucket {bucket}");
        self.catch_up(bucket).await
    }

    /// Tells of the objects that were put before the notification was there. Such an event has no sequencer, so
    /// document-sync asks S3 what is there when it comes to it: it cannot undo what happens meanwhile.
    async fn catch_up(&self, bucket: &str) -> Result<(), Failure> {
        let mut pages = self
            .client
            .list_objects_v2()
            .bucket(bucket)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let records: Vec<Value> = page?
                .contents()
                .iter()
                .filter_map(|object| record(bucket, object))
                .collect();
            if !records.is_empty() {
                self.s3
                    .queue(QUEUE)
                    .send(json!({ "Records": records }).to_string())
                    .await?;
            }
        }
        Ok(())
    }
}

/// An event of the classic form, for an object that is there.
fn record(bucket: &str, object: &Object) -> Option<Value> {
    let time = object
        .last_modified()?
        .fmt(aws_sdk_s3::primitives::DateTimeFormat::DateTime)
        .ok()?;
    Some(json!({
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": time,
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "catch-up",
            "bucket": { "name": bucket, "arn": format!("arn:aws:s3:::{bucket}") },
            "object": {
                "key": utf8_percent_encode(object.key()?, KEY).to_string(),
                "size": object.size(),
                "eTag": object.e_tag().map(|etag| etag.trim_matches('"')),
            },
        },
    }))
}
