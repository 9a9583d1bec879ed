//! Objects: written, read back, copied, removed.

mod support;

use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{Delete, MetadataDirective, ObjectIdentifier, StorageClass, Tag, Tagging};
use support::{BUCKET, pattern, refusal, start};

#[tokio::test]
async fn an_object_comes_back_as_it_was_put() {
    let fixture = start().await;
    for length in [0, 1, 1000, 16 * 1024, 16 * 1024 + 1, 3_000_000] {
        let put = fixture.put("a", pattern(length)).await;
        let got = fixture
            .client
            .get_object()
            .bucket(BUCKET)
            .key("a")
            .send()
            .await
            .unwrap();
        assert_eq!(got.content_length(), i64::try_from(length).ok());
        assert_eq!(got.e_tag(), put.e_tag());
        assert_eq!(got.body.collect().await.unwrap().to_vec(), pattern(length));
    }
}

#[tokio::test]
async fn headers_and_metadata_come_back() {
    let fixture = start().await;
    let expires = DateTime::from_secs(1_900_000_000);
    fixture
        .client
        .put_object()
        .bucket(BUCKET)
        .key("a")
        .body(ByteStream::from_static(b"x"))
        .content_type("text/markdown; charset=utf-8")
        .cache_control("max-age=60")
        .content_disposition("attachment; filename=\"a.md\"")
        .content_encoding("gzip")
        .content_language("de")
        .set_expires(Some(expires))
        .storage_class(StorageClass::StandardIa)
        .metadata("author", "Zoe")
        .send()
        .await
        .unwrap();
    let head = fixture
        .client
        .head_object()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await
        .unwrap();
    assert_eq!(head.content_type(), Some("text/markdown; charset=utf-8"));
    assert_eq!(head.cache_control(), Some("max-age=60"));
    assert_eq!(
        head.content_disposition(),
        Some("attachment; filename=\"a.md\"")
    );
    assert_eq!(head.content_encoding(), Some("gzip"));
    assert_eq!(head.content_language(), Some("de"));
    assert_eq!(head.expires_string(), Some("Sun, 17 Mar 2030 17:46:40 GMT"));
    assert_eq!(head.storage_class(), Some(&StorageClass::StandardIa));
    assert_eq!(head.metadata().unwrap()["author"], "Zoe");
    fixture.put("b", "x").await;
    let head = fixture
        .client
        .head_object()
        .bucket(BUCKET)
        .key("b")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (head.content_type(), head.storage_class()),
        (Some("application/octet-stream"), None)
    );
}

