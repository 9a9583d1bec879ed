//! Documents that are made to do harm, or are damaged: each costs one refusal, or is read as far as it can be.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]
#[path = "support/document.rs"]
mod support;

use std::fmt::Write as _;

use document_loader::extract::refusal::Size;
use document_loader::extract::{Limits, Refusal, Text};
use nix::sys::resource::{UsageWho, getrusage};
use support::{
    BOOK, READABLE, docx, docx_of, epub, extract, extract_file, fixture, noise, page, pdf, pptx,
    stream, tight, xlsx, zip,
};

/// Has a document read, as a file and as it comes, and sees to it that the limit of memory held.
async fn outcome(limits: Limits, bytes: Vec<u8>, key: &str) -> Result<Text, Refusal> {
    let of_file = extract_file(limits, &bytes, key).await;
    let outcome = extract(limits, bytes, key).await;
    assert_eq!(of_file, outcome, "{key}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let peak = u64::try_from(usage.max_rss()).unwrap();
    // In kilobytes; on macOS in bytes, where the limit is not kept anyway.
    let peak = if cfg!(target_os = "linux") {
        peak * 1024
    } else {
        0
    };
    assert!(peak <= limits.memory, "{key}: {peak} bytes");
    outcome
}

/// The word for an outcome.
async fn code(bytes: Vec<u8>, key: &str) -> &'static str {
    match outcome(tight(), bytes, key).await {
        Ok(_) => "text",
        Err(refusal) => refusal.code(),
    }
}

/// Each document has this outcome, and the next one is read as if nothing had been.
async fn assert_codes<const N: usize>(cases: [(&str, &str, Vec<u8>, &str); N]) {
    for (name, key, bytes, expected) in cases {
        let code = code(bytes, key).await;
        assert!(
            expected.split('|').any(|expected| expected == code),
            "{name}: {code}"
        );
    }
    let text = extract(tight(), "still here", "a.txt").await.unwrap();
    assert_eq!(text.text, "still here");
}

#[tokio::test]
async fn archives_are_not_unpacked_beyond_their_limit() {
    let zeros = vec![b' '; 12 * 1024 * 1024];
    let word = docx_of(&format!(
        "<w:document>{}</w:document>",
        String::from_utf8(zeros.clone()).unwrap()
    ));
    assert!(word.len() < 50_000);
    let size = Size::Uncompressed;
    let limit = 8 * 1024 * 1024;
    let limits = Limits {
        uncompressed: limit,
        ..tight()
    };
    for bomb in [
        word,
        xlsx(&" ".repeat(12 * 1024 * 1024), "<sst/>"),
        xlsx("<worksheet/>", &" ".repeat(12 * 1024 * 1024)),
        epub(BOOK, &" ".repeat(12 * 1024 * 1024)),
        pptx(&[&" ".repeat(12 * 1024 * 1024)]),
        zip(&[("mimetype", &zeros)]),
    ] {
        let refusal = outcome(limits, bomb, "a").await.unwrap_err();
        assert_eq!(refusal, Refusal::TooLarge { size, limit });
    }
}

#[tokio::test]
async fn archives_that_lie_about_sizes_are_not_believed() {
    let content = "x".repeat(10 * 1024 * 1024);
    let chapter = epub(BOOK, &content);
    let length = u32::try_from(content.len()).unwrap().to_le_bytes();
    let mut lies = chapter.clone();
    let places: Vec<usize> = (0..lies.len() - 4)
        .filter(|at| lies[*at..*at + 4] == length)
        .collect();
    assert_eq!(places.len(), 2, "the file and the directory say its length");
    for at in places {
        lies[at..at + 4].copy_from_slice(&1_u32.to_le_bytes());
    }
    let many: Vec<String> = (0..2000).map(|number| format!("file-{number}")).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), &b""[..])).collect();
    assert_codes([
        ("shorter than it is", "a.epub", lies, "damaged|too_large"),
        ("too many files", "a.docx", zip(&many), "too_large"),
        (
            "an archive in an archive",
            "a.zip",
            zip(&[("a.zip", &chapter)]),
            "unsupported",
        ),
    ])
    .await;
}

