//! Presentations: PPTX (`PresentationML`, ECMA-376 part 1, 19). A slide is a page, its title a heading.

use std::io::{Read, Seek};

use crate::extract::block::{Block, Composer};
use crate::extract::format::Format;
use crate::extract::limits::Limits;
use crate::extract::package::{Package, Relationship};
use crate::extract::refusal::Refusal;
use crate::extract::text::Text;
use crate::extract::writer::Writer;
use crate::extract::xml::{self, Element, Xml};

/// Reads a document.
pub(crate) fn read(source: impl Read + Seek, limits: &Limits) -> Result<Text, Refusal> {
    let mut package = Package::open(source, limits)?;
    let (name, presentation) = package.main_part()?;
    let related = package.relationships(&name)?;
    let mut composer = Composer::new(Writer::new(limits));
    for (number, id) in (1_u32..).zip(slides(&presentation)?) {
        composer.page(number)?;
        let Some(slide) = find(&related, |part| part.id == id) else {
            continue;
        };
        let mut shapes = match package.part(slide)? {
            Some(content) => shapes(&content)?,
            None => continue,
        };
        let related = package.relationships(slide)?;
        if let Some(notes) = find(&related, |part| part.kind == "notesSlide")
            && let Some(content) = package.part(notes)?
        {
            let notes = self::shapes(&content)?.into_iter();
            shapes.extend(notes.map(|shape| Shape {
                is_title: false,
                is_list: false,
                ..shape
            }));
        }
        // The title may be anywhere among the shapes, but it is read first.
        let (titles, others): (Vec<Shape>, Vec<Shape>) =
            shapes.into_iter().partition(|shape| shape.is_title);
        for shape in titles.into_iter().chain(others) {
            shape.compose(&mut composer)?;
        }
    }
    composer.finish(Format::Pptx)
}

/// The relationships of the slides, in the order of the presentation.
fn slides(presentation: &[u8]) -> Result<Vec<String>, Refusal> {
    let mut slides = Vec::new();
    xml::walk(presentation, |event| {
        if let Xml::Start(element) = event
            && element.name() == "sldId"
            && let Some(id) = element.prefixed_attribute("id")
        {
            slides.push(id);
        }
        Ok(())
    })?;
    Ok(slides)
}

fn find(related: &[Relationship], is: impl Fn(&Relationship) -> bool) -> Option<&str> {
    let found = related.iter().find(|part| is(part))?;
    Some(&found.target)
}

/// A shape with text, or a table.
#[derive(Debug, Default)]
struct Shape {
    is_title: bool,
    /// Bodies are lists, as a rule.
    is_list: bool,
    is_left_out: bool,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Paragraph { depth: usize, text: String },
    BeginRow,
    BeginCell,
    EndRow,
}

impl Shape {
    fn compose(self, composer: &mut Composer) -> Result<(), Refusal> {
        if self.is_left_out {
            return Ok(());
        }
        if self.is_title {
            let lines = self.parts.into_iter().filter_map(|part| match part {
                Part::Paragraph { text, .. } => Some(text),
                _ => None,
            });
            let title: Vec<String> = lines.collect();
            return composer.add(Block::Heading(1, title.join(" ")));
        }
        let mut rows = Vec::new();
        composer.begin_table();
        for part in self.parts {
            match part {
                Part::BeginRow => rows.push(composer.begin_row()),
                Part::BeginCell => composer.begin_cell(),
                Part::EndRow => {
                    if rows.pop() == Some(true) {
                        composer.end_row()?;
                    }
                }
                Part::Paragraph { text, .. } if text.is_empty() => {}
                Part::Paragraph { depth, text } => composer.add(if self.is_list {
                    Block::Item(depth, format!("- {text}"))
                } else {
                    Block::Paragraph(text)
                })?,
            }
        }
        composer.begin_table();
        Ok(())
    }
}

/// The shapes of a slide.
fn shapes(slide: &[u8]) -> Result<Vec<Shape>, Refusal> {
    let mut shapes = Vec::new();
    let mut shape = Shape::default();
    let (mut text, mut depth) = (String::new(), 0);
    let mut is_text = false;
    let mut left_out = 0_u64;
    xml::walk(slide, |event| {
        match event {
            // The second edition of a drawing, for older programs.
            Xml::Start(element) if element.name() == "Fallback" => left_out += 1,
            Xml::End("Fallback") => left_out = left_out.saturating_sub(1),
            _ if left_out > 0 => {}
            Xml::Start(element) => match element.name() {
                "sp" | "graphicFrame" => shape = Shape::default(),
                "ph" => shape.is_placeholder(element),
                "p" => {
                    text.clear();
                    depth = 0;
                }
                "pPr" => depth = level(element),
                "t" => is_text = true,
                "br" => text.push('\n'),
                "tr" => shape.parts.push(Part::BeginRow),
                "tc" => shape.parts.push(Part::BeginCell),
                _ => {}
            },
            Xml::Text(part) if is_text => text.push_str(part),
            Xml::Text(_) => {}
            Xml::End(name) => match name {
                "t" => is_text = false,
                "p" => shape.parts.push(Part::Paragraph {
                    depth,
                    text: text.trim().to_owned(),
                }),
                "tr" => shape.parts.push(Part::EndRow),
                "sp" | "graphicFrame" => shapes.push(std::mem::take(&mut shape)),
                _ => {}
            },
        }
        Ok(())
    })?;
    Ok(shapes)
}

impl Shape {
    /// What a placeholder is for. Without a type it is the body.
    fn is_placeholder(&mut self, element: &Element<'_>) {
        match element.attribute("type").as_deref() {
            Some("title" | "ctrTitle") => self.is_title = true,
            // Of the notes, the picture of the slide; and what is the same on all slides.
            Some("sldImg" | "sldNum" | "dt" | "ftr" | "hdr") => self.is_left_out = true,
            Some("subTitle") => {}
            _ => self.is_list = true,
        }
    }
}

fn level(element: &Element<'_>) -> usize {
    let level = element.attribute("lvl");
    level.and_then(|level| level.parse().ok()).unwrap_or(0)
}
