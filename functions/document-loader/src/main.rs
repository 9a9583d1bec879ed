//! wip
use std::process::ExitCode;
fn main() -> ExitCode {
    if let Some(code) = document_loader::child::run(std::env::args_os().skip(1)) { return code; }
    let path = std::env::args().nth(1).unwrap();
    let start = std::time::Instant::now();
    let r = document_loader::document::read(std::fs::read(&path).unwrap(), &document_loader::format::Hint::of_key(&path), &Default::default());
    let t = start.elapsed();
    match r { Ok(t) => { println!("{}", t.text); if std::env::args().nth(2).is_some() { for m in t.marks { eprintln!("{m:?}"); } } }, Err(e) => eprintln!("REFUSED {e}") }
    eprintln!("{t:?}");
    ExitCode::SUCCESS
}
