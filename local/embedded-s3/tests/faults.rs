//! Faults on purpose.

mod support;

use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use embedded_s3::{Fault, Target};
use support::{BUCKET, drain, pattern, records, refusal, start};

#[tokio::test]
async fn requests_fail_as_often_as_asked() {
    let fixture = start().await;
    fixture.put("a", "x").await;
    let once = fixture
        .client
        .config()
        .to_builder()
        .retry_config(RetryConfig::disabled())
        .build();
    let client = aws_sdk_s3::Client::from_conf(once);
    let head = || client.head_object().bucket(BUCKET).key("a").send();
    let get = || client.get_object().bucket(BUCKET).key("a").send();
    fixture.store.faults().fail_next(2, Fault::SlowDown);
    assert_eq!(refusal(get().await), ("SlowDown".to_owned(), 503));
    assert_eq!(refusal(head().await).1, 503);
    head().await.unwrap();
    let target = Target {
        operation: Some("HeadObject".to_owned()),
        key: Some("a".to_owned()),
        ..Target::default()
    };
    fixture.store.faults().inject(Fault::AccessDenied, target);
    get().await.unwrap();
    assert_eq!(refusal(head().await).1, 403);
    fixture.store.faults().clear();
    head().await.unwrap();
    fixture.store.faults().inject(
        Fault::InternalError,
        Target {
            share: Some(0.0),
            ..Target::default()
        },
    );
    head().await.unwrap();
    fixture.store.faults().inject(
        Fault::InternalError,
        Target {
            share: Some(1.0),
            ..Target::default()
        },
    );
    assert_eq!(refusal(head().await).1, 500);
}

#[tokio::test]
async fn a_hanging_request_times_out() {
    let fixture = start().await;
    fixture
        .store
        .faults()
        .fail_next(1, Fault::Hang(Duration::from_hours(1)));
    let head = fixture.client.head_bucket().bucket(BUCKET).send();
    assert!(
        tokio::time::timeout(Duration::from_millis(100), head)
            .await
            .is_err()
    );
    fixture
        .client
        .head_bucket()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_body_breaks_off() {
    let fixture = start().await;
    for length in [100, 2_000_000] {
        fixture.put("a", pattern(length)).await;
        fixture.store.faults().fail_next(1, Fault::CutBody(50));
        let got = fixture
            .client
            .get_object()
            .bucket(BUCKET)
            .key("a")
            .send()
            .await
            .unwrap();
        assert!(got.body.collect().await.is_err());
        assert_eq!(fixture.get("a").await, pattern(length));
    }
}

#[tokio::test]
async fn events_are_lost_repeated_and_delayed() {
    let fixture = start().await;
    fixture
        .store
        .notify_queue(BUCKET, "events", &["s3:ObjectCreated:*"])
        .await
        .unwrap();
    let queue = fixture.store.queue("events");
    drain(&queue).await;
    fixture.store.faults().lose_events(1);
    fixture.put("lost", "x").await;
    fixture.put("kept", "x").await;
    assert_eq!(records(&queue).await.len(), 1);
    fixture.store.faults().repeat_events(2);
    fixture.put("often", "x").await;
    assert_eq!(records(&queue).await.len(), 3);
    fixture.store.faults().clear();
    fixture
        .store
        .faults()
        .delay_events(Duration::from_millis(200));
    fixture.put("late", "x").await;
    assert_eq!(queue.depth().await.unwrap().delayed, 1);
    let late = queue
        .receive(1, Duration::from_mins(1), Duration::from_mins(1))
        .await
        .unwrap();
    assert_eq!(late.len(), 1);
    fixture.store.faults().clear();
    fixture
        .store
        .faults()
        .shuffle_events(Duration::from_millis(50));
    for number in 0..40 {
        fixture.put(&format!("{number:02}"), "x").await;
    }
    tokio::time::sleep(Duration::from_millis(80)).await;
    let keys: Vec<_> = records(&queue)
        .await
        .iter()
        .map(|record| record["s3"]["object"]["key"].to_string())
        .collect();
    assert!(keys.len() == 40 && !keys.is_sorted());
}
