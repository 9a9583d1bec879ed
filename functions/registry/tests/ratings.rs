//! Ratings as a client of HTTP sees them.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use embedded_s3::{Fault, Target};
use futures_util::future::join_all;
use registry::ingest::Ingest;
use registry::storage::{Chain, Storage};
use serde_json::{Value, json};
use shared::s3::S3;
use support::api::{
    Api, BERT, BERT_CODE, BERT_DATA, break_hub, key, put_bert, put_child, settings,
};
use support::client::access;
use support::{BUCKET, Counter, embedded};
use testkit::Reply;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const RATINGS: [&str; 4] = [
    "/artifact/model/{}/rate",
    "/artifacts/model/{}/rate",
    "/models/{}/rate",
    "/package/{}/rate",
];

#[tokio::test]
async fn a_famous_model_is_rated_like_the_sample_wherever_it_is_asked_for() {
    let api = Api::start().await;
    put_bert(&api.sources);
    api.create("code", BERT_CODE).await;
    api.create("dataset", BERT_DATA).await;
    let id = api.create("model", BERT).await;
    let rating = api.rate(&id).await;
    for (metric, sample) in [
        ("/net_score", 0.95),
        ("/ramp_up_time", 0.90),
        ("/bus_factor", 0.95),
        ("/performance_claims", 0.92),
        ("/license", 1.00),
        ("/size_score/raspberry_pi", 0.20),
        ("/size_score/jetson_nano", 0.40),
        ("/size_score/desktop_pc", 0.95),
        ("/size_score/aws_server", 1.00),
        ("/dataset_and_code_score", 1.00),
        ("/dataset_quality", 0.95),
        ("/code_quality", 0.93),
    ] {
        let score = rating.pointer(metric).and_then(Value::as_f64).unwrap();
        assert!((score - sample).abs() <= 0.15, "{metric}: {score}");
    }
    assert_eq!(rating.as_object().unwrap().len(), 26);
    for path in RATINGS {
        let (status, same) = api.get(&path.replace("{}", &id)).await;
        assert_eq!((status, &same), (200, &rating), "{path}");
    }
}

#[tokio::test]
async fn a_rating_says_why_if_it_is_asked() {
    let api = Api::start().await;
    put_bert(&api.sources);
    let id = api.create("model", BERT).await;
    let rating = api.rate(&id).await;
    for path in RATINGS {
        let path = format!("{}?explain=true", path.replace("{}", &id));
        let (_, explained) = api.get(&path).await;
        for (field, value) in rating.as_object().unwrap() {
            assert_eq!(&explained[field], value);
        }
        assert_eq!(explained["explanation"].as_object().unwrap().len(), 12);
        let license = &explained["explanation"]["license"];
        assert_eq!(license["inputs"]["expression"], "Apache-2.0");
        let at = explained["rated_at"].as_str().unwrap();
        OffsetDateTime::parse(at, &Rfc3339).unwrap();
        assert_eq!(explained["inputs"].as_str().unwrap().len(), 64);
        assert_eq!(explained["evidence"]["hub"]["likes"], 2400);
        assert!(!explained["evidence"].to_string().contains("Glue test"));
    }
    for path in RATINGS {
        let path = path.replace("{}", &id);
        assert_eq!(api.get(&format!("{path}?explain=false")).await.1, rating);
        assert_eq!(api.get(&format!("{path}?explain=maybe")).await.0, 400);
    }
}

#[tokio::test]
async fn an_ordinary_rating_asks_nobody_and_reads_one_object() {
    let (store, _folder) = embedded().await;
    let sources = testkit::Upstream::start().await;
    put_child(&sources, "a/alone", &[], 1);
    put_child(&sources, "a/child", &["a/alone"], 1);
    let ingest = Arc::new(Ingest::new(&settings(&sources)));
    let counter = Counter::default();
    let registry = support::registry(&counter.bucket(&store)).asking(Arc::clone(&ingest));
    let draft = |name: &str| {
        support::draft(
            registry::artifact::Kind::Model,
            &format!("https://huggingface.co/a/{name}"),
        )
    };
    let alone = support::create(&registry, draft("alone")).await;
    let child = support::create(&registry, draft("child")).await;
    let asked = sources.asked().len();
    for (id, listings) in [(&alone, 0), (&child, 1)] {
        registry.rate(id).await.unwrap();
        counter.take();
        let (_, first) = registry.rate(id).await.unwrap();
        // Who refers to others needs one more look, which is a listing as long as there is no index.
        assert_eq!(counter.take(), (listings, 1, 1));
        let (_, second) = registry.rate(id).await.unwrap();
        assert_eq!(first, second);
    }
    assert_eq!(sources.asked().len(), asked);
}

