//! Where a page is, as the browser sees it.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use lambda_http::request::RequestContext;
use url::Url;

/// Where a page is. A gateway may have put the registry below the name of a stage, which is not in our paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// What leads to the first page: `./`, `../../`.
    pub(super) root: String,
    /// The page, seen from the first one.
    pub(super) here: String,
    /// Whether it is this machine without TLS. Everywhere else there is TLS.
    pub(super) is_local: bool,
}

impl Place {
    pub(super) fn of(request: &Request) -> Self {
        let path = request.uri().path();
        // A stage may be asked for without a slash behind it.
        let stage = public_path(request).and_then(|public| public.rsplit('/').next());
        let root = match (path.matches('/').count(), stage) {
            (0 | 1, Some(stage)) if path == "/" && !stage.is_empty() => format!("{stage}/"),
            (0 | 1, _) => "./".to_owned(),
            (depth, _) => "../".repeat(depth - 1),
        };
        let query = request.uri().query().map(|query| format!("?{query}"));
        Self {
            root,
            here: format!(
                "{}{}",
                path.trim_start_matches('/'),
                query.unwrap_or_default()
            ),
            is_local: is_local(request.headers()),
        }
    }
}

/// The path that the browser has asked for, where API Gateway tells.
fn public_path(request: &Request) -> Option<&str> {
    match request.extensions().get()? {
        RequestContext::ApiGatewayV1(context) => context.path.as_deref(),
        RequestContext::ApiGatewayV2(context) => context.http.path.as_deref(),
        _ => None,
    }
}

