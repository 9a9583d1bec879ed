//! Conditional requests: one winner, and the right refusals.

mod support;

use aws_sdk_s3::primitives::{ByteStream, DateTime};
use support::{BUCKET, pattern, refusal, start, start_versioned};

const PRECONDITION_FAILED: &str = "PreconditionFailed";

#[tokio::test]
async fn one_of_sixteen_racing_creators_wins() {
    for length in [10, 100_000] {
        let fixture = start().await;
        let racers = (0..16_u8).map(|racer| {
            let put = fixture
                .client
                .put_object()
                .bucket(BUCKET)
                .key("a")
                .if_none_match("*");
            let put = put.body(ByteStream::from(vec![racer; length]));
            tokio::spawn(async move { (racer, put.send().await) })
        });
        let mut winners = Vec::new();
        for racer in racers.collect::<Vec<_>>() {
            let (racer, result) = racer.await.unwrap();
            match result {
                Ok(_) => winners.push(racer),
                result => assert_eq!(refusal(result), (PRECONDITION_FAILED.to_owned(), 412)),
            }
        }
        assert_eq!(winners.len(), 1);
        assert_eq!(fixture.get("a").await, vec![winners[0]; length]);
    }
}

#[tokio::test]
async fn one_of_sixteen_racing_replacers_wins() {
    let fixture = start().await;
    let etag = fixture.put("a", "first").await.e_tag.unwrap();
    let racers = (0..16_u8).map(|racer| {
        let put = fixture
            .client
            .put_object()
            .bucket(BUCKET)
            .key("a")
            .if_match(&etag);
        let put = put.body(ByteStream::from(vec![racer]));
        tokio::spawn(async move { put.send().await.is_ok() })
    });
    let mut winners = 0;
    for racer in racers.collect::<Vec<_>>() {
        winners += usize::from(racer.await.unwrap());
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn if_match_guards_put_and_delete() {
    let fixture = start_versioned().await;
    let client = &fixture.client;
    let put = |tag: &str| {
        client
            .put_object()
            .bucket(BUCKET)
            .key("a")
            .if_match(tag)
            .body(ByteStream::from_static(b"y"))
    };
    assert_eq!(
        refusal(put("\"0\"").send().await),
        ("NoSuchKey".to_owned(), 404)
    );
    let etag = fixture.put("a", "x").await.e_tag.unwrap();
    assert_eq!(
        refusal(put("\"0\"").send().await),
        (PRECONDITION_FAILED.to_owned(), 412)
    );
    let etag_now = put(&etag).send().await.unwrap().e_tag.unwrap();
    let delete = |tag: &str| client.delete_object().bucket(BUCKET).key("a").if_match(tag);
    assert_eq!(
        refusal(delete(&etag).send().await),
        (PRECONDITION_FAILED.to_owned(), 412)
    );
    delete(&etag_now).send().await.unwrap();
    // A delete marker is no object.
    assert_eq!(
        refusal(delete(&etag_now).send().await),
        ("NoSuchKey".to_owned(), 404)
    );
    assert_eq!(
        refusal(put(&etag_now).send().await),
        ("NoSuchKey".to_owned(), 404)
    );
    let create = client
        .put_object()
        .bucket(BUCKET)
        .key("a")
        .if_none_match("*");
    create
        .body(ByteStream::from_static(b"z"))
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_copy_obeys_conditions_on_both_ends() {
    let fixture = start().await;
    let etag = fixture.put("from", "x").await.e_tag.unwrap();
    let copy = || {
        fixture
            .client
            .copy_object()
            .bucket(BUCKET)
            .key("to")
            .copy_source(format!("{BUCKET}/from"))
    };
    let failed = (PRECONDITION_FAILED.to_owned(), 412);
    assert_eq!(
        refusal(copy().copy_source_if_match("\"0\"").send().await),
        failed
    );
    assert_eq!(
        refusal(copy().copy_source_if_none_match(&etag).send().await),
        failed
    );
    assert_eq!(
        refusal(copy().if_match("\"0\"").send().await),
        ("NoSuchKey".to_owned(), 404)
    );
    copy()
        .copy_source_if_match(&etag)
        .if_none_match("*")
        .send()
        .await
        .unwrap();
    assert_eq!(refusal(copy().if_none_match("*").send().await), failed);
    assert_eq!(refusal(copy().if_match("\"0\"").send().await), failed);
    copy().if_match(&etag).send().await.unwrap();
}

#[tokio::test]
async fn reads_answer_304_and_412() {
    let fixture = start().await;
    let etag = fixture.put("a", "x").await.e_tag.unwrap();
    let get = || fixture.client.get_object().bucket(BUCKET).key("a");
    let head = || fixture.client.head_object().bucket(BUCKET).key("a");
    assert_eq!(refusal(get().if_none_match(&etag).send().await).1, 304);
    assert_eq!(refusal(head().if_none_match(&etag).send().await).1, 304);
    assert_eq!(
        refusal(get().if_match("\"0\"").send().await),
        (PRECONDITION_FAILED.to_owned(), 412)
    );
    get()
        .if_match(&etag)
        .if_none_match("\"0\"")
        .send()
        .await
        .unwrap();
    let modified = head().send().await.unwrap().last_modified.unwrap();
    let before = DateTime::from_secs(modified.secs() - 10);
    assert_eq!(
        refusal(get().if_modified_since(modified).send().await).1,
        304
    );
    assert_eq!(
        refusal(get().if_unmodified_since(before).send().await).1,
        412
    );
    get().if_modified_since(before).send().await.unwrap();
    get().if_unmodified_since(modified).send().await.unwrap();
    // A tag decides before a date.
    get()
        .if_match(&etag)
        .if_unmodified_since(before)
        .send()
        .await
        .unwrap();
    assert_eq!(
        refusal(
            get()
                .if_none_match(&etag)
                .if_modified_since(before)
                .send()
                .await
        )
        .1,
        304
    );
}

#[tokio::test]
async fn ranges_are_cut_exactly() {
    let fixture = start().await;
    for length in [1000_usize, 2_000_000] {
        let bytes = pattern(length);
        fixture.put("a", bytes.clone()).await;
        let cases = [
            ("bytes=0-0".to_owned(), 0..1),
            ("bytes=10-19".to_owned(), 10..20),
            ("bytes=990-".to_owned(), 990..length),
            ("bytes=-7".to_owned(), length - 7..length),
            (format!("bytes=-{}", length * 2), 0..length),
            (format!("bytes=5-{}", length * 2), 5..length),
        ];
        for (range, expected) in cases {
            let got = fixture
                .client
                .get_object()
                .bucket(BUCKET)
                .key("a")
                .range(&range)
                .send()
                .await
                .unwrap();
            let said = format!("bytes {}-{}/{length}", expected.start, expected.end - 1);
            assert_eq!(got.content_range(), Some(said.as_str()));
            assert_eq!(
                got.body.collect().await.unwrap().to_vec(),
                bytes[expected],
                "{range}"
            );
        }
        for range in [format!("bytes={length}-"), "bytes=-0".to_owned()] {
            let got = fixture
                .client
                .get_object()
                .bucket(BUCKET)
                .key("a")
                .range(&range)
                .send()
                .await;
            assert_eq!(refusal(got), ("InvalidRange".to_owned(), 416));
        }
    }
}