#[tokio::test]
async fn thirteen_models_that_nobody_has_looked_at_are_rated_in_the_time_of_one() {
    let (store, _folder) = embedded().await;
    let chain = Chain {
        bucket: Some(BUCKET.to_owned()),
        ..Chain::default()
    };
    let sources = testkit::Upstream::start().await;
    let settings = settings(&sources);
    let storage = Storage::with_s3(chain, access(), S3::with_client(store.client()));
    let api = Api::on(storage, &settings, sources).await;
    let mut ids: Vec<String> = Vec::new();
    for number in 0..13 {
        let (id, name) = (format!("10000000{number:02}"), format!("owner/m{number}"));
        let parents: &[&str] = if number == 0 { &[] } else { &["owner/m0"] };
        put_child(&api.sources, &name, parents, 1);
        let url = format!("https://huggingface.co/{name}");
        api.store_unknown(&id, "model", &url).await;
        ids.push(id);
    }
    // No source answers before all three questions about each of the thirteen wait.
    api.sources.in_rounds([39]);
    let ratings = join_all(ids.iter().map(|id| api.rate(id))).await;
    assert_eq!((api.sources.rounds(), api.asked()), (1, 39));
    for (rating, id) in ratings.iter().zip(&ids) {
        assert_eq!(&rating["name"], id);
        assert_eq!(rating.as_object().unwrap().len(), 26);
    }
    // What was found out is kept.
    join_all(ids.iter().map(|id| api.rate(id))).await;
    assert_eq!(api.asked(), 39);
    let stored = api.stored(&ids[1]).await;
    assert_eq!(stored["evidence"]["hub"]["id"], "owner/m1");
    assert!(stored["rating_snapshot"]["inputs"].is_string());
}

#[tokio::test]
async fn ratings_follow_what_is_registered_changed_and_deleted_around_them() {
    let api = Api::start().await;
    put_bert(&api.sources);
    put_child(&api.sources, "a/parent", &[], 1);
    let readme = format!("From [here]({BERT_CODE}).");
    let entry = json!({"cardData": {"datasets": ["private/data"]}});
    let config = json!({ "base_model": "a/parent" });
    api.sources.model("a/child", &entry, &readme, &config);
    let child = api.create("model", "https://huggingface.co/a/child").await;
    let first = api.rate(&child).await;
    assert_eq!(first["dataset_and_code_score"], json!(0.25 + 0.1));
    assert_eq!(
        (&first["dataset_quality"], &first["tree_score"]),
        (&json!(0.3), &json!(0.5))
    );

    let data = "https://huggingface.co/datasets/private/data";
    let data_id = api.create("dataset", data).await;
    let with_data = api.rate(&child).await;
    assert_eq!(with_data["dataset_and_code_score"], json!(0.5 + 0.1));
    let card = json!({"downloads": 100_000, "tags": ["license:mit"]});
    api.sources.dataset("private/data", &card, "# Data");
    assert_eq!(api.put("dataset", &data_id, data).await.0, 200);
    let with_better = api.rate(&child).await;
    assert!(with_better["dataset_quality"].as_f64() > with_data["dataset_quality"].as_f64());

    let code = api.create("code", BERT_CODE).await;
    let with_code = api.rate(&child).await;
    assert_eq!(with_code["dataset_and_code_score"], 1.0);
    assert!(with_code["code_quality"].as_f64() > Some(0.5));

    let parent = api.create("model", "https://huggingface.co/a/parent").await;
    let with_parent = api.rate(&child).await;
    let parents = api.rate(&parent).await;
    assert_eq!(with_parent["tree_score"], parents["net_score"]);
    assert_eq!(api.put("model", &parent, BERT).await.0, 200);
    // It is another model now, which nobody was made from.
    assert_eq!(api.rate(&child).await["tree_score"], 0.5);

    for (kind, id) in [("dataset", &data_id), ("code", &code)] {
        let path = format!("/artifacts/{kind}/{id}");
        assert_eq!(api.send("DELETE", &path, &Value::Null).await.0, 200);
    }
    let last = api.rate(&child).await;
    assert_eq!(scores(&last), scores(&first));
}

#[tokio::test]
async fn parents_in_a_circle_are_rated_until_they_agree() {
    let api = Api::start().await;
    put_child(&api.sources, "a/one", &["a/two"], 1);
    put_child(&api.sources, "a/two", &["a/one"], 2000);
    let one = api.create("model", "https://huggingface.co/a/one").await;
    let two = api.create("model", "https://huggingface.co/a/two").await;
    let mut last = Vec::new();
    for _ in 0..10 {
        last = vec![api.rate(&one).await, api.rate(&two).await];
    }
    assert_eq!(last[0]["tree_score"], last[1]["net_score"]);
    assert_eq!(last[1]["tree_score"], last[0]["net_score"]);
}

