//! What was extracted: a text, and where its pages and headings begin.

use serde::{Deserialize, Serialize};

use crate::extract::format::Format;

/// The text of a document.
///
/// PDF, CSV, JSON and plain text are as they are. The text of the other formats is Markdown: headings begin with `#`,
/// items of lists with `- `, rows of tables with `|`, and blocks are separated by empty lines. It is made for searching
/// and for language models, not for rendering: nothing is escaped, emphasis and the targets of links are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// What the document was.
    pub format: Format,
    /// The text. It contains no NUL, which PostgreSQL does not take.
    pub text: String,
    /// Where pages and headings begin, in the order of their offsets.
    pub marks: Vec<Mark>,
}

/// Something begins here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// How many characters (Unicode scalar values) come before it.
    #[serde(rename = "o")]
    pub offset: u64,
    /// What begins.
    #[serde(flatten)]
    pub place: Place,
}

/// What begins at a [`Mark`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// A page of a PDF or a slide of a presentation. The first is 1.
    #[serde(rename = "p")]
    Page(u32),
    /// A section with a title: below a heading, or a sheet of a workbook.
    #[serde(rename = "h")]
    Heading {
        /// 1 is the outermost, 6 the innermost.
        #[serde(rename = "l")]
        level: u8,
        /// Its title, of [`Place::TITLE`] characters at most.
        #[serde(rename = "t")]
        title: String,
    },
}

impl Place {
    /// How many characters of a title are kept.
    pub const TITLE: usize = 200;
}
