//! Documents for tests: those of the fixtures, and parts to make others of.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "every test file uses another part; a test that cannot start must stop"
)]

use std::fmt::Write as _;
use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;

use document_loader::extract::{ExtractError, Extractor, Hint, Limits, Refusal, Text};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A document that a library made (`fixtures/documents.py`).
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/documents");
    fs::read(folder.join(name)).unwrap()
}

/// The names of those that can be read.
pub(crate) const READABLE: [&str; 9] = [
    "cjk.pdf",
    "figures.xlsx",
    "form.pdf",
    "journey.epub",
    "letter.pdf",
    "owner.pdf",
    "report.docx",
    "report.pdf",
    "slides.pptx",
];

/// Reads a document in this process.
pub(crate) fn read(bytes: impl Into<Vec<u8>>, key: &str) -> Result<Text, Refusal> {
    document_loader::extract::document::read(bytes.into(), &Hint::of_key(key), &Limits::default())
}

/// What hostile documents are allowed. A machine that is busy must not decide what happens, so there is time.
pub(crate) fn tight() -> Limits {
    const MIB: u64 = 1024 * 1024;
    Limits {
        document: 32 * MIB,
        uncompressed: 32 * MIB,
        parts: 1000,
        text: 8 * MIB,
        marks: 10_000,
        memory: 512 * MIB,
        cpu_seconds: 60,
        wall: std::time::Duration::from_mins(5),
    }
}

/// The program as it is deployed.
pub(crate) fn extractor(limits: Limits) -> Extractor {
    Extractor::new(env!("CARGO_BIN_EXE_document-loader"), limits)
}

/// Has a document read by a process of its own.
pub(crate) async fn extract(
    limits: Limits,
    bytes: impl Into<Vec<u8>>,
    key: &str,
) -> Result<Text, Refusal> {
    let document = Cursor::new(bytes.into());
    match extractor(limits)
        .extract(document, &Hint::of_key(key))
        .await
    {
        Ok(text) => Ok(text),
        Err(ExtractError::Refused(refusal)) => Err(refusal),
        Err(error) => panic!("{error:?}"),
    }
}

/// Has a document read by a process of its own, as a file.
pub(crate) async fn extract_file(limits: Limits, bytes: &[u8], key: &str) -> Result<Text, Refusal> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    match extractor(limits)
        .extract_file(file, &Hint::of_key(key))
        .await
    {
        Ok(text) => Ok(text),
        Err(ExtractError::Refused(refusal)) => Err(refusal),
        Err(error) => panic!("{error:?}"),
    }
}

