//! One module per format: from bytes to [`Text`](crate::extract::text::Text).

pub(crate) mod docx;
pub(crate) mod epub;
pub(crate) mod html;
pub(crate) mod markdown;
pub(crate) mod pdf;
pub(crate) mod plain;
pub(crate) mod pptx;
pub(crate) mod xlsx;
