//! What a document is: by its content, and where that leaves a choice, by its name.

use std::fmt;
use std::io::{Cursor, Read, Seek};

use encoding_rs::Encoding;
use file_format::{FileFormat, Kind};
use serde::{Deserialize, Serialize};

use crate::extract::archive::Archive;
use crate::extract::encoding;
use crate::extract::limits::Limits;
use crate::extract::package::Package;
use crate::extract::refusal::Refusal;
use crate::extract::xml::{self, Xml};

/// How much of a document is read before it is looked at for the first time, in bytes.
pub(crate) const BEGINNING: u64 = 64 * 1024;

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Text without markup that is known here; also source code, logs and the like.
    Plain,
    /// Markdown.
    Markdown,
    /// HTML or XHTML.
    Html,
    /// Values separated by commas, semicolons or tabs.
    Csv,
    /// JSON, also one value per line.
    Json,
    /// PDF.
    Pdf,
    /// A document of Microsoft Word since 2007.
    Docx,
    /// A workbook of Microsoft Excel since 2007.
    Xlsx,
    /// A presentation of Microsoft `PowerPoint` since 2007.
    Pptx,
    /// A book in EPUB 2 or 3.
    Epub,
}

impl Format {
    /// The name of the format in tables and metrics: `plain`, `markdown`, `html`, `csv`, `json`, `pdf`, `docx`, `xlsx`,
    /// `pptx` or `epub`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Pdf => "pdf",
            Self::Docx => "docx",
            Self::Xlsx => "xlsx",
            Self::Pptx => "pptx",
            Self::Epub => "epub",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What the place of a document says of it. Its content has the first word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    extension: Option<String>,
    is_folder: bool,
}

impl Hint {
    /// What the key of an object says: whatever comes after the last dot of the last segment. A key is not a URL, so `?`
    /// and `#` are characters like others.
    pub fn of_key(key: &str) -> Self {
        let name = key.rsplit('/').next().unwrap_or(key);
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        Self {
            extension: extension
                .filter(|extension| (1..=16).contains(&extension.len()))
                .map(str::to_lowercase),
            is_folder: key.ends_with('/'),
        }
    }

    /// What is said of an object beside its key: its `Content-Type`. It counts where the key has no extension, for most
    /// programs that write objects set it by the extension, or not at all.
    #[must_use]
    pub fn with_media_type(mut self, media_type: &str) -> Self {
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        let extension = match media_type.to_ascii_lowercase().as_str() {
            "text/markdown" => "md",
            "text/html" | "application/xhtml+xml" => "html",
            "text/csv" | "text/tab-separated-values" => "csv",
            "application/json" | "application/x-ndjson" => "json",
            "text/plain" => "txt",
            _ => return self,
        };
        self.extension.get_or_insert_with(|| extension.to_owned());
        self
    }
}

impl Hint {
    /// What a document without a byte is.
    fn nothing(&self) -> Refusal {
        if self.is_folder {
            Refusal::FolderMarker
        } else {
            Refusal::Empty
        }
    }
}

/// What a document is.
///
/// # Errors
/// It has no format that is read here, or cannot be read without a password, or needs optical character recognition.
pub fn detect(bytes: &[u8], hint: &Hint, limits: &Limits) -> Result<Format, Refusal> {
    if bytes.is_empty() {
        return Err(hint.nothing());
    }
    match Shape::of(bytes) {
        Shape::Zip => in_archive(&Cursor::new(bytes), limits),
        Shape::CompoundFile => Err(in_compound_file(bytes)),
        Shape::Pdf => Ok(Format::Pdf),
        Shape::Text => in_text(bytes, hint),
        Shape::Other => Err(binary(Cursor::new(bytes))),
    }
}

/// The format of what is nothing but text: plain text, CSV or JSON. `None` if it is anything else.
pub(crate) fn detect_plain(bytes: &[u8], hint: &Hint) -> Option<Result<Format, Refusal>> {
    if bytes.is_empty() {
        return Some(Err(hint.nothing()));
    }
    if Shape::of(bytes) != Shape::Text {
        return None;
    }
    match in_text(bytes, hint) {
        Ok(Format::Markdown | Format::Html) => None,
        format => Some(format),
    }
}

