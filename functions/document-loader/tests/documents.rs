//! What is in documents comes out of them: words apart, tables in rows, umlauts and East Asian characters.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]
#[path = "support/document.rs"]
mod support;

use document_loader::extract::{Format, Mark, Place, Refusal, Text};
use insta::assert_snapshot;
use support::{BOOK, docx, docx_of, epub, fixture, page, pptx, read, stream, xlsx};

#[test]
fn a_word_document_keeps_headings_lists_and_tables() {
    let text = read(fixture("report.docx"), "report.docx").unwrap();
    assert_eq!(text.format, Format::Docx);
    let beginning: Vec<&str> = text.text.split("\n\n# Ausblick").collect();
    assert_snapshot!(beginning[0], @r"
    # Jahresbericht

    # Überblick

    Der Umsatz stieg um zwölf Prozent.

    東京は日本の首都です。 北京是中国的首都。

    ## Einzelheiten

    - erster Punkt
    - zweiter Punkt
    - Schritt eins

    links	rechts
    neue Zeile

    | Stadt | Einwohner | Fläche |
    | Köln | 1 087 353 | 405,01 km² |
    | Zürich | 427 721 | 87,88 km² |
    ");
    assert_eq!(
        places(&text),
        [
            "1 # Jahresbericht",
            "1 # Überblick",
            "2 ## Einzelheiten",
            "1 # Ausblick"
        ]
    );
}

#[test]
fn a_workbook_has_a_section_for_each_sheet_that_is_not_empty() {
    let text = read(fixture("figures.xlsx"), "figures.xlsx").unwrap();
    assert_eq!(text.format, Format::Xlsx);
    assert_snapshot!(text.text, @r"
    # Städte

    | Stadt | Einwohner | Fläche |
    | Köln | 1 087 353 | 405,01 km² |
    | Zürich | 427 721 | 87,88 km² |
    | weit unten |  |  |  | weit rechts |

    # 数字

    | Tag | Betrag | bezahlt | Uhrzeit |
    | 2026-03-01 | 1234.5 | TRUE | 08:30:00 |
    | 2026-03-02 12:30:15 | -7 | FALSE | 30:00:00 |
    | zwei Zellen |
    ");
    assert_eq!(places(&text), ["1 # Städte", "1 # 数字"]);
}

#[test]
fn a_presentation_has_a_page_and_a_heading_for_each_slide() {
    let text = read(fixture("slides.pptx"), "slides.pptx").unwrap();
    assert_eq!(text.format, Format::Pptx);
    assert_snapshot!(text.text, @r"
    # Strategie 2026

    für die Geschäftsführung

    # Ziele

    - Wachstum
      - in Europa

    Nicht vergessen: 日本

    # Zahlen

    | Stadt | Einwohner | Fläche |
    | Köln | 1 087 353 | 405,01 km² |
    | Zürich | 427 721 | 87,88 km² |

    in einer Gruppe
    ");
    assert_eq!(
        places(&text),
        [
            "page 1: # Strategie 2026",
            "1 # Strategie 2026",
            "page 2: # Ziele",
            "1 # Ziele",
            "page 3: # Zahlen",
            "1 # Zahlen"
        ]
    );
}

#[test]
fn a_book_is_read_in_the_order_of_its_spine() {
    let text = read(fixture("journey.epub"), "journey.epub").unwrap();
    assert_eq!(text.format, Format::Epub);
    assert_snapshot!(text.text, @r"
    # Ankunft

    Am Ende & am Ziel.

    # Aufbruch

    Es war früh am Morgen.

    ## Das Schiff

    東京は日本の首都です。

    - Segel
    - Anker
    ");
    assert_eq!(
        places(&text),
        ["1 # Ankunft", "1 # Aufbruch", "2 ## Das Schiff"]
    );
}

#[test]
fn a_pdf_in_columns_is_read_column_by_column() {
    let text = read(fixture("report.pdf"), "report.pdf").unwrap();
    assert_eq!(text.format, Format::Pdf);
    assert!(text.text.starts_with("Annual Report\n\nParagraph 0. The quarterly figures exceed all\nexpectations. Größe und Übersicht bleiben\n"));
    let numbers: Vec<usize> = (0..30)
        .map(|number| {
            text.text
                .find(&format!("\n\nParagraph {number}. "))
                .unwrap()
        })
        .collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    assert!(
        text.text
            .replace('\t', " ")
            .ends_with("Köln 1 087 353 405,01 km²\nZürich 427 721 87,88 km²")
    );
    let pages = places(&text);
    assert_eq!(pages[0], "page 1: Annual Report");
    assert_eq!(pages[2], "page 3: Übersicht");
}

#[test]
fn a_pdf_with_embedded_fonts_keeps_words_apart() {
    let text = read(fixture("letter.pdf"), "letter.pdf").unwrap();
    assert_snapshot!(text.text, @r"
    Sehr geehrte Frau Müller,

    The quarterly figures exceed all expectations. Größe und Übersicht bleiben erhalten,
    even where a line is broken in the middle of a sentence that goes on and on. The
    quarterly figures exceed all expectations. Größe und Übersicht bleiben erhalten, even
    where a line is broken in the middle of a sentence that goes on and on.

    Mit freundlichen Grüßen
    Stadt	Einwohner	Fläche

    Köln	1 087 353	405,01 km²

    Zürich	427 721	87,88 km²
    ");
}

#[test]
fn a_pdf_with_east_asian_fonts_of_the_reader_is_read() {
    let text = read(fixture("cjk.pdf"), "cjk.pdf").unwrap();
    assert_eq!(text.text, "東京は日本の首都です。\n\n北京是中国的首都。");
}

#[test]
fn the_values_of_a_form_belong_to_its_text() {
    let text = read(fixture("form.pdf"), "form.pdf").unwrap();
    assert_eq!(text.text, "Name of the applicant:\tJürgen Groß");
}

#[test]
fn what_only_its_owner_may_change_can_be_read() {
    let text = read(fixture("owner.pdf"), "owner.pdf").unwrap();
    assert_eq!(text.text, "Only those who have the password read this.");
}

#[test]
fn what_has_a_password_is_encrypted() {
    for name in ["encrypted.pdf", "encrypted-aes.pdf", "encrypted.docx"] {
        assert_eq!(read(fixture(name), name), Err(Refusal::Encrypted), "{name}");
    }
}

#[test]
fn pictures_of_text_need_character_recognition() {
    for (name, media_type) in [
        ("scanned.pdf", "application/pdf"),
        ("noise.png", "image/png"),
    ] {
        let detected = media_type.to_owned();
        assert_eq!(
            read(fixture(name), name),
            Err(Refusal::NeedsOcr { detected })
        );
    }
}

#[test]
fn a_pdf_of_few_words_is_no_picture() {
    let pdf = page("", b"BT /F 12 Tf 72 700 Td (Hello) Tj ET", &[]);
    assert_eq!(read(pdf, "a.pdf").unwrap().text, "Hello");
}

#[test]
fn a_pdf_of_drawn_letters_needs_character_recognition_and_an_empty_one_is_empty() {
    let drawn = page("", b"10 10 m 20 20 l 30 10 l f", &[]);
    assert_eq!(read(drawn, "a.pdf").unwrap_err().code(), "needs_ocr");
    assert_eq!(read(page("", b"", &[]), "a.pdf"), Err(Refusal::Empty));
}

#[test]
fn pdf_operators_place_words_lines_and_paragraphs() {
    let operators = br"BT /F 10 Tf 12 TL 72 700 Td
        (One) Tj 22 0 Td (two) Tj
        0 -12 Td [(Ker) 20 (ned) -300 (apart)] TJ
        T* (soft-) Tj T* (ened) Tj
        (Co-) ' (Op) '
        0 -30 Td (para) Tj (graph) Tj
        3 Ts (2) Tj 0 Ts
        ET
        BT /F 10 Tf 1 0 0 1 300 700 Tm (column) Tj 80 0 Td (cell) Tj ET
        q 0 1 -1 0 500 500 cm BT /F 10 Tf (turned) Tj ET Q
        /Span << /ActualText (replaced) >> BDC BT /F 10 Tf 72 100 Td (rep-) Tj ET EMC
        BT /F 10 Tf 72 50 Td (bold) Tj ET BT /F 10 Tf 72.3 50 Td (bold) Tj ET";
    let text = read(page("", operators, &[]), "a.pdf").unwrap();
    assert_snapshot!(text.text, @r"
    One two
    Kerned apart
    softened
    Co-
    Op

    paragraph2

    column	cell

    turned

    replaced

    bold
    ");
}

#[test]
fn tex_puts_accents_over_letters_and_names_bitmaps_by_number() {
    // The dieresis is code 168 of Windows-1252, and half as wide as the `o` below it.
    let accent = b"BT /F 10 Tf 72 700 Td (K) Tj 7 0 Td (\\250) Tj -1 0 Td (oln) Tj ET".to_vec();
    let font =
        "/F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>";
    let text = read(page(&format!("/Font << {font} >>"), &accent, &[]), "a.pdf").unwrap();
    assert_eq!(text.text, "Köln");
    let glyph = stream("", b"500 0 0 0 500 500 d1");
    let font =
        b"<< /Type /Font /Subtype /Type3 /FontMatrix [0.001 0 0 0.001 0 0] /FontBBox [0 0 500 500]
        /CharProcs << /a72 5 0 R /a105 5 0 R >> /FirstChar 0 /LastChar 2 /Widths [500 500 500]
        /Encoding << /Differences [72 /a72 /.notdef 105 /a105] >> >>";
    let resources = "/Font << /T 4 0 R >>";
    let pdf = page(
        resources,
        b"BT /T 10 Tf (Hi) Tj ET",
        &[font.to_vec(), glyph],
    );
    assert_eq!(read(pdf, "a.pdf").unwrap().text, "Hi");
}

#[test]
fn text_boxes_footnotes_and_changes_of_a_word_document_are_told_once() {
    let text = |text: &str| format!("<w:r><w:t>{text}</w:t></w:r>");
    let body = format!(
        "<w:p><w:pPr><w:tabs><w:tab/></w:tabs></w:pPr>{}<w:r><mc:AlternateContent><mc:Choice><w:txbxContent>
        <w:p>{}</w:p></w:txbxContent></mc:Choice><mc:Fallback><w:txbxContent><w:p>{}</w:p></w:txbxContent>
        </mc:Fallback></mc:AlternateContent></w:r><w:ins>{}</w:ins><w:del>{}</w:del>
        <w:r><w:instrText>PAGE</w:instrText></w:r></w:p>
        <w:p><w:pPr><w:outlineLvl w:val='1'/></w:pPr>{}</w:p>
        <w:p><w:pPr><w:numPr><w:ilvl w:val='2'/><w:numId w:val='1'/></w:numPr></w:pPr>{}</w:p>",
        text("Before "),
        text("box"),
        text("box"),
        text("added &amp; kept &#228;"),
        text("deleted"),
        text("By outline"),
        text("deep"),
    );
    assert_snapshot!(read(docx(&body), "a.docx").unwrap().text, @r"
    box

    Before added & kept ä

    ## By outline

        - deep
    ");
}

#[test]
fn tables_that_only_arrange_a_page_are_no_tables() {
    let html =
        "<table><tr><td><h1>Title</h1><p>Left</p></td><td><table><tr><th>a</th><th>b</th></tr>
        <tr><td>1</td><td>2<br>3</td></tr></table></td></tr></table>";
    assert_snapshot!(read(html, "a.html").unwrap().text, @r"
    # Title

    Left

    | a | b |
    | 1 | 2 3 |
    ");
}

#[test]
fn html_is_read_without_scripts_and_menus_of_choices() {
    let html = "<!DOCTYPE html><html><head><title>No</title><style>p { a }</style></head><body>
        <script>if (a < b) { '</p>' }</script><svg><text>no</text></svg>
        <h2>Über  uns</h2>Text <b>fett</b>&nbsp;und\n<a href=x>Verweis</a>.<br>Zeile
        <ol><li>eins<ul><li>tief</ul><li><p>zwei</p><p>mehr</p></ol>
        <pre>\n# no heading\n  indented</pre><select><option>no</select>
        <img alt='Ein Bild' src=x><noscript>no</noscript><p>漢<ruby>字<rt>no</rt></ruby></p>";
    let text = read(html, "page").unwrap();
    assert_eq!(text.format, Format::Html);
    assert_snapshot!(text.text, @r"
    ## Über uns

    Text fett und Verweis.
    Zeile

    1. eins
      - tief
    2. zwei

    mehr

    ```
    # no heading
      indented
    ```

    Ein Bild

    漢字
    ");
    assert_eq!(places(&text), ["2 ## Über uns"]);
}

#[test]
fn markdown_stays_as_it_is_and_its_headings_are_known() {
    let markdown = "---\ntitle: no\n---\r\n\r\n# Größe `x`\r\n\r\nText\r\n\r\n```\n# no heading\n```\n\nUnter\n=====\n\n### Tief ###\n";
    let text = read(markdown, "a.md").unwrap();
    assert_eq!(text.format, Format::Markdown);
    assert_eq!(text.text, markdown.replace("\r\n", "\n"));
    assert_eq!(
        places(&text),
        ["1 # Größe `x`", "1 Unter", "3 ### Tief ###"]
    );
    let titles: Vec<&str> = text
        .marks
        .iter()
        .filter_map(|mark| match &mark.place {
            Place::Heading { title, .. } => Some(title.as_str()),
            Place::Page(_) => None,
        })
        .collect();
    assert_eq!(titles, ["Größe x", "Unter", "Tief"]);
}

#[test]
fn entities_that_documents_define_are_left_out() {
    let laughs = r#"<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>"#;
    let word = docx_of(&format!(
        "{laughs}<w:document><w:p><w:r><w:t>a&b;b</w:t></w:r></w:p></w:document>"
    ));
    assert_eq!(read(word, "a.docx").unwrap().text, "ab");
    let slide =
        format!("{laughs}<p:sld><p:sp><a:p><a:r><a:t>a&b;b</a:t></a:r></a:p></p:sp></p:sld>");
    assert_eq!(read(pptx(&[&slide]), "a.pptx").unwrap().text, "ab");
}

#[test]
fn what_a_workbook_says_of_its_dimensions_is_not_believed() {
    let sheet = r#"<worksheet><dimension ref="A1:XFD1048576"/><sheetData>
        <row r="1"><c r="A1" t="s"><v>0</v></c><c r="XFD1" t="inlineStr"><is><t>far</t></is></c></row>
        <row r="1048576"><c r="B1048576"><v>2.50</v></c></row></sheetData></worksheet>"#;
    let strings = r#"<sst count="1" uniqueCount="1"><si><t>first</t></si></sst>"#;
    let text = read(xlsx(sheet, strings), "a.xlsx").unwrap();
    let rows: Vec<&str> = text.text.lines().skip(2).collect();
    assert_eq!(
        rows,
        [
            format!("| first |{} far |", "  |".repeat(20)).as_str(),
            "|  | 2.5 |"
        ]
    );
}

#[test]
fn fonts_of_a_book_may_be_hidden_but_its_text_may_not() {
    let chapter = "<html><head><title/><script/></head><body><p>Text</p></body></html>";
    let book = |algorithm: &str| {
        let encryption = format!(
            "<encryption><EncryptedData><EncryptionMethod Algorithm='{algorithm}'/></EncryptedData></encryption>"
        );
        let mut zip =
            zip::ZipWriter::new_append(std::io::Cursor::new(epub(BOOK, chapter))).unwrap();
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file("META-INF/encryption.xml", options).unwrap();
        std::io::Write::write_all(&mut zip, encryption.as_bytes()).unwrap();
        zip.finish().unwrap().into_inner()
    };
    let fonts = read(book("http://www.idpf.org/2008/embedding"), "a.epub");
    assert_eq!(fonts.unwrap().text, "Text");
    let all = read(
        book("http://www.w3.org/2001/04/xmlenc#aes256-cbc"),
        "a.epub",
    );
    assert_eq!(all, Err(Refusal::Encrypted));
}

/// Each mark as what begins there: the line of the text at its offset.
fn places(text: &Text) -> Vec<String> {
    let line = |mark: &Mark| {
        let offset = usize::try_from(mark.offset).unwrap();
        let rest: String = text.text.chars().skip(offset).collect();
        rest.lines().next().unwrap_or_default().to_owned()
    };
    text.marks
        .iter()
        .map(|mark| match &mark.place {
            Place::Page(number) => format!("page {number}: {}", line(mark)),
            Place::Heading { level, .. } => format!("{level} {}", line(mark)),
        })
        .collect()
}
