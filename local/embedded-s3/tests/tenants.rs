//! What a session of another account's role may do with S3, and what not.
#![expect(clippy::expect_used, reason = "a test that cannot go on must stop")]

mod support;

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, CreateBucketConfiguration, Delete, ObjectAttributes,
    ObjectIdentifier, Payer, RequestPayer, RequestPaymentConfiguration, Tag, Tagging,
};
use serde_json::{Value, json};
use support::accounts::{
    CUSTOMER, OWN, PAPERS, allow, customer_keys, everything, issued, own_keys, policy,
};
use support::{BUCKET, Fixture, refusal, start};

const BUCKET_ARN: &str = "arn:aws:s3:::papers";

fn denied() -> (String, u16) {
    ("AccessDenied".to_owned(), 403)
}

/// What a loader of the prefix `a/` needs.
fn reading() -> String {
    policy(&json!([
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": format!("{BUCKET_ARN}/a/*"),
        },
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": BUCKET_ARN,
            "Condition": { "StringLike": { "s3:prefix": "a/*" } },
        },
    ]))
}

async fn read(client: &Client, key: &str) -> Result<Vec<u8>, (String, u16)> {
    match client.get_object().bucket(PAPERS).key(key).send().await {
        Ok(output) => Ok(output.body.collect().await.expect("it arrives").to_vec()),
        error => Err(refusal(error)),
    }
}

async fn list(client: &Client, prefix: Option<&str>) -> Result<usize, (String, u16)> {
    let list = client.list_objects_v2().bucket(PAPERS);
    match list.set_prefix(prefix.map(str::to_owned)).send().await {
        Ok(output) => Ok(output.contents().len()),
        error => Err(refusal(error)),
    }
}

#[tokio::test]
async fn a_session_reads_and_lists_what_its_role_allows_and_nothing_else() {
    let fixture = start().await;
    fixture.papers(&["a/1", "a/2", "b/1"], &reading()).await;
    let client = fixture.s3(fixture.reader().await);
    assert_eq!(read(&client, "a/1").await, Ok(b"a/1".to_vec()));
    assert_eq!(read(&client, "b/1").await, Err(denied()));
    assert_eq!(list(&client, Some("a/")).await, Ok(2));
    assert_eq!(list(&client, Some("b/")).await, Err(denied()));
    assert_eq!(list(&client, Some("")).await, Err(denied()));
    assert_eq!(list(&client, None).await, Err(denied()));
    let put = client.put_object().bucket(PAPERS).key("a/1");
    assert_eq!(refusal(put.send().await), denied());
    let delete = client.delete_object().bucket(PAPERS).key("a/1");
    assert_eq!(refusal(delete.send().await), denied());
    // HEAD is a read of the object, and one of the bucket is a listing of it.
    let head = |key: &str| client.head_object().bucket(PAPERS).key(key).send();
    assert_eq!(head("a/1").await.unwrap().content_length(), Some(3));
    assert_eq!(refusal(head("b/1").await).1, 403);
    let bucket = client.head_bucket().bucket(PAPERS).send().await;
    assert_eq!(refusal(bucket).1, 403);
    // Nor is anything else of the machine open to it.
    let own = client.get_object().bucket(BUCKET).key("a/1").send().await;
    assert_eq!(refusal(own), denied());
    assert_eq!(refusal(client.list_buckets().send().await), denied());
    let missing = client.get_object().bucket("nobodys").key("a").send().await;
    assert_eq!(refusal(missing), ("NoSuchBucket".to_owned(), 404));
}

#[tokio::test]
async fn a_session_policy_narrows_the_role() {
    let fixture = start().await;
    fixture.papers(&["a/1", "b/1"], &everything()).await;
    let wide = fixture.s3(fixture.reader().await);
    assert_eq!(read(&wide, "b/1").await, Ok(b"b/1".to_vec()));
    let narrow = fixture.s3(issued(fixture.ask().policy(reading())).await);
    assert_eq!(read(&narrow, "a/1").await, Ok(b"a/1".to_vec()));
    assert_eq!(read(&narrow, "b/1").await, Err(denied()));
    assert_eq!(list(&narrow, Some("a/")).await, Ok(1));
    assert_eq!(list(&narrow, None).await, Err(denied()));
    let put = narrow.put_object().bucket(PAPERS).key("a/1");
    assert_eq!(refusal(put.send().await), denied());
}

#[tokio::test]
async fn what_is_missing_is_told_to_those_who_may_list() {
    let fixture = start().await;
    let gets = allow(&json!("s3:Get*"), &json!(format!("{BUCKET_ARN}/*")));
    fixture.papers(&["a/1"], &gets).await;
    let client = fixture.s3(fixture.reader().await);
    let head = |client: &Client| client.head_object().bucket(PAPERS).key("a/2").send();
    let attributes = |client: &Client| {
        let asked = client.get_object_attributes().bucket(PAPERS).key("a/2");
        asked.object_attributes(ObjectAttributes::Etag).send()
    };
    assert_eq!(read(&client, "a/2").await, Err(denied()));
    assert_eq!(refusal(head(&client).await).1, 403);
    assert_eq!(refusal(attributes(&client).await), denied());
    // A range that nobody understands is ignored, not a way around.
    let odd = client.get_object().bucket(PAPERS).range("lines=1-2");
    assert_eq!(refusal(odd.key("a/2").send().await), denied());

    let lists = policy(&json!([
        { "Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*" },
    ]));
    fixture.papers(&["a/1"], &lists).await;
    let missing = ("NoSuchKey".to_owned(), 404);
    assert_eq!(read(&client, "a/2").await, Err(missing.clone()));
    assert_eq!(refusal(head(&client).await).1, 404);
    assert_eq!(refusal(attributes(&client).await), missing);
}

#[tokio::test]
async fn a_range_that_nobody_understands_opens_no_other_door() {
    let fixture = start().await;
    fixture.papers(&["a/1", "b/1"], &reading()).await;
    let client = fixture.s3(fixture.reader().await);
    let with_range = |key: &str| {
        let get = client.get_object().bucket(PAPERS).key(key);
        get.range("lines=1-2").send()
    };
    with_range("a/1").await.unwrap();
    assert_eq!(refusal(with_range("b/1").await), denied());
    let odd =
        |request: aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder| {
            let request = request.customize();
            request.mutate_request(|request| {
                request.headers_mut().insert("range", "lines=1-2");
            })
        };
    let listed = odd(client.list_objects_v2().bucket(PAPERS)).send().await;
    assert_eq!(refusal(listed), denied());
}

#[tokio::test]
async fn versions_have_actions_of_their_own() {
    let fixture = start().await;
    let plain = allow(&json!(["s3:GetObject", "s3:DeleteObject"]), &json!("*"));
    fixture.papers(&["a/1"], &plain).await;
    fixture.store.create_bucket(PAPERS, true).await.unwrap();
    let customer = fixture.s3(customer_keys());
    let put = customer.put_object().bucket(PAPERS).key("a/1").send().await;
    let id = put.unwrap().version_id().unwrap().to_owned();
    let client = fixture.s3(fixture.reader().await);
    let get = |id: &str| {
        client
            .get_object()
            .bucket(PAPERS)
            .key("a/1")
            .version_id(id)
            .send()
    };
    assert_eq!(refusal(get(&id).await), denied());
    let listed = client.list_object_versions().bucket(PAPERS).send().await;
    assert_eq!(refusal(listed), denied());
    let delete = client.delete_object().bucket(PAPERS).key("a/1");
    assert_eq!(refusal(delete.version_id(&id).send().await), denied());
    let of_versions = policy(&json!([
        { "Effect": "Allow", "Action": "s3:GetObjectVersion", "Resource": "*",
          "Condition": { "StringEquals": { "s3:VersionId": id } } },
    ]));
    fixture.papers(&[], &of_versions).await;
    get(&id).await.unwrap();
    assert_eq!(read(&client, "a/1").await, Err(denied()));
    // Without ListBucket, not even that a version is missing.
    assert_eq!(refusal(get("null").await), denied());
}

impl Fixture {
    /// Replaces the policy of the customer's bucket by these statements.
    async fn bucket_policy(&self, statements: &Value) {
        let put = self.s3(customer_keys()).put_bucket_policy().bucket(PAPERS);
        let put = put.policy(policy(statements)).send().await;
        put.expect("the policy is right");
    }
}

fn to_us(effect: &str) -> Value {
    json!({ "Effect": effect, "Principal": { "AWS": OWN }, "Action": "s3:GetObject", "Resource": format!("{BUCKET_ARN}/a/*") })
}

#[tokio::test]
async fn an_account_reads_anothers_bucket_only_by_its_policy() {
    let fixture = start().await;
    fixture.papers(&["a/1", "b/1"], &everything()).await;
    let client = fixture.s3(own_keys());
    assert_eq!(read(&client, "a/1").await, Err(denied()));
    fixture.bucket_policy(&to_us("Allow")).await;
    assert_eq!(read(&client, "a/1").await, Ok(b"a/1".to_vec()));
    assert_eq!(read(&client, "b/1").await, Err(denied()));
    let put = client.put_object().bucket(PAPERS).key("a/1");
    assert_eq!(refusal(put.send().await), denied());
    let reads = client.get_bucket_policy().bucket(PAPERS).send().await;
    assert_eq!(refusal(reads), denied());

    fixture
        .bucket_policy(&json!([to_us("Allow"), to_us("Deny")]))
        .await;
    assert_eq!(read(&client, "a/1").await, Err(denied()));
    let everyone = json!({ "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": format!("{BUCKET_ARN}/*") });
    fixture.bucket_policy(&everyone).await;
    let reader = fixture.s3(fixture.reader().await);
    assert_eq!(read(&reader, "a/1").await, Err(denied()));
    let customer = fixture.s3(customer_keys());
    assert_eq!(read(&customer, "a/1").await, Err(denied()));
    // The account does not lock itself out of the policy.
    let all = json!({ "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [BUCKET_ARN, format!("{BUCKET_ARN}/*")] });
    fixture.bucket_policy(&all).await;
    let delete = customer.delete_bucket_policy().bucket(PAPERS);
    delete.send().await.unwrap();
    assert_eq!(read(&reader, "a/1").await, Ok(b"a/1".to_vec()));
    let gone = customer.get_bucket_policy().bucket(PAPERS).send().await;
    assert_eq!(refusal(gone), ("NoSuchBucketPolicy".to_owned(), 404));
}

#[tokio::test]
async fn a_bucket_policy_is_kept_as_it_was_written() {
    let fixture = start().await;
    fixture.papers(&["a/1"], &everything()).await;
    fixture.bucket_policy(&to_us("Allow")).await;
    let customer = fixture.s3(customer_keys());
    let kept = customer.get_bucket_policy().bucket(PAPERS).send().await;
    let kept = kept.unwrap().policy.unwrap();
    assert_eq!(kept, policy(&to_us("Allow")));
    for wrong in [
        "{",
        "{}",
        &everything(),
        &policy(
            &json!({ "Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::papers-2/*" }),
        ),
    ] {
        let put = customer.put_bucket_policy().bucket(PAPERS).policy(wrong);
        assert_eq!(
            refusal(put.send().await),
            ("MalformedPolicy".to_owned(), 400),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn buckets_belong_to_the_account_that_makes_them() {
    let fixture = start().await;
    fixture.papers(&["a/1"], &everything()).await;
    let names = |keys: Credentials| {
        let list = fixture.s3(keys).list_buckets().send();
        async {
            let buckets = list.await.unwrap().buckets.unwrap_or_default();
            buckets
                .into_iter()
                .filter_map(|bucket| bucket.name)
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(names(own_keys()).await, [BUCKET]);
    assert_eq!(names(customer_keys()).await, [PAPERS]);
    assert_eq!(names(fixture.reader().await).await, [PAPERS]);
    let create =
        |keys: Credentials, name: &str| fixture.s3(keys).create_bucket().bucket(name).send();
    assert_eq!(
        refusal(create(own_keys(), PAPERS).await),
        ("BucketAlreadyExists".to_owned(), 409)
    );
    create(fixture.reader().await, "made-by-a-role")
        .await
        .unwrap();
    assert_eq!(names(customer_keys()).await, ["made-by-a-role", PAPERS]);
    fixture.papers(&[], &reading()).await;
    let refused = create(fixture.reader().await, "other").await;
    assert_eq!(refusal(refused), denied());
}

#[tokio::test]
async fn the_expected_owner_has_to_be_the_owner() {
    let fixture = start().await;
    fixture.papers(&["a/1"], &everything()).await;
    let client = fixture.s3(fixture.reader().await);
    let expecting = |account: &str| {
        let get = client.get_object().bucket(PAPERS).key("a/1");
        get.expected_bucket_owner(account).send()
    };
    expecting(CUSTOMER).await.unwrap();
    assert_eq!(refusal(expecting(OWN).await), denied());
    assert_eq!(refusal(expecting("999999999999").await), denied());
}

#[tokio::test]
async fn requests_for_another_region_are_sent_there() {
    let fixture = start().await;
    let west = fixture.s3_of("eu-west-1", customer_keys());
    let place = CreateBucketConfiguration::builder()
        .location_constraint(BucketLocationConstraint::EuWest1)
        .build();
    let create = || west.create_bucket().bucket(PAPERS);
    assert_eq!(
        refusal(create().send().await),
        ("IllegalLocationConstraintException".to_owned(), 400)
    );
    create()
        .create_bucket_configuration(place)
        .send()
        .await
        .unwrap();
    fixture.papers_role(&everything());
    let keys = fixture.reader().await;
    let wrong = fixture.s3(keys.clone());
    let refused = wrong
        .get_object()
        .bucket(PAPERS)
        .key("a")
        .send()
        .await
        .unwrap_err();
    let answer = refused.raw_response().unwrap();
    assert_eq!(answer.status().as_u16(), 301);
    assert_eq!(
        answer.headers().get("x-amz-bucket-region"),
        Some("eu-west-1")
    );
    assert_eq!(refusal::<(), _>(Err(refused)).0, "PermanentRedirect");
    let head = wrong.head_bucket().bucket(PAPERS).send().await.unwrap_err();
    let answer = head.raw_response().unwrap();
    assert_eq!(answer.status().as_u16(), 301);
    assert_eq!(
        answer.headers().get("x-amz-bucket-region"),
        Some("eu-west-1")
    );
    let presigned = wrong.get_object().bucket(PAPERS).key("a");
    let hour = PresigningConfig::expires_in(Duration::from_hours(1)).unwrap();
    let presigned = presigned.presigned(hour).await.unwrap();
    assert_eq!(fetch(&fixture, presigned.uri()).await, 301);

    let right = fixture.s3_of("eu-west-1", keys);
    let head = right.head_bucket().bucket(PAPERS).send().await.unwrap();
    assert_eq!(head.bucket_region(), Some("eu-west-1"));
    let location = wrong.get_bucket_location().bucket(PAPERS).send().await;
    assert_eq!(
        location.unwrap().location_constraint(),
        Some(&BucketLocationConstraint::EuWest1)
    );
}

#[tokio::test]
async fn whoever_reads_pays_where_the_bucket_says_so() {
    let fixture = start().await;
    fixture.papers(&["a/1"], &everything()).await;
    let customer = fixture.s3(customer_keys());
    let pays = RequestPaymentConfiguration::builder().payer(Payer::Requester);
    let put = customer.put_bucket_request_payment().bucket(PAPERS);
    let put = put.request_payment_configuration(pays.build().unwrap());
    put.send().await.unwrap();
    let payer = customer.get_bucket_request_payment().bucket(PAPERS);
    assert_eq!(payer.send().await.unwrap().payer(), Some(&Payer::Requester));
    fixture.bucket_policy(&to_us("Allow")).await;
    let own = fixture.s3(own_keys());
    let get = |client: &Client| client.get_object().bucket(PAPERS).key("a/1");
    assert_eq!(refusal(get(&own).send().await), denied());
    let paid = get(&own)
        .request_payer(RequestPayer::Requester)
        .send()
        .await;
    assert!(paid.unwrap().request_charged().is_some());
    // The account itself pays in any case, and so do its roles.
    assert!(
        get(&customer)
            .send()
            .await
            .unwrap()
            .request_charged()
            .is_none()
    );
    get(&fixture.s3(fixture.reader().await))
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_presigned_url_of_a_session_may_what_the_session_may() {
    let fixture = start().await;
    fixture.papers(&["a/1", "b/1"], &reading()).await;
    let client = fixture.s3(fixture.reader().await);
    let presigned = |key: &str| {
        let hour = PresigningConfig::expires_in(Duration::from_hours(1)).unwrap();
        client.get_object().bucket(PAPERS).key(key).presigned(hour)
    };
    let (inside, outside) = (
        presigned("a/1").await.unwrap(),
        presigned("b/1").await.unwrap(),
    );
    assert!(inside.uri().contains("X-Amz-Security-Token="));
    assert_eq!(fetch(&fixture, inside.uri()).await, 200);
    assert_eq!(fetch(&fixture, outside.uri()).await, 403);
    let token_at = inside.uri().find("X-Amz-Security-Token=").unwrap();
    let (before, after) = inside.uri().split_at(token_at);
    let rest = after.split_once('&').map_or("", |(_, rest)| rest);
    assert!(matches!(
        fetch(&fixture, &format!("{before}{rest}")).await,
        400 | 403
    ));
    fixture.store.iam().end_sessions();
    assert_eq!(fetch(&fixture, inside.uri()).await, 400);
}

#[tokio::test]
async fn a_copy_reads_its_source_and_writes_its_target() {
    let fixture = start().await;
    let both = policy(&json!([
        { "Effect": "Allow", "Action": "s3:GetObject", "Resource": format!("{BUCKET_ARN}/a/*") },
        { "Effect": "Allow", "Action": "s3:PutObject", "Resource": format!("{BUCKET_ARN}/out/*") },
    ]));
    fixture.papers(&["a/1", "b/1"], &both).await;
    fixture.put("own", "x").await;
    let client = fixture.s3(fixture.reader().await);
    let copy = |source: &str, key: &str| {
        let copy = client.copy_object().copy_source(source);
        copy.bucket(PAPERS).key(key).send()
    };
    copy("papers/a/1", "out/1").await.unwrap();
    assert_eq!(refusal(copy("papers/a/1", "a/2").await), denied());
    assert_eq!(refusal(copy("papers/b/1", "out/2").await), denied());
    assert_eq!(refusal(copy("documents/own", "out/2").await), denied());
    assert_eq!(refusal(copy("papers/a/9", "out/2").await), denied());
    // What is missing in the source is hidden by the source, wherever the copy goes.
    let customer = fixture.s3(customer_keys());
    let out = customer.create_bucket().bucket("out-of-papers");
    out.send().await.unwrap();
    let lists_out = policy(&json!([
        { "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*" },
        { "Effect": "Allow", "Action": ["s3:PutObject", "s3:ListBucket"], "Resource": "arn:aws:s3:::out-of-papers*" },
    ]));
    fixture.papers(&[], &lists_out).await;
    let elsewhere = |source: &str| {
        let copy = client.copy_object().copy_source(source);
        copy.bucket("out-of-papers").key("1").send()
    };
    elsewhere("papers/a/1").await.unwrap();
    assert_eq!(refusal(elsewhere("papers/a/9").await), denied());
    assert_eq!(
        refusal(elsewhere("nobodys/a").await),
        ("NoSuchBucket".to_owned(), 404)
    );
}

#[tokio::test]
async fn each_key_of_a_batch_and_of_a_form_is_asked_for() {
    let fixture = start().await;
    let may_delete = allow(
        &json!("s3:DeleteObject"),
        &json!(format!("{BUCKET_ARN}/a/*")),
    );
    fixture.papers(&["a/1", "b/1"], &may_delete).await;
    let client = fixture.s3(fixture.reader().await);
    let object = |key: &str| ObjectIdentifier::builder().key(key).build().unwrap();
    let batch = Delete::builder()
        .objects(object("a/1"))
        .objects(object("b/1"));
    let output = client
        .delete_objects()
        .bucket(PAPERS)
        .delete(batch.build().unwrap());
    let output = output.send().await.unwrap();
    let deleted: Vec<_> = output
        .deleted()
        .iter()
        .filter_map(|object| object.key())
        .collect();
    let refused: Vec<_> = output
        .errors()
        .iter()
        .map(|error| (error.key(), error.code()))
        .collect();
    assert_eq!(deleted, ["a/1"]);
    assert_eq!(refused, [(Some("b/1"), Some("AccessDenied"))]);
    let customer = fixture.s3(customer_keys());
    customer
        .head_object()
        .bucket(PAPERS)
        .key("b/1")
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn tags_on_a_write_need_the_right_to_tag() {
    let fixture = start().await;
    let writes = allow(&json!("s3:PutObject"), &json!("*"));
    fixture.papers(&[], &writes).await;
    let client = fixture.s3(fixture.reader().await);
    let put = || {
        client
            .put_object()
            .bucket(PAPERS)
            .key("a")
            .body(ByteStream::from_static(b"x"))
    };
    put().send().await.unwrap();
    assert_eq!(refusal(put().tagging("a=b").send().await), denied());
    let tag = Tag::builder().key("a").value("b").build().unwrap();
    let tagging = Tagging::builder().tag_set(tag).build().unwrap();
    let tagged = client
        .put_object_tagging()
        .bucket(PAPERS)
        .key("a")
        .tagging(tagging);
    assert_eq!(refusal(tagged.send().await), denied());
}

#[tokio::test]
async fn every_part_of_a_multipart_upload_is_asked_for() {
    let fixture = start().await;
    let writes = allow(&json!("s3:PutObject"), &json!(format!("{BUCKET_ARN}/a/*")));
    fixture.papers(&[], &writes).await;
    let client = fixture.s3(fixture.reader().await);
    let create = |key: &str| {
        client
            .create_multipart_upload()
            .bucket(PAPERS)
            .key(key)
            .send()
    };
    assert_eq!(refusal(create("b/1").await), denied());
    let upload = create("a/1").await.unwrap();
    let id = upload.upload_id().unwrap();
    let part = |key: &str| {
        let part = client.upload_part().bucket(PAPERS).key(key).upload_id(id);
        part.part_number(1)
            .body(ByteStream::from_static(b"x"))
            .send()
    };
    part("a/1").await.unwrap();
    assert_eq!(refusal(part("b/1").await), denied());
    let listed = client.list_multipart_uploads().bucket(PAPERS).send().await;
    assert_eq!(refusal(listed), denied());
    let abort = client.abort_multipart_upload().bucket(PAPERS).key("a/1");
    assert_eq!(refusal(abort.upload_id(id).send().await), denied());
}

impl Fixture {
    /// The role of the customer without a bucket.
    fn papers_role(&self, policy: &str) {
        use support::accounts::{external_id, trust};
        self.role(CUSTOMER, "reader", &trust(&external_id()), policy);
    }
}

/// The status of a GET without any signature but that of the URL.
async fn fetch(fixture: &Fixture, url: &str) -> u16 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (address, _stop) = fixture.serve().await;
    let path = url.strip_prefix("http://127.0.0.1").expect("a local URL");
    let address = address.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("it answers");
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status.expect("a status")
}
