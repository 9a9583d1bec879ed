//! Costs and lineages as a client of HTTP sees them, and what all questions about an artifact refuse.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use registry::artifact::Id;
use registry::cost::{Dependencies, costs};
use registry::lineage::{Externals, graph};
use registry::relation::{Member, Members};
use serde_json::{Value, json};
use support::api::{Api, BERT_CODE, BERT_DATA, key, put_bert, put_child};

#[tokio::test]
async fn every_operation_refuses_what_is_not_there_not_asked_for_rightly_or_not_allowed() {
    let api = Api::start().await;
    let data = api.create("dataset", "https://example.com/data").await;
    let objects = api.registry.objects();
    for (id, text) in [("1001", "{"), ("1002", "{\"metadata\": {}}")] {
        objects.create(&key(id), text.into()).await.unwrap();
    }
    let repository = json!({ "github_url": BERT_CODE });
    let asks = api.asked();
    let searcher = api.client.user("searcher", &["search"]).await;
    for (method, path) in [
        ("GET", "/artifact/model/{}/rate"),
        ("GET", "/artifacts/model/{}/rate"),
        ("GET", "/models/{}/rate"),
        ("GET", "/package/{}/rate"),
        ("GET", "/artifact/model/{}/cost"),
        ("GET", "/models/{}/cost"),
        ("GET", "/artifact/model/{}/lineage"),
        ("GET", "/models/{}/lineage"),
        ("POST", "/artifact/model/{}/license-check"),
        ("POST", "/models/{}/license-check"),
    ] {
        let unreadable = if path.ends_with("lineage") { 400 } else { 500 };
        for (id, status) in [
            ("404", 404),
            (&*data, 404),
            ("%7Bid%7D", 400),
            ("a..b", 400),
            ("1001", unreadable),
            ("1002", unreadable),
        ] {
            let path = path.replace("{}", id);
            let (answered, problem) = api.send(method, &path, &repository).await;
            assert_eq!(answered, status, "{path}: {problem}");
            assert_eq!(problem["status"], status, "{path}");
            assert!(
                status != 500 || problem.get("detail").is_none(),
                "{problem}"
            );
        }
        let path = path.replace("{}", &data);
        for token in [None, Some("wrong"), Some(&*searcher)] {
            let status = api.client.status(token, method, &path, &repository).await;
            assert_eq!(status, 403, "{path} {token:?}");
        }
    }
    for (method, path) in [
        ("GET", "/artifact/dataset/{}/rate"),
        ("GET", "/artifact/dataset/{}/lineage"),
        ("POST", "/artifact/dataset/{}/license-check"),
        ("GET", "/artifact/tool/{}/rate"),
        ("GET", "/artifact/tool/{}/cost"),
        ("GET", "/artifact/dataset/{}/cost?dependency=perhaps"),
        ("GET", "/artifact/model/{}/lineage?include=everything"),
    ] {
        let (status, _) = api
            .send(method, &path.replace("{}", &data), &repository)
            .await;
        assert_eq!(status, 400, "{path}");
    }
    assert_eq!(api.asked(), asks);
}

#[tokio::test]
async fn costs_are_those_of_the_artifact_or_of_all_that_it_needs_each_once() {
    let api = Api::start().await;
    put_bert(&api.sources);
    let of = |id: &str| format!("https://huggingface.co/{id}");
    let entry = |megabytes: u64| json!({"siblings": [{"rfilename": "a", "size": megabytes * 1_048_576}], "cardData": {"datasets": ["bookcorpus"]}});
    // top is made from left and right, both of which are made from base; three name the dataset, one the code.
    let code = format!("The code is at {BERT_CODE}");
    api.sources.model(
        "a/top",
        &entry(10),
        &code,
        &json!({"base_model": ["a/left", "a/right"]}),
    );
    api.sources
        .model("a/left", &entry(20), "", &json!({"base_model": "a/base"}));
    api.sources
        .model("a/right", &entry(40), "", &json!({"base_model": "a/base"}));
    put_child(&api.sources, "a/base", &["a/top"], 80); // in a circle
    let top = api.create("model", &of("a/top")).await;
    let path = format!("/artifact/model/{top}/cost");
    let (_, alone) = api.get(&path).await;
    assert_eq!(alone, json!({ &top: {"total_cost": 10.0} }));
    let (_, alone) = api.get(&format!("{path}?dependency=true")).await;
    assert_eq!(
        alone,
        json!({ &top: {"total_cost": 10.0, "standalone_cost": 10.0} })
    );

    let base = api.create("model", &of("a/base")).await;
    let right = api.create("model", &of("a/right")).await;
    let left = api.create("model", &of("a/left")).await;
    let data = api.create("dataset", BERT_DATA).await;
    let code = api.create("code", BERT_CODE).await;
    api.create("model", &of("a/unrelated")).await;
    let all = 10.0 + 20.0 + 40.0 + 80.0 + 1000.0 + 1.0;
    let (_, costs) = api.get(&format!("{path}?dependency=true")).await;
    let expected = json!({
        &top: {"total_cost": all, "standalone_cost": 10.0},
        &left: {"total_cost": all, "standalone_cost": 20.0},
        &right: {"total_cost": all, "standalone_cost": 40.0},
        &base: {"total_cost": all, "standalone_cost": 80.0},
        &data: {"total_cost": 1000.0, "standalone_cost": 1000.0},
        &code: {"total_cost": 1.0, "standalone_cost": 1.0},
    });
    assert_eq!(costs, expected);
    for same in ["True", "1"] {
        let alias = format!("/models/{top}/cost?dependency={same}");
        assert_eq!(api.get(&alias).await.1, expected);
    }
    for none in ["", "?dependency=", "?dependency=false", "?dependency=False"] {
        let (_, costs) = api.get(&format!("{path}{none}")).await;
        assert_eq!(costs, json!({ &top: {"total_cost": 10.0} }), "{none}");
    }
    let (status, costs) = api
        .get(&format!("/artifact/dataset/{data}/cost?dependency=true"))
        .await;
    let leaf = json!({ &data: {"total_cost": 1000.0, "standalone_cost": 1000.0} });
    assert_eq!((status, costs), (200, leaf));
}

