//! A source is tried out, and what is wrong with it is said in plain words.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::fmt::Write as _;

use serde_json::Value;
use support::amazon::Trouble;
use support::{Loader, role};

/// The findings, a line each.
fn findings(verified: &Value) -> String {
    let mut text = String::new();
    for finding in verified["findings"].as_array().unwrap() {
        let mark = if finding["ok"] == true { "ok " } else { "NOT" };
        let words = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        writeln!(text, "{mark} {}: {}", words("check"), words("says")).unwrap();
        if !words("todo").is_empty() {
            writeln!(text, "    -> {}", words("todo")).unwrap();
        }
    }
    text
}

#[tokio::test]
async fn a_source_that_is_set_up_well_says_so() {
    let loader = Loader::start().await;
    loader.tenant("acme").await;
    loader.put_into("acme", "notes/a", "text").await;
    let verified = loader.verify("s3://acme/notes/a").await;
    assert_eq!(
        (&verified["ok"], verified["source"].as_str()),
        (&Value::Bool(true), Some("s3://acme/"))
    );
    insta::assert_snapshot!(findings(&verified), @"
    ok  source: the source s3://acme/ is read by the role arn:aws:iam::111122223333:role/reader-acme
    ok  assume_role: the role arn:aws:iam::111122223333:role/reader-acme can be assumed
    ok  list: the objects can be listed
    ok  read: s3://acme/notes/a can be read
    ok  without_external_id: without the external id the role cannot be assumed, as it should be
    ok  wrong_external_id: with another external id the role cannot be assumed, as it should be
    ");
    assert_eq!(
        loader
            .count("select count(*) from document_source where verified_at is not null")
            .await,
        1
    );
}

#[tokio::test]
async fn a_role_that_anybody_may_have_assumed_is_found_out() {
    let loader = Loader::start().await;
    loader.tenant("acme").await;
    loader.put_into("acme", "a", "text").await;
    loader.store.trust(&role("acme"), None);
    let verified = loader.verify("s3://acme/").await;
    assert_eq!(verified["ok"], false);
    insta::assert_snapshot!(findings(&verified), @"
    ok  source: the source s3://acme/ is read by the role arn:aws:iam::111122223333:role/reader-acme
    ok  assume_role: the role arn:aws:iam::111122223333:role/reader-acme can be assumed
    ok  list: the objects can be listed
    ok  read: s3://acme/a can be read
    NOT without_external_id: the role can be assumed WITHOUT the external id: whoever may give this function orders can have it read these documents
        -> add the condition of source_policies() to the trust policy: StringEquals on sts:ExternalId
    NOT wrong_external_id: the role can be assumed with ANOTHER external id than its own, so that it protects nothing
        -> compare sts:ExternalId by StringEquals with the external id itself, not by StringLike with a pattern
    ");
    assert_eq!(
        loader
            .count("select count(*) from document_source where verified_at is not null")
            .await,
        0
    );
}

#[tokio::test]
async fn what_does_not_work_is_told_with_what_to_do() {
    let loader = Loader::start().await;
    loader.tenant("acme").await;
    loader.put_into("acme", "a", "text").await;
    let network = &loader.store.network;
    let mut told = String::new();
    for (part, trouble) in [
        ("STS", Trouble::Refuse(403, "AccessDenied", None)),
        ("STS", Trouble::Refuse(403, "RegionDisabledException", None)),
        ("list-type", Trouble::Refuse(403, "AccessDenied", None)),
        ("list-type", Trouble::Refuse(404, "NoSuchBucket", None)),
        ("bytes=0-0", Trouble::Refuse(403, "AccessDenied", None)),
        (
            "bytes=0-0",
            Trouble::Refuse(400, "KMS.DisabledException", None),
        ),
        (
            "bytes=0-0",
            Trouble::Refuse(403, "InvalidObjectState", None),
        ),
    ] {
        network.trouble(part, 1, trouble);
        let verified = loader.verify("s3://acme/").await;
        network.clear();
        let wrong = findings(&verified);
        let mut lines = wrong
            .lines()
            .skip_while(|line| line.starts_with("ok ") && !line.contains("archive"));
        writeln!(told, "{}", lines.next().unwrap_or_default()).unwrap();
        writeln!(told, "{}", lines.next().unwrap_or_default()).unwrap();
    }
    insta::assert_snapshot!(told, @"
    NOT assume_role: the role arn:aws:iam::111122223333:role/reader-acme may not be assumed: check that it exists, that its trust policy names the role of this function and the external id of the source, and that the function's own policy allows sts:AssumeRole on it
        -> compare the trust policy with that of source_policies(), and the function's parameter LoaderRoleArns with the role; a change takes up to a minute to count everywhere
    NOT assume_role: the role arn:aws:iam::111122223333:role/reader-acme cannot be assumed as it is set up: RegionDisabledException: by the test
        -> correct what STS complains of; a region is switched on for STS in the account settings of the function's account
    NOT list: the objects cannot be listed: ListObjectsV2: S3 refuses: AccessDenied by the test
        -> allow s3:ListBucket on the bucket, under the condition that s3:prefix begins so: see source_policies()
    NOT list: the objects cannot be listed: ListObjectsV2: there is no such bucket
        -> check the name of the bucket in the prefix
    NOT read: s3://acme/a cannot be read: GetObject: S3 refuses: AccessDenied by the test; the object is there: check the permission policy, the bucket's own policy, and the key that encrypts it (kms:Decrypt)
        -> allow s3:GetObject and s3:GetObjectVersion on the objects, and kms:Decrypt on the key if they are encrypted by one of the customer's own: see source_policies()
    NOT read: s3://acme/a cannot be read: GetObject: S3 refuses: KMS.DisabledException by the test; the object is there: check the permission policy, the bucket's own policy, and the key that encrypts it (kms:Decrypt)
        -> allow s3:GetObject and s3:GetObjectVersion on the objects, and kms:Decrypt on the key if they are encrypted by one of the customer's own: see source_policies()
    ok  read: s3://acme/a could be read, were it not in an archive
    ok  without_external_id: without the external id the role cannot be assumed, as it should be
    ");
}

#[tokio::test]
async fn what_needs_no_role_or_is_no_place_is_said_so() {
    let loader = Loader::start().await;
    let mut told = String::new();
    for place in [
        "s3://documents/",
        "s3://nowhere/",
        "documents",
        "s3://documents",
    ] {
        let verified = loader.verify(place).await;
        writeln!(told, "{place}\n{}", findings(&verified)).unwrap();
    }
    loader.put("a", "text").await;
    writeln!(
        told,
        "{}",
        findings(&loader.verify("s3://documents/").await)
    )
    .unwrap();
    insta::assert_snapshot!(told, @"
    s3://documents/
    ok  source: there is no source for it: it is read with the function's own rights
    ok  list: the objects can be listed, but there are none with content: put one there, and verify again, to see that it can be read

    s3://nowhere/
    ok  source: there is no source for it: it is read with the function's own rights
    NOT list: the objects cannot be listed: ListObjectsV2: there is no such bucket
        -> check the name of the bucket in the prefix

    documents
    NOT source: documents is not a place in a bucket
        -> give the prefix of a source, such as s3://bucket/folder/

    s3://documents
    NOT source: s3://documents is not a place in a bucket
        -> give the prefix of a source, such as s3://bucket/folder/

    ok  source: there is no source for it: it is read with the function's own rights
    ok  list: the objects can be listed
    ok  read: s3://documents/a can be read
    ");
}
