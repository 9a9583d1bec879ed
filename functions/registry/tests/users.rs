//! Logging in and managing users, over HTTP.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use axum::body::Body;
use axum::http::Response;
use embedded_s3::{Fault, Target};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};
use support::client::{
    ADMIN, Client, PASSWORD, USER_PASSWORD, answer, body_of, log_in, request, start,
};

#[tokio::test]
async fn a_login_is_answered_by_a_bare_token() {
    let client = start().await;
    for body in [
        json!({ "user": { "name": ADMIN, "is_admin": true }, "secret": { "password": PASSWORD } }),
        json!({ "user": { "name": ADMIN }, "secret": { "password": PASSWORD } }),
        json!({ "User": { "name": ADMIN, "isAdmin": false }, "Secret": { "password": PASSWORD } }),
        json!({
            "user": { "name": ADMIN, "is_admin": true },
            "secret": { "password": PASSWORD.replace("artifacts", "packages") },
            "something": "else",
        }),
    ] {
        let sent = request("PUT", "/authenticate", None, &body.to_string());
        let answer = client.answer(sent).await;
        assert_eq!(answer.status(), 200, "{body}");
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let token: String = serde_json::from_slice(&body_of(answer).await).unwrap();
        assert!(token.starts_with("bearer "), "{token}");
        let (status, profile) = client
            .json_for(Some(&token), "GET", "/verify-token", &Value::Null)
            .await;
        assert_eq!(
            (status, profile),
            (
                200,
                json!({ "name": ADMIN, "is_admin": true, "permissions": ["admin"] })
            )
        );
    }
}

#[tokio::test]
async fn a_login_that_is_malformed_is_told_from_one_that_is_wrong() {
    let client = start().await;
    for body in [
        "",
        "{",
        "null",
        "\"\"",
        r#"{"user": {"name": "a"}}"#,
        r#"{"user": {"name": "a"}, "secret": {}}"#,
        r#"{"user": {}, "secret": {"password": "p"}}"#,
        r#"{"user": {"name": 7}, "secret": {"password": "p"}}"#,
        r#"{"user": "a", "secret": "p"}"#,
        r#"{"user": {"name": "a"}, "User": {"name": "a"}, "secret": {"password": "p"}}"#,
    ] {
        let status = client.status(None, "PUT", "/authenticate", body).await;
        assert_eq!(status, 400, "{body}");
    }
    let long = "x".repeat(100_000);
    let (control, wrong) = ("a\u{0}b", "wrong password");
    let mut refusals = Vec::new();
    for (name, password) in [
        (ADMIN, wrong),
        (ADMIN, ""),
        (ADMIN, &*long),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        (control, PASSWORD),
        (&*long, PASSWORD),
    ] {
        let body = json!({ "user": { "name": name }, "secret": { "password": password } });
        let (status, refusal) = client.json_for(None, "PUT", "/authenticate", &body).await;
        assert_eq!(status, 401, "{:?}", name.get(..40).unwrap_or(name));
        refusals.push(refusal);
    }
    // None says what was wrong.
    refusals.dedup();
    assert_eq!(refusals.len(), 1);
    let method = client.status(None, "POST", "/authenticate", "").await;
    assert_eq!(method, 405);
}

