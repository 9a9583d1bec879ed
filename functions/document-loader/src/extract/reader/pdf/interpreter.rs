//! Follows the operators of a page that show text (PDF 32000-1, 8.4, 8.10 and 9).

use hayro_cmap::BfString;
use hayro_font::UNITS_PER_EM;
use hayro_syntax::content::TypedIter;
use hayro_syntax::content::ops::TypedInstruction as Instruction;
use hayro_syntax::object::{Array, Dict, Name, Object, ObjectIdentifier, Stream, String as Bytes};
use hayro_syntax::page::{Page, Resources};

use crate::extract::encoding;
use crate::extract::limits::Limits;
use crate::extract::reader::pdf::font::{Face, Fonts};
use crate::extract::reader::pdf::layout::{Glyph, Layout};
use crate::extract::reader::pdf::matrix::{Matrix, Point};
use crate::extract::refusal::Refusal;

/// How deep forms may be in each other, and states saved.
const FORMS: usize = 16;
const STATES: usize = 1000;

/// What was on the pages beside text.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Seen {
    pub(super) images: u64,
    pub(super) shapes: u64,
    /// Characters of which only the shape is known.
    pub(super) unknown: u64,
}

/// The text of a page, the values of its form fields included.
pub(super) fn interpret<'a>(
    page: &Page<'a>,
    fonts: &mut Fonts<'a>,
    seen: &mut Seen,
    limits: &Limits,
) -> Result<String, Refusal> {
    let mut interpreter = Interpreter {
        fonts,
        seen,
        layout: Layout::new(limits),
        state: State::default(),
        saved: Vec::new(),
        text: Matrix::IDENTITY,
        line: Matrix::IDENTITY,
        forms: Vec::new(),
        marked: Vec::new(),
    };
    interpreter.follow(&content(page.raw()), page.resources())?;
    for annotation in annotations(page.raw()) {
        interpreter.reset();
        interpreter.appearance(&annotation, page.resources())?;
    }
    Ok(interpreter.layout.finish())
}

/// The operators of a page: one stream, or several that are read as one. What cannot be decoded is left out.
fn content(page: &Dict<'_>) -> Vec<u8> {
    let streams: Vec<Stream<'_>> = match page.get::<Object<'_>>("Contents") {
        Some(Object::Stream(stream)) => vec![stream],
        Some(Object::Array(streams)) => streams.iter::<Stream<'_>>().collect(),
        _ => Vec::new(),
    };
    let mut content = Vec::new();
    for stream in streams {
        if let Ok(part) = stream.decoded_data() {
            content.extend_from_slice(&part);
            content.push(b' ');
        }
    }
    content
}

/// Fields of forms and notes on the page that are to be seen, with how they look.
fn annotations<'a>(page: &Dict<'a>) -> Vec<Dict<'a>> {
    const HIDDEN: u32 = 1 << 1;
    const NO_VIEW: u32 = 1 << 5;
    let annotations = page.get::<Array<'a>>("Annots").unwrap_or_default();
    annotations
        .iter::<Dict<'a>>()
        .filter(|annotation| {
            let kind = annotation.get::<Name<'_>>("Subtype");
            let flags: u32 = annotation.get("F").unwrap_or(0);
            kind.is_some_and(|kind| matches!(kind.as_ref(), b"Widget" | b"FreeText"))
                && flags & (HIDDEN | NO_VIEW) == 0
        })
        .collect()
}

struct Interpreter<'i, 'a> {
    fonts: &'i mut Fonts<'a>,
    seen: &'i mut Seen,
    layout: Layout,
    state: State<'a>,
    saved: Vec<State<'a>>,
    /// The text matrix and the text line matrix.
    text: Matrix,
    line: Matrix,
    /// The forms that are open: one that contains itself would never end.
    forms: Vec<ObjectIdentifier>,
    /// The marked content that is open, with the text that it stands for, if it says so.
    marked: Vec<Option<Replacement>>,
}

