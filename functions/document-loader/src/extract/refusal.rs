//! Why a document has no text for us.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why nothing was extracted from a document. Each of these is about the content: trying again with the same bytes and
/// the same limits ends the same way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Refusal {
    /// There are no bytes, or no text in them.
    #[error("the document is empty")]
    Empty,
    /// The object only stands for a folder: its key ends with a slash, and it is empty.
    #[error("the object is a folder, not a document")]
    FolderMarker,
    /// Nothing here reads this type.
    #[error("documents of the type {detected} are not supported")]
    Unsupported {
        /// The media type that the content has.
        detected: String,
    },
    /// The text is in pictures: an image, or a PDF of scanned or drawn pages.
    #[error(
        "the text of this document ({detected}) can only be had by optical character recognition"
    )]
    NeedsOcr {
        /// The media type that the content has.
        detected: String,
    },
    /// Only who has the password or the right can read it.
    #[error("the document is encrypted")]
    Encrypted,
    /// The content is not what it begins as.
    #[error("the document is damaged: {reason}")]
    Damaged {
        /// What could not be read.
        reason: String,
    },
    /// Something about it is greater than allowed.
    #[error("the {size} of the document is greater than {limit}")]
    TooLarge {
        /// What is too large.
        size: Size,
        /// How large it may be.
        limit: u64,
    },
    /// Reading it crashed the process that tried.
    #[error("reading the document crashed: {reason}")]
    Crashed {
        /// The signal or the panic.
        reason: String,
    },
    /// Reading it takes more memory than allowed.
    #[error("reading the document takes too much memory")]
    OutOfMemory,
    /// Reading it takes more time than allowed.
    #[error("reading the document takes too long")]
    TooSlow,
    /// The process that read it did not answer as agreed.
    #[error("the process that read the document gave no valid answer: {reason}")]
    BrokenProtocol {
        /// What was wrong with the answer.
        reason: String,
    },
}

impl Refusal {
    /// One word for tables and metrics, which will not change: `empty`, `folder_marker`, `unsupported`, `needs_ocr`,
    /// `encrypted`, `damaged`, `too_large`, `crashed`, `out_of_memory`, `too_slow`, `broken_protocol`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::FolderMarker => "folder_marker",
            Self::Unsupported { .. } => "unsupported",
            Self::NeedsOcr { .. } => "needs_ocr",
            Self::Encrypted => "encrypted",
            Self::Damaged { .. } => "damaged",
            Self::TooLarge { .. } => "too_large",
            Self::Crashed { .. } => "crashed",
            Self::OutOfMemory => "out_of_memory",
            Self::TooSlow => "too_slow",
            Self::BrokenProtocol { .. } => "broken_protocol",
        }
    }

    /// The same in few words. Those of a process that may have been taken over are not to fill logs and tables.
    pub(crate) fn shortened(self) -> Self {
        match self {
            Self::Unsupported { detected } => Self::Unsupported {
                detected: shortened(&detected),
            },
            Self::NeedsOcr { detected } => Self::NeedsOcr {
                detected: shortened(&detected),
            },
            Self::Damaged { reason } => Self::Damaged {
                reason: shortened(&reason),
            },
            Self::Crashed { reason } => Self::Crashed {
                reason: shortened(&reason),
            },
            Self::BrokenProtocol { reason } => Self::BrokenProtocol {
                reason: shortened(&reason),
            },
            refusal => refusal,
        }
    }

    /// Damage, with an error or a sentence that says what could not be read. Only its beginning is kept.
    pub(crate) fn damaged(reason: impl fmt::Display) -> Self {
        Self::Damaged {
            reason: shortened(&reason.to_string()),
        }
    }

    /// What an error says that came up while reading bytes which are in memory already, or come from a pipe.
    pub(crate) fn unreadable(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::OutOfMemory => Self::OutOfMemory,
            _ => Self::damaged(error),
        }
    }

    pub(crate) fn unsupported(detected: impl Into<String>) -> Self {
        Self::Unsupported {
            detected: detected.into(),
        }
    }

    pub(crate) fn too_large(size: Size, limit: u64) -> Self {
        Self::TooLarge { size, limit }
    }
}

/// The beginning of a message that may repeat what a document contains, without control characters.
pub(crate) fn shortened(message: &str) -> String {
    let printable = message.chars().filter(|character| !character.is_control());
    printable.take(200).collect()
}

/// What can be too large about a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// The document itself, in bytes.
    Document,
    /// Its parts, uncompressed, in bytes together.
    Uncompressed,
    /// The number of files inside it.
    Parts,
    /// Its text, in bytes.
    Text,
    /// The number of places noted in its text, such as pages and headings.
    Marks,
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Document => "size in bytes",
            Self::Uncompressed => "uncompressed size in bytes",
            Self::Parts => "number of parts",
            Self::Text => "size in bytes of the text",
            Self::Marks => "number of pages and headings",
        })
    }
}
