//! What is found out about artifacts from sources that answer, refuse, stall and break.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

use std::time::Duration;

use futures_util::future::join_all;
use registry::artifact::Kind;
use registry::evidence::{Commits, Evidence, Outcome, Reviews};
use registry::upstream::{Endpoint, Settings, Upstream};
use serde_json::json;
use testkit::Reply;
use tokio::time::Instant;

#[tokio::test]
async fn everything_about_a_model_is_found_out() {
    let sources = testkit::Upstream::start().await;
    put_bert(&sources, "google-bert/bert-base-uncased");
    let evidence = look(
        &sources,
        "https://huggingface.co/google-bert/bert-base-uncased",
    )
    .await;

    let card = evidence.hub.as_ref().unwrap();
    assert_eq!(card.downloads, Some(50_000_000));
    assert_eq!(card.bytes, Some(440_000_570));
    assert_eq!(card.file_count, Some(3));
    assert_eq!(card.license().expression.unwrap(), "Apache-2.0");
    assert!(card.readme.as_ref().unwrap().contains("Masked"));
    assert_eq!(card.parents(), ["google/ancestor"]);
    assert_eq!(evidence.datasets[0].id, "bookcorpus");

    let project = evidence.github.as_ref().unwrap();
    assert_eq!(project.full_name, "google-research/bert");
    assert_eq!(project.contributors.len(), 2, "robots do not count");
    assert_eq!(
        project.commits,
        Some(Commits {
            seen: 2,
            by_pull_request: 1
        })
    );
    assert_eq!(
        project.reviews,
        Some(Reviews {
            seen: 1,
            reviewed: 1
        })
    );
    assert_eq!(
        project.files,
        ["run_pretraining.py", "tokenization_test.py"]
    );

    let entry = &evidence.requests[0];
    assert_eq!((entry.outcome, entry.status), (Outcome::Found, Some(200)));
    assert_eq!(entry.etag.as_deref(), Some("\"e-tag\""));
    assert_eq!(entry.commit.as_deref(), Some("0123abc"));
    assert_eq!(entry.sha256.as_ref().unwrap().len(), 64);
    assert!(entry.at.is_some());
    assert!(!evidence.is_incomplete());
    let stored = serde_json::to_string(&evidence).unwrap();
    assert_eq!(serde_json::from_str::<Evidence>(&stored).unwrap(), evidence);
}

#[tokio::test]
async fn thirteen_models_take_the_rounds_of_one() {
    let sources = testkit::Upstream::start().await;
    let names: Vec<String> = (0..13)
        .map(|number| format!("owner/bert-{number}"))
        .collect();
    for name in &names {
        put_bert(&sources, name);
    }
    // Entry, README and configuration; then the datasets' four and the repository's seven; then the reviews. No
    // request is answered before those of all thirteen models wait.
    sources.in_rounds([3 * 13, 11 * 13, 13]);
    let upstream = upstream(&sources);
    let upstream = &upstream;
    let looks = names.iter().map(|name| async move {
        let source = format!("https://huggingface.co/{name}").parse().unwrap();
        upstream.look(&source, Kind::Model, far()).await
    });
    for evidence in join_all(looks).await {
        assert!(!evidence.is_incomplete(), "{:?}", evidence.requests);
        assert_eq!(evidence.github.unwrap().reviews.unwrap().seen, 1);
    }
    assert_eq!(sources.rounds(), 3);
    assert_eq!(sources.asked().len(), 15 * 13);
}

#[tokio::test]
async fn old_names_lead_to_the_new_ones() {
    let sources = testkit::Upstream::start().await;
    put_bert(&sources, "google-bert/bert-base-uncased");
    for (old, new) in [
        (
            "/hub/api/models/bert-base-uncased",
            "/hub/api/models/google-bert/bert-base-uncased",
        ),
        (
            "/hub/bert-base-uncased/raw/main/README.md",
            "/hub/google-bert/bert-base-uncased/raw/main/README.md",
        ),
        (
            "/hub/bert-base-uncased/raw/main/config.json",
            "/hub/google-bert/bert-base-uncased/raw/main/config.json",
        ),
    ] {
        sources.put(old, Reply::Moved(new.to_owned()));
    }
    let evidence = look(&sources, "https://huggingface.co/bert-base-uncased").await;
    let card = evidence.hub.unwrap();
    assert_eq!(
        (card.asked.as_str(), card.id.as_str()),
        ("bert-base-uncased", "google-bert/bert-base-uncased")
    );
    assert!(card.readme.is_some());
    assert!(
        evidence.requests[0]
            .answered_by
            .as_ref()
            .unwrap()
            .ends_with("google-bert/bert-base-uncased")
    );
}

