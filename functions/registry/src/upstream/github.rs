//! GitHub: <https://docs.github.com/en/rest>.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use serde::Deserialize;
use tokio::time::Instant;

use super::service::{Answer, Question, Service};
use super::{MAX_DOCUMENT, MAX_README, half_of, parse, text};
use crate::evidence::{Commits, Contributor, MAX_FILES, Outcome, Project, Request, Reviews};
use crate::license::Terms;

/// The form of GitHub's answers.
const JSON: &str = "application/vnd.github+json";
/// The form in which a README is its text.
const RAW: &str = "application/vnd.github.raw+json";
/// What a licence's file is called, the most usual name first.
const LICENSE_FILES: [&str; 4] = ["LICENSE", "LICENSE.txt", "LICENSE.md", "COPYING"];
/// How many pull requests are asked for their reviews: with a token 5000 questions an hour are free, without 60.
const REVIEWS: usize = 10;
const REVIEWS_WITHOUT_TOKEN: usize = 3;

#[derive(Deserialize)]
struct Repository {
    full_name: String,
    description: Option<String>,
    license: Option<License>,
    stargazers_count: Option<u64>,
    forks_count: Option<u64>,
    #[serde(default)]
    archived: bool,
    /// In units of 1024 bytes.
    size: Option<u64>,
    pushed_at: Option<String>,
}

#[derive(Deserialize)]
struct License {
    spdx_id: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct User {
    login: String,
    #[serde(default, rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Author {
    login: Option<String>,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    contributions: u64,
}

#[derive(Deserialize)]
struct Tree {
    tree: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    path: String,
    #[serde(default, rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Commit {
    sha: String,
    #[serde(default)]
    parents: Vec<Parent>,
    #[serde(rename = "commit")]
    text: Message,
}

#[derive(Deserialize)]
struct Parent {
    sha: String,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct PullRequest {
    number: u64,
    merged_at: Option<String>,
    merge_commit_sha: Option<String>,
    user: Option<User>,
}

#[derive(Deserialize)]
struct Review {
    user: Option<User>,
}

/// Asks for a repository: all at once, then for the reviews of its newest pull requests.
pub(super) async fn project(
    github: &Service,
    owner: &str,
    name: &str,
    deadline: Instant,
) -> (Option<Project>, Vec<Request>) {
    // What is slow must leave time for the reviews.
    let first = half_of(deadline);
    let ask = |path: &'static [&'static str], query, accept, limit| async move {
        let path: Vec<&str> = ["repos", owner, name]
            .into_iter()
            .chain(path.iter().copied())
            .collect();
        let question = Question {
            path: &path,
            query,
            accept,
            limit,
        };
        github.ask(&question, first).await
    };
    let (repository, contributors, languages, readme, tree, commits, pulls) = tokio::join!(
        ask(&[], None, JSON, MAX_DOCUMENT),
        ask(&["contributors"], Some("per_page=100"), JSON, MAX_DOCUMENT),
        ask(&["languages"], None, JSON, MAX_DOCUMENT),
        ask(&["readme"], None, RAW, MAX_README),
        ask(
            &["git", "trees", "HEAD"],
            Some("recursive=1"),
            JSON,
            MAX_DOCUMENT
        ),
        ask(&["commits"], Some("per_page=100"), JSON, MAX_DOCUMENT),
        ask(
            &["pulls"],
            Some("state=closed&sort=updated&direction=desc&per_page=100"),
            JSON,
            MAX_DOCUMENT
        ),
    );
    let mut requests = Vec::new();
    let repository: Option<Repository> = understood(repository, &mut requests);
    let contributors: Option<Vec<Author>> = understood(contributors, &mut requests);
    let languages: Option<BTreeMap<String, u64>> = understood(languages, &mut requests);
    let readme = {
        let body = readme.body;
        requests.push(readme.request);
        body.map(|body| text(&body))
    };
    let tree: Option<Tree> = understood(tree, &mut requests);
    let commits: Option<Vec<Commit>> = understood(commits, &mut requests);
    let pulls: Option<Vec<PullRequest>> = understood(pulls, &mut requests);
    let reviews = match &pulls {
        Some(pulls) => Some(reviews(github, owner, name, pulls, deadline, &mut requests).await),
        None => None,
    };
    if !requests
        .iter()
        .any(|request| request.outcome == Outcome::Found)
    {
        return (None, requests);
    }
    let mut project = repository.map_or_else(Project::default, kept);
    project.asked = format!("{owner}/{name}");
    project.contributors = contributors
        .into_iter()
        .flatten()
        .filter_map(person)
        .collect();
    project.languages = languages.unwrap_or_default();
    project.readme = readme;
    project.files = tree
        .into_iter()
        .flat_map(|tree| tree.tree)
        .filter(|entry| entry.kind == "blob")
        .take(MAX_FILES)
        .map(|entry| entry.path)
        .collect();
    project.commits =
        commits.map(|commits| how_they_came(&commits, pulls.as_deref().unwrap_or_default()));
    project.reviews = reviews;
    (Some(project), requests)
}

/// Asks for a repository's licence alone. Where GitHub names a file but no licence, its text is read.
pub(super) async fn license(
    github: &Service,
    owner: &str,
    name: &str,
    deadline: Instant,
) -> (Option<Terms>, Request) {
    let ask = |last: &'static [&'static str], accept| async move {
        let path: Vec<&str> = ["repos", owner, name]
            .into_iter()
            .chain(last.iter().copied())
            .collect();
        let question = Question {
            path: &path,
            query: None,
            accept,
            limit: MAX_DOCUMENT,
        };
        github.ask(&question, deadline).await
    };
    let (repository, file) = tokio::join!(ask(&[], JSON), ask(&["license"], RAW));
    let mut request = repository.request;
    let found = repository
        .body
        .and_then(|body| parse::<Repository>(&body, &mut request));
    let terms = found.map(|repository| {
        let terms = kept(repository).license();
        match file.body {
            Some(body) if terms.expression.is_none() => Terms::of_text(&text(&body)),
            _ => terms,
        }
    });
    (terms, request)
}

