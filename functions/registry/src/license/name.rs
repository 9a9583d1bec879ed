//! From what people write to SPDX expressions.

use spdx::{Expression, ParseMode, identifiers::LICENSES};

use super::Precision;

/// The longest statement that is looked at, in bytes; licences' names are shorter.
const MAX_BYTES: usize = 500;

/// Names in the form [`folded`] gives them, for what is no SPDX identifier in another case.
const NAMES: &[(&str, &str)] = &[
    ("apache 2", "Apache-2.0"),
    ("apache 2.0", "Apache-2.0"),
    ("apache software 2.0", "Apache-2.0"),
    ("asl 2.0", "Apache-2.0"),
    ("mit", "MIT"),
    ("expat", "MIT"),
    ("bsd 2", "BSD-2-Clause"),
    ("bsd 2 clause", "BSD-2-Clause"),
    ("simplified bsd", "BSD-2-Clause"),
    ("bsd 3", "BSD-3-Clause"),
    ("bsd 3 clause", "BSD-3-Clause"),
    ("modified bsd", "BSD-3-Clause"),
    ("new bsd", "BSD-3-Clause"),
    ("gnu general public 2.0", "GPL-2.0-only"),
    ("gnu general public 2", "GPL-2.0-only"),
    ("gnu general public 3.0", "GPL-3.0-only"),
    ("gnu general public 3", "GPL-3.0-only"),
    ("gnu affero general public 3.0", "AGPL-3.0-only"),
    ("gnu affero general public 3", "AGPL-3.0-only"),
    ("gnu lesser general public 2.1", "LGPL-2.1-only"),
    ("gnu lesser general public 3.0", "LGPL-3.0-only"),
    ("gnu lesser general public 3", "LGPL-3.0-only"),
    ("gpl 2", "GPL-2.0-only"),
    ("gpl 3", "GPL-3.0-only"),
    ("gplv2", "GPL-2.0-only"),
    ("gplv3", "GPL-3.0-only"),
    ("agplv3", "AGPL-3.0-only"),
    ("lgplv3", "LGPL-3.0-only"),
    ("lgplv2.1", "LGPL-2.1-only"),
    ("mozilla public 2.0", "MPL-2.0"),
    ("eclipse public 2.0", "EPL-2.0"),
    ("eclipse public 1.0", "EPL-1.0"),
    ("boost software 1.0", "BSL-1.0"),
    ("creative commons zero 1.0 universal", "CC0-1.0"),
    (
        "creative commons attribution 4.0 international",
        "CC-BY-4.0",
    ),
    (
        "creative commons attribution share alike 4.0 international",
        "CC-BY-SA-4.0",
    ),
    ("cc0", "CC0-1.0"),
    ("public domain", "CC0-1.0"),
    ("odbl", "ODbL-1.0"),
    ("odc by", "ODC-By-1.0"),
    ("pddl", "PDDL-1.0"),
    ("c uda", "C-UDA-1.0"),
    ("gfdl", "GFDL-1.3-only"),
    ("proprietary", "LicenseRef-proprietary"),
    ("commercial", "LicenseRef-proprietary"),
    ("all rights reserved", "LicenseRef-proprietary"),
    ("h research", "LicenseRef-h-research"),
    ("intel research", "LicenseRef-intel-research"),
    ("apple ascl", "LicenseRef-apple-ascl"),
    ("apple amlr", "LicenseRef-apple-amlr"),
    ("deepfloyd if", "LicenseRef-deepfloyd-if"),
    (
        "fair noncommercial research",
        "LicenseRef-fair-noncommercial-research",
    ),
    ("openmdw 1.0", "LicenseRef-openmdw-1.0"),
];

/// Families whose members do the same here; the expression names one of them.
const FAMILIES: &[(&str, &str)] = &[
    ("apache", "Apache-2.0"),
    ("bsd", "BSD-3-Clause"),
    ("bsd style", "BSD-3-Clause"),
    ("lgpl", "LGPL-2.1-or-later"),
    ("gpl", "GPL-2.0-or-later"),
    ("agpl", "AGPL-3.0-or-later"),
    ("mpl", "MPL-2.0"),
    ("epl", "EPL-2.0"),
    ("cc by", "CC-BY-4.0"),
    ("cc by sa", "CC-BY-SA-4.0"),
    ("cc by nc", "CC-BY-NC-4.0"),
    ("cc by nd", "CC-BY-ND-4.0"),
];

