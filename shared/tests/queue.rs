//! A message is sent by a request of one's own, against a server that knows the real one's form.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

use shared::config::Env;
use shared::queue::{Queue, SendError, Settings};
use testkit::Sqs;

const URL: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/loads";

fn queue(endpoint: &str) -> Queue {
    let mut env = Env::new([
        ("LOADER_QUEUE_URL", URL),
        ("AWS_ENDPOINT_URL_SQS", endpoint),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "geheim"),
    ]);
    let settings = Settings::from_env(&mut env, "LOADER_QUEUE_URL");
    Queue::new(settings.unwrap().unwrap())
}

#[tokio::test]
async fn a_message_arrives_signed_and_as_it_was() {
    let sqs = Sqs::start().await;
    let queue = queue(sqs.endpoint());
    for body in ["{\"load\": {}}", "ein \"Wört\"\n"] {
        queue.send(body).await.unwrap();
        let last = sqs.messages().pop().unwrap();
        assert_eq!(last, (URL.to_owned(), body.to_owned()));
    }
}

#[tokio::test]
async fn a_refusal_is_told_and_does_not_stop_the_next() {
    let sqs = Sqs::start().await;
    let queue = queue(sqs.endpoint());
    sqs.refuse(403);
    for _ in 0..2 {
        let refused = queue.send("").await.unwrap_err();
        assert!(matches!(refused, SendError::Refused(403)), "{refused:?}");
    }
}

#[tokio::test]
async fn where_nobody_answers_nobody_is_asked_again_for_a_while() {
    let queue = queue("http://127.0.0.1:1");
    let first = queue.send("").await.unwrap_err();
    assert!(matches!(first, SendError::Unanswered(_)), "{first:?}");
    let second = queue.send("").await.unwrap_err();
    assert!(matches!(second, SendError::Resting), "{second:?}");
}

#[tokio::test]
async fn without_credentials_nothing_is_sent() {
    let mut env = Env::new([("LOADER_QUEUE_URL", URL)]);
    let settings = Settings::from_env(&mut env, "LOADER_QUEUE_URL");
    let refused = Queue::new(settings.unwrap().unwrap()).send("").await;
    assert!(matches!(refused, Err(SendError::NoCredentials)));
}
