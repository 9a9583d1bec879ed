//! The API with the sources it asks, for tests of what it makes of their answers.

use std::sync::Arc;
use std::time::Duration;

use registry::ingest::{Ingest, Settings};
use registry::registry::Registry;
use registry::storage::{Chain, Storage};
use registry::upstream;
use serde_json::{Value, json};
use testkit::Reply;

use super::client::{Client, access};

/// A client of an API whose sources the test makes up.
pub struct Api {
    pub client: Client,
    pub registry: Arc<Registry>,
    pub sources: testkit::Upstream,
}

impl Api {
    /// In memory, with all the time a test needs.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// In memory, with other settings.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let sources = testkit::Upstream::start().await;
        let mut settings = settings(&sources);
        change(&mut settings);
        Self::on(Storage::new(Chain::default(), access()), &settings, sources).await
    }

    /// On other stores.
    pub async fn on(storage: Storage, settings: &Settings, sources: testkit::Upstream) -> Self {
        let client = Client::of(storage.asking(Ingest::new(settings))).await;
        Self {
            registry: Arc::clone(&client.backend.registry),
            client,
            sources,
        }
    }

    /// What an admin is answered: the status and the JSON.
    pub async fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.client.json(method, path, body).await
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, &Value::Null).await
    }

    /// Registers an artifact, and tells its id.
    pub async fn create(&self, kind: &str, url: &str) -> String {
        let body = json!({ "url": url });
        let (status, created) = self.send("POST", &format!("/artifact/{kind}"), &body).await;
        assert_eq!(status, 201, "{url}: {created}");
        created["metadata"]["id"].as_str().unwrap().to_owned()
    }

    /// Gives an artifact a source.
    pub async fn put(&self, kind: &str, id: &str, url: &str) -> (u16, Value) {
        let path = format!("/artifacts/{kind}/{id}");
        let (_, artifact) = self.get(&path).await;
        let body = json!({ "metadata": artifact["metadata"], "data": { "url": url } });
        self.send("PUT", &path, &body).await
    }

    /// How a model is rated.
    pub async fn rate(&self, id: &str) -> Value {
        let (status, rating) = self.get(&format!("/artifact/model/{id}/rate")).await;
        assert_eq!(status, 200, "{rating}");
        rating
    }

    /// What is stored of an artifact.
    pub async fn stored(&self, id: &str) -> Value {
        let found = self.registry.objects().get(&key(id)).await.unwrap();
        serde_json::from_slice(&found.unwrap().0).unwrap()
    }

    /// Stores an artifact as somebody else would.
    pub async fn store(&self, id: &str, record: &Value) {
        let objects = self.registry.objects();
        objects.delete(&key(id)).await.unwrap();
        let bytes = record.to_string().into_bytes();
        objects.create(&key(id), bytes).await.unwrap();
    }

    /// Stores an artifact of which nobody has looked yet.
    pub async fn store_unknown(&self, id: &str, kind: &str, url: &str) {
        let record = json!({
            "metadata": { "id": id, "name": id, "type": kind },
            "data": { "url": url },
        });
        self.store(id, &record).await;
    }

    /// How often the sources were asked so far.
    pub fn asked(&self) -> usize {
        self.sources.asked().len()
    }
}

/// Only the sources of this test, with all the time it needs.
pub fn settings(sources: &testkit::Upstream) -> Settings {
    Settings {
        upstream: upstream::Settings {
            hugging_face: sources.hub().parse().unwrap(),
            github: sources.github().parse().unwrap(),
            ..upstream::Settings::default()
        },
        patience: Duration::from_mins(1),
        gate: None,
    }
}

pub fn key(id: &str) -> String {
    format!("artifacts/{id}/metadata.json")
}

pub const BERT: &str = "https://huggingface.co/google-bert/bert-base-uncased";
pub const BERT_CODE: &str = "https://github.com/google-research/bert";
pub const BERT_DATA: &str = "https://huggingface.co/datasets/bookcorpus/bookcorpus";

