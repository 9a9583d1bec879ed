//! What the registry is asked to do, and what has to be there before.

use serde_json::{Value, json};

use crate::support::client::USER_PASSWORD;
use crate::world::World;

/// One operation of the API.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    /// With the names of what differs from time to time in braces, as in `body`.
    pub(crate) path: &'static str,
    pub(crate) body: &'static str,
    pub(crate) success: u16,
    pub(crate) needs: Needs,
    pub(crate) effect: Effect,
}

/// What there has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// A model that refers to nothing.
    Artifact,
    /// The same with a file.
    File,
    /// The same with an upload of which all parts have arrived.
    Upload,
    User,
}

/// What the operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It tells something, which is the same for everybody.
    Tells,
    /// It tells something that is of this moment.
    TellsOfNow,
    Creates,
    Changes,
    Deletes,
    Resets,
    SendsFile,
    DeletesFile,
    BeginsUpload,
    CompletesUpload,
    AbortsUpload,
    LogsIn,
    Registers,
    Unregisters,
    Permits,
    ChangesPassword,
}

impl Operation {
    /// Whether nothing is another afterwards, but for the trail.
    pub(crate) fn only_tells(&self) -> bool {
        matches!(self.effect, Effect::Tells | Effect::TellsOfNow)
    }
}

const fn operation(
    effect: Effect,
    needs: Needs,
    method: &'static str,
    path: &'static str,
    body: &'static str,
    success: u16,
) -> Operation {
    Operation {
        method,
        path,
        body,
        success,
        needs,
        effect,
    }
}

