//! What happens in a bucket shows in the table, whatever happens to the database meanwhile.
mod support;

use aws_sdk_s3::{
    config::Region,
    error::ProvideErrorMetadata,
    primitives::ByteStream,
    types::{
        BucketLocationConstraint, CompletedMultipartUpload, CompletedPart,
        CreateBucketConfiguration, Delete, Event, NotificationConfiguration, ObjectIdentifier,
        QueueConfiguration,
    },
};
use support::{Place, runs, signal};
use testkit::Postgres;

#[tokio::test]
async fn a_document_is_followed_from_its_creation_to_its_end() {
    let place = Place::new();
    let running = place.start().await;
    let s3 = running.s3();

    s3.put_object()
        .bucket("documents")
        .key("notes/a b+c.md")
        .body(bytes(3))
        .send()
        .await
        .unwrap();
    running
        .wait_for_rows(&[("s3://documents/notes/a b+c.md", 3)])
        .await;

    s3.put_object()
        .bucket("documents")
        .key("notes/a b+c.md")
        .body(bytes(5))
        .send()
        .await
        .unwrap();
    running
        .wait_for_rows(&[("s3://documents/notes/a b+c.md", 5)])
        .await;

    let source = "documents/notes/a%20b%2Bc.md";
    s3.copy_object()
        .bucket("documents")
        .key("copy")
        .copy_source(source)
        .send()
        .await
        .unwrap();
    running
        .wait_for_rows(&[
            ("s3://documents/copy", 5),
            ("s3://documents/notes/a b+c.md", 5),
        ])
        .await;

    s3.delete_object()
        .bucket("documents")
        .key("notes/a b+c.md")
        .send()
        .await
        .unwrap();
    running.wait_for_rows(&[("s3://documents/copy", 5)]).await;
}

#[tokio::test]
async fn multipart_uploads_and_batch_deletes_are_followed() {
    let place = Place::new();
    let running = place.start().await;
    let s3 = running.s3();
    let first = 5 * 1024 * 1024;

    let upload = s3
        .create_multipart_upload()
        .bucket("documents")
        .key("large")
        .send()
        .await
        .unwrap();
    let id = upload.upload_id().unwrap();
    let mut parts = CompletedMultipartUpload::builder();
    for (number, size) in [(1, first), (2, 7)] {
        let part = s3
            .upload_part()
            .bucket("documents")
            .key("large")
            .upload_id(id)
            .part_number(number);
        let part = part.body(bytes(size)).send().await.unwrap();
        let etag = part.e_tag().unwrap();
        parts = parts.parts(
            CompletedPart::builder()
                .part_number(number)
                .e_tag(etag)
                .build(),
        );
    }
    let complete = s3
        .complete_multipart_upload()
        .bucket("documents")
        .key("large")
        .upload_id(id);
    complete
        .multipart_upload(parts.build())
        .send()
        .await
        .unwrap();
    s3.put_object()
        .bucket("documents")
        .key("small")
        .body(bytes(1))
        .send()
        .await
        .unwrap();
    s3.put_object()
        .bucket("documents")
        .key("tiny")
        .body(bytes(0))
        .send()
        .await
        .unwrap();
    running
        .wait_for_rows(&[
            ("s3://documents/large", 5_242_887),
            ("s3://documents/small", 1),
            ("s3://documents/tiny", 0),
        ])
        .await;

    let key = |key| ObjectIdentifier::builder().key(key).build().unwrap();
    let both = Delete::builder()
        .objects(key("large"))
        .objects(key("tiny"))
        .build()
        .unwrap();
    s3.delete_objects()
        .bucket("documents")
        .delete(both)
        .send()
        .await
        .unwrap();
    running.wait_for_rows(&[("s3://documents/small", 1)]).await;
}

#[tokio::test]
async fn versions_that_come_and_go_leave_the_current_one_in_the_table() {
    let place = Place::new();
    let running = place.start().await;
    let s3 = running.s3();
    let put = || s3.put_object().bucket("documents-versioned").key("report");

    put().body(bytes(1)).send().await.unwrap();
    let second = put().body(bytes(2)).send().await.unwrap();
    running
        .wait_for_rows(&[("s3://documents-versioned/report", 2)])
        .await;

    let delete = || {
        s3.delete_object()
            .bucket("documents-versioned")
            .key("report")
    };
    delete()
        .version_id(second.version_id().unwrap())
        .send()
        .await
        .unwrap();
    running
        .wait_for_rows(&[("s3://documents-versioned/report", 1)])
        .await;

    let marker = delete().send().await.unwrap();
    running.wait_for_rows(&[]).await;

    delete()
        .version_id(marker.version_id().unwrap())
        .send()
        .await
        .unwrap();
    running
        .wait_for_rows(&[("s3://documents-versioned/report", 1)])
        .await;
}

