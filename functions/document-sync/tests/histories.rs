//! Whatever happens to a bucket, in whatever order its events arrive: once they all have, the table equals the bucket.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::cell::Cell;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    BucketVersioningStatus, Delete, ObjectIdentifier, VersioningConfiguration,
};
use embedded_s3::{Credentials, Durability, EmbeddedS3, Options, Queue};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};
use shared::s3::S3;
use support::Sync;

/// Names that some program or other has got wrong. Few, so that histories meet.
const KEYS: [&str; 7] = [
    "plain.txt",
    "a b+c (1).pdf",
    "100%41%.txt",
    "//odd//",
    "ü/e\u{301}😀?#&.md",
    "folder/",
    "+",
];

/// One thing that happens to a bucket. Numbers choose among what is there.
#[derive(Debug, Clone)]
enum Step {
    Put {
        key: usize,
        content: u8,
    },
    Copy {
        from: usize,
        to: usize,
    },
    Multipart {
        key: usize,
        content: u8,
    },
    Delete {
        key: usize,
    },
    DeleteSeveral {
        first: usize,
        second: usize,
    },
    /// Any version or delete marker of the key: old, current, or what hides it.
    DeleteVersion {
        key: usize,
        version: usize,
    },
    Expire {
        key: usize,
    },
    ExpireVersion {
        key: usize,
        version: usize,
    },
    Tag {
        key: usize,
    },
    /// Some of the events so far are delivered before anything else happens.
    Deliver,
    /// The bucket is compared with the table, while some of the events are delivered and this key changes.
    Reconcile {
        key: usize,
        content: u8,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Versions {
    Never,
    Kept,
    /// Kept at first, then not any more.
    Suspended,
}

#[derive(Debug, Clone)]
struct History {
    versions: Versions,
    steps: Vec<Step>,
    /// Some events are never delivered.
    loses: bool,
    /// Decides about order, repetition, envelopes and the sizes of batches.
    chance: u64,
}

fn histories() -> impl Strategy<Value = History> {
    let key = || 0..KEYS.len();
    let step = prop_oneof![
        6 => (key(), 0_u8..3).prop_map(|(key, content)| Step::Put { key, content }),
        1 => (key(), key()).prop_map(|(from, to)| Step::Copy { from, to }),
        1 => (key(), 0_u8..3).prop_map(|(key, content)| Step::Multipart { key, content }),
        3 => key().prop_map(|key| Step::Delete { key }),
        1 => (key(), key()).prop_map(|(first, second)| Step::DeleteSeveral { first, second }),
        4 => (key(), 0_usize..4).prop_map(|(key, version)| Step::DeleteVersion { key, version }),
        1 => key().prop_map(|key| Step::Expire { key }),
        1 => (key(), 0_usize..4).prop_map(|(key, version)| Step::ExpireVersion { key, version }),
        1 => key().prop_map(|key| Step::Tag { key }),
        1 => Just(Step::Deliver),
        1 => (key(), 0_u8..3).prop_map(|(key, content)| Step::Reconcile { key, content }),
    ];
    let versions = prop_oneof![
        Just(Versions::Never),
        Just(Versions::Kept),
        Just(Versions::Suspended)
    ];
    let steps = prop::collection::vec(step, 1..60);
    (versions, steps, any::<bool>(), any::<u64>()).prop_map(|(versions, steps, loses, chance)| {
        History {
            versions,
            steps,
            loses,
            chance,
        }
    })
}

#[test]
fn at_rest_the_table_equals_the_bucket() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::start());
    let config = Config {
        cases: 128,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let bucket = Cell::new(0);
    TestRunner::new(config)
        .run(&histories(), |history| {
            bucket.set(bucket.get() + 1);
            runtime.block_on(world.play(&format!("bucket-{}", bucket.get()), &history))
        })
        .unwrap();
}

/// A store and a function that asks it.
struct World {
    store: EmbeddedS3,
    client: Client,
    sync: Sync,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let credentials = Credentials {
            access_key_id: "test".into(),
            secret_access_key: "test".into(),
        };
        let options = Options {
            durability: Durability::Relaxed,
            ..Options::new(folder.path(), credentials)
        };
        let store = EmbeddedS3::open(options).await.unwrap();
        let client = store.client();
        let sync = Sync::with_s3(S3::with_client(store.client())).await;
        Self {
            store,
            client,
            sync,
            _folder: folder,
        }
    }

