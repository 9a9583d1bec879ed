//! What the operations are, told to programs in a document of `OpenAPI`, made of the lines that the routes are made of.
//!
//! What many operations have in common is not repeated at each of them but added here: the statuses of the gate and of
//! the store, the form of problems, and who may.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::handler::Handler;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use serde_json::{Map, Value, json};
use utoipa::openapi::{HttpMethod, OpenApi};
use utoipa_axum::PathItemExt as _;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::App;
use super::answer::STORE;
use crate::artifact::Kind;

const OF_THE_REQUEST: &str = "The request is not valid";
const TOO_LARGE: &str = "The body is larger than a megabyte";
const OF_THE_GATE: &str = "There is no valid token, or its user may not do that";
const INTERNAL: &str = "The registry failed. Its log has the reason";
const UNAVAILABLE: &str = "The store does not answer, or others change the same all the time";
const DESCRIPTION: &str = "An artifact registry for models, datasets and code. Log in with `PUT /authenticate`, and send the \
    token in the header `X-Authorization`, or in `Authorization`. Fields that are not known are ignored. Every failure is a \
    problem as RFC 9457 has it.";

/// Routes, and what they do.
#[derive(Default)]
pub(super) struct Routes {
    pub(super) router: Router<Arc<App>>,
    pub(super) documented: Documented,
}

/// What some routes do.
#[derive(Debug, Default)]
pub(super) struct Documented {
    api: OpenApi,
    names: Vec<OtherName>,
}

/// A path under which an operation is served as well.
#[derive(Debug)]
struct OtherName {
    method: HttpMethod,
    path: &'static str,
    of: &'static str,
}

impl Routes {
    /// Operations that say themselves what they are.
    pub(super) fn with(mut self, operations: UtoipaMethodRouter<Arc<App>>) -> Self {
        let (router, api) = OpenApiRouter::default()
            .routes(operations)
            .split_for_parts();
        self.documented.api.merge(api);
        self.router = self.router.merge(router);
        self
    }

    /// Another name of an operation.
    pub(super) fn also<T: 'static>(
        mut self,
        method: HttpMethod,
        path: &'static str,
        of: &'static str,
        handler: impl Handler<T, Arc<App>>,
    ) -> Self {
        let filter = method.to_method_filter();
        self.router = self.router.route(path, on(filter, handler));
        self.documented.names.push(OtherName { method, path, of });
        self
    }
}

/// The document, made when somebody asks for it.
#[derive(Debug)]
pub(super) struct Document {
    for_callers: Documented,
    for_everyone: Documented,
    json: OnceLock<Bytes>,
    page: OnceLock<Bytes>,
}

impl Document {
    pub(super) fn new(for_callers: Documented, for_everyone: Documented) -> Self {
        Self {
            for_callers,
            for_everyone,
            json: OnceLock::new(),
            page: OnceLock::new(),
        }
    }

    fn json(&self) -> Bytes {
        let json = || self.value().to_string().into();
        self.json.get_or_init(json).clone()
    }

    /// The page, made by `write` when it is wanted first.
    pub(super) fn page(&self, write: impl FnOnce(&Value) -> String) -> Bytes {
        let page = || write(&self.value()).into();
        self.page.get_or_init(page).clone()
    }

    fn value(&self) -> Value {
        let mut paths = Map::new();
        let mut schemas = Map::new();
        for (documented, is_guarded) in [(&self.for_callers, true), (&self.for_everyone, false)] {
            let mut api = json!(documented.api);
            let mut items = taken(&mut api, "/paths");
            for name in &documented.names {
                add_name(&mut items, name);
            }
            for (path, mut item) in items {
                for operation in operations(&mut item) {
                    complete(operation, is_guarded);
                }
                paths.insert(path.replace("{*", "{"), item);
            }
            schemas.append(&mut taken(&mut api, "/components/schemas"));
        }
        schemas.insert("Problem".to_owned(), problem());
        json!({
            "openapi": OpenApi::default().openapi,
            "info": {
                "title": "Holdfast registry",
                "version": env!("CARGO_PKG_VERSION"),
                "description": DESCRIPTION,
                "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
            },
            "tags": [
                { "name": "artifacts", "description": "Registered models, datasets and code" },
                { "name": "search", "description": "Finding artifacts" },
                { "name": "models", "description": "What is known of models" },
                { "name": "files", "description": "What artifacts hold, in S3" },
                { "name": "audit", "description": "What was done" },
                { "name": "users", "description": "Logging in, and who may" },
                { "name": "service", "description": "The registry itself" },
                { "name": NAMES, "description": "Paths under which operations are served as well" },
            ],
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {
                    "X-Authorization": { "type": "apiKey", "in": "header", "name": "X-Authorization" },
                    "Authorization": { "type": "http", "scheme": "bearer" },
                },
            },
        })
    }
}

/// The tag of other names.
pub(super) const NAMES: &str = "other names";

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "DocumentGet",
    tag = "service",
    responses((status = 200, description = "An OpenAPI document", body = Object)),
)]
pub(super) async fn json(State(app): State<Arc<App>>) -> Response {
    let json = app.document.get().map(Document::json);
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, json.unwrap_or_default()).into_response()
}

