//! Writes the text of a document, block by block, within limits.

use crate::extract::format::Format;
use crate::extract::limits::Limits;
use crate::extract::refusal::{Refusal, Size};
use crate::extract::text::{Mark, Place, Text};

/// What separates a block from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// A line of its own.
    Line,
    /// An empty line between them.
    Paragraph,
}

/// Writes a text and notes its places.
#[derive(Debug)]
pub(crate) struct Writer {
    text: String,
    characters: u64,
    marks: Vec<Mark>,
    /// What begins where the next block does.
    waiting: Vec<Place>,
    max_text: u64,
    max_marks: u64,
}

impl Writer {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            text: String::new(),
            characters: 0,
            marks: Vec::new(),
            waiting: Vec::new(),
            max_text: limits.text,
            max_marks: limits.marks,
        }
    }

    /// The next block begins a page.
    pub(crate) fn page(&mut self, number: u32) -> Result<(), Refusal> {
        self.begin(Place::Page(number))
    }

    /// The next block begins a section.
    pub(crate) fn section(&mut self, level: u8, title: &str) -> Result<(), Refusal> {
        self.begin(Place::Heading {
            level: level.clamp(1, 6),
            title: title.chars().take(Place::TITLE).collect(),
        })
    }

    fn begin(&mut self, place: Place) -> Result<(), Refusal> {
        let marks = self.marks.len().saturating_add(self.waiting.len());
        if u64::try_from(marks).is_ok_and(|marks| marks >= self.max_marks) {
            return Err(Refusal::too_large(Size::Marks, self.max_marks));
        }
        self.waiting.push(place);
        Ok(())
    }

    /// Writes a block. An empty one is none.
    pub(crate) fn block(&mut self, gap: Gap, block: &str) -> Result<(), Refusal> {
        if block.is_empty() {
            return Ok(());
        }
        if !self.text.is_empty() {
            self.push(match gap {
                Gap::Line => "\n",
                Gap::Paragraph => "\n\n",
            })?;
        }
        self.settle();
        self.push(block)
    }

    fn settle(&mut self) {
        let offset = self.characters;
        let waiting = self.waiting.drain(..);
        self.marks
            .extend(waiting.map(|place| Mark { offset, place }));
    }

    fn push(&mut self, text: &str) -> Result<(), Refusal> {
        for part in text.split('\0') {
            let bytes = self.text.len().saturating_add(part.len());
            if u64::try_from(bytes).unwrap_or(u64::MAX) > self.max_text {
                return Err(Refusal::too_large(Size::Text, self.max_text));
            }
            self.text.push_str(part);
            self.characters += characters(part);
        }
        Ok(())
    }

    /// What was written. A text without anything to read in it is none.
    pub(crate) fn finish(mut self, format: Format) -> Result<Text, Refusal> {
        self.settle();
        if self.text.trim().is_empty() {
            return Err(Refusal::Empty);
        }
        Ok(Text {
            format,
            text: self.text,
            marks: self.marks,
        })
    }
}

/// How many characters (Unicode scalar values) a text has.
pub(crate) fn characters(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}
