//! How much a document may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How much one document may take. What takes more is refused, and nothing else suffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The document, in bytes.
    pub document: u64,
    /// The parts of an archive, uncompressed, in bytes together.
    pub uncompressed: u64,
    /// The number of files in an archive.
    pub parts: u64,
    /// The text, in bytes of UTF-8.
    pub text: u64,
    /// The number of pages and headings that are noted.
    pub marks: u64,
    /// The address space of the process that reads, in bytes. The document is part of it, and the executable. Only
    /// Linux keeps this limit.
    pub memory: u64,
    /// What the process may compute, in seconds of one CPU.
    pub cpu_seconds: u64,
    /// How long the answer may take once the whole document was handed over.
    pub wall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            document: 64 * MIB,
            uncompressed: 512 * MIB,
            parts: 10_000,
            text: 32 * MIB,
            marks: 100_000,
            memory: 1024 * MIB,
            cpu_seconds: 60,
            wall: Duration::from_mins(2),
        }
    }
}