/// Takes an object out of a document.
fn taken(document: &mut Value, place: &str) -> Map<String, Value> {
    match document.pointer_mut(place).map(Value::take) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// The operations of a path.
fn operations(item: &mut Value) -> impl Iterator<Item = &mut Value> {
    item.as_object_mut()
        .into_iter()
        .flat_map(|methods| methods.values_mut())
}

/// Documents another name: what it does is what the operation does, with the parameters that are in its path.
fn add_name(items: &mut Map<String, Value>, name: &OtherName) {
    let method = json!(name.method);
    let method = method.as_str().unwrap_or_default();
    let known = items.get(name.of).and_then(|item| item.get(method));
    let Some(mut operation) = known.and_then(Value::as_object).cloned() else {
        tracing::error!(path = name.path, of = name.of, "another name of nothing");
        return;
    };
    operation.remove("operationId");
    operation.remove("description");
    let of = name.of.replace("{*", "{");
    let summary = format!("The same as `{} {of}`", method.to_uppercase());
    operation.insert("summary".into(), summary.into());
    operation.insert("tags".into(), json!([NAMES]));
    let mut parameters = match operation.remove("parameters") {
        Some(Value::Array(parameters)) => parameters,
        _ => vec![],
    };
    parameters.retain(|parameter| {
        let named = parameter["name"].as_str().unwrap_or_default();
        parameter["in"] != "path" || placeholders(name.path).any(|placeholder| placeholder == named)
    });
    if placeholders(name.path).any(|placeholder| placeholder == "artifact_type")
        && !placeholders(name.of).any(|placeholder| placeholder == "artifact_type")
    {
        let schema = json!({ "type": "string", "enum": [Kind::Model] });
        parameters.insert(
            0,
            json!({ "name": "artifact_type", "in": "path", "required": true, "schema": schema }),
        );
    }
    operation.insert("parameters".into(), parameters.into());
    let item = items.entry(name.path).or_insert_with(|| json!({}));
    if let Some(item) = item.as_object_mut() {
        item.insert(method.to_owned(), operation.into());
    }
}

fn placeholders(path: &str) -> impl Iterator<Item = &str> {
    let segments = path.split('/');
    segments.filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(name.trim_start_matches('*'))
    })
}

/// Adds to an operation what it has in common with others.
fn complete(operation: &mut Value, is_guarded: bool) {
    let has_body = operation["requestBody"].is_object();
    let parameters = operation["parameters"].as_array();
    let is_asked = has_body || parameters.is_some_and(|parameters| !parameters.is_empty());
    let uses_store = is_guarded || has_body;
    let mut common = vec![];
    if is_asked {
        common.push(("400", OF_THE_REQUEST));
    }
    if has_body {
        common.push(("413", TOO_LARGE));
    }
    if is_guarded {
        common.push(("403", OF_THE_GATE));
        operation["security"] = json!([{ "X-Authorization": [] }, { "Authorization": [] }]);
    }
    if uses_store {
        common.extend([("500", INTERNAL), ("503", UNAVAILABLE)]);
    }
    let Some(responses) = operation["responses"].as_object_mut() else {
        return;
    };
    for (status, description) in common {
        responses
            .entry(status)
            .or_insert_with(|| json!({ "description": description }));
    }
    for (status, response) in responses {
        let Some(response) = response.as_object_mut() else {
            continue;
        };
        if status.as_str() >= "400" {
            let schema = json!({ "$ref": "#/components/schemas/Problem" });
            let content = json!({ "application/problem+json": { "schema": schema } });
            response.insert("content".into(), content);
        }
        let mut add = |name: &str, schema: Value, description: &str| {
            let headers = response.entry("headers").or_insert_with(|| json!({}));
            if let Some(headers) = headers.as_object_mut() {
                let header = json!({ "description": description, "schema": schema });
                headers.insert(name.to_owned(), header);
            }
        };
        match status.as_str() {
            "401" => add("WWW-Authenticate", json!({ "type": "string" }), "`Bearer`"),
            "429" | "502" | "503" => {
                let seconds = json!({ "type": "integer", "minimum": 0 });
                add(
                    "Retry-After",
                    seconds,
                    "Seconds after which it may be better",
                );
            }
            _ => {}
        }
        if uses_store {
            let schema = json!({ "type": "string", "enum": ["s3", "sqlite", "memory"] });
            add(STORE, schema, "Which store was used");
        }
    }
}

/// What [`shared::problem::Problem`] becomes.
fn problem() -> Value {
    json!({
        "type": "object",
        "description": "What went wrong, as RFC 9457 has it. Some problems have further members.",
        "required": ["type", "title", "status"],
        "properties": {
            "type": { "type": "string", "format": "uri-reference", "description": "`about:blank`" },
            "title": { "type": "string", "description": "What the status is called" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "What was wrong with this request" },
        },
    })
}
