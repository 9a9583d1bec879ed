//! The document of the operations, held against the contract.
//!
//! `contract.json` is the course's specification of the API, version 3.4.7, as a file of YAML read and written as JSON:
//! without descriptions, summaries, titles, tags and examples, and with the parameters of a path put to its operations.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use support::client::start;

/// What is not as the contract has it, by how the difference ends, and why.
const DEVIATIONS: &[(&str, &str)] = &[
    ("parameter id maxLength is 128", "a limit on every size"),
    ("body.metadata.id maxLength is 128", "the same"),
    ("body.url maxLength is 4096", "the same"),
    ("body.data.url maxLength is 4096", "the same"),
    ("parameter name maxLength is 1024", "the same"),
    ("parameter name minLength is 1", "an empty name has no path"),
    ("body.regex maxLength is 4096", "a limit on every size"),
    (
        "body.regex minLength is 1",
        "an empty pattern is most likely a mistake: it would find everything",
    ),
    (
        "body.metadata type is not required",
        "the path has it already",
    ),
    (
        "body.user is_admin is not required",
        "who logs in need not say what the registry knows",
    ),
    (
        "200.nodes[] node is not required",
        "the contract requires a field that it does not have",
    ),
    (
        "200[].action is one of {\"AUDIT\", \"CREATE\", \"DELETE\", \"DOWNLOAD\", \"RATE\", \"UPDATE\"}",
        "deletions are told to who asks with all=true",
    ),
    (
        "200.components[].issues[].details is missing",
        "optional, and there is nothing to tell",
    ),
    (
        "200.components[].logs is missing",
        "optional, and logs are not for everybody",
    ),
    (
        "license-check, 200 type is null instead of \"boolean\"",
        "with explain=true it is an object",
    ),
    ("GET /tracks, 500 is never answered", "it cannot fail"),
    (
        "{artifact_type}, 202 is never answered",
        "models are rated at once, so nothing is deferred",
    ),
    ("{id}, 202 is never answered", "the same"),
    (
        "PUT /authenticate, 501 is never answered",
        "logging in is supported",
    ),
];

/// Statuses that the contract does not name, wherever they are.
const ADDED: &[(&str, &str)] = &[
    ("304", "a client that has the version is not sent it again"),
    ("400", "unknown values of parameters are refused everywhere"),
    ("409", "an update may bring a URL that another artifact has"),
    (
        "412",
        "an update may be made on the condition that nobody else was faster",
    ),
    ("413", "bodies and answers have limits"),
    ("424", "an update may bring a model that is not good enough"),
    ("429", "who guesses passwords is delayed"),
    ("500", "a failure that is nobody's but the registry's"),
    ("503", "without its store the registry answers nothing"),
];

#[tokio::test]
async fn every_operation_of_the_contract_is_served_as_it_says() {
    let ours = start().await.anonymous("/openapi.json").await.1;
    let contract: Value = serde_json::from_str(include_str!("contract.json")).unwrap();
    assert_eq!(contract["version"], "3.4.7");
    let mut comparison = Comparison {
        contract: &contract,
        ours: &ours,
        differences: BTreeSet::new(),
    };
    let mut operations = 0;
    for (path, item) in contract["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations += 1;
            comparison.operation(method, path, operation);
        }
    }
    assert_eq!(operations, 17);
    let differences = comparison.differences;
    let is_known = |difference: &&String| {
        let mut known = DEVIATIONS.iter();
        known.any(|(known, _)| difference.ends_with(known))
    };
    let new: Vec<_> = differences
        .iter()
        .filter(|difference| !is_known(difference))
        .collect();
    let is_gone = |known: &&str| {
        !differences
            .iter()
            .any(|difference| difference.ends_with(*known))
    };
    let gone: Vec<_> = DEVIATIONS
        .iter()
        .map(|(known, _)| *known)
        .filter(is_gone)
        .collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "new: {new:#?}\ngone: {gone:#?}"
    );
}

struct Comparison<'a> {
    contract: &'a Value,
    ours: &'a Value,
    differences: BTreeSet<String>,
}

/// Who writes what a schema describes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    Client,
    Server,
}