#[tokio::test]
async fn odd_keys_are_different_objects() {
    let fixture = start().await;
    let longest = "k".repeat(1024);
    let keys = [
        "a b",
        "a+b",
        "a%b",
        "a%20b",
        "ü",
        "u\u{308}",
        "\u{fc}/",
        "//x",
        "x//y",
        "x/",
        "x",
        "🦀",
        "what?",
        "no#1",
        "a&b=c",
        "'quoted'",
        "\"double\"",
        "<xml>",
        "../up",
        "./here",
        "*",
        "~",
        longest.as_str(),
    ];
    for key in keys {
        fixture.put(key, key.as_bytes().to_vec()).await;
    }
    for key in keys {
        assert_eq!(fixture.get(key).await, key.as_bytes(), "{key}");
    }
    let mut sorted: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(fixture.keys().await, sorted);
    for key in keys {
        fixture.delete(key).await;
    }
    assert_eq!(fixture.keys().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_key_of_more_than_1024_bytes_is_refused() {
    let fixture = start().await;
    let put = fixture
        .client
        .put_object()
        .bucket(BUCKET)
        .key("k".repeat(1025))
        .body(ByteStream::from_static(b"x"));
    assert_eq!(
        refusal(put.send().await),
        ("KeyTooLongError".to_owned(), 400)
    );
}

#[tokio::test]
async fn missing_objects_and_buckets_are_named() {
    let fixture = start().await;
    let get = fixture
        .client
        .get_object()
        .bucket(BUCKET)
        .key("none")
        .send()
        .await;
    assert_eq!(refusal(get), ("NoSuchKey".to_owned(), 404));
    let head = fixture
        .client
        .head_object()
        .bucket(BUCKET)
        .key("none")
        .send()
        .await;
    assert_eq!(refusal(head).1, 404);
    let get = fixture
        .client
        .get_object()
        .bucket("nowhere")
        .key("none")
        .send()
        .await;
    assert_eq!(refusal(get), ("NoSuchBucket".to_owned(), 404));
    let put = fixture
        .client
        .put_object()
        .bucket("nowhere")
        .key("a")
        .body(ByteStream::from_static(b"x"))
        .send()
        .await;
    assert_eq!(refusal(put), ("NoSuchBucket".to_owned(), 404));
    fixture.delete("none").await;
}

#[tokio::test]
async fn a_copy_keeps_or_replaces_metadata() {
    let fixture = start().await;
    let client = &fixture.client;
    for length in [100, 100_000] {
        let put = client
            .put_object()
            .bucket(BUCKET)
            .key("from")
            .body(ByteStream::from(pattern(length)));
        put.content_type("text/plain")
            .metadata("colour", "blue")
            .send()
            .await
            .unwrap();
        let source = format!("{BUCKET}/from");
        client
            .copy_object()
            .bucket(BUCKET)
            .key("kept")
            .copy_source(&source)
            .send()
            .await
            .unwrap();
        let head = client
            .head_object()
            .bucket(BUCKET)
            .key("kept")
            .send()
            .await
            .unwrap();
        assert_eq!(
            (
                head.content_type(),
                head.metadata().unwrap()["colour"].as_str()
            ),
            (Some("text/plain"), "blue")
        );
        let copy = client
            .copy_object()
            .bucket(BUCKET)
            .key("replaced")
            .copy_source(&source);
        let copy = copy
            .metadata_directive(MetadataDirective::Replace)
            .metadata("shape", "round");
        copy.content_type("text/html").send().await.unwrap();
        let head = client
            .head_object()
            .bucket(BUCKET)
            .key("replaced")
            .send()
            .await
            .unwrap();
        assert_eq!(head.content_type(), Some("text/html"));
        assert_eq!(head.metadata().unwrap().len(), 1);
        // The copies do not depend on their source.
        fixture.delete("from").await;
        assert_eq!(fixture.get("kept").await, pattern(length));
        assert_eq!(fixture.get("replaced").await, pattern(length));
    }
}

#[tokio::test]
async fn a_copy_onto_itself_must_change_something() {
    let fixture = start().await;
    fixture.put("a b+ü", "x").await;
    let source = format!("{BUCKET}/a%20b%2B%C3%BC");
    let copy = fixture
        .client
        .copy_object()
        .bucket(BUCKET)
        .key("a b+ü")
        .copy_source(&source);
    assert_eq!(
        refusal(copy.clone().send().await),
        ("InvalidRequest".to_owned(), 400)
    );
    copy.metadata_directive(MetadataDirective::Replace)
        .metadata("a", "b")
        .send()
        .await
        .unwrap();
    assert_eq!(fixture.get("a b+ü").await, b"x");
}

#[tokio::test]
async fn many_objects_are_deleted_at_once() {
    let fixture = start().await;
    for key in ["a", "b", "c"] {
        fixture.put(key, "x").await;
    }
    let objects =
        ["a", "c", "never there"].map(|key| ObjectIdentifier::builder().key(key).build().unwrap());
    let delete = Delete::builder()
        .set_objects(Some(objects.to_vec()))
        .build()
        .unwrap();
    let output = fixture
        .client
        .delete_objects()
        .bucket(BUCKET)
        .delete(delete)
        .send()
        .await
        .unwrap();
    assert_eq!((output.deleted().len(), output.errors().len()), (3, 0));
    assert_eq!(fixture.keys().await, ["b"]);
    let objects = (0..1001).map(|number| {
        ObjectIdentifier::builder()
            .key(number.to_string())
            .build()
            .unwrap()
    });
    let delete = Delete::builder()
        .set_objects(Some(objects.collect()))
        .build()
        .unwrap();
    let refused = fixture
        .client
        .delete_objects()
        .bucket(BUCKET)
        .delete(delete)
        .send()
        .await;
    assert_eq!(refusal(refused), ("MalformedXML".to_owned(), 400));
}

#[tokio::test]
async fn tags_are_put_read_and_deleted() {
    let fixture = start().await;
    let client = &fixture.client;
    let put = client
        .put_object()
        .bucket(BUCKET)
        .key("a")
        .body(ByteStream::from_static(b"x"));
    put.tagging("project=a%20b&team=x").send().await.unwrap();
    let tags = client
        .get_object_tagging()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await
        .unwrap();
    assert_eq!(tags.tag_set()[0].value(), "a b");
    let tag = Tag::builder().key("only").value("one").build().unwrap();
    let tagging = Tagging::builder().tag_set(tag).build().unwrap();
    client
        .put_object_tagging()
        .bucket(BUCKET)
        .key("a")
        .tagging(tagging)
        .send()
        .await
        .unwrap();
    let got = client
        .get_object()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await
        .unwrap();
    assert_eq!(got.tag_count(), Some(1));
    client
        .delete_object_tagging()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await
        .unwrap();
    let tags = client
        .get_object_tagging()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await
        .unwrap();
    assert_eq!(tags.tag_set().len(), 0);
}

#[tokio::test]
async fn a_bucket_with_objects_is_not_deleted() {
    let fixture = start().await;
    fixture.put("a", "x").await;
    let refused = fixture.client.delete_bucket().bucket(BUCKET).send().await;
    assert_eq!(refusal(refused), ("BucketNotEmpty".to_owned(), 409));
    fixture.delete("a").await;
    fixture
        .client
        .delete_bucket()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap();
    assert_eq!(
        refusal(fixture.client.head_bucket().bucket(BUCKET).send().await).1,
        404
    );
    assert_eq!(
        fixture
            .client
            .list_buckets()
            .send()
            .await
            .unwrap()
            .buckets()
            .len(),
        0
    );
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    let fixture = start().await;
    let acl = fixture.client.get_bucket_acl().bucket(BUCKET).send().await;
    assert_eq!(refusal(acl), ("NotImplemented".to_owned(), 501));
    let lifecycle = fixture
        .client
        .get_bucket_lifecycle_configuration()
        .bucket(BUCKET)
        .send()
        .await;
    assert_eq!(refusal(lifecycle), ("NotImplemented".to_owned(), 501));
}

#[tokio::test]
async fn files_of_overwritten_and_deleted_objects_are_removed() {
    let fixture = start().await;
    let files = || {
        let folders = std::fs::read_dir(fixture.folder.path().join("blobs")).unwrap();
        folders
            .map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count())
            .sum::<usize>()
    };
    fixture.put("a", pattern(100_000)).await;
    fixture.put("a", pattern(200_000)).await;
    assert_eq!(files(), 1);
    let copy = fixture
        .client
        .copy_object()
        .bucket(BUCKET)
        .key("b")
        .copy_source(format!("{BUCKET}/a"));
    copy.send().await.unwrap();
    fixture.delete("a").await;
    assert_eq!(files(), 1);
    fixture.delete("b").await;
    assert_eq!(files(), 0);
}

#[tokio::test]
async fn a_download_survives_an_overwrite() {
    let fixture = start().await;
    fixture.put("a", pattern(5_000_000)).await;
    let mut body = fixture
        .client
        .get_object()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await
        .unwrap()
        .body;
    let mut read = body.next().await.expect("a first chunk").unwrap().to_vec();
    fixture.put("a", "short").await;
    fixture.delete("a").await;
    while let Some(chunk) = body.next().await {
        read.extend_from_slice(&chunk.unwrap());
    }
    assert_eq!(read, pattern(5_000_000));
}
