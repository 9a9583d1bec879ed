//! Ratings against the published samples, and against what must hold of any.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests stop at what they do not expect"
)]

use proptest::prelude::*;
use registry::evidence::{Card, Commits, Contributor, Evidence, File, Project, Reviews};
use registry::rating::{Parent, Rating, Related, Relations, Snapshot, rate};
use serde_json::{Value, json};

/// How far a score may be from the sample's: the samples were made by another rule, which nobody published.
const TOLERANCE: f64 = 0.15;
/// The net score is a mean, whose differences even out.
const NET_TOLERANCE: f64 = 0.1;

#[test]
fn a_famous_model_with_code_and_data_is_rated_like_the_sample() {
    let snapshot = rate("bert-base-uncased", &bert(), &relations_of_bert());
    hold(
        &snapshot,
        [0.95, 0.90, 0.95, 0.92, 1.00],
        [0.20, 0.40, 0.95, 1.00],
        [1.00, 0.95, 0.93],
    );
}

#[test]
fn a_model_without_a_word_is_rated_like_the_sample() {
    let snapshot = rate(
        "audience_classifier_model",
        &audience_classifier(),
        &Relations::default(),
    );
    hold(
        &snapshot,
        [0.35, 0.25, 0.33, 0.15, 0.00],
        [0.75, 0.80, 1.00, 1.00],
        [0.00, 0.00, 0.10],
    );
}

#[test]
fn a_small_model_without_registered_code_is_rated_like_the_sample() {
    let snapshot = rate("whisper-tiny", &whisper(), &Relations::default());
    hold(
        &snapshot,
        [0.70, 0.85, 0.90, 0.80, 1.00],
        [0.90, 0.95, 1.00, 1.00],
        [0.00, 0.00, 0.00],
    );
}

#[test]
fn a_model_of_which_nothing_is_known_has_a_rating() {
    let snapshot = rate("nothing", &Evidence::default(), &Relations::default());
    assert_valid(&snapshot);
    assert_eq!(snapshot.rating.reviewedness.to_bits(), (-1.0f64).to_bits());
    assert!(snapshot.rating.net_score < 0.05);
    assert!(
        snapshot
            .rating
            .below(0.5, &Relations::default())
            .contains(&"license")
    );
    let low = snapshot.rating.below(0.5, &Relations::default());
    assert!(
        !low.contains(&"reviewedness") && !low.contains(&"tree_score"),
        "{low:?}"
    );
}

#[test]
fn the_fields_are_those_of_the_contract() {
    let rating = serde_json::to_value(rate("x", &bert(), &relations_of_bert()).rating).unwrap();
    let fields: Vec<&str> = rating
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut expected = vec!["name".to_owned(), "category".to_owned()];
    for metric in [
        "net_score",
        "ramp_up_time",
        "bus_factor",
        "performance_claims",
        "license",
        "dataset_and_code_score",
        "dataset_quality",
        "code_quality",
        "reproducibility",
        "reviewedness",
        "tree_score",
        "size_score",
    ] {
        expected.push(metric.to_owned());
        expected.push(format!("{metric}_latency"));
    }
    expected.sort();
    let mut sorted = fields.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    assert_eq!(fields.len(), 26);
    let devices: Vec<&String> = rating["size_score"].as_object().unwrap().keys().collect();
    assert_eq!(devices.len(), 4);
}

#[test]
fn every_score_says_why() {
    let snapshot = rate("x", &bert(), &relations_of_bert());
    assert_eq!(snapshot.explanation.len(), 12);
    for (metric, explained) in &snapshot.explanation {
        assert!(!explained.rule.is_empty(), "{metric}");
        assert!(!explained.inputs.is_empty(), "{metric}");
    }
    let license = &snapshot.explanation["license"];
    assert_eq!(license.inputs["expression"], json!("Apache-2.0"));
}

