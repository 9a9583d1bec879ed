//! STS: who gets a session of a role, and for how long.

mod support;

use std::time::Duration;

use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sts::types::Tag;
use embedded_s3::{Fault, Target};
use serde_json::json;
use support::accounts::{
    CUSTOMER, EXTERNAL_ID, OWN, PAPERS, READER, allow, customer_keys, everything, external_id,
    issued, own_keys, policy, trust,
};
use support::{BUCKET, refusal, start};

fn denied() -> (String, u16) {
    ("AccessDenied".to_owned(), 403)
}

fn invalid() -> (String, u16) {
    ("ValidationError".to_owned(), 400)
}

#[tokio::test]
async fn a_role_is_assumed_by_whoever_knows_the_external_id() {
    let fixture = start().await;
    fixture.papers(&["a"], &everything()).await;
    let asked = || {
        fixture
            .sts(own_keys())
            .assume_role()
            .role_arn(READER)
            .role_session_name("loader")
    };
    let output = asked().external_id(EXTERNAL_ID).send().await.unwrap();
    let user = output.assumed_role_user().unwrap();
    assert_eq!(
        user.arn(),
        "arn:aws:sts::111122223333:assumed-role/reader/loader"
    );
    assert!(user.assumed_role_id().starts_with("AROA"));
    let token = output.credentials().unwrap().session_token();
    assert_eq!(output.session_token_size(), i32::try_from(token.len()).ok());
    assert_eq!(refusal(asked().send().await), denied());
    for wrong in ["tenant/4:b8", "Tenant/4:b7", "tenant/4:b7x"] {
        assert_eq!(refusal(asked().external_id(wrong).send().await), denied());
    }
    // One that is not there is not told from one that does not trust.
    let missing = asked().role_arn("arn:aws:iam::111122223333:role/missing");
    assert_eq!(
        refusal(missing.external_id(EXTERNAL_ID).send().await),
        denied()
    );
    let elsewhere = asked().role_arn("arn:aws-cn:iam::111122223333:role/reader");
    assert_eq!(
        refusal(elsewhere.external_id(EXTERNAL_ID).send().await),
        denied()
    );
}

#[tokio::test]
async fn a_trust_policy_can_be_as_loose_as_its_writer_makes_it() {
    let fixture = start().await;
    for (condition, external_id, expected) in [
        (json!({}), None, true),
        (json!({}), Some("anything"), true),
        (
            json!({ "StringLike": { "sts:ExternalId": "tenant/*" } }),
            Some("tenant/9"),
            true,
        ),
        (
            json!({ "StringLike": { "sts:ExternalId": "tenant/*" } }),
            Some("tenants"),
            false,
        ),
        (
            json!({ "StringEquals": { "sts:ExternalId": ["one", "two"] } }),
            Some("two"),
            true,
        ),
        (
            json!({ "StringNotEquals": { "sts:ExternalId": "one" } }),
            None,
            true,
        ),
        (
            json!({ "StringEquals": { "sts:RoleSessionName": "loader" } }),
            None,
            true,
        ),
        (
            json!({ "IpAddress": { "aws:SourceIp": "127.0.0.1/32" } }),
            None,
            false,
        ),
    ] {
        fixture.role(CUSTOMER, "reader", &trust(&condition), &everything());
        let asked = fixture
            .ask()
            .set_external_id(external_id.map(str::to_owned));
        let given = asked.send().await;
        assert_eq!(given.is_ok(), expected, "{condition} {external_id:?}");
    }
}

