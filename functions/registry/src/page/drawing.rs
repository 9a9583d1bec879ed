//! Where the boxes and lines of a drawn graph are: parents above their children, in layers.
//!
//! This is the layered drawing of Sugiyama, Tagawa and Toda (IEEE Transactions on Systems, Man, and Cybernetics 11(2),
//! 1981): circles are opened, every box gets a layer, long lines get a place in each layer they pass, and the places
//! within a layer are sorted by the mean of their neighbours to avoid crossings.

use std::collections::{BTreeMap, BTreeSet};

/// The width of a box, in pixels.
pub(super) const BOX_WIDTH: u32 = 184;
/// The height of a box.
pub(super) const BOX_HEIGHT: u32 = 50;
/// What a line takes of a layer that it passes.
const LANE: u32 = 20;
/// Between boxes of a layer.
const GAP: u32 = 20;
/// Between layers.
const FALL: u32 = 40;
/// How often layers are sorted.
const SWEEPS: usize = 8;

/// A graph that can be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) width: u32,
    pub(super) height: u32,
    /// The upper left corner of every node's box, in the order of the nodes.
    pub(super) boxes: Vec<(u32, u32)>,
    /// One for every edge, loops excepted.
    pub(super) lines: Vec<Line>,
}

/// The places that a line goes by, from a parent's box to a child's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line(pub(super) Vec<(u32, u32)>);

/// What takes a place in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Box(usize),
    /// Of the edge of this number, on its way through this layer.
    Lane(usize, usize),
}

/// What is in each layer.
type Rows = BTreeMap<usize, Vec<Part>>;

/// An edge that leads down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edge {
    upper: usize,
    lower: usize,
    /// It would have closed a circle, so the parent is below.
    is_turned: bool,
}