#[test]
fn reviews_need_a_repository_and_count_by_the_code_they_cover() {
    let mut evidence = whisper();
    let reviewedness = |evidence: &Evidence| {
        rate("x", evidence, &Relations::default())
            .rating
            .reviewedness
    };
    let project = evidence.github.as_mut().unwrap();
    project.commits = Some(Commits {
        seen: 10,
        by_pull_request: 5,
    });
    project.reviews = Some(Reviews {
        seen: 4,
        reviewed: 2,
    });
    assert!((reviewedness(&evidence) - 0.25).abs() < 1e-9);
    evidence.github.as_mut().unwrap().reviews = None;
    assert!(reviewedness(&evidence).abs() < 1e-9);
    evidence.github = None;
    assert!((reviewedness(&evidence) + 1.0).abs() < 1e-9);
}

#[test]
fn the_tree_is_the_mean_of_rated_parents() {
    let parent = |id: &str, net_score| Parent {
        id: id.parse().unwrap(),
        net_score,
    };
    let tree = |parents| {
        rate(
            "x",
            &bert(),
            &Relations {
                parents,
                ..Relations::default()
            },
        )
        .rating
        .tree_score
    };
    assert!(
        (tree(vec![
            parent("1", Some(0.2)),
            parent("2", Some(0.6)),
            parent("3", None)
        ]) - 0.4)
            .abs()
            < 1e-9
    );
    assert!((tree(vec![parent("3", None)]) - 0.5).abs() < 1e-9);
}

#[test]
fn the_licence_scores_by_what_it_asks_for() {
    for (license, score) in [
        ("mit", 1.0),
        ("apache-2.0", 1.0),
        ("lgpl-2.1", 1.0),
        ("mpl-2.0", 1.0),
        ("epl-2.0", 1.0),
        ("bsd", 0.7),
        ("apache", 0.7),
        ("open source", 0.3),
        ("openrail", 0.3),
        ("gpl-3.0", 0.0),
        ("agpl-3.0", 0.0),
        ("cc-by-nc-4.0", 0.0),
        ("other", 0.0),
    ] {
        let mut evidence = bert();
        evidence
            .hub
            .as_mut()
            .unwrap()
            .card_data
            .insert("license".to_owned(), json!(license));
        let rated = rate("x", &evidence, &Relations::default()).rating.license;
        assert!((rated - score).abs() < 1e-9, "{license}: {rated}");
    }
}

#[test]
fn code_of_the_card_counts_by_whether_it_can_be_run() {
    for (block, score) in [
        ("no code at all", 0.0),
        ("```json\n{}\n```", 0.0),
        ("```python\nmodel = load('path/to/model')\n```", 0.5),
        (
            "```python\nfrom x import load\nload('whisper-tiny', 'your_file')\n```",
            0.5,
        ),
        (
            "```python\nfrom x import load\nload('openai/whisper-tiny')\n```",
            1.0,
        ),
    ] {
        let mut evidence = whisper();
        evidence.hub.as_mut().unwrap().readme = Some(block.to_owned());
        let rated = rate("x", &evidence, &Relations::default())
            .rating
            .reproducibility;
        assert!((rated - score).abs() < 1e-9, "{block}: {rated}");
    }
}

#[test]
fn the_inputs_tell_whether_a_rating_is_still_that_of_its_evidence() {
    let relations = relations_of_bert();
    let first = rate("x", &bert(), &relations);
    assert_eq!(first.inputs, rate("x", &bert(), &relations).inputs);
    assert_ne!(
        first.inputs,
        rate("x", &bert(), &Relations::default()).inputs
    );
    let text = serde_json::to_string(&first).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), first);
}

