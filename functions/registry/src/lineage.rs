//! Which models a model was made from, and which were made from it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use utoipa::ToSchema;

use crate::artifact::{Id, Kind};
use crate::relation::{Member, Members};

/// A graph of models.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ArtifactLineageGraph)]
pub struct Graph {
    /// By id, each once.
    pub nodes: Vec<Node>,
    /// By ids, each once.
    pub edges: Vec<Edge>,
}

/// A model in the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ArtifactLineageNode)]
pub struct Node {
    /// The artifact's id; `external-` and a name for a model that is not registered.
    #[schema(value_type = Id)]
    pub artifact_id: String,
    /// Its name.
    pub name: String,
    /// Where the relation was read.
    pub source: &'static str,
    /// More about it.
    #[schema(value_type = BTreeMap<String, String>)]
    pub metadata: BTreeMap<&'static str, String>,
}

/// From what a model was made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[schema(as = ArtifactLineageEdge)]
pub struct Edge {
    /// The parent.
    #[schema(value_type = Id)]
    pub from_node_artifact_id: String,
    /// The child.
    #[schema(value_type = Id)]
    pub to_node_artifact_id: String,
    /// How they are related.
    pub relationship: &'static str,
}

/// Whether models that are not registered are part of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Externals {
    /// Only what is registered.
    Excluded,
    /// Parents that are not registered as well.
    Included,
}

/// The ancestors and descendants of a model, itself included, and every relation among them; `None` if there is no
/// such model. The order of the members does not matter, and circles do not harm.
pub fn graph(of: &Id, members: &Members<'_>, externals: Externals) -> Option<Graph> {
    let model = members
        .get(of)
        .filter(|member| member.kind == Kind::Model)?;
    let mut parents: BTreeMap<&Id, Vec<&Member>> = BTreeMap::new();
    let mut children: BTreeMap<&Id, Vec<&Member>> = BTreeMap::new();
    for child in members.iter().filter(|member| member.kind == Kind::Model) {
        let resolved = members.resolve_all(child, &child.parents);
        for parent in resolved
            .into_iter()
            .filter(|parent| parent.kind == Kind::Model)
        {
            parents.entry(&child.id).or_default().push(parent);
            children.entry(&parent.id).or_default().push(child);
        }
    }
    let mut family = reachable(model, &parents);
    family.append(&mut reachable(model, &children));

    let mut nodes = BTreeMap::new();
    let mut edges = BTreeSet::new();
    for child in family.values() {
        nodes.insert(child.id.to_string(), node(child));
        for parent in parents.get(&child.id).into_iter().flatten() {
            if family.contains_key(&parent.id) {
                edges.insert(edge(parent.id.as_str(), child));
            }
        }
        if externals == Externals::Included {
            let unknown = child
                .parents
                .iter()
                .filter(|parent| members.resolve(child, parent).is_none());
            for parent in unknown {
                let id = external_id(&parent.name);
                edges.insert(edge(&id, child));
                nodes
                    .entry(id.clone())
                    .or_insert_with(|| external(id, &parent.name));
            }
        }
    }
    Some(Graph {
        nodes: nodes.into_values().collect(),
        edges: edges.into_iter().collect(),
    })
}

/// What can be reached from a member, itself included.
fn reachable<'a>(
    from: &'a Member,
    next: &BTreeMap<&Id, Vec<&'a Member>>,
) -> BTreeMap<&'a Id, &'a Member> {
    let mut found = BTreeMap::from([(&from.id, from)]);
    let mut open = vec![from];
    while let Some(member) = open.pop() {
        for member in next.get(&member.id).into_iter().flatten() {
            if found.insert(&member.id, member).is_none() {
                open.push(member);
            }
        }
    }
    found
}

fn node(member: &Member) -> Node {
    let mut metadata = BTreeMap::from([("repository_url", member.url.clone())]);
    metadata.extend(member.sha.clone().map(|sha| ("sha", sha)));
    Node {
        artifact_id: member.id.to_string(),
        name: member.name.clone(),
        source: "config_json",
        metadata,
    }
}

fn edge(parent: &str, child: &Member) -> Edge {
    Edge {
        from_node_artifact_id: parent.to_owned(),
        to_node_artifact_id: child.id.to_string(),
        relationship: "base_model",
    }
}

fn external(id: String, name: &str) -> Node {
    Node {
        artifact_id: id,
        name: name.to_owned(),
        source: "config_json",
        metadata: BTreeMap::from([("external", "true".to_owned())]),
    }
}