#[tokio::test]
async fn a_trust_policy_names_accounts_roles_and_users() {
    let fixture = start().await;
    let trusting = |principal: &str| {
        policy(
            &json!({ "Effect": "Allow", "Principal": { "AWS": principal }, "Action": "sts:AssumeRole" }),
        )
    };
    let may_assume = allow(&json!("sts:AssumeRole"), &json!(READER));
    fixture.role(OWN, "function", &trusting(OWN), &may_assume);
    fixture.role(OWN, "other", &trusting(OWN), &may_assume);
    fixture.role(OWN, "powerless", &trusting(OWN), &everything());
    let of = |name: &str| {
        let arn = format!("arn:aws:iam::000000000000:role/{name}");
        let sts = fixture.sts(own_keys());
        issued(
            sts.assume_role()
                .role_arn(arn)
                .role_session_name("invocation"),
        )
    };
    let (function, other, powerless) = (
        of("function").await,
        of("other").await,
        of("powerless").await,
    );
    let may = |keys: &Credentials| {
        let asked = fixture.sts(keys.clone()).assume_role().role_arn(READER);
        asked.role_session_name("loader").send()
    };
    let reader =
        |principal: &str| fixture.role(CUSTOMER, "reader", &trusting(principal), &everything());
    for principal in [
        "arn:aws:iam::000000000000:role/function",
        "arn:aws:sts::000000000000:assumed-role/function/invocation",
    ] {
        reader(principal);
        may(&function).await.unwrap();
        assert_eq!(refusal(may(&other).await), denied(), "{principal}");
        assert_eq!(refusal(may(&own_keys()).await), denied(), "{principal}");
    }
    reader("arn:aws:iam::000000000000:user/administrator");
    may(&own_keys()).await.unwrap();
    assert_eq!(refusal(may(&function).await), denied());
    reader("*");
    may(&other).await.unwrap();
    // Trust alone is not enough across accounts: the caller's own account has to let it go there.
    assert_eq!(refusal(may(&powerless).await), denied());
    reader(CUSTOMER);
    assert_eq!(refusal(may(&function).await), denied());
    may(&customer_keys()).await.unwrap();
}

#[tokio::test]
async fn a_session_lasts_as_long_as_the_role_allows_and_an_hour_when_chained() {
    let fixture = start().await;
    fixture.papers(&[], &everything()).await;
    let seconds = |seconds| fixture.ask().duration_seconds(seconds).send();
    for right in [900, 3600, 7200] {
        let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let before = now();
        let output = seconds(right).await.unwrap();
        let end = output.credentials().unwrap().expiration().secs();
        let lasts = u64::try_from(right).unwrap();
        let possible = before + lasts..=now() + lasts;
        assert!(possible.contains(&u64::try_from(end).unwrap()), "{right}");
    }
    for wrong in [899, 7201, 43_201] {
        assert_eq!(refusal(seconds(wrong).await), invalid(), "{wrong}");
    }
    let may_assume = allow(&json!("sts:AssumeRole"), &json!("*"));
    let function = fixture.role(OWN, "function", &trust(&json!({})), &may_assume);
    let function = fixture.sts(own_keys()).assume_role().role_arn(function);
    let function = issued(function.role_session_name("invocation")).await;
    let chained = |seconds| {
        let asked = fixture.sts(function.clone()).assume_role().role_arn(READER);
        let asked = asked.role_session_name("loader").external_id(EXTERNAL_ID);
        asked.duration_seconds(seconds).send()
    };
    chained(3600).await.unwrap();
    assert_eq!(refusal(chained(3601).await), invalid());
}

#[tokio::test]
async fn parameters_outside_of_their_formats_are_refused() {
    let fixture = start().await;
    fixture.papers(&[], &everything()).await;
    for wrong in ["x", "a b", "a/b", &"n".repeat(65)] {
        let named = fixture.ask().role_session_name(wrong);
        assert_eq!(refusal(named.send().await), invalid(), "{wrong}");
    }
    for wrong in ["x", "a b", "a!", &"n".repeat(1225)] {
        let known = fixture.ask().external_id(wrong);
        assert_eq!(refusal(known.send().await), invalid(), "{wrong}");
    }
    for wrong in ["arn:aws:iam::1:role/x", "arn:aws:s3:::papers", "reader"] {
        let role = fixture.ask().role_arn(wrong);
        assert_eq!(refusal(role.send().await), invalid(), "{wrong}");
    }
    let source = fixture.ask().source_identity("aws:me");
    assert_eq!(refusal(source.send().await), invalid());
}