proptest! {
    #[test]
    fn any_evidence_has_a_valid_rating(evidence in evidence(), relations in relations()) {
        assert_valid(&rate("any", &evidence, &relations));
    }

    #[test]
    fn more_downloads_never_harm(evidence in evidence(), relations in relations(), more in 0..1_000_000_000u64) {
        let Some(card) = &evidence.hub else { return Ok(()) };
        let mut better = evidence.clone();
        better.hub = Some(Card { downloads: Some(card.downloads.unwrap_or(0).saturating_add(more)), ..card.clone() });
        let (before, after) = (rate("x", &evidence, &relations).rating, rate("x", &better, &relations).rating);
        not_less(&before, &after, |rating| rating.bus_factor)?;
        not_less(&before, &after, |rating| rating.performance_claims)?;
        not_less(&before, &after, |rating| rating.net_score)?;
    }

    #[test]
    fn larger_weights_never_fit_better(evidence in evidence(), more in 1..u64::MAX) {
        let Some(card) = &evidence.hub else { return Ok(()) };
        let mut larger = evidence.clone();
        let grown = card.files.iter().map(|file| File { size: file.size.map(|size| size.saturating_add(more)), ..file.clone() });
        larger.hub = Some(Card {
            files: grown.collect(),
            bytes: card.bytes.map(|bytes| bytes.saturating_add(more)),
            ..card.clone()
        });
        let none = Relations::default();
        let (before, after) = (rate("x", &larger, &none).rating, rate("x", &evidence, &none).rating);
        // A file that had no bytes was not counted before.
        prop_assume!(card.files.iter().all(|file| file.size.is_none_or(|size| size > 0)));
        not_less(&before, &after, |rating| rating.size_score.raspberry_pi)?;
        not_less(&before, &after, |rating| rating.size_score.jetson_nano)?;
        not_less(&before, &after, |rating| rating.size_score.desktop_pc)?;
        not_less(&before, &after, |rating| rating.size_score.aws_server)?;
    }

    #[test]
    fn registered_code_and_data_never_harm(evidence in evidence(), relations in relations(), added in evidence()) {
        let mut better = relations.clone();
        better.code.push(Related { id: "77".parse().unwrap(), evidence: added.clone() });
        better.datasets.push(Related { id: "78".parse().unwrap(), evidence: added });
        let (before, after) = (rate("x", &evidence, &relations).rating, rate("x", &evidence, &better).rating);
        not_less(&before, &after, |rating| rating.dataset_and_code_score)?;
        not_less(&before, &after, |rating| rating.dataset_quality)?;
        not_less(&before, &after, |rating| rating.code_quality)?;
    }

    #[test]
    fn better_parents_never_harm(evidence in evidence(), score in 0.0..1.0f64, more in 0.0..1.0f64) {
        let of = |net_score| {
            let parents = vec![Parent { id: "1".parse().unwrap(), net_score: Some(net_score) }];
            rate("x", &evidence, &Relations { parents, ..Relations::default() }).rating
        };
        let (before, after) = (of(score), of(score + more));
        not_less(&before, &after, |rating| rating.tree_score)?;
        not_less(&before, &after, |rating| rating.net_score)?;
    }

    #[test]
    fn more_reviews_never_harm(evidence in evidence(), seen in 1..100u64, reviewed in 0..100u64) {
        let of = |reviewed: u64| {
            let mut evidence = evidence.clone();
            let mut project = evidence.github.take().unwrap_or_default();
            project.reviews = Some(Reviews { seen, reviewed: reviewed.min(seen) });
            evidence.github = Some(project);
            rate("x", &evidence, &Relations::default()).rating
        };
        not_less(&of(reviewed), &of(reviewed + 1), |rating| rating.reviewedness)?;
    }
}

fn not_less(
    before: &Rating,
    after: &Rating,
    score: fn(&Rating) -> f64,
) -> Result<(), TestCaseError> {
    prop_assert!(
        score(before) <= score(after) + 1e-12,
        "{before:?}\n{after:?}"
    );
    Ok(())
}

/// Every score is in 0..1 but for reviews without a repository, and nothing is null in JSON.
fn assert_valid(snapshot: &Snapshot) {
    let rating = serde_json::to_value(&snapshot.rating).unwrap();
    let mut numbers: Vec<(String, f64)> = Vec::new();
    for (name, value) in rating.as_object().unwrap() {
        match value {
            Value::Object(devices) => {
                numbers.extend(
                    devices
                        .iter()
                        .map(|(name, value)| (name.clone(), value.as_f64().unwrap())),
                );
            }
            Value::Number(number) => numbers.push((name.clone(), number.as_f64().unwrap())),
            Value::String(_) => {}
            other => panic!("{name} is {other}"),
        }
    }
    assert_eq!(numbers.len(), 27);
    for (name, number) in numbers {
        let is_valid = if name.ends_with("_latency") {
            (0.0..60.0).contains(&number)
        } else {
            (0.0..=1.0).contains(&number)
                || (name == "reviewedness" && number.to_bits() == (-1.0f64).to_bits())
        };
        assert!(is_valid, "{name} is {number}");
    }
}

