//! Folders, template, events and README tell of the same functions and settings.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use document_sync::Config;
use shared::config::{Env, FromEnv};

/// What a deployment to Lambda does not set: there the registry is in S3, whatever they say, what is secret is in a
/// secret, and requests tell where the registry is.
const ELSEWHERE: [&str; 15] = [
    "HF_TOKEN",
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "GITHUB_RAW_URL",
    "ADMIN_PASSWORD",
    "JWT_SECRET_KEY",
    "JWT_SECRET_KEY_PREVIOUS",
    "JWT_ISSUER",
    "JWT_AUDIENCE",
    "LOG_LEVEL",
    "PUBLIC_URL",
    "USE_S3",
    "USE_SQLITE",
    "SQLALCHEMY_DATABASE_URL",
    "ALLOW_VOLATILE_WRITES",
];

#[test]
fn every_function_has_a_resource_an_event_and_a_row_in_the_readme() {
    let (template, readme) = (read("template.yaml"), read("README.md"));
    for function in functions() {
        assert!(
            template.contains(&format!("CodeUri: functions/{function}/\n")),
            "template.yaml has no resource for {function}"
        );
        assert!(
            template.contains(&format!("Binary: {function}\n")),
            "template.yaml does not name the executable of {function}"
        );
        assert!(
            readme.contains(&format!("| [{function}](functions/{function}) |")),
            "README.md has no row for {function}"
        );
        assert!(
            events().any(|event| event.starts_with(&format!("{function}."))),
            "events/ has no sample for {function}"
        );
    }
}

#[test]
fn every_event_belongs_to_a_function() {
    let functions = functions();
    for event in events() {
        let function = event.split('.').next().unwrap();
        assert!(functions.contains(function), "{event} is for no function");
        assert!(
            Path::new(&event)
                .extension()
                .is_some_and(|extension| extension == "json"),
            "{event} is no JSON file"
        );
    }
}

#[test]
fn every_setting_is_documented_and_has_its_place_in_the_deployment() {
    let (template, readme) = (read("template.yaml"), read("README.md"));
    let mut env = Env::default();
    assert!(Config::from_env(&mut env).is_none());
    assert!(registry::Config::from_env(&mut env).is_some());
    assert!(document_loader::Config::from_env(&mut env).is_none());
    let mut deployed = section(&template, "      Variables:", "        ");
    for part in template.split("\n        Variables:\n").skip(1) {
        let variables = format!("Variables:\n{part}");
        deployed.extend(section(&variables, "Variables:", "          "));
    }
    for variable in env.asked() {
        assert!(
            readme.contains(&format!("`{variable}`")),
            "README.md does not tell of {variable}"
        );
        // What begins so is set by Lambda, or is for services elsewhere; the others are for other places than Lambda.
        assert!(
            variable.starts_with("AWS_")
                || ELSEWHERE.contains(&variable)
                || deployed.contains(variable),
            "template.yaml does not set {variable}"
        );
    }
    for variable in deployed {
        assert!(
            readme.contains(&format!("`{variable}`")),
            "README.md does not tell of {variable}, which template.yaml sets"
        );
    }
}

#[test]
fn every_parameter_is_documented_and_used() {
    let (template, readme) = (read("template.yaml"), read("README.md"));
    let parameters = section(&template, "Parameters:", "  ");
    assert!(!parameters.is_empty());
    for parameter in parameters {
        assert!(
            readme.contains(&format!("`{parameter}`")),
            "README.md does not tell of the parameter {parameter}"
        );
        // Once it is declared, once it is grouped.
        assert!(
            template.matches(&parameter).count() > 2,
            "template.yaml does not use the parameter {parameter}"
        );
    }
}

