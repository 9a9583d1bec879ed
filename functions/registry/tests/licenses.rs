//! Licence checks as a client of HTTP sees them.

mod support;

use std::time::Duration;

use registry::storage::{Chain, Storage};
use serde_json::{Value, json};
use support::api::{Api, BERT, break_hub, put_bert, put_child, settings};
use support::client::access;
use testkit::Reply;

#[tokio::test]
async fn a_licence_check_answers_yes_or_no_and_why() {
    let api = Api::start().await;
    let model = async |name: &str, license: &str| {
        let entry = json!({"cardData": {"license": license}});
        api.sources.model(name, &entry, "", &json!({}));
        api.create("model", &format!("https://huggingface.co/{name}"))
            .await
    };
    let open = model("a/open", "apache-2.0").await;
    let closed = model("a/closed", "cc-by-nc-4.0").await;
    put_child(&api.sources, "a/silent", &[], 1);
    let silent = api.create("model", "https://huggingface.co/a/silent").await;
    for (name, spdx) in [
        ("mit", json!("MIT")),
        ("gpl", json!("GPL-3.0")),
        ("none", Value::Null),
    ] {
        let entry = json!({"full_name": format!("o/{name}"), "license": {"spdx_id": spdx}});
        api.sources
            .repository(&format!("o/{name}"), &json!({ "": entry }));
    }
    for (id, repository, compatible) in [
        (&open, "mit", true),
        (&open, "gpl", false),
        (&open, "none", false),
        (&closed, "mit", false),
        (&silent, "mit", false),
    ] {
        for form in ["", ".git", "/tree/main"] {
            let sent = json!({ "github_url": format!("https://github.com/o/{repository}{form}") });
            for path in [
                "/artifact/model/{}/license-check",
                "/models/{}/license-check",
            ] {
                let path = path.replace("{}", id);
                let answer = api.send("POST", &path, &sent).await;
                assert_eq!(answer, (200, json!(compatible)), "{repository}{form}");
                let (status, why) = api
                    .send("POST", &format!("{path}?explain=true"), &sent)
                    .await;
                assert_eq!((status, &why["compatible"]), (200, &json!(compatible)));
                assert!(why["explanation"].as_str().unwrap().contains("fine-tune"));
                assert!(
                    why["asked"]
                        .as_str()
                        .unwrap()
                        .ends_with(&format!("/repos/o/{repository}"))
                );
            }
        }
    }
    let path = format!("/artifact/model/{open}/license-check");
    for (sent, status) in [
        (json!({}), 400),
        (json!({ "github_url": null }), 400),
        (json!({ "github_url": 5 }), 400),
        (json!({ "github_url": "" }), 400),
        (json!({ "github_url": "not a url" }), 400),
        (json!({ "github_url": "https://gitlab.com/o/mit" }), 400),
        (json!({ "github_url": "https://github.com/o" }), 400),
        (json!({ "github_url": "http://127.0.0.1/o/mit" }), 400),
        (json!({ "github_url": "https://github.com/o/missing" }), 404),
    ] {
        assert_eq!(api.send("POST", &path, &sent).await.0, status, "{sent}");
    }
}

#[tokio::test]
async fn while_github_does_not_answer_files_and_the_registry_do() {
    let api = Api::start().await;
    put_bert(&api.sources);
    let id = api.create("model", BERT).await;
    let check = async |api: &Api, repository: &str| {
        let path = format!("/models/{id}/license-check?explain=true");
        let sent = json!({ "github_url": format!("https://github.com/{repository}") });
        api.send("POST", &path, &sent).await
    };
    for reply in [
        Reply::RateLimited(403),
        Reply::RateLimited(429),
        Reply::Status(503),
        Reply::Cut,
        Reply::Gated(403),
        Reply::Text("no JSON".to_owned()),
    ] {
        api.sources.put("/github/repos/o/limited", reply.clone());
        let (status, problem) = check(&api, "o/limited").await;
        assert_eq!(status, 502, "{reply:?}: {problem}");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .starts_with("the licence of the repository")
        );
    }
    // What was found out for the model is remembered, and so is what is registered.
    for name in ["Google-Research/BERT", "google-research/bert"] {
        let path = format!("/github/repos/{name}");
        api.sources.put(path, Reply::RateLimited(403));
        let (status, why) = check(&api, name).await;
        let answer = (status, &why["compatible"], why.get("asked"));
        assert_eq!(answer, (200, &json!(true), None), "{name}");
    }
    let entry = json!({"full_name": "o/limited", "license": {"spdx_id": "GPL-3.0"}});
    api.sources.repository("o/limited", &json!({ "": entry }));
    api.create("code", "https://github.com/o/limited").await;
    api.sources
        .put("/github/repos/o/limited", Reply::RateLimited(403));
    let (status, why) = check(&api, "o/limited").await;
    assert_eq!(
        (status, &why["compatible"], why.get("asked")),
        (200, &json!(false), None)
    );
}

