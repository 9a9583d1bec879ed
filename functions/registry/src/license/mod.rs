//! Licences: what a model's or a repository's statement means, and whether two of them go together.
//!
//! - [`Terms`]: a statement understood as an SPDX expression ([`name`] and [`text`] do the understanding)
//! - [`Class`]: what a licence asks for, as far as the question needs it
//! - [`check`]: may the code of a repository and a model be used together to fine-tune the model and to
//!   generate with it? The table is in [`class`]; the [`Verdict`] cites the row.
//!
//! An expression is taken as SPDX means it: of `OR` one side may be chosen, of `AND` both hold.

pub mod class;
mod name;
mod text;

use serde::{Deserialize, Serialize};
use spdx::{Expression, ParseMode};
use utoipa::ToSchema;

pub use class::{Class, Rule};

/// What somebody says about a licence, and how it is understood.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = LicenseTerms)]
pub struct Terms {
    /// As it was written; `None` if nothing was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub stated: Option<String>,
    /// The SPDX expression, with `LicenseRef-` for licences that SPDX does not list; `None` if it was not understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expression: Option<String>,
    /// How much of it was said.
    pub precision: Precision,
}

/// How exactly a licence is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LicensePrecision)]
pub enum Precision {
    /// One licence, in one version.
    Exact,
    /// A family of which every member would do the same here, such as "apache" or "bsd".
    Family,
    /// Words that hint at a kind of licence, such as "open source".
    Vague,
    /// Nothing that is known.
    #[default]
    Unknown,
}

/// Whether a model and a repository may be used together, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LicenseVerdict)]
pub struct Verdict {
    /// The answer.
    pub compatible: bool,
    /// What the question was.
    pub usage: String,
    /// The repository's licence.
    pub repository: Terms,
    /// The model's licence.
    pub model: Terms,
    /// The rows of the table that decided.
    pub rules: Vec<Rule>,
    /// The whole in a sentence.
    pub explanation: String,
}

/// What [`check`] answers for.
const USAGE: &str = "fine-tune + inference/generation";

impl Terms {
    /// Understands a statement: an SPDX expression in any case, a tag of the Hub, a name people write.
    pub fn of(stated: &str) -> Self {
        let (expression, precision) = match name::understand(stated) {
            Some((expression, precision)) => (Some(expression), precision),
            None => (None, name::vagueness(stated)),
        };
        Self {
            stated: Some(stated.to_owned()).filter(|stated| !stated.trim().is_empty()),
            expression,
            precision,
        }
    }

    /// Understands several statements that hold at once.
    pub fn of_all(stated: &[&str]) -> Self {
        let all: Vec<Self> = stated.iter().map(|stated| Self::of(stated)).collect();
        if let [only] = all.as_slice() {
            return only.clone();
        }
        let said: Vec<&str> = all
            .iter()
            .filter_map(|terms| terms.stated.as_deref())
            .collect();
        let expressions: Option<Vec<String>> = all
            .iter()
            .map(|terms| terms.expression.as_ref().map(|text| format!("({text})")))
            .collect();
        let expression = expressions
            .filter(|parts| !parts.is_empty())
            .map(|parts| parts.join(" AND "));
        Self {
            stated: Some(said.join(", ")).filter(|stated| !stated.is_empty()),
            precision: match &expression {
                Some(_) => weakest(&all),
                None => Precision::Unknown,
            },
            expression,
        }
    }

    /// Understands the text of a licence file by its title and the phrases that only it has.
    pub fn of_text(text: &str) -> Self {
        text::recognise(text).map_or_else(Self::default, |id| Self {
            stated: Some("the text of the licence file".to_owned()),
            expression: Some(id.to_owned()),
            precision: Precision::Exact,
        })
    }