/// Draws `nodes` nodes and edges from parents to children. It takes time in proportion to the square of the edges.
pub(super) fn plan(nodes: usize, edges: &[(usize, usize)]) -> Plan {
    let edges = without_circles(edges);
    let layers = layers(nodes, &edges);
    let (mut rows, links) = rows(nodes, &edges, &layers);
    for sweep in 0..SWEEPS {
        sort(&mut rows, &links, sweep % 2 == 0);
    }
    placed(nodes, &edges, &layers, &rows)
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

/// What is in each layer, and which parts of neighbouring layers are joined, the upper one first.
fn rows(
    nodes: usize,
    edges: &[Edge],
    layers: &BTreeMap<usize, usize>,
) -> (Rows, Vec<(Part, Part)>) {
    let mut rows = Rows::new();
    for node in 0..nodes {
        let layer = layers.get(&node).copied().unwrap_or(0);
        rows.entry(layer).or_default().push(Part::Box(node));
    }
    let mut links = Vec::new();
    for (number, edge) in edges.iter().enumerate() {
        let mut above = Part::Box(edge.upper);
        for layer in passed(edge, layers) {
            let lane = Part::Lane(number, layer);
            rows.entry(layer).or_default().push(lane);
            links.push((above, lane));
            above = lane;
        }
        links.push((above, Part::Box(edge.lower)));
    }
    (rows, links)
}

/// The layers between the ends of an edge.
fn passed(edge: &Edge, layers: &BTreeMap<usize, usize>) -> std::ops::Range<usize> {
    let of = |node| layers.get(&node).copied().unwrap_or(0);
    of(edge.upper) + 1..of(edge.lower)
}

/// Sorts each layer by where the neighbours above are, or those below.
fn sort(rows: &mut Rows, links: &[(Part, Part)], is_downward: bool) {
    let mut order: Vec<usize> = rows.keys().copied().collect();
    if !is_downward {
        order.reverse();
    }
    let mut places: BTreeMap<Part, usize> = BTreeMap::new();
    for layer in order {
        let Some(row) = rows.get_mut(&layer) else {
            continue;
        };
        let wish = |(place, part): (usize, &Part)| {
            let neighbours = links.iter().filter_map(|(upper, lower)| {
                let (own, other) = if is_downward {
                    (lower, upper)
                } else {
                    (upper, lower)
                };
                (own == part).then(|| places.get(other).copied()).flatten()
            });
            let (count, sum) =
                neighbours.fold((0, 0), |(count, sum), place| (count + 1, sum + place));
            // Thousandths; without neighbours it stays where it is.
            let mean = (sum * 1000).checked_div(count);
            (mean.unwrap_or(place * 1000), *part)
        };
        let mut wishes: Vec<(usize, Part)> = row.iter().enumerate().map(wish).collect();
        wishes.sort_by_key(|(wish, _)| *wish);
        *row = wishes.into_iter().map(|(_, part)| part).collect();
        places.extend(row.iter().enumerate().map(|(place, part)| (*part, place)));
    }
}

fn placed(nodes: usize, edges: &[Edge], layers: &BTreeMap<usize, usize>, rows: &Rows) -> Plan {
    let width_of = |part: &Part| match part {
        Part::Box(_) => BOX_WIDTH,
        Part::Lane(..) => LANE,
    };
    let width_of_row = |row: &Vec<Part>| {
        let parts: u32 = row.iter().map(width_of).sum();
        parts + pixels(row.len().saturating_sub(1)) * GAP
    };
    let width = rows.values().map(width_of_row).max().unwrap_or(0);
    let mut places: BTreeMap<Part, (u32, u32)> = BTreeMap::new();
    for (layer, row) in rows {
        let mut x = (width - width_of_row(row)) / 2;
        for part in row {
            places.insert(*part, (x, pixels(*layer) * (BOX_HEIGHT + FALL)));
            x += width_of(part) + GAP;
        }
    }
    let place = |part| places.get(&part).copied().unwrap_or_default();
    let line = |(number, edge): (usize, &Edge)| {
        let (x, y) = place(Part::Box(edge.upper));
        let mut points = vec![(x + BOX_WIDTH / 2, y + BOX_HEIGHT)];
        for layer in passed(edge, layers) {
            let (x, y) = place(Part::Lane(number, layer));
            points.extend([(x + LANE / 2, y), (x + LANE / 2, y + BOX_HEIGHT)]);
        }
        let (x, y) = place(Part::Box(edge.lower));
        points.push((x + BOX_WIDTH / 2, y));
        if edge.is_turned {
            points.reverse();
        }
        Line(points)
    };
    let lowest = rows.keys().max().copied().unwrap_or(0);
    Plan {
        width,
        height: pixels(lowest) * (BOX_HEIGHT + FALL) + BOX_HEIGHT,
        boxes: (0..nodes).map(|node| place(Part::Box(node))).collect(),
        lines: edges.iter().enumerate().map(line).collect(),
    }
}

/// A number of things, of which no drawing has so many that they are too many.
fn pixels(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layer(plan: &Plan, node: usize) -> u32 {
        plan.boxes[node].1 / (BOX_HEIGHT + FALL)
    }

    #[test]
    fn a_chain_is_a_column() {
        let plan = plan(3, &[(2, 0), (0, 1)]);
        assert_eq!(plan.width, BOX_WIDTH);
        assert_eq!(
            [layer(&plan, 2), layer(&plan, 0), layer(&plan, 1)],
            [0, 1, 2]
        );
        assert_eq!(plan.lines[0].0.len(), 2);
    }

    #[test]
    fn a_long_line_goes_beside_the_boxes_it_passes() {
        let plan = plan(3, &[(0, 1), (1, 2), (0, 2)]);
        assert_eq!(plan.width, BOX_WIDTH + GAP + LANE);
        let [_, (x, _), ..] = plan.lines[2].0[..] else {
            panic!("no way through the layer between");
        };
        let (left, _) = plan.boxes[1];
        assert!(x < left || x > left + BOX_WIDTH);
    }

    #[test]
    fn lines_do_not_cross_where_they_need_not() {
        // 0 and 1 above, each with a child of its own, given crosswise.
        let plan = plan(4, &[(0, 3), (1, 2)]);
        let is_left = |one: usize, other: usize| plan.boxes[one].0 < plan.boxes[other].0;
        assert_eq!(is_left(0, 1), is_left(3, 2));
    }

    #[test]
    fn a_late_parent_is_just_above_its_child() {
        let plan = plan(4, &[(0, 1), (1, 2), (3, 2)]);
        assert_eq!(layer(&plan, 3), 1);
    }

    proptest! {
        #[test]
        fn boxes_never_overlap_and_lines_lead_from_box_to_box(
            nodes in 1..20usize,
            edges in proptest::collection::vec((0..20usize, 0..20usize), 0..40),
        ) {
            let edges: Vec<(usize, usize)> =
                edges.into_iter().map(|(from, to)| (from % nodes, to % nodes)).collect();
            let plan = plan(nodes, &edges);
            prop_assert_eq!(plan.boxes.len(), nodes);
            for (number, (x, y)) in plan.boxes.iter().enumerate() {
                prop_assert!(x + BOX_WIDTH <= plan.width && y + BOX_HEIGHT <= plan.height);
                for (other_x, other_y) in plan.boxes.iter().skip(number + 1) {
                    prop_assert!(y != other_y || x.abs_diff(*other_x) >= BOX_WIDTH + GAP);
                }
            }
            let proper: Vec<_> = edges.iter().filter(|(from, to)| from != to).collect();
            prop_assert_eq!(plan.lines.len(), proper.len());
            for (line, (from, to)) in plan.lines.iter().zip(proper) {
                let touches = |node: usize, point: &(u32, u32)| {
                    let (x, y) = plan.boxes[node];
                    point.0 == x + BOX_WIDTH / 2 && (point.1 == y || point.1 == y + BOX_HEIGHT)
                };
                prop_assert!(touches(*from, &line.0[0]) && touches(*to, &line.0[line.0.len() - 1]));
                let is_level = layer(&plan, *from) == layer(&plan, *to);
                prop_assert!(!is_level);
            }
        }
    }
}
