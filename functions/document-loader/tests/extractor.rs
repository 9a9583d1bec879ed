//! The process that reads a document: what it may do, and what becomes of it.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]
#[path = "support/document.rs"]
mod support;

use std::fs;
use std::io::{Cursor, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::task::{Context, Poll};
use std::time::Duration;

use document_loader::extract::refusal::Size;
use document_loader::extract::{ExtractError, Extractor, Format, Hint, Limits, Refusal, Text};
use support::{
    READABLE, extract, extract_file, extractor, fixture, noise, page, read, tight, zip_with,
};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWriteExt as _, ReadBuf};

#[tokio::test]
async fn a_process_reads_what_this_one_would() {
    for name in READABLE {
        let here = read(fixture(name), name).unwrap();
        let there = extract(Limits::default(), fixture(name), name).await;
        assert_eq!(there.unwrap(), here, "{name}");
        let of_file = extract_file(Limits::default(), &fixture(name), name).await;
        assert_eq!(of_file.unwrap(), here, "{name}");
    }
    for (bytes, key) in [
        (fixture("encrypted.pdf"), "a"),
        (fixture("scanned.pdf"), "a"),
        (fixture("noise.png"), "a"),
        (Vec::new(), "a"),
        (Vec::new(), "folder/"),
        (vec![0; 100], "a"),
    ] {
        let here = read(bytes.clone(), key).unwrap_err();
        let of_file = extract_file(Limits::default(), &bytes, key).await;
        assert_eq!(of_file.unwrap_err(), here);
        let there = extract(Limits::default(), bytes, key).await;
        assert_eq!(there.unwrap_err(), here);
    }
}

