//! Checksums: verified, stored, sent back.

mod support;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType, ObjectAttributes};
use base64::Engine as _;
use sha2::Digest as _;
use support::{BUCKET, pattern, refusal, start};

#[tokio::test]
async fn every_algorithm_is_stored_and_sent_back() {
    let fixture = start().await;
    for length in [10, 300_000] {
        for algorithm in [
            ChecksumAlgorithm::Crc32,
            ChecksumAlgorithm::Crc32C,
            ChecksumAlgorithm::Crc64Nvme,
            ChecksumAlgorithm::Sha1,
            ChecksumAlgorithm::Sha256,
        ] {
            let put = fixture
                .client
                .put_object()
                .bucket(BUCKET)
                .key("a")
                .checksum_algorithm(algorithm.clone());
            let put = put
                .body(ByteStream::from(pattern(length)))
                .send()
                .await
                .unwrap();
            let got = fixture
                .client
                .get_object()
                .bucket(BUCKET)
                .key("a")
                .checksum_mode(ChecksumMode::Enabled);
            let got = got.send().await.unwrap();
            let pair = match algorithm {
                ChecksumAlgorithm::Crc32 => (put.checksum_crc32(), got.checksum_crc32()),
                ChecksumAlgorithm::Crc32C => (put.checksum_crc32_c(), got.checksum_crc32_c()),
                ChecksumAlgorithm::Crc64Nvme => {
                    (put.checksum_crc64_nvme(), got.checksum_crc64_nvme())
                }
                ChecksumAlgorithm::Sha1 => (put.checksum_sha1(), got.checksum_sha1()),
                _ => (put.checksum_sha256(), got.checksum_sha256()),
            };
            assert!(pair.0.is_some() && pair.0 == pair.1, "{algorithm} {pair:?}");
            assert_eq!(got.checksum_type(), Some(&ChecksumType::FullObject));
            assert_eq!(got.body.collect().await.unwrap().to_vec(), pattern(length));
        }
    }
}

#[tokio::test]
async fn sha_512_is_verified_though_no_sdk_computes_it() {
    let fixture = start().await;
    let sum = base64::engine::general_purpose::STANDARD.encode(sha2::Sha512::digest(b"hello"));
    let put = |sum: &str| {
        let put = fixture
            .client
            .put_object()
            .bucket(BUCKET)
            .key("a")
            .checksum_sha512(sum);
        put.body(ByteStream::from_static(b"hello")).send()
    };
    assert_eq!(
        put(&sum).await.unwrap().checksum_sha512(),
        Some(sum.as_str())
    );
    let head = fixture
        .client
        .head_object()
        .bucket(BUCKET)
        .key("a")
        .checksum_mode(ChecksumMode::Enabled);
    assert_eq!(
        head.send().await.unwrap().checksum_sha512(),
        Some(sum.as_str())
    );
    let wrong = base64::engine::general_purpose::STANDARD.encode([0; 64]);
    assert_eq!(refusal(put(&wrong).await), ("BadDigest".to_owned(), 400));
}

#[tokio::test]
async fn a_wrong_checksum_is_refused_and_nothing_is_stored() {
    let fixture = start().await;
    let put = || {
        fixture
            .client
            .put_object()
            .bucket(BUCKET)
            .key("a")
            .body(ByteStream::from_static(b"hello"))
    };
    let bad = ("BadDigest".to_owned(), 400);
    assert_eq!(refusal(put().checksum_crc32("AAAAAA==").send().await), bad);
    assert_eq!(
        refusal(put().checksum_crc64_nvme("AAAAAAAAAAA=").send().await),
        bad
    );
    let sha256 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(refusal(put().checksum_sha256(sha256).send().await), bad);
    assert_eq!(
        refusal(put().content_md5("AAAAAAAAAAAAAAAAAAAAAA==").send().await),
        bad
    );
    assert_eq!(
        refusal(put().content_md5("nonsense").send().await),
        ("InvalidDigest".to_owned(), 400)
    );
    assert_eq!(
        refusal(put().checksum_crc32("AAAA").send().await),
        ("InvalidRequest".to_owned(), 400)
    );
    assert_eq!(fixture.keys().await, Vec::<String>::new());
    put()
        .checksum_crc32("NhCmhg==")
        .content_md5("XUFAKrxLKna5cZ2REBfFkg==")
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn attributes_tell_size_tag_and_checksum() {
    let fixture = start().await;
    let put = fixture
        .client
        .put_object()
        .bucket(BUCKET)
        .key("a")
        .checksum_sha1("qvTGHdzF6KLavt4PO0gs2a6pQ00=");
    put.body(ByteStream::from_static(b"hello"))
        .send()
        .await
        .unwrap();
    let attributes = fixture
        .client
        .get_object_attributes()
        .bucket(BUCKET)
        .key("a");
    let attributes = attributes
        .object_attributes(ObjectAttributes::Checksum)
        .object_attributes(ObjectAttributes::Etag)
        .object_attributes(ObjectAttributes::ObjectSize)
        .send()
        .await
        .unwrap();
    assert_eq!(attributes.object_size(), Some(5));
    assert_eq!(
        attributes.e_tag().map(|tag| tag.trim_matches('"')),
        Some("5d41402abc4b2a76b9719d911017c592")
    );
    assert_eq!(
        attributes.checksum().unwrap().checksum_sha1(),
        Some("qvTGHdzF6KLavt4PO0gs2a6pQ00=")
    );
}
