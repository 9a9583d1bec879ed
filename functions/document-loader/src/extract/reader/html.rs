//! HTML, and the XHTML of books.
//!
//! Read token by token, as a stream: there is no tree, so memory and stack do not grow with how deep elements are
//! nested.

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};

use crate::extract::block::{Block, Composer};
use crate::extract::format::Format;
use crate::extract::limits::Limits;
use crate::extract::refusal::Refusal;
use crate::extract::text::Text;
use crate::extract::writer::Writer;

/// Lists deeper than this are not told apart.
const LISTS: usize = 64;

/// Which rules the markup follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    Html,
    /// Well-formed XML: an empty element ends itself, whatever its name.
    Xhtml,
}

/// Reads a document.
pub(crate) fn read(html: &str, limits: &Limits) -> Result<Text, Refusal> {
    let mut composer = Composer::new(Writer::new(limits));
    convert(html, Syntax::Html, &mut composer)?;
    composer.finish(Format::Html)
}

/// Adds the text of a document to what is composed.
pub(crate) fn convert(html: &str, syntax: Syntax, composer: &mut Composer) -> Result<(), Refusal> {
    let mut converter = Converter {
        composer,
        syntax,
        tag: Vec::new(),
        attribute: Vec::new(),
        alternative: String::new(),
        skipped: None,
        inline: Inline::default(),
        heading: None,
        code: 0,
        lists: Vec::new(),
        marker: None,
        tables: Vec::new(),
    };
    let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _span: Span<()>| {
        converter.take(&event).err()
    });
    // Scripts and styles of XHTML are escaped like any text.
    emitter.naively_switch_states(syntax == Syntax::Html);
    // The only tokens are refusals, so the first one is at the end or where reading was given up.
    match Tokenizer::new_with_emitter(html, emitter).next() {
        Some(Ok(refusal)) => Err(refusal),
        None => converter.end(),
    }
}

struct Converter<'c> {
    composer: &'c mut Composer,
    syntax: Syntax,
    /// The start tag that is being read, and of its attributes the one that is.
    tag: Vec<u8>,
    attribute: Vec<u8>,
    /// The text that stands for an image.
    alternative: String,
    /// The element that is left out, and how many of this name are open.
    skipped: Option<(Vec<u8>, u64)>,
    inline: Inline,
    heading: Option<u8>,
    /// How many `pre` are open.
    code: u64,
    /// The lists that are open, with the next number if they have numbers.
    lists: Vec<Option<u64>>,
    /// What stands before the next block, the first of an item.
    marker: Option<String>,
    /// The tables that are open: whether a row is.
    tables: Vec<bool>,
}

impl Converter<'_> {
    fn take(&mut self, event: &CallbackEvent<'_>) -> Result<(), Refusal> {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.tag.clear();
                self.tag.extend_from_slice(name);
                self.attribute.clear();
                self.alternative.clear();
            }
            CallbackEvent::AttributeName { name } => {
                self.attribute.clear();
                self.attribute.extend_from_slice(name);
            }
            CallbackEvent::AttributeValue { value }
                if self.tag == b"img" && self.attribute == b"alt" =>
            {
                self.alternative = String::from_utf8_lossy(value).into_owned();
            }
            CallbackEvent::CloseStartTag { self_closing } => {
                let tag = std::mem::take(&mut self.tag);
                self.start(&tag, *self_closing)?;
                self.tag = tag;
            }
            CallbackEvent::EndTag { name } => self.stop(name)?,
            CallbackEvent::String { value } if self.skipped.is_none() => {
                let text = String::from_utf8_lossy(value);
                if self.code > 0 {
                    self.inline.verbatim(&text);
                } else {
                    self.inline.push(&text);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, tag: &[u8], self_closing: bool) -> Result<(), Refusal> {
        let is_empty = self_closing && (self.syntax == Syntax::Xhtml || tag == b"svg");
        if let Some((skipped, open)) = &mut self.skipped {
            if skipped == tag && !is_empty {
                *open = open.saturating_add(1);
            }
            return Ok(());
        }
        let name = local_name(tag);
        if is_skipped(name) {
            if !is_empty {
                self.skipped = Some((tag.to_vec(), 1));
            }
            return Ok(());
        }
        match name {
            b"br" => self.inline.line(),
            b"img" => {
                let alternative = std::mem::take(&mut self.alternative);
                self.inline.push(&alternative);
            }
            b"pre" | b"listing" => {
                self.flush()?;
                self.code = self.code.saturating_add(1);
            }
            b"ul" | b"ol" => {
                self.flush()?;
                if self.lists.len() < LISTS {
                    self.lists.push((name == b"ol").then_some(1));
                }
            }
            b"li" => {
                self.flush()?;
                self.marker = Some(self.next_marker());
            }
            b"table" => {
                self.flush()?;
                self.composer.begin_table();
                self.tables.push(false);
            }
            b"tr" => self.begin_row()?,
            b"td" | b"th" => {
                self.flush()?;
                if self.tables.last() == Some(&false) {
                    self.begin_row()?;
                }
                if self.tables.last() == Some(&true) {
                    self.composer.begin_cell();
                }
            }
            _ => {
                if let Some(level) = heading_level(name) {
                    self.flush()?;
                    self.heading = Some(level);
                } else if is_block(name) {
                    self.flush()?;
                }
            }
        }
        if is_empty {
            self.stop(tag)?;
        }
        Ok(())
    }

    fn stop(&mut self, tag: &[u8]) -> Result<(), Refusal> {
        if let Some((skipped, open)) = &mut self.skipped {
            if skipped == tag {
                *open -= 1;
                if *open == 0 {
                    self.skipped = None;
                }
            }
            return Ok(());
        }
        let name = local_name(tag);
        match name {
            b"pre" | b"listing" => {
                self.flush()?;
                self.code = self.code.saturating_sub(1);
            }
            b"ul" | b"ol" => {
                self.flush()?;
                self.marker = None;
                self.lists.pop();
            }
            b"li" => {
                self.flush()?;
                self.marker = None;
            }
            b"tr" => self.end_row()?,
            b"td" | b"th" => self.flush()?,
            b"table" => {
                self.end_row()?;
                self.tables.pop();
                self.composer.begin_table();
            }
            _ => {
                if heading_level(name).is_some() {
                    self.flush()?;
                    self.heading = None;
                } else if is_block(name) {
                    self.flush()?;
                }
            }
        }
        Ok(())
    }

    fn begin_row(&mut self) -> Result<(), Refusal> {
        self.end_row()?;
        if let Some(row) = self.tables.last_mut() {
            *row = self.composer.begin_row();
        }
        Ok(())
    }

    fn end_row(&mut self) -> Result<(), Refusal> {
        self.flush()?;
        if let Some(row) = self.tables.last_mut()
            && std::mem::take(row)
        {
            self.composer.end_row()?;
        }
        Ok(())
    }

    fn next_marker(&mut self) -> String {
        match self.lists.last_mut() {
            Some(Some(number)) => {
                let marker = format!("{number}. ");
                *number = number.saturating_add(1);
                marker
            }
            _ => "- ".to_owned(),
        }
    }

    /// Ends the block that is being read.
    fn flush(&mut self) -> Result<(), Refusal> {
        let text = self.inline.take(self.code > 0);
        if text.trim().is_empty() {
            return Ok(());
        }
        let block = if self.code > 0 {
            Block::Code(text)
        } else if let Some(level) = self.heading {
            Block::Heading(level, text)
        } else if let Some(marker) = self.marker.take() {
            Block::Item(self.lists.len().saturating_sub(1), marker + &text)
        } else {
            Block::Paragraph(text)
        };
        self.composer.add(block)
    }

    fn end(mut self) -> Result<(), Refusal> {
        self.flush()?;
        while let Some(row) = self.tables.pop() {
            if row {
                self.composer.end_row()?;
            }
        }
        Ok(())
    }
}