#[tokio::test]
async fn all_of_a_chain_have_one_lineage_whoever_came_first() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        let api = Api::start().await;
        let mut ids = vec![String::new(); 4];
        for number in order {
            let parent = format!("owner/m{}", number + 1);
            let name = format!("owner/m{number}");
            put_child(&api.sources, &name, &[&parent], 1);
            ids[number] = api
                .create("model", &format!("https://huggingface.co/{name}"))
                .await;
        }
        // A namesake of the first one's parent is not its parent.
        put_child(&api.sources, "other/m1", &[], 1);
        api.create("model", "https://huggingface.co/other/m1").await;
        let (_, whole) = api
            .get(&format!("/artifact/model/{}/lineage", ids[0]))
            .await;
        assert_eq!(nodes(&whole), ids.iter().cloned().collect());
        let edges: BTreeSet<(String, String)> = (0..3)
            .map(|child| (ids[child + 1].clone(), ids[child].clone()))
            .collect();
        assert_eq!(self::edges(&whole), edges);
        for (number, id) in ids.iter().enumerate() {
            for path in ["/artifact/model/{}/lineage", "/models/{}/lineage"] {
                let (status, same) = api.get(&path.replace("{}", id)).await;
                assert_eq!((status, &same), (200, &whole));
            }
            let (_, external) = api
                .get(&format!("/models/{id}/lineage?include=external"))
                .await;
            assert_eq!(nodes(&external).len(), 5, "m{number} and the parent of m3");
        }
        let node = &whole["nodes"][0];
        assert_eq!(node["source"], "config_json");
        assert!(
            node["metadata"]["repository_url"]
                .as_str()
                .unwrap()
                .starts_with("https://huggingface.co/owner/")
        );
        assert_eq!(whole["edges"][0]["relationship"], "base_model");
    }
}