impl Comparison<'_> {
    fn operation(&mut self, method: &str, path: &str, theirs: &Value) {
        let ours = self.ours["paths"][path][method].clone();
        let place = format!("{} {path}", method.to_uppercase());
        if ours.is_null() {
            self.differs(&place, "is not served");
            return;
        }
        let parameters = |of: &Value| -> BTreeMap<(String, String), Value> {
            let all = of["parameters"].as_array().into_iter().flatten();
            all.map(|parameter| {
                let text = |member: &str| parameter[member].as_str().unwrap().to_owned();
                ((text("in"), text("name")), parameter.clone())
            })
            .collect()
        };
        let (mut theirs_by_name, mut ours_by_name) = (parameters(theirs), parameters(&ours));
        let token = ("header".to_owned(), "X-Authorization".to_owned());
        let asks_token = theirs_by_name.remove(&token).is_some();
        let schemes = ours["security"].as_array().cloned().unwrap_or_default();
        assert_eq!(
            asks_token,
            schemes.contains(&json!({ "X-Authorization": [] })),
            "{place}"
        );
        for (name, parameter) in theirs_by_name {
            let place = format!("{place}, parameter {}", name.1);
            let Some(own) = ours_by_name.remove(&name) else {
                self.differs(&place, "is missing");
                continue;
            };
            let is_required = |of: &Value| of["required"] == true;
            if is_required(&parameter) != is_required(&own) {
                self.differs(&place, "is required by one only");
            }
            self.schema(&place, &parameter["schema"], &own["schema"], Writer::Client);
        }
        for ((_, name), parameter) in ours_by_name {
            assert_ne!(parameter["required"], true, "{place}, parameter {name}");
        }
        let body = |of: &Value| of["requestBody"]["content"]["application/json"]["schema"].clone();
        assert_eq!(
            theirs["requestBody"]["required"], ours["requestBody"]["required"],
            "{place}"
        );
        let place_of_body = format!("{place}, body");
        self.schema(&place_of_body, &body(theirs), &body(&ours), Writer::Client);
        for (status, response) in theirs["responses"].as_object().unwrap() {
            let place = format!("{place}, {status}");
            let own = &ours["responses"][status];
            if own.is_null() {
                self.differs(&place, "is never answered");
                continue;
            }
            for (header, is) in response["headers"].as_object().into_iter().flatten() {
                let place = format!("{place}, header {header}");
                self.schema(
                    &place,
                    &is["schema"],
                    &own["headers"][header]["schema"],
                    Writer::Server,
                );
            }
            let body = |of: &Value| of["content"]["application/json"]["schema"].clone();
            if !body(response).is_null() {
                self.schema(&place, &body(response), &body(own), Writer::Server);
            }
        }
        for status in ours["responses"].as_object().unwrap().keys() {
            let is_added = ADDED.iter().any(|(added, _)| added == status);
            assert!(
                is_added || !theirs["responses"][status].is_null(),
                "{place}: {status}"
            );
        }
    }

    fn schema(&mut self, place: &str, theirs: &Value, ours: &Value, writer: Writer) {
        let theirs = resolved(self.contract, theirs);
        let ours = resolved(self.ours, ours);
        for keyword in [
            "type", "format", "pattern", "minimum", "maximum", "default", "readOnly",
        ] {
            let (their, own) = (&theirs[keyword], &ours[keyword]);
            let is_narrower =
                writer == Writer::Client && ["pattern", "minimum", "maximum"].contains(&keyword);
            // An integer is a number to who reads it.
            let is_narrow = writer == Writer::Server && their == "number" && own == "integer";
            if their != own && !is_narrow && (!their.is_null() || is_narrower) {
                self.differs(place, &format!("{keyword} is {own} instead of {their}"));
            }
        }
        if writer == Writer::Client {
            for keyword in ["minLength", "maxLength", "maxItems"] {
                if theirs[keyword] != ours[keyword] {
                    self.differs(place, &format!("{keyword} is {}", ours[keyword]));
                }
            }
        }
        let values = |of: &Value| -> BTreeSet<String> {
            let all = of["enum"].as_array().into_iter().flatten();
            all.map(|value| value.as_str().unwrap().to_owned())
                .collect()
        };
        let (their_values, own_values) = (values(&theirs), values(&ours));
        let is_alike = match writer {
            Writer::Client => their_values == own_values,
            // Fewer values are no surprise to a client.
            Writer::Server => {
                their_values.is_empty()
                    || own_values.is_subset(&their_values) && !own_values.is_empty()
            }
        };
        if !is_alike {
            self.differs(place, &format!("is one of {own_values:?}"));
        }
        let required = |of: &Value| -> BTreeSet<String> {
            let all = of["required"].as_array().into_iter().flatten();
            all.map(|name| name.as_str().unwrap().to_owned()).collect()
        };
        let (their_required, own_required) = (required(&theirs), required(&ours));
        for name in their_required.difference(&own_required) {
            self.differs(place, &format!("{name} is not required"));
        }
        if writer == Writer::Client {
            for name in own_required.difference(&their_required) {
                self.differs(place, &format!("{name} is required"));
            }
        }
        for (name, schema) in theirs["properties"].as_object().into_iter().flatten() {
            if writer == Writer::Client && resolved(self.contract, schema)["readOnly"] == true {
                continue;
            }
            let place = format!("{place}.{name}");
            let own = &ours["properties"][name];
            if own.is_null() {
                self.differs(&place, "is missing");
            } else {
                self.schema(&place, schema, own, writer);
            }
        }
        for keyword in ["items", "additionalProperties"] {
            if theirs[keyword].is_object() {
                self.schema(
                    &format!("{place}[]"),
                    &theirs[keyword],
                    &ours[keyword],
                    writer,
                );
            }
        }
    }

    fn differs(&mut self, place: &str, how: &str) {
        self.differences.insert(format!("{place} {how}"));
    }
}

/// A schema without references, alternatives to null, and parts.
fn resolved(document: &Value, schema: &Value) -> Value {
    if let Some(place) = schema["$ref"].as_str() {
        return resolved(
            document,
            document.pointer(place.trim_start_matches('#')).unwrap(),
        );
    }
    let null = json!({ "type": "null" });
    let alternatives = schema["oneOf"].as_array().into_iter().flatten();
    let alternatives: Vec<&Value> = alternatives
        .filter(|alternative| **alternative != null)
        .collect();
    if let [only] = alternatives.as_slice() {
        return resolved(document, only);
    }
    let mut whole = schema.clone();
    if let Some(types) = schema["type"].as_array() {
        let [only] = types
            .iter()
            .filter(|kind| **kind != "null")
            .collect::<Vec<_>>()[..]
        else {
            return whole;
        };
        whole["type"] = only.clone();
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        let part = resolved(document, part);
        whole["type"] = part["type"].clone();
        for (name, property) in part["properties"].as_object().into_iter().flatten() {
            whole["properties"][name] = property.clone();
        }
        let mut required = whole["required"].as_array().cloned().unwrap_or_default();
        required.extend(part["required"].as_array().cloned().unwrap_or_default());
        whole["required"] = required.into();
    }
    whole
}