#[tokio::test]
async fn a_session_policy_has_to_be_one_and_to_be_small() {
    let fixture = start().await;
    fixture.papers(&[], &everything()).await;
    let with = |policy: String| fixture.ask().policy(policy).send();
    let output = with(everything()).await.unwrap();
    #[expect(deprecated, reason = "older clients still read it")]
    let packed = output.packed_policy_size();
    assert!(packed.is_some_and(|percent| (1..=100).contains(&percent)));
    for malformed in [
        "{",
        "{}",
        "{\"Version\":\"2012-10-17\"}",
        &trust(&json!({})),
    ] {
        assert_eq!(
            refusal(with(malformed.to_owned()).await),
            ("MalformedPolicyDocument".to_owned(), 400),
            "{malformed}"
        );
    }
    let sized = |characters: usize| {
        let empty = allow(&json!("s3:*"), &json!("arn:aws:s3:::")).len();
        allow(
            &json!("s3:*"),
            &json!(format!("arn:aws:s3:::{}", "b".repeat(characters - empty))),
        )
    };
    with(sized(2048)).await.unwrap();
    assert_eq!(refusal(with(sized(2049)).await), invalid());
    let tagging = policy(&json!({
        "Effect": "Allow",
        "Principal": { "AWS": OWN },
        "Action": ["sts:AssumeRole", "sts:TagSession"],
    }));
    fixture.role(CUSTOMER, "reader", &tagging, &everything());
    let tag = Tag::builder().key("team").value("blue").build().unwrap();
    let packed = fixture.ask().policy(sized(2048)).tags(tag).send().await;
    assert_eq!(refusal(packed), ("PackedPolicyTooLarge".to_owned(), 400));
}

#[tokio::test]
async fn tags_and_source_identities_need_their_own_trust() {
    let fixture = start().await;
    fixture.papers(&[], &everything()).await;
    let tag = || Tag::builder().key("team").value("blue").build().unwrap();
    assert_eq!(refusal(fixture.ask().tags(tag()).send().await), denied());
    let source = fixture.ask().source_identity("ada").send().await;
    assert_eq!(refusal(source), denied());
    let trusting = policy(&json!([
        { "Effect": "Allow", "Principal": { "AWS": OWN }, "Action": ["sts:AssumeRole", "sts:SetSourceIdentity"] },
        {
            "Effect": "Allow",
            "Principal": { "AWS": OWN },
            "Action": "sts:TagSession",
            "Condition": { "StringEquals": { "aws:RequestTag/team": "blue" } },
        },
    ]));
    fixture.role(CUSTOMER, "reader", &trusting, &everything());
    fixture.ask().tags(tag()).send().await.unwrap();
    let source = fixture.ask().source_identity("ada").send().await.unwrap();
    assert_eq!(source.source_identity(), Some("ada"));
    let red = Tag::builder().key("team").value("red").build().unwrap();
    assert_eq!(refusal(fixture.ask().tags(red).send().await), denied());
}

#[tokio::test]
async fn a_source_identity_stays_with_what_comes_of_it() {
    let fixture = start().await;
    let trusting = policy(&json!({
        "Effect": "Allow",
        "Principal": { "AWS": OWN },
        "Action": ["sts:AssumeRole", "sts:SetSourceIdentity"],
    }));
    let may_assume = allow(&json!("sts:*"), &json!("*"));
    let first = fixture.role(OWN, "first", &trusting, &may_assume);
    let second = fixture.role(OWN, "second", &trusting, &may_assume);
    let asked = fixture.sts(own_keys()).assume_role().role_arn(first);
    let session = issued(asked.role_session_name("one").source_identity("ada")).await;
    let chained = || {
        let sts = fixture.sts(session.clone());
        sts.assume_role().role_arn(&second).role_session_name("two")
    };
    let output = chained().send().await.unwrap();
    assert_eq!(output.source_identity(), Some("ada"));
    let other = chained().source_identity("bob").send().await;
    assert_eq!(refusal(other), denied());
}

