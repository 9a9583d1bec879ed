//! Where an artifact comes from.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::artifact::Kind;

/// The longest URL taken, in bytes.
const MAX_URL_BYTES: usize = 4096;

/// A URL that an artifact can be registered under: `http` or `https`, without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As the client wrote it.
    text: String,
    repository: Repository,
}

/// What a URL names, where it is a service that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repository {
    /// On the Hugging Face Hub.
    HuggingFace {
        /// Models, datasets and spaces have names of their own; a space is code.
        kind: Kind,
        /// `owner/name`, or only the name for the oldest ones.
        id: String,
    },
    /// On GitHub.
    GitHub {
        /// The user or organization.
        owner: String,
        /// The repository's name.
        name: String,
    },
    /// Anywhere else.
    Other,
}

/// Why a text is not the URL of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the url must be a single http or https URL of at most 4096 bytes, without user and password"
)]
pub struct InvalidSource;

impl Source {
    /// The URL as the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it names.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// What the artifact is called if nobody says: the last segment of the repository's name, or of the URL.
    pub fn default_name(&self) -> String {
        let last = |path: &str| {
            path.rsplit('/')
                .find(|segment| !segment.is_empty())
                .map(ToOwned::to_owned)
        };
        let name = match &self.repository {
            Repository::HuggingFace { id, .. } => last(id),
            Repository::GitHub { name, .. } => Some(name.clone()),
            Repository::Other => {
                let path = self.text.split(['?', '#']).next().unwrap_or_default();
                last(path).map(|name| name.strip_suffix(".git").unwrap_or(&name).to_owned())
            }
        };
        name.unwrap_or_else(|| self.text.clone())
    }
}

impl FromStr for Source {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let text = text.trim();
        if text.len() > MAX_URL_BYTES || text.contains(char::is_whitespace) {
            return Err(InvalidSource);
        }
        let url: Url = text.parse().map_err(|_no_url| InvalidSource)?;
        let is_web = matches!(url.scheme(), "http" | "https");
        if !is_web
            || url.host_str().is_none()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(InvalidSource);
        }
        Ok(Self {
            text: text.to_owned(),
            repository: repository(&url),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn repository(url: &Url) -> Repository {
    let host = url.host_str().unwrap_or_default();
    let host = host.strip_prefix("www.").unwrap_or(host);
    let segments: Vec<&str> = url
        .path_segments()
        .into_iter()
        .flatten()
        .filter(|segment| !segment.is_empty())
        .collect();
    match host {
        "huggingface.co" | "hf.co" => hugging_face(&segments),
        "github.com" => match segments.as_slice() {
            [owner, name, ..] => Repository::GitHub {
                owner: (*owner).to_owned(),
                name: name.strip_suffix(".git").unwrap_or(name).to_owned(),
            },
            _ => Repository::Other,
        },
        _ => Repository::Other,
    }
}

fn hugging_face(segments: &[&str]) -> Repository {
    let (kind, rest) = match segments {
        ["datasets", rest @ ..] => (Kind::Dataset, rest),
        ["spaces", rest @ ..] => (Kind::Code, rest),
        rest => (Kind::Model, rest),
    };
    // What follows a repository's name: the parts of the site that show something of it.
    let views = ["tree", "blob", "resolve", "raw", "discussions", "commits"];
    let id = match rest {
        [] => return Repository::Other,
        [name] => (*name).to_owned(),
        [name, view, ..] if views.contains(view) => (*name).to_owned(),
        [owner, name, ..] => format!("{owner}/{name}"),
    };
    Repository::HuggingFace {
        kind,
        id: id.strip_suffix(".git").unwrap_or(&id).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(kind: Kind, id: &str) -> Repository {
        Repository::HuggingFace {
            kind,
            id: id.to_owned(),
        }
    }

    #[test]
    fn urls_name_repositories() {
        let github = |owner: &str, name: &str| Repository::GitHub {
            owner: owner.to_owned(),
            name: name.to_owned(),
        };
        for (url, repository, name) in [
            (
                "https://huggingface.co/google-bert/bert-base-uncased",
                hub(Kind::Model, "google-bert/bert-base-uncased"),
                "bert-base-uncased",
            ),
            (
                "https://huggingface.co/openai/whisper-tiny/tree/main",
                hub(Kind::Model, "openai/whisper-tiny"),
                "whisper-tiny",
            ),
            (
                "https://huggingface.co/distilbert-base-uncased/tree/main",
                hub(Kind::Model, "distilbert-base-uncased"),
                "distilbert-base-uncased",
            ),
            (
                "https://huggingface.co/datasets/bookcorpus/bookcorpus",
                hub(Kind::Dataset, "bookcorpus/bookcorpus"),
                "bookcorpus",
            ),
            (
                "https://github.com/google-research/bert.git",
                github("google-research", "bert"),
                "bert",
            ),
            (
                "https://github.com/a/b/tree/main/sub#readme",
                github("a", "b"),
                "b",
            ),
            (
                "https://www.kaggle.com/datasets/hliang001/flickr2k?x=1",
                Repository::Other,
                "flickr2k",
            ),
            ("http://127.0.0.1/", Repository::Other, "127.0.0.1"),
        ] {
            let source: Source = url.parse().unwrap();
            assert_eq!(source.repository(), &repository, "{url}");
            assert_eq!(source.default_name(), name, "{url}");
            assert_eq!(source.as_str(), url);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "bert",
            "ftp://example.com/a",
            "file:///etc/passwd",
            "https://",
            "https://u:p@example.com/a",
            "https://a.com/b https://c.com/d",
            "javascript:alert(1)",
        ] {
            assert_eq!(text.parse::<Source>(), Err(InvalidSource), "{text}");
        }
    }
}