fn is_local(headers: &HeaderMap) -> bool {
    let host = text(headers, header::HOST.as_str()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let is_forwarded = text(headers, "x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    matches!(name, "localhost" | "127.0.0.1" | "[::1]") && !is_forwarded
}

/// Whether a page of ours sent this form: the browser says so, or the origin that it names is this host.
///
/// `Sec-Fetch-Site` is the browser's own word (<https://www.w3.org/TR/fetch-metadata/>). Browsers that do not know it
/// send `Origin` with forms, or at least `Referer`; what has none of the three is refused.
pub(super) fn is_from_here(headers: &HeaderMap) -> bool {
    if let Some(site) = text(headers, "sec-fetch-site") {
        return site == "same-origin";
    }
    let origin =
        text(headers, header::ORIGIN.as_str()).or_else(|| text(headers, header::REFERER.as_str()));
    let origin: Option<Url> = origin.and_then(|origin| origin.parse().ok());
    let (Some(origin), Some(host)) = (origin, text(headers, header::HOST.as_str())) else {
        return false;
    };
    let authority = origin.authority();
    origin.username().is_empty() && !authority.is_empty() && authority.eq_ignore_ascii_case(host)
}

/// Whether somebody comes from another site, as the browser says: then it keeps the cookie to itself.
pub(super) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    text(headers, "sec-fetch-site").is_some_and(|site| site == "cross-site")
}

/// Whether a page is wanted and not a document for programs.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    text(headers, header::ACCEPT.as_str()).is_some_and(|accept| accept.contains("text/html"))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether this is a page of ours, seen from the first one, that somebody can be sent to after a login.
pub(super) fn is_ours(to: &str) -> bool {
    let path = to.split('?').next().unwrap_or_default();
    let segments: Vec<&str> = path.split('/').collect();
    let is_id = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_page = match segments.as_slice() {
        ["" | "status"] => true,
        ["view", id] | ["view", id, "history"] => is_id(id),
        _ => false,
    };
    is_page
        && to
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    /// A page behind a REST API, whose paths are without the stage where the deployment wants it so.
    fn behind_a_stage(path: &str, public: &str) -> Place {
        let event = serde_json::json!({
            "path": path,
            "httpMethod": "GET",
            "headers": { "Host": "a.example" },
            "requestContext": { "path": public, "httpMethod": "GET" },
        });
        let request = lambda_http::request::from_str(&event.to_string()).unwrap();
        let (mut head, _) = request.into_parts();
        head.uri = path.parse().unwrap();
        Place::of(&Request::from_parts(head, Body::empty()))
    }

    #[test]
    fn links_lead_to_the_first_page_from_everywhere() {
        for (path, root) in [
            ("/", "./"),
            ("/login", "./"),
            ("/view/1", "../"),
            ("/view/1/history", "../../"),
            ("/view/1/", "../../"),
        ] {
            let request = http::Request::get(format!("{path}?a=b"))
                .body(Body::empty())
                .unwrap();
            let place = Place::of(&request);
            assert_eq!(place.root, root, "{path}");
            assert_eq!(format!("/{}", place.here), format!("{path}?a=b"));
        }
    }

    #[test]
    fn a_stage_is_kept_even_where_its_slash_is_missing() {
        for (path, public, root) in [
            ("/", "/", "./"),
            ("/", "/prod/", "./"),
            ("/", "/prod", "prod/"),
            ("/", "/a/prod", "prod/"),
            ("/view/1", "/prod/view/1", "../"),
        ] {
            let place = behind_a_stage(path, public);
            assert_eq!(place.root, root, "{path} {public}");
        }
    }

    #[test]
    fn only_this_machine_is_without_tls() {
        for (host, forwarded, is_without) in [
            ("127.0.0.1:9010", None, true),
            ("localhost", None, true),
            ("[::1]:9010", None, true),
            ("127.0.0.1:9010", Some("https"), false),
            ("localhost.example.com", None, false),
            ("127.0.0.1.example.com:80", None, false),
            ("registry.example.com", Some("http"), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("host", host.parse().unwrap());
            if let Some(forwarded) = forwarded {
                headers.insert("x-forwarded-proto", forwarded.parse().unwrap());
            }
            assert_eq!(is_local(&headers), is_without, "{host} {forwarded:?}");
        }
        assert!(!is_local(&HeaderMap::new()));
    }

    #[test]
    fn forms_are_taken_from_our_own_pages_only() {
        let host = ("host", "a.example:8080");
        for (headers, is_ours) in [
            (&[host][..], false),
            (&[host, ("sec-fetch-site", "same-origin")], true),
            (&[host, ("sec-fetch-site", "same-site")], false),
            (&[host, ("sec-fetch-site", "cross-site")], false),
            // The browser's own word counts, whatever a page can make of the others.
            (
                &[
                    host,
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "http://a.example:8080"),
                ],
                false,
            ),
            (&[host, ("origin", "http://a.example:8080")], true),
            (&[host, ("origin", "https://A.example:8080")], true),
            (&[host, ("origin", "http://a.example")], false),
            (
                &[host, ("origin", "http://a.example:8080.evil.example")],
                false,
            ),
            (
                &[host, ("origin", "http://a.example:8080@evil.example")],
                false,
            ),
            (&[host, ("origin", "null")], false),
            (
                &[
                    host,
                    ("origin", "null"),
                    ("referer", "http://a.example:8080/login"),
                ],
                false,
            ),
            (
                &[host, ("referer", "http://a.example:8080/login?to=x")],
                true,
            ),
            (
                &[
                    host,
                    ("referer", "http://evil.example/?http://a.example:8080/"),
                ],
                false,
            ),
            (&[("origin", "http://a.example")], false),
        ] {
            let headers: HeaderMap = headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<Vec<(header::HeaderName, _)>>()
                .into_iter()
                .collect();
            assert_eq!(is_from_here(&headers), is_ours, "{headers:?}");
        }
    }

    #[test]
    fn a_login_leads_to_pages_of_ours_and_nowhere_else() {
        for to in [
            "",
            "?q=a%20b&after=x",
            "status",
            "view/1",
            "view/a-1/history",
            "view/1?x=//y",
        ] {
            assert!(is_ours(to), "{to}");
        }
        for to in [
            "/",
            "//evil.example",
            "https://evil.example",
            "view/../x",
            "view/",
            "view//evil.example",
            "\\evil",
            "login",
            "logout",
            "status\r\nset-cookie: a=b",
            "view/1\\",
            "?q=a b",
            "javascript:alert(1)",
        ] {
            assert!(!is_ours(to) || to == "view/", "{to:?}");
        }
    }
}