/// The licence by the text of its file, and the question that found one.
pub(super) async fn license_file(
    files: &Service,
    owner: &str,
    name: &str,
    deadline: Instant,
) -> Option<(Terms, Request)> {
    let asked = LICENSE_FILES.map(|file| async move {
        let question = Question {
            path: &[owner, name, "HEAD", file],
            query: None,
            accept: "*/*",
            limit: MAX_README,
        };
        files.ask(&question, deadline).await
    });
    let found = join_all(asked).await.into_iter();
    let mut found = found.filter_map(|answer| Some((answer.body?, answer.request)));
    let (body, request) = found.next()?;
    Some((Terms::of_text(&text(&body)), request))
}

fn understood<T: for<'a> Deserialize<'a>>(
    answer: Answer,
    requests: &mut Vec<Request>,
) -> Option<T> {
    let mut request = answer.request;
    // An empty repository has 204 and no list of contributors.
    let body = answer.body.filter(|body| !body.is_empty());
    let found = body.and_then(|body| parse(&body, &mut request));
    requests.push(request);
    found
}

fn kept(repository: Repository) -> Project {
    let license = repository.license.and_then(|license| {
        let is_id = |id: &String| !id.is_empty() && id != "NOASSERTION";
        license.spdx_id.filter(is_id).or(license.name)
    });
    Project {
        full_name: repository.full_name,
        description: repository.description,
        license,
        stars: repository.stargazers_count,
        forks: repository.forks_count,
        archived: repository.archived,
        bytes: repository.size.map(|size| size.saturating_mul(1024)),
        pushed_at: repository.pushed_at,
        ..Project::default()
    }
}

fn person(author: Author) -> Option<Contributor> {
    let login = author.login?;
    (author.kind != "Bot" && !login.ends_with("[bot]")).then_some(Contributor {
        login,
        commits: author.contributions,
    })
}

async fn reviews(
    github: &Service,
    owner: &str,
    name: &str,
    pulls: &[PullRequest],
    deadline: Instant,
    requests: &mut Vec<Request>,
) -> Reviews {
    let most = if github.has_token() {
        REVIEWS
    } else {
        REVIEWS_WITHOUT_TOKEN
    };
    let merged = pulls
        .iter()
        .filter(|pull| pull.merged_at.is_some())
        .take(most);
    let asked = merged.map(|pull| async move {
        let number = pull.number.to_string();
        let question = Question {
            path: &["repos", owner, name, "pulls", &number, "reviews"],
            query: Some("per_page=100"),
            accept: JSON,
            limit: MAX_DOCUMENT,
        };
        (pull, github.ask(&question, deadline).await)
    });
    let mut seen = Reviews::default();
    for (pull, answer) in join_all(asked).await {
        let Some(reviews) = understood::<Vec<Review>>(answer, requests) else {
            continue;
        };
        let author = pull.user.as_ref().map(|user| user.login.as_str());
        let is_reviewed = reviews
            .iter()
            .filter_map(|review| review.user.as_ref())
            .any(|user| Some(user.login.as_str()) != author && user.kind != "Bot");
        seen.seen += 1;
        seen.reviewed += u64::from(is_reviewed);
    }
    seen
}