#[tokio::test]
async fn entities_do_not_multiply() {
    let mut laughs = String::from("<!DOCTYPE l [<!ENTITY l0 \"ha\">");
    for level in 1..30 {
        let before = format!("&l{};", level - 1).repeat(10);
        write!(laughs, "<!ENTITY l{level} \"{before}\">").unwrap();
    }
    laughs += "]>";
    let word = format!("{laughs}<w:document><w:p><w:r><w:t>a&l29;b</w:t></w:r></w:p></w:document>");
    let cell = format!("{laughs}<sst><si><t>a&l29;b</t></si></sst>");
    let sheet = "<worksheet><sheetData><row><c t='s'><v>0</v></c></row></sheetData></worksheet>";
    let slide = format!("{laughs}<p:sld><p:sp><a:p><a:t>a&l29;</a:t></a:p></p:sp></p:sld>");
    let book = BOOK.replace("<dc:title>Book", "<dc:title>&l29;");
    let book = format!("{laughs}{book}");
    let chapter = format!("{laughs}<html><p>a&l29;b</p></html>");
    assert_codes([
        ("DOCX", "a.docx", docx_of(&word), "text"),
        ("XLSX", "a.xlsx", xlsx(sheet, &cell), "damaged"),
        ("PPTX", "a.pptx", pptx(&[&slide]), "text"),
        ("EPUB", "a.epub", epub(&book, "<p>a</p>"), "text"),
        ("a chapter", "a.epub", epub(BOOK, &chapter), "text"),
    ])
    .await;
}

#[tokio::test]
async fn xml_may_be_deep_and_wide() {
    let nested = |name: &str| {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        format!("{}a{}", open.repeat(300_000), close.repeat(300_000))
    };
    let mut attributes = String::new();
    for number in 0..200_000 {
        write!(attributes, " a{number}='v'").unwrap();
    }
    let wide = format!("<w:p{attributes}><w:r><w:t>a</w:t></w:r></w:p>");
    let early = "<w:document><w:p><w:r><w:t>a";
    let bytes = zip(&[("word/document.xml", &noise(3, 1000))]);
    assert_codes([
        ("paragraphs", "a.docx", docx(&nested("w:p")), "empty"),
        ("tables", "a.docx", docx(&nested("w:tbl")), "empty"),
        ("rows of text", "a.docx", docx(&nested("w:tr")), "empty"),
        (
            "rows of cells",
            "a.xlsx",
            xlsx(&nested("row"), "<sst/>"),
            "damaged",
        ),
        (
            "rows of slides",
            "a.pptx",
            pptx(&[&nested("a:tr")]),
            "empty",
        ),
        ("attributes", "a.docx", docx(&wide), "text"),
        ("no end", "a.docx", docx_of(early), "damaged"),
        ("no XML", "a.docx", docx_of("\0\u{1}\u{2}"), "damaged"),
        ("no text", "a.docx", bytes, "damaged"),
    ])
    .await;
}

#[tokio::test]
async fn workbooks_that_claim_much_get_little() {
    let huge = "<worksheet><dimension ref='A1:XFD1048576'/><sheetData><row r='1'><c r='XFD1048576'><v>1</v></c></row></sheetData></worksheet>";
    let strings = "<sst count='1' uniqueCount='99999999999999'><si><t>a</t></si></sst>";
    let sheet =
        |cell: &str| format!("<worksheet><sheetData><row>{cell}</row></sheetData></worksheet>");
    let row = sheet(&"<c><v>1</v></c>".repeat(300_000));
    assert_codes([
        ("huge dimensions", "a.xlsx", xlsx(huge, "<sst/>"), "text"),
        (
            "too many strings",
            "a.xlsx",
            xlsx(&sheet("<c t='s'><v>0</v></c>"), strings),
            "text|crashed|out_of_memory",
        ),
        (
            "a string that is not there",
            "a.xlsx",
            xlsx(&sheet("<c t='s'><v>999999</v></c>"), "<sst/>"),
            "damaged|empty|crashed",
        ),
        (
            "a cell beyond all",
            "a.xlsx",
            xlsx(&sheet("<c r='ZZZZZZZZ99999999999'><v>1</v></c>"), "<sst/>"),
            "damaged|text|crashed",
        ),
        (
            "a number that is none",
            "a.xlsx",
            xlsx(&sheet("<c><v>1e999999999</v></c>"), "<sst/>"),
            "damaged|text",
        ),
        (
            "a row without end",
            "a.xlsx",
            xlsx(&row, "<sst/>"),
            "text|too_large",
        ),
    ])
    .await;
}

