//! Where clients reach this API, as far as a request tells it.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};
use lambda_http::RequestExt as _;
use lambda_http::request::RequestContext;
use url::Url;

use super::App;
use crate::artifact::{Id, Kind};

/// The address that all paths of the API follow: scheme, host, and the stage where an API Gateway has one. Empty where
/// not even a host is known; then what follows is relative to whatever the client asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin(String);

/// An address that the operator names, because requests do not tell it: behind a proxy of one's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl FromStr for PublicUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refusal = "it must be an http or https URL without query and fragment";
        let url: Url = text.parse().map_err(|_no_url| refusal)?;
        let is_origin = matches!(url.scheme(), "http" | "https")
            && url.query().is_none()
            && url.fragment().is_none();
        is_origin
            .then(|| Self(url.as_str().trim_end_matches('/').to_owned()))
            .ok_or(refusal)
    }
}

impl Origin {
    /// Where the bytes of an artifact can be got.
    pub(super) fn download(&self, kind: Kind, id: &Id) -> String {
        format!("{self}/artifacts/{kind}/{id}/download")
    }

    fn of(parts: &Parts) -> Self {
        let host = header_of(&parts.headers, header::HOST.as_str());
        // What is no host is not repeated.
        let host = host.and_then(|host| host.parse::<Authority>().ok());
        let host = host.filter(|host| !host.as_str().contains('@'));
        let Some(host) = host else {
            return Self(stage(parts));
        };
        // Whoever ends TLS before us says so.
        let scheme = match header_of(&parts.headers, "x-forwarded-proto") {
            Some("https") => "https",
            _ => "http",
        };
        Self(format!("{scheme}://{host}{}", stage(parts)))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromRequestParts<Arc<App>> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        Ok(match &app.public_url {
            Some(PublicUrl(url)) => Self(url.clone()),
            None => Self::of(parts),
        })
    }
}

fn header_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What a REST API puts before the paths that the function sees: its stage, or the base path of a domain.
fn stage(parts: &Parts) -> String {
    let path = match parts.extensions.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.path.as_deref(),
        _ => None,
    };
    path.and_then(|path| path.strip_suffix(parts.extensions.raw_http_path()))
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn origin(headers: &[(&str, &str)]) -> String {
        let mut request = Request::builder().uri("/artifacts");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Origin::of(&request.body(()).unwrap().into_parts().0).to_string()
    }

    #[test]
    fn the_address_is_the_one_that_was_asked() {
        for (headers, expected) in [
            (&[("host", "127.0.0.1:9010")][..], "http://127.0.0.1:9010"),
            (
                &[("host", "a.example"), ("x-forwarded-proto", "https")],
                "https://a.example",
            ),
            (
                &[("host", "a.example"), ("x-forwarded-proto", "javascript")],
                "http://a.example",
            ),
            (&[], ""),
            (&[("host", "user@a.example")], ""),
            (&[("host", "a.example/../x?y")], ""),
        ] {
            assert_eq!(origin(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn an_operator_names_an_address_and_nothing_behind_it() {
        let url: PublicUrl = "https://models.example/registry/".parse().unwrap();
        assert_eq!(url, PublicUrl("https://models.example/registry".to_owned()));
        for text in ["models.example", "ftp://a.example", "https://a.example/?x"] {
            assert!(text.parse::<PublicUrl>().is_err(), "{text}");
        }
    }
}
