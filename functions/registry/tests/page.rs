//! The registry as people see it, in a browser that does nothing by itself.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::request::Builder;
use axum::http::{HeaderMap, Request};
use lambda_http::tower::ServiceExt as _;
use registry::access::password::Password;
use registry::access::settings::{ADMIN_NAME, ADMIN_PASSWORDS, Settings as AccessSettings};
use registry::access::user::Permission;
use registry::access::{Caller, NewUser};
use registry::backend::Backend;
use registry::http::router;
use registry::storage::{Chain, Storage};
use serde_json::{Value, json};
use shared::config::Env;
use shared::s3::Settings;
use url::form_urlencoded::Serializer;

/// A name that would do something if it were not escaped.
const HOSTILE: &str = "\"><script>alert('name')</script><img src=x onerror=alert(1)>";
const PASSWORD: &str = "a password of a test";

/// Sees pages of a registry whose store is in memory.
struct Browser {
    router: Router,
    backend: Arc<Backend>,
    /// How the registry is reached.
    host: &'static str,
    cookie: Option<String>,
}

/// What came back.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

#[tokio::test]
async fn strangers_see_the_login_and_the_status_and_nothing_else() {
    let browser = start().await;
    browser
        .put("1", "a-secret-model", "model", &json!({}))
        .await;
    for (path, to) in [
        ("/", "./login"),
        ("/?q=secret&by=text", "./login?to=%3Fq%3Dsecret%26by%3Dtext"),
        ("/view/1", "../login?to=view%2F1"),
        ("/view/2", "../login?to=view%2F2"),
        ("/view/1/history", "../../login?to=view%2F1%2Fhistory"),
    ] {
        let answer = browser.get(path).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, to),
            "{path}"
        );
        assert_eq!(answer.body, "", "{path}");
    }
    for path in ["/login", "/login?to=view%2F1", "/status", "/nowhere"] {
        let answer = browser.get(path).await;
        assert!(
            answer.status < 500 && !answer.body.contains("secret"),
            "{path}"
        );
        assert!(
            !answer.body.contains("Log out") && answer.body.contains(">Log in</a>"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_login_leads_to_the_wanted_page_with_a_cookie_that_only_this_site_sends() {
    for (host, cookie) in [
        (
            "127.0.0.1:9010",
            "holdfast=TOKEN; Max-Age=36000; Path=/; HttpOnly; SameSite=Strict",
        ),
        (
            "registry.example.com",
            "__Host-holdfast=TOKEN; Max-Age=36000; Path=/; HttpOnly; SameSite=Strict; Secure",
        ),
    ] {
        let mut browser = start().await;
        browser.host = host;
        browser.put("1", "bert", "dataset", &json!({})).await;
        let form = browser.get("/login?to=view%2F1").await;
        assert!(
            form.body
                .contains("<input type=\"hidden\" name=\"to\" value=\"view/1\">")
        );
        let answer = browser
            .log_in_to("view/1", ADMIN_NAME, ADMIN_PASSWORDS[0])
            .await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, "./view/1")
        );
        let given = answer.header("set-cookie");
        let (before, rest) = given.split_once('=').unwrap();
        let (token, rest) = rest.split_once(';').unwrap();
        assert_eq!(format!("{before}=TOKEN;{rest}"), cookie);
        assert!(
            token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        );

        browser.keep(&answer);
        let page = browser.get("/view/1").await;
        assert_eq!(page.status, 200);
        assert!(
            page.body
                .contains(&format!("Logged in as </span><bdi>{ADMIN_NAME}</bdi>"))
        );
        assert_eq!(
            browser.get("/login?to=status").await.header("location"),
            "./status"
        );

        let left = browser.post("/logout", &[]).await;
        assert_eq!((left.status, left.header("location")), (303, "./login"));
        assert!(
            left.header("set-cookie")
                .starts_with(&format!("{before}=; Max-Age=0; Path=/;"))
        );
    }
}

#[tokio::test]
async fn nobody_is_sent_to_another_site_after_a_login() {
    let mut browser = start().await;
    for to in [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "view/1\r\nx: y",
        "javascript:alert(1)",
    ] {
        let answer = browser.log_in_to(to, ADMIN_NAME, ADMIN_PASSWORDS[0]).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, "./"),
            "{to}"
        );
        browser.cookie = None;
        let query = Serializer::new(String::new())
            .append_pair("to", to)
            .finish();
        let form = browser.get(&format!("/login?{query}")).await;
        assert!(form.body.contains("name=\"to\" value=\"\""), "{to}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_and_many_of_them_must_wait() {
    let browser = start().await;
    for attempt in 0..10 {
        let answer = browser
            .log_in_to("status", "\"><b>somebody", "wrong password")
            .await;
        assert_eq!(answer.status, 401, "{attempt}");
        assert!(answer.body.contains("The name or the password is wrong."));
        assert!(
            answer
                .body
                .contains("value=\"&quot;&gt;&lt;b&gt;somebody\"")
        );
        assert!(!answer.body.contains("wrong password\""));
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    let answer = browser
        .log_in_to("", "\"><b>somebody", "wrong password")
        .await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "2"));
    assert!(answer.body.contains("Too many failed logins"));
    // Others are not in their way, and what is no form is the client's mistake.
    assert_eq!(
        browser
            .log_in_to("", ADMIN_NAME, ADMIN_PASSWORDS[0])
            .await
            .status,
        303
    );
    assert_eq!(browser.post("/login", &[("name", "x")]).await.status, 422);
}

