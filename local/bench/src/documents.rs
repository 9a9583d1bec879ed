//! Documents of every format, with as much text as is asked for.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::Failure;

const SENTENCE: &str = "The quarterly figures exceed all expectations, and so do the costs. ";
const OFFICE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";

/// The formats, by their extensions.
pub(crate) const FORMATS: [&str; 9] = [
    "txt", "csv", "json", "md", "html", "epub", "docx", "xlsx", "pdf",
];

/// A document of this format with about so many bytes of text. Archives are not compressed, so that all formats are
/// about as large.
pub(crate) fn document(format: &str, bytes: usize) -> Result<Vec<u8>, Failure> {
    let lines = bytes / SENTENCE.len();
    Ok(match format {
        "csv" => repeated("number,1234,", "\n", lines),
        "json" => {
            let items = repeated("\"", "\",\n", lines);
            [b"[", items.as_slice(), b"0]"].concat()
        }
        "md" => repeated("# A heading\n\n", "\n\n", lines),
        "html" => {
            let body = repeated("<p>", "</p>\n", lines);
            [b"<!doctype html><html><body>", body.as_slice()].concat()
        }
        "epub" => epub(&repeated("<p>", "</p>\n", lines))?,
        "docx" => docx(
            &repeated("<w:p><w:r><w:t>", "</w:t></w:r></w:p>", lines),
            &[],
        )?,
        "xlsx" => xlsx(lines)?,
        "pdf" => pdf(lines)?,
        _ => repeated("", "\n", lines),
    })
}

/// A document of this many bytes, of which all but a sentence is a picture.
pub(crate) fn with_picture(bytes: usize) -> Result<Vec<u8>, Failure> {
    // Not to be compressed on any way.
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    let noise: Vec<u8> = (0..1_000_003).map(|_| next()).collect();
    let picture: Vec<u8> = noise.iter().copied().cycle().take(bytes).collect();
    docx(
        &repeated("<w:p><w:r><w:t>", "</w:t></w:r></w:p>", 1),
        &picture,
    )
}

fn repeated(before: &str, after: &str, lines: usize) -> Vec<u8> {
    format!("{before}{SENTENCE}{after}")
        .repeat(lines)
        .into_bytes()
}

fn archive(files: &[(&str, &[u8])]) -> Result<Vec<u8>, Failure> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in files {
        zip.start_file(*name, stored)?;
        zip.write_all(content)?;
    }
    Ok(zip.finish()?.into_inner())
}

fn relationship(kind: &str, target: &str) -> String {
    format!(
        r#"<Relationships><Relationship Id="r0" Type="{OFFICE}/{kind}" Target="{target}"/></Relationships>"#
    )
}

fn docx(body: &[u8], picture: &[u8]) -> Result<Vec<u8>, Failure> {
    let package = relationship("officeDocument", "word/document.xml");
    let document = [b"<w:document><w:body>", body, b"</w:body></w:document>"].concat();
    archive(&[
        ("_rels/.rels", package.as_bytes()),
        ("word/document.xml", &document),
        ("word/media/image1.png", picture),
    ])
}

fn xlsx(rows: usize) -> Result<Vec<u8>, Failure> {
    let package = relationship("officeDocument", "xl/workbook.xml");
    let related = relationship("worksheet", "worksheets/sheet1.xml");
    let workbook =
        r#"<workbook><sheets><sheet name="Sheet" sheetId="1" r:id="r0"/></sheets></workbook>"#;
    let mut sheet = String::from("<worksheet><sheetData>");
    for row in 1..=rows {
        write!(
            sheet,
            r#"<row r="{row}"><c r="A{row}" t="inlineStr"><is><t>{SENTENCE}</t></is></c><c r="B{row}"><v>{row}</v></c></row>"#
        )?;
    }
    sheet.push_str("</sheetData></worksheet>");
    archive(&[
        ("_rels/.rels", package.as_bytes()),
        ("xl/workbook.xml", workbook.as_bytes()),
        ("xl/_rels/workbook.xml.rels", related.as_bytes()),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ])
}

fn epub(body: &[u8]) -> Result<Vec<u8>, Failure> {
    let container = r#"<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>
        <rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"#;
    let book = r#"<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">
        <metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="id">x</dc:identifier>
        <dc:title>Book</dc:title><dc:language>en</dc:language></metadata>
        <manifest><item id="c" href="chapter.xhtml" media-type="application/xhtml+xml"/></manifest>
        <spine><itemref idref="c"/></spine></package>"#;
    let chapter = [b"<html><body>", body, b"</body></html>"].concat();
    archive(&[
        ("mimetype", b"application/epub+zip"),
        ("META-INF/container.xml", container.as_bytes()),
        ("book.opf", book.as_bytes()),
        ("chapter.xhtml", &chapter),
    ])
}

/// Pages of forty lines.
fn pdf(lines: usize) -> Result<Vec<u8>, Failure> {
    const LINES: usize = 40;
    let pages = lines.div_ceil(LINES);
    let kids: Vec<String> = (0..pages)
        .map(|page| format!("{} 0 R", 4 + 2 * page))
        .collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!(
            "<< /Type /Pages /Kids [{}] /Count {pages} >>",
            kids.join(" ")
        ),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let content = format!(
        "BT /F 10 Tf 14 TL 40 800 Td {}ET",
        format!("({SENTENCE}) Tj T*\n").repeat(LINES)
    );
    for page in 0..pages {
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {} 0 R /Resources << /Font << /F 3 0 R >> >> >>",
            5 + 2 * page
        ));
        objects.push(format!(
            "<< /Length {} >>\nstream\n{content}\nendstream",
            content.len()
        ));
    }
    let mut file = String::from("%PDF-1.7\n");
    let mut places = String::new();
    for (number, object) in (1..).zip(&objects) {
        writeln!(places, "{:010} 00000 n ", file.len())?;
        writeln!(file, "{number} 0 obj\n{object}\nendobj")?;
    }
    let (start, count) = (file.len(), objects.len() + 1);
    writeln!(
        file,
        "xref\n0 {count}\n0000000000 65535 f \n{places}trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF"
    )?;
    Ok(file.into_bytes())
}
