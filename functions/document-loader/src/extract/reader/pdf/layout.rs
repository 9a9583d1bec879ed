//! From characters at places to words, lines and paragraphs.
//!
//! PDF has no spaces and no lines, only characters at places. They are read in the order in which the page draws them,
//! which nearly every program makes the order of reading, columns included; a gap is a space, a step down is a line.
//! All distances are measured in the size of the font.

use std::collections::VecDeque;

use unicode_normalization::char::compose;

use crate::extract::limits::Limits;
use crate::extract::reader::pdf::matrix::Point;
use crate::extract::refusal::{Refusal, Size};

/// A gap from which on there is a space. Kerning is less than a tenth, the space of most fonts a quarter.
const SPACE: f64 = 0.15;
/// A gap from which on there are two cells of a table, rather than two words of a justified line.
const CELL: f64 = 1.5;
/// How far from the line a character may be and still belong to it, as what is raised or lowered does.
const RAISED: f64 = 0.5;
/// How far back a character may begin, over the one before.
const OVERLAP: f64 = 0.5;
/// How near to itself a character is drawn again to look bold.
const BOLD: f64 = 0.1;
/// How many characters of a line are remembered for that.
const LINE: usize = 200;
/// A distance between lines from which on they are two paragraphs, where nothing is known of the lines before.
const PARAGRAPH: f64 = 1.8;
/// The same in distances of the lines before.
const LOOSE: f64 = 1.3;

/// What is drawn at a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Glyph<'t> {
    pub(super) text: &'t str,
    /// Where it begins.
    pub(super) origin: Point,
    /// From there to where the next one begins.
    pub(super) advance: Point,
    /// The direction of its line, of length 1.
    pub(super) direction: Point,
    /// The size of its font.
    pub(super) size: f64,
}

/// The text of a page, as it grows.
#[derive(Debug)]
pub(super) struct Layout {
    text: String,
    limit: u64,
    last: Option<Last>,
    /// The characters of this line and their places, the last ones if there are many.
    line: VecDeque<(char, Point)>,
    /// A space was drawn since.
    space: bool,
    /// The greatest size in this line, and the distance from the line before in this paragraph.
    line_size: f64,
    pitch: Option<f64>,
}

/// The last character that was drawn.
#[derive(Debug, Clone, Copy)]
struct Last {
    origin: Point,
    end: Point,
    direction: Point,
    size: f64,
    character: char,
}

/// What is between two characters.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Between {
    Nothing,
    Space,
    Cell,
    Line(Option<f64>),
    Paragraph,
    /// The second is the first, drawn once more.
    Same,
    /// The first is an accent over the second, as TeX draws it; together they are this character.
    Accent(char),
}

