//! What was done to an artifact.

use maud::{Markup, html};

use super::{Frame, Tab, text};
use crate::audit::{Action, Entry};
use crate::record::Record;

/// A part of an artifact's history.
#[derive(Debug)]
pub(crate) struct History<'a> {
    /// The artifact.
    pub(crate) record: &'a Record,
    /// What was done, the oldest first.
    pub(crate) entries: &'a [Entry],
    /// Whether these are not the first.
    pub(crate) is_later: bool,
    /// From where the next page goes on.
    pub(crate) next: Option<u64>,
}

/// The page.
pub(crate) fn page(frame: &Frame, history: &History<'_>) -> Markup {
    let record = history.record;
    let here = format!("view/{}/history", record.id);
    let main = html! {
        p.eyebrow { a href=(frame.to_artifact(&record.id)) { "Back to " bdi { (record.name) } } }
        h1 { "History of " bdi { (record.name) } }
        @if history.entries.is_empty() {
            p { "Nothing more is written down." }
        } @else {
            table {
                caption { "What was done, the oldest first. Who looks at this page is written down as well." }
                thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What" } } }
                tbody {
                    @for entry in history.entries {
                        tr {
                            td { (text::moment(entry.date)) }
                            td { bdi { (entry.user.name) } @if entry.user.is_admin { " " span.tag { "admin" } } }
                            td { (what(entry.action)) }
                        }
                    }
                }
            }
        }
        @if history.is_later || history.next.is_some() {
            nav.pages aria-label="Pages of the history" {
                @if history.is_later { a href=(frame.to(&here)) { "First entries" } }
                @if let Some(next) = history.next {
                    a href=(frame.to(&format!("{here}?after={next}"))) { "Later entries" }
                }
            }
        }
    };
    let title = format!("History of {}", record.name);
    frame.page(Tab::Search, &title, &main)
}

fn what(action: Action) -> &'static str {
    match action {
        Action::Create => "Registered it",
        Action::Update => "Changed it",
        Action::Download => "Downloaded it",
        Action::Rate => "Looked at its rating",
        Action::Audit => "Looked at its history",
        Action::Delete => "Deleted it",
    }
}
