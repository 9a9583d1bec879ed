//! Whether a model can be run with the code of its card.

use serde_json::json;

use super::readme::{Block, Readme};
use super::{Explained, Relations, card};
use crate::artifact::Kind;
use crate::evidence::Evidence;

/// What stands in code that its reader must complete.
const GAPS: [&str; 8] = [
    "path/to", "path_to", "your_", "<your", "todo", "\n...\n", "xxx", "/home/",
];

const RULE: &str = "by reading the code of the card, which is not run: 1 if a block imports what it uses, names this model and \
    leaves nothing to fill in; 0.5 if there is code, but it needs work; 0 without code";

pub(super) fn score(evidence: &Evidence, _relations: &Relations) -> Explained {
    let readme = Readme::new(evidence.readme(Kind::Model));
    let names: Vec<String> = card(evidence)
        .map(|card| {
            [&card.id, &card.asked]
                .map(|id| id.rsplit('/').next().unwrap_or_default().to_lowercase())
        })
        .into_iter()
        .flatten()
        .filter(|name| !name.is_empty())
        .collect();
    let programs: Vec<Block> = readme.blocks().into_iter().filter(is_program).collect();
    let complete = programs
        .iter()
        .filter(|block| is_complete(block, &names))
        .count();
    let score = match (programs.len(), complete) {
        (0, _) => 0.0,
        (_, 0) => 0.5,
        _ => 1.0,
    };
    Explained::new(
        score,
        RULE,
        [
            ("programs", json!(programs.len())),
            ("complete_programs", json!(complete)),
        ],
    )
}

fn is_program(block: &Block) -> bool {
    match block.language.as_str() {
        "python" | "py" | "python3" | "bash" | "sh" | "shell" => true,
        "" => block.text.contains("import ") || block.text.contains("from_pretrained"),
        _ => false,
    }
}

fn is_complete(block: &Block, names: &[String]) -> bool {
    let imports = block.text.contains("import ");
    let names_model = names.iter().any(|name| block.text.contains(name.as_str()));
    imports && names_model && !GAPS.iter().any(|gap| block.text.contains(gap))
}
