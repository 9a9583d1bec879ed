//! The local queue: hidden, handed out again, buried, dug up.

mod support;

use std::time::Duration;

use embedded_s3::EmbeddedS3;
use support::{drain, options, start};

const HOUR: Duration = Duration::from_hours(1);
const NOW: Duration = Duration::ZERO;

#[tokio::test]
async fn a_message_is_hidden_until_it_is_released_or_deleted() {
    let fixture = start().await;
    let queue = fixture.store.queue("q");
    let id = queue.send("hello").await.unwrap();
    let first = queue.receive(10, HOUR, NOW).await.unwrap().remove(0);
    assert_eq!(
        (first.id.as_str(), first.body.as_str(), first.receive_count),
        (id.as_str(), "hello", 1)
    );
    assert_eq!(queue.receive(10, HOUR, NOW).await.unwrap(), []);
    assert_eq!(queue.depth().await.unwrap().in_flight, 1);
    assert_eq!(
        queue
            .release(std::slice::from_ref(&first.receipt_handle))
            .await
            .unwrap(),
        1
    );
    let second = queue.receive(10, HOUR, NOW).await.unwrap().remove(0);
    assert_eq!((second.receive_count, &second.id), (2, &first.id));
    // The first receipt is stale: the message was handed out again.
    assert_eq!(queue.delete(&[first.receipt_handle]).await.unwrap(), 0);
    assert_eq!(queue.delete(&[second.receipt_handle]).await.unwrap(), 1);
    assert_eq!(queue.depth().await.unwrap().in_flight, 0);
}

#[tokio::test]
async fn a_message_that_is_not_deleted_comes_again() {
    let fixture = start().await;
    let queue = fixture.store.queue("q");
    queue.send("hello").await.unwrap();
    queue
        .receive(1, Duration::from_millis(50), NOW)
        .await
        .unwrap();
    let again = queue.receive(1, HOUR, HOUR).await.unwrap();
    assert_eq!(again[0].receive_count, 2);
}

#[tokio::test]
async fn a_waiting_receiver_wakes_at_once() {
    let fixture = start().await;
    let queue = fixture.store.queue("q");
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.receive(1, HOUR, HOUR).await.unwrap() }
    });
    tokio::task::yield_now().await;
    queue.send("hello").await.unwrap();
    assert_eq!(waiting.await.unwrap()[0].body, "hello");
    assert_eq!(
        queue
            .receive(1, HOUR, Duration::from_millis(10))
            .await
            .unwrap(),
        []
    );
}

#[tokio::test]
async fn a_message_received_too_often_becomes_a_dead_letter() {
    let fixture = start().await;
    let queue = fixture.store.queue("q");
    queue.set_redrive_policy(Some((2, "q-dead"))).await.unwrap();
    queue.send("poison").await.unwrap();
    for _ in 0..2 {
        let message = queue.receive(1, HOUR, NOW).await.unwrap().remove(0);
        queue.release(&[message.receipt_handle]).await.unwrap();
    }
    assert_eq!(queue.receive(1, HOUR, NOW).await.unwrap(), []);
    assert_eq!(queue.dead_letters().await.unwrap()[0].body, "poison");
    assert_eq!(
        fixture.store.queue("q-dead").depth().await.unwrap().visible,
        1
    );
    assert_eq!(queue.redrive().await.unwrap(), 1);
    assert_eq!(queue.dead_letters().await.unwrap(), []);
    assert_eq!(
        queue.receive(1, HOUR, NOW).await.unwrap()[0].receive_count,
        1
    );
}

#[tokio::test]
async fn messages_survive_a_restart_in_order() {
    let fixture = start().await;
    for number in 0..10 {
        fixture
            .store
            .queue("q")
            .send(number.to_string())
            .await
            .unwrap();
    }
    fixture.store.clone().close().await;
    assert!(fixture.store.queue("q").send("late").await.is_err());
    let store = EmbeddedS3::open(options(&fixture.folder)).await.unwrap();
    let bodies: Vec<_> = drain(&store.queue("q"))
        .await
        .into_iter()
        .map(|message| message.body)
        .collect();
    assert_eq!(
        bodies,
        (0..10).map(|number| number.to_string()).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn concurrent_receivers_never_share_a_message() {
    let fixture = start().await;
    let queue = fixture.store.queue("q");
    for number in 0..100 {
        queue.send(number.to_string()).await.unwrap();
    }
    let receivers: Vec<_> = (0..8)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.receive(20, HOUR, NOW).await.unwrap() })
        })
        .collect();
    let mut ids = Vec::new();
    for receiver in receivers {
        ids.extend(
            receiver
                .await
                .unwrap()
                .into_iter()
                .map(|message| message.id),
        );
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100);
}

#[tokio::test]
async fn a_name_that_is_none_is_refused() {
    assert!(
        start()
            .await
            .store
            .queue("no/name")
            .send("x")
            .await
            .is_err()
    );
}
