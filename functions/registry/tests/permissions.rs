//! Who may do what over HTTP, for every operation, and whose token is not one.
mod support;

use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use registry::access::token::{Key, Keys};
use serde_json::{Value, json};
use support::client::{ADMIN, Client, request, start};
use time::{Duration, OffsetDateTime};

const ID: &str = "3847247294";
/// What each of the users in these tests may do; their names say so.
const USERS: [&str; 4] = ["upload", "search", "download", "nothing"];

/// What can be asked for, the permission that it takes, and what is answered then.
struct Operation {
    method: &'static str,
    path: &'static str,
    body: Value,
    /// Of [`USERS`]; `admin` for what takes that; `anyone` for whoever has a token.
    permission: &'static str,
    status: u16,
}

/// Every operation that asks for a token.
fn operations() -> Vec<Operation> {
    let operation = |permission, method, path, body, status| Operation {
        method,
        path,
        body,
        permission,
        status,
    };
    let pattern = json!({ "regex": "bert" });
    let change = json!({
        "metadata": { "name": "bert", "id": ID, "type": "model" },
        "data": { "url": "https://example.com/changed" },
    });
    let new_user = json!({
        "user": { "name": "new", "is_admin": false },
        "secret": { "password": "user password" },
    });
    let artifact = json!({ "url": "https://example.com/new" });
    let permissions = json!({ "permissions": { "can_search": true } });
    let password = json!({ "password": "another password" });
    let none = Value::Null;
    let (get, put, post, delete) = ("GET", "PUT", "POST", "DELETE");
    vec![
        operation("search", post, "/artifacts", json!([]), 200),
        operation("search", get, "/artifact/byName/bert", none.clone(), 200),
        operation("search", get, "/artifacts/byName/bert", none.clone(), 200),
        operation("search", post, "/artifact/byRegEx", pattern.clone(), 200),
        operation("search", post, "/artifact/byRegex", pattern.clone(), 200),
        operation("search", post, "/artifacts/byRegEx", pattern, 200),
        operation(
            "search",
            get,
            "/artifact/model/3847247294/audit",
            none.clone(),
            200,
        ),
        operation(
            "download",
            get,
            "/artifacts/model/3847247294",
            none.clone(),
            200,
        ),
        operation(
            "download",
            get,
            "/artifact/model/3847247294",
            none.clone(),
            200,
        ),
        operation("download", get, "/package/3847247294", none.clone(), 200),
        operation("upload", post, "/artifact/model", artifact, 201),
        operation("upload", put, "/artifacts/model/3847247294", change, 200),
        operation(
            "upload",
            delete,
            "/artifacts/model/3847247294",
            none.clone(),
            200,
        ),
        operation("anyone", get, "/verify-token", none.clone(), 200),
        operation("admin", get, "/audit/verify", none.clone(), 200),
        operation("admin", get, "/users", none.clone(), 200),
        operation("admin", post, "/users", new_user.clone(), 201),
        operation("admin", post, "/register", new_user, 201),
        operation("admin", get, "/users/other", none.clone(), 200),
        operation(
            "admin",
            put,
            "/users/other/permissions",
            permissions.clone(),
            200,
        ),
        operation("admin", put, "/user/other/permissions", permissions, 200),
        operation("admin", put, "/users/other/password", password, 200),
        operation("admin", delete, "/users/other", none.clone(), 200),
        operation("admin", delete, "/user/other", none.clone(), 200),
        operation("admin", delete, "/reset", none, 200),
    ]
}

/// A client of an API with an artifact, the users of these tests, and another one.
async fn prepared() -> (Client, Vec<String>) {
    let client = start().await;
    client.put(ID, "bert", "model").await;
    let mut tokens = Vec::new();
    for user in USERS {
        let permissions: &[&str] = if user == "nothing" { &[] } else { &[user] };
        tokens.push(client.user(user, permissions).await);
    }
    client.user("other", &[]).await;
    (client, tokens)
}

#[tokio::test]
async fn each_permission_allows_its_operations_and_no_others() {
    let (client, tokens) = prepared().await;
    for operation in operations() {
        let what = format!("{} {}", operation.method, operation.path);
        let status = async |token: Option<&str>| {
            let (method, path) = (operation.method, operation.path);
            client.status(token, method, path, &operation.body).await
        };
        for token in [None, Some(""), Some("bearer"), Some("bearer eyJ.eyJ.x")] {
            assert_eq!(status(token).await, 403, "{what}: {token:?}");
        }
        // Here alone, the contract has 401 for who may not.
        let refusal = if operation.path == "/reset" { 401 } else { 403 };
        for (user, token) in USERS.iter().zip(&tokens) {
            if ![*user, "anyone"].contains(&operation.permission) {
                assert_eq!(status(Some(token)).await, refusal, "{what}: {user}");
            }
        }
    }
    // What is allowed changes something, so each on an API of its own.
    for operation in operations() {
        let (client, tokens) = prepared().await;
        let what = format!("{} {}", operation.method, operation.path);
        let index = USERS.iter().position(|user| *user == operation.permission);
        let token = match operation.permission {
            "admin" => &client.admin,
            "anyone" => tokens.last().unwrap(),
            _ => tokens.get(index.unwrap()).unwrap(),
        };
        let (method, path) = (operation.method, operation.path);
        let status = client.status(Some(token), method, path, &operation.body);
        assert_eq!(status.await, operation.status, "{what}");
        if operation.permission != "admin" && method == "GET" {
            let status = client.status(Some(&client.admin), method, path, "").await;
            assert_eq!(status, 200, "{what}: an admin");
        }
    }
}