/// A model of which all is good, its repository and its dataset, all of it at the sources.
pub fn put_bert(sources: &testkit::Upstream) {
    let words = |count| "A sentence about what the model was made for, and by whom. ".repeat(count);
    let entry = json!({
        "sha": "86b5e0934494bd15c9632b12f734a8a67f723594",
        "downloads": 60_000_000,
        "likes": 2400,
        "lastModified": "2024-02-19T11:06:12.000Z",
        "pipeline_tag": "fill-mask",
        "library_name": "transformers",
        "tags": ["license:apache-2.0", "arxiv:1810.04805", "dataset:bookcorpus"],
        "cardData": {"license": "apache-2.0", "datasets": ["bookcorpus"]},
        "siblings": [
            {"rfilename": "model.safetensors", "size": 440_449_768},
            {"rfilename": "pytorch_model.bin", "size": 440_473_133},
            {"rfilename": "tf_model.h5", "size": 536_063_208},
            {"rfilename": "config.json", "size": 570},
        ],
    });
    let readme = format!(
        "# A model\n\nFrom [a paper](https://arxiv.org/abs/1810.04805), first released in \
         [a repository]({BERT_CODE}).\n\n## Model description\n\n{}\n\n### How to use\n\n\
         ```python\nfrom transformers import pipeline\nunmasker = pipeline('fill-mask', model='bert-base-uncased')\n```\n\n\
         ### Limitations\n\n## Training data\n\n## Evaluation results\n\nGlue test results, accuracy and F1:\n\n\
         | Task | MNLI | QQP |\n|:----:|:----:|:---:|\n| | 84.6/83.4 | 71.2 |\n",
        words(70)
    );
    sources.model("google-bert/bert-base-uncased", &entry, &readme, &json!({}));
    let data = json!({
        "downloads": 12_000,
        "likes": 310,
        "tags": ["task_categories:text-generation", "language:en", "size_categories:10M<n<100M", "license:mit"],
        "siblings": [{"rfilename": "data.parquet", "size": 1_048_576_000}],
    });
    sources.dataset("bookcorpus", &data, &words(60));
    sources.dataset("bookcorpus/bookcorpus", &data, &words(60));
    let people = [55, 16, 10, 5, 4, 3, 2, 2, 1, 1, 1, 1, 1]
        .iter()
        .enumerate();
    let people: Vec<Value> = people
        .map(|(number, commits)| json!({"login": format!("p{number}"), "contributions": commits}))
        .collect();
    let commits: Vec<Value> = (0..10)
        .map(|number| {
            let parent = json!({ "sha": format!("c{}", number + 1) });
            json!({"sha": format!("c{number}"), "parents": [parent], "commit": {"message": format!("Do it (#{number})")}})
        })
        .collect();
    sources.repository(
        "google-research/bert",
        &json!({
            "": {"full_name": "google-research/bert", "license": {"spdx_id": "Apache-2.0"}, "stargazers_count": 39_000, "size": 1024},
            "contributors": people,
            "languages": {"Python": 300_000},
            "readme": words(100),
            "git/trees/HEAD": {"tree": [
                {"path": "modeling.py", "type": "blob"},
                {"path": "modeling_test.py", "type": "blob"},
                {"path": "requirements.txt", "type": "blob"},
            ]},
            "commits": commits,
            "pulls": [{"number": 3, "merged_at": "2020-01-01T00:00:00Z", "user": {"login": "p1"}}],
            "pulls/3/reviews": [{"user": {"login": "p2"}}],
        }),
    );
}

/// A model of which hardly anything is known, made from others.
pub fn put_child(sources: &testkit::Upstream, id: &str, parents: &[&str], megabytes: u64) {
    let entry = json!({
        "siblings": [{"rfilename": "model.safetensors", "size": megabytes * 1_048_576}],
    });
    sources.model(id, &entry, "# A model", &json!({ "base_model": parents }));
}

/// Nothing of a source answers in time, or as it should.
pub fn break_hub(sources: &testkit::Upstream, id: &str, reply: &Reply) {
    sources.put(format!("/hub/api/models/{id}"), reply.clone());
    for file in ["README.md", "config.json"] {
        sources.put(format!("/hub/{id}/raw/main/{file}"), reply.clone());
    }
}
