//! Documents in other accounts are read through roles, and one tenant's trouble is not another's.

mod support;

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use serde_json::json;
use support::amazon::Trouble;
use support::{Loader, OWN_ROLE, invoke_within, role};

#[tokio::test]
async fn a_document_in_another_account_is_read_through_its_role() {
    let loader = Loader::start().await;
    let external_id = loader.tenant("acme").await;
    assert!(external_id.len() > 60, "{external_id}");
    let uri = loader.put_into("acme", "a", "theirs").await;
    let own = loader.put("b", "ours").await;
    loader.load().await;
    assert_eq!(
        (
            loader.text(&uri).await.as_str(),
            loader.text(&own).await.as_str()
        ),
        ("theirs", "ours")
    );

    let assumed = loader.store.network.assumed();
    let [form] = assumed.as_slice() else {
        panic!("{assumed:?}")
    };
    assert_eq!(form["RoleArn"], role("acme"));
    assert_eq!(form["ExternalId"], external_id);
    assert_eq!(form["RoleSessionName"], "loader@acme");
    assert_eq!(form["DurationSeconds"], "3600");
    assert!(
        form["Policy"].contains("arn:aws:s3:::acme/*"),
        "{}",
        form["Policy"]
    );
}

#[tokio::test]
async fn a_session_reaches_no_further_than_its_source_whatever_the_role_may() {
    let loader = Loader::start().await;
    loader.store.customers_bucket("acme").await;
    let role = role("acme");
    let add = "select sts_external_id from add_source('s3://acme/reports/', $1)";
    let id: String = loader.sql.query_one(add, &[&role]).await.unwrap().get(0);
    // This role may read everything.
    loader.store.trust(&role, Some(&id));
    let uri = loader.put_into("acme", "reports/a", "theirs").await;
    loader
        .put_into("acme", "letters/a", "nobody's business")
        .await;
    loader.load().await;
    assert_eq!(loader.text(&uri).await, "theirs");

    // With the session that the function had asked for.
    let assumed = loader.store.network.assumed();
    let session = loader.store.assume(&assumed[0]).await;
    let read = async |key: &str| session.get_object().bucket("acme").key(key).send().await;
    assert!(read("reports/a").await.is_ok());
    let error = read("letters/a").await.unwrap_err();
    assert_eq!(error.code(), Some("AccessDenied"));
    let list = async |prefix: &str| {
        let list = session.list_objects_v2().bucket("acme");
        list.prefix(prefix).send().await
    };
    assert!(list("reports/").await.is_ok());
    assert!(list("").await.is_err());
    let put = session.put_object().bucket("acme").key("reports/b");
    assert!(put.send().await.is_err());
}

#[tokio::test]
async fn sts_is_asked_once_for_many_documents_and_again_before_the_credentials_end() {
    let loader = Loader::start().await;
    loader.tenant("acme").await;
    for number in 0..50 {
        loader.put_into("acme", &number.to_string(), "text").await;
    }
    let report = loader.load().await;
    assert_eq!(report["loaded"], 50);
    assert_eq!(loader.function.role_calls(), 1);

    // Ten minutes before their end, credentials are not good enough to begin with.
    loader.tenant("brief").await;
    loader.store.network.issue_for(600);
    loader.put_into("brief", "a", "text").await;
    loader.load().await;
    loader.put_into("brief", "b", "text").await;
    loader.load().await;
    assert!(loader.store.network.requests("reader-brief") >= 2);
    // But if there are no others, they are used to their end.
    loader.store.distrust(&role("brief"));
    let uri = loader.put_into("brief", "c", "text").await;
    loader.load().await;
    assert_eq!(loader.state(&uri).await, "loaded");
}

#[tokio::test]
async fn credentials_that_end_in_the_middle_of_a_download_are_renewed() {
    let loader = Loader::start().await;
    loader.tenant("acme").await;
    let text = support::lines(1_500_000);
    loader
        .sql
        .batch_execute("select change_source('s3://acme/', chunking => '{\"splitter\": \"none\"}')")
        .await
        .unwrap();
    let uri = loader.put_into("acme", "large", &text).await;
    loader.store.network.trouble(
        "bytes=8388608-",
        1,
        Trouble::Refuse(400, "ExpiredToken", None),
    );
    loader.load().await;
    assert_eq!(loader.text(&uri).await, text);
    assert_eq!(loader.function.role_calls(), 2);

    // Twice is too often: it is tried again later.
    loader.store.network.trouble(
        "GET /acme/small",
        2,
        Trouble::Refuse(400, "ExpiredToken", None),
    );
    let uri = loader.put_into("acme", "small", "text").await;
    loader.load().await;
    assert_eq!(loader.state(&uri).await, "retry: expired");
}

