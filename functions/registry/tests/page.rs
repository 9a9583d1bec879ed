//! The registry as people see it, in a browser that does nothing by itself.

mod support;

use axum::http::Request;
use registry::http::router;
use registry::storage::{Chain, Storage};
use serde_json::{Value, json};
use shared::s3::{S3, Settings};
use support::browser::{PUBLIC_NAME, PUBLIC_PASSWORDS, access, on, start};

/// A name that would do something if it were not escaped.
const HOSTILE: &str = "\"><script>alert('name')</script><img src=x onerror=alert(1)>";

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
    assert!(page.contains(">100.0<") && page.contains(">400.0<"));

    let history = browser.get("/view/4/history").await.body;
    assert!(history.contains("Looked at its rating"));
    let again = browser.get("/view/4/history").await.body;
    assert!(again.contains("Looked at its history"));
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
            .log_in_to("", PUBLIC_NAME, PUBLIC_PASSWORDS[0])
            .await
            .status,
        503
    );
    browser.cookie = None;
    assert_eq!(browser.get("/login").await.status, 200);
    assert_eq!(browser.get("/").await.status, 303);
}

#[tokio::test]
async fn files_are_listed_and_got_from_s3() {
    let (store, _folder) = support::embedded().await;
    let chain = Chain {
        bucket: Some(support::BUCKET.to_owned()),
        is_production: true,
        ..Chain::default()
    };
    let s3 = S3::with_client(store.client());
    let mut browser = on(Storage::with_s3(chain, access(), s3)).await;
    browser.put("1", "bert", "model", &json!({})).await;
    browser.put("2", "elsewhere", "dataset", &json!({})).await;
    for (path, bytes) in [("config.json", 10), ("data/a <b>&\".txt", 3000)] {
        let put = store.client().put_object().bucket(support::BUCKET);
        let put = put.key(format!("artifacts/1/files/{path}"));
        put.body(vec![b'x'; bytes].into()).send().await.unwrap();
    }
    for path in ["/view/1/download", "/view/1/files/config.json"] {
        assert_eq!(browser.get(path).await.status, 303, "{path}");
    }
    browser.log_in().await;
    let page = browser.get("/view/1").await.body;
    assert!(page.contains("href=\"../view/1/download\">Download</a>"));
    let odd = "../view/1/files/data/a%20%3Cb%3E%26%22%2Etxt";
    assert!(page.contains(&format!(
        "<a href=\"{odd}\"><bdi>data/a &lt;b&gt;&amp;&quot;.txt</bdi></a>"
    )));
    assert!(page.contains(">2.9 KB<") && page.contains(">10 bytes<"));
    for (path, place) in [
        (
            "/view/1/files/config.json",
            "artifacts/1/files/config.json?",
        ),
        (
            odd.trim_start_matches(".."),
            "artifacts/1/files/data/a%20%3Cb%3E%26%22.txt?",
        ),
        ("/view/2/download", "https://example.com/2"),
    ] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, 302, "{path}");
        let location = answer.header("location");
        assert!(location.contains(place), "{location}");
        assert_eq!(
            location.contains("X-Amz-Signature="),
            path.contains("files")
        );
    }
    assert_eq!(browser.get("/view/1/files/none").await.status, 404);
    assert_eq!(
        browser.get("/view/1/files/..%2F..%2Fusers").await.status,
        400
    );
    let history = browser.get("/view/1/history").await.body;
    assert_eq!(history.matches("Downloaded it").count(), 2);
    let page = browser.get("/view/2").await.body;
    assert!(page.contains("Download from its source") && !page.contains("Files"));
}

/// What the Hub would have said of a model of 100 MB.
fn hub(name: &str, parents: &[&str]) -> Value {
    let id = format!("acme/{name}");
    let card = json!({
        "asked": id, "id": id, "bytes": 100 << 20, "card_data": { "license": "apache-2.0", "base_model": parents },
    });
    json!({ "data": { "url": format!("https://huggingface.co/{id}") }, "evidence": { "hub": card } })
}

fn readme(text: &str) -> Value {
    json!({ "data": { "url": "https://example.com/readme", "hf_data": [{ "readme_text": text }] } })
}

fn hostile() -> Value {
    let card = json!({
        "asked": "evil/model", "id": "evil/model",
        "card_data": { "license": "<b>license</b>", "base_model": ["evil/<parent>"] },
        "pipeline_tag": "<script>alert('task')</script>",
        "library_name": "\" onmouseover=\"alert(1)",
    });
    json!({
        "data": {
            "url": "javascript:alert('url')",
            "hf_data": [{ "readme_text": "<script>alert('readme')</script>\n</pre></div>" }],
        },
        "evidence": { "hub": card },
        "created_at": "<script>yesterday",
        "created_by": "<script>somebody</script>",
    })
}