#[tokio::test]
async fn forged_and_expired_tokens_are_nobody_s_on_every_route() {
    let (client, _) = prepared().await;
    let parts: Vec<&str> = client.admin.split([' ', '.']).collect();
    let [_, header, payload, signature] = parts[..] else {
        panic!("{parts:?}");
    };
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    let generation = claims["gen"].as_str().unwrap();
    let now = OffsetDateTime::now_utc();
    let made = |key: u8, audience: &str, user: &str, generation: &str, at: OffsetDateTime| {
        let key = Key::new(&[key; 32]).unwrap();
        let keys = Keys::new(key, vec![], "registry", audience);
        let token = keys.issue(user, generation, at).unwrap();
        token.as_str().to_owned()
    };
    let text = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let mut other_claims = claims.clone();
    other_claims["sub"] = "somebody".into();
    let other_claims = text(&other_claims.to_string());
    let forged = [
        // Without a signature, in the ways in which that is said.
        format!("{}.{payload}.", text(r#"{"alg":"none","typ":"JWT"}"#)),
        format!(
            "{}.{payload}.{signature}",
            text(r#"{"alg":"none","typ":"JWT"}"#)
        ),
        format!("{}.{payload}.", text(r#"{"typ":"JWT","alg":"NONE"}"#)),
        format!("{header}.{payload}."),
        format!("{header}.{payload}"),
        // Another content, another signature.
        format!("{header}.{other_claims}.{signature}"),
        format!("{header}.{payload}.{}", "A".repeat(43)),
        // Of another key, for somebody else, from too long ago, of an admin with another password, of nobody.
        made(8, "registry", ADMIN, generation, now),
        made(7, "others", ADMIN, generation, now),
        made(7, "registry", ADMIN, generation, now - Duration::hours(11)),
        made(7, "registry", ADMIN, "0123", now),
        made(7, "registry", "nobody", generation, now),
        made(7, "registry", "", generation, now),
    ];
    let good = made(7, "registry", ADMIN, generation, now);
    assert_eq!(client.status(Some(&good), "GET", "/users", "").await, 200);
    for operation in operations() {
        for token in &forged {
            let (method, path) = (operation.method, operation.path);
            let status = client.status(Some(token), method, path, &operation.body);
            assert_eq!(status.await, 403, "{method} {path}: {token}");
        }
    }
}

#[tokio::test]
async fn a_token_may_come_in_either_header_with_or_without_bearer_and_quotes() {
    let client = start().await;
    let bare = client.admin.strip_prefix("bearer ").unwrap();
    for header in ["X-Authorization", "Authorization", "x-authorization"] {
        for value in [
            client.admin.clone(),
            bare.to_owned(),
            format!("Bearer {bare}"),
            format!("BEARER   {bare}  "),
            format!("\"{}\"", client.admin),
            format!("bearer \"{bare}\""),
            format!("bearer {}", client.admin),
        ] {
            let sent = Request::get("/verify-token").header(header, &value);
            let answer = client.answer(sent.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status(), 200, "{header}: {value}");
        }
    }
    // A gateway may have put its own there.
    let both = |first: &str, second: &str| {
        let sent = Request::get("/verify-token");
        let sent = sent.header("X-Authorization", first);
        sent.header("Authorization", second).body(Body::empty())
    };
    let sent = both(&client.admin, "Basic YTpi").unwrap();
    assert_eq!(client.answer(sent).await.status(), 200);
    let sent = both("", &client.admin).unwrap();
    assert_eq!(client.answer(sent).await.status(), 200);
    let sent = both("bearer wrong", &client.admin).unwrap();
    assert_eq!(client.answer(sent).await.status(), 403);
    let sent = Request::get("/verify-token").header("X-Authorization", &b"bearer \xff"[..]);
    let answer = client.answer(sent.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), 403);
}

#[tokio::test]
async fn what_needs_no_token_takes_any() {
    let client = start().await;
    for path in ["/health", "/health/components", "/tracks"] {
        for token in [None, Some("bearer wrong")] {
            assert_eq!(client.status(token, "GET", path, "").await, 200, "{path}");
        }
    }
    let refused = client.answer(request("GET", "/users", None, "")).await;
    let problem = support::client::body_of(refused).await;
    let problem: Value = serde_json::from_slice(&problem).unwrap();
    assert_eq!(
        problem["detail"],
        "a valid token in the header X-Authorization is required"
    );
}