#[tokio::test]
async fn a_lineage_has_who_is_meant_and_nobody_else() {
    let api = Api::start().await;
    let create = async |name: &str, parents: &[&str]| {
        put_child(&api.sources, name, parents, 1);
        api.create("model", &format!("https://huggingface.co/{name}"))
            .await
    };
    let alone = create("a/alone", &[]).await;
    let (status, graph) = api.get(&format!("/artifact/model/{alone}/lineage")).await;
    assert_eq!((status, nodes(&graph)), (200, BTreeSet::from([alone])));
    assert_eq!(graph["edges"], json!([]));

    // one and two are made from each other.
    let one = create("a/one", &["a/two"]).await;
    let two = create("a/two", &["a/one"]).await;
    let (_, graph) = api.get(&format!("/artifact/model/{one}/lineage")).await;
    assert_eq!(nodes(&graph), BTreeSet::from([one.clone(), two.clone()]));
    assert_eq!(edges(&graph).len(), 2);

    // Without an owner, any of this name is meant, until the one comes that has no owner.
    let namesake = create("x/bert", &[]).await;
    let child = create("a/child", &["bert"]).await;
    let (_, graph) = api
        .get(&format!("/artifact/model/{namesake}/lineage"))
        .await;
    assert_eq!(
        nodes(&graph),
        BTreeSet::from([namesake.clone(), child.clone()])
    );
    let bert = create("bert", &[]).await;
    let (_, graph) = api.get(&format!("/artifact/model/{bert}/lineage")).await;
    assert_eq!(nodes(&graph), BTreeSet::from([bert.clone(), child.clone()]));
    let (_, graph) = api
        .get(&format!("/artifact/model/{namesake}/lineage"))
        .await;
    assert_eq!(nodes(&graph), BTreeSet::from([namesake.clone()]));
    // Siblings are no ancestors.
    let sibling = create("a/sibling", &["bert"]).await;
    let (_, graph) = api.get(&format!("/artifact/model/{child}/lineage")).await;
    assert_eq!(nodes(&graph), BTreeSet::from([bert.clone(), child.clone()]));
    let (_, graph) = api.get(&format!("/artifact/model/{bert}/lineage")).await;
    assert_eq!(
        nodes(&graph),
        BTreeSet::from([bert, child.clone(), sibling])
    );
    // Who is gone is not shown.
    assert_eq!(
        api.send("DELETE", &format!("/artifacts/model/{child}"), &Value::Null)
            .await
            .0,
        200
    );
    let (_, graph) = api
        .get(&format!("/artifact/model/{namesake}/lineage"))
        .await;
    assert_eq!(nodes(&graph), BTreeSet::from([namesake]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Level by level, with those who are related only, the same comes out as with all there are.
    #[test]
    fn who_is_related_is_found_without_looking_at_everybody(
        artifacts in proptest::collection::vec((0..3usize, name(), proptest::collection::vec(name(), 0..4)), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let registry = support::in_memory();
            let mut members = Vec::new();
            for (number, (kind, name, others)) in artifacts.into_iter().enumerate() {
                let kind = ["model", "model", "dataset"][kind];
                let tags = others.iter().enumerate().map(|(number, other)| {
                    let tag = if number % 3 == 2 { "dataset" } else { "base_model" };
                    format!("{tag}:{other}")
                });
                let record = json!({
                    "metadata": {"name": name.replace('/', "-"), "type": kind},
                    "data": {
                        "url": format!("https://huggingface.co/{name}"),
                        "hf_data": [{"repo_id": name, "tags": tags.collect::<Vec<_>>(), "size": 1_u64 << number}],
                    },
                });
                let id: Id = format!("{}", 1000 + number).parse().unwrap();
                let bytes = record.to_string().into_bytes();
                registry.objects().create(&key(id.as_str()), bytes).await.unwrap();
                members.push(Member::of(&registry.find(&id).await.unwrap().0));
            }
            let all = Members::new(&members);
            for member in &members {
                for externals in [Externals::Excluded, Externals::Included] {
                    let found = registry.lineage(&member.id, externals).await.ok();
                    prop_assert_eq!(found, graph(&member.id, &all, externals), "{:#?}", members);
                }
                let found = registry.costs(member.kind, &member.id, Dependencies::Included).await.ok();
                prop_assert_eq!(found, costs(&member.id, &all, Dependencies::Included), "{:#?}", members);
            }
            Ok(())
        })?;
    }
}

/// Few names, so that many are meant, with and without an owner.
fn name() -> impl Strategy<Value = String> {
    let owner = proptest::sample::select(vec!["", "a/", "b/"]);
    let name = proptest::sample::select(vec!["x", "y", "z", "u", "v"]);
    (owner, name).prop_map(|(owner, name)| format!("{owner}{name}"))
}

#[tokio::test]
async fn a_chain_without_end_is_refused() {
    let api = Api::with(|settings| settings.patience = Duration::ZERO).await;
    for number in 0..250 {
        let tag = format!("base_model:a/m{}", number + 1);
        let record = json!({
            "metadata": {"name": "m", "type": "model"},
            "data": {
                "url": format!("https://huggingface.co/a/m{number}"),
                "hf_data": [{"repo_id": format!("a/m{number}"), "tags": [tag]}],
            },
        });
        api.store(&format!("{number}"), &record).await;
    }
    for (path, status) in [
        ("/artifact/model/0/lineage", 413),
        ("/artifact/model/249/lineage", 413),
        ("/artifact/model/0/cost?dependency=true", 413),
        ("/artifact/model/100/lineage", 200),
        ("/artifact/model/100/cost?dependency=true", 200),
    ] {
        assert_eq!(api.get(path).await.0, status, "{path}");
    }
}

fn nodes(graph: &Value) -> BTreeSet<String> {
    let nodes = graph["nodes"].as_array().unwrap().iter();
    nodes
        .map(|node| node["artifact_id"].as_str().unwrap().to_owned())
        .collect()
}

fn edges(graph: &Value) -> BTreeSet<(String, String)> {
    let text = |edge: &Value, field: &str| edge[field].as_str().unwrap().to_owned();
    let edges = graph["edges"].as_array().unwrap().iter();
    edges
        .map(|edge| {
            let from = text(edge, "from_node_artifact_id");
            (from, text(edge, "to_node_artifact_id"))
        })
        .collect()
}
