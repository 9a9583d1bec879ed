//! Changes that end in the middle.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use registry::artifact::{Id, Kind};
use registry::registry::{Error, Registry};
use tokio::time::sleep;

use crate::support::{create, draft, named, tester};
use crate::world::{World, all, change, differences, key};

/// What an instance is asked to do. Numbers choose among what is there.
#[derive(Debug, Clone)]
enum Step {
    Create(usize),
    Update(usize, usize),
    Delete(usize),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0_usize..12).prop_map(Step::Create),
        2 => (0_usize..8, 0_usize..12).prop_map(|(artifact, url)| Step::Update(artifact, url)),
        1 => (0_usize..8).prop_map(Step::Delete),
    ]
}

fn url(number: usize) -> String {
    format!("https://example.com/{number}")
}

async fn take(registry: &Registry, step: Step, ids: &[Id]) {
    let outcome = match step {
        Step::Create(number) => registry
            .create(named(Kind::Model, "a", &url(number)))
            .await
            .map(drop),
        Step::Update(artifact, number) => registry
            .update(
                Kind::Model,
                &ids[artifact % ids.len()],
                &change("a", &url(number)),
            )
            .await
            .map(drop),
        Step::Delete(artifact) => registry
            .delete(Kind::Model, &ids[artifact % ids.len()], &tester())
            .await
            .map(drop),
    };
    assert!(
        matches!(
            outcome,
            Ok(()) | Err(Error::Exists(_) | Error::NotFound | Error::Busy)
        ),
        "{outcome:?}"
    );
}

/// Drops a future when it has been polled so often. Gives what it came to, if it came to its end.
async fn cut_off<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

#[test]
fn wherever_changes_end_the_next_query_of_another_instance_agrees_with_the_bucket() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::start());
    let (ended, interrupted) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let config = Config {
        cases: 24,
        max_shrink_iters: 0,
        ..Config::default()
    };
    let histories = prop::collection::vec((steps(), 1_usize..40), 1..24);
    let tried = TestRunner::new(config).run(&histories, |history| {
        runtime.block_on(async {
            let first = world.instance();
            first.reset(&tester()).await.unwrap();
            let mut ids = Vec::new();
            for number in 0..8 {
                ids.push(create(&first, named(Kind::Model, "a", &url(number))).await);
            }
            let instances = [world.remote_instance(), world.remote_instance()];
            let taken = history
                .into_iter()
                .enumerate()
                .map(|(number, (step, polls))| {
                    cut_off(take(&instances[number % 2], step, &ids), polls)
                });
            for taken in join_all(taken).await {
                let counter = if taken.is_some() {
                    &ended
                } else {
                    &interrupted
                };
                counter.fetch_add(1, Ordering::Relaxed);
            }
            // What the store has begun to do, it ends.
            sleep(Duration::from_millis(100)).await;
            world.make_due().await;
            let truth = world.truth().await;
            let other = world.instance();
            prop_assert_eq!(&all(&other).await.unwrap(), &truth);
            for id in truth.keys() {
                other.find(id).await.unwrap();
            }
            // It may be the author's only absence, so others go on looking, until that is impossible.
            world.make_final().await;
            prop_assert_eq!(&all(&other).await.unwrap(), &truth);
            prop_assert_eq!(world.unsettled().await, 0);
            prop_assert_eq!(differences(&other).await, (0, 0, 0));
            Ok(())
        })
    });
    tried.unwrap();
    let (ended, interrupted) = (ended.into_inner(), interrupted.into_inner());
    assert!(
        ended > 20 && interrupted > 20,
        "{ended} ended, {interrupted} did not"
    );
}

