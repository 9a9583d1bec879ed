//! The document of the operations: that everybody may read it, and that answers are what it says.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::client::{ADMIN, Client, PASSWORD, USER_PASSWORD, body_of, request, start};

/// Operations whose good answer needs services that are not here; other tests have them.
const ELSEWHERE: [&str; 14] = [
    "post /models/ingest",
    "post /artifact/model/{id}/license-check",
    // tests/content.rs and tests/index/ have these: they need S3 and a database.
    "get /artifacts/{artifact_type}/{id}/files",
    "get /artifacts/{artifact_type}/{id}/files/{path}",
    "put /artifacts/{artifact_type}/{id}/files/{path}",
    "post /artifacts/{artifact_type}/{id}/files/{path}",
    "delete /artifacts/{artifact_type}/{id}/files/{path}",
    "post /artifacts/{artifact_type}/{id}/uploads",
    "get /artifacts/{artifact_type}/{id}/uploads/{upload_id}",
    "delete /artifacts/{artifact_type}/{id}/uploads/{upload_id}",
    "post /artifacts/{artifact_type}/{id}/uploads/{upload_id}/parts",
    "post /artifacts/{artifact_type}/{id}/uploads/{upload_id}/complete",
    "get /artifacts/{artifact_type}/{id}/download",
    "post /index/rebuild",
];

#[tokio::test]
async fn anybody_may_read_what_the_operations_are() {
    let client = start().await;
    for (path, kind) in [
        ("/openapi.json", "application/json"),
        ("/docs", "text/html; charset=utf-8"),
    ] {
        let answer = client.answer(request("GET", path, None, "")).await;
        assert_eq!(answer.status(), 200, "{path}");
        let headers = answer.headers();
        assert_eq!(headers["content-type"], kind, "{path}");
        assert_eq!(headers["access-control-allow-origin"], "*", "{path}");
    }
}

#[tokio::test]
async fn the_page_shows_every_operation_and_loads_and_runs_nothing() {
    let client = start().await;
    let document = client.anonymous("/openapi.json").await.1;
    let answer = client.answer(request("GET", "/docs", None, "")).await;
    let policy = answer.headers()["content-security-policy"].clone();
    assert!(
        policy
            .to_str()
            .unwrap()
            .starts_with("default-src 'none'; style-src 'sha256-")
    );
    let page = String::from_utf8(body_of(answer).await).unwrap();
    for (method, path, _) in operations(&document) {
        let heading = format!("<code>{} {path}</code>", method.to_uppercase());
        assert!(page.contains(&heading), "{heading}");
    }
    for never in ["<script", "src=", "http://", " on", "style="] {
        let tags: Vec<&str> = page
            .split('<')
            .map(|tag| tag.split('>').next().unwrap())
            .collect();
        let never = never.trim_start_matches('<');
        assert!(!tags.iter().any(|tag| tag.contains(never)), "{never}");
    }
    let targets: BTreeSet<&str> = after(&page, " id=\"").collect();
    for link in after(&page, "href=\"#") {
        assert!(targets.contains(link), "{link}");
    }
    assert_eq!(
        targets.len(),
        after(&page, " id=\"").count(),
        "ids are there once"
    );
}

