//! Links from a model's card to its code.

use crate::evidence::Card;

/// Projects that cards link to because they were used, not because the model is theirs.
const TOOLS: &[&str] = &[
    "axolotl-ai-cloud/axolotl",
    "openaccess-ai-collective/axolotl",
    "unslothai/unsloth",
    "hiyouga/llama-factory",
    "ggerganov/llama.cpp",
    "ggml-org/llama.cpp",
    "pytorch/pytorch",
    "tensorflow/tensorflow",
    "keras-team/keras",
    "google/jax",
    "jax-ml/jax",
    "microsoft/deepspeed",
    "vllm-project/vllm",
    "dao-ailab/flash-attention",
    "openai/gpt-2-output-dataset",
    "eleutherai/lm-evaluation-harness",
    "arcee-ai/mergekit",
    "cg123/mergekit",
    "autogptq/autogptq",
    "casper-hansen/autoawq",
];

/// The longest README that is searched for links, in bytes.
const MAX_SEARCHED: usize = 1024 * 1024;
/// How many links of a README count.
const MAX_LINKS: usize = 200;
/// Parts of GitHub's site that are no owners.
const PLACES: &[&str] = &[
    "features",
    "topics",
    "orgs",
    "sponsors",
    "about",
    "settings",
    "marketplace",
    "search",
];

/// The repositories that a text links to, as owner and name, each once, in order.
pub fn github_links(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let searched = text
        .get(..text.floor_char_boundary(MAX_SEARCHED))
        .unwrap_or(text);
    for rest in searched.split("github.com/").skip(1) {
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let mut segments = rest.split('/').map(|segment| {
            segment
                .split(|letter: char| !is_name(letter))
                .next()
                .unwrap_or_default()
        });
        let owner = segments.next().unwrap_or_default();
        let name = segments.next().unwrap_or_default().trim_end_matches('.');
        let name = name.strip_suffix(".git").unwrap_or(name);
        // Between owner and name there must be a slash: a link to a person has none.
        let is_link = rest
            .strip_prefix(owner)
            .is_some_and(|rest| rest.starts_with('/'));
        let is_known = found
            .iter()
            .any(|(o, n)| o.eq_ignore_ascii_case(owner) && n.eq_ignore_ascii_case(name));
        if is_link && !owner.is_empty() && !name.is_empty() && !PLACES.contains(&owner) && !is_known
        {
            found.push((owner.to_owned(), name.to_owned()));
        }
        if found.len() == MAX_LINKS {
            break;
        }
    }
    found
}

/// The repository that a model's card links to as its own: one that shares its owner's or its own name, else the
/// first that is not a tool of many.
pub fn github_of(card: &Card) -> Option<(String, String)> {
    let id = if card.id.is_empty() {
        &card.asked
    } else {
        &card.id
    };
    let (model_owner, model) = id.rsplit_once('/').unwrap_or(("", id));
    let (model_owner, model) = (model_owner.to_ascii_lowercase(), model.to_ascii_lowercase());
    let links = github_links(card.readme.as_deref()?);
    let is_related = |(owner, name): &&(String, String)| {
        let name = name.to_ascii_lowercase();
        owner.to_ascii_lowercase() == model_owner || (name.len() > 2 && model.contains(&name))
    };
    let is_own = |(owner, name): &&(String, String)| {
        let link = format!("{owner}/{name}").to_ascii_lowercase();
        !TOOLS.contains(&link.as_str()) && !owner.eq_ignore_ascii_case("huggingface")
    };
    links
        .iter()
        .find(is_related)
        .or_else(|| links.iter().find(is_own))
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(id: &str, readme: &str) -> Option<String> {
        let card = Card {
            id: id.to_owned(),
            readme: Some(readme.to_owned()),
            ..Card::default()
        };
        github_of(&card).map(|(owner, name)| format!("{owner}/{name}"))
    }

    #[test]
    fn a_models_own_repository_is_told_from_its_tools() {
        for (id, readme, link) in [
            (
                "google-bert/bert-base-uncased",
                "Use https://github.com/huggingface/transformers, first in [this](https://github.com/google-research/bert).",
                Some("google-research/bert"),
            ),
            (
                "openai/whisper-tiny",
                "[here](https://github.com/openai/whisper)",
                Some("openai/whisper"),
            ),
            (
                "a/b",
                "github.com/unslothai/unsloth and github.com/c/d/blob/main/x.py",
                Some("c/d"),
            ),
            ("a/b", "made with https://github.com/huggingface/peft", None),
            ("a/b", "https://github.com/somebody", None),
            ("a/b", "https://github.com/x/y.git?tab=readme", Some("x/y")),
        ] {
            assert_eq!(own(id, readme).as_deref(), link, "{readme}");
        }
    }

    #[test]
    fn a_readme_of_nothing_but_links_is_soon_read() {
        let numbers: Vec<String> = (0..100_000).map(|number: u32| number.to_string()).collect();
        let links = numbers.join(" ü github.com/a/r");
        assert_eq!(github_links(&links).len(), MAX_LINKS);
    }

    #[test]
    fn links_are_found_once_and_in_order() {
        let links = github_links(
            "github.com/a/b, https://github.com/A/B/tree/main (github.com/c/d) github.com/topics/x",
        );
        let links: Vec<String> = links
            .into_iter()
            .map(|(owner, name)| format!("{owner}/{name}"))
            .collect();
        assert_eq!(links, ["a/b", "c/d"]);
    }
}
