//! Objects are read as the documents table has them, and whatever S3 says instead is told by its name.

mod support;

use std::time::Duration;

use aws_sdk_s3::config::Region;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::CreateBucketConfiguration;
use embedded_s3::{Fault, Target};
use serde_json::json;
use support::amazon::Trouble;
use support::{BUCKET, Loader, Store, invoke};
use testkit::Postgres;

async fn versioned() -> Loader {
    Loader::at(Postgres::start().await, Store::start_with(true).await).await
}

#[tokio::test]
async fn a_small_document_costs_one_request() {
    let loader = Loader::start().await;
    loader.put("a", "text").await;
    loader.load().await;
    assert_eq!(
        loader.store.network.lines(),
        ["GET /documents/a?x-id=GetObject "]
    );
}

#[tokio::test]
async fn a_document_that_the_table_tells_nothing_of_is_asked_for_first() {
    let loader = Loader::start().await;
    loader.store.put("a b+c?#.txt", b"text".to_vec()).await;
    let uri = format!("s3://{BUCKET}/a b+c?#.txt");
    loader.enter(&uri, None, None, None).await;
    loader.load().await;
    assert_eq!(
        (
            loader.text(&uri).await.as_str(),
            loader.state(&uri).await.as_str()
        ),
        ("text", "loaded")
    );
    assert_eq!(loader.store.network.requests("HEAD"), 1);

    // Touched by whoever writes the table: S3 is asked whether it changed, and it is not read.
    loader
        .sql
        .batch_execute("update document set last_modified = now()")
        .await
        .unwrap();
    let report = loader.load().await;
    assert_eq!(report["unchanged"], 1);
    assert_eq!(
        (
            loader.store.network.requests("HEAD"),
            loader.store.network.requests("GET")
        ),
        (2, 1)
    );
}

#[tokio::test]
async fn an_object_that_is_newer_than_its_row_waits_for_the_event() {
    let loader = Loader::start().await;
    let uri = loader.put("a", "first").await;
    loader
        .store
        .put("a", b"second, whose event is on its way".to_vec())
        .await;
    loader.load().await;
    assert_eq!(loader.state(&uri).await, "retry: superseded");
    assert_eq!(loader.text(&uri).await, "");
    loader.put("a", "third").await;
    loader.load().await;
    assert_eq!(
        (
            loader.state(&uri).await.as_str(),
            loader.text(&uri).await.as_str()
        ),
        ("loaded", "third")
    );
}

#[tokio::test]
async fn the_version_that_the_row_names_is_read_even_if_there_is_a_newer_one() {
    let loader = versioned().await;
    let uri = loader.put("a", "first").await;
    loader.store.put("a", b"second".to_vec()).await;
    loader.load().await;
    assert_eq!(loader.text(&uri).await, "first");
}

#[tokio::test]
async fn a_version_or_an_object_that_is_gone_is_missing() {
    let loader = versioned().await;
    let uri = loader.put("a", "first").await;
    let version: String = loader
        .sql
        .query_one("select version_id from document", &[])
        .await
        .unwrap()
        .get(0);
    let gone = loader
        .store
        .client
        .delete_object()
        .bucket(BUCKET)
        .key("a")
        .version_id(version);
    gone.send().await.unwrap();
    loader
        .enter("s3://documents/never", Some("e"), None, Some(1))
        .await;
    loader
        .enter("s3://nowhere/a", Some("e"), None, Some(1))
        .await;
    loader.load().await;
    assert_eq!(loader.state(&uri).await, "failed: missing");
    assert_eq!(
        loader.state("s3://documents/never").await,
        "failed: missing"
    );
    assert_eq!(
        loader.state("s3://nowhere/a").await,
        "parked: bucket_missing"
    );
}

#[tokio::test]
async fn a_missing_object_is_told_from_a_forbidden_one() {
    let loader = Loader::start().await;
    let there = loader.put("there", "text").await;
    let gone = loader.put("gone", "text").await;
    loader.store.delete("gone").await;
    let blind = loader.put("blind", "text").await;
    let network = &loader.store.network;
    network.trouble(
        "prefix=blind",
        9,
        Trouble::Refuse(403, "AccessDenied", None),
    );
    for key in ["there", "gone", "blind"] {
        network.trouble(
            &format!("GET /documents/{key}?"),
            9,
            Trouble::Refuse(403, "AccessDenied", None),
        );
    }
    loader.load().await;
    assert_eq!(loader.state(&there).await, "parked: denied");
    assert_eq!(loader.state(&gone).await, "failed: missing");
    assert_eq!(loader.state(&blind).await, "parked: denied");
    assert!(
        loader
            .last_error(&blind)
            .await
            .contains("without s3:ListBucket"),
        "{}",
        loader.last_error(&blind).await
    );

    network.clear();
    loader.pass_time().await;
    loader.load().await;
    assert_eq!(loader.state(&there).await, "loaded", "the cause is gone");
}

