//! Documents of word processors: DOCX (`WordprocessingML`, ECMA-376 part 1, 17).

use std::collections::HashMap;
use std::io::{Read, Seek};

use crate::extract::block::{Block, Composer};
use crate::extract::format::Format;
use crate::extract::limits::Limits;
use crate::extract::package::Package;
use crate::extract::refusal::Refusal;
use crate::extract::text::Text;
use crate::extract::writer::Writer;
use crate::extract::xml::{self, Element, Xml};

/// How long a chain of styles, each based on the next, may be.
const CHAIN: usize = 16;

/// Reads a document.
pub(crate) fn read(source: impl Read + Seek, limits: &Limits) -> Result<Text, Refusal> {
    let mut package = Package::open(source, limits)?;
    let (name, document) = package.main_part()?;
    let related = package.relationships(&name)?;
    let mut part = |kind: &str| match related.iter().find(|part| part.kind == kind) {
        Some(part) => package.part(&part.target),
        None => Ok(None),
    };
    let styles = match part("styles")? {
        Some(styles) => Styles::read(&styles)?,
        None => Styles::default(),
    };
    let mut body = Body::new(Composer::new(Writer::new(limits)), &styles);
    xml::walk(&document, |event| body.take(&event))?;
    for kind in ["footnotes", "endnotes"] {
        if let Some(notes) = part(kind)? {
            xml::walk(&notes, |event| body.take(&event))?;
        }
    }
    body.composer.finish(Format::Docx)
}

/// Which styles are headings, and of what level.
#[derive(Debug, Default)]
struct Styles {
    styles: HashMap<String, Style>,
}

#[derive(Debug, Default)]
struct Style {
    level: Option<u8>,
    is_list: bool,
    based_on: Option<String>,
}

impl Styles {
    fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut styles = HashMap::new();
        let mut id = String::new();
        let mut style = Style::default();
        xml::walk(bytes, |event| {
            match event {
                Xml::Start(element) => match element.name() {
                    "style" => {
                        id = element.attribute("styleId").unwrap_or_default();
                        style = Style::default();
                    }
                    // Word translates the names of styles in its menus, but not in the file.
                    "name" => {
                        let name = value(element).to_lowercase();
                        style.level = match name.as_str() {
                            "title" => Some(1),
                            name => name
                                .strip_prefix("heading ")
                                .and_then(|level| level.parse().ok()),
                        };
                        style.is_list |= name.starts_with("list ") && name != "list paragraph";
                    }
                    "outlineLvl" => style.level = style.level.or_else(|| outline_level(element)),
                    "numPr" => style.is_list = true,
                    "basedOn" => style.based_on = Some(value(element)),
                    _ => {}
                },
                Xml::End("style") => {
                    styles.insert(std::mem::take(&mut id), std::mem::take(&mut style));
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self { styles })
    }

    /// The first answer of a style or of those that it is based on.
    fn find<T>(&self, id: &str, answer: impl Fn(&Style) -> Option<T>) -> Option<T> {
        let mut style = self.styles.get(id);
        for _ in 0..CHAIN {
            if let Some(answer) = style.and_then(&answer) {
                return Some(answer);
            }
            style = self.styles.get(style?.based_on.as_deref()?);
        }
        None
    }
}

/// Reads the body of a document, and its notes.
struct Body<'s> {
    composer: Composer,
    styles: &'s Styles,
    /// The paragraphs that are open: a text box is a paragraph inside another.
    paragraphs: Vec<Paragraph>,
    /// Tables that are open: whether the row is one (see [`Composer::begin_row`]).
    rows: Vec<bool>,
    /// How many elements are open whose content is left out.
    left_out: u64,
    /// Within the element of a text.
    is_text: bool,
}

#[derive(Debug, Default)]
struct Paragraph {
    text: String,
    style: String,
    level: Option<u8>,
    list_level: Option<usize>,
    is_no_list: bool,
}

impl<'s> Body<'s> {
    fn new(composer: Composer, styles: &'s Styles) -> Self {
        Self {
            composer,
            styles,
            paragraphs: Vec::new(),
            rows: Vec::new(),
            left_out: 0,
            is_text: false,
        }
    }