    async fn play(&self, bucket: &str, history: &History) -> Result<(), TestCaseError> {
        let mut chance = Chance(history.chance | 1);
        self.store
            .create_bucket(bucket, history.versions != Versions::Never)
            .await
            .unwrap();
        let families = [
            "s3:ObjectCreated:*",
            "s3:ObjectRemoved:*",
            "s3:LifecycleExpiration:*",
            "s3:ObjectTagging:*",
        ];
        self.store
            .notify_queue(bucket, bucket, &families)
            .await
            .unwrap();
        let queue = self.store.queue(bucket);
        let mut waiting = Vec::new();
        for (index, step) in history.steps.iter().enumerate() {
            if index == history.steps.len() / 2 && history.versions == Versions::Suspended {
                self.suspend(bucket).await;
            }
            if matches!(step, Step::Deliver) {
                waiting.extend(drain(&queue).await);
                chance.shuffle(&mut waiting);
                let now = waiting.len() / 2;
                self.deliver(waiting.drain(..now).collect(), &mut chance)
                    .await;
            } else if let Step::Reconcile { key, content } = *step {
                waiting.extend(drain(&queue).await);
                chance.shuffle(&mut waiting);
                let now = waiting.split_off(waiting.len() / 2);
                let put = Step::Put { key, content };
                tokio::join!(
                    self.reconcile(bucket),
                    self.deliver(now, &mut chance),
                    self.step(bucket, &put)
                );
            } else {
                self.step(bucket, step).await;
            }
        }
        waiting.extend(drain(&queue).await);
        for repeated in 0..waiting.len() / 3 {
            waiting.push(waiting.get(repeated).expect("it is there").clone());
        }
        chance.shuffle(&mut waiting);
        if history.loses {
            waiting.truncate(waiting.len() / 2);
        }
        self.deliver(waiting, &mut chance).await;
        if history.loses {
            self.reconcile(bucket).await;
        }
        let (expected, found) = (self.objects(bucket).await, self.documents(bucket).await);
        prop_assert_eq!(found, expected, "table (left) and bucket (right)");
        Ok(())
    }

    async fn reconcile(&self, bucket: &str) {
        let command = json!({ "reconcile": { "bucket": bucket, "max_deleted_share": 1 } });
        let answer = self.sync.deliver(&command).await.unwrap();
        let answer = serde_json::to_value(answer).unwrap();
        assert_eq!(answer["reconcile"]["state"], "finished", "{answer}");
        assert_eq!(answer["reconcile"]["failed"], 0, "{answer}");
    }

    async fn suspend(&self, bucket: &str) {
        let suspended = VersioningConfiguration::builder()
            .status(BucketVersioningStatus::Suspended)
            .build();
        self.client
            .put_bucket_versioning()
            .bucket(bucket)
            .versioning_configuration(suspended)
            .send()
            .await
            .unwrap();
    }

