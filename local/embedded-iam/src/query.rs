//! The query protocol: a form goes in, XML comes out.
//!
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonParameters.html>,
//! <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use percent_encoding::percent_decode_str;

/// Which of the two services a form is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Iam,
    Sts,
}

impl Service {
    /// What signatures and actions call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        }
    }
}

/// A request that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Refusal {
    /// A refusal of any status and code, as of a fault on purpose.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::bad("ValidationError", message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "AccessDenied", message)
    }

    /// What went wrong is in the log, not in the answer.
    pub(crate) fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = cause, "a request to IAM or STS failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalFailure",
            "The request processing has failed because of an unknown error, exception or failure.",
        )
    }
}

/// Whether a request is for IAM or STS: a form posted to the root.
pub fn is_query(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let is_form = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    method == Method::POST && uri.path() == "/" && is_form
}

/// The parameters of a request.
#[derive(Debug, Clone, Default)]
pub struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a form. What is not URL-encoded UTF-8 is refused when it is answered.
    ///
    /// # Errors
    ///
    /// The refusal.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let malformed =
            || Refusal::bad("MalformedQueryString", "the form is not URL-encoded UTF-8");
        let text = std::str::from_utf8(body).map_err(|_source| malformed())?;
        let pairs = pairs(text).map(|pair| pair.ok_or_else(malformed));
        Ok(Self(pairs.collect::<Result<_, _>>()?))
    }

    /// What is to be done; empty where the form does not say.
    pub fn action(&self) -> &str {
        self.get("Action").unwrap_or_default()
    }

    /// Which service the form is for, by the version of its API.
    pub(crate) fn service(&self) -> Service {
        match self.get("Version") {
            Some("2010-05-08") => Service::Iam,
            _ => Service::Sts,
        }
    }

    /// A parameter; an empty one is none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// As [`get`](Self::get), of a parameter that has to be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| {
            Refusal::invalid(format!(
                "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null",
                lower_first(name)
            ))
        })
    }

    /// The members of a list: `<name>.member.<1…>.<field>`.
    pub(crate) fn members<'a>(
        &'a self,
        name: &'a str,
        field: &'a str,
    ) -> impl Iterator<Item = (u32, &'a str)> {
        self.0.iter().filter_map(move |(key, value)| {
            let place = key
                .strip_prefix(name)?
                .strip_prefix(".member.")?
                .strip_suffix(field)?;
            Some((place.trim_end_matches('.').parse().ok()?, value.as_str()))
        })
    }
}

/// The pairs of a query or a form, decoded; `None` for one that is not UTF-8.
pub fn pairs(text: &str) -> impl Iterator<Item = Option<(String, String)>> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let decoded = percent_decode_str(&text).decode_utf8().ok()?;
        Some(decoded.into_owned())
    };
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(move |pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        })
}

/// An answer of a service: the elements of its result, or a refusal.
pub(crate) fn answer(
    service: Service,
    action: &str,
    result: Result<String, Refusal>,
    request_id: &str,
) -> Response<String> {
    let namespace = service.namespace();
    let (status, body) = match result {
        Ok(elements) => {
            // Some clients insist on it even where it is empty.
            let result = format!("<{action}Result>{elements}</{action}Result>");
            let metadata =
                format!("<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>");
            (
                StatusCode::OK,
                format!(
                    "<{action}Response xmlns=\"{namespace}\">{result}{metadata}</{action}Response>"
                ),
            )
        }
        Err(refusal) => {
            let fault = if refusal.status.is_client_error() {
                "Sender"
            } else {
                "Receiver"
            };
            let code = element("Code", refusal.code);
            let message = element("Message", &refusal.message);
            (
                refusal.status,
                format!(
                    "<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{fault}</Type>{code}{message}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
                ),
            )
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/xml");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// An element with a text.
pub(crate) fn element(name: &str, text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(character),
            // XML has no way to write these.
            character if character.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            '\u{fffe}' | '\u{ffff}' => escaped.push(char::REPLACEMENT_CHARACTER),
            character => escaped.push(character),
        }
    }
    format!("<{name}>{escaped}</{name}>")
}

/// `roleArn` of `RoleArn`, as constraints name members.
pub(crate) fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_form_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(Form::parse(&body));
        }

        #[test]
        fn what_was_encoded_is_read(name in "\\PC{0,20}", value in "\\PC{0,20}") {
            let encode = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
            let form = format!("{}={}", encode(&name), encode(&value));
            let read: Vec<_> = pairs(&form).collect();
            prop_assert_eq!(read, vec![Some((name, value))]);
        }
    }

    #[test]
    fn members_are_found_by_their_place() {
        let form =
            Form::parse(b"Tags.member.1.Key=a&Tags.member.1.Value=b&Tags.member.2.Key=c").unwrap();
        let keys: Vec<_> = form.members("Tags", "Key").collect();
        assert_eq!(keys, [(1, "a"), (2, "c")]);
    }

    #[test]
    fn texts_are_escaped() {
        assert_eq!(element("A", "<&>\u{1}ä"), "<A>&lt;&amp;&gt;\u{fffd}ä</A>");
    }
}