#[tokio::test]
async fn other_names_are_documented_as_such() {
    let document = start().await.anonymous("/openapi.json").await.1;
    let others = operations(&document)
        .into_iter()
        .filter(|(_, _, operation)| operation["tags"] == json!(["other names"]));
    let others: Vec<String> = others
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    assert_eq!(others.len(), 20, "{others:#?}");
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "it is a list of what is asked")]
async fn answers_are_what_the_document_says() {
    let client = start().await;
    let document = client.anonymous("/openapi.json").await.1;
    client.put("1000000001", "bert", "model").await;
    client.put("1000000002", "words", "dataset").await;
    let user = json!({
        "user": { "name": "ada", "is_admin": false },
        "secret": { "password": USER_PASSWORD },
        "permissions": { "can_search": true },
    });
    let login = json!({ "user": { "name": ADMIN }, "secret": { "password": PASSWORD } });
    let wrong = json!({ "user": { "name": ADMIN }, "secret": { "password": "wrong" } });
    let url = json!({ "url": "https://example.com/new" });
    let change = json!({ "metadata": { "name": "bert", "id": "1000000001" }, "data": url });
    let repository = json!({ "github_url": "https://github.com/google-research/bert" });
    let none = Value::Null;
    let mut seen = BTreeSet::new();
    for (status, method, template, path, body) in [
        (200, "get", "/health", "/health", &none),
        (
            200,
            "get",
            "/health/components",
            "/health/components?includeTimeline=true",
            &none,
        ),
        (
            400,
            "get",
            "/health/components",
            "/health/components?windowMinutes=4",
            &none,
        ),
        (200, "get", "/tracks", "/tracks", &none),
        (200, "get", "/openapi.json", "/openapi.json", &none),
        (200, "get", "/docs", "/docs", &none),
        (200, "put", "/authenticate", "/authenticate", &login),
        (401, "put", "/authenticate", "/authenticate", &wrong),
        (400, "put", "/authenticate", "/authenticate", &none),
        (
            200,
            "post",
            "/artifacts",
            "/artifacts?limit=1",
            &json!([{ "name": "*" }]),
        ),
        (400, "post", "/artifacts", "/artifacts", &none),
        (
            201,
            "post",
            "/artifact/{artifact_type}",
            "/artifact/code",
            &url,
        ),
        (
            409,
            "post",
            "/artifact/{artifact_type}",
            "/artifact/code",
            &url,
        ),
        (
            200,
            "get",
            "/artifacts/{artifact_type}/{id}",
            "/artifacts/model/1000000001",
            &none,
        ),
        (
            404,
            "get",
            "/artifacts/{artifact_type}/{id}",
            "/artifacts/model/1",
            &none,
        ),
        (
            400,
            "get",
            "/artifacts/{artifact_type}/{id}",
            "/artifacts/model/{id}",
            &none,
        ),
        (
            200,
            "put",
            "/artifacts/{artifact_type}/{id}",
            "/artifacts/model/1000000001",
            &change,
        ),
        (
            400,
            "put",
            "/artifacts/{artifact_type}/{id}",
            "/artifacts/model/1",
            &change,
        ),
        (
            200,
            "get",
            "/artifact/byName/{name}",
            "/artifact/byName/bert",
            &none,
        ),
        (
            404,
            "get",
            "/artifact/byName/{name}",
            "/artifact/byName/none",
            &none,
        ),
        (
            200,
            "post",
            "/artifact/byRegEx",
            "/artifact/byRegEx",
            &json!({ "regex": "b" }),
        ),
        (
            404,
            "post",
            "/artifact/byRegEx",
            "/artifact/byRegEx",
            &json!({ "regex": "none" }),
        ),
        (
            200,
            "get",
            "/artifact/{artifact_type}/{id}/cost",
            "/artifact/model/1000000001/cost",
            &none,
        ),
        (
            200,
            "get",
            "/artifact/{artifact_type}/{id}/cost",
            "/artifact/model/1000000001/cost?dependency=true",
            &none,
        ),
        (
            404,
            "get",
            "/artifact/{artifact_type}/{id}/cost",
            "/artifact/model/1/cost",
            &none,
        ),
        (
            200,
            "get",
            "/artifact/model/{id}/rate",
            "/artifact/model/1000000001/rate",
            &none,
        ),
        (
            200,
            "get",
            "/artifact/model/{id}/rate",
            "/artifact/model/1000000001/rate?explain=true",
            &none,
        ),
        (
            404,
            "get",
            "/artifact/model/{id}/rate",
            "/artifact/model/1/rate",
            &none,
        ),
        (
            200,
            "get",
            "/artifact/model/{id}/lineage",
            "/artifact/model/1000000001/lineage",
            &none,
        ),
        (
            400,
            "get",
            "/artifact/model/{id}/lineage",
            "/artifact/model/1000000001/lineage?include=x",
            &none,
        ),
        (
            502,
            "post",
            "/artifact/model/{id}/license-check",
            "/artifact/model/1000000001/license-check",
            &repository,
        ),
        (
            400,
            "post",
            "/artifact/model/{id}/license-check",
            "/artifact/model/1000000001/license-check",
            &url,
        ),
        (400, "post", "/models/ingest", "/models/ingest", &none),
        (200, "get", "/models", "/models?limit=1", &none),
        (400, "get", "/models", "/models?limit=0", &none),
        (200, "get", "/models/search", "/models/search?q=BERT", &none),
        (200, "get", "/models/search", "/models/search?q=none", &none),
        (400, "get", "/models/search", "/models/search", &none),
        (
            200,
            "get",
            "/artifact/{artifact_type}/{id}/audit",
            "/artifact/model/1000000001/audit?all=true",
            &none,
        ),
        (
            404,
            "get",
            "/artifact/{artifact_type}/{id}/audit",
            "/artifact/model/1/audit",
            &none,
        ),
        (200, "get", "/audit/verify", "/audit/verify", &none),
        (400, "get", "/audit/verify", "/audit/verify?head=x", &none),
        (201, "post", "/users", "/users", &user),
        (409, "post", "/users", "/users", &user),
        (200, "get", "/users", "/users", &none),
        (400, "get", "/users", "/users?limit=0", &none),
        (200, "get", "/users/{name}", "/users/ada", &none),
        (404, "get", "/users/{name}", "/users/bob", &none),
        (
            200,
            "put",
            "/users/{name}/permissions",
            "/users/ada/permissions",
            &json!(["search"]),
        ),
        (
            400,
            "put",
            "/users/{name}/permissions",
            "/users/ada/permissions",
            &json!(["fly"]),
        ),
        (
            200,
            "put",
            "/users/{name}/password",
            "/users/ada/password",
            &user["secret"],
        ),
        (
            400,
            "put",
            "/users/{name}/password",
            "/users/ada/password",
            &none,
        ),
        (200, "get", "/verify-token", "/verify-token", &none),
        (200, "delete", "/users/{name}", "/users/ada", &none),
        (404, "delete", "/users/{name}", "/users/ada", &none),
        (
            200,
            "delete",
            "/artifacts/{artifact_type}/{id}",
            "/artifacts/model/1000000001",
            &none,
        ),
        (
            404,
            "delete",
            "/artifacts/{artifact_type}/{id}",
            "/artifacts/model/1000000001",
            &none,
        ),
        (200, "delete", "/reset", "/reset", &none),
    ] {
        let operation = &document["paths"][template][method];
        assert_eq!(
            answered(&client, &document, operation, method, path, body).await,
            status,
            "{method} {path}"
        );
        seen.insert((format!("{method} {template}"), status < 300));
    }
    for (method, path, operation) in operations(&document) {
        let name = format!("{method} {path}");
        if operation["tags"] == json!(["other names"]) {
            continue;
        }
        let is_seen = seen.contains(&(name.clone(), true));
        assert_eq!(is_seen, !ELSEWHERE.contains(&name.as_str()), "{name}");
        let anonymous = request(
            &method.to_uppercase(),
            &path.replace(['{', '}'], ""),
            None,
            "",
        );
        let answer = client.answer(anonymous).await.status();
        assert_eq!(
            answer == 403,
            operation["security"].is_array(),
            "{name}: {answer}"
        );
    }
}