    fn take(&mut self, event: &Xml<'_>) -> Result<(), Refusal> {
        match event {
            Xml::Start(element) if is_left_out(element.name()) => self.left_out += 1,
            Xml::End(name) if is_left_out(name) => self.left_out = self.left_out.saturating_sub(1),
            _ if self.left_out > 0 => {}
            Xml::Start(element) => self.start(element),
            Xml::End(name) => self.end(name)?,
            Xml::Text(text) => {
                if self.is_text
                    && let Some(paragraph) = self.paragraphs.last_mut()
                {
                    paragraph.text.push_str(text);
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, element: &Element<'_>) {
        match element.name() {
            "p" => self.paragraphs.push(Paragraph::default()),
            "t" => self.is_text = true,
            "tbl" => self.composer.begin_table(),
            "tr" => self.rows.push(self.composer.begin_row()),
            "tc" if self.rows.last() == Some(&true) => self.composer.begin_cell(),
            name => {
                let Some(paragraph) = self.paragraphs.last_mut() else {
                    return;
                };
                match name {
                    "pStyle" => paragraph.style = value(element),
                    "outlineLvl" => paragraph.level = outline_level(element),
                    "ilvl" => paragraph.list_level = value(element).parse().ok(),
                    "numId" if value(element) == "0" => paragraph.is_no_list = true,
                    "numId" => paragraph.list_level = paragraph.list_level.or(Some(0)),
                    "tab" | "ptab" => paragraph.text.push('\t'),
                    "br" | "cr" => paragraph.text.push('\n'),
                    "noBreakHyphen" => paragraph.text.push('-'),
                    _ => {}
                }
            }
        }
    }

    fn end(&mut self, name: &str) -> Result<(), Refusal> {
        match name {
            "t" => self.is_text = false,
            "p" => {
                if let Some(paragraph) = self.paragraphs.pop() {
                    let block = paragraph.block(self.styles);
                    self.composer.add(block)?;
                }
            }
            "tr" if self.rows.pop() == Some(true) => self.composer.end_row()?,
            "tbl" => self.composer.begin_table(),
            _ => {}
        }
        Ok(())
    }
}

impl Paragraph {
    fn block(self, styles: &Styles) -> Block {
        let text = self.text.trim().to_owned();
        let level = self
            .level
            .or_else(|| styles.find(&self.style, |style| style.level))
            .filter(|level| (1..=9).contains(level));
        if let Some(level) = level {
            return Block::Heading(level, text);
        }
        let is_list = || styles.find(&self.style, |style| style.is_list.then_some(()));
        let depth = if self.is_no_list || text.is_empty() {
            None
        } else {
            self.list_level.or_else(|| is_list().map(|()| 0))
        };
        match depth {
            Some(depth) => Block::Item(depth, format!("- {text}")),
            None => Block::Paragraph(text),
        }
    }
}

/// What is not part of the text: what was deleted or moved elsewhere, instructions of fields, the second edition of
/// drawings for older programs, the pronunciation of ruby, and tab stops, which are named like tabs.
fn is_left_out(name: &str) -> bool {
    matches!(
        name,
        "del"
            | "moveFrom"
            | "instrText"
            | "delText"
            | "Fallback"
            | "rt"
            | "tabs"
            | "pPrChange"
            | "rPrChange"
    )
}

/// The attribute that most elements have.
fn value(element: &Element<'_>) -> String {
    element.attribute("val").unwrap_or_default()
}

/// Word counts outline levels from 0; 9 is the text itself.
fn outline_level(element: &Element<'_>) -> Option<u8> {
    let level: u8 = value(element).parse().ok()?;
    level.checked_add(1)
}