#[tokio::test]
async fn forms_of_other_sites_do_nothing() {
    let browser = start().await;
    let form = [("name", ADMIN_NAME), ("password", ADMIN_PASSWORDS[0])];
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("x-nothing", "at all"),
    ] {
        for path in ["/login", "/logout"] {
            let request = browser.form(path).header(name, value);
            let answer = browser.send(request, &form).await;
            assert_eq!(answer.status, 403, "{path} {name} {value}");
            assert!(answer.body.starts_with("<!DOCTYPE html>"));
            assert!(!answer.headers.contains_key("set-cookie"));
        }
    }
    let request = browser
        .form("/login")
        .header("origin", "http://127.0.0.1:9010");
    assert_eq!(browser.send(request, &form).await.status, 303);
}

#[tokio::test]
async fn the_api_takes_no_cookie() {
    let mut browser = start().await;
    browser.put("1", "bert", "model", &json!({})).await;
    browser.log_in().await;
    assert_eq!(browser.get("/view/1").await.status, 200);
    for (method, path) in [
        ("GET", "/artifacts/model/1"),
        ("GET", "/artifact/model/1/rate"),
        ("POST", "/artifacts"),
        ("GET", "/users"),
        ("GET", "/verify-token"),
        ("DELETE", "/artifacts/model/1"),
        ("DELETE", "/reset"),
    ] {
        let request = browser
            .request(method, path)
            .header("sec-fetch-site", "same-origin");
        assert_eq!(
            browser.send(request, &[]).await.status,
            403,
            "{method} {path}"
        );
    }
    let page = browser.get("/view/1").await;
    assert_eq!(page.status, 200);
    assert!(!page.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn pages_run_no_script_are_kept_by_nobody_and_link_relatively() {
    let mut browser = start().await;
    browser.put("1", HOSTILE, "model", &hostile()).await;
    browser.log_in().await;
    for (path, status) in [
        ("/", 200),
        ("/?q=script", 200),
        ("/?by=regex&q=(", 400),
        ("/?type=tool", 400),
        ("/?after=a/b", 400),
        ("/?q=%FF", 400),
        ("/view/1", 200),
        ("/view/1/history", 200),
        ("/view/1/history?after=x", 400),
        ("/view/2", 404),
        ("/view/%FF", 400),
        ("/view/a%20b", 400),
        ("/view/1/elsewhere", 404),
        ("/status", 200),
        ("/<script>alert(1)</script>", 404),
    ] {
        let path = path.replace('<', "%3C").replace('>', "%3E");
        let answer = browser.get(&path).await;
        assert_eq!(answer.status, status, "{path}");
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            (
                "content-security-policy",
                "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            ),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), value, "{path} {name}");
        }
        let body = &answer.body;
        assert!(
            body.starts_with("<!DOCTYPE html><html lang=\"en\">"),
            "{path}"
        );
        assert_eq!(body.matches("<h1>").count(), 1, "{path}");
        for refused in [
            "<script",
            "<img",
            " style=",
            "href=\"/",
            "action=\"/",
            "href=\"javascript",
            "href=\"data",
        ] {
            assert!(!body.contains(refused), "{path} has {refused}");
        }
    }
}

#[tokio::test]
async fn what_strangers_wrote_is_text() {
    let mut browser = start().await;
    browser.put("1", HOSTILE, "model", &hostile()).await;
    browser.log_in().await;
    let escaped = "&quot;&gt;&lt;script&gt;alert('name')&lt;/script&gt;";
    let page = browser.get("/view/1").await.body;
    assert!(page.contains(&format!("<h1><bdi>{escaped}")));
    assert!(page.contains("<bdi>javascript:alert('url')</bdi>"));
    assert!(page.contains("&lt;b&gt;license&lt;/b&gt;"));
    assert!(page.contains("&lt;script&gt;alert('readme')&lt;/script&gt;"));
    // The parent is drawn, and listed.
    assert_eq!(page.matches("evil/&lt;parent&gt;").count(), 0); // not the name of a repository, so nobody's parent
    let found = browser.get("/?q=script").await.body;
    assert!(found.contains(&format!("<a href=\"./view/1\"><bdi>{escaped}")));
    assert!(found.contains("value=\"script\""));
    let typed = browser.get("/?q=%22%3E%3Cscript%3E").await.body;
    assert!(typed.contains("value=\"&quot;&gt;&lt;script&gt;\""));
}

#[tokio::test]
async fn artifacts_are_found_by_text_by_name_and_by_pattern() {
    let mut browser = start().await;
    browser
        .put("1000000001", "BERT-base", "model", &json!({}))
        .await;
    browser
        .put("1000000002", "corpus", "dataset", &readme("for bert"))
        .await;
    browser.put("1000000003", "a.b", "code", &json!({})).await;
    browser.put("1000000004", "axb", "code", &json!({})).await;
    browser.log_in().await;
    for (query, count, ids) in [
        ("", "4 artifacts", &[1, 2, 3, 4][..]),
        ("q=bert", "2 artifacts", &[1, 2]),
        ("q=++bert++&by=text&type=", "2 artifacts", &[1, 2]),
        ("q=bert&type=dataset", "1 dataset", &[2]),
        ("type=code", "2 artifacts of code", &[3, 4]),
        ("q=a.b", "1 artifact", &[3]),
        ("q=a.b&by=regex", "2 artifacts", &[3, 4]),
        ("q=%5EBERT-base%24&by=regex", "1 artifact", &[1]),
        ("q=bert-base&by=name", "No artifacts found.", &[]),
        ("q=BERT-base&by=name", "1 artifact", &[1]),
        ("q=nothing&type=model", "No models found.", &[]),
    ] {
        let answer = browser.get(&format!("/?{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        assert!(
            answer
                .body
                .contains(&format!("role=\"status\">{count}</p>")),
            "{query}"
        );
        let found: Vec<u64> = (1..=4)
            .filter(|number| answer.body.contains(&format!("view/100000000{number}\"")))
            .collect();
        assert_eq!(found, ids, "{query}");
    }
    let refused = browser.get("/?q=(&by=regex").await;
    assert!(
        refused
            .body
            .contains("The regular expression is not valid: unclosed group.")
    );
    assert!(
        refused
            .body
            .contains("aria-invalid=\"true\" aria-describedby=\"refusal\"")
    );
    let refused = browser.get("/?q=*&by=name").await;
    assert_eq!(refused.status, 400);
    assert_eq!(browser.get("/?q=x&by=magic").await.status, 400);
}

#[tokio::test]
async fn results_come_in_pages() {
    let mut browser = start().await;
    browser.log_in().await;
    assert!(
        browser
            .get("/")
            .await
            .body
            .contains("There are no artifacts in this registry yet.")
    );
    for number in 0..120 {
        let id = format!("1000000{number:03}");
        browser
            .put(&id, &format!("sample {number}"), "dataset", &json!({}))
            .await;
    }
    for (query, counts) in [
        (
            "",
            [
                "50 artifacts on this page",
                "50 artifacts on this page",
                "20 artifacts on this page",
            ],
        ),
        (
            "q=sample&type=dataset",
            [
                "1 to 50 of 120 datasets",
                "51 to 100 of 120 datasets",
                "101 to 120 of 120 datasets",
            ],
        ),
    ] {
        let (mut path, mut seen) = (format!("/?{query}"), 0);
        for (number, count) in counts.into_iter().enumerate() {
            let page = browser.get(&path).await.body;
            assert!(page.contains(count), "{path}");
            assert_eq!(page.contains(">First page</a>"), number > 0, "{path}");
            seen += page.matches("view/1000000").count();
            let next = page
                .split("href=\"./")
                .find(|link| link.contains("Next page"));
            match next {
                Some(next) => {
                    path = format!("/{}", next.split('"').next().unwrap().replace("&amp;", "&"));
                }
                None => assert_eq!(number, 2),
            }
        }
        assert_eq!(seen, 120);
    }
}

#[tokio::test]
async fn a_model_is_shown_with_its_rating_its_lineage_and_its_size() {
    let mut browser = start().await;
    for (id, name, parents) in [
        ("1", "base", &[][..]),
        ("2", "distilled", &["acme/base"]),
        ("3", "tuned", &["acme/base"]),
        (
            "4",
            "merged",
            &["acme/distilled", "acme/tuned", "acme/unknown"],
        ),
        ("5", "quantized", &["acme/merged"]),
    ] {
        browser.put(id, name, "model", &hub(name, parents)).await;
    }
    browser.log_in().await;
    let page = browser.get("/view/4").await.body;
    assert_eq!(page.matches("<rect class=\"track\"").count(), 12);
    assert!(page.contains("aria-label=\"Bars of the scores: Net score 0."));
    assert_eq!(page.matches("<details><summary>").count(), 12);
    assert!(page.contains("<p>The rule: suitability for a product under LGPL-2.1"));
    // Five models and one that is not registered; six relations.
    assert_eq!(page.matches("<rect class=\"other\"").count(), 4);
    assert_eq!(page.matches("<rect class=\"own\"").count(), 1);
    assert_eq!(page.matches("<rect class=\"outside\"").count(), 1);
    assert_eq!(page.matches("<path class=\"line\"").count(), 6);
    assert!(page.contains("<strong><bdi>merged</bdi></strong> (this model), made from"));
    assert!(
        page.contains(
            "<a href=\"../view/5\"><bdi>quantized</bdi></a>, made from <bdi>merged</bdi>"
        )
    );
    assert!(page.contains("<bdi>Apache-2.0</bdi>, permissive"));
    // Its own size, and with base, distilled and tuned.
    assert!(page.contains("100.0 MB") && page.contains("400.0 MB"));

    let history = browser.get("/view/4/history").await.body;
    assert!(history.contains("Looked at its rating"));
    let again = browser.get("/view/4/history").await.body;
    assert!(again.contains("Looked at its history"));
}

#[tokio::test]
async fn people_see_what_they_may() {
    let mut browser = start().await;
    browser.put("1", "bert", "dataset", &json!({})).await;
    for (permission, first, view, history) in [
        (Permission::Search, 200, 403, 200),
        (Permission::Download, 403, 200, 403),
        (Permission::Upload, 403, 403, 403),
    ] {
        let name = permission.as_str();
        browser.register(name, permission).await;
        browser.cookie = None;
        let answer = browser.log_in_to("", name, PASSWORD).await;
        browser.keep(&answer);
        for (path, status) in [
            ("/", first),
            ("/view/1", view),
            ("/view/1/history", history),
        ] {
            let answer = browser.get(path).await;
            assert_eq!(answer.status, status, "{name} {path}");
            let lacks = answer.body.contains("This user lacks the permission");
            assert_eq!(lacks, status == 403, "{name} {path}");
            assert!(
                !answer.body.contains("href=\"../view/1/history\""),
                "{name} {path}"
            );
        }
    }
}

#[tokio::test]
async fn a_session_ends_with_its_token() {
    let mut browser = start().await;
    browser.register("somebody", Permission::Search).await;
    let answer = browser.log_in_to("", "somebody", PASSWORD).await;
    browser.keep(&answer);
    assert_eq!(browser.get("/").await.status, 200);
    let access = &browser.backend.access;
    let other = Password::chosen("another password").unwrap();
    let name = "somebody".parse().unwrap();
    access
        .set_password(&admin(&browser.backend).await, &name, other)
        .await
        .unwrap();
    let sent = browser.get("/?q=a").await;
    assert_eq!(
        (sent.status, sent.header("location")),
        (303, "./login?to=%3Fq%3Da")
    );
    let form = browser.get("/login?to=%3Fq%3Da").await;
    assert!(form.body.contains("Your session has ended."));
    for cookie in [
        "holdfast=",
        "holdfast=x",
        "holdfast=bearer x; a=b",
        "other=x",
        ";;=",
        "__Host-holdfast=x",
    ] {
        browser.cookie = Some(cookie.to_owned());
        assert_eq!(browser.get("/").await.status, 303, "{cookie}");
    }
}

#[tokio::test]
async fn whoever_comes_from_another_site_may_be_logged_in_already() {
    let browser = start().await;
    let from = |site: &'static str| {
        browser
            .request("GET", "/login?to=view%2F1")
            .header("sec-fetch-site", site)
    };
    let told = "<a href=\"./view/1\">go on to the page</a>";
    assert!(
        browser
            .send(from("cross-site"), &[])
            .await
            .body
            .contains(told)
    );
    assert!(
        !browser
            .send(from("same-origin"), &[])
            .await
            .body
            .contains(told)
    );
}

#[tokio::test]
async fn programs_are_told_what_there_is() {
    let browser = start().await;
    for accept in [
        "application/json",
        "*/*",
        "application/problem+json, application/json;q=0.5",
    ] {
        let request = Request::get("/").header("accept", accept);
        let answer = browser.send(request, &[]).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "application/json"),
            "{accept}"
        );
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("vary"), "Accept, Cookie");
        let told: Value = serde_json::from_str(&answer.body).unwrap();
        let links = json!({ "health": "/health", "tracks": "/tracks", "openapi": "/openapi.json" });
        assert_eq!(told["links"], links);
    }
    for (method, path, status) in [("POST", "/", 403), ("GET", "/nowhere", 404)] {
        let answer = browser
            .send(Request::builder().method(method).uri(path), &[])
            .await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, "application/problem+json")
        );
    }
}

