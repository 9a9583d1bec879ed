//! What the operations are, told to people: a page without scripts, made of the document.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::digest;
use serde_json::Value;

use super::App;
use super::html::{Escaped, Text, anchor, is_true, items, line, members, row, table, text};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:64rem;margin:0 auto;padding:1rem}\
h3{margin-top:2.5rem;overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%;margin:.75rem 0}\
caption{text-align:left;font-weight:600}\
th,td{border-bottom:1px solid #8888;padding:.25rem .75rem .25rem 0;text-align:left;vertical-align:top;overflow-wrap:anywhere}\
code{font-family:ui-monospace,monospace}";

/// Nothing may be loaded, and no script may run. The one style sheet is known by its digest.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = BASE64_STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// This document as a page.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "ManualGet",
    tag = "service",
    responses((status = 200, description = "A page", body = String, content_type = "text/html")),
)]
pub(super) async fn page(State(app): State<Arc<App>>) -> Response {
    let page = app.document.get().map(|document| document.page(write));
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, page.unwrap_or_default()).into_response()
}

/// An operation, and where it is in the document.
struct Operation<'a> {
    method: String,
    path: &'a str,
    is: &'a Value,
}

fn write(document: &Value) -> String {
    let operations: Vec<Operation<'_>> = members(document, "paths")
        .flat_map(|(path, item)| {
            item.as_object()
                .into_iter()
                .flatten()
                .map(move |(method, is)| Operation {
                    method: method.to_uppercase(),
                    path,
                    is,
                })
        })
        .collect();
    let info = document.get("info").unwrap_or(&Value::Null);
    let title = Text(info, "title");
    let mut sections = String::new();
    let mut contents = String::new();
    for tag in items(document, "tags") {
        let name = text(tag, "name");
        let id = anchor(name);
        let heading = Text(tag, "description");
        let tagged = || {
            let is_tagged = |operation: &&Operation<'_>| {
                items(operation.is, "tags").any(|tag| tag.as_str() == Some(name))
            };
            operations.iter().filter(is_tagged)
        };
        line(
            &mut contents,
            format_args!("<li><a href=\"#{id}\">{heading}</a>"),
        );
        line(
            &mut sections,
            format_args!("<h2 id=\"{id}\">{heading}</h2>"),
        );
        if name == super::document::NAMES {
            names(&mut sections, tagged());
        } else {
            line(&mut contents, format_args!("<ul>"));
            for operation in tagged() {
                let (id, method) = (operation.id(), &operation.method);
                let path = Escaped(operation.path);
                line(
                    &mut contents,
                    format_args!("<li><a href=\"#{id}\"><code>{method} {path}</code></a></li>"),
                );
                operation.write(&mut sections);
            }
            line(&mut contents, format_args!("</ul>"));
        }
        line(&mut contents, format_args!("</li>"));
    }
    line(
        &mut contents,
        format_args!("<li><a href=\"#schemas\">Schemas</a></li>"),
    );
    line(
        &mut sections,
        format_args!("<h2 id=\"schemas\">Schemas</h2>"),
    );
    if let Some(components) = document.get("components") {
        for (name, schema) in members(components, "schemas") {
            write_schema(&mut sections, name, schema);
        }
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
        <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
        <style>{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title} {version}</h1>\n<p>{description}</p>\n\
        <p>For programs: <a href=\"openapi.json\">openapi.json</a></p>\n</header>\n\
        <nav aria-label=\"Contents\">\n<ul>\n{contents}</ul>\n</nav>\n<main>\n{sections}</main>\n</body>\n</html>\n",
        version = Text(info, "version"),
        description = Text(info, "description"),
    )
}

impl Operation<'_> {
    fn id(&self) -> String {
        match text(self.is, "operationId") {
            "" => anchor(&format!("{} {}", self.method, self.path)),
            id => anchor(id),
        }
    }

    fn write(&self, page: &mut String) {
        let (id, method, path) = (self.id(), &self.method, Escaped(self.path));
        let (summary, description) = (Text(self.is, "summary"), Text(self.is, "description"));
        line(
            page,
            format_args!("<h3 id=\"{id}\"><code>{method} {path}</code></h3>"),
        );
        line(page, format_args!("<p>{summary} {description}</p>"));
        if self.is.get("security").is_some() {
            line(page, format_args!("<p>Needs a token.</p>"));
        }
        let mut parameters = items(self.is, "parameters").peekable();
        if parameters.peek().is_some() {
            let columns = ["Name", "In", "Type", "Meaning"];
            table(page, "Parameters", columns, |page| {
                for parameter in parameters {
                    let name = named(text(parameter, "name"), is_true(parameter, "required"));
                    let place = Text(parameter, "in").to_string();
                    let kind = parameter.get("schema").map(kind).unwrap_or_default();
                    row(
                        page,
                        [
                            name,
                            place,
                            kind,
                            Text(parameter, "description").to_string(),
                        ],
                    );
                }
            });
        }
        if let Some(kind) = self.is.get("requestBody").map(content) {
            line(page, format_args!("<p>Body: {kind}</p>"));
        }
        table(
            page,
            "Answers",
            ["Status", "Body", "Headers", "Meaning"],
            |page| {
                for (status, response) in members(self.is, "responses") {
                    let headers: Vec<String> = members(response, "headers")
                        .map(|(name, _)| format!("<code>{}</code>", Escaped(name)))
                        .collect();
                    let description = Text(response, "description").to_string();
                    let status = Escaped(status).to_string();
                    row(
                        page,
                        [status, content(response), headers.join(", "), description],
                    );
                }
            },
        );
    }
}

