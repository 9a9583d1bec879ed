//! wip
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
pub mod text;
pub use extractor::{Extractor, ExtractError};
