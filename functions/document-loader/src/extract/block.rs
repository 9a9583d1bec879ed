//! Composes Markdown from the blocks of a document: headings, paragraphs, items of lists, code and tables.

use crate::extract::format::Format;
use crate::extract::refusal::Refusal;
use crate::extract::text::Text;
use crate::extract::writer::{Gap, Writer, characters};

/// How many tables may be inside each other. The rows of deeper ones are paragraphs.
const NESTING: usize = 16;

/// A row with more characters than this is told block by block: tables that only arrange a page have such rows.
const ROW: u64 = 4000;

/// A part of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Block {
    /// A level from 1 to 6, and a title of one line.
    Heading(u8, String),
    Paragraph(String),
    /// How deep it is in lists, and its text with what stands before it.
    Item(usize, String),
    Code(String),
    Row(Vec<String>),
}

impl Block {
    fn is_empty(&self) -> bool {
        match self {
            Self::Heading(_, text) | Self::Paragraph(text) | Self::Item(_, text) => text.is_empty(),
            Self::Code(text) => text.trim().is_empty(),
            Self::Row(cells) => cells.iter().all(String::is_empty),
        }
    }

    /// What a cell has of it in a row of one line; nothing if it needs lines of its own.
    fn in_one_line(&self) -> Option<&str> {
        match self {
            Self::Paragraph(text) | Self::Item(_, text) => Some(text),
            Self::Heading(..) | Self::Code(_) | Self::Row(_) => None,
        }
    }
}

/// Writes blocks, and knows which row of which table they are in.
#[derive(Debug)]
pub(crate) struct Composer {
    writer: Writer,
    rows: Vec<Row>,
    /// Whether the block before was an item or a row, which another one follows without an empty line.
    before: Before,
}

#[derive(Debug, Default)]
struct Row {
    cells: Vec<Vec<Block>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Item,
    Row,
    Other,
}

impl Composer {
    pub(crate) fn new(writer: Writer) -> Self {
        Self {
            writer,
            rows: Vec::new(),
            before: Before::Other,
        }
    }

    /// What comes now is on this page.
    pub(crate) fn page(&mut self, number: u32) -> Result<(), Refusal> {
        self.writer.page(number)
    }

    /// Adds a block to the cell that is open, or to the text.
    pub(crate) fn add(&mut self, block: Block) -> Result<(), Refusal> {
        if block.is_empty() {
            return Ok(());
        }
        match self.rows.last_mut().and_then(|row| row.cells.last_mut()) {
            Some(cell) => {
                cell.push(block);
                Ok(())
            }
            None => self.write(&block),
        }
    }

    /// Rows from here on belong to another table.
    pub(crate) fn begin_table(&mut self) {
        if self.rows.is_empty() {
            self.before = Before::Other;
        }
    }

    /// Begins a row; whether it is one. In too many tables it is not, and must not be ended.
    pub(crate) fn begin_row(&mut self) -> bool {
        let is_row = self.rows.len() < NESTING;
        if is_row {
            self.rows.push(Row::default());
        }
        is_row
    }

    pub(crate) fn begin_cell(&mut self) {
        if let Some(row) = self.rows.last_mut() {
            row.cells.push(Vec::new());
        }
    }

    pub(crate) fn end_row(&mut self) -> Result<(), Refusal> {
        let Some(row) = self.rows.pop() else {
            return Ok(());
        };
        match row.in_one_line() {
            Some(cells) => self.add(Block::Row(cells)),
            None => row
                .cells
                .into_iter()
                .flatten()
                .try_for_each(|block| self.add(block)),
        }
    }

    fn write(&mut self, block: &Block) -> Result<(), Refusal> {
        let before = match block {
            Block::Item(..) => Before::Item,
            Block::Row(_) => Before::Row,
            _ => Before::Other,
        };
        let gap = if before != Before::Other && before == self.before {
            Gap::Line
        } else {
            Gap::Paragraph
        };
        self.before = before;
        match block {
            Block::Heading(level, title) => {
                let title = line(title);
                self.writer.section(*level, &title)?;
                let signs = "#".repeat(usize::from((*level).clamp(1, 6)));
                self.writer.block(gap, &format!("{signs} {title}"))
            }
            Block::Paragraph(text) => self.writer.block(gap, text),
            Block::Item(depth, text) => {
                let indent = "  ".repeat((*depth).min(8));
                let text = text.replace('\n', &format!("\n{indent}  "));
                self.writer.block(gap, &format!("{indent}{text}"))
            }
            Block::Code(text) => {
                let text = text.trim_end();
                let text = text.strip_prefix('\n').unwrap_or(text);
                self.writer.block(gap, &format!("```\n{text}\n```"))
            }
            Block::Row(cells) => {
                let cells: Vec<String> = cells.iter().map(|cell| line(cell)).collect();
                self.writer
                    .block(gap, &format!("| {} |", cells.join(" | ")))
            }
        }
    }

    /// What was composed. Rows still open are ended.
    pub(crate) fn finish(mut self, format: Format) -> Result<Text, Refusal> {
        while !self.rows.is_empty() {
            self.end_row()?;
        }
        self.writer.finish(format)
    }
}

impl Row {
    /// The text of each cell, if this is a row of several short ones.
    fn in_one_line(&self) -> Option<Vec<String>> {
        if self.cells.len() < 2 {
            return None;
        }
        let cells: Option<Vec<String>> = self
            .cells
            .iter()
            .map(|blocks| {
                let texts: Option<Vec<&str>> = blocks.iter().map(Block::in_one_line).collect();
                texts.map(|texts| texts.join(" "))
            })
            .collect();
        cells.filter(|cells| cells.iter().map(|cell| characters(cell)).sum::<u64>() <= ROW)
    }
}

/// A text in one line.
fn line(text: &str) -> String {
    let words: Vec<&str> = text.split(['\n', '\r']).map(str::trim).collect();
    words.join(" ").trim().to_owned()
}