    /// What the licence asks for. Of alternatives it is the mildest, of what holds at once the strictest.
    pub fn class(&self) -> Class {
        let classes = [
            Class::Permissive,
            Class::WeakCopyleft,
            Class::UseRestricted,
            Class::StrongCopyleft,
            Class::Restricted,
        ];
        let Some(expression) = self.parsed() else {
            return Class::Unknown;
        };
        // The mildest class whose bound allows the expression.
        classes
            .into_iter()
            .find(|bound| expression.evaluate(|licence| class::of(licence).is_at_most(*bound)))
            .unwrap_or(Class::Unknown)
    }

    fn parsed(&self) -> Option<Expression> {
        Expression::parse_mode(self.expression.as_deref()?, ParseMode::LAX).ok()
    }

    fn described(&self) -> String {
        match (&self.expression, &self.stated) {
            (Some(expression), _) => expression.clone(),
            (None, Some(stated)) => format!("\"{stated}\", which is not known"),
            (None, None) => "none stated".to_owned(),
        }
    }
}

fn weakest(all: &[Terms]) -> Precision {
    let is_exact = all.iter().all(|terms| terms.precision == Precision::Exact);
    if is_exact {
        Precision::Exact
    } else {
        Precision::Family
    }
}

/// May the code of a repository be used with a model to fine-tune it and to generate with it?
///
/// What is not stated or not understood allows nothing.
pub fn check(repository: &Terms, model: &Terms) -> Verdict {
    let mut rules: Vec<Rule> = Vec::new();
    let mut note = |rule: Rule| {
        let compatible = rule.compatible;
        if !rules.contains(&rule) {
            rules.push(rule);
        }
        compatible
    };
    let compatible = match (repository.parsed(), model.parsed()) {
        (Some(code), Some(weights)) => {
            weights.evaluate(|weights| code.evaluate(|code| note(class::rule(code, weights))))
        }
        _ => note(class::between(repository.class(), model.class())),
    };
    // The rows that speak for the answer; the others were alternatives that need not be chosen.
    rules.retain(|rule| rule.compatible == compatible);
    let because: Vec<&str> = rules.iter().map(|rule| rule.reason.as_ref()).collect();
    let explanation = format!(
        "{} for {USAGE}: the repository's licence is {}, the model's is {}; {}",
        if compatible {
            "compatible"
        } else {
            "not compatible"
        },
        repository.described(),
        model.described(),
        because.join("; "),
    );
    Verdict {
        compatible,
        usage: USAGE.to_owned(),
        repository: repository.clone(),
        model: model.clone(),
        rules,
        explanation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compatible(repository: &str, model: &str) -> bool {
        check(&Terms::of(repository), &Terms::of(model)).compatible
    }

    #[test]
    fn the_table_of_fine_tuning_and_inference_holds() {
        for (repository, model, expected) in [
            ("MIT", "apache-2.0", true),
            ("Apache-2.0", "mit", true),
            ("MIT", "lgpl-3.0", true),
            ("LGPL-2.1", "mit", true),
            ("MPL-2.0", "LGPL-3.0", true),
            ("MIT", "gpl-3.0", true),
            ("Apache-2.0", "creativeml-openrail-m", true),
            ("BSD-3-Clause", "llama3.1", true),
            ("MIT", "gemma", true),
            ("MIT", "cc-by-nc-4.0", false),
            ("MIT", "cc-by-nd-4.0", false),
            ("BUSL-1.1", "mit", false),
            ("MIT", "proprietary", false),
            ("GPL-3.0", "apache-2.0", false),
            ("AGPL-3.0", "mit", false),
            ("GPL-3.0", "openrail", false),
            ("GPL-3.0", "agpl-3.0", true),
            ("GPL-3.0", "gpl-3.0", true),
            ("LGPL-3.0", "gpl-3.0", false),
            ("LGPL-3.0", "openrail", false),
        ] {
            assert_eq!(
                compatible(repository, model),
                expected,
                "{repository} with {model}"
            );
        }
    }

    #[test]
    fn what_is_unknown_allows_nothing() {
        for unknown in [
            "",
            "other",
            "unknown",
            "NOASSERTION",
            "my own terms",
            "(",
            "MIT AND",
        ] {
            assert!(!compatible("MIT", unknown), "{unknown}");
            assert!(!compatible(unknown, "MIT"), "{unknown}");
            assert!(!compatible(unknown, unknown), "{unknown}");
        }
    }

    #[test]
    fn of_alternatives_one_is_enough_and_of_what_holds_at_once_all_are_needed() {
        assert!(compatible("MIT OR GPL-3.0-only", "apache-2.0"));
        assert!(!compatible("MIT AND GPL-3.0-only", "apache-2.0"));
        assert!(compatible("MIT", "CC-BY-NC-4.0 OR MIT"));
        assert!(!compatible("MIT", "CC-BY-NC-4.0 AND MIT"));
        assert!(compatible("Apache-2.0 WITH LLVM-exception", "MIT"));
        let both = Terms::of_all(&["mit", "cc-by-nc-4.0"]);
        assert!(!check(&Terms::of("MIT"), &both).compatible);
        assert_eq!(both.class(), Class::Restricted);
    }

    #[test]
    fn versions_of_the_gpl_that_exclude_each_other_do_not_go_together() {
        assert!(!compatible("GPL-2.0-only", "GPL-3.0-only"));
        assert!(!compatible("AGPL-3.0-only", "GPL-2.0-only"));
        assert!(compatible("GPL-2.0-or-later", "GPL-3.0-only"));
        assert!(compatible("GPL-2.0-only", "GPL-2.0-or-later"));
    }

    #[test]
    fn a_verdict_says_why() {
        let verdict = check(&Terms::of("gpl-3.0"), &Terms::of("Apache License 2.0"));
        insta::assert_snapshot!(verdict.explanation, @"not compatible for fine-tune + inference/generation: the repository's licence is GPL-3.0-only, the model's is Apache-2.0; code under strong copyleft passes its terms on to what is derived with it, and this model's licence is not copyleft");
        let verdict = check(&Terms::of("MIT"), &Terms::default());
        insta::assert_snapshot!(verdict.explanation, @"not compatible for fine-tune + inference/generation: the repository's licence is MIT, the model's is none stated; without a known licence of the model nothing is allowed");
    }

    #[test]
    fn verdicts_survive_storage() {
        let verdict = check(&Terms::of("MIT OR GPL-3.0"), &Terms::of("openrail"));
        let text = serde_json::to_string(&verdict).unwrap();
        assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
    }

    proptest! {
        #[test]
        fn any_statement_gets_a_verdict(repository in "\\PC{0,60}", model in "\\PC{0,60}") {
            let verdict = check(&Terms::of(&repository), &Terms::of(&model));
            prop_assert!(!verdict.rules.is_empty());
        }

        #[test]
        fn an_alternative_never_takes_a_permission_away(
            code in spdx_name(), weights in spdx_name(), other in spdx_name(),
        ) {
            if compatible(code, weights) {
                let code_or_other = format!("{code} OR {other}");
                let weights_or_other = format!("{weights} OR {other}");
                prop_assert!(compatible(&code_or_other, weights));
                prop_assert!(compatible(code, &weights_or_other));
            } else {
                let code_and_other = format!("{code} AND {other}");
                prop_assert!(!compatible(&code_and_other, weights));
            }
        }
    }

    fn spdx_name() -> impl Strategy<Value = &'static str> {
        proptest::sample::select(vec![
            "MIT",
            "Apache-2.0",
            "LGPL-2.1-only",
            "MPL-2.0",
            "GPL-3.0-only",
            "GPL-2.0-only",
            "AGPL-3.0-only",
            "CC-BY-NC-4.0",
            "LicenseRef-openrail",
            "LicenseRef-gemma",
            "BUSL-1.1",
        ])
    }
}
