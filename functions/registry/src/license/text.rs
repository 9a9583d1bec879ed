//! Licences by the text of their file, for when nobody names them.

/// Phrases that only one licence has, in lower case with single spaces; all of a row must be there. The more
/// special rows come first.
const MARKS: &[(&[&str], &str)] = &[
    (
        &["gnu affero general public license", "version 3"],
        "AGPL-3.0-only",
    ),
    (
        &["gnu lesser general public license", "version 3"],
        "LGPL-3.0-only",
    ),
    (
        &["gnu lesser general public license", "version 2.1"],
        "LGPL-2.1-only",
    ),
    (&["gnu general public license", "version 3"], "GPL-3.0-only"),
    (&["gnu general public license", "version 2"], "GPL-2.0-only"),
    (&["mozilla public license", "2.0"], "MPL-2.0"),
    (&["eclipse public license", "2.0"], "EPL-2.0"),
    (&["apache license", "version 2.0"], "Apache-2.0"),
    (&["attribution-noncommercial"], "CC-BY-NC-4.0"),
    (&["attribution-noderivatives"], "CC-BY-ND-4.0"),
    (&["attribution-sharealike 4.0"], "CC-BY-SA-4.0"),
    (&["attribution 4.0 international"], "CC-BY-4.0"),
    (&["cc0 1.0 universal"], "CC0-1.0"),
    (
        &["this is free and unencumbered software released into the public domain"],
        "Unlicense",
    ),
    (
        &[
            "redistribution and use in source and binary forms",
            "neither the name of",
        ],
        "BSD-3-Clause",
    ),
    (
        &["redistribution and use in source and binary forms"],
        "BSD-2-Clause",
    ),
    (
        &["permission to use, copy, modify, and/or distribute this software for any"],
        "ISC",
    ),
    (
        &["permission is hereby granted, free of charge, to any person obtaining a copy"],
        "MIT",
    ),
];

/// How much of a text is looked at, in characters: licences say in the beginning what they are.
const HEAD: usize = 4000;

/// The SPDX identifier of the licence whose text this is.
pub(super) fn recognise(text: &str) -> Option<&'static str> {
    let head: String = text.chars().take(HEAD).collect();
    let words: Vec<String> = head.split_whitespace().map(str::to_lowercase).collect();
    let text = words.join(" ");
    // The licence whose name stands first is the one; others are named further on, in comparisons.
    MARKS
        .iter()
        .filter(|(marks, _)| marks.iter().all(|mark| text.contains(mark)))
        .min_by_key(|(marks, _)| marks.first().and_then(|mark| text.find(mark)))
        .map(|(_, id)| *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_files_are_recognised_by_what_they_say() {
        for (text, id) in [
            (
                "  Apache License\n   Version 2.0, January 2004",
                Some("Apache-2.0"),
            ),
            (
                "MIT License\n\nCopyright\n\nPermission is hereby granted, free of\ncharge, to any person obtaining a copy",
                Some("MIT"),
            ),
            (
                "GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007\n… GNU Affero General Public License",
                Some("GPL-3.0-only"),
            ),
            (
                "Redistribution and use in source and binary forms … Neither the name of",
                Some("BSD-3-Clause"),
            ),
            (
                "Redistribution and use in source and binary forms",
                Some("BSD-2-Clause"),
            ),
            ("You may look at it.", None),
            ("", None),
        ] {
            assert_eq!(recognise(text), id, "{text}");
        }
    }
}