#[tokio::test]
async fn html_may_be_as_broken_as_it_likes() {
    let deep = |tag: &str| format!("<{tag}>").repeat(200_000) + "deep";
    assert_codes([
        ("deep divisions", "a.html", deep("div").into_bytes(), "text"),
        (
            "deep tables",
            "a.html",
            deep("table><tr><td").into_bytes(),
            "text",
        ),
        ("deep lists", "a.html", deep("ul><li").into_bytes(), "text"),
        (
            "deep drawings",
            "a.html",
            ("<p>".to_owned() + &deep("svg")).into_bytes(),
            "empty",
        ),
        ("deep code", "a.html", deep("pre").into_bytes(), "text"),
        (
            "only ends",
            "a.html",
            "</table></div></pre></li></ul>a"
                .repeat(50_000)
                .into_bytes(),
            "text",
        ),
        (
            "many cells",
            "a.html",
            ("<table><tr>".to_owned() + &"<td>a".repeat(300_000)).into_bytes(),
            "text",
        ),
        (
            "a comment without end",
            "a.html",
            ("a<!--".to_owned() + &"-".repeat(1_000_000)).into_bytes(),
            "text",
        ),
        (
            "a script without end",
            "a.html",
            ("a<script>".to_owned() + &"<".repeat(1_000_000)).into_bytes(),
            "text",
        ),
        (
            "a tag without end",
            "a.html",
            ("a<p ".to_owned() + &"b=c ".repeat(500_000)).into_bytes(),
            "text",
        ),
        (
            "many entities",
            "a.html",
            "&amp;&#x110000;&nosuch;&".repeat(100_000).into_bytes(),
            "text",
        ),
        (
            "many titles",
            "a.html",
            "<h1>a</h1>".repeat(20_000).into_bytes(),
            "too_large",
        ),
    ])
    .await;
}

#[tokio::test]
async fn text_may_be_as_strange_as_it_likes() {
    let surrogates: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain([0x00, 0xd8, b'a', 0].repeat(1000))
        .collect();
    let deep =
        |open: &str, close: &str| (open.repeat(100_000) + &close.repeat(100_000)).into_bytes();
    assert_codes([
        ("deep JSON", "a.json", deep("[", "]"), "text"),
        (
            "deep JSON without a name",
            "a",
            deep("{\"a\":", "}"),
            "text",
        ),
        ("deep quotes", "a.md", deep("> ", ""), "text|crashed"),
        ("deep lists", "a.md", deep("- ", ""), "text|crashed"),
        ("deep links", "a.md", deep("[", "](a)"), "text|crashed"),
        ("deep emphasis", "a.md", deep("*a ", "*"), "text|crashed"),
        (
            "many headings",
            "a.md",
            "# a\n".repeat(20_000).into_bytes(),
            "too_large",
        ),
        ("lone surrogates", "a.txt", surrogates, "unsupported|text"),
        (
            "half of a character",
            "a.txt",
            "ü".repeat(1000).into_bytes()[..1999].to_vec(),
            "text",
        ),
        (
            "overlong UTF-8",
            "a.txt",
            b"abc\xc0\xaf\xed\xa0\x80\xf8\x88\x80\x80\x80 def ".repeat(50),
            "text",
        ),
        ("one line", "a.csv", b"a,".repeat(2_000_000), "text"),
        (
            "more than a text may be",
            "a.txt",
            vec![b'a'; 9 * 1024 * 1024],
            "too_large",
        ),
        (
            "only marks of order",
            "a.txt",
            "\u{feff}".repeat(1000).into_bytes(),
            "text|empty",
        ),
    ])
    .await;
}