    async fn step(&self, bucket: &str, step: &Step) {
        let s3 = &self.client;
        match *step {
            Step::Put { key, content } => {
                let body = vec![b'x'; usize::from(content)].into();
                s3.put_object()
                    .bucket(bucket)
                    .key(name(key))
                    .body(body)
                    .send()
                    .await
                    .unwrap();
            }
            Step::Copy { from, to } => {
                let source = format!("{bucket}/{}", percent_encode(name(from)));
                // Refused where there is nothing to copy, or onto itself.
                let _ = s3
                    .copy_object()
                    .bucket(bucket)
                    .key(name(to))
                    .copy_source(source)
                    .send()
                    .await;
            }
            Step::Multipart { key, content } => {
                self.upload_in_parts(bucket, name(key), content).await;
            }
            Step::Delete { key } => {
                s3.delete_object()
                    .bucket(bucket)
                    .key(name(key))
                    .send()
                    .await
                    .unwrap();
            }
            Step::DeleteSeveral { first, second } => {
                let objects = [first, second]
                    .map(|key| ObjectIdentifier::builder().key(name(key)).build().unwrap());
                let delete = Delete::builder()
                    .set_objects(Some(objects.to_vec()))
                    .build()
                    .unwrap();
                s3.delete_objects()
                    .bucket(bucket)
                    .delete(delete)
                    .send()
                    .await
                    .unwrap();
            }
            Step::DeleteVersion { key, version } => {
                if let Some(version) = self.version(bucket, name(key), version).await {
                    s3.delete_object()
                        .bucket(bucket)
                        .key(name(key))
                        .version_id(version)
                        .send()
                        .await
                        .unwrap();
                }
            }
            Step::Expire { key } => {
                self.store.expire(bucket, name(key)).await.unwrap();
            }
            Step::ExpireVersion { key, version } => {
                if let Some(version) = self.version(bucket, name(key), version).await {
                    self.store
                        .expire_noncurrent(bucket, name(key), &version)
                        .await
                        .unwrap();
                }
            }
            Step::Tag { key } => {
                let tag = aws_sdk_s3::types::Tag::builder()
                    .key("k")
                    .value("v")
                    .build()
                    .unwrap();
                let tagging = aws_sdk_s3::types::Tagging::builder()
                    .tag_set(tag)
                    .build()
                    .unwrap();
                let _ = s3
                    .put_object_tagging()
                    .bucket(bucket)
                    .key(name(key))
                    .tagging(tagging)
                    .send()
                    .await;
            }
            Step::Deliver | Step::Reconcile { .. } => {}
        }
    }

    async fn upload_in_parts(&self, bucket: &str, key: &str, content: u8) {
        use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
        let s3 = &self.client;
        let upload = s3
            .create_multipart_upload()
            .bucket(bucket)
            .key(key)
            .send()
            .await
            .unwrap();
        let id = upload.upload_id().unwrap();
        let body = vec![b'm'; usize::from(content)].into();
        let part = s3
            .upload_part()
            .bucket(bucket)
            .key(key)
            .upload_id(id)
            .part_number(1)
            .body(body)
            .send()
            .await
            .unwrap();
        let part = CompletedPart::builder()
            .part_number(1)
            .set_e_tag(part.e_tag)
            .build();
        let parts = CompletedMultipartUpload::builder().parts(part).build();
        s3.complete_multipart_upload()
            .bucket(bucket)
            .key(key)
            .upload_id(id)
            .multipart_upload(parts)
            .send()
            .await
            .unwrap();
    }

    /// One of the versions and delete markers of a key, newest first.
    async fn version(&self, bucket: &str, key: &str, number: usize) -> Option<String> {
        let list = self
            .client
            .list_object_versions()
            .bucket(bucket)
            .prefix(key)
            .send()
            .await
            .unwrap();
        let versions = list
            .versions()
            .iter()
            .filter(|version| version.key() == Some(key))
            .map(|version| (version.last_modified, version.version_id.clone()));
        let markers = list
            .delete_markers()
            .iter()
            .filter(|marker| marker.key() == Some(key))
            .map(|marker| (marker.last_modified, marker.version_id.clone()));
        let mut all: Vec<_> = versions.chain(markers).collect();
        all.sort_by_key(|(modified, _)| std::cmp::Reverse(modified.map(|at| at.as_nanos())));
        all.into_iter().nth(number).and_then(|(_, version)| version)
    }

    /// Delivers messages as a queue's batches of random size, each message in one of the envelopes.
    async fn deliver(&self, mut messages: Vec<String>, chance: &mut Chance) {
        while !messages.is_empty() {
            let size = 1 + chance.below(messages.len().min(20));
            let batch: Vec<Value> = messages
                .drain(..size)
                .map(|message| wrap(&message, chance))
                .collect();
            let failures = self.sync.failures(&support::queue(&batch)).await;
            assert!(failures.is_empty(), "{failures:?} of {batch:?}");
        }
    }

