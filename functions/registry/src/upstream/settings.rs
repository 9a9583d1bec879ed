//! Where the sources are asked, and as whom.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;
use shared::config::{Env, FromEnv};
use url::Url;

/// Where the sources are asked, and as whom.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The Hugging Face Hub: `HF_ENDPOINT`.
    pub hugging_face: Endpoint,
    /// Who asks the Hub: `HF_TOKEN`.
    pub hugging_face_token: Option<Token>,
    /// GitHub's API: `GITHUB_API_URL`.
    pub github: Endpoint,
    /// Who asks GitHub: `GITHUB_TOKEN`, or `GH_TOKEN`.
    pub github_token: Option<Token>,
    /// Where GitHub's files are, for licences while its API does not answer: `GITHUB_RAW_URL`.
    pub github_files: Option<Endpoint>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hugging_face: Endpoint::public("https://huggingface.co"),
            hugging_face_token: None,
            github: Endpoint::public("https://api.github.com"),
            github_token: None,
            github_files: None,
        }
    }
}

impl FromEnv for Settings {
    fn from_env(env: &mut Env) -> Option<Self> {
        let default = Self::default();
        let hugging_face = env.or("HF_ENDPOINT", default.hugging_face);
        let hugging_face_token = env.optional("HF_TOKEN");
        let github = env.or("GITHUB_API_URL", default.github.clone());
        let github_token = env.optional("GITHUB_TOKEN");
        let other_github_token = env.optional("GH_TOKEN");
        let github_files = env.optional("GITHUB_RAW_URL");
        // Of the repositories of another GitHub, the public one is told nothing.
        let is_public = github == Some(default.github);
        let public_files = is_public.then(|| Endpoint::public("https://raw.githubusercontent.com"));
        Some(Self {
            hugging_face: hugging_face?,
            hugging_face_token: hugging_face_token?,
            github: github?,
            github_token: github_token?.or(other_github_token?),
            github_files: github_files?.or(public_files),
        })
    }
}

/// The address of a source. One that the operator chose may be in a private network and without TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub(super) url: Option<Url>,
    pub(super) reach: Reach,
}

/// Which addresses may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those of the public internet, by TLS.
    Public,
    /// Any: the operator named the host.
    Operator,
}

/// Why a text is not the address of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an http or https URL without user, password, query and fragment")]
pub struct InvalidEndpoint;

impl Endpoint {
    /// A service of the public internet, wherever its name leads today: private addresses are refused.
    pub fn public(url: &str) -> Self {
        Self {
            url: parsed(url).ok(),
            reach: Reach::Public,
        }
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let url = parsed(text)?;
        // Written out, a public service's own address is no reason to trust its name further.
        let is_default = matches!(
            url.host_str(),
            Some("huggingface.co" | "api.github.com" | "raw.githubusercontent.com")
        );
        Ok(Self {
            reach: if is_default {
                Reach::Public
            } else {
                Reach::Operator
            },
            url: Some(url),
        })
    }
}

fn parsed(text: &str) -> Result<Url, InvalidEndpoint> {
    let url: Url = text.parse().map_err(|_no_url| InvalidEndpoint)?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    let is_web = matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
    if is_plain && is_web {
        Ok(url)
    } else {
        Err(InvalidEndpoint)
    }
}

/// A secret that is sent to its own service only, and shown nowhere.
#[derive(Clone)]
pub struct Token(pub(super) HeaderValue);

/// Why a text is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a token of printable ASCII characters")]
pub struct InvalidToken;

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", text.trim()))
            .map_err(|_not_ascii| InvalidToken)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_from_the_environment() {
        let settings = Settings::read(Env::new([
            ("HF_ENDPOINT", "http://127.0.0.1:9999"),
            ("GH_TOKEN", "secret-of-github"),
        ]))
        .unwrap();
        assert_eq!(settings.hugging_face.reach, Reach::Operator);
        assert_eq!(settings.github.reach, Reach::Public);
        assert!(settings.github_token.is_some() && settings.github_files.is_some());
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn the_files_of_another_github_are_not_looked_for_at_the_public_one() {
        let files = |variables: &[(&str, &str)]| {
            let settings = Settings::read(Env::new(variables.iter().copied())).unwrap();
            settings.github_files.map(|files| files.reach)
        };
        let elsewhere = ("GITHUB_API_URL", "https://github.example/api/v3");
        assert_eq!(files(&[]), Some(Reach::Public));
        assert_eq!(files(&[elsewhere]), None);
        let raw = ("GITHUB_RAW_URL", "https://github.example/raw");
        assert_eq!(files(&[elsewhere, raw]), Some(Reach::Operator));
    }

    #[test]
    fn invalid_settings_are_named_without_their_values() {
        let error = Settings::read(Env::new([
            ("HF_ENDPOINT", "ftp://x"),
            ("GITHUB_API_URL", "https://user:password@example.com"),
            ("HF_TOKEN", "a\u{1}b"),
        ]))
        .unwrap_err();
        insta::assert_snapshot!(error, @"invalid configuration: HF_ENDPOINT is invalid: expected an http or https URL without user, password, query and fragment; HF_TOKEN is invalid: expected a token of printable ASCII characters; GITHUB_API_URL is invalid: expected an http or https URL without user, password, query and fragment");
    }
}