#[test]
fn however_changes_are_held_up_among_each_other_nothing_is_left_to_be_done() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::start());
    let config = Config {
        cases: 48,
        max_shrink_iters: 0,
        ..Config::default()
    };
    // Few artifacts, so that changes meet; and who goes on when, and how far.
    let steps = prop_oneof![
        3 => (0_usize..2, 0_usize..4).prop_map(|(artifact, url)| Step::Update(artifact, url)),
        1 => (0_usize..2).prop_map(Step::Delete),
        1 => (0_usize..4).prop_map(Step::Create),
    ];
    let histories = (
        prop::collection::vec(steps, 2..6),
        prop::collection::vec((0_usize..6, 1_usize..8), 0..60),
    );
    let tried = TestRunner::new(config).run(&histories, |(steps, turns)| {
        runtime.block_on(async {
            let first = world.instance();
            first.reset(&tester()).await.unwrap();
            let mut ids = Vec::new();
            for number in 0..2 {
                ids.push(create(&first, named(Kind::Model, "a", &url(number))).await);
            }
            all(&first).await.unwrap();
            let (instances, ids) = ([world.remote_instance(), world.remote_instance()], &ids);
            let mut open: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                open.push(Box::pin(take(&instances[number % 2], step, ids)));
            }
            // Somebody who looks after them, while they are at it.
            open.push(Box::pin(async {
                world.make_due().await;
                all(&first).await.unwrap();
            }));
            let turns = turns.into_iter().chain((0..).map(|turn| (turn, 1)));
            for (turn, polls) in turns {
                if open.is_empty() {
                    break;
                }
                let chosen = turn % open.len();
                for _ in 0..polls {
                    let mut context = Context::from_waker(Waker::noop());
                    if open[chosen].as_mut().poll(&mut context).is_ready() {
                        drop(open.swap_remove(chosen));
                        break;
                    }
                    sleep(Duration::from_millis(1)).await;
                }
            }
            let truth = world.truth().await;
            prop_assert_eq!(world.unsettled().await, 0);
            prop_assert_eq!(&all(&first).await.unwrap(), &truth);
            prop_assert_eq!(differences(&first).await, (0, 0, 0));
            Ok(())
        })
    });
    tried.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_of_several_instances_leave_nothing_to_be_done() {
    let world = World::start().await;
    let instances: Vec<Arc<Registry>> = (0..3).map(|_| Arc::new(world.instance())).collect();
    let mut ids = Vec::new();
    for number in 0..8 {
        ids.push(create(&instances[0], named(Kind::Model, "a", &url(number))).await);
    }
    let ids = Arc::new(ids);
    let writers = (0..6).map(|writer| {
        let (ids, instances) = (Arc::clone(&ids), instances.clone());
        tokio::spawn(async move {
            for round in 0..12 {
                let number = writer * 5 + round * 7;
                let step = match number % 5 {
                    0 | 1 => Step::Create(number % 12),
                    2 | 3 => Step::Update(number % 8, number % 11),
                    _ => Step::Delete(number % 8),
                };
                take(&instances[(writer + round) % 3], step, &ids).await;
                // What was acknowledged by one instance is found by another at once.
                let name = format!("own-{writer}-{round}");
                let own = format!("https://example.com/{name}");
                let own = create(&instances[round % 3], named(Kind::Code, &name, &own)).await;
                let name = name.parse().unwrap();
                let found = instances[(round + 1) % 3].by_name(&name).await.unwrap();
                assert_eq!(found[0].id, own);
                instances[(round + 2) % 3]
                    .delete(Kind::Code, &own, &tester())
                    .await
                    .unwrap();
                let gone = instances[round % 3].by_name(&name).await;
                assert!(matches!(gone, Err(Error::NotFound)));
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    assert_eq!(world.unsettled().await, 0);
    assert_eq!(differences(&instances[0]).await, (0, 0, 0));
    let truth = world.truth().await;
    for instance in &instances {
        assert_eq!(all(instance).await.unwrap(), truth);
    }
}

#[tokio::test]
async fn whoever_settles_last_the_index_has_what_was_written_last() {
    let world = World::start().await;
    let instances = [world.remote_instance(), world.remote_instance()];
    let id = create(&instances[0], named(Kind::Model, "a", &url(0))).await;
    all(&instances[0]).await.unwrap();
    let etag = async || {
        world
            .objects()
            .get(&key(id.as_str()))
            .await
            .unwrap()
            .unwrap()
            .1
    };
    for is_first_done_first in [true, false] {
        let changes = [change("a", &url(1)), change("a", &url(2))];
        let mut updates = Vec::new();
        for (instance, change) in instances.iter().zip(&changes) {
            // Until the store has it, and its author does not know that yet.
            let mut update = Box::pin(instance.update(Kind::Model, &id, change));
            let before = etag().await;
            loop {
                // What it has sent arrives before it is seen to again.
                sleep(Duration::from_millis(20)).await;
                if etag().await != before {
                    break;
                }
                let mut context = Context::from_waker(Waker::noop());
                assert!(update.as_mut().poll(&mut context).is_pending());
            }
            updates.push(update);
        }
        if !is_first_done_first {
            updates.reverse();
        }
        for update in updates {
            update.await.unwrap();
        }
        assert_eq!(instances[0].find(&id).await.unwrap().0.url, url(2));
        assert_eq!(world.unsettled().await, 0);
        assert_eq!(differences(&instances[0]).await, (0, 0, 0));
    }
}

#[tokio::test]
async fn a_late_author_does_not_bring_back_what_was_deleted_since() {
    let world = World::start().await;
    let instance = world.instance();
    all(&instance).await.unwrap();
    let mut polls = 1;
    // Wherever the creation is held up, the deletion by another instance stands.
    loop {
        let slow = world.remote_instance();
        let mut creation = std::pin::pin!(slow.create(draft(Kind::Model, &url(polls))));
        if let Some(created) = cut_off(creation.as_mut(), polls).await {
            created.unwrap();
            break;
        }
        sleep(Duration::from_millis(5)).await;
        for id in world.truth().await.keys() {
            instance.delete(Kind::Model, id, &tester()).await.unwrap();
        }
        // Now it goes on, if it can.
        drop(creation.await);
        world.make_due().await;
        let truth = world.truth().await;
        assert_eq!(all(&instance).await.unwrap(), truth, "after {polls} polls");
        for id in truth.keys() {
            instance.delete(Kind::Model, id, &tester()).await.unwrap();
        }
        polls += 1;
    }
    assert!(polls > 3);
    assert_eq!(differences(&instance).await, (0, 0, 0));
}
