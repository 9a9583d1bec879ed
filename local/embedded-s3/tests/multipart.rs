//! Multipart uploads.
#![expect(clippy::expect_used, reason = "a test that cannot go on must stop")]

mod support;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
    ObjectAttributes,
};
use support::{BUCKET, Fixture, pattern, records, refusal, start};

const PART: usize = 5 * 1024 * 1024;

async fn begin(fixture: &Fixture, key: &str) -> String {
    let upload = fixture
        .client
        .create_multipart_upload()
        .bucket(BUCKET)
        .key(key)
        .content_type("text/plain");
    upload
        .send()
        .await
        .expect("the upload begins")
        .upload_id
        .expect("an id")
}

async fn part(
    fixture: &Fixture,
    key: &str,
    id: &str,
    number: i32,
    bytes: Vec<u8>,
) -> CompletedPart {
    let part = fixture
        .client
        .upload_part()
        .bucket(BUCKET)
        .key(key)
        .upload_id(id)
        .part_number(number);
    let output = part
        .body(ByteStream::from(bytes))
        .send()
        .await
        .expect("the part is stored");
    CompletedPart::builder()
        .part_number(number)
        .set_e_tag(output.e_tag)
        .build()
}

fn list(parts: Vec<CompletedPart>) -> CompletedMultipartUpload {
    CompletedMultipartUpload::builder()
        .set_parts(Some(parts))
        .build()
}

#[tokio::test]
async fn parts_become_one_object() {
    let fixture = start().await;
    let id = begin(&fixture, "big").await;
    let second = part(&fixture, "big", &id, 7, pattern(1000)).await;
    part(&fixture, "big", &id, 2, vec![0; 10]).await;
    let first = part(&fixture, "big", &id, 2, pattern(PART)).await;
    part(&fixture, "big", &id, 9, vec![0; 10]).await;
    let listed = fixture
        .client
        .list_parts()
        .bucket(BUCKET)
        .key("big")
        .upload_id(&id)
        .max_parts(2)
        .send()
        .await
        .unwrap();
    let numbers: Vec<_> = listed
        .parts()
        .iter()
        .map(|part| part.part_number().unwrap())
        .collect();
    assert_eq!(
        (
            numbers,
            listed.is_truncated(),
            listed.next_part_number_marker()
        ),
        (vec![2, 7], Some(true), Some("7"))
    );
    assert_eq!(fixture.keys().await, Vec::<String>::new());

    let complete = fixture
        .client
        .complete_multipart_upload()
        .bucket(BUCKET)
        .key("big")
        .upload_id(&id);
    let complete = complete.multipart_upload(list(vec![first, second]));
    let done = complete.clone().send().await.unwrap();
    assert!(done.e_tag().unwrap().ends_with("-2\""));
    let mut expected = pattern(PART);
    expected.extend(pattern(1000));
    assert_eq!(fixture.get("big").await, expected);
    // Repeated after a lost answer it says the same.
    assert_eq!(complete.send().await.unwrap().e_tag(), done.e_tag());

    let get = fixture.client.get_object().bucket(BUCKET).key("big");
    let across = get
        .clone()
        .range(format!("bytes={}-{}", PART - 5, PART + 4))
        .send()
        .await
        .unwrap();
    assert_eq!(
        across.body.collect().await.unwrap().to_vec(),
        expected[PART - 5..PART + 5]
    );
    let one = get.clone().part_number(2).send().await.unwrap();
    assert_eq!(
        (one.parts_count(), one.content_length()),
        (Some(2), Some(1000))
    );
    assert_eq!(one.body.collect().await.unwrap().to_vec(), pattern(1000));
    assert_eq!(refusal(get.part_number(3).send().await).1, 416);
    let head = fixture
        .client
        .head_object()
        .bucket(BUCKET)
        .key("big")
        .send()
        .await
        .unwrap();
    assert_eq!(head.content_type(), Some("text/plain"));
}