#[tokio::test]
async fn redirects_to_other_hosts_and_without_end_are_not_followed() {
    let sources = testkit::Upstream::start().await;
    let elsewhere = testkit::Upstream::start().await;
    sources.put(
        "/hub/api/models/a/b",
        Reply::Moved(format!("{}/api/models/a/b", elsewhere.hub())),
    );
    sources.put(
        "/hub/a/b/raw/main/README.md",
        Reply::Moved("http://169.254.169.254/latest/meta-data".to_owned()),
    );
    sources.put(
        "/hub/a/b/raw/main/config.json",
        Reply::Moved("/hub/a/b/raw/main/config.json".to_owned()),
    );
    let evidence = look(&sources, "https://huggingface.co/a/b").await;
    assert_eq!(outcomes(&evidence), [Outcome::Refused; 3]);
    assert_eq!(elsewhere.asked(), []);
    assert_eq!(
        sources.asked().len(),
        2 + 4,
        "the circle is left after three more questions"
    );
}

#[tokio::test]
async fn what_fails_is_told_and_the_rest_is_kept() {
    for (reply, outcome) in [
        (Reply::Gated(401), Outcome::Gated),
        (Reply::Gated(403), Outcome::Gated),
        (Reply::RateLimited(403), Outcome::RateLimited),
        (Reply::RateLimited(429), Outcome::RateLimited),
        (Reply::Status(404), Outcome::Missing),
        (Reply::Status(503), Outcome::Unreachable),
        (Reply::Status(418), Outcome::Malformed),
        (Reply::Cut, Outcome::Unreachable),
        (Reply::Endless(17 << 20), Outcome::TooLarge),
        (Reply::Text("{\"id\":".to_owned()), Outcome::Malformed),
        (Reply::Text("[".repeat(100_000)), Outcome::Malformed),
        (Reply::Json(json!({"id": 5})), Outcome::Malformed),
    ] {
        let sources = testkit::Upstream::start().await;
        put_bert(&sources, "a/b");
        sources.put("/hub/api/models/a/b", reply.clone());
        let evidence = look(&sources, "https://huggingface.co/a/b").await;
        let entry = &evidence.requests[0];
        assert_eq!(entry.outcome, outcome, "{reply:?}: {entry:?}");
        assert!(entry.detail.is_some());
        let has_wait = entry
            .retry_after
            .is_some_and(|seconds| (1..=600).contains(&seconds));
        assert_eq!(has_wait, outcome == Outcome::RateLimited, "{entry:?}");
        let card = evidence.hub.expect("the README was there");
        assert!(card.readme.is_some() && card.id.is_empty());
    }
}

#[tokio::test]
async fn a_slow_source_ends_with_the_deadline_and_what_was_in_time_is_kept() {
    let sources = testkit::Upstream::start().await;
    put_bert(&sources, "a/b");
    sources.put("/hub/a/b/raw/main/config.json", Reply::Never);
    let source = "https://huggingface.co/a/b".parse().unwrap();
    let deadline = Instant::now() + Duration::from_secs(4);
    let evidence = upstream(&sources)
        .look(&source, Kind::Model, deadline)
        .await;
    assert_eq!(evidence.requests[2].outcome, Outcome::Slow);
    assert!(evidence.is_incomplete());
    assert!(evidence.hub.unwrap().readme.is_some());
    assert!(
        evidence.github.is_some(),
        "half of the time was left for what the card leads to"
    );
}

#[tokio::test]
async fn what_does_not_exist_is_missing() {
    let sources = testkit::Upstream::start().await;
    for (url, requests) in [
        ("https://huggingface.co/a/b", 3),
        ("https://github.com/a/b", 7),
    ] {
        let evidence = look(&sources, url).await;
        assert_eq!(
            outcomes(&evidence),
            vec![Outcome::Missing; requests],
            "{url}"
        );
        assert!(evidence.hub.is_none() && evidence.github.is_none());
    }
}

