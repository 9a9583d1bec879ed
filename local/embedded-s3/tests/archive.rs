//! Archived objects.

mod support;

use std::time::{Duration, SystemTime};

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{RestoreRequest, StorageClass};
use support::{BUCKET, drain, records, refusal, start};

fn archived() -> (String, u16) {
    ("InvalidObjectState".to_owned(), 403)
}

#[tokio::test]
async fn an_archived_object_is_read_once_it_is_restored() {
    let fixture = start().await;
    let queue = fixture.store.queue("events");
    fixture
        .store
        .notify_queue(BUCKET, "events", &["s3:ObjectRestore:*"])
        .await
        .unwrap();
    drain(&queue).await;
    let client = &fixture.client;
    for class in [StorageClass::Glacier, StorageClass::DeepArchive] {
        let put = client.put_object().bucket(BUCKET).key("cold");
        let put = put.body(ByteStream::from_static(b"ice"));
        put.storage_class(class.clone()).send().await.unwrap();
        let get = || client.get_object().bucket(BUCKET).key("cold").send();
        let head = || client.head_object().bucket(BUCKET).key("cold").send();
        let copy = || {
            let copy = client.copy_object().copy_source(format!("{BUCKET}/cold"));
            copy.bucket(BUCKET).key("warm").send()
        };
        assert_eq!(refusal(get().await), archived());
        assert_eq!(refusal(copy().await), archived());
        let before = head().await.unwrap();
        assert_eq!(before.storage_class(), Some(&class));
        assert_eq!(before.restore(), None);

        let restore = RestoreRequest::builder().days(2).build();
        let asked = client.restore_object().bucket(BUCKET).key("cold");
        asked.restore_request(restore).send().await.unwrap();
        assert_eq!(fixture.get("cold").await, b"ice");
        copy().await.unwrap();
        let told: Vec<_> = records(&queue).await;
        let names: Vec<_> = told.iter().map(|record| &record["eventName"]).collect();
        assert_eq!(names, ["ObjectRestore:Post", "ObjectRestore:Completed"]);
        assert_eq!(told[1]["s3"]["object"]["size"], 3);
        assert!(told[1]["s3"]["object"]["sequencer"].is_null());
        let said = head().await.unwrap().restore().unwrap().to_owned();
        assert!(
            said.starts_with("ongoing-request=\"false\", expiry-date=\""),
            "{said}"
        );
        let end = said.split('"').nth(3).unwrap();
        let end = aws_sdk_s3::primitives::DateTime::from_str(
            end,
            aws_sdk_s3::primitives::DateTimeFormat::HttpDate,
        );
        let end = SystemTime::try_from(end.unwrap()).unwrap();
        let left = end.duration_since(SystemTime::now()).unwrap();
        assert!(left > Duration::from_hours(47) && left <= Duration::from_hours(48));
    }
}

#[tokio::test]
async fn what_is_not_archived_is_not_restored() {
    let fixture = start().await;
    fixture.put("warm", "x").await;
    let restore = |days: Option<i32>| {
        let restore = RestoreRequest::builder().set_days(days).build();
        let asked = fixture.client.restore_object().bucket(BUCKET).key("warm");
        asked.restore_request(restore).send()
    };
    assert_eq!(refusal(restore(Some(1)).await), archived());
    let malformed = ("MalformedXML".to_owned(), 400);
    assert_eq!(refusal(restore(None).await), malformed);
    assert_eq!(refusal(restore(Some(0)).await), malformed);
}
