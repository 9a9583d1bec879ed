//! Notifications: the events of S3, in S3's words, in the transaction of the change.
#![expect(clippy::expect_used, reason = "a test that cannot go on must stop")]

mod support;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    Delete, Event, EventBridgeConfiguration, FilterRule, FilterRuleName,
    LambdaFunctionConfiguration, NotificationConfiguration, NotificationConfigurationFilter,
    ObjectIdentifier, QueueConfiguration, S3KeyFilter,
};
use serde_json::Value;
use support::{
    BUCKET, drain, options, pattern, records, refusal, start, start_versioned, start_with,
};

const ALL: [&str; 4] = [
    "s3:ObjectCreated:*",
    "s3:ObjectRemoved:*",
    "s3:LifecycleExpiration:*",
    "s3:ObjectTagging:*",
];

fn rule(
    queue: &str,
    event: &str,
    prefix: Option<&str>,
    suffix: Option<&str>,
) -> QueueConfiguration {
    let prefix = prefix.map(|value| {
        FilterRule::builder()
            .name(FilterRuleName::Prefix)
            .value(value)
            .build()
    });
    let suffix = suffix.map(|value| {
        FilterRule::builder()
            .name(FilterRuleName::Suffix)
            .value(value)
            .build()
    });
    let rules = [prefix, suffix].into_iter().flatten().collect();
    let key = S3KeyFilter::builder().set_filter_rules(Some(rules)).build();
    QueueConfiguration::builder()
        .queue_arn(format!("arn:aws:sqs:us-east-1:000000000000:{queue}"))
        .events(Event::from(event))
        .filter(NotificationConfigurationFilter::builder().key(key).build())
        .build()
        .expect("a whole configuration")
}

fn configuration(rules: &[QueueConfiguration]) -> NotificationConfiguration {
    NotificationConfiguration::builder()
        .set_queue_configurations(Some(rules.to_vec()))
        .build()
}

fn names(records: &[Value]) -> Vec<&str> {
    records
        .iter()
        .filter_map(|record| record["eventName"].as_str())
        .collect()
}

