//! What a document is: its content decides, its name only where the content leaves a choice.
#![expect(
    clippy::panic,
    reason = "helpers of tests stop at what they do not expect"
)]
#[path = "support/document.rs"]
mod support;

use document_loader::extract::encoding::{decode, is_text};
use document_loader::extract::format::detect;
use document_loader::extract::{Format, Hint, Limits, Refusal};
use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GBK, ISO_8859_2, KOI8_R, SHIFT_JIS, WINDOWS_1251, WINDOWS_1252,
};
use support::{BOOK, READABLE, docx, epub, fixture, noise, read, zip};

#[test]
fn documents_are_known_by_their_content_whatever_their_name() {
    for name in READABLE {
        let extension = name.rsplit('.').next().unwrap();
        for key in [
            name,
            "no-extension",
            "folder.d/wrong.txt",
            "wrong.zip",
            "a.md",
        ] {
            let format = format(&fixture(name), key).unwrap();
            assert_eq!(format.name(), extension, "{name} as {key}");
        }
    }
}

#[test]
fn text_is_no_picture_program_song_or_archive_for_its_first_letters() {
    for beginning in [
        "BM",
        "MZ",
        "ID3",
        "PK",
        "PK\x03\x04",
        "PK\x05\x06",
        "GIF89a",
        "%PD",
        "RIFF",
        "OggS",
        "ftyp",
        "Rar!",
        "II*",
        "wOFF",
        "8BPS",
        "BZh",
        "FLV",
        "FWS",
        "#!AMR",
        "MThd",
        "SQLite format 3",
        "<?php",
        "II",
    ] {
        let text = format!("{beginning} is how this sentence begins.\nAnd it ends here.\n");
        for key in ["notes.txt", "notes", "notes.log"] {
            let read = read(text.as_str(), key).unwrap();
            assert_eq!(
                (read.format, read.text),
                (Format::Plain, text.clone()),
                "{key}"
            );
        }
        let latin = WINDOWS_1252
            .encode(&format!("{beginning} Müller & Söhne, größer."))
            .0
            .into_owned();
        assert_eq!(
            format(&latin, "notes.txt"),
            Ok(Format::Plain),
            "{beginning}"
        );
    }
}

#[test]
fn what_a_text_is_written_in_follows_from_its_name() {
    for (key, expected) in [
        ("a.md", Format::Markdown),
        ("a.b/c.MARKDOWN", Format::Markdown),
        ("what?.md", Format::Markdown),
        ("number #1.md", Format::Markdown),
        ("a.html", Format::Html),
        ("a.csv", Format::Csv),
        ("a.tsv", Format::Csv),
        ("a.json", Format::Json),
        ("a.txt", Format::Plain),
        ("a.md.txt", Format::Plain),
        ("folder.md/a", Format::Plain),
        ("a.rs", Format::Plain),
        (".md", Format::Markdown),
        ("a.", Format::Plain),
        ("", Format::Plain),
    ] {
        assert_eq!(format(b"a, b\n1, 2\n", key), Ok(expected), "{key}");
    }
    let typed = |key, media_type| Hint::of_key(key).with_media_type(media_type);
    for (hint, expected) in [
        (typed("a", "text/markdown; charset=utf-8"), Format::Markdown),
        (typed("a", "binary/octet-stream"), Format::Plain),
        (typed("a.csv", "text/html"), Format::Csv),
    ] {
        assert_eq!(detect(b"a, b", &hint, &Limits::default()), Ok(expected));
    }
}

#[test]
fn what_a_text_is_written_in_follows_from_its_content_first() {
    for (content, expected) in [
        ("<!DOCTYPE html>\n<p>a", Format::Html),
        ("\n <!-- a --> <HTML lang=de><body>a", Format::Html),
        (
            "<?xml version='1.0'?><!DOCTYPE html PUBLIC 'x' 'y'><html>a</html>",
            Format::Html,
        ),
        ("{\"a\": [1, 2]}", Format::Json),
        (" [1, 2]\n", Format::Json),
        ("{not json", Format::Plain),
        ("[1] a footnote", Format::Plain),
        ("<note>XML is text</note>", Format::Plain),
        ("<h1 align=center>Read me</h1>", Format::Plain),
        ("Text about %PDF-1.7 and startxref", Format::Plain),
    ] {
        assert_eq!(format(content.as_bytes(), "a"), Ok(expected), "{content}");
    }
    assert_eq!(format(b"<!doctype html><p>a", "a.txt"), Ok(Format::Html));
}

