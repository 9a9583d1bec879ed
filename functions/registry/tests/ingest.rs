//! Registering and changing artifacts whose sources answer, refuse, stall and break, as a client of HTTP sees it.

mod support;

use std::time::Duration;

use axum::http::Request;
use embedded_s3::{Fault, Target};
use registry::ingest::Threshold;
use registry::storage::{Chain, Storage};
use registry::upstream::Endpoint;
use serde_json::{Value, json};
use support::api::{Api, BERT, BERT_CODE, BERT_DATA, break_hub, put_bert, put_child, settings};
use support::client::access;
use support::{BUCKET, Break, Counter, embedded};
use testkit::Reply;
use tokio::time::sleep;

#[tokio::test]
async fn a_model_is_kept_with_what_its_sources_tell_and_found_by_its_readme() {
    let api = Api::start().await;
    put_bert(&api.sources);
    let id = api.create("model", BERT).await;
    let stored = api.stored(&id).await;
    let hub = &stored["data"]["hf_data"][0];
    assert_eq!(hub["repo_id"], "google-bert/bert-base-uncased");
    assert_eq!(hub["license"], "apache-2.0");
    assert_eq!(hub["size"], 1_416_986_679);
    assert_eq!(hub["files"][0]["path"], "model.safetensors");
    assert_eq!(hub["datasets"], json!(["bookcorpus"]));
    assert_eq!(hub["github_links"], json!([BERT_CODE]));
    assert!(hub["_source"]["fetched_at"].is_i64());
    assert_eq!(stored["evidence"]["hub"]["downloads"], 60_000_000);
    assert_eq!(stored["evidence"]["requests"][0]["outcome"], "found");
    assert!(stored["rating_snapshot"]["net_score"].as_f64() > Some(0.5));
    assert!(stored["rating_snapshot"]["explanation"]["license"]["rule"].is_string());
    let text = json!({ "regex": "Glue test results" });
    let (status, found) = api.send("POST", "/artifact/byRegEx", &text).await;
    assert_eq!((status, &found[0]["id"]), (200, &json!(id)));
}

