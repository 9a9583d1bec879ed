//! Faults on purpose.

mod support;

use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::types::ChecksumMode;
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
async fn a_body_stalls_and_goes_on() {
    let fixture = start().await;
    for length in [100, 2_000_000] {
        fixture.put("a", pattern(length)).await;
        let stall = |pause| Fault::StallBody { after: 50, pause };
        let get = async || {
            let get = fixture.client.get_object().bucket(BUCKET).key("a");
            get.send().await.unwrap().body.collect().await
        };
        fixture
            .store
            .faults()
            .fail_next(1, stall(Duration::from_hours(1)));
        let impatient = tokio::time::timeout(Duration::from_millis(100), get()).await;
        assert!(impatient.is_err());
        fixture
            .store
            .faults()
            .fail_next(1, stall(Duration::from_millis(5)));
        assert_eq!(get().await.unwrap().to_vec(), pattern(length));
    }
}

#[tokio::test]
async fn a_body_is_wrong_and_its_checksum_says_so() {
    let fixture = start().await;
    for (length, place) in [(100, 0), (100, 99), (2_000_000, 1_999_999)] {
        fixture.put("a", pattern(length)).await;
        let get = async |mode| {
            fixture
                .store
                .faults()
                .fail_next(1, Fault::CorruptBody(place));
            let get = fixture.client.get_object().bucket(BUCKET).key("a");
            let output = get.set_checksum_mode(mode).send().await.unwrap();
            output.body.collect().await
        };
        assert!(get(Some(ChecksumMode::Enabled)).await.is_err());
        assert_eq!(fixture.get("a").await, pattern(length));
        // Without a checksum, nobody notices.
        let fault = Fault::CorruptBody(place);
        fixture.store.faults().fail_next(1, fault);
        let part = fixture.client.get_object().bucket(BUCKET).key("a");
        let part = part.range("bytes=0-").send().await.unwrap();
        let wrong = part.body.collect().await.unwrap().to_vec();
        let right = pattern(length);
        let differing: Vec<usize> = (0..length).filter(|&at| wrong[at] != right[at]).collect();
        assert_eq!(differing, [usize::try_from(place).unwrap()]);
    }
}

#[tokio::test]
async fn a_request_is_refused_in_any_words_and_sent_elsewhere() {
    let fixture = start().await;
    fixture.put("a", "x").await;
    let get = || fixture.client.get_object().bucket(BUCKET).key("a").send();
    let refuse = |status, code| Fault::Refuse { status, code };
    let faults = fixture.store.faults();
    faults.fail_next(1, refuse(403, "RequestTimeTooSkewed"));
    assert_eq!(
        refusal(get().await),
        ("RequestTimeTooSkewed".to_owned(), 403)
    );
    faults.fail_next(1, refuse(403, "InvalidObjectState"));
    assert_eq!(refusal(get().await), ("InvalidObjectState".to_owned(), 403));
    faults.fail_next(1, Fault::Redirect("eu-central-1"));
    let error = get().await.unwrap_err();
    let answer = error.raw_response().unwrap();
    assert_eq!(answer.status().as_u16(), 301);
    assert_eq!(
        answer.headers().get("x-amz-bucket-region"),
        Some("eu-central-1")
    );
    get().await.unwrap();
    assert_eq!(faults.count("GetObject"), 4);
    assert_eq!(faults.count("PutObject"), 1);
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