/// Net, ramp-up, bus factor, performance, licence; the four sizes; dataset and code, and the quality of each.
fn hold(snapshot: &Snapshot, first: [f64; 5], sizes: [f64; 4], last: [f64; 3]) {
    assert_valid(snapshot);
    let rating = &snapshot.rating;
    let size = rating.size_score;
    let scores = [
        ("net_score", rating.net_score, first[0], NET_TOLERANCE),
        ("ramp_up_time", rating.ramp_up_time, first[1], TOLERANCE),
        ("bus_factor", rating.bus_factor, first[2], TOLERANCE),
        (
            "performance_claims",
            rating.performance_claims,
            first[3],
            TOLERANCE,
        ),
        ("license", rating.license, first[4], TOLERANCE),
        ("raspberry_pi", size.raspberry_pi, sizes[0], TOLERANCE),
        ("jetson_nano", size.jetson_nano, sizes[1], TOLERANCE),
        ("desktop_pc", size.desktop_pc, sizes[2], TOLERANCE),
        ("aws_server", size.aws_server, sizes[3], TOLERANCE),
        (
            "dataset_and_code_score",
            rating.dataset_and_code_score,
            last[0],
            TOLERANCE,
        ),
        (
            "dataset_quality",
            rating.dataset_quality,
            last[1],
            TOLERANCE,
        ),
        ("code_quality", rating.code_quality, last[2], TOLERANCE),
    ];
    let shown: Vec<String> = scores
        .iter()
        .map(|(name, score, sample, _)| format!("{name}: {score:.2}, sample {sample:.2}"))
        .collect();
    for (name, score, sample, tolerance) in scores {
        assert!(
            (score - sample).abs() <= tolerance,
            "{name} of\n{}",
            shown.join("\n")
        );
    }
}

fn files(files: &[(&str, u64)]) -> Vec<File> {
    files
        .iter()
        .map(|(path, size)| File {
            path: (*path).to_owned(),
            size: Some(*size),
        })
        .collect()
}

fn people(commits: &[u64]) -> Vec<Contributor> {
    commits
        .iter()
        .enumerate()
        .map(|(number, commits)| Contributor {
            login: format!("p{number}"),
            commits: *commits,
        })
        .collect()
}

fn words(count: usize) -> String {
    "A sentence about what the model was made for, and by whom. ".repeat(count)
}

/// Like a well-known encoder: a long card with a table, code, a paper, a dataset; no results in the metadata.
fn bert() -> Evidence {
    let readme = format!(
        "---\nlicense: apache-2.0\n---\n# A model\n\nFrom [a paper](https://arxiv.org/abs/1810.04805), first released in \
         [a repository](https://github.com/google-research/bert).\n\n## Model description\n\n{}\n\n### How to use\n\n\
         ```python\nfrom transformers import pipeline\nunmasker = pipeline('fill-mask', model='bert-base-uncased')\n```\n\n\
         ### Limitations\n\n## Training data\n\n## Evaluation results\n\nGlue test results, accuracy and F1:\n\n\
         | Task | MNLI | QQP |\n|:----:|:----:|:---:|\n| | 84.6/83.4 | 71.2 |\n",
        words(70)
    );
    Evidence {
        hub: Some(Card {
            asked: "google-bert/bert-base-uncased".to_owned(),
            id: "google-bert/bert-base-uncased".to_owned(),
            downloads: Some(60_000_000),
            likes: Some(2400),
            pipeline_tag: Some("fill-mask".to_owned()),
            library_name: Some("transformers".to_owned()),
            tags: vec![
                "license:apache-2.0".to_owned(),
                "arxiv:1810.04805".to_owned(),
            ],
            card_data: serde_json::from_value(
                json!({"license": "apache-2.0", "datasets": ["bookcorpus", "wikipedia"]}),
            )
            .unwrap(),
            files: files(&[
                ("model.safetensors", 440_449_768),
                ("pytorch_model.bin", 440_473_133),
                ("tf_model.h5", 536_063_208),
                ("config.json", 570),
                ("vocab.txt", 231_508),
            ]),
            file_count: Some(5),
            bytes: Some(1_417_218_187),
            readme: Some(readme),
            ..Card::default()
        }),
        github: google_research_bert().github,
        datasets: vec![bookcorpus()],
        ..Evidence::default()
    }
}