#[tokio::test]
async fn wrong_lists_of_parts_are_refused() {
    let fixture = start().await;
    let id = begin(&fixture, "a").await;
    let small = part(&fixture, "a", &id, 1, vec![1; 100]).await;
    let other = part(&fixture, "a", &id, 2, vec![2; 100]).await;
    let complete = |parts: Vec<CompletedPart>| {
        let complete = fixture
            .client
            .complete_multipart_upload()
            .bucket(BUCKET)
            .key("a")
            .upload_id(&id);
        complete.multipart_upload(list(parts)).send()
    };
    let small_first = complete(vec![small.clone(), other.clone()]).await;
    assert_eq!(refusal(small_first), ("EntityTooSmall".to_owned(), 400));
    let disordered = complete(vec![other.clone(), small.clone()]).await;
    assert_eq!(refusal(disordered), ("InvalidPartOrder".to_owned(), 400));
    let wrong_tag = CompletedPart::builder()
        .part_number(1)
        .e_tag("\"00000000000000000000000000000000\"")
        .build();
    assert_eq!(
        refusal(complete(vec![wrong_tag]).await),
        ("InvalidPart".to_owned(), 400)
    );
    let missing = CompletedPart::builder()
        .part_number(3)
        .set_e_tag(small.e_tag.clone())
        .build();
    assert_eq!(
        refusal(complete(vec![missing]).await),
        ("InvalidPart".to_owned(), 400)
    );
    assert_eq!(
        refusal(complete(vec![]).await),
        ("MalformedXML".to_owned(), 400)
    );
    complete(vec![other]).await.unwrap();
    assert_eq!(fixture.get("a").await, vec![2; 100]);
}

#[tokio::test]
async fn an_aborted_upload_is_gone() {
    let fixture = start().await;
    let id = begin(&fixture, "a").await;
    part(&fixture, "a", &id, 1, pattern(100_000)).await;
    let other = begin(&fixture, "b").await;
    let uploads = fixture
        .client
        .list_multipart_uploads()
        .bucket(BUCKET)
        .max_uploads(1)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (uploads.uploads()[0].upload_id(), uploads.is_truncated()),
        (Some(id.as_str()), Some(true))
    );
    let next = fixture.client.list_multipart_uploads().bucket(BUCKET);
    let next = next
        .set_key_marker(uploads.next_key_marker)
        .set_upload_id_marker(uploads.next_upload_id_marker);
    assert_eq!(
        next.send().await.unwrap().uploads()[0].upload_id(),
        Some(other.as_str())
    );
    let abort = fixture
        .client
        .abort_multipart_upload()
        .bucket(BUCKET)
        .key("a")
        .upload_id(&id);
    abort.clone().send().await.unwrap();
    assert_eq!(
        refusal(abort.send().await),
        ("NoSuchUpload".to_owned(), 404)
    );
    let upload = fixture
        .client
        .upload_part()
        .bucket(BUCKET)
        .key("a")
        .upload_id(&id)
        .part_number(1);
    assert_eq!(
        refusal(upload.body(ByteStream::from_static(b"x")).send().await),
        ("NoSuchUpload".to_owned(), 404)
    );
    assert_eq!(
        fixture
            .client
            .list_multipart_uploads()
            .bucket(BUCKET)
            .send()
            .await
            .unwrap()
            .uploads()
            .len(),
        1
    );
}

#[tokio::test]
async fn parts_are_copied_from_objects() {
    let fixture = start().await;
    let source = pattern(PART + 500);
    fixture.put("from", source.clone()).await;
    let id = begin(&fixture, "to").await;
    let copy = |number: i32, range: String| {
        let copy = fixture
            .client
            .upload_part_copy()
            .bucket(BUCKET)
            .key("to")
            .upload_id(&id)
            .part_number(number);
        copy.copy_source(format!("{BUCKET}/from"))
            .copy_source_range(range)
            .send()
    };
    let mut parts = Vec::new();
    for (number, range) in [
        (1, format!("bytes=100-{}", PART + 99)),
        (2, "bytes=0-9".to_owned()),
    ] {
        let tag = copy(number, range)
            .await
            .unwrap()
            .copy_part_result
            .unwrap()
            .e_tag;
        parts.push(
            CompletedPart::builder()
                .part_number(number)
                .set_e_tag(tag)
                .build(),
        );
    }
    assert_eq!(
        refusal(copy(3, format!("bytes=0-{}", PART * 2)).await).0,
        "InvalidArgument"
    );
    fixture.delete("from").await;
    let complete = fixture
        .client
        .complete_multipart_upload()
        .bucket(BUCKET)
        .key("to")
        .upload_id(&id);
    complete.multipart_upload(list(parts)).send().await.unwrap();
    let mut expected = source[100..PART + 100].to_vec();
    expected.extend(&source[..10]);
    assert_eq!(fixture.get("to").await, expected);
}

