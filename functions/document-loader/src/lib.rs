//! Loads the text of documents, and makes chunks of it for searching and embedding.
//!
//! In reading order:
//!
//! - [`format`]: what a document is, by its content and its name
//! - [`document`]: from bytes to a [`text`]; `reader` has one module per format, which write `block`s by a `writer`
//!   within [`limits`], or say by a [`refusal`] why there is no text. `archive`, `package` and `xml` are what several
//!   formats are made of, [`encoding`] is for those that are text
//! - [`Extractor`]: has that done by a process of its own, [`child`], because a document may be made to crash or to
//!   exhaust who reads it; `protocol` is what the two tell each other
//! - [`splitter`]: from a text to chunks

mod archive;
mod block;
mod extractor;
mod package;
mod protocol;
mod reader;
mod writer;
mod xml;

pub mod child;
pub mod document;
pub mod encoding;
pub mod format;
pub mod limits;
pub mod refusal;
pub mod splitter;
pub mod text;

pub use extractor::{ExtractError, Extractor};
pub use format::{Format, Hint};
pub use limits::Limits;
pub use refusal::Refusal;
pub use splitter::{Chunk, Splitter};
pub use text::{Mark, Place, Text};
