//! What is there after an operation that was acknowledged, or was not: all of it or nothing, and it can be asked for again.

use serde_json::{Value, json};

use crate::operation::{CONTENT, Effect, Operation, Subject};
use crate::report::Case;
use crate::support::client::{USER_PASSWORD, request};
use crate::world::{Answer, World, answer};

/// What somebody was answered last, and is to be answered from then on.
pub(crate) type Facts = Vec<(String, u16)>;

/// Looks at what became of an operation, asks for it again, and looks once more.
pub(crate) async fn examine(
    case: &Case<'_>,
    world: &World<'_>,
    operation: &Operation,
    subject: &Subject,
    said: &Answer,
    is_done: bool,
) -> Facts {
    let after = After {
        case,
        world,
        operation,
        subject,
        said,
        is_done,
    };
    match operation.effect {
        Effect::Tells => after.is_told().await,
        Effect::TellsOfNow => Facts::new(),
        Effect::Creates => after.is_created().await,
        Effect::Changes => after.is_changed().await,
        Effect::Deletes => after.is_deleted().await,
        Effect::Resets => after.is_reset().await,
        Effect::SendsFile => after.is_shown_the_way().await,
        Effect::DeletesFile => after.file_is_deleted().await,
        Effect::BeginsUpload => after.upload_is_begun().await,
        Effect::CompletesUpload => after.upload_is_complete().await,
        Effect::AbortsUpload => after.upload_is_aborted().await,
        Effect::LogsIn => after.is_logged_in().await,
        Effect::Registers => after.is_registered().await,
        Effect::Unregisters => after.is_unregistered().await,
        Effect::Permits => after.is_permitted().await,
        Effect::ChangesPassword => after.password_is_changed().await,
    }
}

/// Whether all is answered as it was.
pub(crate) async fn stands(case: &Case<'_>, world: &World<'_>, facts: &Facts) {
    for (path, expected) in facts {
        let (status, told) = world.get(path).await;
        case.check(status == *expected, || {
            format!("{path} was {expected}, and then {status} {told}")
        });
    }
}

/// The path of an artifact.
pub(crate) fn artifact_of(id: &str) -> String {
    format!("/artifacts/model/{id}")
}

/// An operation that has been answered.
pub(crate) struct After<'a> {
    pub(crate) case: &'a Case<'a>,
    pub(crate) world: &'a World<'a>,
    pub(crate) operation: &'a Operation,
    pub(crate) subject: &'a Subject,
    pub(crate) said: &'a Answer,
    pub(crate) is_done: bool,
}

