use std::str::FromStr;

use super::Refusal;

/// A function's name, out of any of the forms in which Lambda takes one: `name`, `account:function:name` and the
/// whole ARN, each with or without a `:qualifier`, which is ignored.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name(pub(super) String);

/// Longer than any form of a name.
const LONGEST: usize = 256;

impl FromStr for Name {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let invalid = || Refusal::invalid_name(text);
        if text.len() > LONGEST {
            return Err(invalid());
        }
        let parts: Vec<&str> = text.split(':').collect();
        let (name, qualifier) = match parts.as_slice() {
            [
                "arn",
                partition,
                "lambda",
                _region,
                account,
                "function",
                rest @ ..,
            ] if partition.starts_with("aws") && is_account(account) => name_and_qualifier(rest),
            [account, "function", rest @ ..] if is_account(account) => name_and_qualifier(rest),
            ["function", rest @ ..] | rest => name_and_qualifier(rest),
        }
        .ok_or_else(invalid)?;
        let is_valid = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if !is_valid(name) || !qualifier.is_none_or(|word| word == "$LATEST" || is_valid(word)) {
            return Err(invalid());
        }
        Ok(Self(name.to_owned()))
    }
}

fn name_and_qualifier<'a>(parts: &[&'a str]) -> Option<(&'a str, Option<&'a str>)> {
    match parts {
        [name] => Some((name, None)),
        [name, qualifier] => Some((name, Some(qualifier))),
        _ => None,
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_lambda_takes_names_the_same_function() {
        for form in [
            "document-sync",
            "document-sync:7",
            "document-sync:$LATEST",
            "function:document-sync",
            "000000000000:function:document-sync",
            "000000000000:function:document-sync:live",
            "arn:aws:lambda:us-east-1:000000000000:function:document-sync",
            "arn:aws-cn:lambda:cn-north-1:000000000000:function:document-sync:$LATEST",
        ] {
            let name: Name = form.parse().unwrap();
            assert_eq!(name.0, "document-sync", "{form}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "x".repeat(LONGEST + 1);
        for form in [
            "",
            ":",
            "document sync",
            "../document-sync",
            "document-sync:",
            "document-sync:$OLDEST",
            "0000:function:document-sync",
            "arn:aws:s3:us-east-1:000000000000:function:document-sync",
            "arn:aws:lambda:us-east-1:000000000000:layer:document-sync",
            "arn:aws:lambda:us-east-1:000000000000:function",
            &long,
        ] {
            assert!(form.parse::<Name>().is_err(), "{form}");
        }
    }
}
