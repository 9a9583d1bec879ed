//! What is true at any time, whatever has been asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use registry::index::rebuild::Order;
use serde_json::Value;
use tokio::time::Instant;

use crate::report::Case;
use crate::world::World;

/// Artifacts are whole: what queries find is what the bucket has, and each is the only one with its URL.
pub(crate) async fn check(case: &Case<'_>, world: &World<'_>) {
    let mut stored = BTreeMap::new();
    for key in world.keys("artifacts/").await {
        let Some(id) = key
            .strip_prefix("artifacts/")
            .and_then(|key| key.strip_suffix("/metadata.json"))
        else {
            continue;
        };
        let record = world.object(&key).await.unwrap_or_default();
        if let Some(url) = record["data"]["url"].as_str() {
            stored.insert(
                id.to_owned(),
                (record["metadata"]["name"].clone(), url.to_owned()),
            );
        }
    }
    let found = world.found("*").await;
    let found: BTreeMap<&String, &Value> = found
        .iter()
        .map(|(id, entry)| (id, &entry["name"]))
        .collect();
    let there: BTreeMap<&String, &Value> =
        stored.iter().map(|(id, (name, _))| (id, name)).collect();
    case.check(found == there, || {
        format!("a query finds {found:?} of {there:?}")
    });

    let mut claims = BTreeSet::new();
    for key in world.keys("claims/").await {
        let claim = world.object(&key).await.unwrap_or_default();
        let text = |name: &str| claim[name].as_str().unwrap_or_default().to_owned();
        claims.insert((text("url"), text("id")));
    }
    for (id, (_, url)) in stored {
        let claim = (url, id);
        case.check(claims.contains(&claim), || {
            format!("nobody has claimed {claim:?}")
        });
    }
}

/// The trail is whole, and the index knows what the bucket has.
pub(crate) async fn check_at_the_end(case: &Case<'_>, world: &World<'_>) {
    let (status, verified) = world.get("/audit/verify").await;
    case.check(status == 200 && verified["complete"] == true, || {
        format!("the trail: {status} {verified}")
    });
    let registry = &world.observer.backend.registry;
    if registry.check_index().await.is_none() {
        return;
    }
    let deadline = Instant::now() + Duration::from_mins(1);
    // What queries need not know, such as who was barred, a comparison adds; it finds nothing that they would not.
    let before = world.found("*").await;
    let added = registry.rebuild_index(&Order::default(), deadline).await;
    let added = added.unwrap().counts;
    case.check(
        added.surplus == 0 && added.claimed == 0 && added.failed == 0,
        || format!("the index differed: {added:?}"),
    );
    let after = world.found("*").await;
    case.check(before == after, || {
        format!("there was {before:?}, and then {after:?}")
    });
    let order = Order {
        dry_run: true,
        ..Order::default()
    };
    let counts = registry
        .rebuild_index(&order, deadline)
        .await
        .unwrap()
        .counts;
    let differences = (counts.missing, counts.different, counts.surplus);
    case.check(differences == (0, 0, 0), || {
        format!("the index differs: {counts:?}")
    });
}
