//! What it takes to download an artifact.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{Frame, text};
use crate::artifact::Id;
use crate::cost::Cost;

/// The most artifacts in the table.
pub(crate) const MOST_ROWS: usize = 25;

/// What an artifact and all it depends on cost.
#[derive(Debug)]
pub(crate) struct Costs {
    /// By id, the artifact itself included.
    pub(crate) costs: BTreeMap<Id, Cost>,
    /// What those in the table are called, as far as it is known.
    pub(crate) names: BTreeMap<Id, String>,
}

impl Costs {
    /// The dependencies of an artifact that are shown: those that cost most by themselves.
    pub(crate) fn shown(costs: &BTreeMap<Id, Cost>, of: &Id) -> Vec<Id> {
        let mut others: Vec<(&Id, f64)> = costs
            .iter()
            .filter(|(id, _)| *id != of)
            .map(|(id, cost)| (id, cost.standalone_cost.unwrap_or(cost.total_cost)))
            .collect();
        others.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let shown = others.into_iter().take(MOST_ROWS);
        shown.map(|(id, _)| id.clone()).collect()
    }
}

/// The section, for the artifact `of`.
pub(super) fn section(frame: &Frame, costs: &Costs, of: &Id) -> Markup {
    let shown = Costs::shown(&costs.costs, of);
    let left_out = costs.costs.len().saturating_sub(shown.len() + 1);
    let own = costs.costs.get(of);
    let alone = own.and_then(|cost| cost.standalone_cost);
    html! {
        @if shown.is_empty() {
            p {
                @match alone.filter(|alone| *alone > 0.0) {
                    Some(alone) => { strong { (text::megabytes(alone)) " MB" } " to download. " }
                    None => "How much there is to download is not known. ",
                }
                "It depends on nothing that is registered."
            }
        } @else {
            table {
                caption { "What there is to download, in MB. What several depend on counts once." }
                thead {
                    tr {
                        th scope="col" { "Artifact" }
                        th.number scope="col" { "Alone" }
                        th.number scope="col" { "With what it needs" }
                    }
                }
                tbody {
                    @if let Some(own) = own { (row(&html! { "This artifact" }, own)) }
                    @for id in &shown {
                        @if let Some(cost) = costs.costs.get(id) {
                            (row(&html! { a href=(frame.to_artifact(id)) { bdi { (costs.names.get(id).map_or(id.as_str(), String::as_str)) } } }, cost))
                        }
                    }
                }
            }
            @if left_out > 0 { p.quiet { "And " (left_out) " smaller ones." } }
        }
    }
}

fn row(name: &Markup, cost: &Cost) -> Markup {
    html! {
        tr {
            th scope="row" { (name) }
            td.number { (text::megabytes(cost.standalone_cost.unwrap_or(0.0))) }
            td.number { (text::megabytes(cost.total_cost)) }
        }
    }
}
