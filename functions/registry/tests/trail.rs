//! What was done, as the API tells it, whatever breaks.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use embedded_s3::{EmbeddedS3, Fault, Target};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use registry::artifact::Kind;
use registry::audit::Action;
use registry::registry::{Change, Span, Wanted};
use serde_json::{Value, json};
use support::client::{ADMIN, Client, answer, request, start};
use support::{draft, tester};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

#[tokio::test]
async fn the_history_of_an_artifact_is_told_in_the_words_of_the_contract() {
    let client = start().await;
    let user = client.user("u", &["upload", "search", "download"]).await;
    let url = json!({ "url": "https://example.com/bert" });
    let (_, created) = client
        .json_for(Some(&user), "POST", "/artifact/model", &url)
        .await;
    let id = created["metadata"]["id"].as_str().unwrap();
    let (artifact, audit) = (
        format!("/artifacts/model/{id}"),
        format!("/artifact/model/{id}/audit"),
    );
    let change =
        json!({ "metadata": created["metadata"], "data": { "url": "https://example.com/new" } });
    assert_eq!(client.json("PUT", &artifact, &change).await.0, 200);
    // To read it is not to download it.
    assert_eq!(client.json("GET", &artifact, &Value::Null).await.0, 200);
    let (status, mut history) = client
        .json_for(Some(&user), "GET", &audit, &Value::Null)
        .await;
    assert_eq!(status, 200);
    for entry in history.as_array_mut().unwrap() {
        let date = entry.as_object_mut().unwrap().remove("date").unwrap();
        let date = OffsetDateTime::parse(date.as_str().unwrap(), &Rfc3339).unwrap();
        assert!((OffsetDateTime::now_utc() - date).whole_hours() == 0 && date.offset().is_utc());
    }
    let entry = |user: &str, is_admin: bool, action: &str| {
        json!({
            "user": { "name": user, "is_admin": is_admin },
            "artifact": { "name": "bert", "id": id, "type": "model" },
            "action": action,
        })
    };
    let (create, update) = (entry("u", false, "CREATE"), entry(ADMIN, true, "UPDATE"));
    assert_eq!(history, json!([create, update]));
    let (_, history) = client.json("GET", &audit, &Value::Null).await;
    assert_eq!(actions(&history), ["CREATE", "UPDATE", "AUDIT"]);

    assert_eq!(client.json("DELETE", &artifact, &Value::Null).await.0, 200);
    for (token, status) in [(&user, 404), (&client.admin, 200)] {
        assert_eq!(client.status(Some(token), "GET", &audit, "").await, status);
    }
    let (_, history) = client.json("GET", &audit, &Value::Null).await;
    assert_eq!(
        actions(&history),
        ["CREATE", "UPDATE", "AUDIT", "AUDIT", "AUDIT"]
    );
    let all = format!("{audit}?all=true");
    let (_, history) = client.json("GET", &all, &Value::Null).await;
    assert_eq!(
        actions(&history),
        [
            "CREATE", "UPDATE", "AUDIT", "AUDIT", "DELETE", "AUDIT", "AUDIT"
        ]
    );
    for (path, status) in [
        (format!("/artifact/dataset/{id}/audit"), 404),
        ("/artifact/model/404/audit".to_owned(), 404),
        (format!("/artifact/tool/{id}/audit"), 400),
        ("/artifact/model/{id}/audit".to_owned(), 400),
        (format!("{audit}?all=perhaps"), 400),
        (format!("{audit}?offset=x"), 400),
        (format!("{audit}?offset=-1"), 400),
    ] {
        let answered = client.status(Some(&client.admin), "GET", &path, "").await;
        assert_eq!(answered, status, "{path}");
    }
    assert_eq!(verified(&client).await, 4 + 4);
}