/// Licences for models that come in many editions: how their names begin.
const MODEL_LICENCES: &[&str] = &["llama", "gemma", "grok", "deepseek", "falcon", "qwen"];

/// The expression that a statement means, if it is known.
pub(super) fn understand(stated: &str) -> Option<(String, Precision)> {
    let stated = stated.trim();
    if stated.is_empty() || stated.len() > MAX_BYTES {
        return None;
    }
    if let Some(expression) = expression(stated) {
        return Some((expression, Precision::Exact));
    }
    let folded = folded(stated);
    let among = |names: &[(&str, &str)]| {
        names
            .iter()
            .find_map(|(name, expression)| (*name == folded).then(|| (*expression).to_owned()))
    };
    if let Some(expression) = among(NAMES) {
        return Some((expression, Precision::Exact));
    }
    let full_name = LICENSES
        .iter()
        .find(|license| self::folded(license.full_name) == folded);
    if let Some(id) = full_name.and_then(|license| identifier(license.name)) {
        return Some((id, Precision::Exact));
    }
    if let Some(expression) = among(FAMILIES) {
        return Some((expression, Precision::Family));
    }
    let of_models = folded
        .split(' ')
        .any(|word| word == "rail" || word.starts_with("openrail"))
        || MODEL_LICENCES.iter().any(|name| folded.starts_with(name));
    let forbids_commerce = folded.contains("non commercial") || folded.contains("noncommercial");
    if forbids_commerce {
        return Some(("LicenseRef-noncommercial".to_owned(), Precision::Exact));
    }
    of_models.then(|| {
        let name: String = folded
            .chars()
            .map(|letter| {
                if letter.is_ascii_alphanumeric() || letter == '.' {
                    letter
                } else {
                    '-'
                }
            })
            .collect();
        (format!("LicenseRef-{name}"), Precision::Exact)
    })
}

/// How much a statement that is not understood still says.
pub(super) fn vagueness(stated: &str) -> Precision {
    let folded = folded(stated);
    let hints = [
        "open source",
        "opensource",
        "free software",
        "permissive",
        "free to use",
        "copyleft",
    ];
    if hints.iter().any(|hint| folded.contains(hint)) {
        Precision::Vague
    } else {
        Precision::Unknown
    }
}

/// An SPDX expression whose identifiers may be in any case; what is deprecated is written as of today.
fn expression(stated: &str) -> Option<String> {
    let spaced = stated.replace('(', " ( ").replace(')', " ) ");
    let words: Option<Vec<String>> = spaced
        .split_whitespace()
        .map(|word| match word.to_ascii_uppercase().as_str() {
            operator @ ("AND" | "OR" | "WITH" | "(" | ")") => Some(operator.to_owned()),
            _ => identifier(word),
        })
        .collect();
    let canonical = words?.join(" ").replace("( ", "(").replace(" )", ")");
    Expression::parse_mode(&canonical, ParseMode::LAX).ok()?;
    Some(canonical)
}

fn identifier(word: &str) -> Option<String> {
    if word.starts_with("LicenseRef-")
        || word.starts_with("DocumentRef-")
        || spdx::exception_id(word).is_some()
    {
        return Some(word.to_owned());
    }
    let (name, later) = match word.strip_suffix('+') {
        Some(name) => (name, true),
        None => (word, false),
    };
    let listed = LICENSES
        .iter()
        .map(|license| license.name)
        .find(|listed| listed.eq_ignore_ascii_case(name))?;
    let is_gnu = ["GPL-", "LGPL-", "AGPL-", "GFDL-"]
        .iter()
        .any(|prefix| listed.starts_with(prefix));
    let says_which =
        listed.ends_with("-only") || listed.ends_with("-or-later") || listed.contains("-with-");
    Some(match (is_gnu && !says_which, later) {
        (true, true) => format!("{}-or-later", listed.trim_end_matches('+')),
        // A bare `GPL-3.0` is deprecated for saying neither; it is what the Hub and GitHub write.
        (true, false) => match listed.strip_suffix('+') {
            Some(base) => format!("{base}-or-later"),
            None => format!("{listed}-only"),
        },
        (false, true) if !is_gnu => format!("{listed}+"),
        (false, _) => listed.to_owned(),
    })
}

