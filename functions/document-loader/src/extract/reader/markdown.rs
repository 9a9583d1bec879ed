//! Markdown: the text as it is, with its headings noted.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::extract::characters;
use crate::extract::format::Format;
use crate::extract::limits::Limits;
use crate::extract::reader::plain;
use crate::extract::refusal::{Refusal, Size};
use crate::extract::text::{Mark, Place, Text};

/// Reads a document.
pub(crate) fn read(bytes: Vec<u8>, limits: &Limits) -> Result<Text, Refusal> {
    let text = plain::decoded(bytes, limits)?;
    if text.trim().is_empty() {
        return Err(Refusal::Empty);
    }
    let marks = headings(&text, limits)?;
    Ok(Text {
        format: Format::Markdown,
        text,
        marks,
    })
}

fn headings(text: &str, limits: &Limits) -> Result<Vec<Mark>, Refusal> {
    // What stands between `---` at the beginning is about the document. To CommonMark it would be a heading.
    let options = Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS
        | Options::ENABLE_TABLES;
    let mut marks: Vec<Mark> = Vec::new();
    let (mut bytes, mut offset) = (0, 0);
    let mut title: Option<String> = None;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match (event, &mut title) {
            (Event::Start(Tag::Heading { .. }), _) => title = Some(String::new()),
            (Event::Text(part) | Event::Code(part), Some(title)) => title.push_str(&part),
            (Event::SoftBreak | Event::HardBreak, Some(title)) => title.push(' '),
            (Event::End(TagEnd::Heading(level)), Some(heading)) => {
                // Headings come in the order of the text, so each character is counted once.
                offset += characters(text.get(bytes..range.start).unwrap_or_default());
                bytes = bytes.max(range.start);
                if u64::try_from(marks.len()).is_ok_and(|marks| marks >= limits.marks) {
                    return Err(Refusal::too_large(Size::Marks, limits.marks));
                }
                marks.push(Mark {
                    offset,
                    place: Place::Heading {
                        level: depth(level),
                        title: heading.trim().chars().take(Place::TITLE).collect(),
                    },
                });
                title = None;
            }
            _ => {}
        }
    }
    Ok(marks)
}

fn depth(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}
