//! The API as a client of HTTP sees it.

mod support;

use axum::body::Body;
use axum::http::Request;
use embedded_s3::{Fault, Target};
use lambda_http::tower::ServiceExt as _;
use registry::http::{router, router_at};
use registry::storage::{Chain, Storage};
use serde_json::{Value, json};
use shared::s3::{S3, Settings};
use support::client::{access, admin, body_of, request, start};

#[tokio::test]
async fn artifacts_are_read_changed_and_deleted() {
    let client = start().await;
    client
        .put("3847247294", "audience-classifier", "model")
        .await;
    insta::assert_snapshot!(client.send("GET", "/artifacts/model/3847247294", "").await, @r#"
    200 OK
    content-type: application/json
    x-holdfast-store: memory

    {"metadata":{"name":"audience-classifier","id":"3847247294","type":"model"},"data":{"url":"https://example.com/3847247294","download_url":"/artifacts/model/3847247294/download"}}
    "#);
    insta::assert_snapshot!(client.send("GET", "/artifact/model/3847247294", "").await, @r#"
    200 OK
    content-type: application/json
    x-holdfast-store: memory

    {"metadata":{"name":"audience-classifier","id":"3847247294","type":"model"},"data":{"url":"https://example.com/3847247294","download_url":"/artifacts/model/3847247294/download"}}
    "#);
    insta::assert_snapshot!(client.send("GET", "/package/3847247294", "").await, @r#"
    200 OK
    content-type: application/json
    x-holdfast-store: memory

    {"metadata":{"name":"audience-classifier","id":"3847247294","type":"model"},"data":{"url":"https://example.com/3847247294","download_url":"/artifacts/model/3847247294/download"}}
    "#);
    insta::assert_snapshot!(client.send("GET", "/artifacts/dataset/3847247294", "").await, @r#"
    404 Not Found
    content-type: application/problem+json
    x-holdfast-store: memory

    {"detail":"there is no such artifact","status":404,"title":"Not Found","type":"about:blank"}
    "#);
    let change = json!({
        "metadata": { "name": "audience-classifier", "id": 3_847_247_294_u64, "type": "model" },
        "data": { "url": "https://example.com/new" },
    });
    insta::assert_snapshot!(client.send("PUT", "/artifacts/model/3847247294", &change.to_string()).await, @r#"
    200 OK
    content-type: application/json
    x-holdfast-store: memory

    {"metadata":{"name":"audience-classifier","id":"3847247294","type":"model"},"data":{"url":"https://example.com/new","download_url":"/artifacts/model/3847247294/download"}}
    "#);
    let other_name = change.to_string().replace("audience", "other");
    insta::assert_snapshot!(client.send("PUT", "/artifacts/model/3847247294", &other_name).await, @r#"
    400 Bad Request
    content-type: application/problem+json
    x-holdfast-store: memory

    {"detail":"the name is not the artifact's","status":400,"title":"Bad Request","type":"about:blank"}
    "#);
    let other_id = change.to_string().replace("3847247294", "1");
    insta::assert_snapshot!(client.send("PUT", "/artifacts/model/3847247294", &other_id).await, @r#"
    400 Bad Request
    content-type: application/problem+json
    x-holdfast-store: memory

    {"detail":"the id and the type of the body must be those of the path","status":400,"title":"Bad Request","type":"about:blank"}
    "#);
    insta::assert_snapshot!(client.send("DELETE", "/artifacts/model/3847247294", "").await, @r#"
    200 OK
    x-holdfast-store: memory
    "#);
    insta::assert_snapshot!(client.send("DELETE", "/artifacts/model/3847247294", "").await, @r#"
    404 Not Found
    content-type: application/problem+json
    x-holdfast-store: memory

    {"detail":"there is no such artifact","status":404,"title":"Not Found","type":"about:blank"}
    "#);
}

#[tokio::test]
async fn an_artifact_is_registered_once() {
    let client = start().await;
    let body = json!({ "url": "https://huggingface.co/google-bert/bert-base-uncased" });
    let (status, created) = client.json("POST", "/artifact/model", &body).await;
    let id = created["metadata"]["id"].as_str().unwrap();
    assert_eq!(status, 201);
    assert_eq!(
        created,
        json!({
            "metadata": { "name": "bert-base-uncased", "id": id, "type": "model" },
            "data": { "url": body["url"], "download_url": format!("/artifacts/model/{id}/download") },
        })
    );
    let (status, again) = client.json("POST", "/artifact/model", &body).await;
    assert_eq!((status, &again["id"]), (409, &created["metadata"]["id"]));
    let named = json!({ "url": "https://github.com/google-research/bert", "name": "Google/BERT" });
    let (status, created) = client.json("POST", "/artifact/code", &named).await;
    assert_eq!(
        (status, &created["metadata"]["name"]),
        (201, &named["name"])
    );
}

#[tokio::test]
async fn artifacts_are_found_by_query_by_name_and_by_pattern() {
    let client = start().await;
    insta::assert_snapshot!(client.send("POST", "/artifacts", r#"[{"name": "*"}]"#).await, @r#"
    200 OK
    content-type: application/json
    x-holdfast-store: memory

    []
    "#);
    client.put("1000000001", "bert", "model").await;
    client.put("1000000002", "owner/name", "dataset").await;
    client.put("1000000003", "über 😀", "code").await;
    insta::assert_snapshot!(client.send("POST", "/artifacts?limit=2", r#"[{"name": "*", "types": ["model", "code", "dataset"]}, {"name": "bert"}]"#).await, @r#"
    200 OK
    content-type: application/json
    offset: 1000000002
    x-holdfast-store: memory

    [{"name":"bert","id":"1000000001","type":"model"},{"name":"owner/name","id":"1000000002","type":"dataset"}]
    "#);
    insta::assert_snapshot!(client.send("POST", "/artifacts?limit=2&offset=1000000002", r#"[{"name": "*"}]"#).await, @r#"
    200 OK
    content-type: application/json
    x-holdfast-store: memory

    [{"name":"über 😀","id":"1000000003","type":"code"}]
    "#);
    for path in [
        "/artifact/byName/owner/name",
        "/artifacts/byName/owner%2Fname",
    ] {
        let found = client.send("GET", path, "").await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(found, @r#"
            200 OK
            content-type: application/json
            x-holdfast-store: memory

            [{"name":"owner/name","id":"1000000002","type":"dataset"}]
            "#);
        }
    }
    insta::assert_snapshot!(client.send("GET", "/artifact/byName/%C3%BCber%20%F0%9F%98%80", "").await, @r#"
    200 OK
    content-type: application/json
    x-holdfast-store: memory

    [{"name":"über 😀","id":"1000000003","type":"code"}]
    "#);
    insta::assert_snapshot!(client.send("GET", "/artifact/byName/Bert", "").await, @r#"
    404 Not Found
    content-type: application/problem+json
    x-holdfast-store: memory

    {"detail":"there is no such artifact","status":404,"title":"Not Found","type":"about:blank"}
    "#);
    for path in [
        "/artifact/byRegEx",
        "/artifact/byRegex",
        "/artifacts/byRegEx",
    ] {
        let found = client.send("POST", path, r#"{"regex": "^(b|o)"}"#).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(found, @r#"
            200 OK
            content-type: application/json
            x-holdfast-store: memory

            [{"name":"bert","id":"1000000001","type":"model"},{"name":"owner/name","id":"1000000002","type":"dataset"}]
            "#);
        }
    }
    insta::assert_snapshot!(client.send("POST", "/artifact/byRegEx", r#"{"regex": "nowhere"}"#).await, @r#"
    404 Not Found
    content-type: application/problem+json
    x-holdfast-store: memory

    {"detail":"there is no such artifact","status":404,"title":"Not Found","type":"about:blank"}
    "#);
    insta::assert_snapshot!(client.send("POST", "/artifact/byRegEx", r#"{"regex": "(a{1,99999}){1,99999}"}"#).await, @r#"
    400 Bad Request
    content-type: application/problem+json
    x-holdfast-store: memory

    {"detail":"the regular expression is too large","status":400,"title":"Bad Request","type":"about:blank"}
    "#);
}

#[tokio::test]
async fn odd_names_arrive_through_every_gateway() {
    let client = start().await;
    client.put("1000000003", "owner/über 😀", "code").await;
    // An HTTP API decodes the path of a request, a function URL does not.
    for event in ["http-api-odd-name", "function-url-odd-name"] {
        let file = format!(
            "{}/../../events/registry.{event}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(file).unwrap();
        let text = text.replace("bearer sample", &client.admin);
        let request = lambda_http::request::from_str(&text).unwrap();
        let answer = client.answer(request.map(|_| Body::empty())).await;
        assert_eq!(answer.status(), 200, "{event}");
    }
}

#[tokio::test]
async fn the_address_of_a_download_is_the_one_that_was_asked() {
    let client = start().await;
    let host = "https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com";
    for (event, path, origin) in [
        // A REST API has its stage in the address, and not in the path that it hands on.
        ("rest-api-create", "/artifact/model", format!("{host}/prod")),
        ("http-api-query", "/artifacts", host.to_owned()),
    ] {
        let file = format!(
            "{}/../../events/registry.{event}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(file).unwrap();
        let event = lambda_http::request::from_str(&text).unwrap();
        let mut request =
            event.map(|_| Body::from(format!(r#"{{"url": "https://a.example{path}"}}"#)));
        *request.method_mut() = "POST".parse().unwrap();
        *request.uri_mut() = "/artifact/model".parse().unwrap();
        let token = client.admin.parse().unwrap();
        request.headers_mut().insert("x-authorization", token);
        let answer = client.answer(request).await;
        assert_eq!(answer.status(), 201);
        let artifact: Value = serde_json::from_slice(&body_of(answer).await).unwrap();
        let address = artifact["data"]["download_url"].as_str().unwrap();
        let id = artifact["metadata"]["id"].as_str().unwrap();
        assert_eq!(address, format!("{origin}/artifacts/model/{id}/download"));
    }
    let storage = Storage::new(Chain::default(), access());
    let url = Some("https://models.example/registry".parse().unwrap());
    let answer = router_at(storage, url)
        .oneshot(request(
            "POST",
            "/artifact/model",
            Some(&client.admin),
            r#"{"url": "https://a.example"}"#,
        ))
        .await
        .unwrap();
    let artifact: Value = serde_json::from_slice(&body_of(answer).await).unwrap();
    let address = artifact["data"]["download_url"].as_str().unwrap();
    assert!(address.starts_with("https://models.example/registry/artifacts/model/"));
}

#[tokio::test]
async fn bad_input_is_the_clients_mistake_and_told_as_a_problem() {
    let client = start().await;
    client.put("3847247294", "bert", "model").await;
    let deep = "[".repeat(200_000);
    let deep_name = format!(r#"[{{"name": {}}}]"#, "[".repeat(100_000));
    let huge = format!(r#"{{"url": "{}"}}"#, "x".repeat(2 << 20));
    let long = format!(r#"{{"url": "https://example.com/{}"}}"#, "x".repeat(5000));
    for (method, path, body, status) in [
        ("POST", "/artifact/model", "", 400),
        ("POST", "/artifact/model", "{", 400),
        ("POST", "/artifact/model", "[]", 400),
        ("POST", "/artifact/model", "null", 400),
        ("POST", "/artifact/model", "{}", 400),
        ("POST", "/artifact/model", r#"{"url": 7}"#, 400),
        ("POST", "/artifact/model", r#"{"url": ""}"#, 400),
        (
            "POST",
            "/artifact/model",
            r#"{"url": "ftp://example.com"}"#,
            400,
        ),
        (
            "POST",
            "/artifact/model",
            r#"{"url": ["https://a.example", "https://b.example"]}"#,
            400,
        ),
        (
            "POST",
            "/artifact/model",
            r#"{"url": "https://a.example", "name": "*"}"#,
            400,
        ),
        (
            "POST",
            "/artifact/model",
            r#"{"url": "https://a.example", "name": "a\u0000b"}"#,
            400,
        ),
        ("POST", "/artifact/model", &deep, 400),
        ("POST", "/artifact/model", &huge, 413),
        ("POST", "/artifact/model", &long, 400),
        (
            "POST",
            "/artifact/tool",
            r#"{"url": "https://a.example"}"#,
            400,
        ),
        ("POST", "/artifact/byRegEx", r#"{"regex": ""}"#, 400),
        ("POST", "/artifact/byRegEx", r#"{"regex": 1}"#, 400),
        ("POST", "/artifact/byRegEx", r#"{"regex": "(?=a)"}"#, 400),
        ("POST", "/artifacts", r#"{"name": "*"}"#, 400),
        ("POST", "/artifacts", r#"[{"types": ["model"]}]"#, 400),
        (
            "POST",
            "/artifacts",
            r#"[{"name": "*", "types": ["tool"]}]"#,
            400,
        ),
        ("POST", "/artifacts", r#"[{"name": null}]"#, 400),
        ("POST", "/artifacts", &deep_name, 400),
        ("POST", "/artifacts?offset=a/b", "[]", 400),
        ("POST", "/artifacts?offset=%FF", "[]", 400),
        ("POST", "/artifacts?limit=0", "[]", 400),
        ("POST", "/artifacts?limit=1001", "[]", 400),
        ("GET", "/artifacts/tool/3847247294", "", 400),
        ("GET", "/artifacts/model/{id}", "", 400),
        ("GET", "/artifacts/model/..", "", 400),
        ("GET", "/artifacts/model/..%2F..%2Fusers", "", 400),
        ("GET", "/artifacts/model/%00", "", 400),
        ("GET", "/artifacts/model/%FF", "", 400),
        ("GET", "/artifacts/model/abc-404", "", 404),
        ("GET", "/artifacts/code/3847247294", "", 404),
        ("GET", "/package/abc-404", "", 404),
        ("PUT", "/artifacts/model/3847247294", "{}", 400),
        (
            "PUT",
            "/artifacts/model/3847247294",
            r#"{"metadata": {"name": "bert", "id": "3847247294", "type": "code"}, "data": {"url": "https://a.example"}}"#,
            400,
        ),
        (
            "PUT",
            "/artifacts/model/3847247294",
            r#"{"metadata": {"name": "bert", "id": "3847247294"}, "data": {"url": "file:///etc/passwd"}}"#,
            400,
        ),
        (
            "PUT",
            "/artifacts/model/404",
            r#"{"metadata": {"name": "bert", "id": "404"}, "data": {"url": "https://a.example"}}"#,
            404,
        ),
        ("PATCH", "/artifacts/model/3847247294", "", 405),
        ("GET", "/artifact/byName/%FF", "", 400),
        ("GET", "/artifact/byName/*", "", 400),
        ("GET", "/artifact/byName/a%00b", "", 400),
        ("GET", "/nothing/here", "", 404),
        ("GET", "/health/components?windowMinutes=4", "", 400),
        ("GET", "/health/components?windowMinutes=x", "", 400),
    ] {
        let answer = client
            .answer(request(method, path, Some(&client.admin), body))
            .await;
        let what = format!("{method} {path} {}", body.get(..60).unwrap_or(body));
        assert_eq!(answer.status(), status, "{what}");
        assert_eq!(
            answer.headers()["content-type"],
            "application/problem+json",
            "{what}"
        );
        assert_eq!(
            answer.headers()["access-control-allow-origin"],
            "*",
            "{what}"
        );
        let problem: Value = serde_json::from_slice(&body_of(answer).await).unwrap();
        assert_eq!(problem["status"], status, "{what}");
        assert!(problem["title"].is_string(), "{what}");
    }
    let broken = Request::post("/artifact/model").header("x-authorization", &client.admin);
    let broken = broken
        .body(Body::from(&b"{\"url\": \"\xff\"}"[..]))
        .unwrap();
    assert_eq!(client.answer(broken).await.status(), 400);
}

#[tokio::test]
async fn browsers_are_told_that_they_may() {
    let client = start().await;
    let asked = Request::options("/artifacts/model/1").body(Body::empty());
    let answer = client.answer(asked.unwrap()).await;
    assert_eq!(answer.status(), 204);
    let headers = answer.headers();
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert!(
        headers["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("X-Authorization")
    );
    assert!(
        headers["access-control-expose-headers"]
            .to_str()
            .unwrap()
            .contains("offset")
    );
}

#[tokio::test]
async fn a_version_is_not_sent_again_and_changed_only_if_it_is_still_that_one() {
    let client = start().await;
    client.put("3847247294", "bert", "model").await;
    let path = "/artifacts/model/3847247294";
    let first = client
        .answer(request("GET", path, Some(&client.admin), ""))
        .await;
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    let with = |method: &str, name: &str, value: &str, body: &'static str| {
        let request = Request::builder().method(method).uri(path);
        let request = request
            .header("x-authorization", &client.admin)
            .header(name, value);
        request.body(Body::from(body)).unwrap()
    };
    let known = client.answer(with("GET", "if-none-match", &etag, "")).await;
    assert_eq!(
        (
            known.status().as_u16(),
            known.headers()["etag"].to_str().unwrap()
        ),
        (304, &*etag)
    );
    let change = r#"{"metadata": {"name": "bert", "id": "3847247294"}, "data": {"url": "https://b.example"}}"#;
    for status in [200, 412] {
        let answer = client.answer(with("PUT", "if-match", &etag, change)).await;
        assert_eq!(answer.status(), status);
    }
    let changed = client.answer(with("GET", "if-none-match", &etag, "")).await;
    assert_eq!(changed.status(), 200);
}

#[tokio::test]
async fn health_needs_no_token_and_tells_the_store() {
    let client = start().await;
    let (status, health) = client.anonymous("/health").await;
    assert_eq!((status, &health["status"]), (200, &json!("ok")));
    let (status, health) = client
        .anonymous("/health/components?windowMinutes=5&includeTimeline=true")
        .await;
    assert_eq!(status, 200);
    assert_eq!(
        health["components"][0]["metrics"],
        json!({ "store": "memory", "wanted": "memory" })
    );
    // The login of this test, and the request before this one.
    assert_eq!(health["components"][1]["timeline"][0]["value"], 2);
    let (_, tracks) = client.anonymous("/tracks").await;
    assert_eq!(
        tracks,
        json!({ "plannedTracks": ["Performance track", "Access control track"] })
    );
}

#[tokio::test]
async fn in_production_nothing_is_written_where_it_could_vanish() {
    let admin = admin().await;
    let chain = Chain {
        bucket: Some("registry".to_owned()),
        s3: nowhere(),
        is_production: true,
        ..Chain::default()
    };
    let client = router(Storage::new(chain.clone(), access()));
    let create = || {
        request(
            "POST",
            "/artifact/model",
            Some(&admin),
            r#"{"url": "https://a.example"}"#,
        )
    };
    let refused = client.clone().oneshot(create()).await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"10".parse().unwrap())
    );
    let health = client
        .oneshot(request("GET", "/health", None, ""))
        .await
        .unwrap();
    let health: Value = serde_json::from_slice(&body_of(health).await).unwrap();
    assert_eq!(health["status"], "critical");

    let chain = Chain {
        allow_volatile: true,
        ..chain
    };
    let client = router(Storage::new(chain, access()));
    let taken = client.clone().oneshot(create()).await.unwrap();
    assert_eq!(
        (
            taken.status().as_u16(),
            &taken.headers()["x-holdfast-store"]
        ),
        (201, &"memory".parse().unwrap())
    );
    let health = client
        .oneshot(request("GET", "/health", None, ""))
        .await
        .unwrap();
    let health: Value = serde_json::from_slice(&body_of(health).await).unwrap();
    assert_eq!(health["status"], "degraded");
}

#[tokio::test]
async fn elsewhere_a_file_takes_the_place_of_s3_and_memory_that_of_a_file() {
    let admin = admin().await;
    let folder = tempfile::TempDir::new().unwrap();
    for (file, store) in [
        ("registry.db", "sqlite"),
        ("no/such/folder/registry.db", "memory"),
    ] {
        let chain = Chain {
            bucket: Some("registry".to_owned()),
            s3: nowhere(),
            sqlite: Some(folder.path().join(file)),
            ..Chain::default()
        };
        let client = router(Storage::new(chain, access()));
        let answer = client
            .oneshot(request("POST", "/artifacts", Some(&admin), "[]"))
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-holdfast-store"], store);
    }
}

#[tokio::test]
async fn while_s3_fails_answers_say_so_and_afterwards_all_is_there() {
    let admin = admin().await;
    let (store, _folder) = support::embedded().await;
    let chain = Chain {
        bucket: Some("made-by-the-function".to_owned()),
        is_production: true,
        ..Chain::default()
    };
    let storage = Storage::with_s3(chain, access(), S3::with_client(store.client()));
    let client = router(storage);
    let create = || {
        request(
            "POST",
            "/artifact/model",
            Some(&admin),
            r#"{"url": "https://a.example"}"#,
        )
    };
    let created = client.clone().oneshot(create()).await.unwrap();
    assert_eq!(
        (
            created.status().as_u16(),
            &created.headers()["x-holdfast-store"]
        ),
        (201, &"s3".parse().unwrap())
    );
    for operation in ["ListObjectsV2", "GetObject"] {
        let target = Target {
            operation: Some(operation.to_owned()),
            ..Target::default()
        };
        store.faults().inject(Fault::SlowDown, target);
    }
    let path = created.headers()["location"].to_str().unwrap().to_owned();
    for (method, path) in [("POST", "/artifacts"), ("GET", &*path)] {
        let answer = client
            .clone()
            .oneshot(request(method, path, Some(&admin), "[]"))
            .await
            .unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (503, &"5".parse().unwrap())
        );
    }
    store.faults().clear();
    let read = client
        .clone()
        .oneshot(request("GET", &path, Some(&admin), ""))
        .await
        .unwrap();
    assert_eq!(read.status(), 200);
}

/// An S3 that nobody listens at.
fn nowhere() -> Settings {
    Settings {
        endpoint: Some("http://127.0.0.1:1".to_owned()),
        credentials: Some(aws_credential_types::Credentials::new(
            "a", "b", None, None, "test",
        )),
        ..Settings::default()
    }
}