#[tokio::test]
async fn a_wrong_method_is_a_page_that_says_so() {
    let browser = start().await;
    let answer = browser.post("/status", &[]).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET,HEAD"));
    assert!(answer.body.contains("<h1>Method Not Allowed</h1>"));
    let answer = browser.get("/logout").await;
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
}

#[tokio::test]
async fn what_pages_load_may_be_kept_for_good() {
    let browser = start().await;
    let page = browser.get("/login").await.body;
    for (end, kind) in [
        (".css", "text/css; charset=utf-8"),
        (".svg", "image/svg+xml"),
    ] {
        let links = page
            .split("href=\"./page/")
            .filter_map(|link| link.split('"').next());
        let file = links.into_iter().find(|file| file.ends_with(end)).unwrap();
        let answer = browser.get(&format!("/page/{file}")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, kind));
        assert_eq!(
            answer.header("cache-control"),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let known = browser.request("GET", &format!("/page/{file}"));
        let known = known.header("if-none-match", answer.header("etag"));
        let known = browser.send(known, &[]).await;
        assert_eq!((known.status, known.body.as_str()), (304, ""));
    }
    assert_eq!(
        browser.get("/page/style-0000000000000000.css").await.status,
        404
    );
    assert_eq!(browser.get("/page/..%2Fmod.rs").await.status, 404);
}