#[tokio::test]
async fn the_caller_is_named() {
    let fixture = start().await;
    fixture.papers(&[], &everything()).await;
    let named = |keys: Credentials| fixture.sts(keys).get_caller_identity().send();
    let owner = named(own_keys()).await.unwrap();
    assert_eq!(
        owner.arn(),
        Some("arn:aws:iam::000000000000:user/administrator")
    );
    let session = named(fixture.reader().await).await.unwrap();
    assert_eq!(
        session.arn(),
        Some("arn:aws:sts::111122223333:assumed-role/reader/loader")
    );
    assert_eq!(session.account(), Some(CUSTOMER));
    assert!(session.user_id().is_some_and(|id| id.ends_with(":loader")));
}

#[tokio::test]
async fn only_who_is_known_is_answered() {
    let fixture = start().await;
    let named = |keys: Credentials| fixture.sts(keys).get_caller_identity().send();
    let unknown = Credentials::new("AKIANOBODY", "wrong", None, None, "test");
    let invalid = ("InvalidClientTokenId".to_owned(), 403);
    assert_eq!(refusal(named(unknown).await), invalid);
    let wrong = Credentials::new("AKIAHOLDFAST", "wrong", None, None, "test");
    assert_eq!(
        refusal(named(wrong).await),
        ("SignatureDoesNotMatch".to_owned(), 403)
    );
    let token = Some("token".to_owned());
    let with_token = Credentials::new("AKIAHOLDFAST", "secret", token, None, "test");
    assert_eq!(refusal(named(with_token).await), invalid);
}

#[tokio::test]
async fn a_session_needs_its_token_and_its_secret() {
    let fixture = start().await;
    fixture.papers(&[], &everything()).await;
    let session = fixture.reader().await;
    let put = |credentials: Credentials| {
        fixture
            .s3(credentials)
            .put_object()
            .bucket(PAPERS)
            .key("a")
            .body(ByteStream::from_static(b"x"))
            .send()
    };
    put(session.clone()).await.unwrap();
    let changed = |secret: &str, token: Option<&str>| {
        let token = token.map(str::to_owned);
        Credentials::new(session.access_key_id(), secret, token, None, "test")
    };
    let (secret, token) = (session.secret_access_key(), session.session_token());
    let invalid = ("InvalidToken".to_owned(), 400);
    assert_eq!(refusal(put(changed(secret, None)).await), invalid);
    assert_eq!(refusal(put(changed(secret, Some("forged"))).await), invalid);
    assert_eq!(
        refusal(put(changed("wrong", token)).await),
        ("SignatureDoesNotMatch".to_owned(), 403)
    );
}

#[tokio::test]
async fn sessions_and_roles_outlive_a_restart() {
    let fixture = start().await;
    fixture.papers(&["a"], &everything()).await;
    let session = fixture.reader().await;
    let support::Fixture {
        store,
        client,
        folder,
    } = fixture;
    store.close().await;
    let store = embedded_s3::EmbeddedS3::open(support::options(&folder))
        .await
        .unwrap();
    let config = client
        .config()
        .to_builder()
        .http_client(store.http_client());
    let fixture = support::Fixture {
        client: aws_sdk_s3::Client::from_conf(config.build()),
        store,
        folder,
    };
    let head = fixture.s3(session).head_object().bucket(PAPERS).key("a");
    head.send().await.unwrap();
    fixture.reader().await;
}