/// Elements whose content is not part of the text. Pronunciations of ruby (`rt`) would be in the middle of words.
fn is_skipped(name: &[u8]) -> bool {
    matches!(
        name,
        b"audio"
            | b"canvas"
            | b"datalist"
            | b"iframe"
            | b"map"
            | b"noembed"
            | b"noframes"
            | b"noscript"
            | b"object"
            | b"rp"
            | b"rt"
            | b"script"
            | b"select"
            | b"style"
            | b"svg"
            | b"template"
            | b"title"
            | b"video"
    )
}

/// Elements that begin and end a block of text.
fn is_block(name: &[u8]) -> bool {
    matches!(
        name,
        b"address"
            | b"article"
            | b"aside"
            | b"blockquote"
            | b"body"
            | b"caption"
            | b"center"
            | b"dd"
            | b"details"
            | b"dialog"
            | b"dir"
            | b"div"
            | b"dl"
            | b"dt"
            | b"fieldset"
            | b"figcaption"
            | b"figure"
            | b"footer"
            | b"form"
            | b"frameset"
            | b"head"
            | b"header"
            | b"hgroup"
            | b"hr"
            | b"html"
            | b"legend"
            | b"main"
            | b"menu"
            | b"nav"
            | b"option"
            | b"p"
            | b"search"
            | b"section"
            | b"summary"
            | b"tbody"
            | b"textarea"
            | b"tfoot"
            | b"thead"
            | b"xml"
            | b"xmp"
    )
}

/// Without the prefix that XHTML may put before it.
fn local_name(tag: &[u8]) -> &[u8] {
    tag.rsplit(|byte| *byte == b':').next().unwrap_or(tag)
}

fn heading_level(name: &[u8]) -> Option<u8> {
    match name {
        [b'h', level @ b'1'..=b'6'] => Some(level - b'0'),
        _ => None,
    }
}

/// The text of a block, in which white space of the markup is one space.
#[derive(Debug, Default)]
struct Inline {
    text: String,
    /// There was white space since the last character.
    space: bool,
}

impl Inline {
    fn push(&mut self, text: &str) {
        for character in text.chars() {
            if character.is_whitespace() {
                self.space = true;
                continue;
            }
            if std::mem::take(&mut self.space)
                && !self.text.is_empty()
                && !self.text.ends_with('\n')
            {
                self.text.push(' ');
            }
            self.text.push(character);
        }
    }

    fn verbatim(&mut self, text: &str) {
        self.space = false;
        self.text.push_str(text);
    }

    fn line(&mut self) {
        self.space = false;
        if !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    fn take(&mut self, is_code: bool) -> String {
        self.space = false;
        let text = std::mem::take(&mut self.text);
        if is_code {
            text
        } else {
            text.trim_end().to_owned()
        }
    }
}
