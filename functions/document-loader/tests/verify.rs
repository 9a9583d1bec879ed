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
    insta::assert_snapshot!(findings(&verified), @"");
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
    loader.store.network.trust(&role("acme"), None);
    let verified = loader.verify("s3://acme/").await;
    assert_eq!(verified["ok"], false);
    insta::assert_snapshot!(findings(&verified), @"");
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
    insta::assert_snapshot!(told, @"");
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
    insta::assert_snapshot!(told, @"");
}
