//! The first page: artifacts, and how to find them.

use std::str::FromStr;
use std::sync::Arc;

use maud::{Markup, html};
use url::form_urlencoded::Serializer;

use super::problem::sentence;
use super::{Frame, Tab};
use crate::artifact::{InvalidArtifact, Kind};
use crate::catalogue::Entry;

const KINDS: [Kind; 3] = [Kind::Model, Kind::Dataset, Kind::Code];

/// What is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sought {
    /// As it was typed; empty for everything.
    pub(crate) text: String,
    /// How the text is meant.
    pub(crate) by: By,
    /// Only these.
    pub(crate) kind: Option<Kind>,
}

/// How a text is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum By {
    /// In the name or the description, in capitals or not.
    #[default]
    Text,
    /// The whole name.
    Name,
    /// A regular expression, found in the name or the description.
    Pattern,
}

/// What was found.
#[derive(Debug)]
pub(crate) enum Found {
    /// Some artifacts.
    Artifacts(Page),
    /// The text cannot be looked for.
    Invalid(String),
}

/// A page of artifacts.
#[derive(Debug)]
pub(crate) struct Page {
    /// In the order in which they are shown.
    pub(crate) artifacts: Vec<Arc<Entry>>,
    /// Where this page begins; `None` for the first.
    pub(crate) after: Option<String>,
    /// Where the next one begins.
    pub(crate) next: Option<String>,
    /// Of how many this page begins at which, if that is known.
    pub(crate) range: Option<Range>,
}

/// Where a page is among all that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    /// How many are before it.
    pub(crate) before: usize,
    /// How many there are.
    pub(crate) all: usize,
}

impl By {
    const ALL: [Self; 3] = [Self::Text, Self::Name, Self::Pattern];

    fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Name => "name",
            Self::Pattern => "regex",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Text => "text in name or description",
            Self::Name => "exact name",
            Self::Pattern => "regular expression",
        }
    }
}

impl FromStr for By {
    type Err = InvalidBy;

    fn from_str(text: &str) -> Result<Self, InvalidBy> {
        let mut all = Self::ALL.into_iter();
        all.find(|by| by.as_str() == text).ok_or(InvalidBy)
    }
}

/// A text that says nothing of how another one is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a search is by text, name or regex")]
pub(crate) struct InvalidBy;

impl Sought {
    /// What a form sends, where what is empty was left out.
    ///
    /// # Errors
    ///
    /// Nobody who uses the form gets them.
    pub(crate) fn new(text: &str, by: &str, kind: &str) -> Result<Self, InvalidSought> {
        let given = |text: &str| !text.is_empty();
        Ok(Self {
            text: text.trim().to_owned(),
            by: Some(by)
                .filter(|by| given(by))
                .map_or(Ok(By::Text), str::parse)?,
            kind: Some(kind)
                .filter(|kind| given(kind))
                .map(str::parse)
                .transpose()?,
        })
    }

    fn address(&self, frame: &Frame, after: Option<&str>) -> String {
        let mut query = Serializer::new(String::new());
        if !self.text.is_empty() {
            query.append_pair("q", &self.text);
        }
        if self.by != By::Text {
            query.append_pair("by", self.by.as_str());
        }
        if let Some(kind) = self.kind {
            query.append_pair("type", kind.as_str());
        }
        if let Some(after) = after {
            query.append_pair("after", after);
        }
        match query.finish() {
            query if query.is_empty() => frame.root.clone(),
            query => frame.to(&format!("?{query}")),
        }
    }
}

/// What a form cannot have sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidSought {
    /// How the text is meant.
    #[error(transparent)]
    By(#[from] InvalidBy),
    /// The type.
    #[error(transparent)]
    Kind(#[from] InvalidArtifact),
}

/// The page.
pub(crate) fn page(frame: &Frame, sought: &Sought, found: &Found) -> Markup {
    let refusal = match found {
        Found::Invalid(why) => Some(why.as_str()),
        Found::Artifacts(_) => None,
    };
    let main = html! {
        h1 { "Artifacts" }
        (form(frame, sought, refusal))
        @if let Found::Artifacts(page) = found { (results(frame, sought, page)) }
    };
    let title = match sought.text.as_str() {
        "" => "Artifacts".to_owned(),
        text => format!("{text} in artifacts"),
    };
    frame.page(Tab::Search, &title, &main)
}

fn form(frame: &Frame, sought: &Sought, refusal: Option<&str>) -> Markup {
    let invalid = refusal.map(|_| "true");
    let described = refusal.map(|_| "refusal");
    html! {
        search {
            form.search method="get" action=(frame.root) {
                p.wide {
                    label for="q" { "Search for" }
                    input #q name="q" type="search" value=(sought.text) autocapitalize="none" spellcheck="false"
                        maxlength="4096" aria-invalid=[invalid] aria-describedby=[described];
                }
                p {
                    label for="by" { "Match" }
                    select #by name="by" {
                        @for by in By::ALL {
                            option value=(by.as_str()) selected[by == sought.by] { (by.label()) }
                        }
                    }
                }
                p {
                    label for="type" { "Type" }
                    select #type name="type" {
                        option value="" { "all" }
                        @for kind in KINDS {
                            option value=(kind) selected[Some(kind) == sought.kind] { (kind) }
                        }
                    }
                }
                p { button type="submit" { "Search" } }
            }
            @if let Some(refusal) = refusal {
                p.notice.bad #refusal role="alert" { (sentence(refusal)) }
            }
        }
    }
}

fn results(frame: &Frame, sought: &Sought, page: &Page) -> Markup {
    html! {
        section aria-labelledby="found" {
            p.count #found role="status" { (count(sought, page)) }
            @if !page.artifacts.is_empty() {
                table.results {
                    thead { tr { th scope="col" { "Name and id" } th scope="col" { "Type" } } }
                    tbody {
                        @for entry in &page.artifacts {
                            tr {
                                th scope="row" {
                                    a href=(frame.to_artifact(&entry.id)) { bdi { (entry.name) } }
                                    " " span.id { (entry.id) }
                                }
                                td { (entry.kind) }
                            }
                        }
                    }
                }
            }
            @if page.after.is_some() || page.next.is_some() {
                nav.pages aria-label="Pages of the result" {
                    @if page.after.is_some() { a href=(sought.address(frame, None)) { "First page" } }
                    @if let Some(next) = &page.next {
                        a href=(sought.address(frame, Some(next))) { "Next page" }
                    }
                }
            }
        }
    }
}

/// How many there are, in words.
fn count(sought: &Sought, page: &Page) -> String {
    let what = match sought.kind {
        None => ("artifact", "artifacts"),
        Some(Kind::Model) => ("model", "models"),
        Some(Kind::Dataset) => ("dataset", "datasets"),
        Some(Kind::Code) => ("artifact of code", "artifacts of code"),
    };
    let here = page.artifacts.len();
    let is_all = page.after.is_none() && page.next.is_none();
    match page.range {
        _ if here == 0 && is_all && sought.text.is_empty() => {
            format!("There are no {} in this registry yet.", what.1)
        }
        _ if here == 0 => format!("No {} found.", what.1),
        Some(Range { before, all }) if !is_all => {
            format!("{} to {} of {} {}", before + 1, before + here, all, what.1)
        }
        _ if !is_all => format!("{here} {} on this page", what.1),
        _ if here == 1 => format!("1 {}", what.0),
        _ => format!("{here} {}", what.1),
    }
}