#[tokio::test]
async fn a_completion_obeys_conditions_and_announces_itself() {
    let fixture = start().await;
    fixture
        .store
        .notify_queue(BUCKET, "events", &["s3:ObjectCreated:*"])
        .await
        .unwrap();
    let id = begin(&fixture, "a").await;
    let only = part(&fixture, "a", &id, 1, b"parts".to_vec()).await;
    fixture.put("a", "put").await;
    let complete = fixture
        .client
        .complete_multipart_upload()
        .bucket(BUCKET)
        .key("a")
        .upload_id(&id);
    let complete = complete.multipart_upload(list(vec![only]));
    let refused = complete.clone().if_none_match("*").send().await;
    assert_eq!(refusal(refused), ("PreconditionFailed".to_owned(), 412));
    assert_eq!(fixture.get("a").await, b"put");
    complete.clone().if_match("*").send().await.unwrap();
    complete.send().await.unwrap();
    assert_eq!(fixture.get("a").await, b"parts");
    let names: Vec<_> = records(&fixture.store.queue("events"))
        .await
        .iter()
        .map(|record| record["eventName"].clone())
        .collect();
    assert_eq!(
        names,
        ["ObjectCreated:Put", "ObjectCreated:CompleteMultipartUpload"]
    );
}

#[tokio::test]
async fn checksums_of_parts_are_composed_or_combined() {
    let fixture = start().await;
    let cases = [
        (ChecksumAlgorithm::Crc32, ChecksumType::FullObject),
        (ChecksumAlgorithm::Crc32C, ChecksumType::Composite),
        (ChecksumAlgorithm::Sha256, ChecksumType::Composite),
        (ChecksumAlgorithm::Crc64Nvme, ChecksumType::FullObject),
    ];
    for (algorithm, kind) in cases {
        let create = fixture
            .client
            .create_multipart_upload()
            .bucket(BUCKET)
            .key("a");
        let create = create
            .checksum_algorithm(algorithm.clone())
            .checksum_type(kind.clone());
        let id = create.send().await.unwrap().upload_id.unwrap();
        let mut parts = Vec::new();
        for (number, bytes) in [(1, pattern(PART)), (2, pattern(77))] {
            let upload = fixture
                .client
                .upload_part()
                .bucket(BUCKET)
                .key("a")
                .upload_id(&id)
                .part_number(number);
            let output = upload
                .checksum_algorithm(algorithm.clone())
                .body(ByteStream::from(bytes))
                .send()
                .await
                .unwrap();
            let done = CompletedPart::builder()
                .part_number(number)
                .set_e_tag(output.e_tag);
            let done = done
                .set_checksum_crc32(output.checksum_crc32)
                .set_checksum_crc32_c(output.checksum_crc32_c);
            let done = done.set_checksum_sha256(output.checksum_sha256);
            parts.push(
                done.set_checksum_crc64_nvme(output.checksum_crc64_nvme)
                    .build(),
            );
        }
        let complete = fixture
            .client
            .complete_multipart_upload()
            .bucket(BUCKET)
            .key("a")
            .upload_id(&id);
        let done = complete.multipart_upload(list(parts)).send().await.unwrap();
        assert_eq!(done.checksum_type(), Some(&kind));
        let head = fixture
            .client
            .head_object()
            .bucket(BUCKET)
            .key("a")
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .unwrap();
        assert_eq!(head.checksum_type(), Some(&kind));
        let sum = match algorithm {
            ChecksumAlgorithm::Crc32 => head.checksum_crc32(),
            ChecksumAlgorithm::Crc32C => head.checksum_crc32_c(),
            ChecksumAlgorithm::Sha256 => head.checksum_sha256(),
            _ => head.checksum_crc64_nvme(),
        };
        assert_eq!(
            sum.unwrap().ends_with("-2"),
            kind == ChecksumType::Composite
        );
        // The SDK verifies full-object checksums while it reads.
        let mut expected = pattern(PART);
        expected.extend(pattern(77));
        let got = fixture
            .client
            .get_object()
            .bucket(BUCKET)
            .key("a")
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .unwrap();
        assert_eq!(got.body.collect().await.unwrap().to_vec(), expected);
        let attributes = fixture
            .client
            .get_object_attributes()
            .bucket(BUCKET)
            .key("a");
        let attributes = attributes
            .object_attributes(ObjectAttributes::ObjectParts)
            .object_attributes(ObjectAttributes::ObjectSize);
        let attributes = attributes.send().await.unwrap();
        let parts = attributes.object_parts().unwrap();
        assert_eq!(
            (parts.total_parts_count(), parts.parts().len()),
            (Some(2), 2)
        );
        assert_eq!(attributes.object_size(), i64::try_from(PART + 77).ok());
    }
}