#[tokio::test]
async fn while_the_store_is_away_pages_say_so() {
    let mut browser = start().await;
    browser.log_in().await;
    let chain = Chain {
        bucket: Some("registry".to_owned()),
        s3: Settings {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            credentials: Some(aws_credential_types::Credentials::new(
                "a", "b", None, None, "test",
            )),
            ..Settings::default()
        },
        is_production: true,
        ..Chain::default()
    };
    browser.router = router(Storage::new(chain, access()));
    for path in ["/", "/view/1"] {
        let answer = browser.get(path).await;
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (503, "10"),
            "{path}"
        );
        assert!(
            answer.body.contains("<h1>Service Unavailable</h1>"),
            "{path}"
        );
    }
    let status = browser.get("/status").await;
    assert_eq!(status.status, 200);
    assert!(
        status
            .body
            .contains("<h2>Storage</h2><p class=\"state bad\">Not working</p>")
    );
    assert_eq!(
        browser
            .log_in_to("", ADMIN_NAME, ADMIN_PASSWORDS[0])
            .await
            .status,
        503
    );
    browser.cookie = None;
    assert_eq!(browser.get("/login").await.status, 200);
    assert_eq!(browser.get("/").await.status, 303);
}

async fn start() -> Browser {
    let storage = Storage::new(Chain::default(), access());
    let backend = storage.backend().await.unwrap();
    Browser {
        router: router(storage),
        backend,
        host: "127.0.0.1:9010",
        cookie: None,
    }
}

