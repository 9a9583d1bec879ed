//! How the registry is.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::problem::sentence;
use super::{Frame, Tab, text};

/// `HealthComponentCollection` of the contract, as far as the page shows it.
#[derive(Debug, Deserialize)]
pub(crate) struct Health {
    generated_at: String,
    components: Vec<Component>,
}

#[derive(Debug, Deserialize)]
struct Component {
    id: String,
    display_name: Option<String>,
    status: String,
    description: Option<String>,
    #[serde(default)]
    metrics: BTreeMap<String, Value>,
    #[serde(default)]
    issues: Vec<Issue>,
}

#[derive(Debug, Deserialize)]
struct Issue {
    summary: String,
    details: Option<String>,
}

/// The page.
pub(crate) fn page(frame: &Frame, health: &Health) -> Markup {
    let main = html! {
        h1 { "Status" }
        p.quiet { "As of " (text::stored_moment(&health.generated_at)) ". Load the page again for the present state." }
        div.cards {
            @for component in &health.components { (card(component)) }
        }
    };
    frame.page(Tab::Status, "Status", &main)
}

fn card(component: &Component) -> Markup {
    let name = component.display_name.as_deref().unwrap_or(&component.id);
    let (class, word) = match component.status.as_str() {
        "ok" => ("state good", "Working"),
        "degraded" => ("state fair", "Degraded"),
        "critical" => ("state bad", "Not working"),
        _ => ("state", "Not known yet"),
    };
    html! {
        section.card {
            h2 { (name) }
            p class=(class) { (word) }
            @if let Some(description) = &component.description { p { (description) } }
            @for issue in &component.issues {
                p.notice.bad {
                    (sentence(&issue.summary))
                    @if let Some(details) = &issue.details { " " (sentence(details)) }
                }
            }
            @if !component.metrics.is_empty() {
                dl.facts {
                    @for (name, value) in &component.metrics {
                        div { dt { (text::words(name)) } dd { (text::value(value)) } }
                    }
                }
            }
        }
    }
}
