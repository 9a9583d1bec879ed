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
fn every_setting_is_documented_and_the_required_ones_are_deployed() {
    let (template, readme) = (read("template.yaml"), read("README.md"));
    let mut env = Env::default();
    assert!(Config::from_env(&mut env).is_none());
    let problems = Config::read(Env::default()).unwrap_err().to_string();
    for variable in env.asked() {
        assert!(
            readme.contains(&format!("`{variable}`")),
            "README.md does not tell of {variable}"
        );
        if problems.contains(&format!("{variable} is not set")) {
            assert!(
                template.contains(&format!("{variable}: ")),
                "template.yaml does not set {variable}"
            );
        }
    }
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