#[tokio::test]
async fn code_and_datasets_are_kept_with_their_readmes_too() {
    let api = Api::start().await;
    put_bert(&api.sources);
    let code = api.create("code", BERT_CODE).await;
    let data = api.create("dataset", BERT_DATA).await;
    // A dataset may be a repository.
    let other = api.create("dataset", BERT_CODE).await;
    for (id, place) in [
        (&code, "/data/gh_data/readme_text"),
        (&data, "/data/hf_data/0/readme_text"),
        (&other, "/data/gh_data/readme_text"),
    ] {
        let stored = api.stored(id).await;
        let readme = stored.pointer(place).and_then(Value::as_str).unwrap();
        assert!(readme.contains("what the model was made for"));
        assert_eq!(stored.get("rating_snapshot"), None);
    }
    let text = json!({ "regex": "made for, and by whom" });
    let (_, found) = api.send("POST", "/artifact/byRegEx", &text).await;
    assert_eq!(found.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn no_failure_of_a_source_stops_a_registration_or_a_rating() {
    for reply in [
        Reply::Gated(401),
        Reply::Gated(403),
        Reply::RateLimited(429),
        Reply::Status(404),
        Reply::Status(503),
        Reply::Cut,
        Reply::Endless(17 << 20),
        Reply::Text("{\"id\":".to_owned()),
        Reply::Json(json!({"id": 5, "siblings": "many"})),
    ] {
        let api = Api::start().await;
        break_hub(&api.sources, "a/b", &reply);
        api.sources.put("/github/repos/a/b", reply.clone());
        for kind in ["model", "dataset", "code"] {
            api.create(kind, "https://huggingface.co/a/b").await;
            api.create(kind, "https://github.com/a/b").await;
        }
        let id = api.create("model", "https://www.kaggle.com/a/b").await;
        let rating = api.rate(&id).await;
        assert_eq!(rating.as_object().unwrap().len(), 26, "{reply:?}");
    }
}

#[tokio::test]
async fn a_source_that_never_answers_stops_no_registration() {
    let api = Api::with(|settings| settings.patience = Duration::from_millis(200)).await;
    break_hub(&api.sources, "a/b", &Reply::Never);
    let id = api.create("model", "https://huggingface.co/a/b").await;
    let stored = api.stored(&id).await;
    assert_eq!(stored["evidence"]["requests"][0]["outcome"], "slow");
    api.rate(&id).await;
}

#[tokio::test]
async fn an_unreachable_source_stops_no_registration() {
    let elsewhere = testkit::Upstream::start().await;
    let (hub, github) = (elsewhere.hub(), elsewhere.github());
    drop(elsewhere);
    let api = Api::with(|settings| {
        settings.upstream.hugging_face = hub.parse().unwrap();
        settings.upstream.github = github.parse().unwrap();
    })
    .await;
    for url in ["https://huggingface.co/a/b", "https://github.com/a/b"] {
        let id = api.create("model", url).await;
        let stored = api.stored(&id).await;
        assert_eq!(stored["evidence"]["requests"][0]["outcome"], "unreachable");
    }
}

#[tokio::test]
async fn with_no_time_nobody_is_asked() {
    let api = Api::with(|settings| settings.patience = Duration::ZERO).await;
    put_bert(&api.sources);
    let id = api.create("model", BERT).await;
    assert_eq!(api.stored(&id).await.get("evidence"), None);
    assert_eq!(api.rate(&id).await["category"], "MODEL");
    assert_eq!(api.asked(), 0);
}

#[tokio::test]
async fn what_is_refused_anyway_costs_no_look_up() {
    let api = Api::start().await;
    put_bert(&api.sources);
    let bert = api.create("model", BERT).await;
    let other = api.create("model", "https://huggingface.co/a/b").await;
    let asked = api.asked();
    let (status, taken) = api
        .send("POST", "/artifact/model", &json!({ "url": BERT }))
        .await;
    assert_eq!((status, &taken["id"]), (409, &json!(bert)));
    let ingest = "/models/ingest?model_name=google-bert/bert-base-uncased";
    assert_eq!(api.send("POST", ingest, &Value::Null).await.0, 409);
    assert_eq!(api.put("model", &other, BERT).await.0, 409);
    let change = |id: &str, name: &str| json!({ "metadata": { "id": id, "name": name }, "data": { "url": "https://huggingface.co/c/d" } });
    for (id, name, status) in [(&*other, "other name", 400), ("404", "b", 404)] {
        let path = format!("/artifacts/model/{id}");
        assert_eq!(api.send("PUT", &path, &change(id, name)).await.0, status);
    }
    let stale = Request::put(format!("/artifacts/model/{other}"))
        .header("x-authorization", &api.client.admin)
        .header("if-match", "\"stale\"");
    let stale = stale.body(change(&other, "b").to_string().into()).unwrap();
    assert_eq!(api.client.answer(stale).await.status(), 412);
    assert_eq!(api.asked(), asked);
    // What is not refused is asked about.
    assert_eq!(
        api.put("model", &other, "https://huggingface.co/c/d")
            .await
            .0,
        200
    );
    assert!(api.asked() > asked);
}

#[tokio::test]
async fn a_change_looks_again_and_rates_again() {
    let api = Api::start().await;
    put_child(&api.sources, "a/b", &[], 100);
    put_bert(&api.sources);
    let url = "https://huggingface.co/a/b";
    let id = api.create("model", url).await;
    let before = api.rate(&id).await;
    assert_eq!(before["license"], 0.0);
    let entry = json!({"cardData": {"license": "mit"}});
    api.sources.model("a/b", &entry, "# New words", &json!({}));
    assert_eq!(api.put("model", &id, url).await.0, 200);
    assert_eq!(api.rate(&id).await["license"], 1.0);
    assert_eq!(api.stored(&id).await["revision"], 2);

    assert_eq!(api.put("model", &id, BERT).await.0, 200);
    let stored = api.stored(&id).await;
    assert_eq!(
        stored["evidence"]["hub"]["id"],
        "google-bert/bert-base-uncased"
    );
    assert!(!stored.to_string().contains("New words"));
    assert_eq!(api.rate(&id).await["name"], "b");
    // Of a place that nobody knows how to ask, nothing is known any more.
    assert_eq!(api.put("model", &id, "https://example.com/c").await.0, 200);
    let stored = api.stored(&id).await;
    assert_eq!(stored["data"], json!({ "url": "https://example.com/c" }));
    assert_eq!(api.rate(&id).await["license"], 0.0);
}

#[tokio::test]
async fn what_a_source_told_once_is_kept_while_it_does_not_answer() {
    let api = Api::start().await;
    put_child(&api.sources, "a/b", &["c/d"], 100);
    let url = "https://huggingface.co/a/b";
    let id = api.create("model", url).await;
    let before = api.stored(&id).await;
    break_hub(&api.sources, "a/b", &Reply::Status(503));
    assert_eq!(api.put("model", &id, url).await.0, 200);
    let after = api.stored(&id).await;
    assert_eq!(after["evidence"]["hub"], before["evidence"]["hub"]);
    assert_eq!(after["data"]["hf_data"][0]["readme_text"], "# A model");
    assert_eq!(after["evidence"]["requests"][0]["outcome"], "unreachable");
    // What is gone for good is not kept.
    break_hub(&api.sources, "a/b", &Reply::Status(404));
    assert_eq!(api.put("model", &id, url).await.0, 200);
    assert_eq!(api.stored(&id).await["evidence"].get("hub"), None);
}

#[tokio::test]
async fn a_gate_takes_good_models_only_and_everything_else() {
    let half = Some("0.5".parse::<Threshold>().unwrap());
    let api = Api::with(|settings| settings.gate = half).await;
    put_bert(&api.sources);
    put_child(&api.sources, "a/b", &[], 100);
    let (status, problem) = api
        .send("POST", "/artifact/model", &json!({ "url": BERT }))
        .await;
    assert_eq!(
        (status, &problem["metrics"]),
        (424, &json!(["code_quality"]))
    );
    assert_eq!(
        problem["detail"],
        "the model scores below 0.5 in code_quality"
    );
    assert_eq!(problem["threshold"], 0.5);
    assert!(problem["rating"]["net_score"].as_f64() > Some(0.5));
    let left = api.registry.objects().list("", None, 10).await.unwrap();
    assert_eq!(left, [], "not even a claim is left");

    api.create("code", BERT_CODE).await;
    api.create("dataset", "https://huggingface.co/datasets/no/thing")
        .await;
    let id = api.create("model", BERT).await;
    // A change to something worse is refused, and what was there stays.
    let before = api.stored(&id).await;
    let (status, problem) = api.put("model", &id, "https://huggingface.co/a/b").await;
    assert_eq!(status, 424);
    assert!(
        problem["metrics"]
            .as_array()
            .unwrap()
            .contains(&json!("license"))
    );
    assert_eq!(api.stored(&id).await, before);
    // The URL that was refused is free.
    api.create("dataset", "https://huggingface.co/a/b").await;
}

#[tokio::test]
async fn models_of_the_hub_are_taken_in_by_name_if_they_are_good() {
    let api = Api::start().await;
    put_bert(&api.sources);
    put_child(&api.sources, "a/b", &[], 100);
    let ingest = async |name: &str| {
        let path = format!("/models/ingest?model_name={name}");
        api.send("POST", &path, &Value::Null).await
    };
    for name in [
        "",
        "a/b/c",
        "a%20b",
        "https://huggingface.co/a/b",
        "../b",
        "a/..",
        "%FF",
    ] {
        assert_eq!(ingest(name).await.0, 400, "{name}");
    }
    assert_eq!(
        api.send("POST", "/models/ingest", &Value::Null).await.0,
        400
    );
    assert_eq!(api.asked(), 0);
    assert_eq!(ingest("a/b").await.0, 424);
    assert_eq!(ingest("google-bert/bert-base-uncased").await.0, 424);
    api.create("code", BERT_CODE).await;
    let (status, created) = ingest("google-bert/bert-base-uncased").await;
    assert_eq!((status, &created["data"]["url"]), (201, &json!(BERT)));
    assert_eq!(created["metadata"]["name"], "bert-base-uncased");
    assert_eq!(ingest("google-bert/bert-base-uncased").await.0, 409);
    let searcher = api.client.user("searcher", &["search"]).await;
    let path = "/models/ingest?model_name=a/b";
    let status = api.client.status(Some(&searcher), "POST", path, "");
    assert_eq!(status.await, 403);
    // By the ordinary way, any model is taken.
    api.create("model", "https://huggingface.co/a/b").await;
}

#[tokio::test]
async fn places_inside_are_registered_and_never_asked() {
    let inside = testkit::Upstream::start().await;
    let here = inside.hub();
    let api = Api::start().await;
    for url in [
        &*format!("{here}/a/b"),
        &*here.replace("127.0.0.1", "localhost"),
        &*here.replace("127.0.0.1", "[::1]"),
        &*format!("{}/a/b", api.sources.hub()),
        "http://169.254.169.254/latest/meta-data/iam",
        "http://[fd00:ec2::254]/latest/meta-data",
        "http://10.0.0.1/model",
        "http://192.168.1.1/huggingface.co/a/b",
        "https://huggingface.co.example.com/a/b",
    ] {
        for kind in ["model", "dataset", "code"] {
            let id = api.create(kind, url).await;
            let stored = api.stored(&id).await;
            assert_eq!(stored["evidence"]["requests"][0]["outcome"], "unsupported");
        }
    }
    assert_eq!(inside.asked(), []);
    assert_eq!(api.asked(), 0);
    // A name that leads inside is not asked either, unless the operator has named it.
    let endpoint = here.replace("http://127.0.0.1", "https://localhost");
    let api =
        Api::with(|settings| settings.upstream.hugging_face = Endpoint::public(&endpoint)).await;
    let id = api.create("model", BERT).await;
    let stored = api.stored(&id).await;
    assert_eq!(stored["evidence"]["requests"][0]["outcome"], "refused");
    assert_eq!(inside.asked(), []);
}

#[tokio::test]
async fn a_registration_that_is_cut_off_while_it_asks_leaves_nothing() {
    let api = Api::start().await;
    put_bert(&api.sources);
    break_hub(&api.sources, "google-bert/bert-base-uncased", &Reply::Never);
    let body = json!({ "url": BERT });
    let cut_off = async |asked: usize| {
        let creating = api.send("POST", "/artifact/model", &body);
        tokio::select! {
            answer = creating => panic!("answered {answer:?}"),
            () = until(|| api.asked() >= asked) => {}
        }
    };
    cut_off(3).await;
    let left = api.registry.objects().list("", None, 10).await.unwrap();
    assert_eq!(left, []);
    put_bert(&api.sources);
    let id = api.create("model", BERT).await;
    // A change that is cut off changes nothing.
    let before = api.stored(&id).await;
    put_child(&api.sources, "a/b", &[], 1);
    break_hub(&api.sources, "a/b", &Reply::Never);
    let asked = api.asked();
    tokio::select! {
        answer = api.put("model", &id, "https://huggingface.co/a/b") => panic!("answered {answer:?}"),
        () = until(|| api.asked() >= asked + 3) => {}
    }
    assert_eq!(api.stored(&id).await, before);
    let left = api
        .registry
        .objects()
        .list("claims/", None, 10)
        .await
        .unwrap();
    assert_eq!(left.len(), 1);
}

#[tokio::test]
async fn a_store_that_fails_is_told_and_a_later_registration_ends_well() {
    let (store, _folder) = embedded().await;
    let counter = Counter::default();
    let chain = Chain {
        bucket: Some(BUCKET.to_owned()),
        is_production: true,
        ..Chain::default()
    };
    let sources = testkit::Upstream::start().await;
    put_bert(&sources);
    let settings = settings(&sources);
    let api = Api::on(
        Storage::with_s3(chain, access(), counter.s3(&store)),
        &settings,
        sources,
    )
    .await;
    for (number, (place, prefix)) in [
        (Break::Request, "claims/"),
        (Break::Request, "artifacts/"),
        (Break::Answer, "artifacts/"),
    ]
    .into_iter()
    .enumerate()
    {
        let url = json!({ "url": format!("{BERT}/tree/{number}") });
        counter.break_next(place, prefix);
        let (first, _) = api.send("POST", "/artifact/model", &url).await;
        let is_lost = place == Break::Answer;
        assert_eq!(first, if is_lost { 201 } else { 503 }, "{place:?} {prefix}");
        let (second, problem) = api.send("POST", "/artifact/model", &url).await;
        if is_lost {
            let path = format!("/artifacts/model/{}", problem["id"].as_str().unwrap());
            assert_eq!((second, api.get(&path).await.0), (409, 200));
        } else {
            assert_eq!(second, 201, "{problem}");
        }
    }
    // A store that fails altogether, and comes back.
    let url = json!({ "url": format!("{BERT}/tree/last") });
    let target = Target {
        operation: Some("PutObject".to_owned()),
        ..Target::default()
    };
    store.faults().inject(Fault::SlowDown, target);
    assert_eq!(api.send("POST", "/artifact/model", &url).await.0, 503);
    store.faults().clear();
    assert_eq!(api.send("POST", "/artifact/model", &url).await.0, 201);
}

/// Waits for what will come, however long that takes.
async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        sleep(Duration::from_millis(1)).await;
    }
}