#[derive(Debug, Clone)]
struct State<'a> {
    page: Matrix,
    font: Option<Face<'a>>,
    size: f64,
    character_space: f64,
    word_space: f64,
    scale: f64,
    leading: f64,
    rise: f64,
}

impl Default for State<'_> {
    fn default() -> Self {
        Self {
            page: Matrix::IDENTITY,
            font: None,
            size: 1.0,
            character_space: 0.0,
            word_space: 0.0,
            scale: 1.0,
            leading: 0.0,
            rise: 0.0,
        }
    }
}

/// A text that characters stand for (14.9.4), and where the first and the last of them are.
#[derive(Debug)]
struct Replacement {
    text: String,
    place: Option<Place>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    origin: Point,
    advance: Point,
    direction: Point,
    size: f64,
}

impl<'a> Interpreter<'_, 'a> {
    fn reset(&mut self) {
        self.state = State::default();
        self.saved.clear();
        self.marked.clear();
    }

    fn follow(&mut self, content: &[u8], resources: &Resources<'a>) -> Result<(), Refusal> {
        let mut instructions = TypedIter::new(content);
        let depth = self.saved.len();
        while let Some(instruction) = instructions.next() {
            match instruction {
                Instruction::SaveState(_) if self.saved.len() < STATES => {
                    self.saved.push(self.state.clone());
                }
                Instruction::RestoreState(_) if self.saved.len() > depth => {
                    self.state = self.saved.pop().unwrap_or_default();
                }
                Instruction::Transform(m) => {
                    let matrix = Matrix::of_numbers([&m.0, &m.1, &m.2, &m.3, &m.4, &m.5]);
                    self.state.page = matrix.then(self.state.page);
                }
                Instruction::BeginText(_) => {
                    self.text = Matrix::IDENTITY;
                    self.line = Matrix::IDENTITY;
                }
                Instruction::CharacterSpacing(n) => self.state.character_space = n.0.as_f64(),
                Instruction::WordSpacing(n) => self.state.word_space = n.0.as_f64(),
                Instruction::HorizontalScaling(n) => self.state.scale = n.0.as_f64() / 100.0,
                Instruction::TextLeading(n) => self.state.leading = n.0.as_f64(),
                Instruction::TextRise(n) => self.state.rise = n.0.as_f64(),
                Instruction::TextFont(font) => {
                    self.state.size = font.1.as_f64();
                    let dict = resources.get_font(font.0);
                    self.state.font = dict.and_then(|dict| self.fonts.font(&dict));
                }
                Instruction::SetTextMatrix(m) => {
                    self.line = Matrix::of_numbers([&m.0, &m.1, &m.2, &m.3, &m.4, &m.5]);
                    self.text = self.line;
                }
                Instruction::NextLine(step) => self.next_line(step.0.as_f64(), step.1.as_f64()),
                Instruction::NextLineAndSetLeading(step) => {
                    self.state.leading = -step.1.as_f64();
                    self.next_line(step.0.as_f64(), step.1.as_f64());
                }
                Instruction::NextLineUsingLeading(_) => self.next_line(0.0, -self.state.leading),
                Instruction::ShowText(text) => self.show(text.0)?,
                Instruction::NextLineAndShowText(text) => {
                    self.next_line(0.0, -self.state.leading);
                    self.show(text.0)?;
                }
                Instruction::ShowTextWithParameters(text) => {
                    self.state.word_space = text.0.as_f64();
                    self.state.character_space = text.1.as_f64();
                    self.next_line(0.0, -self.state.leading);
                    self.show(text.2)?;
                }
                Instruction::ShowTexts(parts) => {
                    for part in parts.0.iter::<Object<'_>>() {
                        match part {
                            Object::String(text) => self.show(&text)?,
                            Object::Number(number) => self.adjust(number.as_f64()),
                            _ => {}
                        }
                    }
                }
                Instruction::BeginMarkedContent(_) => self.marked.push(None),
                Instruction::BeginMarkedContentWithProperties(mark) => {
                    let replacement = match mark.1 {
                        Object::Dict(properties) => replacement(properties),
                        Object::Name(name) => resources
                            .properties
                            .get::<Dict<'_>>(name)
                            .and_then(|properties| replacement(&properties)),
                        _ => None,
                    };
                    self.marked.push(replacement);
                }
                Instruction::EndMarkedContent(_) => self.end_marked()?,
                Instruction::XObject(name) => {
                    if let Some(object) = resources.get_x_object(name.0) {
                        self.object(&object, resources)?;
                    }
                }
                Instruction::InlineImage(_) => self.seen.images += 1,
                Instruction::FillPathNonZero(_)
                | Instruction::FillPathEvenOdd(_)
                | Instruction::FillPathNonZeroCompatibility(_)
                | Instruction::FillAndStrokeNonZero(_)
                | Instruction::FillAndStrokeEvenOdd(_)
                | Instruction::StrokePath(_) => self.seen.shapes += 1,
                _ => {}
            }
        }
        self.saved.truncate(depth);
        Ok(())
    }

    fn next_line(&mut self, x: f64, y: f64) {
        self.line = Matrix::translation(x, y).then(self.line);
        self.text = self.line;
    }

    /// Moves by thousandths of the font's size, against its direction.
    fn adjust(&mut self, thousandths: f64) {
        let step = -thousandths / 1000.0 * self.state.size;
        let face = self.state.font.as_ref();
        let is_horizontal = face.is_none_or(|face| face.font.is_horizontal());
        let (x, y) = if is_horizontal {
            (step * self.state.scale, 0.0)
        } else {
            (0.0, step)
        };
        self.text = Matrix::translation(x, y).then(self.text);
    }

    /// Shows a string in the current font.
    fn show(&mut self, string: &Bytes<'_>) -> Result<(), Refusal> {
        let Some(face) = self.state.font.clone() else {
            return Ok(());
        };
        let font = &face.font;
        let bytes = string.as_bytes();
        let is_horizontal = font.is_horizontal();
        let mut at = 0;
        while at < bytes.len() {
            let (code, length) = font.read_code(bytes, at);
            at += length.max(1);
            let advance = font.code_advance(code);
            let state = &self.state;
            let space = state.character_space
                + if code == 32 && length == 1 {
                    state.word_space
                } else {
                    0.0
                };
            let step = |advance: f64| advance / f64::from(UNITS_PER_EM) * state.size + space;
            let (x, y) = if is_horizontal {
                (step(advance.x) * state.scale, 0.0)
            } else {
                (0.0, step(advance.y))
            };
            // One of size 1, raised, where the text is now.
            let matrix = Matrix::translation(0.0, state.rise)
                .then(self.text)
                .then(state.page);
            let (along, across) = if is_horizontal {
                (Point { x: 1.0, y: 0.0 }, Point { x: 0.0, y: 1.0 })
            } else {
                (Point { x: 0.0, y: -1.0 }, Point { x: 1.0, y: 0.0 })
            };
            let place = Place {
                origin: matrix.apply(Point::default()),
                advance: matrix.direct(Point { x, y }),
                direction: matrix.direct(along).unit().unwrap_or(along),
                size: matrix.direct(across).length() * state.size.abs(),
            };
            self.text = Matrix::translation(x, y).then(self.text);
            if place.size.is_normal() {
                let text = face.text(code);
                self.place(place, text.as_ref())?;
            }
        }
        Ok(())
    }

    fn place(&mut self, place: Place, text: Option<&BfString>) -> Result<(), Refusal> {
        if let Some(replacement) = self.marked.iter_mut().flatten().next() {
            replacement.place = Some(match replacement.place {
                None => place,
                Some(first) => Place {
                    advance: place.origin.plus(place.advance).minus(first.origin),
                    ..first
                },
            });
            return Ok(());
        }
        match text {
            Some(BfString::Char(character)) => self.lay(place, character.encode_utf8(&mut [0; 4])),
            Some(BfString::String(text)) => self.lay(place, text),
            None => {
                self.seen.unknown += 1;
                Ok(())
            }
        }
    }

    fn lay(&mut self, place: Place, text: &str) -> Result<(), Refusal> {
        self.layout.push(Glyph {
            text,
            origin: place.origin,
            advance: place.advance,
            direction: place.direction,
            size: place.size,
        })
    }

    fn end_marked(&mut self) -> Result<(), Refusal> {
        let ended = self.marked.pop().flatten();
        // Within another replacement, this text is replaced, too.
        if self.marked.iter().flatten().next().is_none()
            && let Some(Replacement {
                text,
                place: Some(place),
            }) = ended
        {
            self.lay(place, &text)?;
        }
        Ok(())
    }

    /// Draws an image or a form.
    fn object(&mut self, object: &Stream<'a>, resources: &Resources<'a>) -> Result<(), Refusal> {
        let kind = object.dict().get::<Name<'_>>("Subtype");
        match kind.as_ref().map(AsRef::as_ref) {
            Some(b"Image") => self.seen.images += 1,
            Some(b"Form") => self.form(object, Matrix::IDENTITY, resources)?,
            _ => {}
        }
        Ok(())
    }

    fn form(
        &mut self,
        form: &Stream<'a>,
        placed: Matrix,
        resources: &Resources<'a>,
    ) -> Result<(), Refusal> {
        let id = form.obj_id();
        if self.forms.len() >= FORMS || self.forms.contains(&id) {
            return Ok(());
        }
        let Ok(content) = form.decoded_data() else {
            return Ok(());
        };
        let own = form.dict().get::<Dict<'a>>("Resources").map(Resources::new);
        let before = self.state.clone();
        let (text, line) = (self.text, self.line);
        self.state.page = matrix(form).then(placed).then(self.state.page);
        self.forms.push(id);
        self.follow(&content, own.as_ref().unwrap_or(resources))?;
        self.forms.pop();
        self.state = before;
        (self.text, self.line) = (text, line);
        Ok(())
    }

    /// Draws how an annotation looks, in its place on the page (12.5.5).
    fn appearance(
        &mut self,
        annotation: &Dict<'a>,
        resources: &Resources<'a>,
    ) -> Result<(), Refusal> {
        let form = match annotation
            .get::<Dict<'a>>("AP")
            .and_then(|appearances| appearances.get::<Object<'a>>("N"))
        {
            Some(Object::Stream(form)) => form,
            Some(Object::Dict(states)) => {
                let state = annotation.get::<Name<'_>>("AS");
                match state.and_then(|state| states.get::<Stream<'a>>(state)) {
                    Some(form) => form,
                    None => return Ok(()),
                }
            }
            _ => return Ok(()),
        };
        // Where it is matters, its exact scale does not: fields are lines of their own.
        let [x, y, ..] = annotation.get::<[f64; 4]>("Rect").unwrap_or_default();
        self.form(&form, Matrix::translation(x, y), resources)
    }
}

fn matrix(form: &Stream<'_>) -> Matrix {
    let coefficients = form.dict().get::<[f64; 6]>("Matrix");
    coefficients.map_or(Matrix::IDENTITY, Matrix::new)
}

fn replacement(properties: &Dict<'_>) -> Option<Replacement> {
    let text = properties.get::<Bytes<'_>>("ActualText")?;
    Some(Replacement {
        text: text_string(text.as_bytes()),
        place: None,
    })
}

/// A text string (7.9.2.2): UTF-16 or UTF-8 with a byte order mark, otherwise nearly Windows-1252.
fn text_string(bytes: &[u8]) -> String {
    match encoding_rs::Encoding::for_bom(bytes) {
        Some(_) => encoding::decode(bytes, None).into_owned(),
        None => encoding_rs::WINDOWS_1252.decode(bytes).0.into_owned(),
    }
}