/// An id of letters, digits and hyphens, another one for every name: other bytes are written in hexadecimal.
fn external_id(name: &str) -> String {
    let mut id = "external-".to_owned();
    for byte in name.to_lowercase().bytes() {
        if byte.is_ascii_alphanumeric() {
            id.push(char::from(byte));
        } else {
            id.push('-');
            id.push_str(&hex::encode([byte]));
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relation::Reference;
    use proptest::prelude::*;

    /// Models with the given parents by number; a number beyond the last is of a model that is not registered.
    fn models(parents: &[Vec<usize>]) -> Vec<Member> {
        let name = |number: usize| format!("owner/m{number}");
        let model = |(number, parents): (usize, &Vec<usize>)| Member {
            id: format!("{}", 1000 + number).parse().unwrap(),
            name: name(number),
            kind: Kind::Model,
            url: format!("https://huggingface.co/{}", name(number)),
            sha: None,
            bytes: None,
            facts: String::new(),
            net_score: None,
            keys: vec![name(number)],
            parents: parents
                .iter()
                .map(|parent| Reference {
                    name: name(*parent),
                    keys: vec![name(*parent)],
                })
                .collect(),
            datasets: vec![],
            code: vec![],
        };
        parents.iter().enumerate().map(model).collect()
    }

    fn of(number: usize, models: &[Member], externals: Externals) -> Graph {
        let id = format!("{}", 1000 + number).parse().unwrap();
        graph(&id, &Members::new(models), externals).unwrap()
    }

    #[test]
    fn all_of_a_chain_see_the_same_graph() {
        let chain = models(&[vec![], vec![0], vec![1], vec![2]]);
        let whole = of(0, &chain, Externals::Excluded);
        assert_eq!((whole.nodes.len(), whole.edges.len()), (4, 3));
        for number in 1..4 {
            assert_eq!(of(number, &chain, Externals::Excluded), whole);
        }
    }

    #[test]
    fn a_model_alone_is_a_graph() {
        let alone = of(0, &models(&[vec![7]]), Externals::Excluded);
        assert_eq!(
            serde_json::to_value(&alone).unwrap(),
            serde_json::json!({
                "nodes": [{
                    "artifact_id": "1000", "name": "owner/m0", "source": "config_json",
                    "metadata": {"repository_url": "https://huggingface.co/owner/m0"},
                }],
                "edges": [],
            })
        );
    }

    #[test]
    fn parents_that_are_not_registered_are_shown_on_request() {
        let graph = of(0, &models(&[vec![7]]), Externals::Included);
        assert_eq!(graph.nodes.len(), 2);
        assert_eq!(graph.edges[0].from_node_artifact_id, "external-owner-2fm7");
        assert!(graph.edges[0].from_node_artifact_id.parse::<Id>().is_ok());
    }

    #[test]
    fn datasets_and_unknown_ids_have_no_graph() {
        let mut all = models(&[vec![], vec![0]]);
        all[0].kind = Kind::Dataset;
        let members = Members::new(&all);
        assert_eq!(graph(&all[0].id, &members, Externals::Excluded), None);
        assert_eq!(
            graph(&"9".parse().unwrap(), &members, Externals::Excluded),
            None
        );
        assert_eq!(
            graph(&all[1].id, &members, Externals::Excluded)
                .unwrap()
                .edges,
            []
        );
    }

    proptest! {
        #[test]
        fn the_graph_is_that_of_the_closure(
            parents in proptest::collection::vec(proptest::collection::vec(0..12usize, 0..4), 1..10),
            seed in any::<u64>(),
        ) {
            let all = models(&parents);
            let count = all.len();
            // is_above[a][b]: a is an ancestor of b.
            let mut is_above = vec![vec![false; count]; count];
            for (child, parents) in parents.iter().enumerate() {
                for parent in parents.iter().filter(|parent| **parent < count && **parent != child) {
                    is_above[*parent][child] = true;
                }
            }
            let direct = is_above.clone();
            for middle in 0..count {
                for above in 0..count {
                    for below in 0..count {
                        is_above[above][below] |= is_above[above][middle] && is_above[middle][below];
                    }
                }
            }
            let is_related = |one: usize, other: usize| one == other || is_above[one][other] || is_above[other][one];
            let mut shuffled = all.clone();
            let turn = usize::try_from(seed % 1000).unwrap() % count;
            shuffled.rotate_left(turn);
            shuffled.extend(all.iter().take(2).cloned());
            for number in 0..count {
                let graph = of(number, &all, Externals::Excluded);
                let family: Vec<usize> = (0..count)
                    .filter(|other| is_related(*other, number))
                    .collect();
                let ids: Vec<String> = family.iter().map(|number| (1000 + number).to_string()).collect();
                let found: Vec<String> = graph.nodes.iter().map(|node| node.artifact_id.clone()).collect();
                prop_assert_eq!(found, ids);
                let edges = family
                    .iter()
                    .flat_map(|from| family.iter().map(move |to| (from, to)))
                    .filter(|(from, to)| direct[**from][**to])
                    .count();
                prop_assert_eq!(graph.edges.len(), edges);
                prop_assert_eq!(of(number, &shuffled, Externals::Excluded), graph);
            }
        }
    }
}