#[tokio::test]
async fn a_session_that_has_ended_says_so() {
    let fixture = start().await;
    fixture.papers(&["a"], &everything()).await;
    let session = fixture.reader().await;
    fixture.store.iam().end_sessions();
    let get = |keys: Credentials| fixture.s3(keys).get_object().bucket(PAPERS).key("a").send();
    assert_eq!(
        refusal(get(session.clone()).await),
        ("ExpiredToken".to_owned(), 400)
    );
    let chained = fixture.sts(session).get_caller_identity().send().await;
    assert_eq!(refusal(chained), ("ExpiredToken".to_owned(), 403));
    get(fixture.reader().await).await.unwrap();

    fixture.store.iam().limit_sessions(Some(Duration::ZERO));
    assert_eq!(
        refusal(get(fixture.reader().await).await),
        ("ExpiredToken".to_owned(), 400)
    );
}

#[tokio::test]
async fn a_role_that_is_gone_or_changed_counts_at_once() {
    let fixture = start().await;
    fixture.papers(&["a"], &everything()).await;
    let session = fixture.reader().await;
    let get = || {
        fixture
            .s3(session.clone())
            .get_object()
            .bucket(PAPERS)
            .key("a")
            .send()
    };
    get().await.unwrap();
    let other = allow(&json!("s3:PutObject"), &json!("*"));
    fixture.role(CUSTOMER, "reader", &trust(&external_id()), &other);
    assert_eq!(refusal(get().await), denied());
    fixture.role(CUSTOMER, "reader", &trust(&external_id()), &everything());
    get().await.unwrap();
    let file = fixture
        .folder
        .path()
        .join("iam/roles/111122223333/reader.json");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(refusal(get().await), denied());
    // Made anew it is another role.
    fixture.role(CUSTOMER, "reader", &trust(&external_id()), &everything());
    assert_eq!(refusal(get().await), denied());
}

#[tokio::test]
async fn a_role_can_be_written_by_hand() {
    let fixture = start().await;
    let folder = fixture.folder.path().join("iam/roles/111122223333");
    std::fs::create_dir_all(&folder).unwrap();
    let role = json!({
        "AssumeRolePolicyDocument": {
            "Statement": { "Effect": "Allow", "Principal": { "AWS": OWN }, "Action": "sts:AssumeRole" },
        },
        "Policies": {
            "own documents": { "Statement": { "Effect": "Allow", "Action": "s3:*", "Resource": "*" } },
        },
    });
    std::fs::write(folder.join("reader.json"), role.to_string()).unwrap();
    fixture.reader().await;
    std::fs::write(folder.join("reader.json"), "{\"Policies\": 1}").unwrap();
    let damaged = fixture.ask().send().await;
    assert_eq!(refusal(damaged), ("InternalFailure".to_owned(), 500));
}

#[tokio::test]
async fn sts_fails_when_it_is_told_to() {
    let fixture = start().await;
    fixture.papers(&["a"], &everything()).await;
    let faults = fixture.store.faults();
    let target = || Target {
        operation: Some("AssumeRole".to_owned()),
        requests: Some(1),
        ..Target::default()
    };
    for (fault, code, status) in [
        (Fault::SlowDown, "Throttling", 400),
        (Fault::AccessDenied, "AccessDenied", 403),
        (Fault::InternalError, "InternalFailure", 500),
        (Fault::Hang(Duration::ZERO), "ServiceUnavailable", 503),
        (
            Fault::Refuse {
                status: 403,
                code: "RegionDisabledException",
            },
            "RegionDisabledException",
            403,
        ),
    ] {
        faults.inject(fault, target());
        let refused = refusal(fixture.ask().send().await);
        assert_eq!(refused, (code.to_owned(), status));
        fixture.ask().send().await.unwrap();
    }
    assert_eq!(faults.count("AssumeRole"), 10);
    assert_eq!(faults.count("GetCallerIdentity"), 0);
    fixture
        .client
        .head_bucket()
        .bucket(BUCKET)
        .send()
        .await
        .unwrap();
}