/// The admin of the contract, and a key that all instances of a test share.
fn access() -> AccessSettings {
    let key = (
        "JWT_SECRET_KEY",
        "a key of a test, of many more than 32 bytes",
    );
    AccessSettings::from_env(&mut Env::new([key]), false).unwrap()
}

async fn admin(backend: &Backend) -> Caller {
    let token = backend
        .access
        .authenticate(ADMIN_NAME, ADMIN_PASSWORDS[0])
        .await
        .unwrap();
    backend.access.check(Some(token.as_str())).await.unwrap()
}

/// What the Hub would have said of a model of 100 MB.
fn hub(name: &str, parents: &[&str]) -> Value {
    let id = format!("acme/{name}");
    let card = json!({
        "asked": id, "id": id, "bytes": 100 << 20, "card_data": { "license": "apache-2.0", "base_model": parents },
    });
    json!({ "url": format!("https://huggingface.co/{id}"), "evidence": { "hub": card } })
}

fn readme(text: &str) -> Value {
    json!({ "hf_data": [{ "readme_text": text }] })
}

fn hostile() -> Value {
    let card = json!({
        "asked": "evil/model", "id": "evil/model",
        "card_data": { "license": "<b>license</b>", "base_model": ["evil/<parent>"] },
        "pipeline_tag": "<script>alert('task')</script>",
        "library_name": "\" onmouseover=\"alert(1)",
    });
    json!({
        "url": "javascript:alert('url')",
        "hf_data": [{ "readme_text": "<script>alert('readme')</script>\n</pre></div>" }],
        "evidence": { "hub": card },
        "created_at": "<script>yesterday",
        "created_by": "<script>somebody</script>",
    })
}

