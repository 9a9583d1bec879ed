//! Documents of every format, good, bad and hostile, go from a bucket to chunks through the executable.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use std::fmt::Write as _;

use serde_json::json;
use support::deployed::Deployed;
use support::document::{docx_of, fixture, noise, page, pdf, pptx, stream, xlsx};

/// What became of each document, a line each: its key, its state, how many chunks, and where and how its text begins.
async fn told(deployed: &Deployed) -> String {
    let query = "
        select substr(load.uri, length('s3://example-documents/') + 1), load.state || coalesce(': ' || load.reason, ''),
            load.chunks, coalesce(chunk.page::text, '-'), coalesce(chunk.heading, '-'), coalesce(left(chunk.text, 60), '')
        from document_load as load left join document_chunk as chunk on chunk.uri = load.uri and chunk.chunk_order = 0
        order by load.uri collate \"C\"";
    let mut told = String::new();
    for row in deployed.sql.query(query, &[]).await.unwrap() {
        let text = |column: usize| row.get::<_, String>(column);
        writeln!(
            told,
            "{} | {} | {} | {} | {} | {:?}",
            text(0),
            text(1),
            row.get::<_, i32>(2),
            text(3),
            text(4),
            text(5)
        )
        .unwrap();
    }
    told
}

#[tokio::test]
async fn documents_of_every_format_become_text_that_is_found() {
    let deployed = Deployed::start().await;
    for name in [
        "report.pdf",
        "letter.pdf",
        "cjk.pdf",
        "form.pdf",
        "report.docx",
        "figures.xlsx",
        "slides.pptx",
        "journey.epub",
    ] {
        deployed.put(name, fixture(name)).await;
    }
    let (latin, _, _) = encoding_rs::WINDOWS_1252.encode("Grüße aus Köln, und schöne dazu");
    let (japanese, _, _) =
        encoding_rs::SHIFT_JIS.encode("これは日本語の文書です。文字コードはシフトJISです。");
    let utf_16: Vec<u8> = "\u{feff}Grüße in UTF-16"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let texts: [(&str, Vec<u8>); 16] = [
        (
            "page.html",
            b"<!doctype html><title>T</title><h1>Page</h1><p>Of <b>hypertext</b></p><script>no()</script>".to_vec(),
        ),
        ("table.csv", b"city,people\nHamburg,1900000\n".to_vec()),
        ("table.tsv", b"city\tpeople\nBremen\t570000\n".to_vec()),
        ("data.json", br#"{"city": "Berlin", "people": 3700000}"#.to_vec()),
        ("notes.md", b"Before\n\n# First\n\nOne.\n\n## Second\n\nTwo.\n".to_vec()),
        ("latin.txt", latin.into_owned()),
        ("japanese.txt", japanese.into_owned()),
        ("utf-16.txt", utf_16),
        ("mark.txt", "\u{feff}With a mark before it".into()),
        ("BMW", b"BMW is a maker of cars".to_vec()),
        ("MZ", b"MZ was a maker of motorcycles".to_vec()),
        ("PK", b"PK\x03\x04 is how archives begin, and this text".to_vec()),
        ("what?.txt", b"A question in the key".to_vec()),
        ("no extension", fixture("report.docx")),
        ("wrong.txt", fixture("report.pdf")),
        ("empty", Vec::new()),
    ];
    for (key, body) in texts {
        deployed.put(key, body).await;
    }
    let answer = deployed
        .function
        .invoke(&json!({ "load": {} }))
        .await
        .unwrap();
    assert_eq!(answer["load"]["loaded"], 24, "{answer}");
    insta::assert_snapshot!(told(&deployed).await, @r##"
    BMW | loaded | 1 | - | - | "BMW is a maker of cars"
    MZ | loaded | 1 | - | - | "MZ was a maker of motorcycles"
    PK | loaded | 1 | - | - | "PK\u{3}\u{4} is how archives begin, and this text"
    cjk.pdf | loaded | 1 | 1 | - | "東京は日本の首都です。\n\n北京是中国的首都。"
    data.json | loaded | 1 | - | - | "{\"city\": \"Berlin\", \"people\": 3700000}"
    empty | loaded | 0 | - | - | ""
    figures.xlsx | loaded | 1 | - | Städte | "# Städte\n\n| Stadt | Einwohner | Fläche |\n| Köln | 1 087 353 "
    form.pdf | loaded | 1 | 1 | - | "Name of the applicant:\tJürgen Groß"
    japanese.txt | loaded | 1 | - | - | "これは日本語の文書です。文字コードはシフトJISです。"
    journey.epub | loaded | 1 | - | Ankunft | "# Ankunft\n\nAm Ende & am Ziel.\n\n# Aufbruch\n\nEs war früh am Mo"
    latin.txt | loaded | 1 | - | - | "Grüße aus Köln, und schöne dazu"
    letter.pdf | loaded | 1 | 1 | - | "Sehr geehrte Frau Müller,\n\nThe quarterly figures exceed all "
    mark.txt | loaded | 1 | - | - | "With a mark before it"
    no extension | loaded | 1 | - | Jahresbericht | "# Jahresbericht\n\n# Überblick\n\nDer Umsatz stieg um zwölf Proz"
    notes.md | loaded | 1 | - | - | "Before\n\n# First\n\nOne.\n\n## Second\n\nTwo."
    page.html | loaded | 1 | - | Page | "# Page\n\nOf hypertext"
    report.docx | loaded | 1 | - | Jahresbericht | "# Jahresbericht\n\n# Überblick\n\nDer Umsatz stieg um zwölf Proz"
    report.pdf | loaded | 14 | 1 | - | "Annual Report\n\nParagraph 0. The quarterly figures exceed all"
    slides.pptx | loaded | 1 | 1 | Strategie 2026 | "# Strategie 2026\n\nfür die Geschäftsführung\n\n# Ziele\n\n- Wachs"
    table.csv | loaded | 1 | - | - | "city,people\nHamburg,1900000"
    table.tsv | loaded | 1 | - | - | "city\tpeople\nBremen\t570000"
    utf-16.txt | loaded | 1 | - | - | "Grüße in UTF-16"
    what?.txt | loaded | 1 | - | - | "A question in the key"
    wrong.txt | loaded | 14 | 1 | - | "Annual Report\n\nParagraph 0. The quarterly figures exceed all"
    "##);

    let found = "select uri, page, heading from search_documents('umsatz')";
    let found = deployed.sql.query(found, &[]).await.unwrap();
    let uris: Vec<String> = found.iter().map(|row| row.get(0)).collect();
    assert!(
        uris.contains(&"s3://example-documents/no extension".to_owned()),
        "{uris:?}"
    );
}

/// Documents that are encrypted, damaged, no documents at all, or made to do harm.
fn bad() -> Vec<(&'static str, Vec<u8>)> {
    let mut bodies: Vec<(&'static str, Vec<u8>)> = vec![
        ("password.pdf", fixture("encrypted.pdf")),
        ("password-aes.pdf", fixture("encrypted-aes.pdf")),
        ("password.docx", fixture("encrypted.docx")),
        ("scanned.pdf", fixture("scanned.pdf")),
        ("picture.png", fixture("noise.png")),
        ("noise", noise(7, 100_000)),
        ("program", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec()),
        (
            "bomb.docx",
            docx_of(&format!(
                "<w:document>{}</w:document>",
                " ".repeat(300 * 1024 * 1024)
            )),
        ),
        (
            "claims.xlsx",
            xlsx(
                "<worksheet><dimension ref='A1:XFD1048576'/><sheetData><row r='1048576'><c r='XFD1048576'><v>1</v></c></row></sheetData></worksheet>",
                "<sst/>",
            ),
        ),
        (
            "deep.html",
            format!("<html>{}", "<div>".repeat(500_000)).into_bytes(),
        ),
        ("deep.json", "[".repeat(1_000_000).into_bytes()),
        ("deep.pptx", pptx(&[&"<a:p>".repeat(200_000)])),
    ];
    let cut = fixture("report.docx");
    bodies.push(("cut.docx", cut.get(..cut.len() / 2).unwrap().to_vec()));
    bodies.push(("cut.pdf", b"%PDF-1.7\nand nothing of the kind".to_vec()));
    // Pages below each other, and a form that draws itself.
    let circle = pdf(&[
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>".to_vec(),
    ]);
    bodies.push(("circle.pdf", circle));
    let form = stream(
        "/Type /XObject /Subtype /Form /BBox [0 0 1 1] /Resources << /XObject << /N 4 0 R >> >>",
        &b"/N Do ".repeat(50),
    );
    bodies.push((
        "itself.pdf",
        page("/XObject << /N 4 0 R >>", b"/N Do", &[form]),
    ));
    bodies
}

#[tokio::test]
async fn each_hostile_or_broken_document_costs_itself_one_classified_failure() {
    let deployed = Deployed::start().await;
    let bodies = bad();
    let count = bodies.len();
    for (key, body) in bodies {
        deployed.put(key, body).await;
    }
    for number in 0..40 {
        let (key, body) = match number % 4 {
            0 => (format!("good {number}.docx"), fixture("report.docx")),
            1 => (format!("good {number}.pdf"), fixture("letter.pdf")),
            _ => (format!("good {number}.txt"), b"Good".to_vec()),
        };
        deployed.put(&key, body).await;
    }
    // A slow machine does not get through in the time of one invocation, and then the next goes on.
    for _ in 0..20 {
        let answer = deployed
            .function
            .invoke(&json!({ "load": {} }))
            .await
            .unwrap();
        if answer["load"]["finished"] == true {
            break;
        }
    }
    let good = "select count(*) from document_load where uri like '%good%' and state = 'loaded' and chunks > 0";
    let good: i64 = deployed.sql.query_one(good, &[]).await.unwrap().get(0);
    assert_eq!(good, 40);
    // One try each, and one line each in the history of what failed.
    let bad = "
        select substr(load.uri, length('s3://example-documents/') + 1) || ' | ' || state || coalesce(': ' || load.reason, '')
            || ' | ' || chunks || ' chunks | ' || attempts || ' try | '
            || (select count(*) from document_load_error as error where error.uri = load.uri) || ' error'
        from document_load as load where uri not like '%good%' order by uri collate \"C\"";
    let bad = deployed.sql.query(bad, &[]).await.unwrap();
    assert_eq!(bad.len(), count);
    let mut told = String::new();
    for row in bad {
        writeln!(told, "{}", row.get::<_, String>(0)).unwrap();
    }
    insta::assert_snapshot!(told, @"
    bomb.docx | failed: too_costly | 0 chunks | 1 try | 1 error
    circle.pdf | loaded | 0 chunks | 1 try | 0 error
    claims.xlsx | loaded | 1 chunks | 1 try | 0 error
    cut.docx | failed: parse_failure | 0 chunks | 1 try | 1 error
    cut.pdf | failed: parse_failure | 0 chunks | 1 try | 1 error
    deep.html | loaded | 0 chunks | 1 try | 0 error
    deep.json | loaded | 2499 chunks | 1 try | 0 error
    deep.pptx | failed: parse_failure | 0 chunks | 1 try | 1 error
    itself.pdf | loaded | 0 chunks | 1 try | 0 error
    noise | failed: unsupported | 0 chunks | 1 try | 1 error
    password-aes.pdf | failed: encrypted | 0 chunks | 1 try | 1 error
    password.docx | failed: encrypted | 0 chunks | 1 try | 1 error
    password.pdf | failed: encrypted | 0 chunks | 1 try | 1 error
    picture.png | needs_ocr: needs_ocr | 0 chunks | 1 try | 1 error
    program | failed: unsupported | 0 chunks | 1 try | 1 error
    scanned.pdf | needs_ocr: needs_ocr | 0 chunks | 1 try | 1 error
    ");
}