#[tokio::test]
async fn who_has_failed_too_often_is_told_when_to_come_back() {
    let client = start().await;
    let attempt = async |password: &str| {
        let body = json!({ "user": { "name": "guessed" }, "secret": { "password": password } });
        let sent = request("PUT", "/authenticate", None, &body.to_string());
        client.answer(sent).await
    };
    for _ in 0..10 {
        assert_eq!(attempt("wrong").await.status(), 401);
    }
    let delayed = attempt("wrong").await;
    assert_eq!(delayed.status(), 429);
    let seconds = delayed.headers()["retry-after"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(seconds.parse::<u64>().unwrap() > 0, "{seconds}");
    // Others are not delayed.
    log_in(&client.router, ADMIN, PASSWORD).await;
}

#[tokio::test]
async fn an_admin_registers_lists_changes_and_deletes_users() {
    let client = start().await;
    let new = json!({
        "user": { "name": "ada l", "is_admin": false },
        "secret": { "password": USER_PASSWORD },
        "permissions": { "can_upload": true, "can_search": false, "can_download": true },
    });
    let sent = request("POST", "/users", Some(&client.admin), &new.to_string());
    let created = client.answer(sent).await;
    assert_eq!(created.status(), 201);
    assert_eq!(created.headers()["location"], "/users/ada%20l");
    let mut profile: Value = serde_json::from_slice(&body_of(created).await).unwrap();
    let (_, found) = client.json("GET", "/users/ada%20l", &Value::Null).await;
    assert_eq!(found, profile);
    let created_at = profile.as_object_mut().unwrap().remove("created_at");
    assert!(created_at.unwrap().as_str().unwrap().ends_with('Z'));
    assert_eq!(
        profile,
        json!({ "name": "ada l", "is_admin": false, "permissions": ["upload", "download"], "created_by": ADMIN })
    );
    for path in ["/users", "/register"] {
        let (status, _) = client.json("POST", path, &new).await;
        assert_eq!(status, 409, "there is one already");
    }

    let change = json!({ "permissions": ["search", "can_upload"] });
    let (status, changed) = client
        .json("PUT", "/users/ada%20l/permissions", &change)
        .await;
    assert_eq!(
        (status, &changed["permissions"]),
        (200, &json!(["upload", "search"]))
    );
    let change = json!({ "is_admin": true });
    let (_, changed) = client
        .json("PUT", "/user/ada%20l/permissions", &change)
        .await;
    assert_eq!(changed["is_admin"], true);

    let token = log_in(&client.router, "ada l", USER_PASSWORD).await;
    let password = json!({ "secret": { "password": "another password" } });
    let (status, _) = client
        .json("PUT", "/users/ada%20l/password", &password)
        .await;
    assert_eq!(status, 200);
    let status = client.status(Some(&token), "GET", "/verify-token", "");
    assert_eq!(status.await, 403, "the tokens of the old password end");
    log_in(&client.router, "ada l", "another password").await;

    for status in [200, 404] {
        let (answered, _) = client.json("DELETE", "/users/ada%20l", &Value::Null).await;
        assert_eq!(answered, status);
    }
    for (method, path, body) in [
        ("GET", "/users/ada%20l", Value::Null),
        ("DELETE", "/user/ada%20l", Value::Null),
        ("PUT", "/users/ada%20l/permissions", json!([])),
        (
            "PUT",
            "/users/ada%20l/password",
            json!({ "password": "12345678" }),
        ),
    ] {
        let (status, _) = client.json(method, path, &body).await;
        assert_eq!(status, 404, "{method} {path}");
    }
}

#[tokio::test]
async fn users_are_listed_page_by_page() {
    let client = start().await;
    for number in 0..5 {
        client.user(&format!("user {number}"), &["search"]).await;
    }
    let (mut names, mut offset) = (Vec::new(), Some(String::new()));
    while let Some(after) = offset {
        let path = format!("/users?limit=2&offset={after}");
        let answer = client
            .answer(request("GET", &path, Some(&client.admin), ""))
            .await;
        assert_eq!(answer.status(), 200);
        let next = answer.headers().get("offset");
        offset = next.map(|next| next.to_str().unwrap().to_owned());
        let page: Vec<Value> = serde_json::from_slice(&body_of(answer).await).unwrap();
        assert!(page.len() <= 2);
        assert!(page.iter().all(|user| user.get("generation").is_none()));
        names.extend(
            page.iter()
                .map(|user| user["name"].as_str().unwrap().to_owned()),
        );
    }
    assert_eq!(names[0], ADMIN);
    names.sort();
    let expected = [ADMIN, "user 0", "user 1", "user 2", "user 3", "user 4"];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn users_are_their_own_business_and_nobody_else_s() {
    let client = start().await;
    let own = client.user("own", &[]).await;
    client.user("other", &[]).await;
    let own = Some(own.as_str());
    let password = json!({ "password": "another password" });
    for (method, path, body, status) in [
        ("GET", "/users/own", Value::Null, 200),
        ("GET", "/users/other", Value::Null, 403),
        ("GET", "/users/nobody", Value::Null, 403),
        ("PUT", "/users/own/permissions", json!(["admin"]), 403),
        ("PUT", "/users/other/password", password.clone(), 403),
        ("DELETE", "/users/other", Value::Null, 403),
        ("DELETE", "/users/nobody", Value::Null, 403),
        ("DELETE", "/user/own", Value::Null, 200),
        ("GET", "/users/own", Value::Null, 403),
        ("PUT", "/users/own/password", password, 403),
    ] {
        let (answered, _) = client.json_for(own, method, path, &body).await;
        assert_eq!(answered, status, "{method} {path}");
    }
}

#[tokio::test]
async fn the_default_admin_is_there_and_stays() {
    let client = start().await;
    let path = format!("/users/{ADMIN}");
    let (status, admin) = client.json("GET", &path, &Value::Null).await;
    assert_eq!(
        (status, admin),
        (
            200,
            json!({ "name": ADMIN, "is_admin": true, "permissions": ["admin"] })
        )
    );
    let new = json!({ "user": { "name": ADMIN }, "secret": { "password": USER_PASSWORD } });
    let (status, _) = client.json("POST", "/users", &new).await;
    assert_eq!(status, 409);
    for (method, path, body) in [
        ("DELETE", path.clone(), Value::Null),
        ("PUT", format!("{path}/permissions"), json!([])),
        (
            "PUT",
            format!("{path}/password"),
            json!({ "password": "12345678" }),
        ),
    ] {
        let (status, problem) = client.json(method, &path, &body).await;
        assert_eq!(
            (status, &problem["detail"]),
            (
                403,
                &json!("the default admin is changed in the configuration only")
            )
        );
    }
}

#[tokio::test]
async fn a_reset_leaves_the_default_admin_alone() {
    let client = start().await;
    let token = client.user("u", &["search"]).await;
    let second = client.user("second admin", &["admin"]).await;
    let artifact = json!({ "url": "https://example.com/a" });
    client.json("POST", "/artifact/model", &artifact).await;
    let reset = client.status(Some(&second), "DELETE", "/reset", "").await;
    assert_eq!(reset, 200);
    for token in [&token, &second] {
        let status = client.status(Some(token), "POST", "/artifacts", "[]").await;
        assert_eq!(status, 403);
    }
    let everything = json!([{ "name": "*" }]);
    let found = client.json("POST", "/artifacts", &everything).await;
    assert_eq!(found, (200, json!([])));
    let (_, users) = client.json("GET", "/users", &Value::Null).await;
    assert_eq!(users.as_array().unwrap().len(), 1);
    log_in(&client.router, ADMIN, PASSWORD).await;
}

#[tokio::test]
async fn bad_input_about_users_is_the_clients_mistake() {
    let client = start().await;
    client.user("u", &[]).await;
    let long = "x".repeat(300);
    let user = |name: &str, password: &str, permissions: Value| {
        json!({ "user": { "name": name }, "secret": { "password": password }, "permissions": permissions })
            .to_string()
    };
    let good = json!([]);
    for (method, path, body) in [
        ("POST", "/users", String::new()),
        ("POST", "/users", "{}".to_owned()),
        ("POST", "/users", user("", "12345678", good.clone())),
        ("POST", "/users", user("  ", "12345678", good.clone())),
        ("POST", "/users", user("a\nb", "12345678", good.clone())),
        ("POST", "/users", user(&long, "12345678", good.clone())),
        ("POST", "/users", user("v", "1234567", good.clone())),
        ("POST", "/users", user("v", &long.repeat(4), good)),
        ("POST", "/users", user("v", "12345678", json!("search"))),
        ("POST", "/users", user("v", "12345678", json!(["fly"]))),
        ("POST", "/users", user("v", "12345678", json!([7]))),
        (
            "POST",
            "/users",
            user("v", "12345678", json!({ "can_fly": false })),
        ),
        (
            "POST",
            "/users",
            user("v", "12345678", json!({ "can_search": "yes" })),
        ),
        ("PUT", "/users/u/permissions", String::new()),
        (
            "PUT",
            "/users/u/permissions",
            "{\"permissions\": 7}".to_owned(),
        ),
        ("PUT", "/users/u/permissions", "[null]".to_owned()),
        ("PUT", "/users/u/password", "{}".to_owned()),
        ("PUT", "/users/u/password", "\"12345678\"".to_owned()),
        (
            "PUT",
            "/users/u/password",
            r#"{"password": "short"}"#.to_owned(),
        ),
        (
            "PUT",
            "/users/u/password",
            r#"{"password": 12345678}"#.to_owned(),
        ),
        ("GET", "/users/%00", String::new()),
        ("GET", "/users/%FF", String::new()),
        ("DELETE", "/users/%0a", String::new()),
        ("GET", "/users?limit=0", String::new()),
        ("GET", "/users?limit=101", String::new()),
        ("GET", "/users?limit=x", String::new()),
        ("GET", "/users?offset=%20", String::new()),
        ("GET", "/users?offset=%C3%BC", String::new()),
    ] {
        let sent = request(method, path, Some(&client.admin), &body);
        let answer = client.answer(sent).await;
        assert_eq!(answer.status(), 400, "{method} {path} {body}");
        let kind = &answer.headers()["content-type"];
        assert_eq!(kind, "application/problem+json", "{method} {path} {body}");
    }
    // Wherever a place comes from, it is only a place.
    let far = client.json("GET", "/users?offset=zzz/../x", &Value::Null);
    assert_eq!(far.await, (200, json!([])));
}

#[tokio::test]
async fn names_of_any_characters_are_the_users_they_name() {
    let client = start().await;
    for name in ["ü 😀", "a/b", "..", "a%2Fb", "*", "{name}", "<b>"] {
        let token = client.user(name, &["search"]).await;
        let (_, profile) = client
            .json_for(Some(&token), "GET", "/verify-token", &Value::Null)
            .await;
        assert_eq!(profile["name"], name);
        let path = percent_encode(name.as_bytes(), NON_ALPHANUMERIC);
        let (status, profile) = client
            .json("GET", &format!("/users/{path}"), &Value::Null)
            .await;
        assert_eq!((status, &profile["name"]), (200, &json!(name)));
    }
}

#[tokio::test]
async fn a_token_of_one_instance_is_good_on_another_and_so_is_what_users_may_do() {
    let (store, _folder) = support::embedded().await;
    let (here, there) = (Client::on(&store).await, Client::on(&store).await);
    let token = here.user("u", &["search"]).await;
    for client in [&here, &there] {
        for token in [&token, &here.admin] {
            let status = client.status(Some(token), "POST", "/artifacts", "[]").await;
            assert_eq!(status, 200);
        }
        let status = client.status(Some(&token), "GET", "/artifacts/model/1", "");
        assert_eq!(status.await, 403);
    }
    let cold = Client::on(&store).await;
    log_in(&cold.router, "u", USER_PASSWORD).await;
    assert_eq!(
        cold.status(Some(&token), "POST", "/artifacts", "[]").await,
        200
    );
}

#[tokio::test]
async fn while_the_store_of_users_is_silent_answers_say_so_and_no_more() {
    let (store, _folder) = support::embedded().await;
    let token = Client::on(&store).await.user("u", &["admin"]).await;
    // An instance that knows nobody yet.
    let client = Client::on(&store).await;
    store.faults().inject(Fault::SlowDown, Target::default());
    let new = json!({ "user": { "name": "v" }, "secret": { "password": USER_PASSWORD } });
    let login = json!({ "user": { "name": "u" }, "secret": { "password": USER_PASSWORD } });
    let (admin, user) = (Some(client.admin.as_str()), Some(token.as_str()));
    let tasks = [
        (None, "PUT", "/authenticate", login),
        (user, "GET", "/verify-token", Value::Null),
        (user, "POST", "/artifacts", json!([])),
        (admin, "POST", "/users", new),
        (admin, "GET", "/users", Value::Null),
        (admin, "GET", "/users/u", Value::Null),
        (admin, "DELETE", "/users/u", Value::Null),
        (admin, "PUT", "/users/u/permissions", json!([])),
        (
            admin,
            "PUT",
            "/users/u/password",
            json!({ "password": "12345678" }),
        ),
        (admin, "DELETE", "/reset", Value::Null),
        (admin, "GET", "/audit/verify", Value::Null),
        (admin, "GET", "/artifact/model/1/audit", Value::Null),
        (
            admin,
            "POST",
            "/artifact/model",
            json!({ "url": "https://example.com/a" }),
        ),
    ]
    .map(|(token, method, path, body)| {
        let router = client.router.clone();
        let request = request(method, path, token, &body.to_string());
        tokio::spawn(async move { (method, path, answer(&router, request).await) })
    });
    for task in tasks {
        let (method, path, answer) = task.await.unwrap();
        assert_silent(&format!("{method} {path}"), answer).await;
    }
    store.faults().clear();
    let client = Client::on(&store).await;
    let status = client.status(user, "GET", "/verify-token", "").await;
    assert_eq!(status, 200, "nobody was locked out");
}

/// It is 503, says when to come back, and nothing of keys, buckets and causes.
async fn assert_silent(what: &str, answer: Response<Body>) {
    assert_eq!(answer.status(), 503, "{what}");
    assert!(answer.headers().contains_key("retry-after"), "{what}");
    let text = String::from_utf8(body_of(answer).await).unwrap();
    for inner in ["users/", "audit/", "registry", "SlowDown", "S3", "bucket"] {
        assert!(!text.contains(inner), "{what}: {text}");
    }
}
