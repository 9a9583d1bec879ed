//! What it costs to download an artifact, alone and with what it depends on.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::artifact::Id;
use crate::relation::{Member, Members};

/// Bytes in what the contract calls MB.
const BYTES_PER_MB: f64 = 1_048_576.0;

/// The cost of one artifact, in MB of 1,048,576 bytes. What has no known size counts as nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[schema(as = ArtifactCost)]
pub struct Cost {
    /// With dependencies if they were asked for, each once.
    pub total_cost: f64,
    /// Without them; absent if they were not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub standalone_cost: Option<f64>,
}

/// Whether what an artifact depends on counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependencies {
    /// The artifact alone.
    Excluded,
    /// Everything that can be reached from it.
    Included,
}

/// The costs of an artifact and, with dependencies, of each of them; `None` if there is no such artifact.
pub fn costs(
    of: &Id,
    members: &Members<'_>,
    dependencies: Dependencies,
) -> Option<BTreeMap<Id, Cost>> {
    let artifact = members.get(of)?;
    if dependencies == Dependencies::Excluded {
        let cost = Cost {
            total_cost: megabytes(artifact.bytes.unwrap_or(0)),
            standalone_cost: None,
        };
        return Some(BTreeMap::from([(artifact.id.clone(), cost)]));
    }
    let mut needs: BTreeMap<&Id, Vec<&Member>> = BTreeMap::new();
    for member in closure(artifact, |member| members.dependencies(member)).into_values() {
        needs.insert(&member.id, members.dependencies(member));
    }
    let known = |member: &Member| needs.get(&member.id).cloned().unwrap_or_default();
    let mut costs = BTreeMap::new();
    for member in closure(artifact, known).into_values() {
        let bytes = closure(member, known)
            .values()
            .filter_map(|member| member.bytes)
            .fold(0, u64::saturating_add);
        let cost = Cost {
            total_cost: megabytes(bytes),
            standalone_cost: Some(megabytes(member.bytes.unwrap_or(0))),
        };
        costs.insert(member.id.clone(), cost);
    }
    Some(costs)
}

/// What can be reached from a member, itself included.
fn closure<'a>(
    from: &'a Member,
    dependencies: impl Fn(&Member) -> Vec<&'a Member>,
) -> BTreeMap<&'a Id, &'a Member> {
    let mut found = BTreeMap::from([(&from.id, from)]);
    let mut open = vec![from];
    while let Some(member) = open.pop() {
        for dependency in dependencies(member) {
            if found.insert(&dependency.id, dependency).is_none() {
                open.push(dependency);
            }
        }
    }
    found
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "sizes above 2^53 bytes lose less than a millionth of a MB"
)]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / BYTES_PER_MB
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Kind;
    use crate::relation::Reference;
    use proptest::prelude::*;

    const MB: u64 = 1_048_576;

    /// Artifacts with sizes in MB and dependencies by number.
    fn artifacts(all: &[(Option<u64>, Vec<usize>)]) -> Vec<Member> {
        let reference = |number: &usize| Reference {
            name: number.to_string(),
            keys: vec![number.to_string()],
        };
        let artifact = |(number, (size, dependencies)): (usize, &(Option<u64>, Vec<usize>))| {
            let mut references = dependencies.iter().map(reference);
            Member {
                id: (1000 + number).to_string().parse().unwrap(),
                name: number.to_string(),
                kind: Kind::Model,
                url: String::new(),
                sha: None,
                bytes: size.map(|size| size * MB),
                facts: String::new(),
                net_score: None,
                keys: vec![number.to_string()],
                parents: references.next().into_iter().collect(),
                datasets: references.next().into_iter().collect(),
                code: references.collect(),
            }
        };
        all.iter().enumerate().map(artifact).collect()
    }

    fn of(number: usize, all: &[Member], dependencies: Dependencies) -> BTreeMap<Id, Cost> {
        costs(&all[number].id, &Members::new(all), dependencies).unwrap()
    }

    #[test]
    fn what_several_depend_on_counts_once() {
        // 0 → 1 → 2, 3 and 0 → 3
        let all = artifacts(&[
            (Some(10), vec![1, 3]),
            (Some(20), vec![2, 3]),
            (Some(40), vec![]),
            (Some(80), vec![]),
        ]);
        let costs = of(0, &all, Dependencies::Included);
        let shown: Vec<(f64, Option<f64>)> = costs
            .values()
            .map(|cost| (cost.total_cost, cost.standalone_cost))
            .collect();
        assert_eq!(
            shown,
            [
                (150.0, Some(10.0)),
                (140.0, Some(20.0)),
                (40.0, Some(40.0)),
                (80.0, Some(80.0))
            ]
        );
    }

    #[test]
    fn alone_an_artifact_costs_its_own_size() {
        let all = artifacts(&[(Some(10), vec![1]), (Some(20), vec![])]);
        let costs = of(0, &all, Dependencies::Excluded);
        assert_eq!(
            serde_json::to_value(&costs).unwrap(),
            serde_json::json!({"1000": {"total_cost": 10.0}})
        );
        assert_eq!(
            super::costs(
                &"9".parse().unwrap(),
                &Members::new(&all),
                Dependencies::Excluded
            ),
            None
        );
    }

    proptest! {
        #[test]
        fn totals_are_those_of_the_closure(
            all in proptest::collection::vec(
                (proptest::option::of(0..1000u64), proptest::collection::vec(0..12usize, 0..4)), 1..10,
            ),
        ) {
            let members = artifacts(&all);
            let count = all.len();
            let mut needs = vec![vec![false; count]; count];
            for (number, (_, dependencies)) in all.iter().enumerate() {
                needs[number][number] = true;
                for dependency in dependencies.iter().filter(|dependency| **dependency < count) {
                    needs[number][*dependency] = true;
                }
            }
            for middle in 0..count {
                for from in 0..count {
                    for to in 0..count {
                        needs[from][to] |= needs[from][middle] && needs[middle][to];
                    }
                }
            }
            for number in 0..count {
                let costs = of(number, &members, Dependencies::Included);
                prop_assert_eq!(costs.len(), needs[number].iter().filter(|is_needed| **is_needed).count());
                for (other, member) in members.iter().enumerate().filter(|(other, _)| needs[number][*other]) {
                    let total: u64 = (0..count).filter(|third| needs[other][*third]).filter_map(|third| all[third].0).sum();
                    let expected = Cost {
                        total_cost: f64::from(u32::try_from(total).unwrap()),
                        standalone_cost: Some(f64::from(u32::try_from(all[other].0.unwrap_or(0)).unwrap())),
                    };
                    prop_assert_eq!(costs[&member.id], expected);
                }
            }
        }
    }
}
