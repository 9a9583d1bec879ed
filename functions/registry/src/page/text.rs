//! How times, sizes, scores and links are written.

use maud::{Markup, html};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::artifact::Kind;
use crate::source::Source;

const MOMENT: &[BorrowedFormatItem<'_>] =
    format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute] UTC");
/// The most characters of an input of a rating.
const MOST_OF_INPUT: usize = 400;

/// A moment.
pub(crate) fn moment(moment: OffsetDateTime) -> Markup {
    let moment = moment.to_offset(time::UtcOffset::UTC);
    html! {
        @match (moment.format(&MOMENT), moment.format(&Rfc3339)) {
            (Ok(shown), Ok(exact)) => time datetime=(exact) { (shown) },
            _ => "at an impossible time",
        }
    }
}

/// A moment as it is stored: RFC 3339, or what somebody else wrote.
pub(crate) fn stored_moment(stored: &str) -> Markup {
    match OffsetDateTime::parse(stored, &Rfc3339) {
        Ok(parsed) => moment(parsed),
        Err(_other) => html! { (shortened(stored, 40)) },
    }
}

/// A text that strangers wrote, with a link to it if it is an address of the web.
pub(crate) fn link(stored: &str) -> Markup {
    html! {
        @match address(stored) {
            Some(address) => a href=(address) rel="noopener noreferrer" { bdi { (stored) } },
            None => bdi { (stored) },
        }
    }
}

/// The address of the web that a text is: http or https, without credentials.
pub(crate) fn address(stored: &str) -> Option<String> {
    let source: Source = stored.parse().ok()?;
    Some(source.as_str().to_owned())
}

/// The first so many characters, and a mark if there are more.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default().trim_end()),
        None => text.to_owned(),
    }
}

/// What an artifact is, at the beginning of a sentence.
pub(crate) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Model => "Model",
        Kind::Dataset => "Dataset",
        Kind::Code => "Code",
    }
}

/// A cost in MB, the unit of the contract; nothing is what nobody told.
pub(crate) fn megabytes(cost: f64) -> String {
    match cost {
        cost if cost <= 0.0 => "not known".to_owned(),
        cost if cost < 0.05 => "under 0.1".to_owned(),
        cost => grouped(&format!("{cost:.1}")),
    }
}

/// A size, in units of 1024 and its powers.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["KB", "MB", "GB", "TB"];
    let (mut tenths, mut unit) = (bytes.saturating_mul(10), "bytes");
    for next in units {
        if tenths < 10_240 {
            break;
        }
        (tenths, unit) = (tenths / 1024, next);
    }
    match (unit, tenths % 10) {
        ("bytes", _) => format!("{} bytes", tenths / 10),
        (unit, rest) => format!("{}.{rest} {unit}", grouped(&(tenths / 10).to_string())),
    }
}

/// A count, with its thousands apart.
pub(crate) fn count(count: u64) -> String {
    grouped(&count.to_string())
}

/// A value of JSON as people read it, cut where it gets too long.
pub(crate) fn value(value: &Value) -> String {
    let text = match value {
        Value::Null => "not known".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        value => value.to_string(),
    };
    shortened(&text, MOST_OF_INPUT)
}

/// The name of a field as words.
pub(crate) fn words(field: &str) -> String {
    field.replace('_', " ")
}

/// A number with narrow spaces between its thousands.
fn grouped(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut text = String::new();
    for (place, digit) in whole.char_indices() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_addresses_of_the_web_become_links() {
        for (stored, is_link) in [
            ("https://example.com/a", true),
            ("http://example.com/?a=<b>&c=\"d\"", true),
            ("javascript:alert(1)", false),
            ("JavaScript:alert(1)//https://example.com", false),
            ("data:text/html,<script>alert(1)</script>", false),
            ("//example.com", false),
            ("https://user:password@example.com", false),
            ("vbscript:x", false),
            ("", false),
        ] {
            let markup = link(stored).into_string();
            assert_eq!(markup.contains("href="), is_link, "{markup}");
            assert!(!markup.contains("<script"), "{markup}");
            assert!(!is_link || markup.contains("rel=\"noopener noreferrer\""));
        }
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, shown) in [
            (7, "7"),
            (1000, "1\u{202f}000"),
            (123_456, "123\u{202f}456"),
        ] {
            assert_eq!(count(number), shown);
        }
        assert_eq!(megabytes(1234.56), "1\u{202f}234.6");
        for (size, shown) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KB"),
            (440 << 20, "440.0 MB"),
            (u64::MAX, "1\u{202f}677\u{202f}721.5 TB"),
        ] {
            assert_eq!(bytes(size), shown);
        }
        assert_eq!(megabytes(0.0), "not known");
        assert_eq!(megabytes(0.01), "under 0.1");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("ü😀x", 3), "ü😀x");
        assert_eq!(shortened("ü😀xy", 3), "ü😀x…");
        assert_eq!(value(&json!("x".repeat(500))).chars().count(), 401);
    }

    #[test]
    fn what_is_no_time_is_shown_as_it_is() {
        let shown = |text| stored_moment(text).into_string();
        assert_eq!(
            shown("2026-11-21T06:00:00+02:00"),
            "<time datetime=\"2026-11-21T04:00:00Z\">21 Nov 2026, 04:00 UTC</time>"
        );
        assert_eq!(shown("<yesterday>"), "&lt;yesterday&gt;");
    }
}