/// Lower case, words parted by one space, without the words that names of licences have or have not.
fn folded(stated: &str) -> String {
    let lower: String = stated
        .chars()
        .map(|letter| match letter {
            '.' | '+' => letter,
            _ if letter.is_alphanumeric() => letter.to_ascii_lowercase(),
            _ => ' ',
        })
        .collect();
    let words: Vec<&str> = lower
        .split_whitespace()
        .filter(|word| {
            !matches!(
                *word,
                "the"
                    | "license"
                    | "licence"
                    | "licenses"
                    | "licensed"
                    | "version"
                    | "v"
                    | "under"
                    | "community"
            )
        })
        .map(|word| match word.strip_prefix('v') {
            Some(version) if version.starts_with(|first: char| first.is_ascii_digit()) => version,
            _ => word,
        })
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::license::{Class, Terms};

    #[test]
    fn names_of_the_hub_and_of_github_are_understood() {
        for (stated, expression, class) in [
            ("apache-2.0", "Apache-2.0", Class::Permissive),
            ("Apache License 2.0", "Apache-2.0", Class::Permissive),
            (
                "Apache License, Version 2.0",
                "Apache-2.0",
                Class::Permissive,
            ),
            ("MIT License", "MIT", Class::Permissive),
            ("mit", "MIT", Class::Permissive),
            (
                "BSD 3-Clause \"New\" or \"Revised\" License",
                "BSD-3-Clause",
                Class::Permissive,
            ),
            ("bsd-3-clause", "BSD-3-Clause", Class::Permissive),
            ("cc0-1.0", "CC0-1.0", Class::Permissive),
            ("cc-by-4.0", "CC-BY-4.0", Class::Permissive),
            ("cc-by-sa-4.0", "CC-BY-SA-4.0", Class::StrongCopyleft),
            ("cc-by-nc-sa-4.0", "CC-BY-NC-SA-4.0", Class::Restricted),
            ("gpl-3.0", "GPL-3.0-only", Class::StrongCopyleft),
            ("GPL-2.0+", "GPL-2.0-or-later", Class::StrongCopyleft),
            (
                "GNU General Public License v3.0",
                "GPL-3.0-only",
                Class::StrongCopyleft,
            ),
            ("agpl-3.0", "AGPL-3.0-only", Class::StrongCopyleft),
            ("lgpl-2.1", "LGPL-2.1-only", Class::WeakCopyleft),
            ("Mozilla Public License 2.0", "MPL-2.0", Class::WeakCopyleft),
            ("epl-2.0", "EPL-2.0", Class::WeakCopyleft),
            ("openrail", "LicenseRef-openrail", Class::UseRestricted),
            ("openrail++", "LicenseRef-openrail--", Class::UseRestricted),
            (
                "creativeml-openrail-m",
                "LicenseRef-creativeml-openrail-m",
                Class::UseRestricted,
            ),
            (
                "bigscience-bloom-rail-1.0",
                "LicenseRef-bigscience-bloom-rail-1.0",
                Class::UseRestricted,
            ),
            ("llama3.1", "LicenseRef-llama3.1", Class::UseRestricted),
            (
                "Llama 2 Community License",
                "LicenseRef-llama-2",
                Class::UseRestricted,
            ),
            ("gemma", "LicenseRef-gemma", Class::UseRestricted),
            ("apple-amlr", "LicenseRef-apple-amlr", Class::Restricted),
            (
                "fair-noncommercial-research-license",
                "LicenseRef-fair-noncommercial-research",
                Class::Restricted,
            ),
            ("mit or apache-2.0", "MIT OR Apache-2.0", Class::Permissive),
            (
                "(mit and gpl-3.0)",
                "(MIT AND GPL-3.0-only)",
                Class::StrongCopyleft,
            ),
        ] {
            let terms = Terms::of(stated);
            assert_eq!(
                terms.expression.as_deref().unwrap_or_default(),
                expression,
                "{stated}"
            );
            assert_eq!(terms.class(), class, "{stated}");
        }
    }

    #[test]
    fn families_and_hints_say_less() {
        assert_eq!(Terms::of("apache").precision, Precision::Family);
        assert_eq!(Terms::of("bsd").precision, Precision::Family);
        assert_eq!(
            Terms::of("some open source license").precision,
            Precision::Vague
        );
        assert_eq!(Terms::of("other").precision, Precision::Unknown);
    }
}
