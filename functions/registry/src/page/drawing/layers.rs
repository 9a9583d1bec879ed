//! Which box is in which layer, and which lines pass it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::{BOX_WIDTH, LANE};

/// A graph in layers.
#[derive(Debug)]
pub(super) struct Layered {
    /// What is in each layer, in the order in which it was told.
    pub(super) rows: BTreeMap<usize, Vec<Part>>,
    /// Which parts of neighbouring layers are joined, the upper one first.
    pub(super) links: Vec<(Part, Part)>,
    /// The edges in the order in which they were told, loops left out.
    pub(super) edges: Vec<Edge>,
    layers: BTreeMap<usize, usize>,
}

/// What takes a place in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// The node of this number.
    Box(usize),
    /// The edge of this number, on its way through this layer.
    Lane(usize, usize),
}

/// An edge that leads down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) upper: usize,
    pub(super) lower: usize,
    /// It would have closed a circle, so the parent is below.
    pub(super) is_turned: bool,
}

/// Puts nodes into layers.
pub(super) fn layered(nodes: usize, edges: &[(usize, usize)]) -> Layered {
    let edges = without_circles(edges);
    let mut layered = Layered {
        layers: layers(nodes, &edges),
        rows: BTreeMap::new(),
        links: Vec::new(),
        edges: Vec::new(),
    };
    for node in 0..nodes {
        let row = layered.rows.entry(layered.layer(node)).or_default();
        row.push(Part::Box(node));
    }
    for (number, edge) in edges.iter().enumerate() {
        let mut above = Part::Box(edge.upper);
        for layer in layered.passed(edge) {
            let lane = Part::Lane(number, layer);
            layered.rows.entry(layer).or_default().push(lane);
            layered.links.push((above, lane));
            above = lane;
        }
        layered.links.push((above, Part::Box(edge.lower)));
    }
    Layered { edges, ..layered }
}

impl Layered {
    /// The layer of a node, from 0 at the top.
    pub(super) fn layer(&self, node: usize) -> usize {
        self.layers.get(&node).copied().unwrap_or(0)
    }

    /// The layers between the ends of an edge.
    pub(super) fn passed(&self, edge: &Edge) -> Range<usize> {
        self.layer(edge.upper) + 1..self.layer(edge.lower)
    }
}

impl Part {
    /// In pixels, an even number.
    pub(super) fn width(self) -> u32 {
        match self {
            Self::Box(_) => BOX_WIDTH,
            Self::Lane(..) => LANE,
        }
    }
}

fn without_circles(edges: &[(usize, usize)]) -> Vec<Edge> {
    let mut below: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let mut kept = Vec::new();
    for &(parent, child) in edges.iter().filter(|(parent, child)| parent != child) {
        let is_turned = reaches(&below, child, parent);
        let (upper, lower) = if is_turned {
            (child, parent)
        } else {
            (parent, child)
        };
        below.entry(upper).or_default().insert(lower);
        kept.push(Edge {
            upper,
            lower,
            is_turned,
        });
    }
    kept
}

fn reaches(below: &BTreeMap<usize, BTreeSet<usize>>, from: usize, to: usize) -> bool {
    let (mut seen, mut open) = (BTreeSet::from([from]), vec![from]);
    while let Some(node) = open.pop() {
        if node == to {
            return true;
        }
        let next = below.get(&node).into_iter().flatten();
        open.extend(next.filter(|next| seen.insert(**next)));
    }
    false
}

/// The layer of every node: below all parents, and those without parents as near to their children as may be.
fn layers(nodes: usize, edges: &[Edge]) -> BTreeMap<usize, usize> {
    let mut layers: BTreeMap<usize, usize> = (0..nodes).map(|node| (node, 0)).collect();
    let of = |layers: &BTreeMap<usize, usize>, node| layers.get(&node).copied().unwrap_or(0);
    for _ in 0..nodes {
        for edge in edges {
            let least = of(&layers, edge.upper) + 1;
            if of(&layers, edge.lower) < least {
                layers.insert(edge.lower, least);
            }
        }
    }
    for node in 0..nodes {
        let below = edges.iter().filter(|edge| edge.upper == node);
        let nearest = below.map(|edge| of(&layers, edge.lower)).min();
        let has_parents = edges.iter().any(|edge| edge.lower == node);
        if let (Some(nearest), false) = (nearest, has_parents) {
            layers.insert(node, nearest.saturating_sub(1));
        }
    }
    layers
}