impl After<'_> {
    pub(crate) fn check(&self, is_right: bool, wrong: impl FnOnce() -> String) {
        let said = if self.is_done {
            "acknowledged"
        } else {
            "refused"
        };
        self.case.check(is_right, || format!("{said}, {}", wrong()));
    }

    /// The same asked again, of the observer: the status must be one of these.
    pub(crate) async fn again(&self, statuses: &[u16]) -> (u16, Value) {
        let (method, path) = (
            self.operation.method,
            self.subject.fill(self.operation.path),
        );
        let (status, told) = self
            .world
            .ask(method, &path, &self.subject.body(self.operation))
            .await;
        self.check(statuses.contains(&status), || {
            format!("asked again: {status} {told}")
        });
        (status, told)
    }

    /// What a path is answered with, which must have this status.
    pub(crate) async fn get(&self, path: &str, expected: u16) -> Value {
        let (status, told) = self.world.get(path).await;
        self.check(status == expected, || format!("{path}: {status} {told}"));
        told
    }

    async fn is_told(&self) -> Facts {
        if self.is_done {
            let token = self
                .subject
                .token
                .as_ref()
                .unwrap_or(&self.world.observer.admin);
            let (method, path) = (
                self.operation.method,
                self.subject.fill(self.operation.path),
            );
            let body = self.subject.fill(self.operation.body);
            let asked = request(method, &path, Some(token), &body);
            let told = answer(&self.world.observer.router, asked).await;
            let offset = |answer: &Answer| answer.headers.get("offset").cloned();
            self.check(
                told.text == self.said.text && offset(&told) == offset(self.said),
                || format!("others are told {told:?}, and not {:?}", self.said),
            );
        }
        Facts::new()
    }

    /// The artifact of this id can be found in every way.
    async fn is_whole(&self, id: &str, url: &str) {
        let artifact = self.get(&artifact_of(id), 200).await;
        self.check(artifact["data"]["url"] == url, || {
            format!("{id} has not {url}: {artifact}")
        });
        let name = &self.subject.name;
        let entry = json!([artifact["metadata"]]);
        let by_name = self.get(&format!("/artifact/byName/{name}"), 200).await;
        self.check(by_name == entry, || format!("by name there is {by_name}"));
        let pattern = json!({ "regex": format!("^{name}$") });
        let (_, by_pattern) = self.world.ask("POST", "/artifact/byRegEx", &pattern).await;
        self.check(by_pattern == entry, || {
            format!("by pattern there is {by_pattern}")
        });
        let history = self.get(&format!("/artifact/model/{id}/audit"), 200).await;
        let is_noted = |entry: &Value| entry["action"] == "CREATE";
        self.check(
            history
                .as_array()
                .is_some_and(|entries| entries.iter().any(is_noted)),
            || format!("the trail has {history}"),
        );
    }

    /// Registers a URL, which may have to wait for a minute.
    async fn register(&self, url: &str) -> String {
        let body = json!({ "url": url, "name": self.subject.name });
        let (mut status, mut told) = self.world.ask("POST", "/artifact/model", &body).await;
        if status == 409 && told["id"].is_null() {
            self.world.age_claims().await;
            (status, told) = self.world.ask("POST", "/artifact/model", &body).await;
        }
        self.check(status == 201, || {
            format!("{url} cannot be registered: {status} {told}")
        });
        told["metadata"]["id"].as_str().unwrap_or("0").to_owned()
    }

    async fn is_created(&self) -> Facts {
        let Subject { name, url, .. } = self.subject;
        let found = self.world.found(name).await;
        self.check(found.len() <= 1, || format!("it is there twice: {found:?}"));
        let id = if let Some(id) = found.keys().next() {
            let (status, told) = self.again(&[409]).await;
            self.check(status == 409 && told["id"] == *id, || {
                format!("{id} is unknown: {told}")
            });
            id.clone()
        } else {
            self.check(!self.is_done, || "it is not there".to_owned());
            self.register(url).await
        };
        self.is_whole(&id, url).await;
        vec![(artifact_of(&id), 200)]
    }

    async fn is_changed(&self) -> Facts {
        let Subject { id, url, .. } = self.subject;
        let body = self.subject.body(self.operation);
        let new = body["data"]["url"].as_str().unwrap();
        let artifact = self.get(&artifact_of(id), 200).await;
        let now = artifact["data"]["url"].as_str().unwrap_or_default();
        self.check(now == new || now == url && !self.is_done, || {
            format!("it has {now}")
        });
        self.is_whole(id, now).await;
        self.again(&[200]).await;
        self.is_whole(id, new).await;
        let mut facts = vec![(artifact_of(id), 200)];
        if new != url {
            // The old one is nobody's any more.
            let other = self.register(url).await;
            let (_, deleted) = self
                .world
                .ask("DELETE", &artifact_of(&other), &Value::Null)
                .await;
            self.check(deleted.is_null(), || format!("{deleted}"));
            facts.push((artifact_of(&other), 404));
        }
        facts
    }

    async fn is_deleted(&self) -> Facts {
        let Subject { id, url, name, .. } = self.subject;
        let (status, _) = self.world.get(&artifact_of(id)).await;
        if status == 200 {
            self.check(!self.is_done, || "it is there".to_owned());
            self.is_whole(id, url).await;
        }
        if self.is_done {
            let left = self.world.keys(&format!("artifacts/{id}/")).await;
            self.check(left.is_empty(), || format!("something is left: {left:?}"));
        }
        self.again(&[if status == 200 { 200 } else { 404 }]).await;
        self.get(&artifact_of(id), 404).await;
        self.get(&format!("/artifact/byName/{name}"), 404).await;
        let other = self.register(url).await;
        self.is_whole(&other, url).await;
        vec![(artifact_of(&other), 200), (artifact_of(id), 404)]
    }

    async fn is_reset(&self) -> Facts {
        let Subject { id, url, .. } = self.subject;
        let found = self.world.found("*").await;
        self.check(!self.is_done || found.is_empty(), || {
            format!("there is {found:?}")
        });
        if found.contains_key(id) {
            self.is_whole(id, url).await;
        }
        self.again(&[200]).await;
        for place in ["artifacts/", "claims/", "archives/"] {
            let left = self.world.keys(place).await;
            self.check(left.is_empty(), || format!("something is left: {left:?}"));
        }
        let other = self.register(url).await;
        self.is_whole(&other, url).await;
        vec![(artifact_of(&other), 200)]
    }

    /// What a file of the artifact holds.
    pub(crate) async fn content(&self, path: &str) -> Option<Vec<u8>> {
        let found = self
            .world
            .objects
            .get(&self.subject.file(path))
            .await
            .unwrap();
        let listed = self
            .get(&format!("{}/files", artifact_of(&self.subject.id)), 200)
            .await;
        let is_listed = listed["files"]
            .as_array()
            .is_some_and(|files| files.iter().any(|file| file["path"] == path));
        self.check(is_listed == found.is_some(), || {
            format!("listed are {listed}")
        });
        found.map(|(bytes, _)| bytes)
    }

    /// Whether this user is let in with this password.
    pub(crate) async fn is_let_in(&self, password: &str) -> bool {
        let body =
            json!({ "user": { "name": self.subject.user }, "secret": { "password": password } });
        let (status, told) = self.world.ask("PUT", "/authenticate", &body).await;
        self.check([200, 401].contains(&status), || {
            format!("a login: {status} {told}")
        });
        status == 200
    }

    pub(crate) async fn is_file(&self, path: &str) {
        let content = self.content(path).await;
        self.check(content.as_deref() == Some(CONTENT), || {
            format!("{path} holds {content:?}")
        });
    }

    pub(crate) async fn is_first_password(&self) -> bool {
        self.is_let_in(USER_PASSWORD).await
    }
}
