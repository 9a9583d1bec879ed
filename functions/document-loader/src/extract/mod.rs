//! From the bytes of a document to its text.
//!
//! In reading order:
//!
//! - [`mod@format`]: what a document is, by its content and its name
//! - [`document`]: from bytes to a [`Text`]; `reader` has one module per format, which write `block`s by a `writer`
//!   within [`Limits`], or say by a [`Refusal`] why there is no text. `archive`, `package` and `xml` are what several
//!   formats are made of, [`encoding`] is for those that are text
//! - [`Extractor`]: has that done by a process of its own, [`child`], because a document may be made to crash or to
//!   exhaust who reads it; `protocol` is what the two tell each other

mod archive;
mod block;
mod extractor;
mod input;
mod limits;
mod package;
mod protocol;
mod reader;
mod reply;
mod text;
mod writer;
mod xml;

pub mod child;
pub mod document;
pub mod encoding;
pub mod format;
pub mod refusal;

pub use extractor::{ExtractError, Extractor};
pub use format::{Format, Hint};
pub use limits::Limits;
pub use refusal::Refusal;
pub use text::{Mark, Place, Text};

/// How many characters (Unicode scalar values) a text has.
pub(crate) use writer::characters;