#[tokio::test]
async fn pdf_objects_may_point_at_each_other() {
    let catalog = b"<< /Type /Catalog /Pages 2 0 R >>".to_vec();
    let pages = |entries: &str| format!("<< /Type /Pages {entries} >>").into_bytes();
    let leaf = b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F << /Type /Font /Subtype /Type1
        /BaseFont /Helvetica >> >> >> >>".to_vec();
    let text = stream("", b"BT /F 12 Tf (Text) Tj ET");
    let own = stream(
        "/Type /XObject /Subtype /Form /Resources << /XObject << /X 4 0 R >> >>",
        b"/X Do /X Do",
    );
    let many = "3 0 R ".repeat(200_000);
    let references = b"<< /Type /Catalog /Pages 1 0 R >>".to_vec();
    let chain: Vec<Vec<u8>> = std::iter::once(catalog.clone())
        .chain((3..5_000).map(|next| pages(&format!("/Kids [{next} 0 R] /Count 1"))))
        .collect();
    let mut loops = pdf(&[
        catalog.clone(),
        pages("/Kids [3 0 R] /Count 1"),
        leaf.clone(),
        text.clone(),
    ]);
    let trailer = String::from_utf8_lossy(&loops).find("trailer\n<<").unwrap();
    let table = String::from_utf8_lossy(&loops).find("xref\n").unwrap();
    loops.splice(
        trailer + 10..trailer + 10,
        format!(" /Prev {table}").bytes(),
    );
    assert_codes([
        (
            "pages in themselves",
            "a",
            pdf(&[catalog.clone(), pages("/Kids [2 0 R] /Count 1")]),
            "damaged|empty",
        ),
        (
            "2^31 pages",
            "a",
            pdf(&[
                catalog.clone(),
                pages("/Kids [3 0 R] /Count 2147483648"),
                leaf.clone(),
                text.clone(),
            ]),
            "text",
        ),
        (
            "minus one page",
            "a",
            pdf(&[
                catalog.clone(),
                pages("/Kids [3 0 R] /Count -1"),
                leaf.clone(),
                text.clone(),
            ]),
            "text",
        ),
        (
            "one page many times",
            "a",
            pdf(&[
                catalog.clone(),
                pages(&format!("/Kids [{many}] /Count 200000")),
                leaf.clone(),
                text.clone(),
            ]),
            "text",
        ),
        (
            "a catalog of itself",
            "a",
            pdf(&[references]),
            "damaged|empty",
        ),
        (
            "a reference to itself",
            "a",
            pdf(&[b"1 0 R".to_vec()]),
            "damaged|empty",
        ),
        (
            "a long chain of pages",
            "a",
            pdf(&chain),
            "damaged|empty|crashed",
        ),
        ("a table before itself", "a", loops, "text"),
        (
            "a form in itself",
            "a",
            page(
                "/XObject << /X 4 0 R >>",
                b"/X Do BT /F 9 Tf (a) Tj ET",
                &[own],
            ),
            "text",
        ),
    ])
    .await;
}

