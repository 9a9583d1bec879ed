//! document-loader is told when documents changed, and only then.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at what they do not expect"
)]

mod support;

use shared::config::Env;
use shared::queue::{Queue, Settings};
use support::{Sync, delete, put, queue_of_records};
use testkit::Sqs;

fn loader(endpoint: &str) -> Queue {
    let mut env = Env::new([
        (
            "LOADER_QUEUE_URL",
            "https://sqs.eu-central-1.amazonaws.com/123456789012/loads",
        ),
        ("AWS_ENDPOINT_URL_SQS", endpoint),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ]);
    let settings = Settings::from_env(&mut env, "LOADER_QUEUE_URL");
    Queue::new(settings.unwrap().unwrap())
}

#[tokio::test]
async fn one_message_tells_of_a_batch_that_changed_something() {
    let sqs = Sqs::start().await;
    let mut sync = Sync::start().await;
    sync.function.loader = Some(loader(sqs.endpoint()));
    let batch = queue_of_records(&[put("a", "1", "e1"), put("b", "1", "e1"), delete("c", "1")]);
    assert!(sync.failures(&batch).await.is_empty());
    let bodies: Vec<String> = sqs.messages().into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, [r#"{"load": {}}"#]);
    assert!(sync.failures(&batch).await.is_empty());
    assert_eq!(
        sqs.messages().len(),
        1,
        "the same once more changes nothing"
    );
}

#[tokio::test]
async fn a_message_that_cannot_be_sent_holds_up_nothing() {
    let sqs = Sqs::start().await;
    sqs.refuse(403);
    let mut sync = Sync::start().await;
    for endpoint in [sqs.endpoint(), "http://127.0.0.1:1"] {
        sync.function.loader = Some(loader(endpoint));
        let batch = queue_of_records(&[put(endpoint, "1", "e1")]);
        assert!(sync.failures(&batch).await.is_empty());
    }
    assert_eq!(sync.rows().await.lines().count(), 2);
}