#[tokio::test]
async fn an_unreachable_source_is_no_failure() {
    let sources = testkit::Upstream::start().await;
    let upstream = upstream(&sources);
    drop(sources);
    let source = "https://huggingface.co/a/b".parse().unwrap();
    let evidence = upstream.look(&source, Kind::Model, far()).await;
    assert_eq!(outcomes(&evidence), [Outcome::Unreachable; 3]);
}

#[tokio::test]
async fn names_cannot_climb_out_of_their_path() {
    let sources = testkit::Upstream::start().await;
    for url in [
        "https://huggingface.co/a/%2e%2e",
        "https://huggingface.co/a/b%2f..%2f..%2fx",
        "https://github.com/a/%3Fx=1",
    ] {
        look(&sources, url).await;
    }
    // A card may name anything as its dataset.
    let entry = json!({"cardData": {"datasets": ["../../github/x", "..", "a/.."]}});
    sources.model("a/b", &entry, "", &json!({}));
    let evidence = look(&sources, "https://huggingface.co/a/b").await;
    assert!(outcomes(&evidence).contains(&Outcome::Refused));
    for asked in sources.asked() {
        let is_inside = ["/hub/api/models/a/", "/hub/a/", "/github/repos/a/"]
            .iter()
            .any(|place| asked.path.starts_with(place));
        assert!(is_inside && !asked.path.contains("/.."), "{}", asked.path);
    }
}

#[tokio::test]
async fn other_services_are_not_asked() {
    let sources = testkit::Upstream::start().await;
    let evidence = look(&sources, "https://www.kaggle.com/datasets/a/b").await;
    assert_eq!(outcomes(&evidence), [Outcome::Unsupported]);
    assert_eq!(sources.asked(), []);
}

#[tokio::test]
async fn each_token_goes_to_its_own_source() {
    let sources = testkit::Upstream::start().await;
    put_bert(&sources, "a/b");
    let mut settings = settings(&sources);
    settings.hugging_face_token = Some("hub-secret".parse().unwrap());
    settings.github_token = Some("github-secret".parse().unwrap());
    let source = "https://huggingface.co/a/b".parse().unwrap();
    let evidence = Upstream::new(&settings)
        .look(&source, Kind::Model, far())
        .await;
    for asked in sources.asked() {
        let expected = if asked.path.starts_with("/hub/") {
            "Bearer hub-secret"
        } else {
            "Bearer github-secret"
        };
        assert_eq!(
            asked.authorization.as_deref(),
            Some(expected),
            "{}",
            asked.path
        );
    }
    assert!(!serde_json::to_string(&evidence).unwrap().contains("secret"));
}

#[tokio::test]
async fn a_public_service_is_not_asked_inside_or_without_tls() {
    let sources = testkit::Upstream::start().await;
    let inside = sources
        .hub()
        .replace("http://127.0.0.1", "https://localhost");
    for (endpoint, reason) in [
        (inside, "not of the public internet"),
        (sources.hub(), "by https only"),
    ] {
        let settings = Settings {
            hugging_face: Endpoint::public(&endpoint),
            ..Settings::default()
        };
        let source = "https://huggingface.co/a/b".parse().unwrap();
        let evidence = Upstream::new(&settings)
            .look(&source, Kind::Model, far())
            .await;
        assert_eq!(outcomes(&evidence), [Outcome::Refused; 3]);
        let detail = evidence.requests[0].detail.as_ref().unwrap();
        assert!(detail.contains(reason), "{detail}");
    }
    assert_eq!(sources.asked(), []);
}