fn google_research_bert() -> Evidence {
    Evidence {
        github: Some(Project {
            asked: "google-research/bert".to_owned(),
            full_name: "google-research/bert".to_owned(),
            license: Some("Apache-2.0".to_owned()),
            stars: Some(39_000),
            contributors: people(&[55, 16, 10, 5, 4, 3, 2, 2, 1, 1, 1, 1, 1]),
            commits: Some(Commits {
                seen: 100,
                by_pull_request: 20,
            }),
            reviews: Some(Reviews {
                seen: 5,
                reviewed: 2,
            }),
            readme: Some(words(100)),
            files: [
                "modeling.py",
                "modeling_test.py",
                "requirements.txt",
                "LICENSE",
            ]
            .map(str::to_owned)
            .to_vec(),
            ..Project::default()
        }),
        ..Evidence::default()
    }
}

fn bookcorpus() -> Card {
    Card {
        asked: "bookcorpus".to_owned(),
        id: "bookcorpus/bookcorpus".to_owned(),
        downloads: Some(12_000),
        likes: Some(310),
        tags: [
            "task_categories:text-generation",
            "language:en",
            "size_categories:10M<n<100M",
            "license:mit",
        ]
        .map(str::to_owned)
        .to_vec(),
        readme: Some(words(60)),
        ..Card::default()
    }
}

fn relations_of_bert() -> Relations {
    let related = |id: &str, evidence| Related {
        id: id.parse().unwrap(),
        evidence,
    };
    Relations {
        code: vec![related("2", google_research_bert())],
        datasets: vec![related(
            "3",
            Evidence {
                hub: Some(bookcorpus()),
                ..Evidence::default()
            },
        )],
        parents: vec![],
    }
}

/// Like a small speech model of a large company: a long card, results in the metadata; code that is only linked to.
fn whisper() -> Evidence {
    let readme = format!(
        "# A model for speech\n\nThe code is [here](https://github.com/openai/whisper), the paper \
         [there](https://arxiv.org/abs/2212.04356).\n\n## Model details\n\n{}\n\n| Size | Parameters |\n|---|---|\n| tiny | 39 M |\n\n\
         # Usage\n\n```python\n>>> from transformers import WhisperProcessor\n\
         >>> processor = WhisperProcessor.from_pretrained(\"openai/whisper-tiny\")\n```\n\n## Evaluation\n\n\
         The WER on LibriSpeech is 7.55.\n\n## Training Data\n",
        words(80)
    );
    let results = json!([{"name": "whisper-tiny", "results": [{"task": {"type": "asr"}, "metrics": [{"type": "wer", "value": 7.54}]}]}]);
    Evidence {
        hub: Some(Card {
            asked: "openai/whisper-tiny".to_owned(),
            id: "openai/whisper-tiny".to_owned(),
            downloads: Some(600_000),
            likes: Some(300),
            pipeline_tag: Some("automatic-speech-recognition".to_owned()),
            library_name: Some("transformers".to_owned()),
            tags: vec![
                "license:apache-2.0".to_owned(),
                "arxiv:2212.04356".to_owned(),
            ],
            card_data: serde_json::from_value(
                json!({"license": "apache-2.0", "model-index": results}),
            )
            .unwrap(),
            files: files(&[
                ("model.safetensors", 151_061_672),
                ("pytorch_model.bin", 151_095_027),
                ("config.json", 1983),
            ]),
            bytes: Some(302_158_682),
            readme: Some(readme),
            ..Card::default()
        }),
        github: Some(Project {
            asked: "openai/whisper".to_owned(),
            license: Some("MIT".to_owned()),
            stars: Some(70_000),
            contributors: people(&[70, 12, 6, 4, 3, 2, 2, 2, 1, 1, 1, 1]),
            commits: Some(Commits {
                seen: 100,
                by_pull_request: 80,
            }),
            reviews: Some(Reviews {
                seen: 5,
                reviewed: 4,
            }),
            readme: Some(words(100)),
            files: [
                "whisper/model.py",
                "tests/test_audio.py",
                ".github/workflows/test.yml",
                "pyproject.toml",
            ]
            .map(str::to_owned)
            .to_vec(),
            ..Project::default()
        }),
        ..Evidence::default()
    }
}