#[tokio::test]
async fn an_archived_object_waits_until_it_is_restored() {
    let loader = Loader::start().await;
    let uri = loader.put("a", "text").await;
    loader.store.network.trouble(
        "GET /documents/a",
        1,
        Trouble::Refuse(403, "InvalidObjectState", None),
    );
    loader.load().await;
    assert_eq!(loader.state(&uri).await, "parked: archived");
    let report = loader.load().await;
    assert_eq!(report["loaded"], 0, "not before its time");
    // Its time is when S3 says that it was restored.
    let restored = json!({ "Records": [{
        "eventSource": "aws:s3", "eventName": "ObjectRestore:Completed",
        "s3": { "bucket": { "name": "documents" }, "object": { "key": "a" } },
    }] });
    let messages = json!({ "Records": [{
        "eventSource": "aws:sqs", "messageId": "1", "body": restored.to_string(),
    }] });
    let answer = invoke(&loader.function, &messages).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
    assert_eq!(loader.state(&uri).await, "loaded");
}

#[tokio::test]
async fn too_large_an_object_is_not_read_whatever_the_table_says_of_its_size() {
    let loader = Loader::start().await;
    loader
        .sql
        .batch_execute("select add_source('s3://documents/', max_bytes => 10)")
        .await
        .unwrap();
    let told = loader.put("told", "more than ten bytes").await;
    let untold = loader.put("untold", "more than ten bytes").await;
    let lied = loader.put("lied", "more than ten bytes").await;
    let fits = loader.put("fits", "ten bytes!").await;
    loader
        .sql
        .batch_execute("update document set size = null where uri like '%/untold'; update document set size = 1 where uri like '%/lied'")
        .await
        .unwrap();
    loader.load().await;
    for uri in [&told, &untold, &lied] {
        assert_eq!(loader.state(uri).await, "failed: too_large", "{uri}");
    }
    assert_eq!(loader.state(&fits).await, "loaded");
    assert_eq!(loader.store.network.requests("/told"), 0);
    assert_eq!(
        loader.last_error(&lied).await,
        "the object has 19 bytes, and 10 are allowed"
    );

    loader
        .sql
        .batch_execute("select change_source('s3://documents/', max_bytes => 100)")
        .await
        .unwrap();
    loader.load().await;
    assert_eq!(loader.state(&told).await, "loaded");
}

#[tokio::test]
async fn a_bucket_in_another_region_is_found_and_remembered() {
    for (status, code) in [
        (301, "PermanentRedirect"),
        (400, "AuthorizationHeaderMalformed"),
    ] {
        let loader = Loader::start().await;
        loader
            .sql
            .batch_execute("select add_source('s3://elsewhere/')")
            .await
            .unwrap();
        let region = "eu-south-2";
        let there = loader.store.client.config().to_builder();
        let there = aws_sdk_s3::Client::from_conf(there.region(Region::new(region)).build());
        let place = CreateBucketConfiguration::builder().location_constraint(region.into());
        let made = there.create_bucket().bucket("elsewhere");
        let made = made.create_bucket_configuration(place.build()).send().await;
        made.unwrap();
        let put = async |key| {
            let put = there.put_object().bucket("elsewhere").key(key);
            let put = put.body(ByteStream::from_static(b"text")).send().await;
            let etag = put.unwrap().e_tag.unwrap();
            let uri = format!("s3://elsewhere/{key}");
            let etag = etag.trim_matches('"');
            loader.enter(&uri, Some(etag), None, Some(4)).await;
        };
        put("a").await;
        if status == 400 {
            loader.store.network.trouble(
                "GET /elsewhere/",
                1,
                Trouble::Refuse(status, code, Some(region)),
            );
        }
        let report = loader.load().await;
        assert_eq!(report["loaded"], 1, "{code}");
        put("b").await;
        loader.load().await;
        assert_eq!(loader.store.network.requests("GET"), 3, "{code}");
        let found = loader
            .sql
            .query_one("select found_region from document_source", &[])
            .await
            .unwrap();
        assert_eq!(found.get::<_, String>(0), "eu-south-2");
    }
}