#[tokio::test]
async fn what_was_refused_is_in_no_history() {
    let client = start().await;
    let searcher = client.user("searcher", &["search"]).await;
    let url = json!({ "url": "https://example.com/bert" });
    let (_, created) = client.json("POST", "/artifact/model", &url).await;
    let id = created["metadata"]["id"].as_str().unwrap();
    let path = format!("/artifacts/model/{id}");
    let body = |name: &str, url: &str| {
        json!({ "metadata": { "id": id, "name": name }, "data": { "url": url } }).to_string()
    };
    let other = json!({ "url": "https://example.com/other" });
    client.json("POST", "/artifact/model", &other).await;
    for (token, method, path, body, status) in [
        (
            &client.admin,
            "POST",
            "/artifact/model",
            url.to_string(),
            409,
        ),
        (
            &client.admin,
            "POST",
            "/artifact/model",
            "{}".to_owned(),
            400,
        ),
        (&searcher, "POST", "/artifact/model", url.to_string(), 403),
        (
            &client.admin,
            "PUT",
            &path,
            body("other", "https://a.example"),
            400,
        ),
        (
            &client.admin,
            "PUT",
            &path,
            body("bert", "https://example.com/other"),
            409,
        ),
        (
            &searcher,
            "PUT",
            &path,
            body("bert", "https://a.example"),
            403,
        ),
        (&searcher, "DELETE", &path, String::new(), 403),
        (
            &client.admin,
            "DELETE",
            "/artifacts/model/404",
            String::new(),
            404,
        ),
    ] {
        let answered = client.status(Some(token), method, path, &body).await;
        assert_eq!(answered, status, "{method} {path} {body}");
    }
    let stale = request(
        "PUT",
        &path,
        Some(&client.admin),
        &body("bert", "https://a.example"),
    );
    let (mut head, content) = stale.into_parts();
    head.headers.insert("if-match", "\"0\"".parse().unwrap());
    let stale = Request::from_parts(head, content);
    assert_eq!(client.answer(stale).await.status(), 412);
    let audit = format!("/artifact/model/{id}/audit?all=true");
    let (_, history) = client.json("GET", &audit, &Value::Null).await;
    assert_eq!(actions(&history), ["CREATE"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_identical_registrations_one_is_made_and_written_down() {
    let (store, _folder) = support::embedded().await;
    let clients = [Client::on(&store).await, Client::on(&store).await];
    let url = json!({ "url": "https://huggingface.co/google-bert/bert-base-uncased" });
    let sent = (0..50).map(|number| {
        let client = &clients[number % 2];
        let (router, body) = (client.router.clone(), url.to_string());
        let request = request("POST", "/artifact/model", Some(&client.admin), &body);
        tokio::spawn(async move { answer(&router, request).await })
    });
    let answers: Vec<Response<Body>> = join_all(sent)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let count = |status: u16| {
        let such = answers.iter().filter(|answer| answer.status() == status);
        such.count()
    };
    assert_eq!((count(201), count(409)), (1, 49));
    let made = answers
        .iter()
        .find(|answer| answer.status() == 201)
        .unwrap();
    let path = made.headers()["location"].to_str().unwrap();
    let audit = format!("{}/audit", path.replace("/artifacts/", "/artifact/"));
    let (_, history) = clients[0].json("GET", &audit, &Value::Null).await;
    assert_eq!(actions(&history), ["CREATE"]);
    assert_eq!(verified(&clients[1]).await, 2);
}

#[tokio::test]
async fn the_trail_is_verified_and_tampering_is_told() {
    let client = start().await;
    for number in 0..20 {
        let url = json!({ "url": format!("https://example.com/{number}") });
        client.json("POST", "/artifact/model", &url).await;
    }
    let reset = client.json("DELETE", "/reset", &Value::Null).await;
    assert_eq!(reset.0, 200);
    let (status, trail) = client.json("GET", "/audit/verify", &Value::Null).await;
    let head = trail["head"].as_str().unwrap();
    assert_eq!(
        (status, &trail),
        (
            200,
            &json!({ "head": head, "entries": 40, "complete": true })
        )
    );
    // In memory there is nothing to wait for, so none waits for another, and each is a block.
    assert!(head.starts_with("40:"), "{head}");
    let kept = format!("/audit/verify?head={head}");
    let url = json!({ "url": "https://example.com/later" });
    client.json("POST", "/artifact/code", &url).await;
    let (status, trail) = client.json("GET", &kept, &Value::Null).await;
    assert_eq!((status, &trail["entries"]), (200, &json!(41)));
    let from = format!("/audit/verify?from={head}");
    let (status, trail) = client.json("GET", &from, &Value::Null).await;
    assert_eq!((status, &trail["entries"]), (200, &json!(1)));
    for query in ["head=x", "head=7", "from=7:00", "head=%00"] {
        let path = format!("/audit/verify?{query}");
        let status = client.status(Some(&client.admin), "GET", &path, "").await;
        assert_eq!(status, 400, "{query}");
    }

    let objects = client.backend.registry.objects();
    let key = "audit/00000000000000000007.json";
    let (bytes, etag) = objects.get(key).await.unwrap().unwrap();
    let forged = String::from_utf8(bytes.clone()).unwrap();
    let forged = forged.replace(ADMIN, "somebody else").into_bytes();
    let etag = objects.replace(key, forged, &etag).await.unwrap();
    let (status, problem) = client.json("GET", "/audit/verify", &Value::Null).await;
    assert_eq!(
        (status, &problem["sequence"], &problem["detail"]),
        (
            409,
            &json!(7),
            &json!("block 7 of the audit trail was changed")
        )
    );
    objects.replace(key, bytes, &etag).await.unwrap();
    // The end is cut off.
    for sequence in [40, 41] {
        let key = format!("audit/{sequence:020}.json");
        objects.delete(&key).await.unwrap();
    }
    let (status, _) = client.json("GET", "/audit/verify", &Value::Null).await;
    assert_eq!(status, 200, "nobody can tell without the head");
    let (status, problem) = client.json("GET", &kept, &Value::Null).await;
    assert_eq!((status, &problem["sequence"]), (409, &json!(40)));
}

#[tokio::test]
async fn nothing_is_done_that_cannot_be_written_down() {
    let (store, _folder) = support::embedded().await;
    let client = Client::on(&store).await;
    let url = json!({ "url": "https://example.com/bert" });
    break_block(&store, 1);
    assert_eq!(client.json("POST", "/artifact/model", &url).await.0, 503);
    let everything = json!([{ "name": "*" }]);
    let found = client.json("POST", "/artifacts", &everything).await;
    assert_eq!(found, (200, json!([])));
    store.faults().clear();
    // Nor is its place taken.
    let (status, created) = client.json("POST", "/artifact/model", &url).await;
    assert_eq!(status, 201);
    let id = created["metadata"]["id"].as_str().unwrap();
    let path = format!("/artifacts/model/{id}");

    break_block(&store, 2);
    let change =
        json!({ "metadata": created["metadata"], "data": { "url": "https://example.com/new" } });
    assert_eq!(client.json("PUT", &path, &change).await.0, 503);
    assert_eq!(client.json("DELETE", &path, &Value::Null).await.0, 503);
    assert_eq!(client.json("DELETE", "/reset", &Value::Null).await.0, 503);
    let audit = format!("/artifact/model/{id}/audit");
    assert_eq!(client.json("GET", &audit, &Value::Null).await.0, 503);
    assert_eq!(
        client.json("GET", &path, &Value::Null).await,
        (200, created.clone())
    );
    store.faults().clear();
    // The new URL is nobody's.
    let url = json!({ "url": "https://example.com/new" });
    assert_eq!(client.json("POST", "/artifact/model", &url).await.0, 201);
    let (_, history) = client.json("GET", &audit, &Value::Null).await;
    assert_eq!(actions(&history), ["CREATE"]);
}

#[tokio::test]
async fn what_was_written_down_and_failed_then_is_still_there() {
    let (store, _folder) = support::embedded().await;
    let client = Client::on(&store).await;
    let url = json!({ "url": "https://example.com/bert" });
    let (_, created) = client.json("POST", "/artifact/model", &url).await;
    let id = created["metadata"]["id"].as_str().unwrap();
    let path = format!("/artifacts/model/{id}");
    for operation in ["PutObject", "DeleteObject"] {
        let target = Target {
            operation: Some(operation.to_owned()),
            key: Some(format!("artifacts/{id}/metadata.json")),
            ..Target::default()
        };
        store.faults().inject(Fault::AccessDenied, target);
    }
    let change =
        json!({ "metadata": created["metadata"], "data": { "url": "https://example.com/new" } });
    assert_eq!(client.json("PUT", &path, &change).await.0, 503);
    assert_eq!(client.json("DELETE", &path, &Value::Null).await.0, 503);
    store.faults().clear();
    assert_eq!(
        client.json("GET", &path, &Value::Null).await,
        (200, created.clone())
    );
    let audit = format!("/artifact/model/{id}/audit?all=true");
    let (_, history) = client.json("GET", &audit, &Value::Null).await;
    assert_eq!(actions(&history), ["CREATE", "UPDATE", "DELETE"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_breaks_what_was_acknowledged_is_written_down() {
    let (store, _folder) = support::embedded().await;
    let objects = support::objects(&store);
    let registry = support::registry(&objects);
    store.faults().inject(
        Fault::AccessDenied,
        Target {
            share: Some(0.1),
            ..Target::default()
        },
    );
    let user = tester();
    let mut acknowledged = Vec::new();
    for number in 0..30 {
        let url = format!("https://example.com/{number}");
        let Ok((record, _)) = registry.create(draft(Kind::Model, &url)).await else {
            continue;
        };
        acknowledged.push((record.id.clone(), Action::Create));
        let change = Change {
            name: record.name,
            source: format!("{url}/new").parse().unwrap(),
            user: user.clone(),
            etag: None,
        };
        let id = record.id;
        if registry.update(Kind::Model, &id, &change).await.is_ok() {
            acknowledged.push((id.clone(), Action::Update));
        }
        if registry.delete(Kind::Model, &id, &user).await.is_ok() {
            acknowledged.push((id, Action::Delete));
        }
    }
    store.faults().clear();
    assert!(acknowledged.len() > 15, "{}", acknowledged.len());
    let trail = support::registry(&objects);
    for (id, action) in acknowledged {
        let (entries, _) = trail.trail().entries(&id, 0, usize::MAX).await.unwrap();
        let is_there = entries.iter().any(|entry| entry.action == action);
        assert!(is_there, "{id} {action:?}");
    }
    trail.trail().verify(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_is_interrupted_anywhere_is_written_down_if_anybody_can_see_it() {
    let (store, _folder) = support::embedded().await;
    store.faults().set_latency(Duration::from_millis(1));
    let objects = support::objects(&store);
    let mut interrupted = 0;
    for polls in 0..60 {
        let registry = support::registry(&objects);
        let draft = draft(Kind::Model, &format!("https://example.com/{polls}"));
        let mut created = registry.create(draft).boxed();
        let mut is_done = false;
        for _ in 0..polls {
            is_done = is_done || (&mut created).now_or_never().is_some();
            if !is_done {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
        interrupted += usize::from(!is_done);
    }
    assert!(interrupted > 5, "{interrupted}");
    let registry = support::registry(&objects);
    let everything = Wanted::default().name("*", &[]);
    let seen = registry.query(&everything, &Span::default()).await.unwrap();
    assert!(seen.artifacts.len() > 5, "{}", seen.artifacts.len());
    for artifact in seen.artifacts {
        let (entries, _) = registry.trail().entries(&artifact.id, 0, 1).await.unwrap();
        assert_eq!(entries.len(), 1, "{}", artifact.id);
    }
    registry.trail().verify(None).await.unwrap();
}

/// From now on, this block of the trail cannot be written.
fn break_block(store: &EmbeddedS3, sequence: u64) {
    let target = Target {
        operation: Some("PutObject".to_owned()),
        key: Some(format!("audit/{sequence:020}.json")),
        ..Target::default()
    };
    store.faults().inject(Fault::AccessDenied, target);
}

fn actions(history: &Value) -> Vec<&str> {
    let entries = history.as_array().unwrap().iter();
    entries
        .map(|entry| entry["action"].as_str().unwrap())
        .collect()
}

/// The number of entries of a trail that is whole.
async fn verified(client: &Client) -> u64 {
    let (status, trail) = client.json("GET", "/audit/verify", &Value::Null).await;
    assert_eq!((status, &trail["complete"]), (200, &json!(true)), "{trail}");
    trail["entries"].as_u64().unwrap()
}
