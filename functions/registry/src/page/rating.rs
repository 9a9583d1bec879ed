//! How good a model is: every score drawn, in a table, and with its reasons.

use maud::{Markup, html};

use super::text;
use crate::rating::{Explained, Rating, Snapshot, WEIGHTS};

/// Pixels from one bar to the next.
const ROW: usize = 42;

/// A score as it is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Metric {
    /// In explanations.
    key: &'static str,
    /// For people.
    name: &'static str,
    score: f64,
}

/// The section.
pub(super) fn section(snapshot: &Snapshot) -> Markup {
    let metrics = metrics(&snapshot.rating);
    html! {
        p.lead {
            "Net score " strong { (shown(snapshot.rating.net_score)) }
            @if let Some(rated_at) = snapshot.rated_at {
                span.quiet { ", rated " (text::moment(rated_at)) }
            }
        }
        div.beside {
            (chart(&metrics))
            table {
                caption {
                    "Scores from 0 to 1, and what each weighs in the net score. Every name opens the reasons."
                }
                thead {
                    tr {
                        th scope="col" { "Metric" }
                        th.number scope="col" { "Weight" }
                        th.number scope="col" { "Score" }
                    }
                }
                tbody {
                    @for metric in &metrics { (row(metric, snapshot)) }
                }
            }
        }
    }
}

/// All scores as bars. The table says the same.
fn chart(metrics: &[Metric]) -> Markup {
    let described: Vec<String> = metrics
        .iter()
        .map(|metric| format!("{} {}", metric.name, shown(metric.score)))
        .collect();
    let label = format!("Bars of the scores: {}.", described.join(", "));
    html! {
        svg.bars role="img" aria-label=(label) width="100%" height=(metrics.len() * ROW) {
            @for (place, metric) in metrics.iter().enumerate() {
                text x="0" y=(place * ROW + 16) { (metric.name) }
                text.score x="100%" y=(place * ROW + 16) text-anchor="end" { (shown(metric.score)) }
                rect.track x="0" y=(place * ROW + 23) width="100%" height="8" rx="4" {}
                @if metric.score > 0.0 {
                    rect.bar x="0" y=(place * ROW + 23) width=(format!("{:.1}%", metric.score.min(1.0) * 100.0))
                        height="8" rx="4" {}
                }
            }
        }
    }
}

fn row(metric: &Metric, snapshot: &Snapshot) -> Markup {
    let weight = WEIGHTS.iter().find(|(key, _)| *key == metric.key);
    html! {
        tr {
            th scope="row" {
                @match snapshot.explanation.get(metric.key) {
                    Some(explained) => (reasons(metric, explained, &snapshot.rating)),
                    None => (metric.name),
                }
            }
            td.number {
                @match weight {
                    Some((_, weight)) => (format!("{:.0} %", weight * 100.0)),
                    None => span.hidden { "the whole" },
                }
            }
            td.number { (shown(metric.score)) }
        }
    }
}

fn reasons(metric: &Metric, explained: &Explained, rating: &Rating) -> Markup {
    html! {
        details {
            summary { (metric.name) }
            p { "The rule: " (explained.rule) "." }
            @if metric.key == "size_score" {
                dl.facts {
                    @for (device, score) in devices(rating) {
                        div { dt { (device) } dd { (shown(score)) } }
                    }
                }
            }
            @if !explained.inputs.is_empty() {
                dl.facts {
                    @for (name, value) in &explained.inputs {
                        div { dt { (text::words(name)) } dd { bdi { (text::value(value)) } } }
                    }
                }
            }
        }
    }
}

/// The net score first, then what it is made of, as it weighs.
fn metrics(rating: &Rating) -> [Metric; 12] {
    let metric = |key, name, score| Metric { key, name, score };
    [
        metric("net_score", "Net score", rating.net_score),
        metric("size_score", "Size", rating.size_score.mean()),
        metric("license", "Licence", rating.license),
        metric("ramp_up_time", "Ramp-up", rating.ramp_up_time),
        metric("bus_factor", "Bus factor", rating.bus_factor),
        metric(
            "performance_claims",
            "Performance claims",
            rating.performance_claims,
        ),
        metric(
            "dataset_and_code_score",
            "Dataset and code",
            rating.dataset_and_code_score,
        ),
        metric("reproducibility", "Reproducibility", rating.reproducibility),
        metric("dataset_quality", "Dataset quality", rating.dataset_quality),
        metric("code_quality", "Code quality", rating.code_quality),
        metric("reviewedness", "Reviewedness", rating.reviewedness),
        metric("tree_score", "Parents", rating.tree_score),
    ]
}

fn devices(rating: &Rating) -> [(&'static str, f64); 4] {
    let sizes = &rating.size_score;
    [
        ("Raspberry Pi", sizes.raspberry_pi),
        ("Jetson Nano", sizes.jetson_nano),
        ("Desktop PC", sizes.desktop_pc),
        ("AWS server", sizes.aws_server),
    ]
}

/// To two digits after the point; below zero there is no score.
fn shown(score: f64) -> String {
    if score < 0.0 {
        "none".to_owned()
    } else {
        format!("{score:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_score_of_a_rating_is_drawn_and_listed() {
        let rating = Rating {
            reviewedness: -1.0,
            license: 1.0,
            ..Rating::default()
        };
        let metrics = metrics(&rating);
        for (key, _) in WEIGHTS {
            assert!(metrics.iter().any(|metric| metric.key == key), "{key}");
        }
        let markup = section(&Snapshot {
            rating,
            ..Snapshot::default()
        });
        let markup = markup.into_string();
        assert_eq!(markup.matches("<rect class=\"track\"").count(), 12);
        // What is nothing, or not there, has no bar.
        assert_eq!(markup.matches("<rect class=\"bar\"").count(), 1);
        assert!(markup.contains("Licence 1.00") && markup.contains("Reviewedness none"));
    }
}