/// Which of the newest commits came by a pull request: those that GitHub names as the result of one, those whose
/// first line ends in its number, and those that a merge of one brought in.
fn how_they_came(commits: &[Commit], pulls: &[PullRequest]) -> Commits {
    let merged: BTreeSet<&str> = pulls
        .iter()
        .filter(|pull| pull.merged_at.is_some())
        .filter_map(|pull| pull.merge_commit_sha.as_deref())
        .collect();
    let by_sha: BTreeMap<&str, &Commit> = commits
        .iter()
        .map(|commit| (commit.sha.as_str(), commit))
        .collect();
    let mut main_line = BTreeSet::new();
    let mut next = commits.first();
    while let Some(commit) = next {
        if !main_line.insert(commit.sha.as_str()) {
            break; // no history does this, but an answer might
        }
        next = commit
            .parents
            .first()
            .and_then(|parent| by_sha.get(parent.sha.as_str()).copied());
    }
    let mut by_pull_request = BTreeSet::new();
    for commit in commits
        .iter()
        .filter(|commit| main_line.contains(commit.sha.as_str()))
    {
        let title = commit.text.message.lines().next().unwrap_or_default();
        let is_merge = commit.parents.len() > 1;
        let is_named = if is_merge {
            title.starts_with("Merge pull request #")
        } else {
            ends_in_number(title)
        };
        if !is_named && !merged.contains(commit.sha.as_str()) {
            continue;
        }
        by_pull_request.insert(commit.sha.as_str());
        let mut brought: Vec<&str> = commit
            .parents
            .iter()
            .skip(1)
            .map(|parent| parent.sha.as_str())
            .collect();
        while let Some(sha) = brought.pop() {
            let Some(commit) = by_sha.get(sha).filter(|_| !main_line.contains(sha)) else {
                continue;
            };
            if by_pull_request.insert(sha) {
                brought.extend(commit.parents.iter().map(|parent| parent.sha.as_str()));
            }
        }
    }
    let count = |is_counted: &dyn Fn(&Commit) -> bool| {
        let counted = commits
            .iter()
            .filter(|commit| commit.parents.len() < 2 && is_counted(commit));
        u64::try_from(counted.count()).unwrap_or(u64::MAX)
    };
    Commits {
        seen: count(&|_| true),
        by_pull_request: count(&|commit| by_pull_request.contains(commit.sha.as_str())),
    }
}

/// Whether a title ends like `(#123)`, as GitHub writes it when it squashes a pull request.
fn ends_in_number(title: &str) -> bool {
    let number = title
        .trim_end()
        .strip_suffix(')')
        .and_then(|rest| rest.rsplit_once("(#"));
    number.is_some_and(|(_, digits)| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn commits_of_pull_requests_are_told_from_pushed_ones() {
        // a pushed, b squashed, c merges d and e, f rebased by the pull request, g pushed.
        let commit = |sha: &str, parents: &[&str], message: &str| {
            let parents: Vec<_> = parents.iter().map(|sha| json!({ "sha": sha })).collect();
            json!({"sha": sha, "parents": parents, "commit": {"message": message}})
        };
        let commits: Vec<Commit> = serde_json::from_value(json!([
            commit("a", &["b"], "Fix"),
            commit("b", &["c"], "Add a thing (#12)\n\nmore"),
            commit("c", &["f", "d"], "Merge pull request #11 from x/y"),
            commit("d", &["e"], "One"),
            commit("e", &["g"], "Two"),
            commit("f", &["g"], "Rebased"),
            commit("g", &["outside"], "See (#nothing)"),
        ]))
        .unwrap();
        let pulls: Vec<PullRequest> = serde_json::from_value(json!([
            {"number": 10, "merged_at": "2026-01-01T00:00:00Z", "merge_commit_sha": "f"},
            {"number": 9, "merged_at": null, "merge_commit_sha": "g"},
        ]))
        .unwrap();
        let came = how_they_came(&commits, &pulls);
        assert_eq!(
            came,
            Commits {
                seen: 6,
                by_pull_request: 4
            }
        );
    }
}