#[test]
fn a_pdf_may_have_something_before_its_header() {
    let pdf = [b"\r\njunk \0\xff\n".as_slice(), &fixture("cjk.pdf")].concat();
    assert_eq!(format(&pdf, "a"), Ok(Format::Pdf));
}

#[test]
fn archives_are_known_by_what_is_in_them() {
    // In any order, and whatever the parts are called.
    let word = docx("<w:p><w:r><w:t>a</w:t></w:r></w:p>");
    assert_eq!(format(&word, "a.zip"), Ok(Format::Docx));
    assert_eq!(format(&epub(BOOK, "<p>a</p>"), "a.zip"), Ok(Format::Epub));
    let other = zip(&[("a.txt", b"a"), ("b/c.xml", b"<w:document/>")]);
    assert_eq!(unsupported(&other), "application/zip");
    let open = zip(&[("mimetype", b"application/vnd.oasis.opendocument.text")]);
    assert_eq!(
        unsupported(&open),
        "application/vnd.oasis.opendocument.text"
    );
    assert_eq!(unsupported(&zip(&[])), "application/zip");
}

#[test]
fn what_is_not_supported_is_named() {
    let old_word = [
        &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1][..],
        &[0; 600],
    ]
    .concat();
    assert_eq!(unsupported(&old_word), "application/x-cfb");
    assert_eq!(
        unsupported(b"\x1f\x8b\x08\0\0\0\0\0\0\x03abc\0\0"),
        "application/gzip"
    );
    assert_eq!(
        unsupported(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0"),
        "application/x-executable"
    );
    assert_eq!(
        unsupported(b"ID3\x04\0\0\0\0\0\0\xff\xfb\x90\0\0\0"),
        "application/x-id3v2"
    );
    assert_eq!(unsupported(b"{\\rtf1\\ansi text}"), "application/rtf");
    assert_eq!(
        unsupported(b"%!PS-Adobe-3.0\nshowpage"),
        "application/postscript"
    );
    assert_eq!(unsupported(&noise(1, 5000)), "application/octet-stream");
    assert_eq!(unsupported(&[0; 100]), "application/octet-stream");
}

#[test]
fn pictures_need_character_recognition() {
    for (bytes, detected) in [
        (fixture("noise.png"), "image/png"),
        (
            b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x02\0\0\0\x02\0\0\0\x01\0\x18\0".to_vec(),
            "image/bmp",
        ),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0".to_vec(), "image/jpeg"),
        (b"II*\0\x08\0\0\0\0\0\0\0".to_vec(), "image/tiff"),
        (
            b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(),
            "image/svg+xml",
        ),
    ] {
        let detected = detected.to_owned();
        assert_eq!(format(&bytes, "scan"), Err(Refusal::NeedsOcr { detected }));
    }
}

#[test]
fn nothing_is_empty_or_a_folder() {
    assert_eq!(format(b"", "a.pdf"), Err(Refusal::Empty));
    assert_eq!(format(b"", "folder/"), Err(Refusal::FolderMarker));
    assert_eq!(format(b"text", "folder/"), Ok(Format::Plain));
    for blank in [" \n\t\r\n", "\u{feff}", "\u{a0}\u{3000}"] {
        assert_eq!(read(blank, "a.txt"), Err(Refusal::Empty), "{blank:?}");
        assert_eq!(read(blank, "a.md"), Err(Refusal::Empty), "{blank:?}");
    }
}

const GERMAN: &str = "Größe, Übersicht und Straße: für Ärzte schön.\nZweite Zeile. ";
const JAPANESE: &str = "吾輩は猫である。名前はまだ無い。\nどこで生れたかとんと見当がつかぬ。";
const CHINESE: &str = "北京是中华人民共和国的首都，\n也是中国的政治、文化中心。";

#[test]
fn text_of_any_encoding_is_read() {
    let taiwanese = "臺北是中華民國的首都，也是臺灣的政治、文化與經濟中心。\n";
    let korean = "서울은 대한민국의 수도이다. 인구는 약 천만 명이다.\n";
    let russian = "Москва является столицей России и крупнейшим городом страны.\n";
    let polish = "Zażółć gęślą jaźń. Łódź leży w środku kraju, blisko Warszawy.\n";
    for (encoding, text) in [
        (WINDOWS_1252, GERMAN),
        (ISO_8859_2, polish),
        (SHIFT_JIS, JAPANESE),
        (EUC_JP, JAPANESE),
        (encoding_rs::ISO_2022_JP, JAPANESE),
        (GBK, CHINESE),
        (BIG5, taiwanese),
        (EUC_KR, korean),
        (WINDOWS_1251, russian),
        (KOI8_R, russian),
    ] {
        let text = text.repeat(3);
        let (bytes, _, is_lossy) = encoding.encode(&text);
        assert!(!is_lossy);
        let name = encoding.name();
        assert_eq!(read(bytes, "a.txt").unwrap().text, text, "{name}");
    }
}