/// What only tells, or writes no more than the trail.
#[rustfmt::skip]
pub(crate) const READING: [Operation; 20] = {
    use Effect::{Tells, TellsOfNow};
    use Needs::{Artifact, File, Upload, User};
    [
        operation(Tells, Artifact, "POST", "/artifacts?limit=2", r#"[{"name": "*"}]"#, 200),
        operation(Tells, Artifact, "GET", "/artifacts/model/{id}", "", 200),
        operation(Tells, Artifact, "GET", "/artifact/byName/{name}", "", 200),
        operation(Tells, Artifact, "POST", "/artifact/byRegEx", r#"{"regex": "^{name}$"}"#, 200),
        operation(TellsOfNow, Artifact, "GET", "/artifact/model/{id}/rate", "", 200),
        operation(Tells, Artifact, "GET", "/artifact/model/{id}/cost?dependency=true", "", 200),
        operation(Tells, Artifact, "GET", "/artifact/model/{id}/lineage", "", 200),
        operation(Tells, Artifact, "POST", "/artifact/model/{id}/license-check",
            r#"{"github_url": "https://github.com/google-research/bert"}"#, 200),
        operation(TellsOfNow, Artifact, "GET", "/artifact/model/{id}/audit", "", 200),
        operation(TellsOfNow, Artifact, "GET", "/audit/verify", "", 200),
        operation(TellsOfNow, Artifact, "GET", "/health", "", 200),
        operation(TellsOfNow, Artifact, "GET", "/health/components", "", 200),
        operation(Tells, Artifact, "GET", "/tracks", "", 200),
        operation(Tells, File, "GET", "/artifacts/model/{id}/files", "", 200),
        operation(TellsOfNow, File, "GET", "/artifacts/model/{id}/files/a", "", 302),
        operation(TellsOfNow, File, "GET", "/artifacts/model/{id}/download", "", 302),
        operation(Tells, Upload, "GET", "/artifacts/model/{id}/uploads/{upload}?path=b", "", 200),
        operation(Tells, User, "GET", "/users?limit=2", "", 200),
        operation(Tells, User, "GET", "/users/{user}", "", 200),
        operation(Tells, User, "GET", "/verify-token", "", 200),
    ]
};

/// What changes artifacts.
#[rustfmt::skip]
pub(crate) const CHANGING: [Operation; 5] = {
    use Effect::{Changes, Creates, Deletes, Resets};
    use Needs::{Artifact, File, Nothing};
    const CHANGE: &str = r#"{"metadata": {"name": "{name}", "id": "{id}", "type": "model"}, "data": {"url": "{other}"}}"#;
    const SAME: &str = r#"{"metadata": {"name": "{name}", "id": "{id}", "type": "model"}, "data": {"url": "{url}"}}"#;
    [
        operation(Creates, Nothing, "POST", "/artifact/model", r#"{"url": "{url}", "name": "{name}"}"#, 201),
        operation(Changes, Artifact, "PUT", "/artifacts/model/{id}", CHANGE, 200),
        operation(Changes, Artifact, "PUT", "/artifacts/model/{id}", SAME, 200),
        operation(Deletes, File, "DELETE", "/artifacts/model/{id}", "", 200),
        operation(Resets, File, "DELETE", "/reset", "", 200),
    ]
};

/// What changes files.
#[rustfmt::skip]
pub(crate) const FILES: [Operation; 6] = {
    use Effect::{AbortsUpload, BeginsUpload, CompletesUpload, DeletesFile, SendsFile, TellsOfNow};
    use Needs::{Artifact, File, Upload};
    [
        operation(SendsFile, Artifact, "PUT", "/artifacts/model/{id}/files/a", "", 307),
        operation(DeletesFile, File, "DELETE", "/artifacts/model/{id}/files/a", "", 204),
        operation(BeginsUpload, Artifact, "POST", "/artifacts/model/{id}/uploads", r#"{"path": "b", "size": 5}"#, 201),
        operation(TellsOfNow, Upload, "POST", "/artifacts/model/{id}/uploads/{upload}/parts",
            r#"{"path": "b", "parts": [{"number": 1, "sha256": "{sha256}"}]}"#, 200),
        operation(CompletesUpload, Upload, "POST", "/artifacts/model/{id}/uploads/{upload}/complete",
            r#"{"path": "b", "size": 5, "parts": [{"number": 1, "sha256": "{sha256}"}]}"#, 200),
        operation(AbortsUpload, Upload, "DELETE", "/artifacts/model/{id}/uploads/{upload}?path=b", "", 204),
    ]
};

/// What changes users.
#[rustfmt::skip]
pub(crate) const USERS: [Operation; 5] = {
    use Effect::{ChangesPassword, LogsIn, Permits, Registers, Unregisters};
    use Needs::{Nothing, User};
    [
        operation(LogsIn, User, "PUT", "/authenticate",
            r#"{"user": {"name": "{user}", "is_admin": false}, "secret": {"password": "{password}"}}"#, 200),
        operation(Registers, Nothing, "POST", "/users",
            r#"{"user": {"name": "{user}", "is_admin": false}, "secret": {"password": "{password}"}, "permissions": ["search"]}"#, 201),
        operation(Unregisters, User, "DELETE", "/users/{user}", "", 200),
        operation(Permits, User, "PUT", "/users/{user}/permissions", r#"["upload"]"#, 200),
        operation(ChangesPassword, User, "PUT", "/users/{user}/password", r#"{"password": "another password"}"#, 200),
    ]
};

/// What an operation is about, this time.
#[derive(Debug, Default)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) other: String,
    pub(crate) id: String,
    pub(crate) user: String,
    /// Who asks, if that is not an admin.
    pub(crate) token: Option<String>,
    pub(crate) upload: String,
}

/// What files hold.
pub(crate) const CONTENT: &[u8] = b"hello";

impl Subject {
    /// One that differs from all others of this world.
    pub(crate) async fn new(world: &World<'_>, number: usize, operation: &Operation) -> Self {
        let mut subject = Self {
            name: format!("name-{number}"),
            url: format!("https://example.com/{number}"),
            other: format!("https://example.com/other/{number}"),
            user: format!("user-{number}"),
            ..Self::default()
        };
        match operation.needs {
            Needs::Nothing => {}
            Needs::Artifact => subject.create(world).await,
            Needs::File => {
                subject.create(world).await;
                let client = world.store.client();
                let put = client.put_object().bucket(crate::support::BUCKET);
                let put = put.key(subject.file("a")).body(CONTENT.to_vec().into());
                put.send().await.unwrap();
            }
            Needs::Upload => {
                subject.create(world).await;
                subject.upload(world).await;
            }
            Needs::User => {
                let token = world.observer.user(&subject.user, &["search"]).await;
                subject.token = operation.path.contains("verify-token").then_some(token);
            }
        }
        subject
    }

    async fn create(&mut self, world: &World<'_>) {
        let body = json!({ "url": self.url, "name": self.name });
        let (status, created) = world.ask("POST", "/artifact/model", &body).await;
        assert_eq!(status, 201, "{created}");
        created["metadata"]["id"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.id);
    }

    async fn upload(&mut self, world: &World<'_>) {
        let path = format!("/artifacts/model/{}/uploads", self.id);
        let (_, begun) = world
            .ask("POST", &path, &json!({ "path": "b", "size": 5 }))
            .await;
        begun["upload_id"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.upload);
        let client = world.store.client();
        let part = client.upload_part().bucket(crate::support::BUCKET);
        let part = part
            .key(self.file("b"))
            .upload_id(&self.upload)
            .part_number(1);
        let part = part.checksum_algorithm(aws_sdk_s3::types::ChecksumAlgorithm::Sha256);
        part.body(CONTENT.to_vec().into()).send().await.unwrap();
    }

    /// The key of one of its files.
    pub(crate) fn file(&self, path: &str) -> String {
        format!("artifacts/{}/files/{path}", self.id)
    }

    /// A text with the names in braces replaced.
    pub(crate) fn fill(&self, text: &str) -> String {
        use sha2::Digest as _;
        let sha256 = hex::encode(sha2::Sha256::digest(CONTENT));
        let values = [
            ("{name}", &self.name),
            ("{url}", &self.url),
            ("{other}", &self.other),
            ("{id}", &self.id),
            ("{user}", &self.user),
            ("{upload}", &self.upload),
            ("{sha256}", &sha256),
        ];
        let text = text.replace("{password}", USER_PASSWORD);
        let fill = |text: String, (name, value): (&str, &String)| text.replace(name, value);
        values.into_iter().fold(text, fill)
    }

    /// What the operation is asked with, as JSON.
    pub(crate) fn body(&self, operation: &Operation) -> Value {
        serde_json::from_str(&self.fill(operation.body)).unwrap_or_default()
    }
}