#[tokio::test]
async fn wrong_methods_and_repeated_parameters_are_problems() {
    let client = start().await;
    for (method, path, status) in [
        ("PATCH", "/artifacts/model/1", 405),
        ("POST", "/docs", 405),
        ("DELETE", "/models", 405),
        (
            "GET",
            "/health/components?windowMinutes=5&windowMinutes=6",
            400,
        ),
        ("GET", "/models?limit=1&limit=2", 400),
        ("GET", "/models/{id}/rate", 400),
        ("GET", "/package/..", 400),
    ] {
        let mut asked = request(method, path, Some(&client.admin), "");
        let host = "registry.example".parse().unwrap();
        asked.headers_mut().insert("host", host);
        let answer = client.answer(asked).await;
        assert_eq!(answer.status(), status, "{method} {path}");
        assert_eq!(
            answer.headers()["content-type"],
            "application/problem+json",
            "{path}"
        );
        assert_eq!(
            answer.headers().contains_key("allow"),
            status == 405,
            "{path}"
        );
    }
}

/// Asks as an admin, holds the answer against what is documented, and returns its status.
async fn answered(
    client: &Client,
    document: &Value,
    operation: &Value,
    method: &str,
    path: &str,
    body: &Value,
) -> u16 {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let mut asked = request(&method.to_uppercase(), path, Some(&client.admin), &body);
    // As every client tells it.
    let host = "registry.example".parse().unwrap();
    asked.headers_mut().insert("host", host);
    let answer = client.answer(asked).await;
    let status = answer.status().as_u16();
    let place = format!("{method} {path}: {status}");
    let documented = &operation["responses"][status.to_string()];
    assert!(documented.is_object(), "{place} is not documented");
    for (name, header) in documented["headers"].as_object().into_iter().flatten() {
        if let Some(value) = answer.headers().get(name) {
            let text = value.to_str().unwrap();
            let value = text
                .parse()
                .map_or_else(|_| json!(text), |number: u64| json!(number));
            let value = if header["schema"]["type"] == "string" {
                json!(text)
            } else {
                value
            };
            valid(document, &header["schema"], &value, &place);
        }
    }
    let kind = answer.headers().get("content-type").cloned();
    let body = body_of(answer).await;
    let Some(kind) = kind else {
        assert!(
            body.is_empty() && documented["content"].is_null(),
            "{place}"
        );
        return status;
    };
    let kind = kind.to_str().unwrap().split(';').next().unwrap().to_owned();
    let schema = &documented["content"][&kind]["schema"];
    assert!(schema.is_object(), "{place} is no {kind}");
    let body = if kind.ends_with("json") {
        serde_json::from_slice(&body).unwrap()
    } else {
        json!(String::from_utf8(body).unwrap())
    };
    valid(document, schema, &body, &place);
    status
}

fn valid(document: &Value, schema: &Value, value: &Value, place: &str) {
    let whole = json!({ "components": document["components"], "allOf": [schema] });
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&whole)
        .unwrap();
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{place}: {errors:#?} in {value}");
}

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap();
        methods
            .iter()
            .map(|(method, operation)| (method.clone(), path.clone(), operation.clone()))
    });
    each.collect()
}

/// What comes after each place, up to the next quote.
fn after<'a>(page: &'a str, place: &'a str) -> impl Iterator<Item = &'a str> {
    page.split(place)
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
}