#[tokio::test]
async fn many_documents_are_read_at_once() {
    let extractor = extractor(Limits::default());
    let hint = Hint::of_key("a.txt");
    let documents: Vec<String> = (0..16)
        .map(|number| format!("text {number}\n").repeat(20_000))
        .collect();
    let mut tasks = tokio::task::JoinSet::new();
    for document in documents.clone() {
        let (extractor, hint) = (extractor.clone(), hint.clone());
        tasks.spawn(async move {
            extractor
                .extract(Cursor::new(document), &hint)
                .await
                .unwrap()
                .text
        });
    }
    let mut texts = tasks.join_all().await;
    texts.sort_unstable();
    let mut expected = documents;
    expected.sort_unstable();
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn a_document_may_arrive_in_pieces() {
    let (mut source, document) = tokio::io::duplex(7);
    let text = "Stück für Stück\n".repeat(100);
    let sent = text.clone();
    let sending = tokio::spawn(async move { source.write_all(sent.as_bytes()).await });
    let read = extractor(tight())
        .extract(document, &Hint::of_key("a.txt"))
        .await;
    assert_eq!(read.unwrap().text, text);
    sending.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_document_that_breaks_off_is_not_taken_for_the_whole() {
    struct Broken(Cursor<Vec<u8>>);
    impl AsyncRead for Broken {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            let before = buffer.filled().len();
            let read = Pin::new(&mut self.0).poll_read(context, buffer);
            if buffer.filled().len() == before {
                return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
            }
            read
        }
    }
    let document = Broken(Cursor::new("text\n".repeat(100_000).into_bytes()));
    let error = extractor(tight())
        .extract(document, &Hint::of_key("a.txt"))
        .await;
    match error.unwrap_err() {
        ExtractError::Document(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_document_greater_than_allowed_is_refused_before_it_has_arrived() {
    let limits = Limits {
        document: 100_000,
        ..tight()
    };
    let endless = tokio::io::repeat(b'a');
    let error = extractor(limits)
        .extract(endless, &Hint::of_key("a.txt"))
        .await;
    assert_eq!(
        refusal(error),
        Refusal::TooLarge {
            size: Size::Document,
            limit: 100_000
        }
    );
    assert!(extract(limits, vec![b'a'; 100_000], "a.txt").await.is_ok());
    assert!(extract(limits, vec![b'a'; 100_001], "a.txt").await.is_err());
}

#[tokio::test]
async fn a_file_greater_than_allowed_is_refused() {
    let limits = Limits {
        document: 100_000,
        ..tight()
    };
    assert!(
        extract_file(limits, &vec![b'a'; 100_000], "a.txt")
            .await
            .is_ok()
    );
    let size = Size::Document;
    assert_eq!(
        extract_file(limits, &vec![b'a'; 100_001], "a.txt").await,
        Err(Refusal::TooLarge {
            size,
            limit: 100_000
        })
    );
}

#[tokio::test]
async fn a_text_that_begins_like_an_archive_is_read_as_a_file_too() {
    let text = format!("PK\u{3}\u{4}{}", " is how archives begin\n".repeat(10_000));
    let here = read(text.clone(), "a.txt");
    let of_file = extract_file(tight(), text.as_bytes(), "a.txt").await;
    assert_eq!(of_file.clone(), here);
    assert_eq!(of_file.unwrap().format, Format::Plain);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_pictures_of_a_document_are_not_brought_into_memory() {
    const MIB: u64 = 1024 * 1024;
    let picture = noise(1, 1024 * 1024).repeat(40);
    let document = zip_with(&[("word/media/image1.png", &picture)]);
    // With the pages of the file, which count as well, there is no room for it a second time.
    let limits = Limits {
        memory: 40 * MIB + 48 * MIB,
        document: 64 * MIB,
        ..tight()
    };
    let read = extract_file(limits, &document, "a.docx").await.unwrap();
    assert_eq!(read.text.trim(), "A capybara");
    let refusal = extract(limits, document, "a.docx").await.unwrap_err();
    assert_eq!(refusal, Refusal::OutOfMemory);
}

#[tokio::test]
async fn a_process_with_a_file_that_never_answers_is_ended() {
    let program = Program::new("sleep 1000");
    let limits = Limits {
        wall: Duration::from_millis(200),
        ..tight()
    };
    let file = tempfile::tempfile().unwrap();
    let read = program
        .extractor(limits)
        .extract_file(file, &Hint::default())
        .await;
    assert_eq!(refusal(read), Refusal::TooSlow);
}

#[tokio::test]
async fn a_film_is_refused_by_its_beginning() {
    // There is no end of it.
    let beginning = Cursor::new(b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2".to_vec());
    let film = tokio::io::AsyncReadExt::chain(beginning, tokio::io::repeat(0));
    let error = extractor(Limits::default())
        .extract(film, &Hint::of_key("a.txt"))
        .await;
    let detected = "application/mp4".to_owned();
    assert_eq!(refusal(error), Refusal::Unsupported { detected });
}

#[tokio::test]
async fn a_text_longer_than_allowed_is_refused() {
    let limits = Limits {
        text: 300,
        ..tight()
    };
    for name in ["report.docx", "report.pdf"] {
        let refusal = extract(limits, fixture(name), name).await.unwrap_err();
        let size = Size::Text;
        assert_eq!(refusal, Refusal::TooLarge { size, limit: 300 }, "{name}");
    }
    let limits = Limits {
        marks: 2,
        ..tight()
    };
    let refusal = extract(limits, fixture("report.docx"), "a")
        .await
        .unwrap_err();
    let size = Size::Marks;
    assert_eq!(refusal, Refusal::TooLarge { size, limit: 2 });
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_takes_too_much_memory_is_refused() {
    let limits = Limits {
        memory: 48 * 1024 * 1024,
        ..Limits::default()
    };
    for (document, key) in [
        // There is no room for it, or none for its headings.
        ("a".repeat(60_000_000), "a.txt"),
        ("#\n".repeat(2_000_000), "a.md"),
    ] {
        let refusal = extract(limits, document, key).await.unwrap_err();
        assert_eq!(refusal, Refusal::OutOfMemory);
    }
    // Nothing else suffers.
    assert_eq!(extract(limits, "text", "a.txt").await.unwrap().text, "text");
}

#[tokio::test]
async fn what_computes_too_long_is_refused() {
    let limits = Limits {
        cpu_seconds: 1,
        ..tight()
    };
    let refusal = extract(limits, endless_pdf(), "a.pdf").await.unwrap_err();
    assert_eq!(refusal, Refusal::TooSlow);
}

#[tokio::test]
async fn what_takes_too_long_is_refused() {
    let limits = Limits {
        wall: Duration::from_millis(200),
        ..tight()
    };
    let refusal = extract(limits, endless_pdf(), "a.pdf").await.unwrap_err();
    assert_eq!(refusal, Refusal::TooSlow);
}

#[tokio::test]
async fn a_program_that_is_not_there_is_no_fault_of_the_document() {
    let extractor = Extractor::new("/nowhere/document-loader", tight());
    let error = extractor
        .extract(Cursor::new("text"), &Hint::default())
        .await;
    assert!(matches!(error, Err(ExtractError::Process(_))), "{error:?}");
}

#[tokio::test]
async fn whatever_a_process_does_is_classified() {
    let answer = r#"{"text":{"format":"plain","length":4,"marks":[]}}"#;
    for (script, code, message) in [
        ("kill -SEGV $$", "crashed", "SIGSEGV"),
        ("kill -ABRT $$", "crashed", "SIGABRT"),
        (
            "echo 'memory allocation of 99 bytes failed' >&2; kill -ABRT $$",
            "out_of_memory",
            "memory",
        ),
        (
            "echo \"thread 'main' has overflowed its stack\" >&2; kill -ABRT $$",
            "crashed",
            "stack overflow",
        ),
        ("kill -KILL $$", "out_of_memory", "memory"),
        ("kill -XCPU $$", "too_slow", "long"),
        ("exit 0", "broken_protocol", "ends early"),
        ("exit 3", "broken_protocol", "exit code is 3"),
        ("echo nonsense", "broken_protocol", "JSON"),
        ("echo '{\"text\":{}}'", "broken_protocol", "JSON"),
        (
            "printf '{\"refused\":{\"code\":\"empty\"}}'",
            "broken_protocol",
            "ends early",
        ),
        (
            "echo '{\"refused\":{\"code\":\"empty\"}}'",
            "empty",
            "empty",
        ),
        (
            "echo '{\"refused\":{\"code\":\"empty\"}}'; exit 1",
            "broken_protocol",
            "exit code",
        ),
        (
            "echo '{\"refused\":{\"code\":\"empty\"}}'; echo more",
            "broken_protocol",
            "longer",
        ),
        ("yes", "broken_protocol", "JSON"),
        ("cat /dev/zero", "broken_protocol", "longer"),
        ("echo 'ANSWER'; printf abc", "broken_protocol", "ends early"),
        ("echo 'ANSWER'; printf abcde", "broken_protocol", "longer"),
        ("echo 'ANSWER'; cat /dev/zero", "broken_protocol", "longer"),
        (
            "echo 'ANSWER'; printf 'abc\\377'",
            "broken_protocol",
            "UTF-8",
        ),
        ("echo 'ANSWER'; printf 'abc\\000'", "broken_protocol", "NUL"),
        (
            "echo 'ANSWER'; printf abcd; exit 1",
            "broken_protocol",
            "exit code",
        ),
        (
            "echo '{\"text\":{\"format\":\"plain\",\"length\":99999999999,\"marks\":[]}}'",
            "broken_protocol",
            "longer",
        ),
    ] {
        let program = Program::new(&script.replace("ANSWER", answer));
        let refusal = program.refusal(tight()).await;
        let told = refusal.to_string();
        assert_eq!(refusal.code(), code, "{script}: {told}");
        assert!(told.contains(message), "{script}: {told}");
    }
    let program = Program::new(&format!("cat >/dev/null; echo '{answer}'; printf text"));
    let text = program
        .extractor(tight())
        .extract(Cursor::new("a"), &Hint::default())
        .await;
    let expected = Text {
        format: Format::Plain,
        text: "text".to_owned(),
        marks: Vec::new(),
    };
    assert_eq!(text.unwrap(), expected);
}

#[tokio::test]
async fn a_long_reason_is_told_in_few_words() {
    let reason = "x\\u001b[31m".repeat(1000);
    let program = Program::new(&format!(
        r#"echo '{{"refused":{{"code":"damaged","reason":"{reason}"}}}}'"#
    ));
    let told = program.refusal(tight()).await.to_string();
    assert!(
        told.len() < 300 && !told.contains(char::is_control),
        "{told}"
    );
}

#[tokio::test]
async fn complaints_without_end_block_nothing() {
    let program =
        Program::new("head -c 10000000 /dev/zero >&2; echo '{\"refused\":{\"code\":\"empty\"}}'");
    assert_eq!(program.refusal(tight()).await, Refusal::Empty);
}

#[tokio::test]
async fn what_a_process_has_started_ends_with_it() {
    let folder = TempDir::new().unwrap();
    let note = folder.path().join("pid");
    let script = format!(
        "sleep 1000 & echo $! > {}.new; mv {0}.new {0}; wait",
        note.display()
    );
    let program = Program::new(&script);
    let limits = Limits {
        wall: Duration::from_millis(500),
        ..tight()
    };
    assert_eq!(program.refusal(limits).await, Refusal::TooSlow);
    // The time may have been over before it was started.
    if let Ok(pid) = fs::read_to_string(note) {
        ends(pid.trim()).await;
    }
}

#[tokio::test]
async fn nobody_waiting_ends_the_process() {
    let folder = TempDir::new().unwrap();
    let note = folder.path().join("pid");
    let script = format!(
        "echo $$ > {}.new; mv {0}.new {0}; sleep 1000",
        note.display()
    );
    let program = Program::new(&script);
    let extractor = program.extractor(tight());
    let task = tokio::spawn(async move {
        extractor
            .extract(tokio::io::empty(), &Hint::default())
            .await
    });
    let pid = written(&note).await;
    task.abort();
    ends(pid.trim()).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_process_has_nothing_but_its_document() {
    let (source, document) = tokio::io::duplex(64);
    let extractor = extractor(tight());
    let hint = Hint::of_key("a.reading");
    let task = tokio::spawn(async move { extractor.extract(document, &hint).await });
    let process = child_with("reading").await;
    let file = |name: &str| process.join(name);
    assert_eq!(fs::read(file("environ")).unwrap(), b"");
    assert_eq!(fs::read_link(file("cwd")).unwrap(), Path::new("/"));
    let limits = until(|| {
        let limits = fs::read_to_string(file("limits")).unwrap();
        limits
            .contains("Max open files            0 ")
            .then_some(limits)
    })
    .await;
    for (name, value) in [
        ("Max cpu time", "60"),
        ("Max file size", "0"),
        ("Max core file size", "0"),
        ("Max open files", "0"),
        ("Max address space", "536870912"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let found = line.trim_start_matches(name).split_whitespace().next();
        assert_eq!(found, Some(value), "{line}");
    }
    assert_eq!(open_files(&process), ["0", "1", "2"]);
    drop(source);
    assert_eq!(refusal(task.await.unwrap()), Refusal::Empty);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn files_that_others_left_open_are_closed() {
    let (mut child, process) = started_by_shell("exec 5</etc/passwd 9</etc/passwd; exec");
    until(|| (open_files(&process) == ["0", "1", "2"]).then_some(())).await;
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_process_ends_with_the_one_that_started_it() {
    let (mut shell, process) = started_by_shell("");
    // The shell is not replaced, so the reading process is its child.
    let reading = until(|| {
        let pid = process.file_name().unwrap().to_str().unwrap();
        let path = process.join("task").join(pid).join("children");
        let children = fs::read_to_string(path).unwrap();
        let child = children.split_whitespace().next()?.to_owned();
        let is_ready = open_files(&Path::new("/proc").join(&child)) == ["0", "1", "2"];
        is_ready.then_some(child)
    })
    .await;
    shell.kill().unwrap();
    shell.wait().unwrap();
    ends(&reading).await;
}

#[tokio::test]
async fn without_the_one_that_asked_nothing_is_read() {
    let request = request("1");
    let status = Command::new(env!("CARGO_BIN_EXE_document-loader"))
        .args(["extract", &request])
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(3));
}

#[test]
fn other_commands_are_not_there() {
    for arguments in [&["extract"][..], &["extract", "{}"], &["load"], &[]] {
        let output = Command::new(env!("CARGO_BIN_EXE_document-loader"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
}

/// A PDF whose forms draw each other a few times, level by level: a number of times that no computer ends.
fn endless_pdf() -> Vec<u8> {
    let forms: Vec<Vec<u8>> = (0..14)
        .map(|level| {
            let next = level + 5;
            let entries = format!(
                "/Type /XObject /Subtype /Form /Resources << /XObject << /N {next} 0 R >> >>"
            );
            support::stream(&entries, &b"/N Do ".repeat(20))
        })
        .collect();
    page("/XObject << /N 4 0 R >>", b"/N Do", &forms)
}

fn refusal(result: Result<Text, ExtractError>) -> Refusal {
    match result {
        Err(ExtractError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

/// A shell script in place of the program.
struct Program {
    _folder: TempDir,
    path: PathBuf,
}

impl Program {
    fn new(script: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("program");
        // Written by another process: a file that a thread of this one has open for writing cannot be executed.
        let mut shell = Command::new("/bin/sh")
            .args(["-c", "cat > \"$0\""])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = shell.stdin.take().unwrap();
        write!(input, "#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n").unwrap();
        drop(input);
        assert!(shell.wait().unwrap().success());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            _folder: folder,
            path,
        }
    }

    fn extractor(&self, limits: Limits) -> Extractor {
        Extractor::new(&self.path, limits)
    }

    async fn refusal(&self, limits: Limits) -> Refusal {
        let document = Cursor::new("text\n".repeat(50_000));
        refusal(
            self.extractor(limits)
                .extract(document, &Hint::default())
                .await,
        )
    }
}

/// What the process is asked, by a parent of this number, which may be a variable of the shell.
fn request(parent: &str) -> String {
    let limits = serde_json::to_string(&tight()).unwrap();
    let hint = serde_json::to_string(&Hint::default()).unwrap();
    format!(r#"{{"hint":{hint},"limits":{limits},"parent":{parent}}}"#)
}

/// Starts the program from a shell, whose own input it gets; and the folder of the shell's process.
fn started_by_shell(prefix: &str) -> (std::process::Child, PathBuf) {
    let parent = if prefix.is_empty() { "$$" } else { "$PPID" };
    let request = request(parent).replace('"', "\\\"");
    let program = env!("CARGO_BIN_EXE_document-loader");
    // Without the last command, the shell would be replaced by the program.
    let script = format!("{prefix} {program} extract \"{request}\"; exit $?");
    let shell = Command::new("/bin/sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let process = Path::new("/proc").join(shell.id().to_string());
    (shell, process)
}

fn open_files(process: &Path) -> Vec<String> {
    let mut files: Vec<String> = fs::read_dir(process.join("fd"))
        .map(|files| {
            files
                .filter_map(|file| file.ok()?.file_name().into_string().ok())
                .collect()
        })
        .unwrap_or_default();
    files.sort_unstable();
    files
}

/// The folder of a process that this one started, and that was told this word.
async fn child_with(word: &str) -> PathBuf {
    let own = std::process::id();
    until(|| {
        fs::read_dir("/proc").unwrap().find_map(|process| {
            let path = process.ok()?.path();
            let status = fs::read_to_string(path.join("status")).ok()?;
            let arguments = fs::read_to_string(path.join("cmdline")).ok()?;
            let is_it = status.contains(&format!("PPid:\t{own}\n")) && arguments.contains(word);
            is_it.then_some(path)
        })
    })
    .await
}

/// Waits until a process is no more, or only waits for its parent to notice.
async fn ends(pid: &str) {
    let status = Path::new("/proc").join(pid).join("status");
    until(|| {
        let status = fs::read_to_string(&status).unwrap_or_default();
        (status.is_empty() || status.contains("State:\tZ")).then_some(())
    })
    .await;
}

async fn written(path: &Path) -> String {
    until(|| fs::read_to_string(path).ok()).await
}

/// Asks again until there is an answer. The test's own time-out is the limit.
async fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
