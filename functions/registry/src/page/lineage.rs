//! Where a model comes from and what came of it: drawn, and as a list.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::drawing::{BOX_HEIGHT, BOX_WIDTH, Line, plan};
use super::{Frame, text};
use crate::artifact::Id;
use crate::lineage::{Graph, Node};

/// The most models in a drawing: more are not understood at a glance.
const MOST_DRAWN: usize = 40;
/// The most models in the list.
const MOST_LISTED: usize = 500;
/// The most characters of a name that fit into a box.
const MOST_OF_NAME: usize = 20;

/// The part of a graph that is shown: the model and those nearest to it.
#[derive(Debug)]
struct Part<'a> {
    nodes: Vec<&'a Node>,
    /// From parent to child, by their places among the nodes.
    edges: Vec<(usize, usize)>,
}

/// The section, for the model `of`.
pub(super) fn section(frame: &Frame, graph: &Graph, of: &Id) -> Markup {
    if graph.nodes.len() < 2 {
        return html! { p { "No model is known that it was made from, or that was made from it." } };
    }
    let drawn = Part::of(graph, of.as_str(), MOST_DRAWN);
    let listed = Part::of(graph, of.as_str(), MOST_LISTED);
    html! {
        div.beside.wide {
            div {
                div.frame role="region" aria-label="Drawing of the lineage" tabindex="0" { (drawing(frame, &drawn, of)) }
                @if drawn.nodes.len() < graph.nodes.len() {
                    p.quiet { "The " (drawn.nodes.len()) " nearest of " (graph.nodes.len()) " models are drawn." }
                }
            }
            div {
                h3 { "The same as a list" }
                ul.lineage { @for place in listed.in_order() { (item(frame, &listed, place, of)) } }
                @if listed.nodes.len() < graph.nodes.len() {
                    p.quiet { "And " (graph.nodes.len() - listed.nodes.len()) " more." }
                }
            }
        }
    }
}

fn drawing(frame: &Frame, part: &Part<'_>, of: &Id) -> Markup {
    let plan = plan(part.nodes.len(), &part.edges);
    // As it is read, which is also how the keyboard goes through it.
    let mut boxes: Vec<_> = part.nodes.iter().zip(&plan.boxes).collect();
    boxes.sort_by_key(|(_, (x, y))| (*y, *x));
    html! {
        svg.graph width=(plan.width) height=(plan.height) viewBox=(format!("0 0 {} {}", plan.width, plan.height))
            role="group" aria-label="Arrows lead from a model to those made from it" {
            defs {
                marker #tip viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto" {
                    path.tip d="M0 0L8 4L0 8z" {}
                }
            }
            @for line in &plan.lines { path.line d=(curve(line)) marker-end="url(#tip)" {} }
            @for (node, corner) in boxes {
                g transform=(format!("translate({} {})", corner.0, corner.1)) {
                    @match registered(node) {
                        Some(id) if id == *of => { (inside(node, "own", "this model")) }
                        Some(id) => a href=(frame.to_artifact(&id)) aria-label=(node.name) {
                            (inside(node, "other", id.as_str()))
                        },
                        None => { (inside(node, "outside", "not registered")) }
                    }
                }
            }
        }
    }
}

/// A box with its two lines of text, of which nothing sticks out.
fn inside(node: &Node, class: &str, second: &str) -> Markup {
    html! {
        rect class=(class) x="1" y="1" width=(BOX_WIDTH - 2) height=(BOX_HEIGHT - 2) rx="8" {}
        svg x="10" y="0" width=(BOX_WIDTH - 20) height=(BOX_HEIGHT) {
            text x="0" y="21" { (text::shortened(&node.name, MOST_OF_NAME)) }
            text.small x="0" y="39" { (text::shortened(second, MOST_OF_NAME)) }
        }
    }
}

/// A line from place to place that leaves and arrives upright.
fn curve(line: &Line) -> String {
    let mut path = String::new();
    let mut before: Option<(u32, u32)> = None;
    for &(x, y) in &line.0 {
        let step = match before {
            None => format!("M{x} {y}"),
            Some((from, _)) if from == x => format!("L{x} {y}"),
            Some((from, above)) => {
                let middle = u32::midpoint(above, y);
                format!("C{from} {middle} {x} {middle} {x} {y}")
            }
        };
        path.push_str(&step);
        before = Some((x, y));
    }
    path
}

fn item(frame: &Frame, part: &Part<'_>, place: usize, of: &Id) -> Markup {
    let parents: Vec<&str> = part
        .edges
        .iter()
        .filter(|(_, child)| *child == place)
        .filter_map(|(parent, _)| part.nodes.get(*parent))
        .map(|parent| parent.name.as_str())
        .collect();
    html! {
        @if let Some(node) = part.nodes.get(place) {
            li {
                @match registered(node) {
                    Some(id) if id == *of => { strong { bdi { (node.name) } } " (this model)" }
                    Some(id) => a href=(frame.to_artifact(&id)) { bdi { (node.name) } },
                    None => { bdi { (node.name) } " (not registered)" }
                }
                @if !parents.is_empty() {
                    ", made from "
                    @for (number, parent) in parents.iter().enumerate() {
                        @if number > 0 { @if number + 1 == parents.len() { " and " } @else { ", " } }
                        bdi { (parent) }
                    }
                }
            }
        }
    }
}