/// The other names of operations.
fn names<'a>(page: &mut String, operations: impl Iterator<Item = &'a Operation<'a>>) {
    let columns = ["Operation", "Meaning"];
    table(page, "Other names", columns, |page| {
        for operation in operations {
            let (method, path) = (&operation.method, Escaped(operation.path));
            let name = format!("<code>{method} {path}</code>");
            row(page, [name, Text(operation.is, "summary").to_string()]);
        }
    });
}

fn write_schema(page: &mut String, name: &str, schema: &Value) {
    let id = anchor(&format!("schema {name}"));
    let (name, description) = (Escaped(name), Text(schema, "description"));
    line(
        page,
        format_args!("<h3 id=\"{id}\"><code>{name}</code></h3>"),
    );
    line(page, format_args!("<p>{description}</p>"));
    let all = || items(schema, "allOf");
    let parts: Vec<&Value> = all().filter(|part| part.get("$ref").is_some()).collect();
    for part in &parts {
        line(page, format_args!("<p>All of {}, and:</p>", kind(part)));
    }
    let own: Vec<&Value> = std::iter::once(schema).chain(all()).collect();
    if !own.iter().any(|part| part.get("properties").is_some()) {
        line(page, format_args!("<p>{}</p>", kind(schema)));
        return;
    }
    table(page, "Members", ["Name", "Type", "Meaning"], |page| {
        for part in own {
            for (name, member) in members(part, "properties") {
                let is_required = items(part, "required").any(|required| required == name);
                let description = Text(member, "description").to_string();
                row(page, [named(name, is_required), kind(member), description]);
            }
        }
    });
}

/// What a body is.
fn content(of: &Value) -> String {
    let kinds: Vec<String> = members(of, "content")
        .map(|(media_type, content)| {
            let kind = content.get("schema").map(kind).unwrap_or_default();
            match media_type.as_str() {
                "application/json" => kind,
                media_type => format!("<code>{}</code>: {kind}", Escaped(media_type)),
            }
        })
        .collect();
    kinds.join(", ")
}

/// What a schema is, in a phrase.
fn kind(schema: &Value) -> String {
    if let Some(name) = text(schema, "$ref").strip_prefix("#/components/schemas/") {
        let id = anchor(&format!("schema {name}"));
        return format!("<a href=\"#{id}\"><code>{}</code></a>", Escaped(name));
    }
    let kinds = |keyword: &str| -> Vec<String> { items(schema, keyword).map(kind).collect() };
    for keyword in ["oneOf", "anyOf"] {
        let kinds = kinds(keyword);
        if !kinds.is_empty() {
            return kinds.join(" or ");
        }
    }
    let values: Vec<String> = items(schema, "enum").map(code).collect();
    let mut phrase = match schema.get("type") {
        Some(Value::Array(types)) => {
            let types: Vec<&str> = types.iter().filter_map(Value::as_str).collect();
            Escaped(&types.join(" or ")).to_string()
        }
        _ if !values.is_empty() => values.join(", "),
        Some(Value::String(name)) if name == "array" => {
            let items = schema.get("items").map(kind).unwrap_or_default();
            format!("array of {items}")
        }
        Some(Value::String(name)) => Escaped(name).to_string(),
        _ => "anything".to_owned(),
    };
    if let Some(values) = schema
        .get("additionalProperties")
        .filter(|values| values.is_object())
    {
        let _ = write!(phrase, ", each member {}", kind(values));
    }
    for (keyword, word) in [
        ("format", ""),
        ("minimum", "at least "),
        ("maximum", "at most "),
        ("minLength", "characters at least "),
        ("maxLength", "characters at most "),
        ("pattern", "as "),
        ("default", "default "),
    ] {
        if let Some(value) = schema.get(keyword) {
            let _ = write!(phrase, ", {word}{}", code(value));
        }
    }
    phrase
}

fn code(value: &Value) -> String {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned);
    format!("<code>{}</code>", Escaped(&text))
}

fn named(name: &str, is_required: bool) -> String {
    let required = if is_required { " (required)" } else { "" };
    format!("<code>{}</code>{required}", Escaped(name))
}
