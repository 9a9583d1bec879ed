//! How artifacts refer to each other, by the index.

use std::sync::Arc;
use std::time::Instant;

use registry::artifact::{Id, Kind};
use registry::evidence::{Card, Evidence};
use registry::index::Index;
use registry::registry::Registry;
use registry::relation::{Member, Members};
use serde_json::{Value, json};

use crate::support::{self, BUCKET, create, draft, tester};
use crate::world::{World, all};

fn model(repository: &str, parents: &[&str]) -> Value {
    let evidence = Evidence {
        hub: Some(Card {
            id: repository.to_owned(),
            config_parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
            ..Card::default()
        }),
        ..Evidence::default()
    };
    json!({
        "metadata": { "name": repository, "type": "model" },
        "data": { "url": format!("https://huggingface.co/{repository}") },
        "evidence": evidence,
    })
}

struct Related {
    world: World,
    index: Arc<Index>,
    registry: Registry,
}

impl Related {
    async fn start(models: &[(&str, Value)]) -> Self {
        let world = World::start().await;
        for (id, record) in models {
            world.put(id, record).await;
        }
        let index = Arc::new(support::index(world.postgres.url(), BUCKET));
        let registry = world.without_index().with_index(Some(Arc::clone(&index)));
        all(&registry).await.unwrap();
        Self {
            world,
            index,
            registry,
        }
    }

    async fn member(&self, id: &str) -> Option<Member> {
        let ids: [Id; 1] = [id.parse().unwrap()];
        let members = self.index.members(self.registry.objects(), &ids).await;
        members.unwrap().pop()
    }

    async fn by_keys(&self, keys: &[&str]) -> Vec<String> {
        let members = self
            .index
            .members_by_keys(self.registry.objects(), keys, Instant::now())
            .await;
        ids(&members.unwrap())
    }

    async fn referring(&self, keys: &[&str], after: Option<&str>, limit: usize) -> Vec<String> {
        let after: Option<Id> = after.map(|id| id.parse().unwrap());
        let objects = self.registry.objects();
        let members = self
            .index
            .members_referring(objects, keys, (after.as_ref(), limit), Instant::now())
            .await;
        ids(&members.unwrap())
    }
}

fn ids(members: &[Member]) -> Vec<String> {
    members.iter().map(|member| member.id.to_string()).collect()
}

#[tokio::test]
async fn members_are_found_by_id_by_key_and_by_whom_they_refer_to() {
    let related = Related::start(&[
        ("1", model("google/bert", &[])),
        ("2", model("other/bert", &["google/bert"])),
        ("3", model("third/bert", &["bert"])),
        ("4", model("me/child", &["google/bert", "nobody/x"])),
    ])
    .await;
    let child = related.member("4").await.unwrap();
    assert_eq!((child.name.as_str(), child.kind), ("me/child", Kind::Model));
    assert_eq!(child.parents.len(), 2);
    assert_eq!(related.member("5").await, None);

    assert_eq!(related.by_keys(&["hub:model:google/bert"]).await, ["1"]);
    // Enough to tell whom each of them means, not all there are.
    assert_eq!(related.by_keys(&["hub-name:model:bert"]).await, ["1", "2"]);
    assert!(
        related
            .by_keys(&["hub:model:nobody/x", "a\0b"])
            .await
            .is_empty()
    );
    let all = ["hub:model:google/bert", "hub-name:model:bert"];
    assert_eq!(related.referring(&all, None, 10).await, ["2", "3", "4"]);
    assert_eq!(related.referring(&all, None, 2).await, ["2", "3"]);
    assert_eq!(related.referring(&all, Some("3"), 2).await, ["4"]);

    // What is left of rows that somebody has deleted hides nobody.
    let gone =
        "insert into registry_relation select 'hub-name:model:bert', false, '0' || number || '/'
        from generate_series(1, 5) as number";
    related.world.sql.batch_execute(gone).await.unwrap();
    assert_eq!(related.by_keys(&["hub-name:model:bert"]).await, ["1", "2"]);

    // Resolved by these, a reference means the same as by all members there are.
    let third = related.member("3").await.unwrap();
    let keys = &third.parents[0].keys;
    let objects = related.registry.objects();
    let candidates = related
        .index
        .members_by_keys(objects, keys, Instant::now())
        .await
        .unwrap();
    let meant = Members::new(&candidates)
        .resolve(&third, &third.parents[0])
        .cloned();
    assert_eq!(meant.unwrap().id.as_str(), "1");
}

#[tokio::test]
async fn relations_follow_every_change_at_once() {
    let related = Related::start(&[]).await;
    let url = "https://huggingface.co/google/bert";
    let id = create(&related.registry, draft(Kind::Model, url)).await;
    let key = ["hub:model:google/bert"];
    assert_eq!(related.by_keys(&key).await, [id.as_str()]);
    let moved = crate::world::change("bert", "https://huggingface.co/other/bert");
    related
        .registry
        .update(Kind::Model, &id, &moved)
        .await
        .unwrap();
    assert!(related.by_keys(&key).await.is_empty());
    assert_eq!(
        related.by_keys(&["hub:model:other/bert"]).await,
        [id.as_str()]
    );
    related
        .registry
        .delete(Kind::Model, &id, &tester())
        .await
        .unwrap();
    assert!(related.by_keys(&["hub:model:other/bert"]).await.is_empty());
    let left = related
        .world
        .count("select count(*) from registry_relation")
        .await;
    assert_eq!(left, 0);
}
