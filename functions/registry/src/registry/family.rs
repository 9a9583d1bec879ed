//! What can be reached from an artifact, level by level: only who is related is asked for, however many others there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::{Error, Registry};
use crate::artifact::{Id, Kind};
use crate::cost::{self, Cost, Dependencies};
use crate::lineage::{self, Externals, Graph};
use crate::relation::{Member, Members};

/// The most models in one lineage.
const MOST_MODELS: usize = 10_000;
/// The most dependencies in one cost.
const MOST_DEPENDENCIES: usize = 1000;
/// The longest chain in either.
const MOST_LEVELS: usize = 200;

/// Members by id.
type Known = BTreeMap<Id, Arc<Member>>;

impl Registry {
    /// The models that a model was made from, and those that were made from it.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], also for an artifact that is no model; [`Error::TooManyRelated`].
    pub async fn lineage(&self, id: &Id, externals: Externals) -> Result<Graph, Error> {
        let moment = Instant::now();
        let (record, _) = self.looked_up(Kind::Model, id).await?;
        // The family, and whoever else the family might mean.
        let mut known = known([Arc::new(Member::of(&record))]);
        self.learn_ancestors(id, &mut known, moment).await?;
        self.learn_descendants(id, &mut known, moment).await?;
        lineage::graph(id, &members(&known), externals).ok_or(Error::NotFound)
    }

    /// What it costs to download an artifact, alone or with what it depends on.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], also for an artifact of another kind; [`Error::TooManyRelated`].
    pub async fn costs(
        &self,
        kind: Kind,
        id: &Id,
        dependencies: Dependencies,
    ) -> Result<BTreeMap<Id, Cost>, Error> {
        let moment = Instant::now();
        let (record, _) = self.looked_up(kind, id).await?;
        let mut known = known([Arc::new(Member::of(&record))]);
        let mut found = BTreeSet::from([id.clone()]);
        let mut open = vec![id.clone()];
        if dependencies == Dependencies::Excluded {
            open.clear();
        }
        for _ in 0..MOST_LEVELS {
            if open.is_empty() {
                let members = members(&known);
                return cost::costs(id, &members, dependencies).ok_or(Error::NotFound);
            }
            self.learn(&mut known, &open, Member::meant, moment).await?;
            let members = members(&known);
            let needed = open.iter().filter_map(|id| members.get(id));
            let needed = needed.flat_map(|member| members.dependencies(member));
            open = new(&mut found, needed.collect(), MOST_DEPENDENCIES)?;
        }
        Err(Error::TooManyRelated)
    }

    async fn learn_ancestors(
        &self,
        id: &Id,
        known: &mut Known,
        moment: Instant,
    ) -> Result<(), Error> {
        let mut found = BTreeSet::from([id.clone()]);
        let mut open = vec![id.clone()];
        for _ in 0..MOST_LEVELS {
            if open.is_empty() {
                return Ok(());
            }
            self.learn(known, &open, Member::meant_as_parents, moment)
                .await?;
            let members = members(known);
            let children = open.iter().filter_map(|id| members.get(id));
            let parents = children.flat_map(|child| members.resolve_all(child, &child.parents));
            open = new(&mut found, parents.collect(), MOST_MODELS)?;
        }
        Err(Error::TooManyRelated)
    }

    async fn learn_descendants(
        &self,
        id: &Id,
        known: &mut Known,
        moment: Instant,
    ) -> Result<(), Error> {
        let mut found = BTreeSet::from([id.clone()]);
        let mut open = vec![id.clone()];
        for _ in 0..MOST_LEVELS {
            if open.is_empty() {
                return Ok(());
            }
            let parents = open.iter().filter_map(|id| known.get(id));
            let keys: Vec<String> = parents.flat_map(|parent| parent.keys.clone()).collect();
            let keys = keys.iter().map(String::as_str).collect();
            let referring = self.members_referring(&keys, moment).await?;
            let referring = referring.into_iter().filter(|one| one.kind == Kind::Model);
            let mut candidates = Vec::new();
            for one in referring.filter(|one| !found.contains(&one.id)) {
                candidates.push(one.id.clone());
                known.entry(one.id.clone()).or_insert(one);
            }
            // They may prefer somebody else who is registered.
            self.learn(known, &candidates, Member::meant_as_parents, moment)
                .await?;
            let members = members(known);
            let is_found = |parent: &Member| found.contains(&parent.id);
            let children = candidates.iter().filter_map(|id| members.get(id));
            let children = children.filter(|child| {
                let parents = members.resolve_all(child, &child.parents);
                parents.into_iter().any(is_found)
            });
            let children = children.collect();
            open = new(&mut found, children, MOST_MODELS)?;
        }
        Err(Error::TooManyRelated)
    }

    /// Gets to know whom some members may mean.
    async fn learn(
        &self,
        known: &mut Known,
        of: &[Id],
        meant: fn(&Member) -> Vec<&str>,
        moment: Instant,
    ) -> Result<(), Error> {
        let speakers: Vec<Arc<Member>> =
            of.iter().filter_map(|id| known.get(id)).cloned().collect();
        let keys = speakers.iter().flat_map(|member| meant(member)).collect();
        for member in self.members_with(&keys, moment).await? {
            known.entry(member.id.clone()).or_insert(member);
        }
        Ok(())
    }
}

fn known(members: impl IntoIterator<Item = Arc<Member>>) -> Known {
    let members = members.into_iter();
    members.map(|member| (member.id.clone(), member)).collect()
}

fn members(known: &Known) -> Members<'_> {
    Members::new(known.values().map(Arc::as_ref))
}

/// Those that were not found before, which are now.
fn new(found: &mut BTreeSet<Id>, members: Vec<&Member>, most: usize) -> Result<Vec<Id>, Error> {
    let mut new = Vec::new();
    for member in members {
        if found.insert(member.id.clone()) {
            new.push(member.id.clone());
        }
    }
    if found.len() > most {
        return Err(Error::TooManyRelated);
    }
    Ok(new)
}
