//! What every text has in it that a pattern is found in: parts that an index of three-letter sequences knows.
//!
//! The idea is that of <https://swtch.com/~rsc/regexp/regexp4.html>: walk the pattern, and keep for each piece of it
//! either all texts that it can match, while they are few, or what its matches have in them. Letters of ASCII are lower
//! case here, as they are in the index, so a pattern that ignores case needs no other treatment: its classes are
//! small sets of letters.

use std::collections::BTreeSet;

use regex_syntax::Parser;
use regex_syntax::hir::{Class, Hir, HirKind};

/// Texts that are kept for a piece of a pattern, and alternatives in a condition.
const MOST_TEXTS: usize = 16;
/// Characters of a class that is kept as texts.
const MOST_CHARACTERS: usize = 8;
/// Bytes of a text that is kept; a longer one would tell no more.
const MOST_BYTES: usize = 64;
/// Conditions that are worth asking for.
const MOST_CONDITIONS: usize = 4;
/// Letters and digits in a row that the index knows something by.
const LETTERS: usize = 3;

/// One of these texts must be there.
pub(super) type Condition = Vec<String>;

/// What all matches of a piece of a pattern have in common.
#[derive(Debug, Clone, Default)]
struct Piece {
    /// All that it matches, if they are few.
    texts: Option<BTreeSet<String>>,
    /// Conditions that each of its matches fulfils.
    conditions: Vec<BTreeSet<String>>,
}

/// What is in every text that the pattern is found in: all of these conditions are fulfilled, the most telling one
/// first. None are given for a pattern of which nothing can be said. `is_letter`: whether the index knows a character as a
/// part of a word.
pub(super) fn conditions(pattern: &str, is_letter: impl Fn(char) -> bool) -> Vec<Condition> {
    // What cannot be read has been refused before.
    let Ok(hir) = Parser::new().parse(pattern) else {
        return Vec::new();
    };
    let mut piece = piece(&hir);
    piece.give_up_texts();
    let mut conditions: Vec<(usize, BTreeSet<String>)> = piece
        .conditions
        .into_iter()
        .map(|texts| (letters(&texts, &is_letter), texts))
        .filter(|(letters, _)| *letters >= LETTERS)
        .collect();
    conditions.sort_by_key(|(letters, texts)| (std::cmp::Reverse(*letters), texts.len()));
    conditions.dedup();
    conditions
        .into_iter()
        .take(MOST_CONDITIONS)
        .map(|(_, texts)| texts.into_iter().collect())
        .collect()
}

fn piece(hir: &Hir) -> Piece {
    match hir.kind() {
        // Where something is, is not part of the text.
        HirKind::Empty | HirKind::Look(_) => Piece::of([String::new()]),
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0).map_or_else(
            |_no_text| Piece::default(),
            |text| Piece::of([text.to_ascii_lowercase()]),
        ),
        HirKind::Class(class) => characters(class).map_or_else(Piece::default, Piece::of),
        HirKind::Capture(capture) => piece(&capture.sub),
        HirKind::Repetition(repetition) => {
            repeated(piece(&repetition.sub), repetition.min, repetition.max)
        }
        HirKind::Concat(parts) => sequence(parts.iter().map(piece)),
        HirKind::Alternation(branches) => branches
            .iter()
            .map(piece)
            .reduce(Piece::or)
            .unwrap_or_default(),
    }
}

fn repeated(piece: Piece, min: u32, max: Option<u32>) -> Piece {
    match (min, max) {
        (0, Some(1)) => piece.or(Piece::of([String::new()])),
        (0, _) => Piece::default(),
        (1, Some(1)) => piece,
        _ => {
            // Twice in a row is enough to tell what is at the seam.
            let times = if min == 1 { 1 } else { 2 };
            let mut some = sequence(std::iter::repeat_n(piece, times));
            // Repetitions of repetitions say the same again and again.
            some.conditions.sort_unstable();
            some.conditions.dedup();
            if (min, max) != (2, Some(2)) {
                some.give_up_texts();
            }
            some
        }
    }
}

/// One piece after the other.
fn sequence(pieces: impl Iterator<Item = Piece>) -> Piece {
    let mut whole = Piece::default();
    let mut is_all = true;
    let mut end = Piece::of([String::new()]);
    for piece in pieces {
        whole.conditions.extend(piece.conditions);
        if let Some(joined) = joined(end.texts.as_ref(), piece.texts.as_ref()) {
            end = Piece::of(joined);
            continue;
        }
        is_all = false;
        end.give_up_texts();
        whole.conditions.append(&mut end.conditions);
        end = Piece::of(
            piece
                .texts
                .unwrap_or_else(|| BTreeSet::from([String::new()])),
        );
    }
    if is_all {
        whole.texts = end.texts;
    } else {
        end.give_up_texts();
        whole.conditions.append(&mut end.conditions);
    }
    whole
}

/// Each text followed by each of the others, if that makes few and short ones.
fn joined(
    left: Option<&BTreeSet<String>>,
    right: Option<&BTreeSet<String>>,
) -> Option<BTreeSet<String>> {
    let (left, right) = (left?, right?);
    if left.len() * right.len() > MOST_TEXTS {
        return None;
    }
    let texts: BTreeSet<String> = left
        .iter()
        .flat_map(|left| right.iter().map(move |right| format!("{left}{right}")))
        .collect();
    let are_short = texts.iter().all(|text| text.len() <= MOST_BYTES);
    are_short.then_some(texts)
}

impl Piece {
    fn of(texts: impl IntoIterator<Item = String>) -> Self {
        Self {
            texts: Some(texts.into_iter().collect()),
            conditions: Vec::new(),
        }
    }