/// An archive of these files.
pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A Word document with these files beside its text, none of them compressed.
pub(crate) fn zip_with(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let package = relationships(&[("officeDocument", "word/document.xml")]);
    let text = "<w:document><w:p><w:r><w:t>A capybara</w:t></w:r></w:p></w:document>";
    let own: [(&str, &[u8]); 2] = [
        ("_rels/.rels", package.as_bytes()),
        ("word/document.xml", text.as_bytes()),
    ];
    for (name, content) in own.iter().chain(files) {
        zip.start_file(*name, stored).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

const OFFICE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";

/// The relationships of a part, as pairs of type and target.
pub(crate) fn relationships(related: &[(&str, &str)]) -> String {
    let mut text = String::from("<Relationships>");
    for (number, (kind, target)) in related.iter().enumerate() {
        write!(
            text,
            r#"<Relationship Id="r{number}" Type="{OFFICE}/{kind}" Target="{target}"/>"#
        )
        .unwrap();
    }
    text + "</Relationships>"
}

/// A DOCX with this body.
pub(crate) fn docx(body: &str) -> Vec<u8> {
    docx_of(&format!("<w:document><w:body>{body}</w:body></w:document>"))
}

/// A DOCX whose main part is this.
pub(crate) fn docx_of(document: &str) -> Vec<u8> {
    let package = relationships(&[("officeDocument", "word/document.xml")]);
    zip(&[
        ("_rels/.rels", package.as_bytes()),
        ("word/document.xml", document.as_bytes()),
    ])
}

/// A PPTX with these slides.
pub(crate) fn pptx(slides: &[&str]) -> Vec<u8> {
    let package = relationships(&[("officeDocument", "ppt/presentation.xml")]);
    let names: Vec<String> = (0..slides.len())
        .map(|number| format!("slides/{number}.xml"))
        .collect();
    let related: Vec<(&str, &str)> = names.iter().map(|name| ("slide", name.as_str())).collect();
    let related = relationships(&related);
    let mut list = String::from("<p:presentation><p:sldIdLst>");
    for number in 0..slides.len() {
        write!(list, r#"<p:sldId id="9" r:id="r{number}"/>"#).unwrap();
    }
    list.push_str("</p:sldIdLst></p:presentation>");
    let paths: Vec<String> = names.iter().map(|name| format!("ppt/{name}")).collect();
    let mut files: Vec<(&str, &[u8])> = vec![
        ("_rels/.rels", package.as_bytes()),
        ("ppt/presentation.xml", list.as_bytes()),
        ("ppt/_rels/presentation.xml.rels", related.as_bytes()),
    ];
    for (path, slide) in paths.iter().zip(slides) {
        files.push((path, slide.as_bytes()));
    }
    zip(&files)
}

/// An XLSX of one sheet, with shared strings.
pub(crate) fn xlsx(sheet: &str, strings: &str) -> Vec<u8> {
    let package = relationships(&[("officeDocument", "xl/workbook.xml")]);
    let related = relationships(&[("worksheet", "worksheets/sheet1.xml")]);
    let workbook =
        r#"<workbook><sheets><sheet name="Sheet" sheetId="1" r:id="r0"/></sheets></workbook>"#;
    zip(&[
        ("_rels/.rels", package.as_bytes()),
        ("xl/workbook.xml", workbook.as_bytes()),
        ("xl/_rels/workbook.xml.rels", related.as_bytes()),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
        ("xl/sharedStrings.xml", strings.as_bytes()),
    ])
}

/// An EPUB of one chapter.
pub(crate) fn epub(package: &str, chapter: &str) -> Vec<u8> {
    let container = r#"<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>
        <rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"#;
    zip(&[
        ("mimetype", b"application/epub+zip"),
        ("META-INF/container.xml", container.as_bytes()),
        ("book.opf", package.as_bytes()),
        ("chapter.xhtml", chapter.as_bytes()),
    ])
}

/// The package of an EPUB whose one chapter is `chapter.xhtml`.
pub(crate) const BOOK: &str = r#"<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">
    <metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="id">x</dc:identifier>
    <dc:title>Book</dc:title><dc:language>en</dc:language></metadata>
    <manifest><item id="c" href="chapter.xhtml" media-type="application/xhtml+xml"/></manifest>
    <spine><itemref idref="c"/></spine></package>"#;

/// A PDF of these objects, the first of which is the catalog.
pub(crate) fn pdf(objects: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"%PDF-1.7\n".to_vec();
    let mut offsets = Vec::new();
    for (number, object) in (1..).zip(objects) {
        offsets.push(bytes.len());
        bytes.extend(format!("{number} 0 obj\n").bytes());
        bytes.extend(object);
        bytes.extend(b"\nendobj\n");
    }
    let start = bytes.len();
    let count = objects.len() + 1;
    bytes.extend(format!("xref\n0 {count}\n0000000000 65535 f \n").bytes());
    for offset in offsets {
        bytes.extend(format!("{offset:010} 00000 n \n").bytes());
    }
    bytes.extend(
        format!("trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n").bytes(),
    );
    bytes
}

/// A stream with these entries in its dictionary.
pub(crate) fn stream(entries: &str, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = format!("<< {entries} /Length {length} >>\nstream\n").into_bytes();
    bytes.extend(content);
    bytes.extend(b"\nendstream");
    bytes
}

/// A PDF of one page, drawn by these operators; objects from number 4 on are for its resources.
pub(crate) fn page(resources: &str, content: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let mut objects = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
    ];
    let contents = others.len() + 4;
    objects.push(
        format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {contents} 0 R
            /Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> {resources} >> >>"
        )
        .into_bytes(),
    );
    objects.extend_from_slice(others);
    objects.push(stream("", content));
    pdf(&objects)
}

/// Random bytes, the same for each seed (Marsaglia's xorshift).
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}