impl Layout {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            text: String::new(),
            limit: limits.text,
            last: None,
            line: VecDeque::new(),
            space: false,
            line_size: 0.0,
            pitch: None,
        }
    }

    /// Adds what is drawn next.
    pub(super) fn push(&mut self, glyph: Glyph<'_>) -> Result<(), Refusal> {
        let Some(first) = glyph.text.chars().find(|character| !is_blank(*character)) else {
            self.space = true;
            return Ok(());
        };
        match self.between(glyph, first) {
            Between::Same => return Ok(()),
            Between::Accent(character) => {
                self.text.pop();
                self.text.push(character);
                self.last = Some(Last::new(glyph, character));
                return Ok(());
            }
            Between::Nothing if self.space && self.last.is_some() => self.text.push(' '),
            Between::Nothing => {}
            Between::Space => self.text.push(' '),
            Between::Cell => self.text.push('\t'),
            Between::Line(pitch) => {
                if self.is_divided(first) {
                    self.text.pop();
                } else {
                    self.text.push('\n');
                }
                self.pitch = pitch.or(self.pitch);
                self.line_size = 0.0;
                self.line.clear();
            }
            Between::Paragraph => {
                self.text.push_str("\n\n");
                self.pitch = None;
                self.line_size = 0.0;
                self.line.clear();
            }
        }
        self.space = glyph.text.ends_with(is_blank);
        for character in glyph.text.trim_matches(is_blank).chars() {
            match letters(character) {
                Some(letters) => self.text.push_str(letters),
                None if is_blank(character) => self.text.push(' '),
                None => self.text.push(character),
            }
        }
        if u64::try_from(self.text.len()).unwrap_or(u64::MAX) > self.limit {
            return Err(Refusal::too_large(Size::Text, self.limit));
        }
        self.line_size = self.line_size.max(glyph.size);
        if self.line.len() >= LINE {
            self.line.pop_front();
        }
        self.line.push_back((first, glyph.origin));
        self.last = Some(Last::new(glyph, first));
        Ok(())
    }

    fn between(&self, glyph: Glyph<'_>, first: char) -> Between {
        let Some(last) = self.last else {
            return Between::Nothing;
        };
        if last.direction.dot(glyph.direction) < 0.95 {
            return Between::Paragraph;
        }
        let size = last.size.max(glyph.size);
        let from_end = glyph.origin.minus(last.end);
        let gap = from_end.dot(last.direction) / size;
        let up = from_end.dot(last.direction.left()) / size;
        if up.abs() < RAISED {
            if (-1.0..-SPACE).contains(&gap)
                && self.text.ends_with(last.character)
                && let Some(character) = accented(last.character, first)
            {
                return Between::Accent(character);
            }
            return if gap < 0.0 && self.is_drawn_again(glyph, first) {
                Between::Same
            } else if gap >= -OVERLAP {
                width(gap)
            } else if is_right_to_left(first) {
                let end = glyph.origin.plus(glyph.advance);
                width(last.origin.minus(end).dot(last.direction) / size)
            } else {
                Between::Line(None)
            };
        }
        self.between_lines(glyph, -up * size)
    }

    /// Whether the same character is nearly at the same place already.
    fn is_drawn_again(&self, glyph: Glyph<'_>, first: char) -> bool {
        self.line.iter().any(|(character, origin)| {
            *character == first && glyph.origin.minus(*origin).length() < BOLD * glyph.size
        })
    }

    fn between_lines(&self, glyph: Glyph<'_>, down: f64) -> Between {
        let size = self.line_size.max(glyph.size);
        let is_other_size = self.line_size.min(glyph.size) < 0.8 * size;
        let is_far = match self.pitch {
            Some(pitch) => down > LOOSE * pitch,
            None => down > PARAGRAPH * size,
        };
        if down < 0.0 || is_far || is_other_size {
            Between::Paragraph
        } else {
            Between::Line(Some(down))
        }
    }

    /// Whether the line ends within a word that goes on with this character: the hyphen is only there for that.
    fn is_divided(&self, next: char) -> bool {
        let mut end = self.text.chars().rev();
        match end.next() {
            Some('\u{ad}') => true,
            Some('-' | '\u{2010}') => {
                next.is_lowercase() && end.next().is_some_and(char::is_alphabetic)
            }
            _ => false,
        }
    }

    /// The text, without white space at the ends of its lines.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

impl Last {
    fn new(glyph: Glyph<'_>, character: char) -> Self {
        Self {
            origin: glyph.origin,
            end: glyph.origin.plus(glyph.advance),
            direction: glyph.direction,
            size: glyph.size,
            character,
        }
    }
}

/// A letter with an accent that stands for itself.
fn accented(accent: char, letter: char) -> Option<char> {
    let combining = match accent {
        '`' => '\u{300}',
        '\u{b4}' => '\u{301}',
        '^' | '\u{2c6}' => '\u{302}',
        '~' | '\u{2dc}' => '\u{303}',
        '\u{af}' => '\u{304}',
        '\u{2d8}' => '\u{306}',
        '\u{2d9}' => '\u{307}',
        '\u{a8}' => '\u{308}',
        '\u{2da}' => '\u{30a}',
        '\u{2dd}' => '\u{30b}',
        '\u{2c7}' => '\u{30c}',
        '\u{b8}' => '\u{327}',
        '\u{2db}' => '\u{328}',
        _ => return None,
    };
    let letter = match letter {
        '\u{131}' => 'i',
        '\u{237}' => 'j',
        letter => letter,
    };
    compose(letter, combining)
}

fn width(gap: f64) -> Between {
    if gap > CELL {
        Between::Cell
    } else if gap > SPACE {
        Between::Space
    } else {
        Between::Nothing
    }
}

fn is_blank(character: char) -> bool {
    character.is_whitespace() || character.is_control()
}

/// Hebrew, Arabic and their presentation forms, which are drawn from right to left.
fn is_right_to_left(character: char) -> bool {
    matches!(character, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}')
}

/// The letters that a ligature stands for: nobody searches for `ﬁ`.
fn letters(character: char) -> Option<&'static str> {
    Some(match character {
        '\u{fb00}' => "ff",
        '\u{fb01}' => "fi",
        '\u{fb02}' => "fl",
        '\u{fb03}' => "ffi",
        '\u{fb04}' => "ffl",
        '\u{fb05}' | '\u{fb06}' => "st",
        _ => return None,
    })
}