    /// This piece or another.
    fn or(mut self, mut other: Self) -> Self {
        if let (Some(left), Some(right)) = (&self.texts, &other.texts)
            && left.len() + right.len() <= MOST_TEXTS
        {
            // What either fulfils need not be said: the texts say more.
            return Self::of(left.union(right).cloned());
        }
        self.give_up_texts();
        other.give_up_texts();
        let best = |piece: Self| {
            let conditions = piece.conditions.into_iter();
            conditions.max_by_key(shortest)
        };
        let both = best(self)
            .zip(best(other))
            .map(|(left, right)| &left | &right);
        Self {
            texts: None,
            conditions: both
                .into_iter()
                .filter(|texts| texts.len() <= MOST_TEXTS)
                .collect(),
        }
    }

    /// Keeps the texts only as something that must be there.
    fn give_up_texts(&mut self) {
        let texts = self.texts.take().filter(|texts| shortest(texts) > 0);
        self.conditions.extend(texts);
    }
}

fn shortest(texts: &BTreeSet<String>) -> usize {
    texts.iter().map(String::len).min().unwrap_or(0)
}

/// The characters of a class, if they are few.
fn characters(class: &Class) -> Option<BTreeSet<String>> {
    let mut characters = BTreeSet::new();
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(class) => class
            .iter()
            .map(|range| (range.start(), range.end()))
            .collect(),
        Class::Bytes(class) if class.is_ascii() => class
            .iter()
            .map(|range| (char::from(range.start()), char::from(range.end())))
            .collect(),
        Class::Bytes(_) => return None,
    };
    for (start, end) in ranges {
        for character in start..=end {
            characters.insert(character.to_ascii_lowercase().to_string());
            if characters.len() > MOST_CHARACTERS {
                return None;
            }
        }
    }
    Some(characters)
}

/// The longest row of letters and digits in the text that has the shortest one.
fn letters(texts: &BTreeSet<String>, is_letter: &impl Fn(char) -> bool) -> usize {
    let longest = |text: &String| {
        text.split(|character| !is_letter(character))
            .map(|word| word.chars().count())
            .max()
            .unwrap_or(0)
    };
    texts.iter().map(longest).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(pattern: &str) -> String {
        let conditions = conditions(pattern, |character| character.is_ascii_alphanumeric());
        let conditions: Vec<String> = conditions.iter().map(|texts| texts.join("|")).collect();
        conditions.join(" & ")
    }

    #[test]
    fn what_must_be_there_is_told() {
        for (pattern, expected) in [
            ("bert", "bert"),
            (".*bert.*", "bert"),
            ("^google-bert$", "google-bert"),
            (r"\bBERT\b", "bert"),
            ("(?i)bert", "bert"),
            ("(?i)whisper", "whisper|whi\u{17f}per"),
            ("bert|gpt2", "bert|gpt2"),
            ("(bert|gpt2)-base", "bert-base|gpt2-base"),
            ("bert.*base", "bert & base"),
            ("bert|.*", ""),
            ("be|rt", ""),
            ("a.c", ""),
            ("", ""),
            (".*", ""),
            ("bert?x", "bertx|berx"),
            ("x(bert)?y", ""),
            ("(bert){2}", "bertbert"),
            ("(bert)+", "bert"),
            ("(ab){3}", "abab"),
            ("(bert.*large|tiny.*llama)", "large|llama"),
            ("ab--cd", ""),
            ("[bB]ert", "bert"),
            ("[a-z]ert", "ert"),
            (r"v\d\d\d", ""),
            ("(?-u:(?i)bert)", "bert"),
            ("😀bert", "😀bert"),
        ] {
            assert_eq!(found(pattern), expected, "{pattern}");
        }
        // Repetitions of repetitions, as deep as a pattern may be, take no time.
        let deep = (0..12).fold("abc.*".to_owned(), |inner, _| format!("({inner}){{2,}}"));
        assert_eq!(found(&deep), "abc");
        let long = "a".repeat(100);
        assert_eq!(found(&long), long);
        let foreign = conditions("模型训练", char::is_alphanumeric);
        assert_eq!(foreign, [["模型训练"]]);
        assert_eq!(found("模型训练"), "");
    }

    /// Patterns of all sorts over few letters, so that they match now and then.
    fn patterns() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            "[abkK]{1,4}",
            Just(".".to_owned()),
            Just("^".to_owned()),
            Just("$".to_owned()),
            Just(r"\b".to_owned()),
            Just("[ab]".to_owned()),
            Just("[^a]".to_owned()),
            Just(r"\w".to_owned()),
            Just("(?i)".to_owned()),
            Just("(?-i)".to_owned()),
            Just("ſ".to_owned()),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                3 => prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.concat()),
                2 => prop::collection::vec(inner.clone(), 2..4)
                    .prop_map(|branches| format!("({})", branches.join("|"))),
                1 => inner.clone().prop_map(|part| format!("(?:{part})*")),
                1 => inner.clone().prop_map(|part| format!("(?:{part})+")),
                1 => inner.clone().prop_map(|part| format!("(?:{part})?")),
                1 => inner.clone().prop_map(|part| format!("(?:{part}){{2}}")),
                1 => inner.prop_map(|part| format!("(?:{part}){{3,4}}")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn every_match_fulfils_every_condition(pattern in patterns(), texts in prop::collection::vec("[abkKſ\u{212A} ]{0,14}", 8)) {
            let Ok(regex) = regex::Regex::new(&pattern) else {
                return Ok(());
            };
            let conditions = conditions(&pattern, |_any| true);
            for text in texts.iter().filter(|text| regex.is_match(text)) {
                let text = text.to_ascii_lowercase();
                for condition in &conditions {
                    prop_assert!(condition.iter().any(|part| text.contains(part)), "{pattern}: {condition:?} not in {text:?}");
                }
            }
        }
    }
}