impl Browser {
    /// Puts an artifact with an id of the test's choice, as somebody else may have written it.
    async fn put(&self, id: &str, name: &str, kind: &str, told: &Value) {
        let url = format!("https://example.com/{id}");
        let mut record = json!({
            "metadata": { "id": id, "name": name, "type": kind },
            "data": { "url": told.get("url").cloned().unwrap_or(url.into()) },
        });
        if let Some(data) = told.get("hf_data") {
            record["data"]["hf_data"] = data.clone();
        }
        for field in ["evidence", "created_at", "created_by"] {
            if let Some(value) = told.get(field) {
                record[field] = value.clone();
            }
        }
        let key = format!("artifacts/{id}/metadata.json");
        let bytes = record.to_string().into_bytes();
        self.backend
            .registry
            .objects()
            .create(&key, bytes)
            .await
            .unwrap();
    }

    async fn register(&self, name: &str, permission: Permission) {
        let new = NewUser {
            name: name.parse().unwrap(),
            password: Password::chosen(PASSWORD).unwrap(),
            permissions: [permission].into_iter().collect(),
        };
        let admin = admin(&self.backend).await;
        self.backend.access.register(&admin, new).await.unwrap();
    }

    async fn log_in(&mut self) {
        let answer = self.log_in_to("", ADMIN_NAME, ADMIN_PASSWORDS[0]).await;
        self.keep(&answer);
    }

    async fn log_in_to(&self, to: &str, name: &str, password: &str) -> Answer {
        self.post(
            "/login",
            &[("name", name), ("password", password), ("to", to)],
        )
        .await
    }

    /// Keeps the cookie of an answer.
    fn keep(&mut self, answer: &Answer) {
        let cookie = answer.header("set-cookie").split(';').next().unwrap();
        self.cookie = Some(cookie.to_owned());
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path), &[]).await
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let request = self.form(path).header("sec-fetch-site", "same-origin");
        self.send(request, form).await
    }

    fn form(&self, path: &str) -> Builder {
        let request = self.request("POST", path);
        request.header("content-type", "application/x-www-form-urlencoded")
    }

    fn request(&self, method: &str, path: &str) -> Builder {
        let mut request = Request::builder().method(method).uri(path);
        request = request
            .header("host", self.host)
            .header("accept", "text/html,*/*;q=0.8");
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        request
    }

    async fn send(&self, request: Builder, form: &[(&str, &str)]) -> Answer {
        let body = Serializer::new(String::new()).extend_pairs(form).finish();
        let request = request.body(Body::from(body)).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body).unwrap(),
        }
    }
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }
}