#[tokio::test]
async fn a_repositorys_licence_is_asked_for_alone() {
    let sources = testkit::Upstream::start().await;
    let upstream = upstream(&sources);
    let license = async |id: &'static str| {
        let (owner, name) = id.split_once('/').unwrap();
        let (terms, request) = upstream.license_of(owner, name, far()).await;
        (terms.map(|terms| terms.expression), request.outcome)
    };
    let spdx = |id: &str| json!({"full_name": "a/b", "license": {"spdx_id": id, "name": "Other"}});
    sources.repository("a/mit", &json!({"": spdx("MIT")}));
    sources.repository(
        "a/file",
        &json!({"": spdx("NOASSERTION"), "license": "Apache License\nVersion 2.0"}),
    );
    sources.repository(
        "a/none",
        &json!({"": {"full_name": "a/none", "license": null}}),
    );
    sources.put("/github/repos/a/limited", Reply::RateLimited(403));
    assert_eq!(
        license("a/mit").await,
        (Some(Some("MIT".to_owned())), Outcome::Found)
    );
    assert_eq!(
        license("a/file").await,
        (Some(Some("Apache-2.0".to_owned())), Outcome::Found)
    );
    assert_eq!(license("a/none").await, (Some(None), Outcome::Found));
    assert_eq!(license("a/missing").await, (None, Outcome::Missing));
    assert_eq!(license("a/limited").await, (None, Outcome::RateLimited));
}

/// Longer than any test takes that works.
fn far() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

fn settings(sources: &testkit::Upstream) -> Settings {
    Settings {
        hugging_face: sources.hub().parse().unwrap(),
        github: sources.github().parse().unwrap(),
        ..Settings::default()
    }
}

fn upstream(sources: &testkit::Upstream) -> Upstream {
    Upstream::new(&settings(sources))
}

async fn look(sources: &testkit::Upstream, url: &str) -> Evidence {
    let source = url.parse().unwrap();
    upstream(sources).look(&source, Kind::Model, far()).await
}

fn outcomes(evidence: &Evidence) -> Vec<Outcome> {
    evidence
        .requests
        .iter()
        .map(|request| request.outcome)
        .collect()
}

/// A model with a dataset and a repository.
fn put_bert(sources: &testkit::Upstream, id: &str) {
    let entry = json!({
        "sha": "86b5e0934494bd15c9632b12f734a8a67f723594",
        "downloads": 50_000_000,
        "likes": 2000,
        "lastModified": "2024-02-19T11:06:12.000Z",
        "gated": false,
        "pipeline_tag": "fill-mask",
        "tags": ["transformers", "license:apache-2.0", "dataset:bookcorpus"],
        "cardData": {"license": "apache-2.0", "datasets": ["bookcorpus", "wikipedia"]},
        "siblings": [
            {"rfilename": "config.json", "size": 570},
            {"rfilename": "model.safetensors", "size": 440_000_000},
            {"rfilename": ".gitattributes"},
        ],
    });
    let readme = "# BERT\n\nMasked language model, from https://github.com/google-research/bert.";
    sources.model(
        id,
        &entry,
        readme,
        &json!({"_name_or_path": "google/ancestor"}),
    );
    sources.dataset(
        "bookcorpus",
        &json!({"downloads": 10_000, "tags": []}),
        "# Books",
    );
    let commit = |sha: &str, parent: &str, message: &str| json!({"sha": sha, "parents": [{"sha": parent}], "commit": {"message": message}});
    sources.dataset("wikipedia", &json!({"likes": 5}), "# Articles");
    sources.repository(
        "google-research/bert",
        &json!({
            "": {"full_name": "google-research/bert", "license": {"spdx_id": "Apache-2.0"}, "stargazers_count": 38000, "size": 317},
            "contributors": [
                {"login": "one", "contributions": 30},
                {"login": "two", "contributions": 20},
                {"login": "robot[bot]", "contributions": 90, "type": "Bot"},
            ],
            "languages": {"Python": 300_000},
            "readme": "# BERT\n\nRelease.",
            "git/trees/HEAD": {"tree": [
                {"path": "run_pretraining.py", "type": "blob"},
                {"path": "tokenization_test.py", "type": "blob"},
                {"path": "tests", "type": "tree"},
            ]},
            "commits": [commit("a", "b", "Fix (#3)"), commit("b", "c", "Begin")],
            "pulls": [{"number": 3, "merged_at": "2020-01-01T00:00:00Z", "user": {"login": "one"}}],
            "pulls/3/reviews": [{"user": {"login": "one"}}, {"user": {"login": "two"}}],
        }),
    );
}
