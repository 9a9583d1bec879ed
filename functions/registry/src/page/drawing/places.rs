//! Who stands where in a layer.

use std::collections::BTreeMap;

use super::GAP;
use super::layers::{Layered, Part};

/// How often layers are sorted, and how often they are moved.
const SWEEPS: usize = 8;
/// How much straighter a line is kept between two of its lanes than between two boxes.
const STRAIGHT: i64 = 8;

/// Places within a layer, from left to right, in pixels or just counted.
type Places = BTreeMap<Part, i64>;

/// The middle of every part, in pixels from the left edge of the drawing.
pub(super) fn centers(layered: &Layered) -> BTreeMap<Part, u32> {
    let mut rows = layered.rows.clone();
    for sweep in 0..SWEEPS {
        sort(&mut rows, &layered.links, sweep % 2 == 0);
    }
    let neighbours = neighbours(&layered.links);
    let mut centers: Places = rows.values().flat_map(|row| packed(row)).collect();
    for sweep in 0..SWEEPS {
        let mut order: Vec<&Vec<Part>> = rows.values().collect();
        if sweep % 2 == 1 {
            order.reverse();
        }
        for row in order {
            let moved = moved(row, &neighbours, &centers);
            centers.extend(moved);
        }
    }
    let left = centers
        .iter()
        .map(|(part, center)| center - i64::from(part.width()) / 2);
    let left = left.min().unwrap_or(0);
    let from_left = |(part, center): (Part, i64)| (part, u32::try_from(center - left).unwrap_or(0));
    centers.into_iter().map(from_left).collect()
}

/// Sorts each layer by where the neighbours above are, or those below.
fn sort(rows: &mut BTreeMap<usize, Vec<Part>>, links: &[(Part, Part)], is_downward: bool) {
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

/// Whom each part is joined to, and how much it should stand below or above that one.
fn neighbours(links: &[(Part, Part)]) -> BTreeMap<Part, Vec<(Part, i64)>> {
    let mut neighbours: BTreeMap<Part, Vec<(Part, i64)>> = BTreeMap::new();
    for &(upper, lower) in links {
        let weight = match (upper, lower) {
            (Part::Lane(..), Part::Lane(..)) => STRAIGHT,
            _ => 1,
        };
        neighbours.entry(upper).or_default().push((lower, weight));
        neighbours.entry(lower).or_default().push((upper, weight));
    }
    neighbours
}

/// A layer side by side, its middle at 0.
fn packed(row: &[Part]) -> Vec<(Part, i64)> {
    let offsets = offsets(row);
    let width = offsets.last().copied().unwrap_or(0);
    let places = row.iter().copied().zip(offsets);
    places
        .map(|(part, offset)| (part, offset - width / 2))
        .collect()
}

/// From the middle of the first of a layer to that of each, where they stand as near as they may.
fn offsets(row: &[Part]) -> Vec<i64> {
    let mut offsets = Vec::new();
    let (mut offset, mut before) = (0, None);
    for part in row {
        let half = i64::from(part.width()) / 2;
        if let Some(before) = before {
            offset += before + i64::from(GAP) + half;
        }
        offsets.push(offset);
        before = Some(half);
    }
    offsets
}

/// A layer where everything stands in order and as near as can be to the mean of its neighbours.
///
/// Without the distances, that is the least sum of squares under an order, which is found by making one of neighbours
/// that are in the wrong order, again and again: isotonic regression (Barlow, Bartholomew, Bremner and Brunk, 1972).
fn moved(
    row: &[Part],
    neighbours: &BTreeMap<Part, Vec<(Part, i64)>>,
    centers: &Places,
) -> Vec<(Part, i64)> {
    let offsets = offsets(row);
    let mut groups: Vec<Group> = Vec::new();
    for (part, offset) in row.iter().zip(&offsets) {
        let own = centers.get(part).copied().unwrap_or(0);
        let around = neighbours.get(part).into_iter().flatten();
        let wishes = around.filter_map(|(other, weight)| Some((*centers.get(other)?, *weight)));
        let (sum, weight) = wishes.fold((0, 0), |(sum, all), (center, weight)| {
            (sum + center * weight, all + weight)
        });
        let (sum, weight) = if weight == 0 { (own, 1) } else { (sum, weight) };
        let mut group = Group {
            sum: sum - offset * weight,
            weight,
            parts: 1,
        };
        while let Some(before) = groups.pop_if(|before| before.is_right_of(&group)) {
            group = before.with(&group);
        }
        groups.push(group);
    }
    let places = groups.iter().flat_map(|group| {
        let place = group.sum.div_euclid(group.weight);
        std::iter::repeat_n(place, group.parts)
    });
    let places = places.zip(offsets).map(|(place, offset)| place + offset);
    row.iter().copied().zip(places).collect()
}

/// Parts that stand as near as they may, so that they move together.
#[derive(Debug, Clone, Copy)]
struct Group {
    sum: i64,
    weight: i64,
    parts: usize,
}

impl Group {
    fn is_right_of(&self, other: &Self) -> bool {
        self.sum * other.weight > other.sum * self.weight
    }

    fn with(&self, other: &Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            weight: self.weight + other.weight,
            parts: self.parts + other.parts,
        }
    }
}
