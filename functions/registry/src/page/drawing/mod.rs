//! Where the boxes and lines of a drawn graph are: parents above their children, in layers.
//!
//! This is the layered drawing of Sugiyama, Tagawa and Toda (IEEE Transactions on Systems, Man, and Cybernetics 11(2),
//! 1981): circles are opened, every box gets a layer, and long lines get a place in each layer they pass (`layers`);
//! then the places within a layer are sorted by the mean of their neighbours, to avoid crossings, and drawn below them,
//! to keep lines straight (`places`).

mod layers;
mod places;

use layers::{Part, layered};
use places::centers;

/// The width of a box, in pixels.
pub(super) const BOX_WIDTH: u32 = 184;
/// The height of a box.
pub(super) const BOX_HEIGHT: u32 = 50;
/// What a line takes of a layer that it passes.
const LANE: u32 = 8;
/// Between the places of a layer.
const GAP: u32 = 24;
/// Between layers.
const FALL: u32 = 40;

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

/// Draws `nodes` nodes and edges from parents to children. It takes time in proportion to the square of the edges.
pub(super) fn plan(nodes: usize, edges: &[(usize, usize)]) -> Plan {
    let layered = layered(nodes, edges);
    let centers = centers(&layered);
    let top = |layer: usize| pixels(layer) * (BOX_HEIGHT + FALL);
    let center = |part| centers.get(&part).copied().unwrap_or_default();
    let box_of = |node| (center(Part::Box(node)), top(layered.layer(node)));
    let line = |(number, edge): (usize, &layers::Edge)| {
        let (x, y) = box_of(edge.upper);
        let mut points = vec![(x, y + BOX_HEIGHT)];
        for layer in layered.passed(edge) {
            let x = center(Part::Lane(number, layer));
            points.extend([(x, top(layer)), (x, top(layer) + BOX_HEIGHT)]);
        }
        points.push(box_of(edge.lower));
        if edge.is_turned {
            points.reverse();
        }
        Line(points)
    };
    let right = centers
        .iter()
        .map(|(part, center)| center + part.width() / 2);
    let lowest = layered.rows.keys().max().copied().unwrap_or(0);
    Plan {
        width: right.max().unwrap_or(0),
        height: top(lowest) + BOX_HEIGHT,
        boxes: (0..nodes)
            .map(|node| {
                let (x, y) = box_of(node);
                (x - BOX_WIDTH / 2, y)
            })
            .collect(),
        lines: layered.edges.iter().enumerate().map(line).collect(),
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
        assert!(plan.width < 2 * BOX_WIDTH);
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
