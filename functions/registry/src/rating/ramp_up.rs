//! How soon one can work with a model.

use serde_json::json;

use super::readme::Readme;
use super::{Explained, Relations, card, one, real};
use crate::artifact::Kind;
use crate::evidence::Evidence;

/// A README of this many characters is long enough.
const LONG: u64 = 3000;

const RULE: &str = "0.2 for a README of 3000 characters or that share of it, 0.15 for a section on use or installation, \
    0.2 for code to copy, 0.1 for a description of inputs, training or limits, 0.1 for links, 0.2 for a stated task or \
    library, 0.05 for example scripts or notebooks among the files";

pub(super) fn score(evidence: &Evidence, _relations: &Relations) -> Explained {
    let readme = Readme::new(evidence.readme(Kind::Model));
    let card = card(evidence);
    let length = readme.length();
    let use_section = readme.has_section(&[
        "use",
        "usage",
        "example",
        "install",
        "getting started",
        "quick",
        "inference",
    ]);
    let code = !readme.blocks().is_empty();
    let description = readme.has_section(&[
        "train",
        "limitation",
        "input",
        "data",
        "description",
        "evaluat",
    ]);
    let links = readme.mentions(&["http://", "https://"]);
    let task = card.is_some_and(|card| card.pipeline_tag.is_some() || card.library_name.is_some());
    let examples = card.is_some_and(|card| {
        card.files.iter().any(|file| {
            let path = file.path.to_lowercase();
            std::path::Path::new(&path)
                .extension()
                .is_some_and(|end| end == "ipynb")
                || path.contains("example")
        })
    });
    let score = 0.2 * (real(length.min(LONG)) / real(LONG))
        + 0.15 * one(use_section)
        + 0.2 * one(code)
        + 0.1 * one(description)
        + 0.1 * one(links)
        + 0.2 * one(task)
        + 0.05 * one(examples);
    Explained::new(
        score,
        RULE,
        [
            ("readme_characters", json!(length)),
            ("section_on_use", json!(use_section)),
            ("code", json!(code)),
            ("description", json!(description)),
            ("links", json!(links)),
            ("task_or_library", json!(task)),
            ("examples", json!(examples)),
        ],
    )
}