/// Whether the beginning of a document is enough to refuse it, without having the rest: pictures, films and whatever
/// else can only be refused.
pub(crate) fn refuse_early(beginning: &[u8]) -> Option<Refusal> {
    is_hopeless(beginning).then(|| binary(Cursor::new(beginning)))
}

/// Whether the same is so, without a word about what it is: that takes no library that a document could lead astray.
pub(crate) fn is_hopeless(beginning: &[u8]) -> bool {
    !beginning.is_empty() && Shape::of(beginning) == Shape::Other
}

/// Whether this is the beginning of an archive, whose parts can be read one by one.
pub(crate) fn is_archive(beginning: &[u8]) -> bool {
    Shape::of(beginning) == Shape::Zip
}

/// What a document looks like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Zip,
    /// The format of older versions of Word, Excel and `PowerPoint`.
    CompoundFile,
    Pdf,
    Text,
    Other,
}

impl Shape {
    fn of(bytes: &[u8]) -> Self {
        match bytes {
            [b'P', b'K', 3 | 5 | 7, 4 | 6 | 8, ..] => Self::Zip,
            [0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1, ..] => Self::CompoundFile,
            _ if is_pdf(bytes) => Self::Pdf,
            _ if encoding::is_text(bytes) => Self::Text,
            _ => Self::Other,
        }
    }
}

/// The header may have something before it, within the first kilobyte. A text about PDF may have it there as well.
fn is_pdf(bytes: &[u8]) -> bool {
    let beginning = bytes.get(..1024).unwrap_or(bytes);
    match find(beginning, b"%PDF-") {
        None => false,
        Some(0) => true,
        Some(_) => !encoding::is_text(bytes),
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}

/// The format of what begins like an archive, of which only the parts are read that tell.
///
/// # Errors
/// As of [`detect`].
pub(crate) fn in_archive<R: Read + Seek + Clone>(
    source: &R,
    limits: &Limits,
) -> Result<Format, Refusal> {
    let mut archive = match Archive::open(source.clone(), limits) {
        Ok(archive) => archive,
        // A text may begin with these four characters. Then it has none of the others that archives are full of.
        Err(Refusal::Damaged { .. }) if encoding::is_text(&all(source)?) => {
            return Ok(Format::Plain);
        }
        Err(refusal) => return Err(refusal),
    };
    if let Some(name) = archive.read("mimetype")? {
        let name = String::from_utf8_lossy(&name);
        return match name.trim() {
            "application/epub+zip" => Ok(Format::Epub),
            // `OpenDocument` names itself in the same way.
            name => Err(Refusal::unsupported(crate::extract::refusal::shortened(
                name,
            ))),
        };
    }
    if archive.contains("META-INF/container.xml") && !archive.contains("META-INF/MANIFEST.MF") {
        return Ok(Format::Epub);
    }
    drop(archive);
    in_package(source, limits)?.ok_or_else(|| match binary(source.clone()) {
        // It has files of these names, but not in the order of things.
        Refusal::Unsupported { detected } if detected.starts_with(OFFICE) => {
            Refusal::damaged("it has no main part")
        }
        refusal => refusal,
    })
}

/// How the media types of Office Open XML begin.
const OFFICE: &str = "application/vnd.openxmlformats-officedocument";

/// The format of an Office Open XML package: the outermost element of its main part. Names of files and their order
/// differ between the programs that write them.
fn in_package<R: Read + Seek + Clone>(
    source: &R,
    limits: &Limits,
) -> Result<Option<Format>, Refusal> {
    let mut package = Package::open(source.clone(), limits)?;
    let main_part = match package.main_part() {
        Ok((_, main_part)) => main_part,
        Err(Refusal::Damaged { .. }) => return Ok(None),
        Err(refusal) => return Err(refusal),
    };
    let mut root = None;
    // Only the first element is of interest, whatever is wrong with the rest.
    let _stopped = xml::walk(&main_part, |event| match event {
        Xml::Start(element) => {
            root = match element.name() {
                "document" => Some(Format::Docx),
                "workbook" => Some(Format::Xlsx),
                "presentation" => Some(Format::Pptx),
                _ => None,
            };
            Err(Refusal::Empty)
        }
        _ => Ok(()),
    });
    Ok(root)
}

/// Word, Excel and `PowerPoint` put what they encrypt into a file in the format of their older versions.
fn in_compound_file(bytes: &[u8]) -> Refusal {
    let name: Vec<u8> = "EncryptedPackage"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    if find(bytes, &name).is_some() {
        return Refusal::Encrypted;
    }
    match binary(Cursor::new(bytes)) {
        // Its directory is damaged.
        Refusal::Unsupported { detected } if detected == UNKNOWN => {
            Refusal::unsupported("application/x-cfb")
        }
        refusal => refusal,
    }
}

/// All the bytes, in memory.
pub(crate) fn all(source: &(impl Read + Clone)) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let read = source.clone().read_to_end(&mut bytes);
    read.map_err(|error| Refusal::unreadable(&error))?;
    Ok(bytes)
}