#[tokio::test]
async fn pdf_streams_may_claim_anything() {
    let deep = |open: &str| (open.repeat(100_000) + " BT /F 12 Tf (Text) Tj ET").into_bytes();
    let bomb = {
        let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        let blanks = vec![b' '; 1024 * 1024];
        for _ in 0..700 {
            std::io::Write::write_all(&mut deflate, &blanks).unwrap();
        }
        deflate.finish().unwrap()
    };
    let form = stream("/Type /XObject /Subtype /Form /Filter /FlateDecode", &bomb);
    let map = |content: &str| stream("", format!("begincmap\n{content}\nendcmap").as_bytes());
    let ranges: String = (0..20_000)
        .map(|_| "<00000000> <ffffffff> <0000>\n")
        .collect();
    let wide = map(&format!(
        "1 begincodespacerange\n<00000000> <ffffffff>\nendcodespacerange\n20000 beginbfrange\n{ranges}endbfrange"
    ));
    let font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 5 0 R >>".to_vec();
    let lies = pdf(&[
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        b"<< /Type /Page /Contents 4 0 R >>".to_vec(),
        b"<< /Length 99999999999 >>\nstream\nBT (a) Tj ET\nendstream".to_vec(),
    ]);
    let filters = "/FlateDecode ".repeat(10_000);
    let many = stream(
        &format!("/Type /XObject /Subtype /Form /Filter [{filters}]"),
        b"x",
    );
    let predictor = stream(
        "/Type /XObject /Subtype /Form /Filter /LZWDecode /DecodeParms << /Predictor 15 /Columns 2147483647 /Colors 255 /BitsPerComponent 255 >>",
        &noise(9, 1000),
    );
    let object = |form| {
        page(
            "/XObject << /X 4 0 R >>",
            b"/X Do BT /F 12 Tf (A few words of text here) Tj ET",
            &[form],
        )
    };
    assert_codes([
        ("deep arrays", "a", page("", &deep("["), &[]), "text|empty|needs_ocr|crashed"),
        ("deep dictionaries", "a", page("", &deep("<< /a "), &[]), "text|empty|needs_ocr|crashed"),
        ("many states", "a", page("", &deep("q "), &[]), "text"),
        ("many operands", "a", page("", &deep("1 "), &[]), "text|empty|needs_ocr"),
        ("marks without end", "a", page("", &deep("/A << /ActualText (b) >> BDC "), &[]), "text|empty|needs_ocr"),
        ("a bomb", "a", object(form), "text|out_of_memory|crashed"),
        ("many filters", "a", object(many), "text"),
        ("a wide predictor", "a", object(predictor), "text|out_of_memory|crashed"),
        ("a wide map of characters", "a", page("/Font << /G 4 0 R >>", b"BT /G 12 Tf (A few words of text here) Tj ET", &[font, wide]), "text|out_of_memory|too_slow"),
        ("a length that is wrong", "a", lies, "text|empty|damaged"),
        ("numbers beyond all", "a", page("", b"BT /F 1e308 Tf 1e308 0 0 1e308 1e308 1e308 Tm 1e308 Tc (Text) Tj 99999999999999999999 TL T* (more) Tj ET", &[]), "text|empty|needs_ocr"),
        ("a size of nothing", "a", page("", b"BT /F 0 Tf (Text) Tj /F 12 Tf 0 0 0 0 0 0 Tm (more) Tj ET", &[]), "text|empty|needs_ocr"),
    ])
    .await;
}

#[tokio::test]
async fn what_was_cut_off_is_refused_or_read_as_far_as_it_goes() {
    for name in READABLE {
        let whole = fixture(name);
        for part in 1..16 {
            let cut = whole[..whole.len() * part / 16].to_vec();
            let code = code(cut, name).await;
            assert!(
                [
                    "text",
                    "empty",
                    "damaged",
                    "needs_ocr",
                    "unsupported",
                    "encrypted"
                ]
                .contains(&code),
                "{name} {part}/16: {code}"
            );
        }
    }
}

#[tokio::test]
async fn what_was_changed_on_the_way_is_refused_or_read() {
    for name in READABLE {
        let whole = fixture(name);
        for seed in 0..8 {
            let mut changed = whole.clone();
            for place in noise(seed, 64).chunks_exact(4) {
                let at = u32::from_le_bytes([place[0], place[1], place[2], 0]);
                let at = usize::try_from(at).unwrap() % changed.len();
                changed[at] = place[3];
            }
            let code = code(changed, name).await;
            assert!(
                !["too_slow", "broken_protocol"].contains(&code),
                "{name} {seed}: {code}"
            );
        }
    }
}

#[tokio::test]
async fn only_beginning_like_a_document_is_not_enough() {
    for (beginning, expected) in [
        (&b"%PDF-1.7\n"[..], "damaged|crashed"),
        (b"PK\x03\x04", "damaged"),
        (b"PK\x05\x06", "damaged|unsupported"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "unsupported"),
        (b"<!DOCTYPE html>", "text|unsupported"),
        (b"{\"a\":", "text|unsupported"),
        (b"\xff\xfe", "text|unsupported"),
        (b"\x89PNG\r\n\x1a\n", "needs_ocr"),
    ] {
        for seed in 0..4 {
            let bytes = [beginning, &noise(seed, 20_000)].concat();
            let code = code(bytes, "a.docx").await;
            assert!(
                expected.split('|').any(|expected| expected == code),
                "{beginning:?} {seed}: {code}"
            );
        }
    }
}
