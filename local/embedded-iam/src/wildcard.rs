//! Patterns of policies: `*` is any run of characters, `?` any one character.

use std::str::Chars;

/// Whether `text` fits `pattern`, as a whole and letter by letter.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (mut wanted, mut found) = (pattern.chars(), text.chars());
    // Where to go on when the text stops fitting: behind the last star, which then takes one more.
    let mut star: Option<(Chars<'_>, Chars<'_>)> = None;
    loop {
        match wanted.next() {
            Some('*') => {
                star = Some((wanted.clone(), found.clone()));
                continue;
            }
            Some(letter) => {
                let next = found.next();
                if next.is_some_and(|next| letter == '?' || letter == next) {
                    continue;
                }
            }
            None if found.as_str().is_empty() => return true,
            None => {}
        }
        let Some((after, taken)) = &mut star else {
            return false;
        };
        if taken.next().is_none() {
            return false;
        }
        wanted = after.clone();
        found = taken.clone();
    }
}

/// As [`matches()`], without telling upper from lower case: actions are compared so.
pub(crate) fn matches_any_case(pattern: &str, text: &str) -> bool {
    matches(&pattern.to_ascii_lowercase(), &text.to_ascii_lowercase())
}

/// As [`matches()`], each of the six parts of an ARN by itself, so that no star reaches over a colon.
///
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_ARN>.
pub(crate) fn arn_matches(pattern: &str, arn: &str) -> bool {
    let parts = |text| str::splitn(text, 6, ':').collect::<Vec<_>>();
    let (wanted, found) = (parts(pattern), parts(arn));
    wanted.len() == 6
        && found.len() == 6
        && wanted
            .iter()
            .zip(&found)
            .all(|(wanted, found)| matches(wanted, found))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, in exponential time.
    fn oracle(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, rest) => rest.is_none(),
            (Some(('*', after)), _) => (0..=text.len()).any(|taken| oracle(after, &text[taken..])),
            (Some(('?', after)), Some((_, rest))) => oracle(after, rest),
            (Some((letter, after)), Some((found, rest))) => letter == found && oracle(after, rest),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn it_is_what_the_definition_says(pattern in "[abä/*?]{0,8}", text in "[abä/]{0,10}") {
            let characters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(
                matches(&pattern, &text),
                oracle(&characters(&pattern), &characters(&text))
            );
        }

        #[test]
        fn a_text_with_a_part_left_out_fits(before in ".{0,6}", middle in ".{0,6}", after in ".{0,6}") {
            let literal = |text: &str| text.replace(['*', '?'], "");
            let (before, after) = (literal(&before), literal(&after));
            let text = format!("{before}{middle}{after}");
            let pattern = format!("{before}*{after}");
            prop_assert!(matches(&pattern, &text));
            prop_assert!(matches(&text, &text));
        }
    }

    #[test]
    fn many_stars_take_no_longer_than_pattern_times_text() {
        let pattern = "a*".repeat(1000) + "b";
        assert!(!matches(&pattern, &"a".repeat(20_000)));
    }

    #[test]
    fn a_star_crosses_slashes_and_no_colon_of_an_arn() {
        assert!(matches("arn:aws:s3:::b/*", "arn:aws:s3:::b/a/b:c"));
        assert!(arn_matches(
            "arn:aws:iam::*:role/*",
            "arn:aws:iam::1:role/a/b"
        ));
        assert!(!arn_matches("arn:aws:iam::*", "arn:aws:iam::1:role/a"));
        assert!(!arn_matches("*", "arn:aws:iam::1:role/a"));
    }

    #[test]
    fn actions_are_compared_in_any_case() {
        assert!(matches_any_case("S3:get*", "s3:GetObject"));
        assert!(!matches("S3:get*", "s3:GetObject"));
    }
}
