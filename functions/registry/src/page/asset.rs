//! What pages load, under names that change with the content, so that browsers may keep it for good.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// The folder of all assets, below the first page.
const FOLDER: &str = "page";

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let content = include_str!("style.css");
    Asset::new("style", "css", "text/css; charset=utf-8", content)
});
static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("icon.svg")));

/// A file that pages load.
#[derive(Debug)]
pub(crate) struct Asset {
    /// From the first page, without a slash before it.
    pub(crate) path: String,
    /// What it is, for browsers.
    pub(crate) content_type: &'static str,
    /// All of it.
    pub(crate) content: &'static str,
    /// What identifies the content.
    pub(crate) tag: String,
}

impl Asset {
    fn new(name: &str, end: &str, content_type: &'static str, content: &'static str) -> Self {
        let mut tag = hex::encode(Sha256::digest(content));
        tag.truncate(16);
        Self {
            path: format!("{FOLDER}/{name}-{tag}.{end}"),
            content_type,
            content,
            tag,
        }
    }
}

/// All there are.
pub(crate) fn assets() -> [&'static Asset; 2] {
    [style(), icon()]
}

/// The one stylesheet.
pub(super) fn style() -> &'static Asset {
    &STYLE
}

/// What browsers show beside the title.
pub(super) fn icon() -> &'static Asset {
    &ICON
}