/// The media type of what nothing is known of.
const UNKNOWN: &str = "application/octet-stream";

fn in_text(bytes: &[u8], hint: &Hint) -> Result<Format, Refusal> {
    let beginning = encoding::decode(bytes.get(..4096).unwrap_or(bytes), None);
    let beginning = beginning.trim_start().to_lowercase();
    for (signature, detected) in [
        ("{\\rtf", "application/rtf"),
        ("%!ps-adobe", "application/postscript"),
    ] {
        if beginning.starts_with(signature) {
            return Err(Refusal::unsupported(detected));
        }
    }
    match root(&beginning) {
        Some("html" | "head" | "body") => return Ok(Format::Html),
        Some("svg") => {
            return Err(Refusal::NeedsOcr {
                detected: "image/svg+xml".to_owned(),
            });
        }
        _ => {}
    }
    Ok(match hint.extension.as_deref() {
        Some("md" | "markdown" | "mdown" | "mkd" | "mkdn" | "mdx" | "qmd" | "rmd") => {
            Format::Markdown
        }
        Some("html" | "htm" | "xhtml" | "xht") => Format::Html,
        Some("csv" | "tsv" | "tab" | "psv") => Format::Csv,
        Some("json" | "jsonl" | "ndjson" | "geojson" | "jsonld" | "ipynb") => Format::Json,
        None if is_json(bytes) => Format::Json,
        _ => Format::Plain,
    })
}

/// The name of the first element of markup, after what may come before it.
fn root(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if let Some(doctype) = rest.strip_prefix("<!doctype") {
            let name = doctype.trim_start();
            return Some(word(name));
        } else if rest.starts_with("<!--") {
            rest = rest.split_once("-->")?.1;
        } else if rest.starts_with("<?") {
            rest = rest.split_once("?>")?.1;
        } else {
            return rest.strip_prefix('<').map(word);
        }
    }
}

fn word(text: &str) -> &str {
    let end = text.find(|character: char| !character.is_ascii_alphanumeric());
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// Whether this is one JSON object or array. What is nested too deep to tell is not.
fn is_json(bytes: &[u8]) -> bool {
    let text = encoding::decode(bytes, None);
    text.trim_start().starts_with(['{', '['])
        && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok()
}

/// The encoding that an HTML document says it has, in the first kilobytes, as browsers look for it.
pub(crate) fn declared_encoding(html: &[u8]) -> Option<&'static Encoding> {
    let beginning = html.get(..4096).unwrap_or(html).to_ascii_lowercase();
    let after = find(&beginning, b"charset")?.checked_add(b"charset".len())?;
    let label = beginning.get(after..)?;
    let mut parts = label
        .split(|byte| b" \t\r\n='\"/>;".contains(byte))
        .filter(|part| !part.is_empty());
    Encoding::for_label(parts.next()?)
}

/// Refuses what is not text, by the name that others have for it.
fn binary<R: Read + Seek + Clone>(source: R) -> Refusal {
    let format = match FileFormat::from_reader(source.clone()) {
        Ok(format) if format != FileFormat::default() => format,
        // What is damaged inside is still what it begins as.
        _ => {
            let mut beginning = Vec::new();
            // What cannot be read has no name either.
            let _length = source.take(BEGINNING).read_to_end(&mut beginning);
            FileFormat::from_bytes(&beginning)
        }
    };
    let detected = format.media_type().to_owned();
    match format.kind() {
        Kind::Image => Refusal::NeedsOcr { detected },
        _ => Refusal::Unsupported { detected },
    }
}