#[test]
fn unicode_is_read_with_and_without_a_byte_order_mark() {
    for text in [GERMAN, JAPANESE, CHINESE, "ab", "Text 👩‍🚀 mit 😀\n"] {
        for (order, little) in [("LE", true), ("BE", false)] {
            let units: Vec<u16> = text.encode_utf16().collect();
            let bytes = |mark: bool| -> Vec<u8> {
                let mark = mark.then_some(0xfeff);
                let units = mark.into_iter().chain(units.iter().copied());
                let bytes = if little {
                    u16::to_le_bytes
                } else {
                    u16::to_be_bytes
                };
                units.flat_map(bytes).collect()
            };
            for mark in [true, false] {
                let bytes = bytes(mark);
                assert!(is_text(&bytes), "UTF-16{order} {mark}");
                assert_eq!(
                    read(bytes, "a.txt").unwrap().text,
                    text,
                    "UTF-16{order} {mark}"
                );
            }
            let scalars = std::iter::once(0xfeff).chain(text.chars().map(u32::from));
            let bytes = if little {
                u32::to_le_bytes
            } else {
                u32::to_be_bytes
            };
            let bytes: Vec<u8> = scalars.flat_map(bytes).collect();
            assert_eq!(read(bytes, "a.txt").unwrap().text, text, "UTF-32{order}");
        }
        let marked = format!("\u{feff}{text}");
        assert_eq!(read(marked, "a.txt").unwrap().text, text, "UTF-8");
    }
}

#[test]
fn a_few_broken_bytes_do_not_change_the_encoding() {
    let mut bytes = GERMAN.repeat(5).into_bytes();
    bytes.insert(20, 0xff);
    assert_eq!(
        read(bytes, "a.txt")
            .unwrap()
            .text
            .replacen('\u{fffd}', "", 1),
        GERMAN.repeat(5)
    );
    let cut = &GERMAN.as_bytes()[..3];
    assert_eq!(
        decode(&[GERMAN.repeat(5).as_bytes(), cut].concat(), None),
        format!("{}Gr\u{fffd}", GERMAN.repeat(5))
    );
    let odd = [b"\xff\xfe".as_slice(), b"a\0b\0c"].concat();
    assert_eq!(read(odd, "a.txt").unwrap().text, "ab\u{fffd}");
    let lone = [
        b"\xff\xfea\0".as_slice(),
        b"\x00\xd8",
        b"b\0",
        &b"c\0".repeat(20),
    ]
    .concat();
    assert_eq!(
        read(lone, "a.txt").unwrap().text,
        format!("a\u{fffd}b{}", "c".repeat(20))
    );
}

#[test]
fn html_is_read_in_the_encoding_that_it_declares() {
    let russian = "Столица";
    let html = format!(
        "<html><head><meta http-equiv=Content-Type content='text/html; charset=KOI8-R'></head><p>{russian}"
    );
    let bytes = KOI8_R.encode(&html).0;
    assert_eq!(read(bytes, "a.html").unwrap().text, russian);
    let wrong = format!("<html><meta charset=\"iso-8859-1\"><p>{russian}");
    assert_eq!(read(wrong, "a.html").unwrap().text, russian);
}

#[test]
fn line_breaks_become_those_of_unix_and_no_nul_remains() {
    let text = read("a\r\nb\rc\nd", "a.txt").unwrap();
    assert_eq!(text.text, "a\nb\nc\nd");
    let html = read("<p>a\0b&#0;c</p>", "a.html").unwrap();
    assert!(!html.text.contains('\0'), "{:?}", html.text);
}

#[test]
fn declared_encodings_are_asked_only_where_the_bytes_leave_a_choice() {
    let declared = Encoding::for_label(b"koi8-r");
    assert_eq!(decode("größer".as_bytes(), declared), "größer");
    assert_eq!(decode(b"\xef\xcb", declared), "Ок");
}

fn format(bytes: &[u8], key: &str) -> Result<Format, Refusal> {
    detect(bytes, &Hint::of_key(key), &Limits::default())
}

fn unsupported(bytes: &[u8]) -> String {
    match format(bytes, "a.docx") {
        Err(Refusal::Unsupported { detected }) => detected,
        other => panic!("{other:?}"),
    }
}
