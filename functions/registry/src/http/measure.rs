//! What a request is counted as: one line of metrics for each, written when it is answered.
//!
//! The names of metrics are few and fixed, and none of them has what a client sent in it: a dimension of its own for every
//! path or user would cost more than the requests.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use shared::telemetry::{self, Metric};

/// What kind of work a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// Reading an artifact by its id.
    Read,
    /// Finding artifacts, or what was done to one.
    Search,
    /// Registering, changing and deleting artifacts.
    Change,
    /// Scores, cost, lineage and licences.
    Rating,
    /// Showing the way to files, in and out.
    File,
    /// Logging in: a password is hashed.
    Login,
    /// Users, the service itself, and what is no operation.
    Other,
}

impl Operation {
    /// That of a route: its method and the path that it was made with.
    pub(super) fn of(method: &Method, path: Option<&str>) -> Self {
        let Some(path) = path else {
            return Self::Other;
        };
        let mut segments = path.split('/').skip(1);
        let (first, second) = (segments.next(), segments.next());
        let ends_in = |names: &[&str]| names.iter().any(|name| path.ends_with(name));
        match first.unwrap_or_default() {
            "authenticate" => Self::Login,
            "download" => Self::File,
            "models" | "artifact" | "artifacts" | "package" => {
                let is_searched = matches!(second, None | Some("search"))
                    || second.is_some_and(|name| name.to_ascii_lowercase().starts_with("by"));
                if ["/files", "/uploads"]
                    .iter()
                    .any(|part| path.contains(part))
                    || ends_in(&["/download"])
                {
                    Self::File
                } else if ends_in(&["/rate", "/cost", "/lineage", "/license-check"]) {
                    Self::Rating
                } else if is_searched || ends_in(&["/audit"]) {
                    Self::Search
                } else if method == Method::GET || method == Method::HEAD {
                    Self::Read
                } else {
                    Self::Change
                }
            }
            _ => Self::Other,
        }
    }

    fn took(self, duration: Duration) -> Metric {
        match self {
            Self::Read => Metric::milliseconds("ReadDuration", duration),
            Self::Search => Metric::milliseconds("SearchDuration", duration),
            Self::Change => Metric::milliseconds("ChangeDuration", duration),
            Self::Rating => Metric::milliseconds("RatingDuration", duration),
            Self::File => Metric::milliseconds("FileDuration", duration),
            Self::Login => Metric::milliseconds("LoginDuration", duration),
            Self::Other => Metric::milliseconds("OtherDuration", duration),
        }
    }
}

/// Writes what became of a request. `is_fallback`: another store than the wanted one was used.
pub(super) fn count(
    operation: Operation,
    status: StatusCode,
    is_fallback: bool,
    duration: Duration,
) {
    telemetry::publish(&[
        Metric::count("Requests", 1),
        Metric::count("RequestsRefused", usize::from(status.is_client_error())),
        Metric::count("RequestsFailed", usize::from(status.is_server_error())),
        Metric::count("FallbackAnswers", usize::from(is_fallback)),
        operation.took(duration),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_the_kind_of_work_that_they_are() {
        use Operation::{Change, File, Login, Other, Rating, Read, Search};
        for (method, path, operation) in [
            ("PUT", "/authenticate", Login),
            ("POST", "/artifacts", Search),
            ("GET", "/artifact/byName/{*name}", Search),
            ("POST", "/artifact/byRegEx", Search),
            ("GET", "/models", Search),
            ("GET", "/models/search", Search),
            ("GET", "/artifact/{artifact_type}/{id}/audit", Search),
            ("GET", "/artifacts/{artifact_type}/{id}", Read),
            ("GET", "/package/{id}", Read),
            ("PUT", "/artifacts/{artifact_type}/{id}", Change),
            ("POST", "/artifact/{artifact_type}", Change),
            ("POST", "/models/ingest", Change),
            ("GET", "/artifact/model/{id}/rate", Rating),
            ("GET", "/package/{id}/rate", Rating),
            ("GET", "/models/{id}/cost", Rating),
            ("POST", "/artifact/model/{id}/license-check", Rating),
            ("GET", "/artifacts/{artifact_type}/{id}/files/{*path}", File),
            ("POST", "/artifacts/{artifact_type}/{id}/uploads", File),
            ("GET", "/models/{id}/download", File),
            ("GET", "/download/{artifact_type}/{id}", File),
            ("GET", "/health", Other),
            ("GET", "/audit/verify", Other),
            ("DELETE", "/users/{name}", Other),
            ("GET", "/", Other),
        ] {
            let method: Method = method.parse().unwrap();
            assert_eq!(Operation::of(&method, Some(path)), operation, "{path}");
        }
        assert_eq!(Operation::of(&Method::GET, None), Other);
    }
}