#[tokio::test]
async fn a_role_that_is_refused_blocks_its_source_until_somebody_changes_something() {
    let loader = Loader::start().await;
    loader.tenant("acme").await;
    loader.store.distrust(&role("acme"));
    let mut uris = Vec::new();
    for number in 0..200 {
        uris.push(loader.put_into("acme", &number.to_string(), "text").await);
    }
    let own = loader.put("own", "text").await;
    let report = loader.load().await;
    assert_eq!(
        (&report["loaded"], &report["finished"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(loader.state(&own).await, "loaded");
    for uri in &uris {
        assert_eq!(loader.state(uri).await, "parked: role_denied");
    }
    assert_eq!(loader.function.role_calls(), 1, "for two hundred documents");
    let tried = "select count(*) from document_load where attempts > 0 and uri like 's3://acme/%'";
    assert_eq!(loader.count(tried).await, 0, "none of them is to blame");

    // The pause grows as long as nothing changes.
    let pause =
        "select extract(epoch from blocked_until - current_timestamp)::bigint from document_source";
    assert!((29..=60).contains(&loader.count(pause).await));
    loader.pass_time().await;
    loader.load().await;
    assert!((59..=120).contains(&loader.count(pause).await));

    // The role trusts now. Nobody told the function, and it finds out.
    let external_id = loader
        .sql
        .query_one("select external_id from document_source", &[])
        .await
        .unwrap();
    loader.store.trust(&role("acme"), Some(external_id.get(0)));
    let verified = loader.verify("s3://acme/").await;
    assert_eq!(verified["ok"], true, "{verified}");
    let report = loader.load().await;
    for uri in &uris {
        assert_eq!(
            loader.state(uri).await,
            "loaded",
            "{report} {}",
            loader.states().await
        );
    }
    assert_eq!(
        loader
            .count("select failures::bigint from document_source")
            .await,
        0
    );
}

#[tokio::test]
async fn every_way_in_which_sts_refuses_has_its_name() {
    for (status, code, reason) in [
        (403, "AccessDenied", "role_denied"),
        (400, "PackedPolicyTooLarge", "role_invalid"),
        (403, "RegionDisabledException", "role_invalid"),
        (400, "ValidationError", "role_invalid"),
        (400, "Throttling", "role_unavailable"),
        (403, "ExpiredToken", "role_unavailable"),
        (500, "InternalFailure", "role_unavailable"),
    ] {
        let loader = Loader::start().await;
        loader.tenant("acme").await;
        let uri = loader.put_into("acme", "a", "text").await;
        loader
            .store
            .network
            .trouble("STS", 9, Trouble::Refuse(status, code, None));
        loader.load().await;
        assert_eq!(
            loader.state(&uri).await,
            format!("parked: {reason}"),
            "{code}"
        );
    }
}

#[tokio::test]
async fn of_a_hundred_tenants_the_thirty_that_are_broken_hold_up_nobody() {
    let loader = Loader::start().await;
    let network = loader.store.network.clone();
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for number in 0..100 {
        let bucket = format!("tenant-{number:03}");
        loader.tenant(&bucket).await;
        let trouble = match number % 10 {
            0 if number < 50 => {
                loader.store.distrust(&role(&bucket));
                Some("parked: role_denied")
            }
            0 => {
                network.trouble(&role(&bucket), 999, Trouble::Hang(Duration::ZERO));
                Some("parked: role_unavailable")
            }
            1 => {
                network.trouble(
                    &format!("/{bucket}/"),
                    999,
                    Trouble::Refuse(403, "AccessDenied", None),
                );
                network.trouble(
                    &format!("/{bucket}?"),
                    999,
                    Trouble::Refuse(403, "AccessDenied", None),
                );
                Some("parked: denied")
            }
            2 if number < 50 => {
                network.trouble(&format!("/{bucket}/"), 999, Trouble::Hang(Duration::ZERO));
                Some("retry: unavailable")
            }
            2 => {
                network.trouble(
                    &format!("/{bucket}/"),
                    999,
                    Trouble::Refuse(503, "SlowDown", None),
                );
                Some("retry: throttled")
            }
            _ => None,
        };
        for document in 0..5 {
            let uri = loader
                .put_into(
                    &bucket,
                    &document.to_string(),
                    &format!("text {number} {document}"),
                )
                .await;
            match trouble {
                Some(state) => bad.push((uri, state)),
                None => good.push(uri),
            }
        }
    }
    // Shorter than the pauses after which the broken ones are due again.
    let time = Duration::from_secs(28);
    let answer = invoke_within(&loader.function, &json!({ "load": {} }), time).await;
    let report = answer.unwrap()["load"].clone();
    assert_eq!(
        (good.len(), &report["loaded"]),
        (350, &json!(350)),
        "{report}"
    );
    for uri in &good {
        assert_eq!(loader.state(uri).await, "loaded");
    }
    let mut wrong = Vec::new();
    for (uri, expected) in &bad {
        let state = loader.state(uri).await;
        // One that was tried, or tried again, may have been given back when time ran out.
        let is_returned = expected.starts_with("retry") && state.starts_with("pending");
        if state != *expected && !is_returned {
            wrong.push((uri, expected, state));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");

    // Requests that hang were never so many that the others had to wait for them.
    let healthy = "select count(*) from document_load where state = 'loaded' and loaded_at - (select min(loaded_at) from document_load) > interval '11 seconds'";
    assert_eq!(
        loader.count(healthy).await,
        0,
        "nobody waited for a time-out"
    );
    let assumed: Vec<String> = network
        .assumed()
        .iter()
        .map(|form| form["RoleArn"].clone())
        .collect();
    let roles: HashSet<&String> = assumed.iter().collect();
    assert_eq!(roles.len(), 100);
}

#[tokio::test]
async fn tenants_have_external_ids_of_their_own_and_policies_to_paste() {
    let loader = Loader::start().await;
    let first = loader.tenant("acme").await;
    let second = loader.tenant("other").await;
    assert_ne!(first, second);
    let row = loader
        .sql
        .query_one("select sts_external_id, trust_policy::text, permission_policy::text from source_policies('s3://acme/')", &[])
        .await
        .unwrap();
    let (external_id, trust, permission): (String, String, String) =
        (row.get(0), row.get(1), row.get(2));
    assert_eq!(external_id, first);
    let trust: serde_json::Value = serde_json::from_str(&trust).unwrap();
    assert_eq!(
        trust["Statement"][0],
        json!({
            "Effect": "Allow",
            "Principal": {"AWS": OWN_ROLE},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": first}},
        })
    );
    assert!(permission.contains("arn:aws:s3:::acme/*"), "{permission}");
}

#[tokio::test]
async fn sources_that_cannot_work_are_refused() {
    let loader = Loader::start().await;
    for (arguments, constraint) in [
        ("'documents'", "prefix_is_a_place"),
        ("'s3://documents'", "prefix_is_a_place"),
        ("'s3://id:secret@host:9000@documents/'", "prefix_is_a_place"),
        ("'https://documents/'", "prefix_is_a_place"),
        (
            "'s3://documents/', 'arn:aws:iam::12:role/x'",
            "role_arn_is_one",
        ),
        (
            "'s3://documents/', 'arn:aws:iam::account:role/x'",
            "role_arn_is_one",
        ),
        (
            "'s3://documents/', 'arn:aws:iam::123456789012:user/x'",
            "role_arn_is_one",
        ),
        (
            "'s3://documents/', 'arn:aws:iam::123456789012:role/x', 'ä'",
            "external_id_is_legal",
        ),
        ("'s3://documents/', retries => -1", "retries_are_few"),
        ("'s3://documents/', max_bytes => 0", "max_bytes_is_a_size"),
        ("'s3://documents/', region => 'Frankfurt'", "region_is_one"),
        (
            "'s3://documents/', expected_bucket_owner => '1'",
            "expected_bucket_owner_is_an_account",
        ),
        (
            "'s3://documents/', chunking => '{\"chunk_size\": 0}'",
            "chunking_is_understood",
        ),
    ] {
        let added = loader
            .sql
            .batch_execute(&format!("select add_source({arguments})"))
            .await;
        let error = added.unwrap_err();
        let found = error.as_db_error().and_then(|error| error.constraint());
        assert_eq!(found, Some(constraint), "{arguments}: {error:?}");
    }
    for arguments in [
        "'s3://a-b.c/in box/', 'arn:aws-us-gov:iam::123456789012:role/team/reader'",
        "'s3://documents/', 'arn:aws-cn:iam::123456789012:role/reader', 'their-own/id:1'",
        "'s3://documents/notes/', region => 'us-gov-west-1'",
    ] {
        loader
            .sql
            .batch_execute(&format!("select add_source({arguments})"))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_longest_prefix_counts_whenever_it_was_added() {
    let loader = Loader::start().await;
    loader
        .sql
        .batch_execute("select add_source('s3://documents/a/'), add_source('s3://documents/a_b%/'), add_source('s3://documents/')")
        .await
        .unwrap();
    for key in ["a/1", "a/b/1", "a_b%/1", "aXb/1", "b"] {
        loader.put(key, "text").await;
    }
    loader.load().await;
    loader
        .sql
        .batch_execute("select add_source('s3://documents/a/b/'); select remove_source('s3://documents/a_b%/')")
        .await
        .unwrap();
    let rows = loader
        .sql
        .query(
            "select uri, source from document_load_status order by uri",
            &[],
        )
        .await
        .unwrap();
    let rows: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = [
        ("s3://documents/a/1", "s3://documents/a/"),
        ("s3://documents/a/b/1", "s3://documents/a/b/"),
        ("s3://documents/aXb/1", "s3://documents/"),
        ("s3://documents/a_b%/1", "s3://documents/"),
        ("s3://documents/b", "s3://documents/"),
    ];
    let expected = expected.map(|(uri, source)| (uri.to_owned(), source.to_owned()));
    assert_eq!(rows, expected);
}
