//! Starts document-loader. Until it has a queue to load from, it only reads documents for others.
use std::process::ExitCode;

fn main() -> Result<ExitCode, &'static str> {
    match document_loader::child::run(std::env::args_os().skip(1)) {
        Some(code) => Ok(code),
        None => Err("loading documents from S3 is not there yet; the only command is extract"),
    }
}
