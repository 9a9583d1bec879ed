//! What licences ask for, and the table of which go together.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use spdx::{LicenseId, LicenseItem, LicenseReq};
use utoipa::ToSchema;

/// What a licence asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LicenseClass)]
pub enum Class {
    /// Little more than naming the authors.
    Permissive,
    /// Changes of the work itself stay under its licence.
    WeakCopyleft,
    /// What is derived from the work stays under its licence.
    StrongCopyleft,
    /// Free to use except for what a list forbids: the RAIL licences, Llama, Gemma.
    UseRestricted,
    /// No commercial use, no derivatives, or no rights at all.
    Restricted,
    /// Not stated, or not understood.
    Unknown,
}

impl Class {
    /// Whether it asks for no more than `bound`, from permissive to restricted.
    pub(super) fn is_at_most(self, bound: Self) -> bool {
        self.strictness() <= bound.strictness()
    }

    fn strictness(self) -> u8 {
        match self {
            Self::Permissive => 0,
            Self::WeakCopyleft => 1,
            Self::UseRestricted => 2,
            Self::StrongCopyleft => 3,
            Self::Restricted => 4,
            Self::Unknown => 5,
        }
    }
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LicenseRule)]
pub struct Rule {
    /// What the repository's licence asks for.
    pub repository: Class,
    /// What the model's licence asks for.
    pub model: Class,
    /// Whether the two go together.
    pub compatible: bool,
    /// Why.
    #[schema(value_type = String)]
    pub reason: Cow<'static, str>,
}

/// The table: code under a licence of the one class, used to fine-tune a model under the other and to run it.
pub fn between(repository: Class, model: Class) -> Rule {
    use Class::{Permissive, Restricted, StrongCopyleft, Unknown, UseRestricted, WeakCopyleft};
    let (compatible, reason) = match (repository, model) {
        (_, Unknown) => (
            false,
            "without a known licence of the model nothing is allowed",
        ),
        (Unknown, _) => (
            false,
            "without a known licence of the repository nothing is allowed",
        ),
        (_, Restricted) => (
            false,
            "the model's licence forbids commercial use or derivatives, or grants no rights",
        ),
        (Restricted, _) => (
            false,
            "the repository's licence forbids commercial use or derivatives, or grants no rights",
        ),
        (Permissive, _) => (true, "permissive code may be used with such a model"),
        (WeakCopyleft, Permissive | WeakCopyleft) => (
            true,
            "weak copyleft ends at the code's own files, which such a model does not touch",
        ),
        (WeakCopyleft, StrongCopyleft) => (
            false,
            "the model's strong copyleft would have to cover code that stays under its own licence",
        ),
        (WeakCopyleft | StrongCopyleft, UseRestricted) => (
            false,
            "copyleft forbids the further restrictions of use that the model's licence asks for",
        ),
        (StrongCopyleft, StrongCopyleft | WeakCopyleft) => (
            true,
            "both are copyleft, and the work as a whole can follow the stronger",
        ),
        (StrongCopyleft, Permissive) => (
            false,
            "code under strong copyleft passes its terms on to what is derived with it, and this model's licence \
             is not copyleft",
        ),
        (UseRestricted, Permissive | UseRestricted) => {
            (true, "restrictions of use can be kept with such a model")
        }
        (UseRestricted, WeakCopyleft | StrongCopyleft) => (
            false,
            "the model's copyleft forbids the restrictions of use that come with the code",
        ),
    };
    Rule {
        repository,
        model,
        compatible,
        reason: Cow::Borrowed(reason),
    }
}

/// The row for two licences. Versions of the GPL that exclude each other have one of their own.
pub(super) fn rule(code: &LicenseReq, weights: &LicenseReq) -> Rule {
    let rule = between(of(code), of(weights));
    match (gnu_versions(code), gnu_versions(weights)) {
        (Some((least, most)), Some((other_least, other_most)))
            if rule.compatible && (least > other_most || other_least > most) =>
        {
            Rule {
                compatible: false,
                reason: Cow::Borrowed("the two allow no version of the GNU licence in common"),
                ..rule
            }
        }
        _ => rule,
    }
}

/// The versions of the GPL or AGPL that a licence allows, times ten.
fn gnu_versions(licence: &LicenseReq) -> Option<(u8, u8)> {
    let id = licence.license.id()?;
    let is_strong = id.name.starts_with("GPL-") || id.name.starts_with("AGPL-");
    let version = match id.version()? {
        "1.0" => 10,
        "2.0" => 20,
        "3.0" => 30,
        _ => return None,
    };
    let or_later = id.name.ends_with("-or-later")
        || matches!(licence.license, LicenseItem::Spdx { or_later: true, .. });
    is_strong.then_some((version, if or_later { u8::MAX } else { version }))
}

/// What a licence asks for.
pub(super) fn of(licence: &LicenseReq) -> Class {
    match &licence.license {
        LicenseItem::Spdx { id, .. } => of_listed(*id),
        LicenseItem::Other(reference) => of_reference(&reference.lic_ref),
    }
}

fn of_listed(id: LicenseId) -> Class {
    let name = id.name;
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if name.contains("-NC") || name.contains("-ND") || name.contains("-noncommercial") {
        return Class::Restricted;
    }
    if starts(&[
        "BUSL", "SSPL", "Elastic", "PolyForm", "JSON", "MS-LPL", "Aladdin",
    ]) {
        return Class::Restricted;
    }
    if starts(&[
        "LGPL", "MPL", "EPL", "CPL", "CDDL", "MS-RL", "MS-PL", "LPPL", "OFL", "IPL", "APSL", "SPL",
    ]) {
        return Class::WeakCopyleft;
    }
    if starts(&["CC-BY-SA", "ODbL", "CDLA-Sharing", "EUPL", "OSL", "GFDL"]) || id.is_copyleft() {
        return Class::StrongCopyleft;
    }
    let is_data = starts(&[
        "CC0",
        "CC-BY",
        "CDLA-Permissive",
        "PDDL",
        "ODC-By",
        "C-UDA",
        "etalab",
        "CC-PDDC",
    ]);
    if is_data || id.is_osi_approved() || id.is_fsf_free_libre() || starts(&["BSD", "MIT"]) {
        return Class::Permissive;
    }
    Class::Unknown
}

/// Licences that are not in SPDX's list, under the names [`super::name`] gives them.
fn of_reference(name: &str) -> Class {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if name.contains("noncommercial")
        || starts(&[
            "h-research",
            "intel-research",
            "apple-",
            "deepfloyd",
            "proprietary",
        ])
    {
        Class::Restricted
    } else if name.contains("rail")
        || starts(&["llama", "gemma", "grok", "deepseek", "falcon", "qwen"])
    {
        Class::UseRestricted
    } else if starts(&["openmdw"]) {
        Class::Permissive
    } else {
        Class::Unknown
    }
}