#[tokio::test]
async fn a_github_that_never_answers_is_waited_for_no_longer_than_is_told() {
    let api = Api::with(|settings| settings.patience = Duration::from_millis(200)).await;
    let id = api.create("model", "https://example.com/model").await;
    api.sources.put("/github/repos/o/slow", Reply::Never);
    let sent = json!({ "github_url": "https://github.com/o/slow" });
    let path = format!("/models/{id}/license-check");
    let (status, problem) = api.send("POST", &path, &sent).await;
    let detail = "the licence of the repository could not be found out: no answer in time";
    assert_eq!((status, &problem["detail"]), (502, &json!(detail)));
}

#[tokio::test]
async fn a_licence_file_speaks_where_the_api_had_enough() {
    let sources = testkit::Upstream::start().await;
    let mut settings = settings(&sources);
    settings.upstream.github_token = Some("github-secret".parse().unwrap());
    settings.upstream.github_files = Some(sources.raw().parse().unwrap());
    let api = Api::on(Storage::new(Chain::default(), access()), &settings, sources).await;
    put_bert(&api.sources);
    let id = api.create("model", BERT).await;
    api.sources
        .put("/github/repos/o/r", Reply::RateLimited(403));
    let path = format!("/models/{id}/license-check");
    let sent = json!({ "github_url": "https://github.com/o/r" });
    assert_eq!(
        api.send("POST", &path, &sent).await.0,
        502,
        "there is no file"
    );
    let text = Reply::Text("Apache License\nVersion 2.0, January 2004".to_owned());
    api.sources.put("/raw/o/r/HEAD/LICENSE.txt", text);
    assert_eq!(api.send("POST", &path, &sent).await, (200, json!(true)));
    let text = Reply::Text("GNU GENERAL PUBLIC LICENSE\nVersion 3".to_owned());
    api.sources.put("/raw/o/r/HEAD/LICENSE", text);
    let (_, why) = api.send("POST", &format!("{path}?explain=1"), &sent).await;
    assert_eq!(why["compatible"], false);
    assert!(
        why["asked"]
            .as_str()
            .unwrap()
            .ends_with("/raw/o/r/HEAD/LICENSE")
    );
    // A repository that does not exist is not looked for among the files.
    let missing = json!({ "github_url": "https://github.com/o/missing" });
    assert_eq!(api.send("POST", &path, &missing).await.0, 404);
    for asked in api.sources.asked() {
        let is_file = asked.path.starts_with("/raw/");
        assert!(!is_file || asked.authorization.is_none(), "{}", asked.path);
        assert!(!asked.path.starts_with("/raw/o/missing"));
    }
}

#[tokio::test]
async fn a_model_whose_source_did_not_answer_has_no_licence_to_check() {
    let api = Api::start().await;
    break_hub(&api.sources, "a/b", &Reply::RateLimited(429));
    let id = api.create("model", "https://huggingface.co/a/b").await;
    let entry = json!({"full_name": "o/mit", "license": {"spdx_id": "MIT"}});
    api.sources.repository("o/mit", &json!({ "": entry }));
    let sent = json!({ "github_url": "https://github.com/o/mit" });
    let path = format!("/models/{id}/license-check");
    let (status, problem) = api.send("POST", &path, &sent).await;
    assert_eq!(status, 502, "{problem}");
    let (status, graph) = api.get(&format!("/models/{id}/lineage")).await;
    assert_eq!((status, &graph["edges"]), (200, &json!([])));
    let (status, costs) = api.get(&format!("/models/{id}/cost")).await;
    assert_eq!((status, costs), (200, json!({ &id: {"total_cost": 0.0} })));
}
