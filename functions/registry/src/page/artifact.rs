//! The page of an artifact.

use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::cost::Costs;
use super::{Frame, Tab, cost, lineage, rating, text};
use crate::artifact::{Id, Kind};
use crate::content::{FilePath, Page};
use crate::evidence::Evidence;
use crate::license::{Class, Terms};
use crate::lineage::Graph;
use crate::rating::Snapshot;
use crate::record::Record;

/// The most characters of a description.
const MOST_OF_DESCRIPTION: usize = 30_000;

/// An artifact and what is known around it. What could not be computed is there with the reason.
#[derive(Debug)]
pub(crate) struct Artifact {
    /// What is stored of it.
    pub(crate) record: Record,
    /// How good it is; `None` for what is not rated.
    pub(crate) rating: Option<Snapshot>,
    /// Where it comes from; `None` for what has no lineage.
    pub(crate) lineage: Option<Result<Graph, String>>,
    /// The first of its files.
    pub(crate) files: Page,
    /// What it costs.
    pub(crate) costs: Result<Costs, String>,
    /// Whether whoever looks may see what was done to it.
    pub(crate) has_history: bool,
}

/// The page.
pub(crate) fn page(frame: &Frame, artifact: &Artifact) -> Markup {
    let record = &artifact.record;
    let evidence = record.known();
    let description = evidence
        .readme(record.kind)
        .filter(|readme| !readme.trim().is_empty());
    let main = html! {
        p.eyebrow { (text::kind(record.kind)) }
        h1 { bdi { (record.name) } }
        @if let Some(about) = about(&evidence) { p.lead { bdi { (about) } } }
        (facts(record, &evidence))
        p.actions {
            @if !artifact.files.files.is_empty() {
                a.button href=(frame.to(&format!("view/{}/download", record.id))) { "Download" }
            } @else if let Some(address) = text::address(&record.url) {
                a.button href=(address) rel="noopener noreferrer" { "Download from its source" }
            }
            @if artifact.has_history {
                a href=(frame.to(&format!("view/{}/history", record.id))) { "History" }
            }
        }
        @if !artifact.files.files.is_empty() {
            section aria-labelledby="files" { h2 #files { "Files" } (files(frame, &record.id, &artifact.files)) }
        }
        @if let Some(snapshot) = &artifact.rating {
            section aria-labelledby="rating" { h2 #rating { "Rating" } (rating::section(snapshot)) }
        }
        @if let Some(graph) = &artifact.lineage {
            section aria-labelledby="lineage" {
                h2 #lineage { "Lineage" }
                @match graph {
                    Ok(graph) => (lineage::section(frame, graph, &record.id)),
                    Err(why) => (missing(why)),
                }
            }
        }
        section aria-labelledby="cost" {
            h2 #cost { "Size" }
            @match &artifact.costs {
                Ok(costs) => (cost::section(frame, costs, &record.id)),
                Err(why) => (missing(why)),
            }
        }
        @if let Some(description) = description {
            section aria-labelledby="description" {
                h2 #description { "Description" }
                details {
                    summary { "Show what its authors say" }
                    div.foreign tabindex="0" role="region" aria-label="What its authors say" {
                        pre { (text::shortened(description, MOST_OF_DESCRIPTION)) }
                    }
                }
            }
        }
    };
    frame.page(Tab::Other, &record.name, &main)
}

fn missing(why: &str) -> Markup {
    html! { p.notice { "This cannot be shown: " (why) "." } }
}

fn facts(record: &Record, evidence: &Evidence) -> Markup {
    let hub = evidence.hub.as_ref();
    let github = evidence.github.as_ref();
    let own = github.filter(|_| record.kind != Kind::Model || hub.is_none());
    let downloads = hub.and_then(|card| card.downloads);
    html! {
        dl.facts.main {
            div { dt { "Source" } dd { (text::link(&record.url)) } }
            div { dt { "Licence" } dd { (license(&evidence.license(), evidence)) } }
            @if let Some(task) = hub.and_then(|card| card.pipeline_tag.as_deref()) {
                div { dt { "Task" } dd { bdi { (task) } } }
            }
            @if let Some(library) = hub.and_then(|card| card.library_name.as_deref()) {
                div { dt { "Library" } dd { bdi { (library) } } }
            }
            @if let Some(downloads) = downloads {
                div { dt { "Downloads last month" } dd { (text::count(downloads)) } }
            }
            @if let Some(stars) = own.and_then(|project| project.stars) {
                div { dt { "Stars" } dd { (text::count(stars)) } }
            }
            div { dt { "Id" } dd.id { (record.id) } }
            @if let Some(at) = &record.created_at {
                div { dt { "Registered" } dd { (text::stored_moment(at)) (by(record.created_by.as_deref())) } }
            }
            @if let Some(at) = &record.updated_at {
                div { dt { "Changed" } dd { (text::stored_moment(at)) (by(record.updated_by.as_deref())) } }
            }
            @if let Some(at) = evidence.looked_at {
                div {
                    dt { "Looked up" }
                    dd {
                        (text::moment(at))
                        @if evidence.is_incomplete() { ", not everything: it will be looked up again" }
                    }
                }
            }
        }
    }
}

fn files(frame: &Frame, id: &Id, page: &Page) -> Markup {
    let address = |path: &FilePath| {
        let segments = path.as_str().split('/');
        let segments: Vec<String> = segments
            .map(|segment| utf8_percent_encode(segment, NON_ALPHANUMERIC).to_string())
            .collect();
        frame.to(&format!("view/{id}/files/{}", segments.join("/")))
    };
    html! {
        table {
            thead { tr { th scope="col" { "Path" } th.number scope="col" { "Size" } } }
            tbody {
                @for file in &page.files {
                    tr {
                        th scope="row" {
                            a href=(address(&file.path)) { bdi { (file.path) } }
                            @if let Some(digest) = &file.sha256 { span.digest { "SHA-256 " (digest) } }
                        }
                        td.number { (text::bytes(file.size)) }
                    }
                }
            }
        }
        @if page.next.is_some() { p.quiet { "And more, which the API lists." } }
    }
}

fn by(user: Option<&str>) -> Markup {
    html! { @if let Some(user) = user { " by " bdi { (user) } } }
}

/// What the artifact's own page says it is, in a sentence.
fn about(evidence: &Evidence) -> Option<&str> {
    let github = evidence.github.as_ref().filter(|_| evidence.hub.is_none());
    let about = github?.description.as_deref()?;
    Some(about).filter(|about| !about.trim().is_empty())
}

fn license(terms: &Terms, evidence: &Evidence) -> Markup {
    let meaning = match terms.class() {
        Class::Permissive => "permissive",
        Class::WeakCopyleft => "weak copyleft",
        Class::StrongCopyleft => "strong copyleft",
        Class::UseRestricted => "some uses are forbidden",
        Class::Restricted => "restricted",
        Class::Unknown => "not understood",
    };
    html! {
        @match (&terms.expression, &terms.stated) {
            (Some(expression), _) => { bdi { (expression) } ", " (meaning) }
            (None, Some(stated)) => { bdi { (text::shortened(stated, 200)) } ", " (meaning) }
            (None, None) if evidence.is_silent() => "not known, its source does not answer",
            (None, None) => "none stated",
        }
    }
}