#[tokio::test]
async fn a_record_has_the_shape_of_s3() {
    let fixture = start().await;
    fixture
        .store
        .notify_queue(BUCKET, "events", &ALL)
        .await
        .unwrap();
    let queue = fixture.store.queue("events");
    let test: Value = serde_json::from_str(&drain(&queue).await[0].body).unwrap();
    assert_eq!(
        (&test["Event"], &test["Bucket"], test.get("Records")),
        (&"s3:TestEvent".into(), &BUCKET.into(), None)
    );
    let put = fixture.put("dir/a b+c%ü.md", "hello").await;
    fixture.delete("dir/a b+c%ü.md").await;
    let records = records(&queue).await;
    let (created, removed) = (&records[0], &records[1]);
    assert_eq!(created["eventSource"], "aws:s3");
    assert_eq!(created["eventName"], "ObjectCreated:Put");
    assert_eq!(created["awsRegion"], "us-east-1");
    assert_eq!(created["s3"]["bucket"]["name"], BUCKET);
    assert_eq!(
        created["s3"]["bucket"]["arn"],
        format!("arn:aws:s3:::{BUCKET}")
    );
    let object = &created["s3"]["object"];
    assert_eq!(object["key"], "dir/a+b%2Bc%25%C3%BC.md");
    assert_eq!(
        (&object["size"], &object["eTag"]),
        (&5.into(), &put.e_tag().unwrap().trim_matches('"').into())
    );
    assert!(object.get("versionId").is_none());
    assert_eq!(removed["eventName"], "ObjectRemoved:Delete");
    let object = &removed["s3"]["object"];
    assert!(object.get("size").is_none() && object.get("eTag").is_none());
    let sequencer = |record: &Value| {
        record["s3"]["object"]["sequencer"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(sequencer(created).len(), 18);
    assert!(sequencer(created) < sequencer(removed));
    assert!(created["responseElements"]["x-amz-request-id"].is_string());
    assert!(created["userIdentity"]["principalId"].is_string());
    assert!(created["requestParameters"]["sourceIPAddress"].is_string());
    assert!(
        created["eventTime"]
            .as_str()
            .is_some_and(|time| time.len() == 24 && time.ends_with('Z'))
    );
}

#[tokio::test]
async fn every_kind_of_change_is_announced_once() {
    let fixture = start_versioned().await;
    fixture
        .store
        .notify_queue(BUCKET, "events", &ALL)
        .await
        .unwrap();
    let client = &fixture.client;
    let first = fixture.put("a", "1").await.version_id.unwrap();
    client
        .copy_object()
        .bucket(BUCKET)
        .key("b")
        .copy_source(format!("{BUCKET}/a"))
        .send()
        .await
        .unwrap();
    let marker = client
        .delete_object()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await
        .unwrap()
        .version_id
        .unwrap();
    client
        .delete_object()
        .bucket(BUCKET)
        .key("a")
        .version_id(&marker)
        .send()
        .await
        .unwrap();
    client
        .delete_object_tagging()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await
        .unwrap();
    assert!(fixture.store.expire(BUCKET, "a").await.unwrap());
    assert!(!fixture.store.expire(BUCKET, "a").await.unwrap());
    assert!(
        fixture
            .store
            .expire_noncurrent(BUCKET, "a", &first)
            .await
            .unwrap()
    );
    let object = ObjectIdentifier::builder().key("b").build().unwrap();
    let delete = Delete::builder().objects(object).build().unwrap();
    client
        .delete_objects()
        .bucket(BUCKET)
        .delete(delete)
        .send()
        .await
        .unwrap();
    let records = records(&fixture.store.queue("events")).await;
    let expected = [
        "ObjectCreated:Put",
        "ObjectCreated:Copy",
        "ObjectRemoved:DeleteMarkerCreated",
        "ObjectRemoved:Delete",
        "ObjectTagging:Delete",
        "LifecycleExpiration:DeleteMarkerCreated",
        "LifecycleExpiration:Delete",
        "ObjectRemoved:DeleteMarkerCreated",
    ];
    assert_eq!(names(&records), expected);
    let ids = |place: usize| records[place]["s3"]["object"]["versionId"].clone();
    assert_eq!(
        (ids(0), ids(2), ids(3), ids(6)),
        (
            first.clone().into(),
            marker.clone().into(),
            marker.into(),
            first.into()
        )
    );
}

#[tokio::test]
async fn refused_writes_announce_nothing() {
    let fixture = start().await;
    fixture.put("a", "x").await;
    fixture
        .store
        .notify_queue(BUCKET, "events", &ALL)
        .await
        .unwrap();
    drain(&fixture.store.queue("events")).await;
    let put = fixture
        .client
        .put_object()
        .bucket(BUCKET)
        .key("a")
        .if_none_match("*");
    assert_eq!(
        refusal(put.body(ByteStream::from_static(b"y")).send().await).1,
        412
    );
    fixture.delete("never there").await;
    assert_eq!(drain(&fixture.store.queue("events")).await, []);
}

#[tokio::test]
async fn filters_choose_by_prefix_suffix_and_event() {
    let fixture = start().await;
    let rules = [
        rule("images", "s3:ObjectCreated:Put", Some("in/"), Some(".jpg")),
        rule("texts", "s3:ObjectCreated:*", Some("in/"), Some(".txt")),
        rule("gone", "s3:ObjectRemoved:*", None, None),
    ];
    let put = fixture
        .client
        .put_bucket_notification_configuration()
        .bucket(BUCKET);
    put.notification_configuration(configuration(&rules))
        .send()
        .await
        .unwrap();
    for key in ["in/a.jpg", "in/a.txt", "out/a.jpg"] {
        fixture.put(key, "x").await;
    }
    fixture.delete("out/a.jpg").await;
    for (queue, key) in [
        ("images", "in/a.jpg"),
        ("texts", "in/a.txt"),
        ("gone", "out/a.jpg"),
    ] {
        let records = records(&fixture.store.queue(queue)).await;
        assert_eq!(records.len(), 1, "{queue}");
        assert_eq!(records[0]["s3"]["object"]["key"], key);
    }
    let stored = fixture
        .client
        .get_bucket_notification_configuration()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap();
    assert_eq!(stored.queue_configurations().len(), 3);
    let filter = stored.queue_configurations()[0]
        .filter()
        .unwrap()
        .key()
        .unwrap();
    assert_eq!(filter.filter_rules().len(), 2);
}

#[tokio::test]
async fn wrong_configurations_are_refused() {
    let fixture = start().await;
    let put = |configuration: NotificationConfiguration| {
        let put = fixture
            .client
            .put_bucket_notification_configuration()
            .bucket(BUCKET);
        put.notification_configuration(configuration).send()
    };
    let invalid = ("InvalidArgument".to_owned(), 400);
    let overlapping = [
        rule("a", "s3:ObjectCreated:*", Some("in/"), None),
        rule("b", "s3:ObjectCreated:Put", Some("in/x"), None),
    ];
    assert_eq!(refusal(put(configuration(&overlapping)).await), invalid);
    let unknown = [rule("a", "s3:ObjectCreated:Magic", None, None)];
    assert_eq!(refusal(put(configuration(&unknown)).await), invalid);
    let lambda = LambdaFunctionConfiguration::builder()
        .lambda_function_arn("arn:aws:lambda:us-east-1:000000000000:function:f")
        .events(Event::from("s3:ObjectCreated:*"));
    let lambda = NotificationConfiguration::builder()
        .lambda_function_configurations(lambda.build().unwrap())
        .build();
    assert_eq!(refusal(put(lambda).await), invalid);
    let apart = [
        rule("a", "s3:ObjectCreated:*", Some("in/"), None),
        rule("b", "s3:ObjectCreated:Put", Some("out/"), None),
    ];
    put(configuration(&apart)).await.unwrap();
}

#[tokio::test]
async fn a_repeated_configuration_sends_no_second_test_event() {
    let fixture = start().await;
    for _ in 0..3 {
        fixture
            .store
            .notify_queue(BUCKET, "events", &ALL)
            .await
            .unwrap();
    }
    assert_eq!(drain(&fixture.store.queue("events")).await.len(), 1);
}

#[tokio::test]
async fn event_bridge_events_have_their_own_shape() {
    let fixture =
        start_with(|options| options.event_bridge_queue = Some("bridge".to_owned())).await;
    let configuration = NotificationConfiguration::builder()
        .event_bridge_configuration(EventBridgeConfiguration::builder().build())
        .build();
    let put = fixture
        .client
        .put_bucket_notification_configuration()
        .bucket(BUCKET);
    put.notification_configuration(configuration)
        .send()
        .await
        .unwrap();
    fixture.put("a b+%.md", "hello").await;
    fixture.delete("a b+%.md").await;
    let messages = drain(&fixture.store.queue("bridge")).await;
    let events: Vec<Value> = messages
        .iter()
        .map(|message| serde_json::from_str(&message.body).unwrap())
        .collect();
    assert_eq!(
        (&events[0]["detail-type"], &events[0]["source"]),
        (&"Object Created".into(), &"aws.s3".into())
    );
    let detail = &events[0]["detail"];
    assert_eq!(
        (&detail["object"]["key"], &detail["object"]["size"]),
        (&"a b+%.md".into(), &5.into())
    );
    assert_eq!(detail["reason"], "PutObject");
    let sequencer = detail["object"]["sequencer"].as_str().unwrap();
    assert!(sequencer.len() == 16 && sequencer.chars().all(|digit| !digit.is_ascii_uppercase()));
    assert_eq!(
        (
            &events[1]["detail-type"],
            &events[1]["detail"]["deletion-type"]
        ),
        (&"Object Deleted".into(), &"Permanently Deleted".into())
    );
}

#[tokio::test]
async fn sequencers_rise_and_events_stay_over_a_restart() {
    let fixture = start().await;
    fixture
        .store
        .notify_queue(BUCKET, "events", &ALL)
        .await
        .unwrap();
    drain(&fixture.store.queue("events")).await;
    fixture.put("a", pattern(100)).await;
    fixture.store.clone().close().await;
    let store = embedded_s3::EmbeddedS3::open(options(&fixture.folder))
        .await
        .unwrap();
    let put = store
        .client()
        .put_object()
        .bucket(BUCKET)
        .key("a")
        .body(ByteStream::from_static(b"y"));
    put.send().await.unwrap();
    let records = records(&store.queue("events")).await;
    let sequencers: Vec<_> = records
        .iter()
        .map(|record| record["s3"]["object"]["sequencer"].as_str().unwrap())
        .collect();
    assert!(sequencers.len() == 2 && sequencers[0] < sequencers[1]);
}
