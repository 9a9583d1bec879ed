//! The same, of files and of users.

use serde_json::{Value, json};

use crate::effect::{After, Facts, artifact_of};
use crate::operation::Subject;
use crate::support::client::USER_PASSWORD;

impl After<'_> {
    /// Puts a file, and tells where it is.
    async fn put(&self, path: &str) -> Facts {
        let client = self.world.store.client();
        let put = client.put_object().bucket(crate::support::BUCKET);
        let put = put
            .key(self.subject.file(path))
            .body(b"other".to_vec().into());
        put.send().await.unwrap();
        let artifact = artifact_of(&self.subject.id);
        vec![(format!("{artifact}/files/{path}"), 302)]
    }

    pub(crate) async fn is_shown_the_way(&self) -> Facts {
        if self.is_done {
            let location = self.said.headers.get("location");
            let place = self.subject.file("a");
            self.check(
                location.is_some_and(|location| {
                    location
                        .to_str()
                        .is_ok_and(|location| location.contains(&place))
                }),
                || format!("the way leads to {location:?}"),
            );
        }
        self.again(&[307]).await;
        let nothing = self.content("a").await;
        self.check(nothing.is_none(), || "there is a file".to_owned());
        Facts::new()
    }

    pub(crate) async fn file_is_deleted(&self) -> Facts {
        let content = self.content("a").await;
        self.check(content.is_none() || !self.is_done, || {
            "it is there".to_owned()
        });
        self.again(&[if content.is_none() { 404 } else { 204 }])
            .await;
        let nothing = self.content("a").await;
        self.check(nothing.is_none(), || "it is still there".to_owned());
        self.put("a").await
    }

    fn upload(&self, id: &str) -> String {
        format!("{}/uploads/{id}?path=b", artifact_of(&self.subject.id))
    }

    pub(crate) async fn upload_is_begun(&self) -> Facts {
        let nothing = self.content("b").await;
        self.check(nothing.is_none(), || "there is a file".to_owned());
        let (_, begun) = self.again(&[201]).await;
        let mut facts = Facts::new();
        let said: Value = serde_json::from_str(&self.said.text).unwrap_or_default();
        for begun in [begun, said] {
            if let Some(id) = begun["upload_id"].as_str() {
                self.get(&self.upload(id), 200).await;
                facts.push((self.upload(id), 200));
            }
        }
        facts
    }

    pub(crate) async fn upload_is_complete(&self) -> Facts {
        let content = self.content("b").await;
        self.check(content.is_some() || !self.is_done, || {
            "it is not there".to_owned()
        });
        if content.is_some() {
            self.is_file("b").await;
        }
        self.again(&[200]).await;
        self.is_file("b").await;
        vec![(format!("{}/files/b", artifact_of(&self.subject.id)), 302)]
    }

    pub(crate) async fn upload_is_aborted(&self) -> Facts {
        let path = self.upload(&self.subject.upload);
        let (status, _) = self.world.get(&path).await;
        self.check(status == 404 || status == 200 && !self.is_done, || {
            format!("{path}: {status}")
        });
        self.again(&[if status == 404 { 404 } else { 204 }]).await;
        self.get(&path, 404).await;
        let nothing = self.content("b").await;
        self.check(nothing.is_none(), || "there is a file".to_owned());
        vec![(path, 404)]
    }

    pub(crate) async fn is_logged_in(&self) -> Facts {
        if self.is_done {
            let token: String = serde_json::from_str(&self.said.text).unwrap();
            let (status, told) = self
                .world
                .observer
                .json_for(Some(&token), "GET", "/verify-token", &Value::Null)
                .await;
            self.check(status == 200, || format!("the token is refused: {told}"));
        }
        self.check(self.is_first_password().await, || {
            "the user is kept out".to_owned()
        });
        Facts::new()
    }

    pub(crate) async fn is_registered(&self) -> Facts {
        let path = format!("/users/{}", self.subject.user);
        let (status, _) = self.world.get(&path).await;
        self.check(status == 200 || status == 404 && !self.is_done, || {
            format!("{path}: {status}")
        });
        self.again(&[if status == 200 { 409 } else { 201 }]).await;
        self.check(self.is_first_password().await, || {
            "the user is kept out".to_owned()
        });
        vec![(path, 200)]
    }

    pub(crate) async fn is_unregistered(&self) -> Facts {
        let Subject { user, .. } = self.subject;
        let path = format!("/users/{user}");
        let (status, _) = self.world.get(&path).await;
        self.check(status == 404 || status == 200 && !self.is_done, || {
            format!("{path}: {status}")
        });
        self.check(self.is_first_password().await == (status == 200), || {
            "half of the user is there".to_owned()
        });
        self.again(&[status]).await;
        let body = json!({ "user": { "name": user, "is_admin": false }, "secret": { "password": USER_PASSWORD } });
        let (status, told) = self.world.ask("POST", "/users", &body).await;
        self.check(status == 201, || {
            format!("the name is not free: {status} {told}")
        });
        vec![(path, 200)]
    }

    pub(crate) async fn is_permitted(&self) -> Facts {
        let path = format!("/users/{}", self.subject.user);
        let (old, new) = (json!(["search"]), json!(["upload"]));
        let user = self.get(&path, 200).await;
        let now = &user["permissions"];
        self.check(*now == new || *now == old && !self.is_done, || {
            format!("there is {user}")
        });
        self.again(&[200]).await;
        let user = self.get(&path, 200).await;
        self.check(user["permissions"] == new, || format!("there is {user}"));
        self.check(self.is_first_password().await, || {
            "the user is kept out".to_owned()
        });
        vec![(path, 200)]
    }

    pub(crate) async fn password_is_changed(&self) -> Facts {
        let (old, new) = (
            self.is_first_password().await,
            self.is_let_in("another password").await,
        );
        self.check(old != new, || {
            format!("in with the old one: {old}, with the new one: {new}")
        });
        self.check(new || !self.is_done, || "the new one is refused".to_owned());
        self.again(&[200]).await;
        let (old, new) = (
            self.is_first_password().await,
            self.is_let_in("another password").await,
        );
        self.check(new && !old, || {
            format!("in with the old one: {old}, with the new one: {new}")
        });
        Facts::new()
    }
}
