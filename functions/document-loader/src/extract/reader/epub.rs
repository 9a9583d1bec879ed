//! Books: EPUB 2 and 3. Chapters come in their reading order.

use std::io::{BufReader, Read, Seek};

use rbook::Epub;

use crate::extract::archive::Archive;
use crate::extract::block::Composer;
use crate::extract::format::Format;
use crate::extract::limits::Limits;
use crate::extract::reader::html::{self, Syntax};
use crate::extract::refusal::Refusal;
use crate::extract::text::Text;
use crate::extract::writer::Writer;
use crate::extract::xml::{self, Xml};

/// What only hides fonts (EPUB 3.3, 4.4, and Adobe's older way). The text is as readable as without.
const FONTS: [&str; 2] = [
    "http://www.idpf.org/2008/embedding",
    "http://ns.adobe.com/pdf/enc#RC",
];

/// Reads a document.
pub(crate) fn read(
    source: impl Read + Seek + Clone + 'static,
    limits: &Limits,
) -> Result<Text, Refusal> {
    let mut archive = Archive::open(source.clone(), limits)?;
    if let Some(encryption) = archive.read("META-INF/encryption.xml")?
        && is_encrypted(&encryption)?
    {
        return Err(Refusal::Encrypted);
    }
    // The library has no limits of its own.
    archive.check()?;
    drop(archive);
    let book = Epub::options()
        .skip_toc(true)
        .read(BufReader::new(source))
        .map_err(Refusal::damaged)?;
    let mut composer = Composer::new(Writer::new(limits));
    for chapter in book.reader() {
        let chapter = chapter.map_err(Refusal::damaged)?;
        html::convert(chapter.content(), Syntax::Xhtml, &mut composer)?;
    }
    composer.finish(Format::Epub)
}

/// Whether more is encrypted than fonts.
fn is_encrypted(encryption: &[u8]) -> Result<bool, Refusal> {
    let mut is_encrypted = false;
    xml::walk(encryption, |event| {
        if let Xml::Start(element) = event
            && element.name() == "EncryptionMethod"
        {
            let algorithm = element.attribute("Algorithm").unwrap_or_default();
            is_encrypted |= !FONTS.contains(&algorithm.as_str());
        }
        Ok(())
    })?;
    Ok(is_encrypted)
}
