//! How good the code of a model is, by what its repository holds.

use serde_json::json;

use super::readme::Readme;
use super::{Explained, Relations, card, one, reach, real};
use crate::artifact::Kind;
use crate::evidence::{Evidence, Project};
use crate::license::Class;

/// What a repository counts that the card only links to.
const LINKED: f64 = 0.1;
/// What counts code beside the weights, of which nothing else is known.
const BESIDE: f64 = 0.1;
/// Files that say what the code needs.
const MANIFESTS: [&str; 6] = [
    "requirements.txt",
    "setup.py",
    "pyproject.toml",
    "environment.yml",
    "package.json",
    "cargo.toml",
];

const RULE: &str = "of the best registered code: 0.25 for tests, 0.1 for checks that run on every change, 0.1 for a manifest \
    of what it needs, 0.15 for a known licence, 0.2 for a README of 2000 characters or that share of it, 0.2 × stars on a \
    logarithmic scale to 10^4; a tenth of that for a repository that the card only links to; 0.1 for scripts beside the \
    weights; 0 without code";

pub(super) fn score(evidence: &Evidence, relations: &Relations) -> Explained {
    let registered = relations
        .code
        .iter()
        .map(|code| (code.id.to_string(), quality(&code.evidence)));
    let linked = evidence
        .github
        .as_ref()
        .map(|project| (project.asked.clone(), LINKED * of_project(project)));
    let has_scripts =
        card(evidence).is_some_and(|card| card.files.iter().any(|file| is_script(&file.path)));
    let beside = has_scripts.then(|| ("beside the weights".to_owned(), BESIDE));
    let all: Vec<(String, f64)> = registered.chain(linked).chain(beside).collect();
    let best = all.iter().map(|(_, quality)| *quality).reduce(f64::max);
    Explained::new(best.unwrap_or(0.0), RULE, [("code", json!(all))])
}

/// Of a registered artifact; a space of the Hub has a page instead of a repository.
fn quality(evidence: &Evidence) -> f64 {
    match (&evidence.github, &evidence.hub) {
        (Some(project), _) => of_project(project),
        (None, Some(card)) => of_project(&Project {
            license: evidence.license().expression,
            stars: card.likes,
            readme: evidence.readme(Kind::Code).map(ToOwned::to_owned),
            files: card.files.iter().map(|file| file.path.clone()).collect(),
            ..Project::default()
        }),
        (None, None) => 0.0,
    }
}

fn of_project(project: &Project) -> f64 {
    const LONG: u64 = 2000;
    let paths: Vec<String> = project
        .files
        .iter()
        .map(|path| path.to_lowercase())
        .collect();
    let tests = paths.iter().any(|path| {
        let file = path.rsplit('/').next().unwrap_or_default();
        let folders = path.strip_suffix(file).unwrap_or_default();
        folders
            .split('/')
            .any(|folder| matches!(folder, "test" | "tests" | "__tests__"))
            || file.starts_with("test_")
            || ["_test.py", "_test.go", "_test.cc", ".test.ts", ".test.js"]
                .iter()
                .any(|end| file.ends_with(end))
    });
    let checks = paths.iter().any(|path| {
        path.starts_with(".github/workflows/")
            || matches!(path.as_str(), ".travis.yml" | ".gitlab-ci.yml" | "tox.ini")
    });
    let manifest = paths
        .iter()
        .any(|path| MANIFESTS.contains(&path.rsplit('/').next().unwrap_or_default()));
    let has_license = project.license().class() != Class::Unknown;
    let length = Readme::new(project.readme.as_deref()).length();
    0.25 * one(tests)
        + 0.1 * one(checks)
        + 0.1 * one(manifest)
        + 0.15 * one(has_license)
        + 0.2 * (real(length.min(LONG)) / real(LONG))
        + 0.2 * reach(project.stars.unwrap_or(0), 4.0)
}

fn is_script(path: &str) -> bool {
    let end = std::path::Path::new(path)
        .extension()
        .and_then(|end| end.to_str());
    end.is_some_and(|end| {
        ["py", "ipynb", "sh", "js", "rs"]
            .iter()
            .any(|known| end.eq_ignore_ascii_case(known))
    })
}