/// Like a student's classifier: weights, and hardly a word.
fn audience_classifier() -> Evidence {
    Evidence {
        hub: Some(Card {
            asked: "parvk11/audience_classifier_model".to_owned(),
            id: "parvk11/audience_classifier_model".to_owned(),
            downloads: Some(12),
            likes: Some(0),
            pipeline_tag: Some("text-classification".to_owned()),
            library_name: Some("transformers".to_owned()),
            tags: vec!["transformers".to_owned()],
            files: files(&[("model.safetensors", 220_000_000), ("config.json", 700)]),
            bytes: Some(220_000_700),
            readme: Some("# audience classifier\n\nSorts texts by their audience.".to_owned()),
            ..Card::default()
        }),
        ..Evidence::default()
    }
}

fn text() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "# Usage\n",
        "```python\nimport a\n",
        "```\n",
        "| a | 1.5 |\n",
        "https://arxiv.org/abs/1 ",
        "accuracy ",
        "é\u{0}\n",
        "---\n",
        "bert ",
        "path/to ",
        "NaN | | inf |\n",
    ]);
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

fn card() -> impl Strategy<Value = Card> {
    let file = (
        proptest::sample::select(vec!["a.safetensors", "b.bin", "c.gguf", "d.py", "README"]),
        any::<Option<u64>>(),
    );
    let data = proptest::sample::select(vec![
        json!({}),
        json!({"license": "mit", "datasets": ["a"]}),
        json!({"license": ["gpl", 5], "datasets": 7, "model-index": [{"results": {}}]}),
        json!({"license": null, "model-index": [{"results": [1, 2]}]}),
    ]);
    (
        any::<Option<u64>>(),
        any::<Option<u64>>(),
        any::<Option<u64>>(),
        proptest::collection::vec(file, 0..6),
        proptest::option::of(text()),
        data,
    )
        .prop_map(|(downloads, likes, bytes, files, readme, data)| Card {
            id: "a/bert".to_owned(),
            downloads,
            likes,
            bytes,
            files: files
                .into_iter()
                .map(|(path, size)| File {
                    path: path.to_owned(),
                    size,
                })
                .collect(),
            readme,
            card_data: serde_json::from_value(data).unwrap(),
            ..Card::default()
        })
}

fn project() -> impl Strategy<Value = Project> {
    (
        any::<Option<u64>>(),
        proptest::collection::vec(any::<u64>(), 0..5),
        any::<Option<(u64, u64)>>(),
        any::<Option<(u64, u64)>>(),
        proptest::option::of(text()),
    )
        .prop_map(|(stars, commits, came, reviews, readme)| Project {
            stars,
            contributors: people(&commits),
            commits: came.map(|(seen, by_pull_request)| Commits {
                seen,
                by_pull_request,
            }),
            reviews: reviews.map(|(seen, reviewed)| Reviews { seen, reviewed }),
            readme,
            ..Project::default()
        })
}

fn evidence() -> impl Strategy<Value = Evidence> {
    (
        proptest::option::of(card()),
        proptest::option::of(project()),
        proptest::collection::vec(card(), 0..2),
    )
        .prop_map(|(hub, github, datasets)| Evidence {
            hub,
            github,
            datasets,
            ..Evidence::default()
        })
}

fn relations() -> impl Strategy<Value = Relations> {
    let related = || {
        proptest::collection::vec(evidence(), 0..2).prop_map(|all| {
            let related = |evidence| Related {
                id: "5".parse().unwrap(),
                evidence,
            };
            all.into_iter().map(related).collect::<Vec<_>>()
        })
    };
    let parents = proptest::collection::vec(proptest::option::of(any::<f64>()), 0..3);
    (related(), related(), parents).prop_map(|(code, datasets, scores)| Relations {
        code,
        datasets,
        parents: scores
            .into_iter()
            .map(|net_score| Parent {
                id: "6".parse().unwrap(),
                net_score,
            })
            .collect(),
    })
}
