//! What went wrong, as a page.

use maud::{Markup, html};

use super::{Frame, Tab};

/// A status with what is to be said about it.
#[derive(Debug)]
pub(crate) struct Problem<'a> {
    /// Of HTTP.
    pub(crate) status: u16,
    /// What the status is called.
    pub(crate) title: &'a str,
    /// What is wrong with this request, if that can be said.
    pub(crate) detail: Option<&'a str>,
}

/// The page.
pub(crate) fn page(frame: &Frame, problem: &Problem<'_>) -> Markup {
    let advice = match problem.status {
        500 => Some("It is not your fault, and it was noted."),
        503 => Some("Try again in a few seconds."),
        _ => None,
    };
    let main = html! {
        p.eyebrow { (problem.status) }
        h1 { (problem.title) }
        @if let Some(detail) = problem.detail { p { (sentence(detail)) } }
        @if let Some(advice) = advice { p { (advice) } }
        p { a href=(frame.root) { "To the first page" } }
    };
    frame.page(Tab::Other, problem.title, &main)
}

/// A detail with a capital letter and a full stop.
pub(super) fn sentence(detail: &str) -> String {
    let mut letters = detail.chars();
    let first = letters.next().map(char::to_uppercase).into_iter().flatten();
    let mut sentence: String = first.chain(letters).collect();
    if !sentence.ends_with(['.', '?', '!']) {
        sentence.push('.');
    }
    sentence
}
