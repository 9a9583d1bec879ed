//! Who may see the registry's pages, and how they log in.

mod support;

use registry::access::password::Password;
use registry::access::user::Permission;
use serde_json::json;
use support::browser::{PASSWORD, PUBLIC_NAME, PUBLIC_PASSWORDS, admin, start};
use url::form_urlencoded::Serializer;

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
            .log_in_to("view/1", PUBLIC_NAME, PUBLIC_PASSWORDS[0])
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
                .contains(&format!("Logged in as </span><bdi>{PUBLIC_NAME}</bdi>"))
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
        let answer = browser
            .log_in_to(to, PUBLIC_NAME, PUBLIC_PASSWORDS[0])
            .await;
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
    let seconds: u32 = answer.header("retry-after").parse().unwrap();
    assert!(answer.status == 429 && seconds > 0);
    assert!(answer.body.contains("Too many failed logins"));
    // Others are not in their way, and what is no form is the client's mistake.
    assert_eq!(
        browser
            .log_in_to("", PUBLIC_NAME, PUBLIC_PASSWORDS[0])
            .await
            .status,
        303
    );
    assert_eq!(browser.post("/login", &[("name", "x")]).await.status, 422);
}

#[tokio::test]
async fn forms_of_other_sites_do_nothing() {
    let browser = start().await;
    let form = [("name", PUBLIC_NAME), ("password", PUBLIC_PASSWORDS[0])];
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
    // Everybody may read what is shown to nobody in particular; who comes with a cookie is never read by others.
    assert_eq!(page.header("access-control-allow-origin"), "*");
    assert!(
        !page
            .headers
            .contains_key("access-control-allow-credentials")
    );
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
