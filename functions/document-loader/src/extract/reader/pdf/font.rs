//! The fonts of a document, and the characters that their codes stand for.

use std::collections::HashMap;
use std::sync::Arc;

use hayro_cmap::{BfString, load_embedded};
use hayro_font::{CMapResolverFn, Font, FontCache, FontGlyph, FontQuery, FontResolverFn};
use hayro_syntax::object::{Array, Dict, Name, Object, ObjectIdentifier};

/// The fonts of a document, each read once.
pub(super) struct Fonts<'a> {
    cache: FontCache<'a>,
    programs: FontResolverFn,
    maps: CMapResolverFn,
    /// Of fonts that are bitmaps, whether they name characters by their codes.
    numbered: HashMap<ObjectIdentifier, bool>,
}

impl Default for Fonts<'_> {
    fn default() -> Self {
        Self {
            cache: FontCache::new(),
            // The shapes are never drawn, but a font without any is none to the library.
            programs: Arc::new(|query| {
                let font = match query {
                    FontQuery::Standard(font) => *font,
                    FontQuery::Fallback(query) => query.pick_standard_font(),
                };
                Some(font.get_font_data())
            }),
            maps: Arc::new(load_embedded),
            numbered: HashMap::new(),
        }
    }
}

impl<'a> Fonts<'a> {
    /// The font that a dictionary describes, or nothing if it describes none.
    pub(super) fn font(&mut self, dict: &Dict<'a>) -> Option<Face<'a>> {
        let font = self.cache.font(dict, &self.programs, &self.maps)?;
        let is_numbered = match dict.obj_id() {
            Some(id) => *self.numbered.entry(id).or_insert_with(|| is_numbered(dict)),
            None => is_numbered(dict),
        };
        Some(Face { font, is_numbered })
    }
}

/// A font, and whether its codes are ASCII for want of anything that says so.
#[derive(Debug, Clone)]
pub(super) struct Face<'a> {
    pub(super) font: Font<'a>,
    is_numbered: bool,
}

impl Face<'_> {
    /// The text of a code; nothing if only its shape is known.
    pub(super) fn text(&self, code: u32) -> Option<BfString> {
        match self.font.glyph(self.font.map_code(code), code) {
            FontGlyph::Outline(glyph) => glyph.as_unicode(),
            FontGlyph::Type3(glyph) => {
                let numbered = self.is_numbered.then(|| numbered(code)).flatten();
                numbered.map(BfString::Char).or_else(|| glyph.as_unicode())
            }
        }
    }
}

/// Whether this is a bitmap font of old TeX documents: it calls the character of code 97 `a97`, and does not say that it
/// is an `a`.
fn is_numbered(font: &Dict<'_>) -> bool {
    let names = || {
        let encoding = font.get::<Dict<'_>>("Encoding")?;
        encoding.get::<Array<'_>>("Differences")
    };
    let is_bitmap = font
        .get::<Name<'_>>("Subtype")
        .is_some_and(|kind| kind.as_ref() == b"Type3");
    if !is_bitmap || font.contains_key("ToUnicode") {
        return false;
    }
    let mut code = 0;
    names().is_some_and(|names| {
        names.iter::<Object<'_>>().all(|entry| match entry {
            Object::Number(first) => {
                code = first.as_i64();
                true
            }
            Object::Name(name) => {
                let digits = name
                    .as_str()
                    .trim_start_matches(|c: char| c.is_ascii_alphabetic());
                let is_code = digits.parse() == Ok(code) || name.as_str() == ".notdef";
                code = code.saturating_add(1);
                is_code
            }
            _ => false,
        })
    })
}

/// The character of a code in the fonts of TeX, where they agree with ASCII, and their ligatures.
fn numbered(code: u32) -> Option<char> {
    match code {
        0x0b => Some('\u{fb00}'),
        0x0c => Some('\u{fb01}'),
        0x0d => Some('\u{fb02}'),
        0x0e => Some('\u{fb03}'),
        0x0f => Some('\u{fb04}'),
        0x21..=0x7e => char::from_u32(code),
        _ => None,
    }
}