#[test]
fn every_metric_is_documented_and_on_the_dashboard() {
    let (template, readme) = (read("template.yaml"), read("README.md"));
    let shown = between(&template, "\"Holdfast\", \"", "\"");
    let watched: BTreeSet<String> = between(&template, "Namespace: Holdfast\n", "\n")
        .iter()
        .filter_map(|line| line.trim().strip_prefix("MetricName: "))
        .map(ToOwned::to_owned)
        .collect();
    let published = published();
    assert!(!published.is_empty() && !watched.is_empty());
    for metric in &published {
        assert!(
            shown.contains(metric),
            "the dashboard does not show {metric}"
        );
    }
    for metric in shown.iter().chain(&watched) {
        assert!(published.contains(metric), "no function publishes {metric}");
    }
    for metric in published.iter().chain(&shown).chain(&watched) {
        assert!(
            readme.contains(&format!("`{metric}`")),
            "README.md does not tell of the metric {metric}"
        );
    }
}

#[test]
fn every_alarm_is_explained_and_on_the_dashboard() {
    let (template, manual) = (read("template.yaml"), read("docs/operating.md"));
    let alarms: BTreeSet<String> = section(&template, "Resources:", "  ")
        .into_iter()
        .filter(|resource| resource.ends_with("Alarm"))
        .collect();
    assert!(!alarms.is_empty());
    for alarm in alarms {
        assert!(
            manual.contains(&format!("| `{alarm}` |")),
            "docs/operating.md does not explain {alarm}"
        );
        assert!(
            template.contains(&format!("\"${{{alarm}.Arn}}\"")),
            "the dashboard does not show {alarm}"
        );
    }
}

#[test]
fn every_output_that_the_manual_asks_for_is_there() {
    let outputs = section(&read("template.yaml"), "Outputs:", "  ");
    for file in ["README.md", "docs/operating.md"] {
        let asked = between(&read(file), "$(output ", ")");
        assert!(!asked.is_empty());
        for output in asked {
            assert!(outputs.contains(&output), "{file} asks for {output}");
        }
    }
}

#[test]
fn every_link_within_the_documents_leads_somewhere() {
    for (file, folder) in [
        ("README.md", ""),
        ("ARCHITECTURE.md", ""),
        ("docs/operating.md", "docs/"),
    ] {
        let text = read(file);
        for link in between(&text, "](", ")") {
            if link.starts_with("http") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() {
                file.to_owned()
            } else {
                format!("{folder}{path}")
            };
            assert!(
                root().join(&target).exists(),
                "{file} links to {target}, which does not exist"
            );
            assert!(
                heading.is_empty() || headings(&read(&target)).contains(heading),
                "{file} links to {link}, where {target} has no such heading"
            );
        }
    }
}

/// The names of metrics in the source of the functions.
fn published() -> BTreeSet<String> {
    let mut metrics = BTreeSet::new();
    let mut folders: Vec<PathBuf> = functions()
        .iter()
        .map(|function| root().join("functions").join(function).join("src"))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = fs::read_to_string(path).unwrap();
            for call in ["Metric::count(", "Metric::milliseconds("] {
                for arguments in source.split(call).skip(1) {
                    metrics.extend(arguments.split('"').nth(1).map(ToOwned::to_owned));
                }
            }
        }
    }
    metrics
}

/// The keys at one depth below a line of YAML.
fn section(yaml: &str, line: &str, indent: &str) -> BTreeSet<String> {
    let below = yaml.lines().skip_while(|text| *text != line).skip(1);
    below
        .take_while(|text| text.is_empty() || text.starts_with(indent))
        .filter_map(|text| text.strip_prefix(indent)?.split_once(':'))
        .map(|(key, _)| key.to_owned())
        .filter(|key| key.starts_with(|first: char| first.is_ascii_uppercase()))
        .collect()
}

fn between(text: &str, before: &str, after: &str) -> BTreeSet<String> {
    text.split(before)
        .skip(1)
        .filter_map(|rest| rest.split(after).next())
        .map(ToOwned::to_owned)
        .collect()
}

/// The headings of a document as links name them.
fn headings(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = |character: &char| character.is_alphanumeric() || " -_".contains(*character);
            words
                .chars()
                .filter(kept)
                .collect::<String>()
                .replace(' ', "-")
        })
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

fn functions() -> BTreeSet<String> {
    names("functions").collect()
}

fn events() -> impl Iterator<Item = String> {
    names("events")
}

fn names(folder: &str) -> impl Iterator<Item = String> {
    fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
}