#[tokio::test]
async fn what_others_wrote_is_rated_by_what_the_sources_tell_now() {
    let api = Api::start().await;
    put_bert(&api.sources);
    let record = json!({
        "metadata": {"id": "7", "name": "theirs", "type": "model"},
        "data": {
            "url": "local://7", "source_url": BERT, "gh_data": [],
            "hf_data": json!([json!({"repo_id": "google-bert/bert-base-uncased", "readme_text": "Old"}).to_string()]).to_string(),
        },
        "rating_snapshot": {"net_score": 0.1},
        "hf_model_name": "bert",
    });
    api.store("7", &record).await;
    assert!(api.rate("7").await["net_score"].as_f64() > Some(0.5));
    let asked = api.asked();
    api.rate("7").await;
    assert_eq!(api.asked(), asked);
    let stored = api.stored("7").await;
    assert_eq!(
        (&stored["hf_model_name"], &stored["data"]["url"]),
        (&json!("bert"), &json!("local://7"))
    );
    assert!(
        stored["data"]["hf_data"][0]["readme_text"]
            .as_str()
            .unwrap()
            .contains("Glue")
    );
}

#[tokio::test]
async fn a_source_that_did_not_answer_is_asked_again_when_it_has_rested() {
    let api = Api::start().await;
    break_hub(&api.sources, "a/b", &Reply::Status(503));
    let id = api.create("model", "https://huggingface.co/a/b").await;
    put_child(&api.sources, "a/b", &[], 1);
    let asked = api.asked();
    let poor = api.rate(&id).await;
    assert_eq!(api.asked(), asked, "it has just failed");
    let mut stored = api.stored(&id).await;
    let then = OffsetDateTime::now_utc() - Duration::from_mins(11);
    stored["evidence"]["looked_at"] = json!(then.format(&Rfc3339).unwrap());
    api.store(&id, &stored).await;
    let better = api.rate(&id).await;
    assert!(better["net_score"].as_f64() > poor["net_score"].as_f64());
    assert_eq!(api.asked(), asked + 3);
    api.rate(&id).await;
    assert_eq!(api.asked(), asked + 3);
}

#[tokio::test]
async fn a_rating_is_told_even_if_it_cannot_be_kept() {
    let (store, _folder) = embedded().await;
    let chain = Chain {
        bucket: Some(BUCKET.to_owned()),
        is_production: true,
        ..Chain::default()
    };
    let sources = testkit::Upstream::start().await;
    put_bert(&sources);
    let settings = settings(&sources);
    let storage = Storage::with_s3(chain, access(), S3::with_client(store.client()));
    let api = Api::on(storage, &settings, sources).await;
    api.store_unknown("7", "model", BERT).await;
    let target = |operation: &str| Target {
        operation: Some(operation.to_owned()),
        key: Some(key("7")),
        ..Target::default()
    };
    store
        .faults()
        .inject(Fault::AccessDenied, target("PutObject"));
    assert!(api.rate("7").await["net_score"].as_f64() > Some(0.5));
    store
        .faults()
        .inject(Fault::AccessDenied, target("GetObject"));
    assert_eq!(api.get("/models/7/rate").await.0, 503);
}

#[tokio::test]
async fn a_registry_that_is_not_searched_in_time_delays_no_registration_and_no_rating() {
    let (store, _folder) = embedded().await;
    let chain = Chain {
        bucket: Some(BUCKET.to_owned()),
        ..Chain::default()
    };
    let sources = testkit::Upstream::start().await;
    put_bert(&sources);
    let settings = settings(&sources);
    let storage = Storage::with_s3(chain, access(), S3::with_client(store.client()));
    let api = Api::on(storage, &settings, sources).await;
    let target = Target {
        operation: Some("ListObjectsV2".to_owned()),
        ..Target::default()
    };
    let first = api.create("model", BERT).await;
    api.create("code", BERT_CODE).await;
    let forever = Fault::Hang(Duration::from_hours(1));
    store.faults().inject(forever, target);
    let again = format!("{BERT}/tree/main");
    let (alone, second) = tokio::join!(api.rate(&first), api.create("model", &again));
    store.faults().clear();
    for id in [&first, &second] {
        let together = api.rate(id).await;
        assert!(together["code_quality"].as_f64() > alone["code_quality"].as_f64());
    }
}

/// A rating without the time it took.
fn scores(rating: &Value) -> Value {
    let mut scores = rating.clone();
    let fields = scores.as_object_mut().unwrap();
    fields.retain(|name, _| !name.ends_with("_latency"));
    scores
}