/// The id of a model that is in the registry.
fn registered(node: &Node) -> Option<Id> {
    if node.metadata.contains_key("external") {
        return None;
    }
    node.artifact_id.parse().ok()
}

impl<'a> Part<'a> {
    /// At most so many models of a graph: those that are the fewest steps away.
    fn of(graph: &'a Graph, center: &str, most: usize) -> Self {
        let mut related: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for edge in &graph.edges {
            let (parent, child) = (&*edge.from_node_artifact_id, &*edge.to_node_artifact_id);
            related.entry(parent).or_default().push(child);
            related.entry(child).or_default().push(parent);
        }
        let (mut near, mut edge) = (BTreeSet::from([center]), vec![center]);
        while !edge.is_empty() && near.len() < most {
            let steps = edge.iter().filter_map(|id| related.get(id)).flatten();
            let steps: Vec<&str> = steps.copied().collect();
            edge.clear();
            for id in steps {
                if near.len() < most && near.insert(id) {
                    edge.push(id);
                }
            }
        }
        let mut nodes: Vec<&Node> = graph
            .nodes
            .iter()
            .filter(|node| near.contains(node.artifact_id.as_str()))
            .collect();
        // Ids are random, and say nothing to people.
        nodes.sort_by_key(|node| (&node.name, &node.artifact_id));
        let places: BTreeMap<&str, usize> = nodes
            .iter()
            .enumerate()
            .map(|(place, node)| (node.artifact_id.as_str(), place))
            .collect();
        let edges = graph.edges.iter().filter_map(|edge| {
            let parent = places.get(edge.from_node_artifact_id.as_str())?;
            Some((*parent, *places.get(edge.to_node_artifact_id.as_str())?))
        });
        let mut edges: Vec<(usize, usize)> = edges.collect();
        edges.sort_unstable();
        Self { nodes, edges }
    }

    /// Parents before their children, as far as there are no circles.
    fn in_order(&self) -> Vec<usize> {
        let (mut order, mut done) = (Vec::new(), BTreeSet::new());
        let mut open: BTreeSet<usize> = (0..self.nodes.len()).collect();
        while !open.is_empty() {
            let waits = |place: &usize| {
                let mut parents = self.edges.iter().filter(|(_, child)| child == place);
                parents.any(|(parent, _)| parent != place && !done.contains(parent))
            };
            let ready = open.iter().find(|place| !waits(place)).or(open.first());
            let Some(next) = ready.copied() else { break };
            open.remove(&next);
            done.insert(next);
            order.push(next);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::Edge;

    /// Models with the given parents by number.
    fn graph(parents: &[&[usize]]) -> Graph {
        let id = |number: usize| format!("{}", 1000 + number);
        let node = |number| Node {
            artifact_id: id(number),
            name: format!("<name {number}>"),
            source: "config_json",
            metadata: BTreeMap::new(),
        };
        let edges = parents.iter().enumerate().flat_map(|(child, parents)| {
            parents.iter().map(move |parent| Edge {
                from_node_artifact_id: id(*parent),
                to_node_artifact_id: id(child),
                relationship: "base_model",
            })
        });
        Graph {
            edges: edges.collect(),
            nodes: (0..parents.len()).map(node).collect(),
        }
    }

    #[test]
    fn parents_are_listed_before_children_and_circles_end() {
        let graph = graph(&[&[3], &[0], &[1, 0], &[], &[5], &[4]]);
        let part = Part::of(&graph, "1000", 100);
        assert_eq!(part.in_order(), [3, 0, 1, 2]);
        let circle = Part::of(&graph, "1004", 100);
        assert_eq!(circle.in_order().len(), 2);
    }

    #[test]
    fn of_a_large_family_the_nearest_are_drawn() {
        let parents: Vec<Vec<usize>> = (0..100)
            .map(|n: usize| n.checked_sub(1).into_iter().collect())
            .collect();
        let parents: Vec<&[usize]> = parents.iter().map(Vec::as_slice).collect();
        let graph = graph(&parents);
        let part = Part::of(&graph, "1050", 5);
        let near: Vec<&str> = part
            .nodes
            .iter()
            .map(|node| node.artifact_id.as_str())
            .collect();
        assert_eq!(near, ["1048", "1049", "1050", "1051", "1052"]);
        let of = "1050".parse().unwrap();
        let markup = section(&Frame::default(), &graph, &of).into_string();
        assert!(markup.contains("The 40 nearest of 100 models are drawn."));
        assert!(!markup.contains("<name"));
    }
}
