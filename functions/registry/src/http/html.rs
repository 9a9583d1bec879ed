//! Pieces of a page.

use std::fmt::Write as _;

use serde_json::Value;

pub(super) fn table<const COLUMNS: usize>(
    page: &mut String,
    caption: &str,
    columns: [&str; COLUMNS],
    rows: impl FnOnce(&mut String),
) {
    line(
        page,
        format_args!("<table>\n<caption>{caption}</caption>\n<thead><tr>"),
    );
    for column in columns {
        line(page, format_args!("<th scope=\"col\">{column}</th>"));
    }
    line(page, format_args!("</tr></thead>\n<tbody>"));
    rows(page);
    line(page, format_args!("</tbody>\n</table>"));
}

/// A row of cells that are written already; the first is its heading.
pub(super) fn row<const COLUMNS: usize>(page: &mut String, cells: [String; COLUMNS]) {
    let mut cells = cells.into_iter();
    let heading = cells.next().unwrap_or_default();
    line(page, format_args!("<tr><th scope=\"row\">{heading}</th>"));
    for cell in cells {
        line(page, format_args!("<td>{cell}</td>"));
    }
    line(page, format_args!("</tr>"));
}

pub(super) fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _ = writeln!(page, "{text}");
}

pub(super) fn text<'a>(of: &'a Value, member: &str) -> &'a str {
    of.get(member).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn is_true(of: &Value, member: &str) -> bool {
    of.get(member) == Some(&Value::Bool(true))
}

pub(super) fn items<'a>(of: &'a Value, member: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    of.get(member)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

pub(super) fn members<'a>(
    of: &'a Value,
    member: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    of.get(member)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

/// What a link can lead to.
pub(super) fn anchor(name: &str) -> String {
    let letter = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '-'
        }
    };
    name.chars().map(letter).collect()
}

/// A member that is a text, as HTML.
pub(super) struct Text<'a>(pub(super) &'a Value, pub(super) &'static str);

impl std::fmt::Display for Text<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Escaped(text(self.0, self.1)).fmt(formatter)
    }
}

/// A text as HTML. What is between backticks is code.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut is_code = false;
        for letter in self.0.chars() {
            match letter {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '`' => {
                    formatter.write_str(if is_code { "</code>" } else { "<code>" })?;
                    is_code = !is_code;
                }
                letter => formatter.write_char(letter)?,
            }
        }
        if is_code {
            formatter.write_str("</code>")?;
        }
        Ok(())
    }
}
