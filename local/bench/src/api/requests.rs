//! What the registry is asked: each operation as a request about an artifact of some number.

use serde_json::json;

use super::artifacts::{id, name, parent, word};

/// An operation of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Read,
    ByName,
    FirstPage,
    DeepPage,
    Word,
    WholeName,
    Rate,
    Cost,
    Lineage,
    Download,
    Create,
    Update,
    Delete,
}

/// A request, and what its answer must be.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) body: String,
    pub(super) status: u16,
    /// In the body or, of an answer without one, in the place it leads to.
    pub(super) expected: String,
}

/// Artifacts on a page.
const PAGE: usize = 100;

impl Operation {
    /// What changes nothing comes first. A deletion is of what was created and updated before.
    pub(super) const ALL: [Self; 13] = [
        Self::Read,
        Self::ByName,
        Self::FirstPage,
        Self::DeepPage,
        Self::Word,
        Self::WholeName,
        Self::Rate,
        Self::Cost,
        Self::Lineage,
        Self::Download,
        Self::Create,
        Self::Update,
        Self::Delete,
    ];

    /// Whether it may be asked again and again.
    pub(super) fn changes_nothing(self) -> bool {
        !matches!(self, Self::Create | Self::Update | Self::Delete)
    }

    /// As people call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Read => "read by id",
            Self::ByName => "by name",
            Self::FirstPage => "first page of 100",
            Self::DeepPage => "page at nine tenths",
            Self::Word => "word of one README",
            Self::WholeName => "pattern of one name",
            Self::Rate => "rate",
            Self::Cost => "cost with dependencies",
            Self::Lineage => "lineage of ten",
            Self::Download => "download redirect",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// The request about an artifact of a registry of so many; for a deletion or an update, `of` is the id of one that
    /// was created.
    pub(super) fn request(self, number: usize, artifacts: usize, of: &str) -> Request {
        let asked = id(number);
        let family = id(parent(number).unwrap_or(number));
        let all = json!([{ "name": "*" }]).to_string();
        let (method, target, body, expected) = match self {
            Self::Read => (
                "GET",
                format!("/artifacts/model/{asked}"),
                String::new(),
                format!("\"{}\"", name(number)),
            ),
            Self::ByName => (
                "GET",
                format!("/artifact/byName/{}", name(number)),
                String::new(),
                asked,
            ),
            Self::FirstPage => ("POST", format!("/artifacts?limit={PAGE}"), all, id(PAGE)),
            Self::DeepPage => {
                let last = artifacts / 10 * 9;
                let target = format!("/artifacts?limit={PAGE}&offset={}", id(last));
                ("POST", target, all, id(last + PAGE.min(artifacts - last)))
            }
            Self::Word => {
                let body = json!({ "regex": format!(".*{}.*", word(number)) });
                (
                    "POST",
                    "/artifact/byRegEx".to_owned(),
                    body.to_string(),
                    asked,
                )
            }
            Self::WholeName => {
                let body = json!({ "regex": format!("^{}$", name(number)) });
                (
                    "POST",
                    "/artifact/byRegEx".to_owned(),
                    body.to_string(),
                    asked,
                )
            }
            Self::Rate => {
                let target = format!("/artifact/model/{asked}/rate");
                ("GET", target, String::new(), "net_score".to_owned())
            }
            Self::Cost => {
                let target = format!("/artifact/model/{asked}/cost?dependency=true");
                // Of what it was made from, too.
                ("GET", target, String::new(), family)
            }
            Self::Lineage => {
                let target = format!("/artifact/model/{asked}/lineage");
                ("GET", target, String::new(), family)
            }
            Self::Download => {
                let target = format!("/artifacts/model/{asked}/download");
                ("GET", target, String::new(), "X-Amz-Signature".to_owned())
            }
            Self::Create => {
                let url = format!("https://example.com/created/{number}");
                let body = json!({ "name": "created", "url": url });
                (
                    "POST",
                    "/artifact/model".to_owned(),
                    body.to_string(),
                    "created".to_owned(),
                )
            }
            Self::Update => {
                let url = format!("https://example.com/updated/{number}");
                let body = json!({
                    "metadata": { "name": "created", "id": of, "type": "model" },
                    "data": { "url": url },
                });
                (
                    "PUT",
                    format!("/artifacts/model/{of}"),
                    body.to_string(),
                    "updated".to_owned(),
                )
            }
            Self::Delete => (
                "DELETE",
                format!("/artifacts/model/{of}"),
                String::new(),
                String::new(),
            ),
        };
        Request {
            method,
            target,
            body,
            status: match self {
                Self::Create => 201,
                Self::Download => 302,
                _ => 200,
            },
            expected,
        }
    }
}