#[tokio::test]
async fn a_bucket_of_the_users_own_is_followed_from_its_first_object() {
    let place = Place::new();
    let running = place.start().await;
    let s3 = running.s3();
    s3.create_bucket().bucket("mine").send().await.unwrap();
    // At once: before the notification is there, or after.
    s3.put_object()
        .bucket("mine")
        .key("é +%/first")
        .body(bytes(1))
        .send()
        .await
        .unwrap();
    running.wait_for_rows(&[("s3://mine/é +%/first", 1)]).await;
    s3.put_object()
        .bucket("mine")
        .key("second")
        .body(bytes(2))
        .send()
        .await
        .unwrap();
    s3.delete_object()
        .bucket("mine")
        .key("é +%/first")
        .send()
        .await
        .unwrap();
    running.wait_for_rows(&[("s3://mine/second", 2)]).await;
}

#[tokio::test]
async fn buckets_of_a_customer_and_of_another_region_are_left_alone() {
    let place = Place::new();
    let running = place.start().await;
    let west = aws_sdk_s3::Client::from_conf(
        running
            .s3()
            .config()
            .to_builder()
            .region(Region::new("eu-west-1"))
            .build(),
    );
    let constraint = CreateBucketConfiguration::builder()
        .location_constraint(BucketLocationConstraint::EuWest1)
        .build();
    let customer = running.customer_s3();
    let create = |s3: &aws_sdk_s3::Client, bucket| s3.create_bucket().bucket(bucket);
    create(&customer, "papers").send().await.unwrap();
    create(&west, "west")
        .create_bucket_configuration(constraint)
        .send()
        .await
        .unwrap();
    create(&running.s3(), "mine").send().await.unwrap();
    let put = async |s3: &aws_sdk_s3::Client, bucket| {
        let put = s3.put_object().bucket(bucket).key("a").body(bytes(1));
        put.send().await.unwrap();
    };
    put(&customer, "papers").await;
    put(&west, "west").await;
    put(&running.s3(), "mine").await;
    // The last of the three: by then the others would have been seen.
    running.wait_for_rows(&[("s3://mine/a", 1)]).await;
    for (s3, bucket) in [(&customer, "papers"), (&west, "west")] {
        let asked = s3.get_bucket_notification_configuration().bucket(bucket);
        let set = asked.send().await.unwrap();
        assert!(set.queue_configurations().is_empty(), "{bucket}");
    }
    let refused = running.s3().get_object().bucket("papers").key("a").send();
    assert_eq!(refused.await.unwrap_err().code(), Some("AccessDenied"));
}

#[tokio::test]
async fn a_bucket_with_a_notification_of_its_own_is_left_alone() {
    let place = Place::new();
    let running = place.start().await;
    let s3 = running.s3();
    s3.create_bucket().bucket("mine").send().await.unwrap();
    let own = QueueConfiguration::builder()
        .queue_arn("arn:aws:sqs:us-east-1:000000000000:mine")
        .events(Event::S3ObjectCreated)
        .build()
        .unwrap();
    let own = NotificationConfiguration::builder()
        .queue_configurations(own)
        .build();
    let put = s3.put_bucket_notification_configuration().bucket("mine");
    put.notification_configuration(own).send().await.unwrap();
    s3.put_object()
        .bucket("mine")
        .key("unseen")
        .body(bytes(1))
        .send()
        .await
        .unwrap();
    drop(running);

    // Also when it is first seen at a start.
    let running = place.start().await;
    let s3 = running.s3();
    s3.put_object()
        .bucket("mine")
        .key("unseen too")
        .body(bytes(1))
        .send()
        .await
        .unwrap();
    // Whatever would come of those comes before this.
    s3.create_bucket().bucket("later").send().await.unwrap();
    s3.put_object()
        .bucket("later")
        .key("seen")
        .body(bytes(1))
        .send()
        .await
        .unwrap();
    running.wait_for_rows(&[("s3://later/seen", 1)]).await;
}

#[tokio::test]
async fn a_database_that_is_away_delays_documents_and_loses_none() {
    let mut postgres = Postgres::start_own().await;
    let place = Place::new().with("DATABASE_URL", postgres.url());
    let running = place.start().await;
    assert!(
        !place.folder().join("postgres").exists(),
        "a private server was made beside the user's"
    );
    let s3 = running.s3();
    s3.put_object()
        .bucket("documents")
        .key("before")
        .body(bytes(1))
        .send()
        .await
        .unwrap();
    running.wait_for_rows(&[("s3://documents/before", 1)]).await;

    postgres.cluster().stop().await;
    s3.put_object()
        .bucket("documents")
        .key("meanwhile")
        .body(bytes(2))
        .send()
        .await
        .unwrap();
    s3.delete_object()
        .bucket("documents")
        .key("before")
        .send()
        .await
        .unwrap();
    running.wait_for_log("no event was applied").await;
    postgres.cluster().start().await.unwrap();
    running
        .wait_for_rows(&[("s3://documents/meanwhile", 2)])
        .await;
}

#[tokio::test]
async fn a_private_server_that_was_killed_is_started_again() {
    let place = Place::new();
    let running = place.start().await;
    let postmaster = place.postmaster();
    signal(postmaster, "KILL");
    running
        .s3()
        .put_object()
        .bucket("documents")
        .key("after")
        .body(bytes(1))
        .send()
        .await
        .unwrap();
    running.wait_for_rows(&[("s3://documents/after", 1)]).await;
    assert!(!runs(postmaster));
    assert_ne!(place.postmaster(), postmaster);
}

fn bytes(length: usize) -> ByteStream {
    ByteStream::from(vec![b'x'; length])
}