#[tokio::test]
async fn requests_that_are_sent_from_region_to_region_come_to_an_end() {
    let loader = Loader::start().await;
    let uri = loader.put("a", "text").await;
    for region in ["eu-west-1", "eu-west-2"].into_iter().cycle().take(20) {
        loader.store.network.trouble(
            "GET",
            1,
            Trouble::Refuse(301, "PermanentRedirect", Some(region)),
        );
    }
    loader.load().await;
    assert_eq!(loader.state(&uri).await, "retry: unavailable");
    assert_eq!(loader.store.network.requests("GET"), 3);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_later_and_the_old_text_stays_meanwhile() {
    let loader = Loader::start().await;
    let uri = loader.put("a", "first").await;
    loader.load().await;
    loader.put("a", "second").await;
    let target = || Target {
        operation: Some("GetObject".into()),
        ..Target::default()
    };
    for (fault, reason) in [
        (Fault::SlowDown, "throttled"),
        (Fault::InternalError, "unavailable"),
        (Fault::CutBody(3), "unavailable"),
    ] {
        loader.store.embedded.faults().inject(fault, target());
        loader.load().await;
        assert_eq!(
            loader.state(&uri).await,
            format!("retry: {reason}"),
            "{fault:?}"
        );
        assert_eq!(loader.text(&uri).await, "first");
        loader.store.embedded.faults().clear();
        loader.pass_time().await;
    }
    loader.store.network.trouble("GET", 1, Trouble::Garble);
    loader.load().await;
    assert_eq!(loader.state(&uri).await, "retry: damaged");
    loader.pass_time().await;
    loader.load().await;
    assert_eq!(loader.text(&uri).await, "second");
    let errors = loader
        .count("select count(*) from document_load_error")
        .await;
    assert_eq!(errors, 4, "the history stays");
}

#[tokio::test]
async fn a_body_that_stops_coming_is_given_up() {
    let loader = Loader::start().await;
    let uri = loader.put("a", "a long text").await;
    let other = loader.put("b", "another").await;
    loader
        .store
        .network
        .trouble("GET /documents/a", 1, Trouble::Stall(3));
    loader.load().await;
    assert_eq!(loader.state(&uri).await, "retry: unavailable");
    assert_eq!(loader.state(&other).await, "loaded");
}

#[tokio::test]
async fn an_answer_that_never_comes_is_given_up() {
    let loader = Loader::start().await;
    let uri = loader.put("a", "text").await;
    loader
        .store
        .network
        .trouble("GET", 9, Trouble::Hang(Duration::ZERO));
    loader.load().await;
    assert_eq!(loader.state(&uri).await, "retry: unavailable");
}

/// Lines of text that do not repeat, more than 16 MiB of them.
fn large() -> String {
    support::lines(1_500_000)
}

#[tokio::test]
async fn a_large_object_is_read_in_parts_of_one_version() {
    let loader = Loader::start().await;
    loader
        .sql
        .batch_execute(
            "select add_source('s3://documents/', chunking => '{\"splitter\": \"none\"}')",
        )
        .await
        .unwrap();
    let text = large();
    let uri = loader.put("large", text.clone()).await;
    // A part breaks off, and is asked for again.
    loader.store.embedded.faults().inject(
        Fault::CutBody(1_000_000),
        Target {
            requests: Some(1),
            ..Target::default()
        },
    );
    let report = loader.load().await;
    assert_eq!(
        report["loaded"],
        1,
        "{report} {}",
        loader.last_error(&uri).await
    );
    assert_eq!(loader.text(&uri).await, text);
    let network = &loader.store.network;
    assert_eq!(
        (network.requests("HEAD"), network.requests("bytes=")),
        (1, 4)
    );
    let query = "select content_sha256 = sha256(convert_to($1, 'UTF8')) from document_load";
    let row = loader.sql.query_one(query, &[&text]).await.unwrap();
    assert!(row.get::<_, bool>(0));

    // Overwritten while it is read: what was read is of no use.
    loader.put("large", text.replace("line", "row ")).await;
    network.trouble(
        "bytes=8388608-",
        1,
        Trouble::Refuse(412, "PreconditionFailed", None),
    );
    loader.load().await;
    assert_eq!(loader.state(&uri).await, "retry: superseded");
    assert_eq!(loader.text(&uri).await, text);
}

#[tokio::test]
async fn a_large_document_with_pictures_is_read_and_all_of_it_is_hashed() {
    let loader = Loader::start().await;
    let body = in_many_parts();
    // A part breaks off where some of it has been written and hashed.
    loader.store.embedded.faults().inject(
        Fault::CutBody(5_000_000),
        Target {
            operation: Some("GetObject".to_owned()),
            requests: Some(1),
            ..Target::default()
        },
    );
    let uri = loader.put("report.docx", body.clone()).await;
    let report = loader.load().await;
    let error = loader.last_error(&uri).await;
    assert_eq!(report["loaded"], 1, "{report} {error}");
    assert_eq!(loader.text(&uri).await, "A capybara");
    let query = "select content_sha256 = sha256($1) from document_load";
    let row = loader.sql.query_one(query, &[&body]).await.unwrap();
    assert!(row.get::<_, bool>(0));
}

#[tokio::test]
async fn a_large_film_is_refused_by_its_beginning() {
    let loader = Loader::start().await;
    let mut film = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2".to_vec();
    film.resize(80 * 1024 * 1024, 0);
    let uri = loader.put("film.txt", film).await;
    loader.load().await;
    assert_eq!(loader.state(&uri).await, "failed: unsupported");
    let error = loader.last_error(&uri).await;
    assert!(error.contains("application/mp4"), "{error}");
    let parts = loader.store.network.requests("bytes=");
    assert!(parts < 10, "{parts} of 10 were asked for");
}

/// More parts than are read at a time, of one document.
fn in_many_parts() -> Vec<u8> {
    let picture = support::document::noise(1, 1024 * 1024).repeat(48);
    support::document::zip_with(&[("picture.png", &picture)])
}

#[tokio::test]
async fn a_large_object_that_is_overwritten_or_deleted_while_it_is_read_is_not_mixed() {
    let loader = Loader::start().await;
    let network = loader.store.network.clone();
    let body = in_many_parts();
    for (key, is_deleted, expected) in [
        ("overwritten", false, "retry: superseded"),
        ("deleted", true, "failed: missing"),
    ] {
        let uri = loader.put(key, body.clone()).await;
        // The first parts take a while.
        loader.store.embedded.faults().inject(
            Fault::StallBody {
                after: 1000,
                pause: Duration::from_secs(2),
            },
            Target {
                operation: Some("GetObject".to_owned()),
                requests: Some(1),
                ..Target::default()
            },
        );
        let path = format!("GET /documents/{key}");
        let change = async {
            while network.requests(&path) < 4 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            if is_deleted {
                loader.store.delete(key).await;
            } else {
                loader.store.put(key, b"another text".to_vec()).await;
            }
        };
        tokio::join!(loader.load(), change);
        assert_eq!(loader.state(&uri).await, expected);
        assert_eq!(loader.text(&uri).await, "");
    }
    // The event comes, and with it the row of what is there now.
    let uri = loader.put("overwritten", "another text").await;
    loader.load().await;
    assert_eq!(loader.text(&uri).await, "another text");
}

#[tokio::test]
async fn a_slow_body_is_waited_for() {
    let loader = Loader::start().await;
    let pause = Duration::from_secs(3);
    for after in [3, 500_000, 3_000_000] {
        let text = support::lines(if after > 1000 { 300_000 } else { 10 });
        let fault = Fault::StallBody { after, pause };
        let uri = loader.put(&format!("{after}"), text).await;
        let target = Target {
            operation: Some("GetObject".to_owned()),
            requests: Some(1),
            ..Target::default()
        };
        loader.store.embedded.faults().inject(fault, target);
        loader.load().await;
        assert_eq!(loader.state(&uri).await, "loaded");
    }
}

#[tokio::test]
async fn only_text_that_changed_is_written() {
    let loader = versioned().await;
    loader
        .sql
        .batch_execute("select add_source('s3://documents/', chunking => '{\"chunk_size\": 10, \"chunk_overlap\": 0}')")
        .await
        .unwrap();
    let ids = async || {
        let rows = loader
            .sql
            .query("select id from document_chunk order by chunk_order", &[])
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect::<Vec<i64>>()
    };
    let uri = loader.put("a", "0123456789abcdefghijABCDEFGHIJ").await;
    loader.load().await;
    let first = ids().await;
    loader.put("a", "0123456789abcdefghijABCDEFGHIJ").await;
    let report = loader.load().await;
    assert_eq!(
        (&report["unchanged"], &report["loaded"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(ids().await, first);
    loader.put("a", "0123456789ab____ghijABCDEFGHIJ").await;
    loader.load().await;
    let second = ids().await;
    assert_eq!((second[0], second[2]), (first[0], first[2]));
    assert_ne!(second[1], first[1]);
    loader.put("a", "0123456789").await;
    loader.load().await;
    assert_eq!(ids().await, first[..1]);

    // Split otherwise, the same bytes are other chunks, as soon as somebody wants them.
    loader
        .sql
        .batch_execute(
            "select change_source('s3://documents/', chunking => '{\"splitter\": \"none\"}')",
        )
        .await
        .unwrap();
    loader.put("a", "0123456789").await;
    loader.load().await;
    assert_eq!(loader.text(&uri).await, "0123456789");
    loader
        .sql
        .batch_execute(
            "update document_chunk set text = 'spoilt'; select requeue('s3://documents/%')",
        )
        .await
        .unwrap();
    let report = loader.load().await;
    assert_eq!(report["loaded"], 1);
    assert_eq!(loader.text(&uri).await, "0123456789");
}

#[tokio::test]
async fn an_empty_object_is_loaded_and_has_no_chunks() {
    let loader = Loader::start().await;
    let uri = loader.put("empty", "").await;
    loader.load().await;
    assert_eq!(
        (
            loader.state(&uri).await.as_str(),
            loader.text(&uri).await.as_str()
        ),
        ("loaded", "")
    );
}

#[tokio::test]
async fn rows_that_name_no_object_of_s3_are_never_followed() {
    let loader = Loader::start().await;
    for uri in [
        "/etc/hostname",
        "file:///etc/hostname",
        "http://127.0.0.1/x",
        "s3://id:secret@127.0.0.1:9000@documents/a",
        "s3://documents",
    ] {
        loader.enter(uri, Some("e"), None, Some(1)).await;
    }
    loader.load().await;
    let others = "select count(*) from document_load_status where (state, reason) <> ('failed', 'invalid_uri')";
    assert_eq!(loader.count(others).await, 0);
    assert!(loader.store.network.lines().is_empty());
}

#[tokio::test]
async fn what_costs_its_reader_says_so_and_what_belongs_to_somebody_is_checked() {
    let loader = Loader::start().await;
    loader
        .sql
        .batch_execute("select add_source('s3://documents/', requester_pays => true, expected_bucket_owner => '123456789012')")
        .await
        .unwrap();
    let uri = loader.put("a", "text").await;
    loader.load().await;
    assert_eq!(
        loader.state(&uri).await,
        "parked: denied",
        "not that account's"
    );
    loader
        .sql
        .batch_execute(
            "select change_source('s3://documents/', expected_bucket_owner => '000000000000')",
        )
        .await
        .unwrap();
    loader.load().await;
    assert_eq!(loader.state(&uri).await, "loaded");
    let headers = loader.store.network.last_headers();
    assert_eq!(
        headers.get("x-amz-request-payer").map(String::as_str),
        Some("requester")
    );
    assert_eq!(
        headers
            .get("x-amz-expected-bucket-owner")
            .map(String::as_str),
        Some("000000000000")
    );
}

#[tokio::test]
async fn one_document_is_loaded_on_request_whatever_its_state() {
    let loader = Loader::start().await;
    let uri = loader.put("a", "text").await;
    let other = loader.put("b", "text").await;
    let answer = loader.load_one(&uri).await;
    assert_eq!(
        (&answer["load"]["loaded"], &answer["refused"]),
        (&json!(1), &json!(null))
    );
    assert_eq!(loader.state(&other).await, "unknown", "nobody asked");
    assert_eq!(loader.load_one(&uri).await["load"]["unchanged"], 1);
    assert_eq!(
        loader.load_one("s3://documents/none").await["refused"],
        "it is not in the documents table"
    );
    loader
        .sql
        .batch_execute("select add_source('s3://documents/', load => false)")
        .await
        .unwrap();
    assert_eq!(
        loader.load_one(&other).await["refused"],
        "its source is not loaded: see change_source()"
    );
    loader.load().await;
    assert_eq!(loader.state(&other).await, "skipped");
    assert_eq!(loader.text(&uri).await, "text", "what is there stays");
    loader
        .sql
        .batch_execute("select change_source('s3://documents/', load => true)")
        .await
        .unwrap();
    loader.load().await;
    assert_eq!(loader.state(&other).await, "loaded");
}
