//! Who refers to whom, in the whole registry. The two questions are here, so that an index can answer them where there
//! is one; without one, the catalogue does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::{Error, Registry};
use crate::artifact::Kind;
use crate::index::Index;
use crate::rating::{Parent, Ties};
use crate::relation::{Member, Members};

/// Artifacts asked for at a time.
const PAGE: usize = 1000;
/// More than that make no answer.
const MOST_REFERRING: usize = 10_000;

impl Registry {
    /// The artifacts that are meant by one of these keys, as they were at this moment or later.
    pub(super) async fn members_with(
        &self,
        keys: &BTreeSet<&str>,
        moment: Instant,
    ) -> Result<Vec<Arc<Member>>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(index) = &self.index {
            let keys: Vec<&str> = keys.iter().copied().collect();
            let members = index.members_by_keys(&self.objects, &keys, moment).await?;
            return Ok(members.into_iter().map(Arc::new).collect());
        }
        let has = |member: &Member| member.keys.iter().any(|key| keys.contains(key.as_str()));
        self.members(keys, moment, has).await
    }

    /// The artifacts that say something of one of these keys, as they were at this moment or later.
    pub(super) async fn members_referring(
        &self,
        keys: &BTreeSet<&str>,
        moment: Instant,
    ) -> Result<Vec<Arc<Member>>, Error> {
        if let Some(index) = &self.index {
            return self.indexed_referring(index, keys, moment).await;
        }
        let refers = |member: &Member| member.meant().iter().any(|key| keys.contains(key));
        self.members(keys, moment, refers).await
    }

    async fn indexed_referring(
        &self,
        index: &Index,
        keys: &BTreeSet<&str>,
        moment: Instant,
    ) -> Result<Vec<Arc<Member>>, Error> {
        let keys: Vec<&str> = keys.iter().copied().collect();
        let mut found: Vec<Arc<Member>> = Vec::new();
        loop {
            let after = found.last().map(|last| last.id.clone());
            let page = index
                .members_referring(&self.objects, &keys, (after.as_ref(), PAGE), moment)
                .await?;
            let is_last = page.len() < PAGE;
            found.extend(page.into_iter().map(Arc::new));
            if is_last {
                return Ok(found);
            }
            if found.len() > MOST_REFERRING {
                return Err(Error::TooManyRelated);
            }
        }
    }

    async fn members(
        &self,
        keys: &BTreeSet<&str>,
        moment: Instant,
        is_meant: impl Fn(&Member) -> bool,
    ) -> Result<Vec<Arc<Member>>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let entries = self.catalogue.since(&self.objects, moment).await?;
        let members = entries.iter().filter_map(|entry| entry.member.as_ref());
        Ok(members.filter(|member| is_meant(member)).cloned().collect())
    }

    /// What is registered of what a model refers to.
    pub(super) async fn ties(&self, member: &Member) -> Result<Ties, Error> {
        let keys = member.meant().into_iter().collect();
        let found = self.members_with(&keys, Instant::now()).await?;
        let members = Members::new(found.iter().map(Arc::as_ref));
        let of = |references| {
            let related = members.resolve_all(member, references).into_iter();
            related
                .map(|one| (one.id.clone(), one.facts.clone()))
                .collect()
        };
        let parents = members.resolve_all(member, &member.parents).into_iter();
        Ok(Ties {
            code: of(&member.code),
            datasets: of(&member.datasets),
            parents: parents
                .filter(|parent| parent.kind == Kind::Model)
                .map(|parent| Parent {
                    id: parent.id.clone(),
                    net_score: parent.net_score,
                })
                .collect(),
        })
    }
}
