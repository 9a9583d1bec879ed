//! Whether a model's licence suits a product under LGPL-2.1.

use serde_json::json;

use super::{Explained, Relations};
use crate::evidence::Evidence;
use crate::license::{Class, Precision};

const RULE: &str = "suitability for a product under LGPL-2.1: 1 for permissive licences and weak copyleft, 0.7 if only the \
    family is named, 0.3 for restrictions of use (RAIL, Llama, Gemma) or mere words, 0 for strong copyleft, \
    non-commercial terms and what is not known";

pub(super) fn score(evidence: &Evidence, _relations: &Relations) -> Explained {
    let terms = evidence.license();
    let class = terms.class();
    let score = match (class, terms.precision) {
        (Class::Permissive | Class::WeakCopyleft, Precision::Family) => 0.7,
        (Class::Permissive | Class::WeakCopyleft, _) => 1.0,
        (Class::UseRestricted, _) | (Class::Unknown, Precision::Vague) => 0.3,
        (Class::StrongCopyleft | Class::Restricted | Class::Unknown, _) => 0.0,
    };
    Explained::new(
        score,
        RULE,
        [
            ("stated", json!(terms.stated)),
            ("expression", json!(terms.expression)),
            ("class", json!(class)),
            ("precision", json!(terms.precision)),
        ],
    )
}