    /// What a listing shows, as the table should have it.
    async fn objects(&self, bucket: &str) -> Vec<String> {
        let list = self
            .client
            .list_object_versions()
            .bucket(bucket)
            .send()
            .await
            .unwrap();
        let mut objects: Vec<String> = list
            .versions()
            .iter()
            .filter(|version| version.is_latest() == Some(true))
            .filter(|version| {
                !(version.key().is_some_and(|key| key.ends_with('/')) && version.size() == Some(0))
            })
            .map(|version| {
                let id = version
                    .version_id()
                    .filter(|id| *id != "null")
                    .unwrap_or("-");
                let etag = version.e_tag().unwrap_or_default().trim_matches('"');
                format!(
                    "s3://{bucket}/{} | {} | {etag} | {id}",
                    version.key().unwrap_or_default(),
                    version.size().unwrap_or_default()
                )
            })
            .collect();
        objects.sort();
        objects
    }

    async fn documents(&self, bucket: &str) -> Vec<String> {
        let prefix = format!("s3://{bucket}/");
        let mut documents: Vec<String> = self
            .sync
            .rows()
            .await
            .lines()
            .filter(|line| line.starts_with(&prefix))
            .map(|line| {
                let columns: Vec<&str> = line.split(" | ").collect();
                let [uri, _title, size, etag, version] = columns.try_into().expect("five columns");
                format!("{uri} | {size} | {etag} | {version}")
            })
            .collect();
        documents.sort();
        documents
    }
}

fn name(key: usize) -> &'static str {
    KEYS.get(key).expect("a key of the corpus")
}

fn percent_encode(key: &str) -> String {
    percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Takes everything out of the queue.
async fn drain(queue: &Queue) -> Vec<String> {
    let mut bodies = Vec::new();
    loop {
        let messages = queue
            .receive(100, Duration::from_mins(1), Duration::ZERO)
            .await
            .unwrap();
        if messages.is_empty() {
            return bodies;
        }
        let receipts: Vec<String> = messages
            .iter()
            .map(|message| message.receipt_handle.clone())
            .collect();
        queue.delete(&receipts).await.unwrap();
        bodies.extend(messages.into_iter().map(|message| message.body));
    }
}

/// The message as it is, through SNS, or as EventBridge would have told it.
fn wrap(message: &str, chance: &mut Chance) -> Value {
    let event: Value = serde_json::from_str(message).unwrap();
    let sns = |event: &Value| json!({ "Type": "Notification", "MessageId": "s", "Message": event.to_string() });
    match chance.below(4) {
        0 => sns(&event),
        1 => eventbridge(&event).unwrap_or(event),
        2 => sns(&eventbridge(&event).unwrap_or(event)),
        _ => event,
    }
}

/// The same event in EventBridge's shape; `None` for what it does not tell or tells otherwise.
fn eventbridge(event: &Value) -> Option<Value> {
    let record = event.get("Records")?.get(0)?;
    let (family, action) = record["eventName"].as_str()?.split_once(':')?;
    let (detail_type, reason) = match family {
        "ObjectCreated" => ("Object Created", "PutObject"),
        "ObjectRemoved" => ("Object Deleted", "DeleteObject"),
        "LifecycleExpiration" => ("Object Deleted", "Lifecycle Expiration"),
        _ => return None,
    };
    let object = &record["s3"]["object"];
    let encoded = object["key"].as_str()?.replace('+', " ");
    let key = percent_encoding::percent_decode_str(&encoded)
        .decode_utf8()
        .ok()?;
    let deletion = if action == "DeleteMarkerCreated" {
        "Delete Marker Created"
    } else {
        "Permanently Deleted"
    };
    let sequencer = object["sequencer"].as_str()?.to_lowercase();
    Some(json!({
        "version": "0", "detail-type": detail_type, "source": "aws.s3", "time": "2026-11-02T09:15:01Z",
        "detail": {
            "bucket": { "name": record["s3"]["bucket"]["name"] },
            "object": {
                "key": key, "size": object["size"], "etag": object["eTag"], "version-id": object["versionId"],
                "sequencer": sequencer.trim_start_matches('0'),
            },
            "reason": reason,
            "deletion-type": deletion,
        },
    }))
}

/// A small generator, so that one number repeats a whole history.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).expect("64 bits") % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            let other = self.below(index + 1);
            items.swap(index, other);
        }
    }
}
