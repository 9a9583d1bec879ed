//! The XML inside of documents, as a stream of events.
//!
//! Entities that a document defines itself are left out, so there is nothing that multiplies.

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::extract::encoding;
use crate::extract::refusal::Refusal;

/// What is to be done with one event.
#[derive(Debug)]
pub(crate) enum Xml<'e> {
    /// An element begins. One that is empty ends at once.
    Start(&'e Element<'e>),
    /// The element of this local name ends.
    End(&'e str),
    Text(&'e str),
}

/// The start of an element.
#[derive(Debug)]
pub(crate) struct Element<'e>(&'e BytesStart<'e>);

impl Element<'_> {
    /// Its name without a prefix.
    pub(crate) fn name(&self) -> &str {
        let name = self.0.name().into_inner();
        name.rsplit_once(':').map_or(name, |(_, local)| local)
    }

    /// The value of an attribute, whose name has no prefix or any.
    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        self.find(|key| key.rsplit_once(':').map_or(key, |(_, local)| local) == name)
    }

    /// The value of an attribute whose name has a prefix, where there may be another of this name without.
    pub(crate) fn prefixed_attribute(&self, name: &str) -> Option<String> {
        self.find(|key| key.rsplit_once(':').is_some_and(|(_, local)| local == name))
    }

    fn find(&self, is: impl Fn(&str) -> bool) -> Option<String> {
        let mut attributes = self.0.attributes();
        // Comparing each with all the others takes long if there are many.
        attributes.with_checks(false);
        let attribute = attributes
            .flatten()
            .find(|attribute| is(attribute.key.into_inner()))?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
        Some(value.into_owned())
    }
}

/// Calls `take` for each element and each text of a document, in their order.
pub(crate) fn walk(
    bytes: &[u8],
    mut take: impl FnMut(Xml<'_>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let text = encoding::decode(bytes, None);
    let mut reader = Reader::from_str(&text);
    reader.config_mut().allow_dangling_amp = true;
    let mut open = 0_u64;
    loop {
        match reader.read_event().map_err(Refusal::damaged)? {
            Event::Start(start) => {
                open = open.saturating_add(1);
                take(Xml::Start(&Element(&start)))?;
            }
            Event::Empty(start) => {
                let element = Element(&start);
                take(Xml::Start(&element))?;
                take(Xml::End(element.name()))?;
            }
            Event::End(end) => {
                open = open.saturating_sub(1);
                take(Xml::End(end.local_name().into_inner()))?;
            }
            Event::Text(text) => take(Xml::Text(&text.xml10_content()))?,
            Event::CData(text) => take(Xml::Text(&text.xml10_content()))?,
            Event::GeneralRef(entity) => {
                if let Some(character) = character(&entity) {
                    take(Xml::Text(character.encode_utf8(&mut [0; 4])))?;
                }
            }
            Event::Eof if open > 0 => return Err(Refusal::damaged("its XML ends early")),
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

fn character(entity: &BytesRef<'_>) -> Option<char> {
    if let Ok(Some(character)) = entity.resolve_char_ref() {
        return Some(character);
    }
    let name: &str = entity;
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}
